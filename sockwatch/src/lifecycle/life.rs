//! One socket's life.

use std::sync::Arc;

use super::verdict::{self, End, Verdict};
use crate::event::{Actor, Endpoint, Errno, Family, Key, Process, State, Stats, Time, Transport};

/// Most milestones kept of one socket. One that connects again and again, or a listener whose every accept fails, goes on
/// beyond it: then the newest are told but not kept, and counted.
const LONGEST_PATH: usize = 256;

/// The place of the newest in a path that is full.
const LAST: usize = LONGEST_PATH - 1;

/// What a socket is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Role {
    Listener,
    Server,
    Client,
}

impl Role {
    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Listener => "listener",
            Self::Server => "server",
            Self::Client => "client",
        }
    }
}

/// How a life came to be known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Origin {
    /// Seen from its start.
    Traced,
    /// It existed before.
    Snapshot,
}

/// A step in a socket's life.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Phase {
    Bind,
    Listen,
    Connect,
    SynReceived,
    Established,
    Accept,
    Close,
}

impl Phase {
    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Bind => "bind",
            Self::Listen => "listen",
            Self::Connect => "connect",
            Self::SynReceived => "syn_received",
            Self::Established => "established",
            Self::Accept => "accept",
            Self::Close => "close",
        }
    }
}

/// A step that was taken, or failed.
#[derive(Clone, Debug)]
pub struct Milestone {
    /// Which.
    pub phase: Phase,
    /// When.
    pub time: Time,
    /// Who did it; none where the kernel did.
    pub actor: Option<Actor>,
    /// The descriptor it was done with.
    pub fd: Option<i32>,
    /// Why it failed.
    pub error: Option<Errno>,
    /// Of a bind: the address it got, or where it failed the one asked for.
    pub asked: Option<Endpoint>,
    /// What held then, where the socket connected or listened again since.
    pub then: Option<Box<Then>>,
}

/// What held of a socket before it started again.
#[derive(Clone, Copy, Debug)]
pub struct Then {
    /// Its own end.
    pub local: Option<Endpoint>,
    /// The other end.
    pub peer: Option<Endpoint>,
    /// How it ended.
    pub verdict: Option<Verdict>,
}

/// A process that holds a socket.
#[derive(Clone, Debug)]
pub struct Holder {
    /// Who.
    pub process: Arc<Process>,
    /// As which descriptor.
    pub fd: i32,
}

/// Payload counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bytes {
    /// Received in order.
    pub received: u64,
    /// Acknowledged by the peer.
    pub sent: u64,
}

/// What is known of a socket.
#[derive(Debug)]
pub struct Life {
    /// Its number in this run: the id that users see is `s` and this.
    pub number: u64,
    /// How many of its milestones were shown: for whoever shows them.
    pub told: usize,
    /// The kernel's cookie.
    pub cookie: Option<u64>,
    /// Inode of its network namespace; none while no record told.
    pub netns: Option<u32>,
    /// Transport.
    pub transport: Transport,
    /// Address family.
    pub family: Option<Family>,
    /// What it is for; none for one that neither listened nor connected.
    pub role: Option<Role>,
    /// Its own end.
    pub local: Option<Endpoint>,
    /// The other end.
    pub peer: Option<Endpoint>,
    /// Number of the listening socket it came from.
    pub listener: Option<u64>,
    /// Number of the socket at the other end, where that is on this host.
    pub peer_socket: Option<u64>,
    /// Who listened, connected or accepted; before that, who bound.
    pub owner: Option<Actor>,
    /// The owner's descriptor.
    pub fd: Option<i32>,
    /// Its milestones.
    pub path: Vec<Milestone>,
    /// Milestones beyond those kept.
    pub path_omitted: u64,
    /// Its last state.
    pub state: State,
    /// Its first event.
    pub first: Time,
    /// When the kernel destroyed it.
    pub destroyed: Option<Time>,
    /// SYN-ACK sent to its ACK received, nanoseconds, as the kernel measured.
    pub handshake_ns: Option<u64>,
    /// Established to accepted.
    pub accept_queue_ns: Option<u64>,
    /// Connect called to established or failed.
    pub connect_ns: Option<u64>,
    /// Last counts read.
    pub stats: Option<Stats>,
    /// Connections accepted from it in this run.
    pub accepted: u64,
    /// The backlog that listen() was given.
    pub backlog_given: Option<i32>,
    /// The limit in force.
    pub backlog: Option<u32>,
    /// How it came to be known.
    pub origin: Origin,
    /// Whether every event that concerned it was received, as far as is known.
    pub complete: bool,
    /// Whether it belongs to the command that is traced.
    pub descendant: bool,
    /// Who held it when it was found; none if that is not known.
    pub holders: Option<Vec<Holder>>,
    pub(super) key: Key,
    pub(super) connect_called: Option<Time>,
    pub(super) established: Option<Time>,
    pub(super) listening: Option<Time>,
    pub(super) end: End,
    pub(super) subflows: u32,
    pub(super) begun: bool,
    /// The state that the last change led to.
    pub(super) last_change: Option<State>,
    pub(super) maybe_subflow: bool,
    pub(super) parent: Option<(usize, u64)>,
    /// The ids that children name it with.
    pub(super) listens_as: Vec<u64>,
    /// The ends under which its other end is looked for.
    pub(super) unpaired: Option<(Endpoint, Endpoint)>,
}

impl Life {
    pub(super) fn new(number: u64, key: Key, transport: Transport, origin: Origin, first: Time) -> Self {
        Self {
            number,
            told: 0,
            cookie: None,
            netns: None,
            transport,
            family: None,
            role: None,
            local: None,
            peer: None,
            listener: None,
            peer_socket: None,
            owner: None,
            fd: None,
            path: Vec::new(),
            path_omitted: 0,
            state: State::Closed,
            first,
            destroyed: None,
            handshake_ns: None,
            accept_queue_ns: None,
            connect_ns: None,
            stats: None,
            accepted: 0,
            backlog_given: None,
            backlog: None,
            origin,
            complete: true,
            descendant: false,
            holders: None,
            key,
            connect_called: None,
            established: None,
            listening: None,
            end: End::default(),
            subflows: 0,
            begun: true,
            last_change: None,
            maybe_subflow: false,
            parent: None,
            listens_as: Vec::new(),
            unpaired: None,
        }
    }

    /// How it ended; none while it is open.
    #[must_use]
    pub fn verdict(&self) -> Option<Verdict> {
        verdict::of(self)
    }

    /// Whether it was accepted.
    #[must_use]
    pub fn was_accepted(&self) -> bool {
        self.path.iter().any(|milestone| milestone.phase == Phase::Accept && milestone.error.is_none())
    }

    /// Whether it ever was connected.
    #[must_use]
    pub fn was_established(&self) -> bool {
        self.established.is_some()
            || self.origin == Origin::Snapshot && self.peer.is_some() && self.role != Some(Role::Listener)
    }

    /// Payload received and sent, as far as it was counted. The kernel counts the peer's FIN as a byte received, and as
    /// bytes acknowledged our FIN and, of the side that sent it, the SYN (`tcp_snd_una_update` and `tcp_rcv_nxt_update` in
    /// net/ipv4/tcp_input.c).
    #[must_use]
    pub fn bytes(&self) -> Option<Bytes> {
        let stats = self.stats.filter(|stats| stats.counted && self.role != Some(Role::Listener))?;
        self.role?;
        let state = self.end.from.unwrap_or(self.state);
        let fin_sent = matches!(state, State::FinWait1 | State::FinWait2 | State::Closing | State::LastAck);
        let fin = u64::from(fin_sent && stats.unacked == 0);
        if self.transport != Transport::Tcp {
            // MPTCP counts its DATA_FIN as acknowledged, but neither a SYN nor the peer's DATA_FIN.
            let fin = fin * u64::from(state != State::FinWait1);
            return Some(Bytes { received: stats.received, sent: stats.acked.saturating_sub(fin) });
        }
        let syn = u64::from(self.role == Some(Role::Client) && self.was_established());
        Some(Bytes {
            received: stats.received.saturating_sub(stats.fin_received.into()),
            sent: stats.acked.saturating_sub(fin + syn),
        })
    }

    /// Smoothed round-trip time in microseconds.
    #[must_use]
    pub fn rtt_us(&self) -> Option<u32> {
        self.stats.filter(|stats| stats.counted && stats.srtt > 0).map(|stats| stats.srtt >> 3)
    }

    /// First event to destruction, nanoseconds.
    #[must_use]
    pub fn lifetime_ns(&self) -> Option<u64> {
        (self.origin == Origin::Traced).then_some(self.destroyed?.saturating_sub(self.first))
    }

    /// Whether a bind, listen or connect of it failed.
    #[must_use]
    pub fn has_failed_call(&self) -> bool {
        self.path.iter().any(|milestone| milestone.error.is_some() && milestone.phase != Phase::Accept)
    }

    /// Adds a milestone; returns which one it is, counted from the first of all.
    pub(super) fn add(&mut self, milestone: Milestone) -> u64 {
        self.path.push(milestone);
        self.path_omitted + self.path.len() as u64 - 1
    }

    /// Where the milestone of this count is in the path, if it is still there.
    pub(super) fn index(&self, nth: u64) -> Option<usize> {
        if nth < LAST as u64 {
            return Some(nth as usize);
        }
        nth.checked_sub(self.path_omitted).map(|index| index as usize).filter(|&index| index >= LAST)
    }

    /// Where it is when it is told. Beyond the most that are kept it takes the last place from the one told before.
    pub(super) fn settle(&mut self, nth: u64) -> Option<usize> {
        let index = self.index(nth)?;
        let over = index.saturating_sub(LAST);
        self.path.drain(index - over..index);
        self.path_omitted += over as u64;
        self.told = self.told.min(LAST).max(self.told.saturating_sub(over));
        Some(index - over)
    }

    /// Whether it ended without the change to CLOSE that a socket which connected or listened goes through.
    pub(super) fn is_close_missing(&self) -> bool {
        self.role.is_some() && self.end.from.is_none() && self.end.connect_failed.is_none()
    }

    pub(super) fn set_ends(&mut self, local: Endpoint, peer: Endpoint) {
        if local.port != 0 {
            self.local = Some(local);
        }
        if peer.port != 0 {
            self.peer = Some(peer);
        }
    }

    /// What a new connect or listen on the same socket starts from.
    pub(super) fn begin_again(&mut self) {
        let then = Then { local: self.local, peer: self.peer, verdict: self.verdict() };
        for milestone in self.path.iter_mut().rev().take_while(|milestone| milestone.then.is_none()) {
            milestone.then = Some(Box::new(then));
        }
        self.end = End::default();
        self.connect_ns = None;
        self.established = None;
        self.handshake_ns = None;
        self.stats = None;
        self.peer_socket = None;
    }
}
