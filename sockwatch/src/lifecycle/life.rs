//! One socket's life.

use std::{collections::VecDeque, sync::Arc};

use super::verdict::{self, End, Verdict};
use crate::event::{Actor, Endpoint, Errno, Family, Key, Process, State, Stats, Time, Transport};

/// Most milestones kept of one socket. One that connects again and again, or a listener whose every accept fails, goes on
/// beyond it: then the newest are told but not kept, and counted.
const LONGEST_PATH: usize = 256;

/// The place of the newest in a path that is full.
const LAST: usize = LONGEST_PATH - 1;

/// As a count of milestones.
const LAST_NTH: u64 = LAST as u64;

/// More than any run comes near: what was numbered beyond it is nonsense, and would not leave room to count on.
pub(super) const MOST_NUMBERS: u64 = 1 << 62;

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
#[derive(Clone, Debug, PartialEq)]
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
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Then {
    /// Its own end.
    pub local: Option<Endpoint>,
    /// The other end.
    pub peer: Option<Endpoint>,
    /// How it ended.
    pub verdict: Option<Verdict>,
}

/// A process that holds a socket.
#[derive(Clone, Debug, PartialEq)]
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
#[derive(Clone, Debug, PartialEq)]
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
    /// It ended in a gap of its recording: when and how is not known.
    pub vanished: bool,

    // From here on: what the engine goes on from. Public for checkpoints alone.
    /// What names it in the kernel's records.
    pub key: Key,
    /// When the last connect was called.
    pub connect_called: Option<Time>,
    /// When it was established.
    pub established: Option<Time>,
    /// When it began to listen, until the call that did it returns.
    pub listening: Option<Time>,
    /// What was seen of its end.
    pub end: End,
    /// Whether its start was seen, or is older than the trace.
    pub begun: bool,
    /// The state that the last change led to.
    pub last_change: Option<State>,
    /// It may turn out to be a subflow of an MPTCP listener.
    pub maybe_subflow: bool,
    /// Milestones that were not told yet, behind a path that is full.
    pub beyond: VecDeque<Milestone>,
    /// Which milestone is the last connect, counted from the first of all.
    pub last_connect: Option<u64>,
    /// Whether an accept of it succeeded.
    pub accept_seen: bool,
    /// Whether a process had it though no accept was seen.
    pub taken: bool,
    /// Whether a bind, listen or connect of it failed.
    pub failure_seen: bool,
    /// The ids that children name it with.
    pub listens_as: Vec<u64>,
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
            vanished: false,
            key,
            connect_called: None,
            established: None,
            listening: None,
            end: End::default(),
            begun: true,
            last_change: None,
            maybe_subflow: false,
            beyond: VecDeque::new(),
            last_connect: None,
            accept_seen: false,
            taken: false,
            failure_seen: false,
            listens_as: Vec::new(),
        }
    }

    /// How it ended; none while it is open.
    #[must_use]
    pub fn verdict(&self) -> Option<Verdict> {
        verdict::of(self)
    }

    /// Whether it was accepted, by a call that was seen or not.
    #[must_use]
    pub fn was_accepted(&self) -> bool {
        self.accept_seen || self.taken
    }

    /// Whether it came in through a listener in this run, or waited there when the run began, and was not accepted.
    pub(super) fn is_waiting_child(&self) -> bool {
        let came = self.origin == Origin::Traced || self.holders.as_ref().is_some_and(Vec::is_empty);
        self.role == Some(Role::Server) && came && !self.was_accepted()
    }

    /// Whether it may be in the accept queue.
    pub(super) fn may_wait(&self) -> bool {
        self.is_waiting_child() && self.end.from.is_none() && self.destroyed.is_none()
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

    /// Segments sent again. Of MPTCP its subflows count them, each for itself.
    #[must_use]
    pub fn retransmits(&self) -> Option<u32> {
        self.stats.filter(|stats| stats.counted && self.transport == Transport::Tcp).map(|stats| stats.retransmits)
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

    /// What waits in its queues, as `ss` shows them: bytes received that the process has not read, and bytes sent that the
    /// peer has not acknowledged (a SYN or FIN counts one); of a listener, connections that wait to be accepted, and the
    /// most that may.
    #[must_use]
    pub fn queues(&self) -> Option<(u32, u32)> {
        let stats = self.stats?;
        if self.state == State::Listen {
            return Some((stats.queue, stats.backlog));
        }
        // It is not negative: what was read ends where what was received does, or before.
        (stats.counted && self.transport == Transport::Tcp).then_some((stats.unread, stats.unacked))
    }

    /// Whether a bind, listen or connect of it failed.
    #[must_use]
    pub fn has_failed_call(&self) -> bool {
        self.failure_seen
    }

    /// How many milestones are kept.
    pub(super) fn kept(&self) -> usize {
        self.path.len() + self.beyond.len()
    }

    /// The newest milestone.
    pub(super) fn newest(&self) -> Option<&Milestone> {
        self.beyond.back().or_else(|| self.path.last())
    }

    /// Adds a milestone; returns which one it is, counted from the first of all.
    pub(super) fn add(&mut self, milestone: Milestone) -> u64 {
        let nth = self.path_omitted + self.kept() as u64;
        match milestone.phase {
            Phase::Accept => self.accept_seen |= milestone.error.is_none(),
            _ => self.failure_seen |= milestone.error.is_some(),
        }
        if milestone.phase == Phase::Connect {
            self.last_connect = Some(nth);
        }
        if self.path.len() < LONGEST_PATH {
            self.path.push(milestone);
        } else {
            self.beyond.push_back(milestone);
        }
        nth
    }

    /// The last connect came to nothing.
    pub(super) fn connect_failed(&mut self, error: Option<Errno>) {
        self.failure_seen |= error.is_some();
        if let Some(connect) = self.last_connect.and_then(|nth| self.nth_mut(nth)) {
            connect.error = error;
        }
    }

    /// Where the milestone of this count is in the path and what is beyond it, if it is still there.
    fn index(&self, nth: u64) -> Option<usize> {
        let index = match nth {
            0..LAST_NTH => nth,
            _ => nth.checked_sub(self.path_omitted).filter(|&index| index >= LAST_NTH)?,
        };
        usize::try_from(index).ok().filter(|&index| index < self.kept())
    }

    /// The milestone of this count, if it is still there.
    pub(super) fn nth(&self, nth: u64) -> Option<&Milestone> {
        let index = self.index(nth)?;
        self.path.get(index).or_else(|| self.beyond.get(index - self.path.len()))
    }

    fn nth_mut(&mut self, nth: u64) -> Option<&mut Milestone> {
        let index = self.index(nth)?;
        let beyond = index.checked_sub(self.path.len());
        beyond.map_or_else(|| self.path.get_mut(index), |index| self.beyond.get_mut(index))
    }

    /// Where it is in the path when it is told. Beyond the most that are kept it takes the last place from the one told
    /// before.
    pub(super) fn settle(&mut self, nth: u64) -> Option<usize> {
        let index = self.index(nth)?;
        if index < self.path.len() {
            return Some(index);
        }
        let over = index + 1 - self.path.len();
        if let (Some(newest), Some(last)) = (self.beyond.drain(..over).next_back(), self.path.last_mut()) {
            *last = newest;
            self.path_omitted += over as u64;
            self.told = told_of(self.told, over);
        }
        Some(index - over)
    }

    /// Where it is in the path, if it has settled.
    pub(super) fn settled(&self, nth: u64) -> Option<usize> {
        self.index(nth).filter(|&index| index < self.path.len())
    }

    /// Goes on from what was followed of it up to a gap, and told.
    pub(super) fn follow(&mut self, before: &Self) {
        let over = self.path_omitted.saturating_sub(before.path_omitted);
        self.told = told_of(before.told, usize::try_from(over).unwrap_or(usize::MAX)).min(self.path.len());
        self.complete &= before.complete;
    }

    /// Puts right what no engine leaves so.
    pub(super) fn mend(&mut self) {
        let mut all: VecDeque<Milestone> = std::mem::take(&mut self.path).into();
        all.append(&mut self.beyond);
        self.beyond = all.split_off(all.len().min(LONGEST_PATH));
        self.path = all.into();
        let full = self.path.len() == LONGEST_PATH;
        self.path_omitted = if full { self.path_omitted.min(MOST_NUMBERS) } else { 0 };
        self.told = self.told.min(self.path.len());
        self.vanished = false;
    }

    /// Its path with all that was not told yet: it is over.
    pub(super) fn make_whole(&mut self) {
        self.path.extend(self.beyond.drain(..));
    }

    /// Whether it ended without the change to CLOSE that a socket which connected or listened goes through.
    pub(super) fn is_close_missing(&self) -> bool {
        self.role.is_some() && self.end.from.is_none() && self.end.connect_failed.is_none()
    }

    /// The limit in force. Another than the last listen() made it was given by one that was not seen, and so how much that
    /// was given.
    pub(super) fn limit(&mut self, backlog: u32) {
        if self.backlog.replace(backlog).is_some_and(|before| before != backlog) {
            self.backlog_given = None;
        }
    }

    /// Counts as the kernel has them of this socket, with those that it has of what carries it: of an MPTCP listener, of the
    /// TCP listener beneath.
    pub(super) fn counted_below(&self, stats: Stats) -> Stats {
        match self.stats {
            Some(Stats { queue, backlog, drops, .. })
                if self.transport == Transport::Mptcp && self.role == Some(Role::Listener) =>
            {
                Stats { queue, backlog, drops, ..stats }
            }
            _ => stats,
        }
    }

    pub(super) fn set_ends(&mut self, local: Endpoint, peer: Endpoint) {
        if local.port != 0 {
            self.local = Some(local);
        }
        if peer.port != 0 {
            self.peer = Some(peer);
        }
    }

    /// The socket gets other ends: those that it has are of what it did so far.
    pub(super) fn keep_ends(&mut self) {
        let then = Then { local: self.local, peer: self.peer, verdict: self.verdict() };
        let newest_first = self.beyond.iter_mut().rev().chain(self.path.iter_mut().rev());
        for milestone in newest_first.take_while(|milestone| milestone.then.is_none()) {
            milestone.then = Some(Box::new(then));
        }
    }

    /// What a new connect or listen on the same socket starts from.
    pub(super) fn begin_again(&mut self) {
        self.keep_ends();
        self.end = End::default();
        self.connect_ns = None;
        self.established = None;
        self.handshake_ns = None;
        self.stats = None;
        self.peer_socket = None;
    }
}

/// How many of a path were told, now that as many of its last were dropped.
fn told_of(told: usize, dropped: usize) -> usize {
    told.min(LAST).max(told.saturating_sub(dropped))
}
