//! Lives at rest: a host may have a million connections open to which nothing happens for hours. A [`Life`] has room for all
//! that can happen to a socket; one that just is open needs a third of it.

use std::collections::VecDeque;

use super::{Engine, Slot};
use crate::{
    event::{Actor, Endpoint, Family, Key, State, Stats, Time, Transport},
    lifecycle::{
        Holder,
        kin::Waiting,
        life::{Life, Milestone, Origin, Phase, Role},
        verdict::End,
    },
};

/// How long nothing happens to a life before it goes to rest: one second. Most connections are over by then, and never do.
pub(super) const REST: Time = 1_000_000_000;

/// Most milestones of a life at rest: a server's three, or a client's with a bind.
const STEPS: usize = 3;

/// A place for a life.
#[derive(Debug)]
pub(super) enum Place {
    Free,
    Awake(Box<Slot>),
    Resting(Box<Resting>),
}

impl Place {
    /// The life, if it is awake.
    pub(super) fn awake(&self) -> Option<&Slot> {
        if let Self::Awake(slot) = self { Some(slot) } else { None }
    }

    /// As above.
    pub(super) fn awake_mut(&mut self) -> Option<&mut Slot> {
        if let Self::Awake(slot) = self { Some(slot) } else { None }
    }

    /// The number of the life.
    pub(super) fn number(&self) -> Option<u64> {
        match self {
            Self::Free => None,
            Self::Awake(slot) => Some(slot.life.number),
            Self::Resting(resting) => Some(resting.number),
        }
    }

    /// The two ends and the network namespace of a life whose other end is looked for.
    pub(super) fn waiting(&self) -> Option<Waiting> {
        match self {
            Self::Free => None,
            Self::Awake(slot) => Some(Waiting { ends: slot.unpaired?, netns: slot.life.netns }),
            Self::Resting(resting) => Some(Waiting { ends: resting.unpaired()?, netns: resting.netns() }),
        }
    }

    /// The life, awake or as it would be.
    pub(super) fn look<T>(&self, look: impl FnOnce(&Slot) -> T) -> Option<T> {
        match self {
            Self::Free => None,
            Self::Awake(slot) => Some(look(slot)),
            Self::Resting(resting) => Some(look(&resting.wake())),
        }
    }

    /// Whether the life is counted as waiting in the accept queue of this listener.
    pub(super) fn is_queued_at(&self, (listener, number): (usize, u64)) -> bool {
        let its = |slot: &Slot| slot.queued && (slot.listener, slot.life.listener) == (listener, Some(number));
        match self {
            Self::Free => false,
            Self::Awake(slot) => its(slot),
            Self::Resting(resting) => resting.queued && its(&resting.wake()),
        }
    }

    /// Wakes the life that rests here; true if one did.
    pub(super) fn wake(&mut self) -> bool {
        let Self::Resting(resting) = self else { return false };
        *self = Self::Awake(Box::new(resting.wake()));
        true
    }
}

/// A life at rest, and what else is known of it here.
#[derive(Debug)]
pub(super) struct Resting {
    key: Key,
    number: u64,
    first: Time,
    cookie: u64,
    owner: Option<Actor>,
    /// What an iterator found.
    found: Option<Box<Found>>,
    local: Option<Endpoint>,
    peer: Option<Endpoint>,
    netns: u32,
    fd: i32,
    /// `u32::MAX`: none.
    listener_place: u32,
    told: u8,
    numbers: [Short; NUMBERS],
    path: Steps,
    transport: Transport,
    family: Option<Family>,
    role: Option<Role>,
    origin: Origin,
    last_change: Option<State>,
    has_cookie: bool,
    has_netns: bool,
    has_fd: bool,
    complete: bool,
    descendant: bool,
    begun: bool,
    accept_seen: bool,
    failure_seen: bool,
    taken: bool,
    unpaired: bool,
    queued: bool,
}

/// No place, in 32 bits.
const NOWHERE: u32 = u32::MAX;

/// A listener's place in 32 bits. None if it does not fit.
fn place_of(place: usize) -> Option<u32> {
    if place == usize::MAX { Some(NOWHERE) } else { u32::try_from(place).ok().filter(|&place| place != NOWHERE) }
}

/// How many optional numbers a life has that are short as a rule.
const NUMBERS: usize = 8;

/// A number of 40 bits with its sign, or none: of nanoseconds that is nine minutes, of sockets more than a host ever has.
#[derive(Clone, Copy, Debug)]
struct Short([u8; 5]);

impl Default for Short {
    fn default() -> Self {
        Self::NONE
    }
}

impl Short {
    /// No number: the least that would fit.
    const NONE: Self = Self([0, 0, 0, 0, 0x80]);

    /// None if it does not fit.
    fn of(number: Option<i64>) -> Option<Self> {
        let Some(number) = number else { return Some(Self::NONE) };
        let [a, b, c, d, e, ..] = number.to_le_bytes();
        let short = Self([a, b, c, d, e]);
        (short.number() == Some(number)).then_some(short)
    }

    fn number(self) -> Option<i64> {
        let [a, b, c, d, e] = self.0;
        let sign = if e & 0x80 == 0 { 0 } else { 0xff };
        (self.0 != Self::NONE.0).then(|| i64::from_le_bytes([a, b, c, d, e, sign, sign, sign]))
    }

    /// A count.
    fn of_count(count: Option<u64>) -> Option<Self> {
        Self::of(count.map(i64::try_from).transpose().ok()?)
    }

    fn count(self) -> Option<u64> {
        self.number().map(i64::cast_unsigned)
    }

    /// A time, from another one on.
    fn of_time(time: Option<Time>, first: Time) -> Option<Self> {
        Self::of(time.map(|time| time.wrapping_sub(first).cast_signed()))
    }

    fn time(self, first: Time) -> Option<Time> {
        self.number().map(|apart| first.wrapping_add_signed(apart))
    }
}

#[derive(Clone, Debug)]
struct Found {
    stats: Option<Stats>,
    holders: Option<Vec<Holder>>,
}

/// Milestones, each by the owner or by the kernel.
#[derive(Debug, Default)]
struct Steps {
    times: [Short; STEPS],
    kinds: [Option<Step>; STEPS],
}

#[derive(Clone, Copy, Debug)]
struct Step {
    phase: Phase,
    by_owner: bool,
    has_fd: bool,
}

impl Steps {
    /// None if there are more, or if there is more to one.
    fn of(life: &Life) -> Option<Self> {
        let mut steps = Self::default();
        if life.path.len() > STEPS {
            return None;
        }
        for (place, milestone) in life.path.iter().enumerate() {
            let Milestone { phase, time, actor, fd, error: None, asked: None, then: None } = milestone else {
                return None;
            };
            let (by_owner, has_fd) = (actor.is_some(), fd.is_some());
            if by_owner && *actor != life.owner || has_fd && *fd != life.fd {
                return None;
            }
            steps.times[place] = Short::of_time(Some(*time), life.first)?;
            steps.kinds[place] = Some(Step { phase: *phase, by_owner, has_fd });
        }
        Some(steps)
    }

    fn milestones(&self, first: Time, owner: Option<&Actor>, fd: Option<i32>) -> impl Iterator<Item = Milestone> {
        self.times.into_iter().zip(self.kinds).map_while(move |(time, step)| {
            let Step { phase, by_owner, has_fd } = step?;
            let actor = owner.filter(|_| by_owner).cloned();
            let time = time.time(first)?;
            Some(Milestone { phase, time, actor, fd: fd.filter(|_| has_fd), error: None, asked: None, then: None })
        })
    }
}

impl Resting {
    /// A life that is open and has nothing out of the ordinary; none of any other.
    fn of(slot: &Slot) -> Option<Self> {
        let Slot { life, listener: listener_place, unpaired, queued, queue: 0, last: _, waits: _ } = slot else {
            return None;
        };
        let Life {
            number,
            told,
            cookie,
            netns,
            transport,
            family,
            role,
            local,
            peer,
            listener,
            peer_socket,
            owner,
            fd,
            path: _,
            path_omitted: 0,
            state: State::Established,
            first,
            destroyed: None,
            handshake_ns,
            accept_queue_ns,
            connect_ns,
            stats,
            accepted: 0,
            backlog_given: None,
            backlog: None,
            origin,
            complete,
            descendant,
            holders,
            vanished: false,
            key,
            connect_called,
            established,
            listening: None,
            end,
            begun,
            last_change,
            maybe_subflow: false,
            beyond,
            last_connect,
            accept_seen,
            taken,
            failure_seen,
            listens_as,
        } = life
        else {
            return None;
        };
        let ends = unpaired.is_none() || *unpaired == local.zip(*peer);
        if *end != End::default() || !beyond.is_empty() || !listens_as.is_empty() || !ends {
            return None;
        }
        let found = stats.is_some() || holders.is_some();
        Some(Self {
            key: *key,
            number: *number,
            first: *first,
            cookie: cookie.unwrap_or_default(),
            has_cookie: cookie.is_some(),
            numbers: [
                Short::of_count(*listener)?,
                Short::of_count(*peer_socket)?,
                Short::of_count(*last_connect)?,
                Short::of_count(*handshake_ns)?,
                Short::of_count(*accept_queue_ns)?,
                Short::of_count(*connect_ns)?,
                Short::of_time(*connect_called, *first)?,
                Short::of_time(*established, *first)?,
            ],
            path: Steps::of(life)?,
            owner: owner.clone(),
            found: found.then(|| Box::new(Found { stats: *stats, holders: holders.clone() })),
            listener_place: place_of(*listener_place)?,
            told: u8::try_from(*told).ok()?,
            local: *local,
            peer: *peer,
            netns: netns.unwrap_or_default(),
            has_netns: netns.is_some(),
            fd: fd.unwrap_or_default(),
            has_fd: fd.is_some(),
            transport: *transport,
            family: *family,
            role: *role,
            origin: *origin,
            last_change: *last_change,
            complete: *complete,
            descendant: *descendant,
            begun: *begun,
            accept_seen: *accept_seen,
            failure_seen: *failure_seen,
            taken: *taken,
            unpaired: unpaired.is_some(),
            queued: *queued,
        })
    }

    fn unpaired(&self) -> Option<(Endpoint, Endpoint)> {
        self.local.zip(self.peer).filter(|_| self.unpaired)
    }

    fn netns(&self) -> Option<u32> {
        self.has_netns.then_some(self.netns)
    }

    /// The same life, awake.
    fn wake(&self) -> Slot {
        let Self { key, number, first, transport, origin, local, peer, owner, path, .. } = self;
        let fd = self.has_fd.then_some(self.fd);
        let found = self.found.as_deref().cloned();
        let (stats, holders) = found.map_or((None, None), |Found { stats, holders }| (stats, holders));
        let [listener, peer_socket, last_connect, handshake_ns, accept_queue_ns, connect_ns, ..] =
            self.numbers.map(Short::count);
        let [.., connect_called, established] = self.numbers.map(|number| number.time(*first));
        let mut life = Life::new(*number, *key, *transport, *origin, *first);
        life.path.reserve_exact(STEPS + 1);
        life.path.extend(path.milestones(*first, owner.as_ref(), fd));
        let life = Life {
            told: self.told as usize,
            cookie: self.has_cookie.then_some(self.cookie),
            netns: self.netns(),
            family: self.family,
            role: self.role,
            local: *local,
            peer: *peer,
            listener,
            peer_socket,
            owner: owner.clone(),
            fd,
            state: State::Established,
            handshake_ns,
            accept_queue_ns,
            connect_ns,
            stats,
            complete: self.complete,
            descendant: self.descendant,
            holders,
            connect_called,
            established,
            begun: self.begun,
            last_change: self.last_change,
            last_connect,
            accept_seen: self.accept_seen,
            failure_seen: self.failure_seen,
            taken: self.taken,
            ..life
        };
        let listener = if self.listener_place == NOWHERE { usize::MAX } else { self.listener_place as usize };
        Slot { life, listener, unpaired: self.unpaired(), queued: self.queued, queue: 0, last: 0, waits: false }
    }
}

/// Who may go to rest.
#[derive(Debug, Default)]
pub(super) struct Candidates {
    /// How long nothing has to happen; none: nobody ever does.
    after: Option<Time>,
    /// Since when, the place of the life, and its number.
    queue: VecDeque<(Time, usize, u64)>,
    /// The latest time up to which everything was told.
    now: Time,
}

impl Candidates {
    /// How many there are, with those that are gone.
    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }
}

impl Engine {
    /// From now on lives to which nothing happens for a while are kept in less memory. [`Self::lives`] is not to be asked
    /// any more.
    pub fn let_lives_rest(&mut self) {
        self.candidates.after = Some(REST);
    }

    /// As above, after another while than a second: not 0.
    #[cfg(test)]
    pub(in crate::lifecycle) fn let_lives_rest_after(&mut self, after: Time) {
        self.candidates.after = Some(after);
    }

    /// How many rest.
    #[cfg(test)]
    pub(in crate::lifecycle) fn resting(&self) -> usize {
        self.lives.iter().filter(|place| matches!(place, Place::Resting(_))).count()
    }

    /// Whether lives may rest.
    pub(super) fn is_restful(&self) -> bool {
        self.candidates.after.is_some()
    }

    /// Something happened to a life at this time: it may go to rest a while after.
    pub(super) fn stir(&mut self, place: usize, time: Time) {
        let restful = self.is_restful();
        let slot = self.slot(place);
        slot.last = slot.last.max(time);
        if restful && !slot.waits && slot.life.state == State::Established {
            slot.waits = true;
            let number = slot.life.number;
            // In the order of these times: what events say may be anything.
            self.candidates.queue.push_back((self.candidates.now, place, number));
        }
    }

    /// A life woke.
    pub(super) fn woke(&mut self, place: usize) {
        let now = self.candidates.now;
        self.stir(place, now);
    }

    /// Lets those rest to which nothing happened lately, now that everything up to `now` was told.
    pub(super) fn rest(&mut self, now: Time) {
        let Some(after) = self.candidates.after else { return };
        self.candidates.now = self.candidates.now.max(now);
        while let Some((since, place, number)) = self.candidates.queue.front().copied() {
            if since.saturating_add(after) > now {
                return;
            }
            self.candidates.queue.pop_front();
            let Some(slot) = self.lives.get_mut(place).and_then(Place::awake_mut) else { continue };
            if slot.life.number != number {
                continue;
            }
            slot.waits = false;
            let last = slot.last;
            // What waits to be told of it is behind this.
            let waits = self.timeline.first().is_some_and(|first| first.time <= last);
            if waits || last.saturating_add(after) > now {
                self.stir(place, last);
                if waits {
                    return;
                }
            } else if let Some(resting) = Resting::of(slot) {
                debug_assert_eq!(resting.wake().life, slot.life, "it would wake as another");
                self.lives[place] = Place::Resting(Box::new(resting));
            }
        }
    }

    /// Wakes all.
    pub(super) fn wake_all(&mut self) {
        for place in &mut self.lives {
            place.wake();
        }
    }
}
