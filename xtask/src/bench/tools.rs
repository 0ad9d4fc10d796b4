//! What is compared: each tool, how it is started, and how one can tell that it is ready.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use super::command::{alone, dies_with_us};
use super::said::Said;
use crate::apt;
use crate::command::{find, stdout_of};

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Tool {
    /// Nothing.
    Bare,
    /// Nothing, again: how much two measurements of the same differ.
    BareAgain,
    /// `sockwatch trace`.
    Trace,
    /// `sockwatch record`.
    Record,
    /// `sockwatch follow` of a port that nobody uses.
    Follow,
    /// libbpf-tools' tcpstates.
    TcpStates,
    /// libbpf-tools' tcplife.
    TcpLife,
    /// strace of every process of the load.
    Strace,
}

/// How a tool tells that it is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ready {
    /// It says so on standard error.
    Says,
    /// It has attached programs.
    HasLinks,
    /// It traces every process of the load.
    Traces,
}

/// A port that nobody in the load uses.
const QUIET: &str = "7";

impl Tool {
    /// All of them, as the tables have them.
    pub(crate) const ALL: [Self; 8] = [
        Self::Bare,
        Self::BareAgain,
        Self::Trace,
        Self::Record,
        Self::Follow,
        Self::TcpStates,
        Self::TcpLife,
        Self::Strace,
    ];

    /// A word for it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Bare => "bare",
            Self::BareAgain => "bare-again",
            Self::Trace => "trace",
            Self::Record => "record",
            Self::Follow => "follow",
            Self::TcpStates => "tcpstates",
            Self::TcpLife => "tcplife",
            Self::Strace => "strace",
        }
    }

    /// As the tables have it.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Bare => "nothing attached",
            Self::BareAgain => "nothing attached, again",
            Self::Trace => "`sockwatch trace --json --view closed`",
            Self::Record => "`sockwatch record`",
            Self::Follow => "`sockwatch follow`, a quiet port",
            Self::TcpStates => "`tcpstates`",
            Self::TcpLife => "`tcplife`",
            Self::Strace => "`strace -f -e trace=network`",
        }
    }

    /// Whether nothing is started for it.
    pub(crate) fn is_bare(self) -> bool {
        matches!(self, Self::Bare | Self::BareAgain)
    }

    /// Whether it runs programs in the kernel.
    pub(crate) fn has_programs(self) -> bool {
        !self.is_bare() && self != Self::Strace
    }

    /// How one can tell that it is ready.
    pub(crate) fn ready(self) -> Ready {
        match self {
            Self::TcpStates | Self::TcpLife => Ready::HasLinks,
            Self::Strace => Ready::Traces,
            _ => Ready::Says,
        }
    }

    /// What it said at its end.
    pub(crate) fn said(self, lines: &[String], code: Option<i32>) -> Said {
        match self {
            // Its summary goes to standard output; the exit code says whether anything is missing from it, and standard error
            // what.
            Self::Trace if code == Some(0) => Said { events: None, lost: Some(0) },
            Self::Trace => Said::of_our_losses(lines),
            Self::TcpStates | Self::TcpLife => Said::of_peer(lines),
            Self::Bare | Self::BareAgain | Self::Strace => Said::default(),
            _ => Said::of_ours(lines),
        }
    }

    /// The programs that run at a change of a socket's state. The first of them runs at each.
    pub(crate) fn at_states(self) -> &'static [&'static str] {
        match self {
            Self::Bare | Self::BareAgain | Self::Strace => &[],
            Self::TcpStates => &["handle_set_state"],
            Self::TcpLife => &["inet_sock_set_state"],
            Self::Trace | Self::Record | Self::Follow => &["inet_sock_set_state", "inet_sock_set_state_2"],
        }
    }

    /// The command, and the file that it writes; none for nothing.
    pub(crate) fn command(
        self,
        places: &Places,
        load: impl Iterator<Item = u32>,
    ) -> Option<(Command, Option<PathBuf>)> {
        let mut command = dies_with_us();
        match self {
            Self::Bare | Self::BareAgain => return None,
            Self::Trace => command.arg(&places.sockwatch).args(["trace", "--json", "--view", "closed"]),
            Self::Record => {
                let file = places.directory.join("recording.sw");
                command.arg(&places.sockwatch).args(["record", "--force", "-o"]).arg(&file);
                return Some((command, Some(file)));
            }
            Self::Follow => command.arg(&places.sockwatch).args(["follow", QUIET, "--plain"]),
            Self::TcpStates | Self::TcpLife => {
                // They look for their tracepoints below /sys, where tracefs need not be mounted.
                const MOUNTED: &str = "mountpoint -q /sys/kernel/tracing || mount -t tracefs tracefs /sys/kernel/tracing; \
                                       exec \"$@\"";
                command.args(["sh", "-c", MOUNTED, "sh"]).arg(places.peers.join(self.name()));
                return Some((alone(&["--mount"], &command), None));
            }
            Self::Strace => {
                command.args(["strace", "-f", "-qq", "-e", "trace=network", "-o", "/dev/null"]);
                for pid in load {
                    command.args(["-p", &pid.to_string()]);
                }
                &mut command
            }
        };
        Some((command, None))
    }

    /// Which version it is; why it can't run otherwise.
    pub(crate) fn version(self, places: &Places) -> Result<String, String> {
        let installed = |package: &str| {
            let mut query = Command::new("dpkg-query");
            query.args(["-W", "-f", "${Version}", package]);
            stdout_of(&mut query).map(|version| format!("{package} {version} (Debian)"))
        };
        let version = match self {
            Self::Bare | Self::BareAgain => return Ok(String::new()),
            Self::Trace | Self::Record | Self::Follow => {
                stdout_of(Command::new(&places.sockwatch).arg("--version")).map(|version| version.trim().to_owned())
            }
            Self::TcpStates | Self::TcpLife => {
                if !places.peers.join(self.name()).is_file() {
                    return Err("Debian's package libbpf-tools is not installed".to_owned());
                }
                installed("libbpf-tools")
            }
            Self::Strace => {
                if find("strace").is_none() {
                    return Err("strace is not installed".to_owned());
                }
                installed("strace")
            }
        };
        version.map_err(|error| format!("{error:#}"))
    }
}

/// Where things are.
pub(crate) struct Places {
    /// The binary that is measured.
    pub(crate) sockwatch: PathBuf,
    /// Where what is recorded goes.
    pub(crate) directory: PathBuf,
    /// Where libbpf-tools' programs are.
    pub(crate) peers: PathBuf,
}

impl Places {
    /// Where Debian has the peers.
    pub(crate) fn peers() -> PathBuf {
        Path::new("/usr/sbin").to_owned()
    }
}

/// Installs the peers, where this is Debian.
pub(crate) fn install_peers() -> Result<()> {
    if !apt::is_here() {
        return Ok(());
    }
    let missing = apt::missing(&["libbpf-tools", "strace", "iproute2"]);
    if missing.is_empty() { Ok(()) } else { apt::install(&missing) }
}
