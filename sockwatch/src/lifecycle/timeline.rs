//! What is to be told, in the order of time, until it is settled.

use std::{
    cmp::Ordering,
    collections::{BinaryHeap, VecDeque},
};

use super::Signal;
use crate::event::Time;

/// How far records of two processors may be out of order (each is stamped before it is written): one millisecond.
const SKEW: Time = 1_000_000;

/// How long an entry waits for what may explain it: 100 milliseconds. What follows comes from the same thread, in the same
/// system call; on a busy host that thread may be preempted in it.
pub(super) const PATIENCE: Time = 100_000_000;

/// How long it waits for what follows while the kernel handles the same packet: 5 milliseconds. That is seldom preempted, but a
/// virtual machine's processor may be taken away.
pub(super) const SAME_PACKET: Time = 5_000_000;

/// How many entries a new one may have to overtake to be put in its place: records are nearly in order.
const NEAR: usize = 64;

/// Something to tell.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) time: Time,
    /// Where the life is, and its number: the place is used again.
    pub(super) life: (usize, u64),
    pub(super) what: Tell,
}

/// What is to be told of a life.
#[derive(Clone, Debug, PartialEq)]
pub enum Tell {
    /// A milestone: which, counted from the first of the life.
    Milestone(u64),
    /// A signal.
    Signal(Box<Signal>),
    /// That it is over.
    End,
}

impl Entry {
    /// Whether it is settled when every event up to `now` was seen. `wait` says for how long its meaning can still change.
    pub(super) fn is_settled(&self, now: Time, wait: impl FnOnce(&Self) -> Time) -> bool {
        let passed = |wait: Time| self.time.saturating_add(wait) <= now;
        passed(SKEW) && (passed(PATIENCE) || passed(wait(self)))
    }
}

/// An entry that waits, and which one it is of all that ever did: those of one time keep their order.
#[derive(Debug)]
struct Waiting {
    turn: u64,
    entry: Entry,
}

/// The entries that wait.
#[derive(Debug, Default)]
pub(super) struct Timeline {
    /// In order: a new entry belongs at the end, or near it.
    entries: VecDeque<Waiting>,
    /// What came too late for that. A host does so seldom; a recording made by a stranger might with every event.
    late: BinaryHeap<Waiting>,
    turns: u64,
}

impl Timeline {
    /// Puts an entry behind all that are not later.
    pub(super) fn push(&mut self, entry: Entry) {
        let waiting = Waiting { turn: self.turns, entry };
        self.turns += 1;
        let is_later = |other: &Waiting| other.entry.time > waiting.entry.time;
        if !self.entries.back().is_some_and(is_later) {
            self.entries.push_back(waiting);
            return;
        }
        let end = self.entries.len();
        match self.entries.iter().rev().take(NEAR + 1).take_while(|other| is_later(other)).count() {
            overtaken @ ..=NEAR => self.entries.insert(end - overtaken, waiting),
            _ => self.late.push(waiting),
        }
    }

    /// All of them, in order.
    pub(super) fn in_order(&self) -> Vec<&Entry> {
        let mut all: Vec<&Waiting> = self.entries.iter().chain(&self.late).collect();
        if !self.late.is_empty() {
            all.sort_unstable_by_key(|waiting| waiting.order());
        }
        all.into_iter().map(|waiting| &waiting.entry).collect()
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.entries.len() + self.late.len()
    }

    /// The next entry.
    pub(super) fn first(&self) -> Option<&Entry> {
        let first = if self.is_late_first() { self.late.peek() } else { self.entries.front() };
        first.map(|waiting| &waiting.entry)
    }

    /// Takes out the next entry.
    pub(super) fn pop(&mut self) -> Option<Entry> {
        let first = if self.is_late_first() { self.late.pop() } else { self.entries.pop_front() };
        first.map(|waiting| waiting.entry)
    }

    fn is_late_first(&self) -> bool {
        self.late.peek().is_some_and(|late| self.entries.front().is_none_or(|entry| late.order() < entry.order()))
    }
}

impl Waiting {
    fn order(&self) -> (Time, u64) {
        (self.entry.time, self.turn)
    }
}

/// The greatest is the next: a heap gives the greatest.
impl Ord for Waiting {
    fn cmp(&self, other: &Self) -> Ordering {
        other.order().cmp(&self.order())
    }
}

impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Waiting {
    fn eq(&self, other: &Self) -> bool {
        self.order() == other.order()
    }
}

impl Eq for Waiting {}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn entry(time: Time, number: u64) -> Entry {
        Entry { time, life: (0, number), what: Tell::End }
    }

    proptest! {
        #[test]
        fn entries_come_out_by_time_and_those_of_one_time_as_they_went_in(
            times in vec((0..200_u64, 0..4_u8), 0..2000),
        ) {
            let (mut timeline, mut plain) = (Timeline::default(), Vec::new());
            let mut popped = Vec::new();
            for (number, (time, pops)) in times.into_iter().enumerate() {
                let number = number as u64;
                timeline.push(entry(time, number));
                let at = plain.partition_point(|&(other, _)| other <= time);
                plain.insert(at, (time, number));
                if pops == 0 {
                    let (_, first) = plain.remove(0);
                    popped.push((first, timeline.pop().map(|entry| entry.life.1)));
                }
            }
            popped.extend(plain.into_iter().map(|(_, number)| (number, timeline.pop().map(|entry| entry.life.1))));
            for (expected, found) in popped {
                prop_assert_eq!(found, Some(expected));
            }
            prop_assert!(timeline.first().is_none() && timeline.pop().is_none());
        }
    }
}
