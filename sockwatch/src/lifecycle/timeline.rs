//! What is to be told, in the order of time, until it is settled.

use std::collections::VecDeque;

use super::Signal;
use crate::event::Time;

/// How far records of two processors may be out of order (each is stamped before it is written): one millisecond.
const SKEW: Time = 1_000_000;

/// How long an entry waits for what may explain it: 20 milliseconds. What follows comes from the same thread, in the same
/// system call.
const PATIENCE: Time = 20_000_000;

/// Something to tell.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) time: Time,
    /// Where the life is, and its number: the place is used again.
    pub(super) life: (usize, u64),
    pub(super) what: Tell,
}

/// See [`Entry`].
#[derive(Debug)]
pub(super) enum Tell {
    /// Which, counted from the first of the life.
    Milestone(u64),
    Signal(Box<Signal>),
    End,
}

/// The entries that wait.
#[derive(Debug, Default)]
pub(super) struct Timeline {
    entries: VecDeque<Entry>,
}

impl Timeline {
    /// Puts an entry behind all that are not later.
    pub(super) fn push(&mut self, entry: Entry) {
        let mut at = self.entries.len();
        while at > 0 && self.entries[at - 1].time > entry.time {
            at -= 1;
        }
        if at == self.entries.len() { self.entries.push_back(entry) } else { self.entries.insert(at, entry) }
    }

    /// The next entry that is settled when every event up to `now` was seen. `open` says whether the meaning of an entry
    /// can still change.
    pub(super) fn pop(&mut self, now: Time, open: impl FnOnce(&Entry) -> bool) -> Option<Entry> {
        let front = self.entries.front()?;
        if front.time.saturating_add(SKEW) > now || open(front) && front.time.saturating_add(PATIENCE) > now {
            return None;
        }
        self.entries.pop_front()
    }
}
