//! When an event that was skipped is lost.
//!
//! The kernel counts an event as skipped before another program takes it. Where programs are preempted, and those on functions of
//! the kernel are everywhere, milliseconds may be between the two. So what seems lost is told when it has seemed so at every look
//! for long enough; and until then nothing that came after is settled.

use crate::event::Time;

/// How long it has to seem so, in nanoseconds.
const LONG_ENOUGH: Time = 500_000_000;

/// What seems lost.
#[derive(Clone, Copy, Debug)]
struct Doubt {
    /// Nothing did then,
    since: Time,
    /// and something at this look for the first time.
    first: Time,
    /// How many there were in all, at the look at which they were fewest.
    fewest: u64,
}

/// The events that were skipped and taken by no one.
#[derive(Debug, Default)]
pub(super) struct Skips {
    told: u64,
    doubt: Option<Doubt>,
}

impl Skips {
    /// How many were told to be lost.
    pub(super) fn told(&self) -> u64 {
        self.told
    }

    /// A look, at which so many seem lost in all. Returns how many of them are, and since when.
    pub(super) fn look(&mut self, seem: u64, last_look: Time, now: Time) -> Option<(u64, Time)> {
        if seem <= self.told {
            self.doubt = None;
            return None;
        }
        let doubt = self.doubt.get_or_insert(Doubt { since: last_look, first: now, fewest: seem });
        doubt.fewest = doubt.fewest.min(seem);
        let Doubt { since, first, fewest } = *doubt;
        if now.saturating_sub(first) < LONG_ENOUGH {
            return None;
        }
        self.doubt = None;
        let more = fewest - self.told;
        self.told = fewest;
        Some((more, since))
    }

    /// Up to when nothing is in doubt, at most `seen`.
    pub(super) fn settled(&self, seen: Time) -> Time {
        self.doubt.map_or(seen, |doubt| doubt.since.min(seen))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP: Time = LONG_ENOUGH / 4;

    /// Looks at these moments, with so many that seem lost: what each tells, and up to when all is settled after it.
    fn looks(seem: &[u64]) -> Vec<(Option<(u64, Time)>, Time)> {
        let mut skips = Skips::default();
        let times = (1..).map(|nth| nth * STEP);
        let look = |(&seem, now): (&u64, Time)| (skips.look(seem, now - STEP, now), skips.settled(now));
        seem.iter().zip(times).map(look).collect()
    }

    #[test]
    fn what_is_taken_in_time_is_not_lost() {
        let told = looks(&[0, 1, 3, 0, 2, 0]);
        assert_eq!(told, [1, 1, 1, 4, 4, 6].map(|settled| (None, settled * STEP)));
    }

    #[test]
    fn what_stays_is_lost_since_the_last_look_at_which_nothing_was() {
        let told = looks(&[0, 2, 2, 2, 2, 2, 2]);
        assert_eq!(told[1..5], [(None, STEP); 4]);
        assert_eq!(told[5], (Some((2, STEP)), 6 * STEP));
        assert_eq!(told[6], (None, 7 * STEP));
    }

    #[test]
    fn of_what_comes_and_goes_only_what_was_there_at_every_look_is_lost() {
        let told = looks(&[5, 4, 1, 3, 4, 1, 2, 2, 2, 2, 2]);
        assert_eq!(told[4], (Some((1, 0)), 5 * STEP));
        // The rest of that look's may still be taken; here it is.
        assert_eq!(told[5], (None, 6 * STEP));
        assert_eq!(told[10], (Some((1, 6 * STEP)), 11 * STEP));
    }
}
