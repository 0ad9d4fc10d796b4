//! Events from the running kernel.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use super::{
    Step,
    doubt::Skips,
    existing::{self, Picture, understood},
};
use crate::{
    clock::{Clock, boot_time},
    event::{Event, Sock, Time, What, decode},
    identity::Identities,
    kernel::{Causes, Found, Iterators, Loaded, Losses, Ring},
};

/// After how long the ring is looked into again: the kernel wakes nobody for an event (that costs it more than the event), unless the
/// ring fills.
const LOOK: Duration = Duration::from_millis(25);

/// And where it had so many events that more would not fit a processor's cache together with the lives that they are about: that
/// took a quarter longer.
const MANY: u64 = 500;
const SOON: Duration = Duration::from_millis(8);

/// How long the end of a run waits for a record that is being written: its program may be preempted, or its processor a virtual one
/// that does not run.
const HELD_UP: Duration = Duration::from_secs(1);

/// How long until it is looked at again.
const AGAIN: Duration = Duration::from_millis(1);

/// How many events are taken in one go, so that a flood can't keep what was learnt from being shown.
const MOST: u64 = 100_000;

/// The kernel as a source.
pub struct Live {
    ring: Ring,
    losses: Losses,
    iterators: Iterators,
    identities: Identities,
    clock: Clock,
    next_look: tokio::time::Instant,
    events: u64,
    /// How many records were told to be lost that could not be sent.
    unsent: u64,
    skips: Skips,
    counted: Time,
    /// Up to when all events were given.
    seen: Time,
    unreadable: u64,
}

/// What a look at the existing sockets found.
#[derive(Debug)]
pub struct Survey {
    /// How many.
    pub sockets: usize,
    /// What could not be looked at, and why.
    pub unseen: Vec<String>,
}

/// What happened, in the order in which the kernel told it, together with what was found to exist, in the order of time. What
/// happened to one socket stays in its order, whatever the times say: the clock that BPF programs read is not the same on two
/// processors to the nanosecond (`ktime_get_boot_fast_ns`, see kernel/time/timekeeping.c), and one may take over from the other
/// between two steps of a socket.
fn in_order(happened: Vec<Event>, exist: Vec<Event>) -> Vec<Event> {
    let mut latest: HashMap<u64, Time> = HashMap::new();
    let happened = happened.into_iter().map(|event| {
        let at = match event.what.addr() {
            Some(addr) => {
                let latest = latest.entry(addr).or_default();
                *latest = event.time.max(*latest);
                *latest
            }
            None => event.time,
        };
        (at, event)
    });
    let mut all: Vec<(Time, Event)> = happened.chain(exist.into_iter().map(|event| (event.time, event))).collect();
    all.sort_by_key(|&(at, _)| at);
    all.into_iter().map(|(_, event)| event).collect()
}

impl Live {
    /// From loaded programs. The clock is the one that what follows is shown by, until it says that it was set.
    #[must_use]
    pub fn new(loaded: Loaded, clock: Clock) -> Self {
        let Loaded { ring, losses, iterators, attached: _, missing: _ } = loaded;
        let counted = boot_time().unwrap_or(0);
        Self {
            ring,
            losses,
            iterators,
            identities: Identities::new(),
            clock,
            next_look: tokio::time::Instant::now(),
            events: 0,
            unsent: 0,
            skips: Skips::default(),
            counted,
            seen: 0,
            unreadable: 0,
        }
    }

    /// Kernel events received so far.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.events
    }

    /// Where events were lost.
    #[must_use]
    pub fn causes(&self) -> Causes {
        self.losses.causes()
    }

    /// Gives the sockets that exist, together with the events that came meanwhile, in the order of time.
    pub fn survey(&mut self, take: &mut dyn FnMut(Step)) -> Survey {
        let (events, sockets, unseen) = self.gather(true);
        let time = events.last().map_or(0, |event| event.time).max(boot_time().unwrap_or(0));
        for event in events {
            take(Step::Event(event));
        }
        take(Step::Event(Event { time, what: What::Surveyed }));
        Survey { sockets, unseen }
    }

    /// The sockets that exist, and the events that came before or meanwhile, in the order of time; how many sockets, and what
    /// could not be looked at. `holders`: with the processes that hold them.
    fn gather(&mut self, holders: bool) -> (Vec<Event>, usize, Vec<String>) {
        let Found { records, unseen } = self.iterators.run(holders);
        let Self { ring, identities, events: received, unreadable, .. } = self;
        let mut happened = Vec::new();
        ring.drain(|record| {
            *received += 1;
            match decode(record) {
                Ok(event) => happened.push(identities.resolve(event)),
                Err(_) => *unreadable += 1,
            }
            true
        });
        // After those: a process that became another program did so before it was found.
        let (exist, not_understood) = understood(&records, identities, &|_| true);
        *unreadable += not_understood;
        (in_order(happened, exist), records.len(), unseen)
    }

    /// The sockets that exist at this moment and pass, and who holds them.
    pub fn picture(&mut self, wanted: &dyn Fn(&Sock) -> bool) -> Picture {
        existing::picture(&mut self.iterators, &mut self.identities, wanted)
    }

    /// Waits until it is time to look into the ring.
    pub async fn wait(&mut self) {
        let time = tokio::time::sleep_until(self.next_look);
        tokio::pin!(time);
        tokio::select! {
            () = &mut time => {}
            ready = self.ring.readable() => {
                if ready.is_err() {
                    time.await;
                }
            }
        }
    }

    /// Gives the events that wait, and what was lost since the last time.
    pub fn read(&mut self, take: &mut dyn FnMut(Step)) {
        self.look(take);
    }

    /// As above. Returns a time up to which all were given.
    fn look(&mut self, take: &mut dyn FnMut(Step)) -> Time {
        let mut seen = boot_time().unwrap_or(0);
        let mut last = 0;
        let mut taken = 0;
        let all = self.ring.drain(|record| {
            taken += 1;
            match decode(record) {
                Ok(event) => {
                    last = event.time;
                    take(Step::Event(self.identities.resolve(event)));
                }
                Err(_) => self.unreadable += 1,
            }
            taken < MOST
        });
        self.events += taken;
        self.next_look = tokio::time::Instant::now() + if taken < MANY { LOOK } else { SOON };
        if !all {
            // What is left or hidden is later than that, but for what it does not matter to.
            seen = last;
        }
        // The clock before the count: what is lost between the two belongs to this span and to the next.
        let counting = boot_time().unwrap_or(seen);
        let mut lose = |count, since| {
            if count > 0 {
                let time = boot_time().unwrap_or(counting);
                take(Step::Event(Event { time, what: What::Lost { count: Some(count), since } }));
            }
        };
        let unsent = self.losses.unsent();
        lose(unsent - self.unsent + std::mem::take(&mut self.unreadable), self.counted);
        self.unsent = unsent;
        let skipped = self.losses.skipped_beyond(self.skips.told());
        if let Some((count, since)) = self.skips.look(skipped, self.counted, counting) {
            lose(count, since);
        }
        seen = self.skips.settled(seen).max(self.seen);
        self.seen = seen;
        self.counted = counting;
        if let Some(offset) = self.clock.was_set() {
            self.clock.step(counting, offset);
            take(Step::Clock { since: counting, offset });
        }
        take(Step::Settled { now: seen, events: self.events });
        seen
    }

    /// Gives every event up to now. Where one is not there in time, that is told as a loss: it may hide more.
    fn read_up_to_now(&mut self, take: &mut dyn FnMut(Step)) {
        let now = boot_time().unwrap_or(0);
        let late = Instant::now() + HELD_UP;
        while self.look(take) < now {
            if Instant::now() > late {
                take(Step::Event(Event { time: now, what: What::Lost { count: None, since: self.seen } }));
                return;
            }
            std::thread::sleep(AGAIN);
        }
    }

    /// The last look: gives every event up to now, and then the state that every socket is in.
    pub fn read_last(&mut self, take: &mut dyn FnMut(Step)) {
        self.read_up_to_now(take);
        // In the order of time with what came meanwhile: a socket that began in between is known from its start.
        let (events, ..) = self.gather(false);
        events.into_iter().map(Step::Event).for_each(&mut *take);
        self.read_up_to_now(take);
        take(Step::End);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Key, Mark, State};

    fn step(addr: u64, time: Time, to: State) -> Event {
        let key = Key { id: addr, addr };
        Event { time, what: What::Step { key, parent: 0, from: State::Established, to, by: None } }
    }

    #[test]
    fn what_one_socket_does_stays_in_its_order_where_the_clocks_of_two_processors_differ() {
        let happened = vec![
            step(1, 100, State::FinWait1),
            step(2, 110, State::CloseWait),
            step(1, 99, State::FinWait2),
            step(3, 90, State::CloseWait),
        ];
        let seen = |time| Event {
            time,
            what: What::Mark {
                key: Key { id: 9, addr: 9 },
                mptcp: 0,
                state: State::Established,
                mark: Mark::Retransmit,
            },
        };
        let ordered = in_order(happened, vec![seen(95), seen(105)]);
        assert_eq!(ordered.iter().map(|event| event.time).collect::<Vec<_>>(), [90, 95, 100, 99, 105, 110]);
    }
}
