//! The command line, as typed and as meant.

mod refusal;
#[cfg(test)]
mod tests;

use std::{ffi::OsString, path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand, ValueEnum};

pub use super::values::When;
pub use refusal::Refusal;

use super::{
    export::{self, Export},
    values,
};
use crate::{
    event::Family,
    kernel::Calls,
    lifecycle::Role,
    output::View,
    recording::Sync,
    select::{Filter, NamePattern, Network, Target},
};

const EXAMPLES: &str = "\
Examples:
  sockwatch trace --port 443                      who connects to port 443, and who accepts there
  sockwatch trace --view closed --failed          connections and listeners that failed, and why
  sockwatch trace --process nginx --role server   what comes in to nginx
  sockwatch trace --json -- curl example.com      run curl and trace it, as JSON lines";

const FOLLOWING: &str = "\
Examples:
  sockwatch follow 443                    what listens on port 443, who connects to it, and how that ends
  sockwatch follow 10.0.0.9:5432          the clients of a database elsewhere
  sockwatch follow :80 --process nginx    those of nginx alone
  sockwatch follow 80 --plain             the lines of trace, for this port";

const LISTING: &str = "\
Examples:
  sockwatch list                    every socket, in every network namespace
  sockwatch list 443                port 443: its listeners, its connections, the processes that hold them
  sockwatch list --process nginx    what nginx holds";

const RECORDING: &str = "\
Examples:
  sockwatch record -o night.sw                             until Ctrl-C
  sockwatch record -o web.sw --max-size 1GiB --keep 24     the newest 24 GiB: web.sw, and web.sw.1, web.sw.2, ...
  sockwatch record -o - | ssh elsewhere 'cat > here.sw'    to another host
  sockwatch record -o curl.sw -- curl example.com          curl, and its children";

const REPLAYING: &str = "\
Examples:
  sockwatch replay night.sw --view closed --failed         what failed in the night, and why
  sockwatch replay night.sw --since 03:10 --until 03:15    five minutes of it
  sockwatch replay night.sw --follow 443                   port 443 on the whole screen: stop, step, go back
  sockwatch replay web.sw*                                 all segments, as one
  sockwatch replay web1.sw web2.sw --json                  two hosts, merged by time";

/// Shows the life of every socket on this host, from bind to close
#[derive(Clone, Debug, Parser)]
#[command(name = "sockwatch", bin_name = "sockwatch", version)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Follow every socket on this host, live
    #[command(after_help = EXAMPLES)]
    Trace(Trace),
    /// Follow one port, live: its listeners, its connections, who holds them
    #[command(after_help = FOLLOWING)]
    Follow(Follow),
    /// Show the sockets that exist now, and who holds them
    #[command(after_help = LISTING)]
    List(List),
    /// Write the kernel's events to a file
    #[command(after_help = RECORDING)]
    Record(Record),
    /// Run a recording through the same views, filters and formats as trace
    #[command(after_help = REPLAYING)]
    Replay(Replay),
    /// Check a recording
    Verify(Verify),
    /// Save what is whole of a damaged recording
    Repair(Repair),
    /// Summarise a recording, or several, on one page
    Report(Report),
    /// Convert a recording for other programs
    #[command(after_help = export::EXAMPLES)]
    Export(Export),
    /// Say what this kernel and these privileges allow, what is missing, and how to get it
    Doctor(Doctor),
}

/// What `trace` was asked for.
#[derive(Clone, Debug, Args)]
pub struct Trace {
    /// How it is shown.
    #[command(flatten)]
    pub output: OutputArgs,
    /// How the kernel is followed.
    #[command(flatten)]
    pub tracing: Tracing,
    /// Record to this file what is seen, beside showing it; `replay` shows it again
    #[arg(short, long = "write", value_name = "FILE", help_heading = "Recording")]
    pub write: Option<PathBuf>,
    /// How it is recorded.
    #[command(flatten)]
    pub recording: RecordingArgs,
    /// Which sockets are shown.
    #[command(flatten)]
    pub filters: FilterArgs,
}

/// What `follow` was asked for.
#[derive(Clone, Debug, Args)]
pub struct Follow {
    /// The port, maybe of one address: 80, :80, tcp/80, 10.0.0.4:80 or [::1]:80
    #[arg(value_name = "TARGET", help_heading = "Arguments")]
    pub target: Target,
    /// Write the lines of trace, also at a terminal; so it is with --json, with a command, and elsewhere
    #[arg(long, help_heading = "Output")]
    pub plain: bool,
    /// How it is shown.
    #[command(flatten)]
    pub output: OutputArgs,
    /// How the kernel is followed.
    #[command(flatten)]
    pub tracing: Tracing,
    /// Which sockets are shown, of those that have to do with it.
    #[command(flatten)]
    pub filters: FilterArgs,
}

/// What `list` was asked for.
#[derive(Clone, Debug, Args)]
pub struct List {
    /// A port, maybe of one address: 80, tcp/80, 10.0.0.4:80, [::1]:80; with an address the wildcard listeners that serve it too
    #[arg(value_name = "TARGET")]
    pub target: Option<Target>,
    /// Write JSON lines
    #[arg(long, help_heading = "Output")]
    pub json: bool,
    /// Write no colors
    #[arg(long, help_heading = "Output")]
    pub no_color: bool,
    /// Which sockets are shown.
    #[command(flatten)]
    pub filters: FilterArgs,
}

/// What `record` was asked for.
#[derive(Clone, Debug, Args)]
pub struct Record {
    /// Where to write; - is stdout
    #[arg(short, long, value_name = "FILE", help_heading = "Recording")]
    pub output: PathBuf,
    /// How it is recorded.
    #[command(flatten)]
    pub recording: RecordingArgs,
    /// How the kernel is followed.
    #[command(flatten)]
    pub tracing: Tracing,
    /// Which sockets are recorded.
    #[command(flatten)]
    pub filters: FilterArgs,
}

/// How a recording is written.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Recording")]
pub struct RecordingArgs {
    /// Write over a file that exists
    #[arg(long)]
    pub force: bool,
    /// Begin another file when this one has reached this size; the full one is called FILE.1, FILE.2 and so on
    #[arg(long, value_name = "SIZE", value_parser = values::file_size)]
    pub max_size: Option<u64>,
    /// Keep so many files, the newest; needs --max-size
    #[arg(long, value_name = "N", value_parser = values::keep, requires = "max_size")]
    pub keep: Option<u32>,
    /// When what was written must survive a loss of power: after every block, after so much time, or as the kernel likes
    #[arg(long, value_name = "always|SECONDS|never", value_parser = values::sync, default_value = "5s")]
    pub sync: Sync,
}

/// What `replay` was asked for.
#[derive(Clone, Debug, Args)]
pub struct Replay {
    /// The recordings; - is stdin. Segments of one are shown as one, several are merged by time
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
    /// How it is shown.
    #[command(flatten)]
    pub output: OutputArgs,
    /// Which part is shown.
    #[command(flatten)]
    pub part: PartArgs,
    /// Show one port on the whole screen, as follow does, with time under your control: press ? there. Elsewhere than at a
    /// terminal: the lines about it
    #[arg(long, value_name = "TARGET", help_heading = "Replay")]
    pub follow: Option<Target>,
    /// Write lines, also at a terminal
    #[arg(long, help_heading = "Output", requires = "follow")]
    pub plain: bool,
    /// How many times as fast as it happened [default: max; on the screen of --follow: 1]
    #[arg(long, value_name = "1|10|max", value_parser = values::speed, help_heading = "Replay")]
    pub speed: Option<Speed>,
    /// Stop after N sockets closed, of those that are shown
    #[arg(long, value_name = "N", value_parser = values::count, help_heading = "Replay")]
    pub count: Option<u64>,
    /// Wait for more, if the recording is still being written
    #[arg(long, help_heading = "Replay")]
    pub tail: bool,
    /// Which sockets are shown.
    #[command(flatten)]
    pub filters: FilterArgs,
}

/// A part of a recording.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Part")]
pub struct PartArgs {
    /// Leave out what happened before: 2026-11-22T18:04:11Z, 2026-11-22 18:04, or 18:04 of the day it began
    #[arg(long, value_name = "TIME", value_parser = values::when)]
    pub since: Option<When>,
    /// Leave out what happened after
    #[arg(long, value_name = "TIME", value_parser = values::when)]
    pub until: Option<When>,
}

/// How fast a recording is shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Speed {
    /// As fast as can be.
    Max,
    /// So many times as fast as it happened.
    Times(u32),
}

/// What `verify` was asked for.
#[derive(Clone, Debug, Args)]
pub struct Verify {
    /// The recordings
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
    /// Write JSON
    #[arg(long)]
    pub json: bool,
}

/// What `repair` was asked for.
#[derive(Clone, Debug, Args)]
pub struct Repair {
    /// The recording
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Where to write what is whole
    #[arg(short, long, value_name = "NEW")]
    pub output: PathBuf,
    /// Write over a file that exists
    #[arg(long)]
    pub force: bool,
}

/// How sockets are shown.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Output")]
pub struct OutputArgs {
    /// Write JSON lines
    #[arg(long)]
    pub json: bool,
    /// What is shown
    #[arg(long, value_enum, default_value_t)]
    pub view: View,
    /// Leave colors out, even on a terminal
    #[arg(long)]
    pub no_color: bool,
    /// Show times in UTC; JSON always has them so
    #[arg(long)]
    pub utc: bool,
}

/// How the running kernel is followed.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Tracing")]
pub struct Tracing {
    /// Stop after this time: 10s, 500ms, 1h30m; a bare number is seconds
    // A hyphen is let through so that it is the duration that is said to be wrong.
    #[arg(long, value_name = "TIME", value_parser = values::duration, allow_hyphen_values = true)]
    pub duration: Option<Duration>,
    /// Stop after N sockets closed, of those that are shown
    #[arg(long, value_name = "N", value_parser = values::count)]
    pub count: Option<u64>,
    /// The ring buffer between the kernel and sockwatch, in bytes; rounded up to what the kernel takes, at most 1GiB
    #[arg(long, value_name = "SIZE", value_parser = values::buffer, default_value = "16MiB")]
    pub buffer: u32,
    /// How sockwatch attaches to the kernel
    #[arg(long, value_enum, default_value_t)]
    pub probes: ProbeChoice,
    /// Run this command, trace it and its children alone, and end with it
    #[arg(last = true, value_name = "COMMAND", help_heading = "Arguments")]
    pub command: Vec<OsString>,
}

/// What `report` was asked for.
#[derive(Clone, Debug, Args)]
pub struct Report {
    /// The recordings; - is standard input
    #[arg(value_name = "FILE", required = true, help_heading = "Arguments")]
    pub files: Vec<PathBuf>,
    /// Write one JSON object
    #[arg(long, help_heading = "Output")]
    pub json: bool,
    /// Write a page for the browser, with a timeline of the sockets; it needs no network
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub html: Option<PathBuf>,
    /// How many rows each list has
    #[arg(long, value_name = "N", value_parser = values::rows, default_value = "10", help_heading = "Output")]
    pub top: usize,
    /// Leave colors out, even on a terminal
    #[arg(long, help_heading = "Output")]
    pub no_color: bool,
    /// Show times in UTC; JSON always has them so
    #[arg(long, help_heading = "Output")]
    pub utc: bool,
    /// Which part is counted.
    #[command(flatten)]
    pub part: PartArgs,
    /// Which sockets are counted.
    #[command(flatten)]
    pub filters: FilterArgs,
}

/// What `doctor` was asked for.
#[derive(Clone, Debug, Args)]
pub struct Doctor {
    /// Write JSON
    #[arg(long, help_heading = "Output")]
    pub json: bool,
}

/// How sockwatch attaches to the kernel.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, ValueEnum)]
pub enum ProbeChoice {
    /// What is best on this kernel
    #[default]
    Auto,
    /// Tracepoints, which every kernel has
    Tracepoints,
    /// BPF trampolines, which cost less
    Trampolines,
}

impl From<ProbeChoice> for Calls {
    fn from(choice: ProbeChoice) -> Self {
        match choice {
            ProbeChoice::Auto => Self::Auto,
            ProbeChoice::Tracepoints => Self::Tracepoints,
            ProbeChoice::Trampolines => Self::Trampolines,
        }
    }
}

/// The filters, as typed.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Filters (all must hold; one that is repeated takes any of its values)")]
pub struct FilterArgs {
    /// The local or the peer's port
    #[arg(short, long = "port", value_name = "N", value_parser = values::port)]
    ports: Vec<u16>,
    /// The local port
    #[arg(long = "local-port", value_name = "N", value_parser = values::port)]
    local_ports: Vec<u16>,
    /// The peer's port
    #[arg(long = "peer-port", value_name = "N", value_parser = values::port)]
    peer_ports: Vec<u16>,
    /// The local or the peer's address, or a range of them: 10.0.0.4, 10.0.0.0/8, fd00::/8
    #[arg(long = "address", value_name = "ADDR|CIDR")]
    addresses: Vec<Network>,
    /// The id of a process that owns or holds the socket
    #[arg(long = "pid", value_name = "PID", value_parser = values::pid)]
    pids: Vec<u32>,
    /// The name of such a process: whole, or a glob with *, ? and [...]; the kernel keeps the first 15 bytes
    #[arg(long = "process", value_name = "NAME")]
    processes: Vec<NamePattern>,
    /// The user of such a process: a number or a name
    #[arg(long = "uid", value_name = "UID|NAME", value_parser = values::uid)]
    uids: Vec<u32>,
    /// The network namespace: its inode number, or a path like /proc/PID/ns/net or /run/netns/NAME
    #[arg(long, value_name = "INODE|PATH", value_parser = values::netns)]
    netns: Vec<u32>,
    /// The container of such a process: its id, or the first digits of it
    #[arg(long = "container", value_name = "ID-PREFIX", value_parser = values::container)]
    containers: Vec<String>,
    /// What the socket is for; a server is one that a listener accepts
    #[arg(long = "role", value_name = "ROLE", value_parser = values::role())]
    roles: Vec<Role>,
    /// The family of the socket; one of family 6 may carry IPv4
    #[arg(long = "family", value_name = "FAMILY", value_parser = values::family())]
    families: Vec<Family>,
    /// Only what failed: a bind, listen or connect that did, or an end other than fin and closed
    #[arg(long)]
    failed: bool,
}

impl FilterArgs {
    /// The filter that is meant.
    ///
    /// # Errors
    /// If it is one that no socket can ever pass.
    pub fn build(&self) -> Result<Filter, Refusal> {
        let Self {
            ports,
            local_ports,
            peer_ports,
            addresses,
            pids,
            processes,
            uids,
            netns,
            containers,
            roles,
            families,
            failed,
        } = self.clone();
        let filter = Filter {
            target: None,
            ports,
            local_ports,
            peer_ports,
            addresses,
            pids,
            processes,
            uids,
            netns,
            containers,
            roles,
            families,
            failed,
            descendants: false,
        };
        match filter.conflict() {
            Some(why) => Err(Refusal::usage(&why)),
            None => Ok(filter),
        }
    }
}

/// Reads the words that a recording's filter was written with; none if one is unknown here.
#[must_use]
pub fn filter_of(words: &[String]) -> Option<Filter> {
    #[derive(Parser)]
    #[command(no_binary_name = true)]
    struct Words {
        #[command(flatten)]
        filters: FilterArgs,
    }
    // A stranger's recording has nothing looked up on this host: no user's name, no path.
    let looks_nothing_up = |word: &String| {
        let value = word.strip_prefix("--uid").or_else(|| word.strip_prefix("--netns"));
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        word.starts_with("--") && value.is_none_or(|value| value.strip_prefix('=').is_some_and(is_number))
    };
    if !words.iter().all(looks_nothing_up) {
        return None;
    }
    Words::try_parse_from(words).ok()?.filters.build().ok()
}

/// Reads a command line, the program's name first.
///
/// # Errors
/// If it is not one that sockwatch understands, or asks for help or the version.
pub fn parse_from(args: impl IntoIterator<Item = OsString>) -> Result<Cli, Refusal> {
    let args: Vec<OsString> = args.into_iter().collect();
    Cli::try_parse_from(&args).map_err(|error| Refusal::of(&error, &args))
}
