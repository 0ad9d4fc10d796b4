//! The command line, as typed and as meant.

mod refusal;
#[cfg(test)]
mod tests;

use std::{ffi::OsString, time::Duration};

use clap::{Args, Parser, Subcommand, ValueEnum};

pub use refusal::Refusal;

use super::values;
use crate::{
    event::Family,
    lifecycle::Role,
    output::View,
    select::{Filter, NamePattern, Network},
};

const EXAMPLES: &str = "\
Examples:
  sockwatch trace --port 443                      who connects to port 443, and who accepts there
  sockwatch trace --view closed --failed          connections and listeners that failed, and why
  sockwatch trace --process nginx --role server   what comes in to nginx
  sockwatch trace --json -- curl example.com      run curl and trace it, as JSON lines";

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
#[expect(clippy::large_enum_variant, reason = "there is one in a run")]
pub enum Command {
    /// Follow every socket on this host, live
    #[command(after_help = EXAMPLES)]
    Trace(Trace),
    /// Say what this kernel and these privileges allow, what is missing, and how to get it
    Doctor(Doctor),
}

/// What `trace` was asked for.
#[derive(Clone, Debug, Args)]
pub struct Trace {
    /// Write JSON lines
    #[arg(long, help_heading = "Output")]
    pub json: bool,
    /// What is shown
    #[arg(long, help_heading = "Output", value_enum, default_value_t)]
    pub view: View,
    /// Leave colors out, even on a terminal
    #[arg(long, help_heading = "Output")]
    pub no_color: bool,
    /// Show times in UTC; JSON always has them so
    #[arg(long, help_heading = "Output")]
    pub utc: bool,
    /// Stop after this time: 10s, 500ms, 1h30m; a bare number is seconds
    // A hyphen is let through so that it is the duration that is said to be wrong.
    #[arg(long, help_heading = "Tracing", value_name = "TIME", value_parser = values::duration, allow_hyphen_values = true)]
    pub duration: Option<Duration>,
    /// Stop after N sockets closed, of those that are shown
    #[arg(long, help_heading = "Tracing", value_name = "N", value_parser = values::count)]
    pub count: Option<u64>,
    /// The ring buffer between the kernel and sockwatch, in bytes; rounded up to what the kernel takes, at most 1GiB
    #[arg(long, help_heading = "Tracing", value_name = "SIZE", value_parser = values::buffer, default_value = "16MiB")]
    pub buffer: u32,
    /// How sockwatch attaches to the kernel
    #[arg(long, help_heading = "Tracing", value_enum, default_value_t)]
    pub probes: ProbeChoice,
    /// Run this command, trace it and its children alone, and end with it
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
    /// Which sockets are shown.
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

/// Reads a command line, the program's name first.
///
/// # Errors
/// If it is not one that sockwatch understands, or asks for help or the version.
pub fn parse_from(args: impl IntoIterator<Item = OsString>) -> Result<Cli, Refusal> {
    let args: Vec<OsString> = args.into_iter().collect();
    Cli::try_parse_from(&args).map_err(|error| Refusal::of(&error, &args))
}
