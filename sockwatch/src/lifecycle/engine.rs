//! The state machine that turns events into lives.

mod calls;
mod mptcp;
mod survey;

use std::collections::HashMap;

use calls::Called;

use super::{
    Report, Signal, SignalKind,
    kin::{self, Ends},
    life::{Life, Milestone, Origin, Phase, Role},
    losses::Losses,
    timeline::{Entry, Tell, Timeline},
    verdict::By,
};
use crate::event::{Actor, Event, Key, Mark, Sock, State, Stats, Time, Transport, What};

/// The unit of the kernel's round-trip times, an eighth of a microsecond, in nanoseconds.
const EIGHTH_US: u64 = 125;

/// Turns events into lives. See the module's documentation.
#[derive(Debug, Default)]
pub struct Engine {
    /// Places of lives; a free place is none.
    lives: Vec<Option<Life>>,
    free: Vec<usize>,
    /// Whose `struct sock` is at an address now. Bounded by the sockets that exist, even if every end is missed: an
    /// address is used again, and then names the new one.
    by_addr: HashMap<u64, usize>,
    /// Listeners by the ids that their children name them with.
    listeners: HashMap<u64, usize>,
    /// Subflows of MPTCP sockets, by the address of the subflow: the address of the MPTCP socket.
    subflows: HashMap<u64, u64>,
    ends: Ends,
    timeline: Timeline,
    losses: Losses,
    /// Whether everything that exists was told of.
    surveyed: bool,
    pending_losses: Vec<(u64, Time, Time)>,
    last_number: u64,
}

impl Engine {
    /// An engine that knows of no socket.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes one event.
    pub fn event(&mut self, event: Event) {
        let Event { time, what } = event;
        match what {
            What::Transition { sock, to, by, call, srtt, backlog } => {
                self.transition(time, &sock, to, Opening { by, call, srtt, backlog });
            }
            What::Step { key, parent, from, to, by } => self.step(time, key, parent, (from, to), by),
            What::Close { sock, by, stats, in_call } => self.close(time, &sock, by, stats, in_call),
            What::Mark { key, mptcp, state, mark } => self.mark(time, key, mptcp, state, mark),
            What::Call { call, sock, by, called, fd, error, backlog } => {
                self.call(time, call, &sock, Called { by, called, fd, error, backlog });
            }
            What::Exec { .. } => {}
            What::Exists { sock, stats, holder } => self.exists(time, &sock, stats, holder),
            What::Surveyed => self.surveyed(),
            What::Lost { count, since } => {
                self.losses.add(since, time);
                self.pending_losses.push((count, since, time));
            }
        }
    }

    /// Tells what is settled, now that every event up to `now` was given.
    pub fn advance(&mut self, now: Time, tell: &mut dyn FnMut(Report<'_>)) {
        for (count, since, until) in self.pending_losses.drain(..) {
            tell(Report::Lost { count, since, until });
        }
        loop {
            let lives = &self.lives;
            let Some(entry) = self.timeline.pop(now, |entry| is_open(lives, entry)) else { break };
            self.tell(entry, tell);
        }
    }

    /// Ends the run: tells all that waits, then every socket that is still there.
    pub fn finish(&mut self, tell: &mut dyn FnMut(Report<'_>)) {
        self.advance(Time::MAX, tell);
        let mut rest: Vec<usize> = (0..self.lives.len()).filter(|&place| self.lives[place].is_some()).collect();
        rest.sort_unstable_by_key(|&place| self.lives[place].as_ref().map(|life| life.number));
        for place in rest {
            if let Some(mut life) = self.remove(place) {
                self.judge(&mut life);
                tell(Report::Socket(&mut life));
            }
        }
        // What is left are subflows of MPTCP sockets that were never seen.
        self.subflows.clear();
    }

    /// How many sockets it knows of.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lives.len() - self.free.len()
    }

    /// Whether nothing is kept in memory of any socket.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let Self { by_addr, listeners, subflows, ends, .. } = self;
        self.len() == 0 && by_addr.is_empty() && listeners.is_empty() && subflows.is_empty() && ends.is_empty()
    }

    fn tell(&mut self, entry: Entry, tell: &mut dyn FnMut(Report<'_>)) {
        let (place, number) = entry.life;
        let place_of_life = self.lives.get_mut(place).and_then(Option::as_mut);
        let Some(life) = place_of_life.filter(|life| life.number == number) else { return };
        match entry.what {
            Tell::Milestone(nth) => {
                if let Some(index) = life.settle(nth) {
                    tell(Report::Milestone { life, index });
                }
            }
            Tell::Signal(signal) => tell(Report::Signal { life, signal: &signal }),
            Tell::End => {
                if let Some(mut life) = self.remove(place) {
                    self.judge(&mut life);
                    tell(Report::Socket(&mut life));
                }
            }
        }
    }

    /// Whether anything that concerned a life may have been lost. What was first seen in the midst of its life may have
    /// lost its beginning at any time before.
    fn judge(&self, life: &mut Life) {
        let from = if life.begun { life.first } else { 0 };
        let close_missed = life.destroyed.is_some() && life.is_close_missing();
        life.complete &= life.begun && !close_missed;
        life.complete &= !self.losses.touch(from, life.destroyed.unwrap_or(Time::MAX));
    }

    // Finding and making lives.

    fn life(&mut self, place: usize) -> &mut Life {
        self.lives[place].as_mut().expect("a place that a map leads to holds a life")
    }

    /// The life of a socket, if it is known. A life at the same address with another id is over: its end was missed.
    fn find(&mut self, time: Time, key: Key) -> Option<usize> {
        let place = *self.by_addr.get(&key.addr)?;
        let life = self.life(place);
        if key.id != 0 && life.key.id == 0 {
            life.key.id = key.id;
        }
        if key.id == 0 || life.key.id == key.id {
            return Some(place);
        }
        life.complete = false;
        self.end(time, place);
        None
    }

    /// A listener's child is new: a socket that was only bound, and has no id, can't be this one. Its end was missed.
    fn born(&mut self, time: Time, key: Key) {
        if let Some(&place) = self.by_addr.get(&key.addr)
            && self.life(place).key.id != key.id
        {
            self.life(place).complete = false;
            self.end(time, place);
        }
    }

    fn find_or_make(&mut self, time: Time, key: Key, transport: Transport, birth: bool) -> usize {
        if let Some(place) = self.find(time, key) {
            return place;
        }
        self.last_number += 1;
        // Not its first step: it is older than the trace, or its start was lost.
        let origin = if birth { Origin::Traced } else { Origin::Snapshot };
        let mut life = Life::new(self.last_number, key, transport, origin, time);
        life.begun = birth || !self.surveyed;
        let place = match self.free.pop() {
            Some(place) => {
                self.lives[place] = Some(life);
                place
            }
            None => {
                self.lives.push(Some(life));
                self.lives.len() - 1
            }
        };
        self.by_addr.insert(key.addr, place);
        place
    }

    /// As above, with what the record tells of the socket.
    fn meet(&mut self, time: Time, sock: &Sock, birth: bool) -> usize {
        let place = self.find_or_make(time, sock.key, sock.transport, birth);
        if sock.mptcp == 0 {
            self.subflows.remove(&sock.key.addr);
        }
        let listener = self.listener_of(sock.parent);
        let life = self.life(place);
        life.transport = sock.transport;
        life.netns = Some(sock.netns);
        life.family = Some(sock.family);
        if sock.cookie != 0 {
            life.cookie = Some(sock.cookie);
        }
        if life.parent.is_none() {
            life.parent = listener;
            life.listener = listener.map(|(_, number)| number);
        }
        place
    }

    /// Place and number of the listener that a child's record names.
    fn listener_of(&mut self, id: u64) -> Option<(usize, u64)> {
        let place = *self.listeners.get(&id).filter(|_| id != 0)?;
        Some((place, self.life(place).number))
    }

    /// The kernel destroyed a socket: its life is told, and then forgotten.
    fn end(&mut self, time: Time, place: usize) {
        let life = self.life(place);
        let last = life.path.last().map_or(life.first, |milestone| milestone.time);
        life.destroyed = Some(time);
        let number = life.number;
        let addr = life.key.addr;
        if self.by_addr.get(&addr) == Some(&place) {
            self.by_addr.remove(&addr);
        }
        self.timeline.push(Entry { time: time.max(last), life: (place, number), what: Tell::End });
    }

    fn remove(&mut self, place: usize) -> Option<Life> {
        let life = self.lives[place].take()?;
        self.free.push(place);
        if self.by_addr.get(&life.key.addr) == Some(&place) {
            self.by_addr.remove(&life.key.addr);
        }
        for id in &life.listens_as {
            if self.listeners.get(id) == Some(&place) {
                self.listeners.remove(id);
            }
        }
        if life.subflows > 0 {
            self.subflows.retain(|_, socket| *socket != life.key.addr);
        }
        if let Some((local, peer)) = life.unpaired {
            self.ends.remove(local, peer, place);
        }
        if self.lives.len() == self.free.len() {
            self.lives.clear();
            self.free.clear();
        }
        Some(life)
    }

    // Telling.

    fn milestone(&mut self, place: usize, milestone: Milestone) {
        let time = milestone.time;
        let family = self.life(place).parent.and_then(|(parent, number)| {
            self.lives[parent].as_ref().filter(|parent| parent.number == number).map(|parent| parent.descendant)
        });
        let life = self.life(place);
        life.descendant |= family == Some(true) || milestone.actor.as_ref().is_some_and(|actor| actor.descendant);
        let number = life.number;
        let nth = life.add(milestone);
        self.timeline.push(Entry { time, life: (place, number), what: Tell::Milestone(nth) });
    }

    fn signal(&mut self, place: usize, time: Time, kind: SignalKind, actor: Option<Actor>) {
        let life = self.life(place);
        let signal = Signal { time, kind, actor, local: life.local, peer: life.peer };
        let number = life.number;
        self.timeline.push(Entry { time, life: (place, number), what: Tell::Signal(Box::new(signal)) });
    }

    fn state(&mut self, place: usize, time: Time, (from, to): (State, State), actor: Option<Actor>) {
        let life = self.life(place);
        // Of TCP the kernel reports every change: where one does not begin where the last one ended, one is missing,
        // whatever the counters of losses say.
        if life.transport == Transport::Tcp && life.last_change.is_some_and(|last| last != from) {
            life.complete = false;
        }
        life.last_change = Some(to);
        life.state = to;
        self.signal(place, time, SignalKind::State { from, to }, actor);
    }

    /// Looks for the socket at the other end.
    fn pair(&mut self, place: usize) {
        self.part(place);
        let life = self.life(place);
        let (Some(local), Some(peer), netns, number) = (life.local, life.peer, life.netns, life.number) else { return };
        if life.peer_socket.is_some() {
            return;
        }
        if let Some(other) = self.ends.take(local, peer, netns) {
            let other = self.life(other);
            other.peer_socket = Some(number);
            other.unpaired = None;
            let other = other.number;
            self.life(place).peer_socket = Some(other);
        } else {
            self.life(place).unpaired = Some((local, peer));
            self.ends.add(local, peer, kin::End { place, netns });
        }
    }

    /// Looks no longer.
    fn part(&mut self, place: usize) {
        if let Some((local, peer)) = self.life(place).unpaired.take() {
            self.ends.remove(local, peer, place);
        }
    }

    /// Notes an id by which children name this listener.
    fn listens_as(&mut self, place: usize, id: u64) {
        if id != 0 && self.listeners.insert(id, place) != Some(place) {
            self.life(place).listens_as.push(id);
        }
    }

    // Events.

    fn transition(&mut self, time: Time, sock: &Sock, to: State, opening: Opening) {
        if sock.state == State::Listen && to != State::Listen {
            self.born(time, sock.key);
        }
        if sock.mptcp != 0 && self.subflow(time, sock, to, opening.srtt) {
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
                life.set_ends(sock.local, sock.peer);
                life.listening = Some(time);
                life.backlog = Some(backlog);
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
                        life.handshake_ns = (srtt > 0).then_some(u64::from(srtt) * EIGHTH_US);
                    }
                }
                if from == State::Listen {
                    // An MPTCP socket: made when its first subflow is, at the last ACK.
                    self.milestone(place, kernel(Phase::SynReceived, time));
                }
                self.milestone(place, kernel(Phase::Established, time));
                self.pair(place);
            }
            _ => {}
        }
        self.state(place, time, (from, to), by);
    }

    fn step(&mut self, time: Time, key: Key, parent: u64, (from, to): (State, State), by: Option<Actor>) {
        if self.subflows.contains_key(&key.addr) {
            return;
        }
        let place = self.find_or_make(time, key, Transport::Tcp, false);
        let listener = self.listener_of(parent);
        let life = self.life(place);
        if parent != 0 {
            life.role = Some(Role::Server);
            life.parent = life.parent.or(listener);
            life.listener = life.parent.map(|(_, number)| number);
        }
        let first = match to {
            State::FinWait1 => Some(By::Local),
            State::CloseWait => Some(By::Peer),
            _ => None,
        };
        life.end.first_fin = life.end.first_fin.or(first);
        self.state(place, time, (from, to), by);
    }

    fn close(&mut self, time: Time, sock: &Sock, by: Option<Actor>, stats: Stats, in_call: bool) {
        if self.subflows.contains_key(&sock.key.addr) || sock.mptcp != 0 && !self.by_addr.contains_key(&sock.key.addr) {
            // Of a connect over MPTCP only its first subflow knows why it failed.
            if sock.state == State::SynSent
                && let Some(&place) = self.by_addr.get(&sock.mptcp)
            {
                let life = self.life(place);
                life.end.subflow_error = stats.error;
            }
            return;
        }
        let from = sock.state;
        if from == State::Closed {
            return;
        }
        let place = self.meet(time, sock, false);
        let listener = self.listeners.get(&sock.parent).and_then(|&place| self.lives[place].as_ref());
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
        let stats = Stats { error: stats.error.or(life.end.subflow_error), ..stats };
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
        let life = self.life(place);
        if life.transport == Transport::Sctp || life.transport == Transport::Mptcp && life.subflows == 0 {
            // Nothing else tells of its destruction.
            self.end(time, place);
        }
    }

    fn mark(&mut self, time: Time, key: Key, mptcp: u64, state: State, mark: Mark) {
        let known = self.by_addr.contains_key(&key.addr);
        if let Some(socket) = self.subflows.get(&key.addr).copied().or((mptcp != 0 && !known).then_some(mptcp)) {
            if mark == Mark::Destroyed {
                self.subflow_destroyed(time, key.addr, socket);
            }
            return;
        }
        let Some(place) = self.find(time, key) else { return };
        if mark == Mark::Destroyed {
            self.end(time, place);
            return;
        }
        let life = self.life(place);
        let kind = match mark {
            Mark::ResetSent => SignalKind::ResetSent,
            Mark::ResetReceived => SignalKind::ResetReceived,
            Mark::Retransmit | Mark::Destroyed => SignalKind::Retransmit,
        };
        // A listener answers strange segments with resets; they are not its end.
        if state != State::Listen {
            life.end.reset_sent |= mark == Mark::ResetSent;
            life.end.reset_received |= mark == Mark::ResetReceived;
        }
        // A reset that follows a process's close comes of the same call (`tcp_close`, `tcp_disconnect`): afterwards the
        // socket is reached by no packet.
        let closer = life.path.last().filter(|last| last.phase == Phase::Close && kind == SignalKind::ResetSent);
        let closer = closer.and_then(|close| close.actor.clone());
        self.signal(place, time, kind, closer);
    }
}

/// Whether the meaning of what is to be told can still change.
fn is_open(lives: &[Option<Life>], entry: &Entry) -> bool {
    let (place, number) = entry.life;
    let life = lives.get(place).and_then(Option::as_ref);
    let Some(life) = life.filter(|life| life.number == number && life.destroyed.is_none()) else {
        return false;
    };
    let Tell::Milestone(nth) = entry.what else { return life.maybe_subflow };
    let Some(index) = life.index(nth) else { return false };
    match life.path[index].phase {
        Phase::Close => life.end.is_open_question(&life.stats.unwrap_or_default(), life.was_accepted()),
        Phase::Connect => life.state == State::SynSent || life.end.connect_failed == Some(None),
        Phase::SynReceived => life.peer.is_none() || life.maybe_subflow,
        _ => false,
    }
}

/// A milestone that the kernel reached by itself.
fn kernel(phase: Phase, time: Time) -> Milestone {
    Milestone { phase, time, actor: None, fd: None, error: None, asked: None, then: None }
}

/// What comes with a transition.
struct Opening {
    by: Option<Actor>,
    call: Option<(Time, i32)>,
    srtt: u32,
    backlog: u32,
}
