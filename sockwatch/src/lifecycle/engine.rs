//! The state machine that turns events into lives.

mod calls;
mod checkpoint;
mod mptcp;
mod queue;
mod rest;
mod restore;
mod resume;
mod states;
mod survey;
mod telling;
mod weight;

use std::collections::VecDeque;

use calls::Called;
use rest::{Candidates, Place};
pub use restore::Restore;
use states::Opening;
use weight::Load;

use super::{
    Map, Signal, SignalKind,
    kin::{Ends, Subflows, Waiting},
    life::{Life, MOST_NUMBERS, Milestone, Origin},
    losses::Losses,
    timeline::{Entry, Tell, Timeline},
};
use crate::event::{Actor, Endpoint, Event, Key, Sock, State, Time, Transport, What};

/// The unit of the kernel's round-trip times, an eighth of a microsecond, in nanoseconds.
const EIGHTH_US: u64 = 125;

/// Most ids by which the children of one listener name it: its own, and those of the TCP listeners beneath an MPTCP one.
const MOST_IDS: usize = 16;

/// How many sockets that were destroyed are remembered for what is still reported of them: as many as a busy host destroys while one
/// waits for its reset.
const MOST_GONE: usize = 4096;

/// Room for so many milestones is kept with the room of a life that is gone.
const MANY: usize = 8;

/// How many rooms of lives that are gone are kept.
const MOST_SPARE: usize = 1024;

/// And of signals: of as many as wait while a busy host's ring is read.
const MOST_SPARE_SIGNALS: usize = 8192;

/// Turns events into lives. See the module's documentation.
#[derive(Debug, Default)]
pub struct Engine {
    lives: Vec<Place>,
    free: Vec<usize>,
    /// Whose `struct sock` is at an address now. Bounded by the sockets that exist, even if every end is missed: an
    /// address is used again, and then names the new one.
    by_addr: Map<u64, usize>,
    /// Listeners by the ids that their children name them with.
    listeners: Map<u64, usize>,
    subflows: Subflows,
    ends: Ends,
    timeline: Timeline,
    losses: Losses,
    /// The newest sockets that were destroyed: keys, places and numbers.
    gone: VecDeque<(Key, usize, u64)>,
    /// Whether everything that exists was told of.
    surveyed: bool,
    pending_losses: VecDeque<(Option<u64>, Time, Time)>,
    last_number: u64,
    /// Whether something before is missing: what is first seen in the midst of its life need not be older than the trace.
    gapped: bool,
    load: Load,
    /// Nobody wants signals.
    quiet: bool,
    candidates: Candidates,
    /// Rooms of lives that are gone, for those that come: to allocate them anew costs as much as an event.
    #[expect(clippy::vec_box, reason = "it is the boxes that are kept")]
    spare: Vec<Box<Slot>>,
    /// And of signals that were told.
    #[expect(clippy::vec_box, reason = "it is the boxes that are kept")]
    spare_signals: Vec<Box<Signal>>,
}

/// A life, and what else is known of it here.
#[derive(Debug)]
struct Slot {
    life: Life,
    /// The place of the listener it came from, if that is still there.
    listener: usize,
    /// The ends under which its other end is looked for.
    unpaired: Option<(Endpoint, Endpoint)>,
    /// Whether it is counted as waiting in its listener's accept queue, for all that was seen.
    queued: bool,
    /// Of a listener: how many are.
    queue: usize,
    /// When something last happened to it.
    last: Time,
    /// Whether it is among those that may go to rest.
    waits: bool,
}

impl Engine {
    /// An engine that knows of no socket.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes no more signals, for a reader who shows none: almost every event makes one. A checkpoint of this engine then
    /// has none that wait.
    pub fn leave_out_signals(&mut self) {
        self.quiet = true;
    }

    /// Lives that begin from now on are numbered from here: what came before this is not all known, and so not which numbers
    /// they have.
    pub fn number_from(&mut self, number: u64) {
        self.gapped = true;
        self.last_number = self.last_number.max(number.min(MOST_NUMBERS));
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
                self.pending_losses.push_back((count, since, time));
            }
        }
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

    /// The sockets that it knows of, in no order. One that ended is among them until its end is told.
    ///
    /// # Panics
    /// If lives may rest.
    pub fn lives(&self) -> impl Iterator<Item = &Life> {
        assert!(!self.is_restful(), "those that rest would not be among them");
        self.lives.iter().filter_map(Place::awake).map(|slot| &slot.life)
    }

    /// The one at an address, as a token; none if it is not known, or was destroyed.
    ///
    /// # Panics
    /// If lives may rest.
    #[must_use]
    pub fn life_at(&self, addr: u64) -> Option<&Life> {
        assert!(!self.is_restful(), "one that rests would not be found");
        let place = *self.by_addr.get(&addr)?;
        self.lives.get(place)?.awake().map(|slot| &slot.life)
    }

    /// Whether everything that exists was told of.
    #[must_use]
    pub fn is_surveyed(&self) -> bool {
        self.surveyed
    }

    // Finding and making lives.

    fn slot(&mut self, place: usize) -> &mut Slot {
        if self.lives[place].wake() {
            self.woke(place);
        }
        self.lives[place].awake_mut().expect("a place that a map leads to holds a life")
    }

    fn life(&mut self, place: usize) -> &mut Life {
        &mut self.slot(place).life
    }

    /// The life of this place and number, if it is still there: a listener, or one of which something waits to be told. So it
    /// does not rest.
    fn known(&self, (place, number): (usize, u64)) -> Option<&Life> {
        self.lives.get(place)?.awake().map(|slot| &slot.life).filter(|life| life.number == number)
    }

    /// The places of all lives, in the order of their numbers.
    fn by_number(&self) -> Vec<usize> {
        let mut numbers: Vec<(u64, usize)> =
            self.lives.iter().enumerate().filter_map(|(place, life)| Some((life.number()?, place))).collect();
        numbers.sort_unstable();
        numbers.into_iter().map(|(_, place)| place).collect()
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

    /// A place for a life.
    fn put(&mut self, life: Life) -> usize {
        self.load.add(&life);
        let slot = Slot { life, listener: usize::MAX, unpaired: None, queued: false, queue: 0, last: 0, waits: false };
        let slot = Place::Awake(match self.spare.pop() {
            Some(mut room) => {
                let path = std::mem::take(&mut room.life.path);
                *room = slot;
                if room.life.path.is_empty() {
                    room.life.path = path;
                }
                room
            }
            None => Box::new(slot),
        });
        match self.free.pop() {
            Some(place) => {
                self.lives[place] = slot;
                place
            }
            None => {
                self.lives.push(slot);
                self.lives.len() - 1
            }
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
        life.begun = birth || !self.surveyed && !self.gapped;
        let place = self.put(life);
        self.by_addr.insert(key.addr, place);
        place
    }

    /// As above, with what the record tells of the socket.
    fn meet(&mut self, time: Time, sock: &Sock, birth: bool) -> usize {
        let place = self.find_or_make(time, sock.key, sock.transport, birth);
        if sock.mptcp == 0 {
            self.subflows.remove(sock.key.addr);
        }
        let listener = self.listener_of(sock.parent);
        let life = self.life(place);
        life.transport = sock.transport;
        life.netns = Some(sock.netns);
        life.family = Some(sock.family);
        if sock.cookie != 0 {
            life.cookie = Some(sock.cookie);
        }
        self.came_from(place, listener);
        place
    }

    /// Notes the listener that a socket came from: the first that is told.
    fn came_from(&mut self, place: usize, listener: Option<(usize, u64)>) {
        let slot = self.slot(place);
        if let (None, Some((listener, number))) = (slot.life.listener, listener) {
            slot.life.listener = Some(number);
            slot.listener = listener;
            self.joins_queue(place);
        }
    }

    /// Place and number of the listener that a socket came from.
    fn listener_at(&mut self, place: usize) -> Option<(usize, u64)> {
        let slot = self.slot(place);
        Some((slot.listener, slot.life.listener?))
    }

    /// Place and number of the listener that a child's record names.
    fn listener_of(&mut self, id: u64) -> Option<(usize, u64)> {
        let place = *self.listeners.get(&id).filter(|_| id != 0)?;
        Some((place, self.life(place).number))
    }

    /// The kernel destroyed a socket: its life is told, and then forgotten.
    fn end(&mut self, time: Time, place: usize) {
        self.queue_is_over(place);
        // Nobody accepts it now, even if its close was missed.
        self.leaves_queue(place);
        let life = self.life(place);
        let last = life.newest().map_or(life.first, |milestone| milestone.time);
        life.destroyed = Some(time);
        let number = life.number;
        let key = life.key;
        let addr = key.addr;
        self.is_gone(key, place, number);
        if self.by_addr.get(&addr) == Some(&place) {
            self.by_addr.remove(&addr);
        }
        self.stir(place, time.max(last));
        self.timeline.push(Entry { time: time.max(last), life: (place, number), what: Tell::End });
    }

    fn is_gone(&mut self, key: Key, place: usize, number: u64) {
        self.gone.push_back((key, place, number));
        if self.gone.len() > MOST_GONE {
            self.gone.pop_front();
        }
    }

    fn remove(&mut self, place: usize) -> Option<Box<Slot>> {
        if self.lives[place].number().is_some() {
            self.leaves_queue(place);
        }
        self.lives[place].wake();
        let Place::Awake(slot) = std::mem::replace(&mut self.lives[place], Place::Free) else { return None };
        let Slot { life, unpaired, .. } = &*slot;
        self.free.push(place);
        self.load.remove(life);
        let addr = life.key.addr;
        match self.by_addr.get(&addr) {
            Some(&holder) if holder != place => {}
            holder => {
                if holder.is_some() {
                    self.by_addr.remove(&addr);
                }
                self.subflows.remove_all(addr);
            }
        }
        for id in &life.listens_as {
            self.listeners.remove(id);
        }
        if let Some(ends) = *unpaired {
            self.ends.remove(ends, place);
        }
        if self.lives.len() == self.free.len() {
            self.lives.clear();
            self.free.clear();
        }
        Some(slot)
    }

    /// A life was told: its room is free.
    fn spare(&mut self, mut room: Box<Slot>) {
        if self.spare.len() < MOST_SPARE {
            // What it shares with others is not held any longer.
            room.life.path.clear();
            room.life.path.shrink_to(MANY);
            room.life.owner = None;
            room.life.holders = None;
            self.spare.push(room);
        }
    }

    // Telling.

    fn milestone(&mut self, place: usize, milestone: Milestone) {
        let time = milestone.time;
        let listener = self.listener_at(place).and_then(|listener| self.known(listener));
        let family = listener.is_some_and(|listener| listener.descendant);
        let life = self.life(place);
        life.descendant |= family || milestone.actor.as_ref().is_some_and(|actor| actor.descendant);
        let number = life.number;
        let nth = life.add(milestone);
        self.load.milestones += 1;
        self.stir(place, time);
        self.timeline.push(Entry { time, life: (place, number), what: Tell::Milestone(nth) });
    }

    fn signal(&mut self, place: usize, time: Time, kind: SignalKind, actor: Option<Actor>) {
        if self.quiet {
            return;
        }
        let life = self.life(place);
        let signal = Signal { time, kind, actor, local: life.local, peer: life.peer };
        let number = life.number;
        self.stir(place, time);
        let signal = match self.spare_signals.pop() {
            Some(mut room) => {
                *room = signal;
                room
            }
            None => Box::new(signal),
        };
        self.timeline.push(Entry { time, life: (place, number), what: Tell::Signal(signal) });
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
        self.stir(place, time);
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
        let Self { ends, lives, .. } = self;
        let waiting = |place: usize| lives.get(place).and_then(Place::waiting);
        if let Some(other) = ends.take(Waiting { ends: (local, peer), netns }, waiting) {
            let other = self.slot(other);
            other.life.peer_socket = Some(number);
            other.unpaired = None;
            let other = other.life.number;
            self.life(place).peer_socket = Some(other);
        } else {
            self.look_for(place, (local, peer));
        }
    }

    /// The other end is still to come.
    fn look_for(&mut self, place: usize, ends: (Endpoint, Endpoint)) {
        self.slot(place).unpaired = Some(ends);
        if let Some(given_up) = self.ends.add(ends, place) {
            self.slot(given_up).unpaired = None;
        }
    }

    /// Looks no longer.
    fn part(&mut self, place: usize) {
        if let Some(ends) = self.slot(place).unpaired.take() {
            self.ends.remove(ends, place);
        }
    }

    /// Notes an id by which children name this listener.
    fn listens_as(&mut self, place: usize, id: u64) {
        if id == 0 {
            return;
        }
        let before = self.listeners.insert(id, place);
        if before == Some(place) {
            return;
        }
        if let Some(before) = before {
            self.life(before).listens_as.retain(|other| *other != id);
        }
        let ids = &mut self.life(place).listens_as;
        ids.push(id);
        if ids.len() > MOST_IDS {
            let oldest = ids.remove(0);
            self.listeners.remove(&oldest);
        }
    }
}
