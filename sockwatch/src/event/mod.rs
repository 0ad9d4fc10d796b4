//! What the kernel said, decoded and owned. Knows nothing of BPF.

mod decode;

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
};

pub use decode::{DecodeError, Raw, RawTask, decode};

use crate::{digits::Digits, untrusted::Untrusted};

/// Nanoseconds of `CLOCK_BOOTTIME`, the clock of every event.
pub type Time = u64;

/// A state of a connection, RFC 9293 section 3.3.2; the last is the kernel's own for a half-open connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
#[expect(missing_docs, reason = "the RFC's names")]
pub enum State {
    Established,
    SynSent,
    SynReceived,
    FinWait1,
    FinWait2,
    TimeWait,
    Closed,
    CloseWait,
    LastAck,
    Listen,
    Closing,
}

impl State {
    /// From the kernel's number.
    #[must_use]
    pub fn from_kernel(number: u32) -> Option<Self> {
        use sockwatch_ebpf::state;
        Some(match u8::try_from(number).ok()? {
            state::ESTABLISHED => Self::Established,
            state::SYN_SENT => Self::SynSent,
            state::SYN_RECV | state::NEW_SYN_RECV => Self::SynReceived,
            state::FIN_WAIT1 => Self::FinWait1,
            state::FIN_WAIT2 => Self::FinWait2,
            state::TIME_WAIT => Self::TimeWait,
            state::CLOSE => Self::Closed,
            state::CLOSE_WAIT => Self::CloseWait,
            state::LAST_ACK => Self::LastAck,
            state::LISTEN => Self::Listen,
            state::CLOSING => Self::Closing,
            _ => return None,
        })
    }

    /// The RFC's name in snake case.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Established => "established",
            Self::SynSent => "syn_sent",
            Self::SynReceived => "syn_received",
            Self::FinWait1 => "fin_wait_1",
            Self::FinWait2 => "fin_wait_2",
            Self::TimeWait => "time_wait",
            Self::Closed => "closed",
            Self::CloseWait => "close_wait",
            Self::LastAck => "last_ack",
            Self::Listen => "listen",
            Self::Closing => "closing",
        }
    }
}

/// The address family of a socket (an IPv6 socket may carry IPv4).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Family {
    Ipv4,
    Ipv6,
}

/// The transport of a socket.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Transport {
    Tcp,
    Mptcp,
    Sctp,
}

impl Transport {
    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Mptcp => "mptcp",
            Self::Sctp => "sctp",
        }
    }
}

/// An address and a port. IPv4-mapped IPv6 addresses are held as IPv4.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct Endpoint {
    /// The address.
    pub address: IpAddr,
    /// The port; 0 while there is none.
    pub port: u16,
}

impl Endpoint {
    /// From a kernel record: network-order bytes, IPv4 in the first four.
    #[must_use]
    pub fn new(family: Family, address: [u8; 16], port: u16) -> Self {
        let address = match family {
            Family::Ipv4 => IpAddr::V4(Ipv4Addr::new(address[0], address[1], address[2], address[3])),
            Family::Ipv6 => IpAddr::V6(Ipv6Addr::from(address)).to_canonical(),
        };
        Self { address, port }
    }

    /// Neither address nor port.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        self.port == 0 && self.address.is_unspecified()
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, port } = *self;
        match address {
            IpAddr::V4(address) => {
                let [first, rest @ ..] = address.octets().map(u64::from);
                let text = rest.iter().fold(Digits::new().number(first), |text, &octet| text.text(".").number(octet));
                f.pad(text.text(":").number(port.into()).as_str())
            }
            IpAddr::V6(address) if f.width().is_none() => write!(f, "[{address}]:{port}"),
            IpAddr::V6(address) => f.pad(&format!("[{address}]:{port}")),
        }
    }
}

/// What names a socket in the kernel's records.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct Key {
    /// Its cookie, or the id from its storage; 0 where the record could not reach them.
    pub id: u64,
    /// A token for the address of its `struct sock`: one socket's until that is destroyed.
    pub addr: u64,
}

/// What a record tells of a socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sock {
    /// Which one.
    pub key: Key,
    /// Id of the listener it was cloned from; 0: none.
    pub parent: u64,
    /// Token of the MPTCP socket that it is a subflow of; 0: none.
    pub mptcp: u64,
    /// The kernel's cookie; 0: not known.
    pub cookie: u64,
    /// Inode of the network namespace.
    pub netns: u32,
    /// Address family.
    pub family: Family,
    /// Transport.
    pub transport: Transport,
    /// The state it is in, or leaves.
    pub state: State,
    /// Local end.
    pub local: Endpoint,
    /// Peer's end.
    pub peer: Endpoint,
}

/// A process, as known when the event was read. Shared by its events.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Process {
    /// Its id in sockwatch's pid namespace, if that can see it.
    pub pid: Option<u32>,
    /// When it started; with the pid it names the process for good.
    pub start: Time,
    /// Its name: of the process, not of the thread.
    pub name: Untrusted,
    /// Its user, in the initial user namespace.
    pub uid: Option<u32>,
    /// The file it runs.
    pub executable: Option<Untrusted>,
    /// The container it is in.
    pub container: Option<Box<str>>,
}

/// A process at work: which of its threads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// The process.
    pub process: Arc<Process>,
    /// The thread, in sockwatch's pid namespace.
    pub tid: Option<u32>,
    /// Whether it descends from the command that is traced.
    pub descendant: bool,
}

/// An errno. Its name is what users know.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Errno(pub i32);

impl Errno {
    /// From a kernel's positive number; `None` for 0.
    #[must_use]
    pub fn new(number: i32) -> Option<Self> {
        (number > 0).then_some(Self(number))
    }

    /// `EADDRINUSE` and so on; `E<number>` for what has no name.
    #[must_use]
    pub fn name(self) -> String {
        match nix::errno::Errno::from_raw(self.0) {
            nix::errno::Errno::UnknownErrno => format!("E{}", self.0),
            known => format!("{known:?}"),
        }
    }
}

/// What a socket counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Stats {
    /// In order; the peer's FIN counts one.
    pub received: u64,
    /// Acknowledged by the peer; our SYN (as active opener) and our FIN count one each.
    pub acked: u64,
    /// Smoothed round-trip time, eighths of a microsecond; 0: not measured.
    pub srtt: u32,
    /// Segments sent again.
    pub retransmits: u32,
    /// Of a listener: waiting to be accepted.
    pub queue: u32,
    /// Of a listener: the limit in force.
    pub backlog: u32,
    /// Of a listener: connections dropped.
    pub drops: u32,
    /// Received and not yet read by the process.
    pub unread: u32,
    /// Written and not yet acknowledged; our FIN counts one.
    pub unacked: u32,
    /// Pending error.
    pub error: Option<Errno>,
    /// Whether byte counts, times and retransmits could be read.
    pub counted: bool,
    /// The peer's FIN was received.
    pub fin_received: bool,
    /// No descriptor holds it any more.
    pub orphan: bool,
    /// Nobody can hold it: it waits to be accepted, or is an orphan.
    pub unheld: bool,
    /// No segment was ever sent.
    pub nothing_sent: bool,
}

/// A traced system call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the names say it")]
pub enum CallKind {
    Bind,
    Listen,
    Connect,
    Accept,
}

/// What happened to a socket beside its states.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mark {
    /// The kernel destroyed it.
    Destroyed,
    /// It sent a segment again.
    Retransmit,
    /// It sent a reset.
    ResetSent,
    /// It received a reset.
    ResetReceived,
}

/// Something the kernel reported. `P` is how it names a process: bare ids when decoded, an [`Actor`] once known.
#[derive(Clone, Debug, PartialEq)]
pub struct Event<P = Actor> {
    /// When.
    pub time: Time,
    /// What.
    pub what: What<P>,
}

/// See [`Event`].
#[derive(Clone, Debug, PartialEq)]
pub enum What<P = Actor> {
    /// To SYN_SENT, LISTEN, SYN_RECV or ESTABLISHED.
    Transition {
        /// The socket; its state is the old one.
        sock: Sock,
        /// The new state.
        to: State,
        /// Who listened or connected.
        by: Option<P>,
        /// If a traced call did it: when that was entered, and the descriptor.
        call: Option<(Time, i32)>,
        /// At ESTABLISHED: smoothed round-trip time, eighths of a microsecond.
        srtt: u32,
        /// At LISTEN: the limit in force.
        backlog: u32,
    },
    /// Another change of state, except to CLOSE.
    Step {
        /// The socket.
        key: Key,
        /// Its listener's id; 0: none.
        parent: u64,
        /// The old state.
        from: State,
        /// The new state.
        to: State,
        /// Who closed.
        by: Option<P>,
    },
    /// To CLOSE.
    Close {
        /// The socket; its state is the old one.
        sock: Sock,
        /// Who did it, if it was a process.
        by: Option<P>,
        /// Its counts.
        stats: Stats,
        /// Inside a traced call on this socket.
        in_call: bool,
    },
    /// Something else.
    Mark {
        /// The socket.
        key: Key,
        /// Token of the MPTCP socket that it is a subflow of; 0: none.
        mptcp: u64,
        /// Its state.
        state: State,
        /// What.
        mark: Mark,
    },
    /// A system call returned.
    Call {
        /// Which.
        call: CallKind,
        /// The socket (of a successful accept, the new one).
        sock: Sock,
        /// Who called.
        by: Option<P>,
        /// When the call was entered, if that was seen.
        called: Option<Time>,
        /// The descriptor.
        fd: Option<i32>,
        /// Why it failed.
        error: Option<Errno>,
        /// listen: the backlog given, and the limit in force.
        backlog: (i32, u32),
    },
    /// A process became another program.
    Exec {
        /// Who.
        by: Option<P>,
        /// The path; `None` if it is too long to be known whole.
        path: Option<Untrusted>,
    },
    /// A socket that exists.
    Exists {
        /// The socket.
        sock: Sock,
        /// Its counts.
        stats: Stats,
        /// The descriptor that holds it, if it was found by one.
        holder: Option<(P, i32)>,
    },
    /// Everything that exists was told by now.
    Surveyed,
    /// Events were lost.
    Lost {
        /// How many; none if that can't be known.
        count: Option<u64>,
        /// They were lost between this time and the event's.
        since: Time,
    },
}

impl<P> What<P> {
    /// The address, as a token, of the socket that it is about; none if it is about none.
    #[must_use]
    pub fn addr(&self) -> Option<u64> {
        match self {
            Self::Transition { sock, .. }
            | Self::Close { sock, .. }
            | Self::Call { sock, .. }
            | Self::Exists { sock, .. } => Some(sock.key.addr),
            Self::Step { key, .. } | Self::Mark { key, .. } => Some(key.addr),
            Self::Exec { .. } | Self::Surveyed | Self::Lost { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;

    #[test]
    fn an_address_and_port_are_written_as_everywhere() {
        for text in
            ["0.0.0.0:0", "10.0.0.4:80", "255.255.255.255:65535", "127.0.0.1:10000", "1.20.99.100:9", "[::1]:443"]
        {
            let end: SocketAddr = text.parse().unwrap();
            let end = Endpoint { address: end.ip(), port: end.port() };
            assert_eq!(end.to_string(), text);
            assert_eq!(format!("{end:>30}").trim_start(), text);
        }
    }
}
