//! Events from the running kernel.

use std::time::Duration;

use crate::{
    clock::boot_time,
    event::{Event, Time, What, decode},
    identity::Identities,
    kernel::{Found, Iterators, Loaded, Losses, Ring},
};

/// How often the ring is looked into: the kernel wakes nobody for an event (that costs it more than the event), unless the
/// ring fills.
const LOOK: Duration = Duration::from_millis(25);

/// How long a processor may be held up in the midst of writing a record: its program is not preempted, but it may be a
/// virtual one.
const HELD_UP: Duration = Duration::from_millis(5);

/// How many events are taken in one go, so that a flood can't keep what was learnt from being shown.
const MOST: u64 = 100_000;

/// The kernel as a source.
pub struct Live {
    ring: Ring,
    losses: Losses,
    iterators: Iterators,
    identities: Identities,
    looks: tokio::time::Interval,
    events: u64,
    missed: u64,
    counted: Time,
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

impl Live {
    /// From loaded programs.
    #[must_use]
    pub fn new(loaded: Loaded) -> Self {
        let Loaded { ring, losses, iterators, attached: _, missing: _ } = loaded;
        let mut looks = tokio::time::interval(LOOK);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let counted = boot_time().unwrap_or(0);
        Self {
            ring,
            losses,
            iterators,
            identities: Identities::new(),
            looks,
            events: 0,
            missed: 0,
            counted,
            unreadable: 0,
        }
    }

    /// Kernel events received so far.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.events
    }

    /// Gives the sockets that exist, together with the events that came meanwhile, in the order of time.
    pub fn survey(&mut self, take: &mut dyn FnMut(Event)) -> Survey {
        let Found { records, unseen } = self.iterators.run(true);
        let mut sockets = 0;
        let mut events = Vec::new();
        self.ring.drain(|record| {
            self.events += 1;
            match decode(record) {
                Ok(event) => events.push(self.identities.resolve(event)),
                Err(_) => self.unreadable += 1,
            }
            true
        });
        for record in &records {
            match decode(record) {
                Ok(event) => {
                    sockets += 1;
                    events.push(self.identities.resolve(event));
                }
                Err(_) => self.unreadable += 1,
            }
        }
        events.sort_by_key(|event| event.time);
        let time = events.last().map_or(0, |event| event.time).max(boot_time().unwrap_or(0));
        for event in events {
            take(event);
        }
        take(Event { time, what: What::Surveyed });
        Survey { sockets, unseen }
    }

    /// Waits until it is time to look into the ring.
    pub async fn wait(&mut self) {
        tokio::select! {
            _ = self.looks.tick() => {}
            ready = self.ring.readable() => {
                if ready.is_err() {
                    self.looks.tick().await;
                }
            }
        }
    }

    /// Gives the events that wait, and what was lost since the last time. Returns a time up to which all were given.
    pub fn read(&mut self, take: &mut dyn FnMut(Event)) -> Time {
        let mut seen = boot_time().unwrap_or(0);
        let mut last = 0;
        let mut taken = 0;
        self.ring.drain(|record| {
            taken += 1;
            match decode(record) {
                Ok(event) => {
                    last = event.time;
                    take(self.identities.resolve(event));
                }
                Err(_) => self.unreadable += 1,
            }
            taken < MOST
        });
        self.events += taken;
        if taken >= MOST {
            seen = last;
        }
        // The clock before the count: what is lost between the two belongs to this span and to the next.
        let counting = boot_time().unwrap_or(seen);
        let missed = self.losses.beyond(self.missed);
        let count = missed - self.missed + std::mem::take(&mut self.unreadable);
        if count > 0 {
            let time = boot_time().unwrap_or(counting);
            take(Event { time, what: What::Lost { count, since: self.counted } });
            self.missed = missed;
        }
        self.counted = counting;
        seen
    }

    /// The last look: gives every event up to now, and then the state that every socket is in.
    pub fn read_last(&mut self, take: &mut dyn FnMut(Event)) {
        let stop = boot_time().unwrap_or(Time::MAX);
        loop {
            let before = self.events;
            let seen = self.read(take);
            if seen >= stop || self.events - before < MOST {
                break;
            }
        }
        // In the order of time with what came meanwhile: a socket that began in between is known from its start.
        let records = self.iterators.run(false).records;
        let mut events = Vec::new();
        self.read(&mut |event| events.push(event));
        for record in &records {
            match decode(record) {
                Ok(event) => events.push(self.identities.resolve(event)),
                Err(_) => self.unreadable += 1,
            }
        }
        events.sort_by_key(|event| event.time);
        events.into_iter().for_each(&mut *take);
        // A processor that was held up in the midst of writing a record hides those behind it.
        std::thread::sleep(HELD_UP);
        self.read(take);
    }
}
