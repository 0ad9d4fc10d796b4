//! Changes of state, and what happens beside them.

use nix::libc;

use super::{EIGHTH_US, Engine};
use crate::{
    event::{Actor, Errno, Key, Mark, Sock, State, Stats, Time, Transport},
    lifecycle::{
        SignalKind,
        life::{Life, Milestone, Phase, Role},
        verdict::By,
    },
};

impl Engine {
    pub(super) fn transition(&mut self, time: Time, sock: &Sock, to: State, opening: Opening) {
        if sock.state == State::Listen && to != State::Listen {
            self.born(time, sock.key);
        }
        if sock.mptcp != 0 && self.subflow(time, sock, to, (opening.srtt, opening.backlog)) {
            return;
        }
        let birth = matches!((sock.state, to), (State::Closed | State::Listen, _));
        let place = self.meet(time, sock, birth);
        let Opening { by, call, srtt, backlog } = opening;
        let fd = call.map(|(_, fd)| fd);
        let from = sock.state;
        let life = self.life(place);
        match to {
            State::SynSent => {
                self.part(place);
                let called = call.map_or(time, |(called, _)| called);
                let life = self.life(place);
                life.begin_again();
                life.role = Some(Role::Client);
                life.local = None;
                life.set_ends(sock.local, sock.peer);
                life.connect_called = Some(called);
                life.owner.clone_from(&by);
                life.fd = fd;
                // Until the call is over it may turn out that no SYN was sent.
                let milestone = Milestone {
                    phase: Phase::Connect,
                    time: called,
                    actor: by.clone(),
                    fd,
                    error: None,
                    asked: None,
                    then: None,
                };
                self.milestone(place, milestone);
            }
            State::Listen if from != State::Listen => {
                self.part(place);
                let life = self.life(place);
                life.begin_again();
                life.role = Some(Role::Listener);
                // It may have been connected before.
                life.peer = None;
                life.set_ends(sock.local, sock.peer);
                life.listening = Some(time);
                life.backlog = Some(backlog).filter(|_| sock.transport != Transport::Mptcp);
                life.owner.clone_from(&by);
                life.fd = fd;
                let id = life.key.id;
                self.listens_as(place, id);
                if call.is_none() {
                    // Not by a system call that is traced: nothing else will tell of it.
                    self.milestone(
                        place,
                        Milestone {
                            phase: Phase::Listen,
                            time,
                            actor: by.clone(),
                            fd,
                            error: None,
                            asked: None,
                            then: None,
                        },
                    );
                }
            }
            State::SynReceived => {
                life.set_ends(sock.local, sock.peer);
                if from == State::Listen {
                    life.role = Some(Role::Server);
                    self.milestone(place, kernel(Phase::SynReceived, time));
                    self.joins_queue(place);
                }
            }
            State::Established => {
                life.set_ends(sock.local, sock.peer);
                life.maybe_subflow = false;
                life.established = Some(time);
                match life.role {
                    Some(Role::Client) => {
                        life.connect_ns = life.connect_called.map(|called| time.saturating_sub(called));
                    }
                    None if from == State::SynSent => life.role = Some(Role::Client),
                    _ => {
                        life.role = Some(Role::Server);
                        life.handshake_ns = handshake(srtt);
                    }
                }
                if from == State::Listen {
                    // An MPTCP socket: made when its first subflow is, at the last ACK.
                    self.milestone(place, kernel(Phase::SynReceived, time));
                    self.joins_queue(place);
                }
                self.milestone(place, kernel(Phase::Established, time));
                self.pair(place);
            }
            _ => {}
        }
        self.state(place, time, (from, to), by);
    }

    pub(super) fn step(&mut self, time: Time, key: Key, parent: u64, (from, to): (State, State), by: Option<Actor>) {
        if self.subflows.contains(key.addr) {
            return;
        }
        let place = self.find_or_make(time, key, Transport::Tcp, false);
        let listener = self.listener_of(parent);
        let life = self.life(place);
        if parent != 0 {
            life.role = Some(Role::Server);
            self.came_from(place, listener);
        }
        let life = self.life(place);
        if (from, to) == (State::Closed, State::Closed) {
            // Of a socket that did something before it had to do with the port that is followed alone: its start is missing.
            return;
        }
        let first = match to {
            State::FinWait1 => Some(By::Local),
            State::CloseWait => Some(By::Peer),
            _ => None,
        };
        life.end.first_fin = life.end.first_fin.or(first);
        self.state(place, time, (from, to), by);
        if matches!(to, State::FinWait1 | State::LastAck) {
            self.taken(place);
        }
    }

    pub(super) fn close(&mut self, time: Time, sock: &Sock, by: Option<Actor>, stats: Stats, in_call: bool) {
        if self.subflows.contains(sock.key.addr) || sock.mptcp != 0 && !self.by_addr.contains_key(&sock.key.addr) {
            // Of a connect over MPTCP only its first subflow knows why it failed.
            if sock.state == State::SynSent
                && let Some(&place) = self.by_addr.get(&sock.mptcp)
            {
                let life = self.life(place);
                life.end.subflow_error = stats.error;
            }
            if sock.state == State::Listen {
                self.listening_subflow_closed(sock, stats);
            }
            return;
        }
        let from = sock.state;
        if from == State::Closed {
            self.aborted(sock, stats);
            return;
        }
        let place = self.meet(time, sock, false);
        let listener = self.listeners.get(&sock.parent).and_then(|&place| self.lives[place].awake());
        let listener = listener.map(|slot| &slot.life);
        let listener_gone = sock.parent != 0 && listener.is_none_or(|listener| listener.state != State::Listen);
        let life = self.life(place);
        if sock.parent != 0 {
            life.role = Some(Role::Server);
        }
        life.set_ends(sock.local, sock.peer);
        if from == State::Listen && in_call && life.listening.is_some() {
            // listen() itself gives up; it returns the reason.
            life.role = None;
            life.listening = None;
            self.state(place, time, (from, State::Closed), by);
            return;
        }
        life.listening = None;
        life.end.from = Some(from);
        life.end.listener_gone = listener_gone;
        if from == State::Listen && life.transport == Transport::Tcp {
            life.limit(stats.backlog);
        }
        let stats = Stats { error: stats.error.or(life.end.subflow_error), ..life.counted_below(stats) };
        life.stats = Some(stats);
        if from == State::SynSent {
            life.connect_ns = life.connect_called.map(|called| time.saturating_sub(called));
            if stats.nothing_sent && stats.error.is_none() {
                // The connect failed before its SYN. The call's return value follows, where there is a call.
                life.end.connect_failed = Some(None);
                self.state(place, time, (from, State::Closed), by);
                return;
            }
        }
        let actor = by.clone();
        let milestone = Milestone { phase: Phase::Close, time, actor, fd: None, error: None, asked: None, then: None };
        self.milestone(place, milestone);
        self.state(place, time, (from, State::Closed), by);
        if !stats.unheld {
            self.taken(place);
        }
        self.leaves_queue(place);
        let Life { transport, key: Key { addr, .. }, .. } = *self.life(place);
        if transport == Transport::Sctp || transport == Transport::Mptcp && !self.subflows.carry(addr) {
            // Nothing else tells of its destruction.
            self.end(time, place);
        }
    }

    /// A socket that was closed already is given an error: an administrator ended a listener (`tcp_abort`).
    fn aborted(&mut self, sock: &Sock, stats: Stats) {
        let Some(&place) = self.by_addr.get(&sock.key.addr) else { return };
        let life = self.life(place);
        if life.end.from == Some(State::Listen)
            && stats.error == Errno::new(libc::ECONNABORTED)
            && let Some(told) = &mut life.stats
        {
            told.error = stats.error;
        }
    }

    pub(super) fn mark(&mut self, time: Time, key: Key, mptcp: u64, state: State, mark: Mark) {
        let known = self.by_addr.contains_key(&key.addr);
        if let Some(socket) = self.subflows.socket(key.addr).or((mptcp != 0 && !known).then_some(mptcp)) {
            self.subflow_mark(time, key.addr, socket, mark);
            return;
        }
        let Some(place) = self.find(time, key) else {
            if mark == Mark::ResetSent {
                self.reset_when_gone(key);
            }
            return;
        };
        if mark == Mark::Destroyed {
            self.end(time, place);
            return;
        }
        let life = self.life(place);
        let kind = signal_of(mark);
        // A listener answers strange segments with resets; they are not its end.
        if state != State::Listen {
            life.end.reset_sent |= mark == Mark::ResetSent;
            life.end.reset_received |= mark == Mark::ResetReceived;
        }
        // A reset that follows a process's close comes of the same call (`tcp_close`, `tcp_disconnect`): afterwards the
        // socket is reached by no packet.
        let closer = life.newest().filter(|last| last.phase == Phase::Close && kind == SignalKind::ResetSent);
        let closer = closer.and_then(|close| close.actor.clone());
        self.signal(place, time, kind, closer);
    }

    /// An orphan that waits for nothing more answers its peer with a reset when it is destroyed already
    /// (`tcp_rcv_state_process` in FIN_WAIT1, behind `tcp_done`). It is not told yet.
    fn reset_when_gone(&mut self, key: Key) {
        let gone = self.gone.iter().rev().find(|(gone, ..)| *gone == key && key.id != 0);
        let Some((_, place, number)) = gone.copied() else { return };
        if self.known((place, number)).is_some() {
            self.life(place).end.reset_sent = true;
        }
    }
}

pub(super) fn signal_of(mark: Mark) -> SignalKind {
    match mark {
        Mark::ResetSent => SignalKind::ResetSent,
        Mark::ResetReceived => SignalKind::ResetReceived,
        Mark::Retransmit | Mark::Destroyed => SignalKind::Retransmit,
    }
}

/// The time of a handshake. Of a connection that a SYN cookie made the kernel knows no time but that of a timestamp, whose
/// lowest bits the cookie took for itself (`cookie_init_timestamp`): up to 64 ms too long. Such times are whole milliseconds,
/// and so is one in a thousand of the others.
pub(super) fn handshake(srtt: u32) -> Option<u64> {
    const MILLISECOND: u32 = 8 * 1000;
    (!srtt.is_multiple_of(MILLISECOND)).then_some(u64::from(srtt) * EIGHTH_US)
}

/// A milestone that the kernel reached by itself.
fn kernel(phase: Phase, time: Time) -> Milestone {
    Milestone { phase, time, actor: None, fd: None, error: None, asked: None, then: None }
}

/// What comes with a transition.
pub(super) struct Opening {
    pub(super) by: Option<Actor>,
    pub(super) call: Option<(Time, i32)>,
    pub(super) srtt: u32,
    pub(super) backlog: u32,
}
