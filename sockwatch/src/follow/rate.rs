//! How often something happens: counted by the second.

use crate::event::Time;

const SECOND: Time = 1_000_000_000;

/// Counts of the last `N` seconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rate<const N: usize> {
    /// The count of a second is at its number modulo `N`.
    counts: [u32; N],
    /// The newest second that has a count.
    newest: u64,
}

impl<const N: usize> Default for Rate<N> {
    fn default() -> Self {
        Self { counts: [0; N], newest: 0 }
    }
}

impl<const N: usize> Rate<N> {
    /// It happened once more.
    pub(crate) fn add(&mut self, time: Time) {
        self.add_many(time, 1);
    }

    /// It happened so many times more.
    pub(crate) fn add_many(&mut self, time: Time, times: u32) {
        let second = time / SECOND;
        if second > self.newest {
            // What was not counted meanwhile did not happen; the places are those of seconds long past.
            for passed in (self.newest + 1..=second).rev().take(N) {
                self.counts[place::<N>(passed)] = 0;
            }
            self.newest = second;
        }
        // Reports come nearly in the order of time.
        if self.knows(second) {
            let count = &mut self.counts[place::<N>(second)];
            *count = count.saturating_add(times);
        }
    }

    /// How often in the last whole second.
    pub(crate) fn last(&self, now: Time) -> u32 {
        (now / SECOND).checked_sub(1).map_or(0, |second| self.of(second))
    }

    /// How often in each of the last so many whole seconds, oldest first.
    pub(crate) fn series(&self, now: Time, seconds: usize) -> impl Iterator<Item = u32> {
        let this = now / SECOND;
        (1..=seconds as u64).rev().map(move |ago| this.checked_sub(ago).map_or(0, |second| self.of(second)))
    }

    fn of(&self, second: u64) -> u32 {
        if self.knows(second) { self.counts[place::<N>(second)] } else { 0 }
    }

    fn knows(&self, second: u64) -> bool {
        second <= self.newest && self.newest - second < N as u64
    }
}

/// The highest that something stood in each of the last `N` seconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Level<const N: usize> {
    /// As the counts of a [`Rate`].
    peaks: [u32; N],
    newest: u64,
    /// How it stands since it last changed.
    pub(crate) level: u32,
}

impl<const N: usize> Default for Level<N> {
    fn default() -> Self {
        Self { peaks: [0; N], newest: 0, level: 0 }
    }
}

impl<const N: usize> Level<N> {
    /// From this time on it stands so.
    pub(crate) fn set(&mut self, time: Time, level: u32) {
        let second = time / SECOND;
        if second > self.newest {
            for passed in (self.newest + 1..=second).rev().take(N) {
                self.peaks[place::<N>(passed)] = self.level;
            }
            self.newest = second;
        }
        self.level = level;
        let peak = &mut self.peaks[place::<N>(self.newest)];
        *peak = level.max(*peak);
    }

    /// The highest in each of the last so many whole seconds, oldest first.
    pub(crate) fn series(&self, now: Time, seconds: usize) -> impl Iterator<Item = u32> {
        let this = now / SECOND;
        (1..=seconds as u64).rev().map(move |ago| match this.checked_sub(ago) {
            None => 0,
            Some(second) if second > self.newest => self.level,
            Some(second) if self.newest - second < N as u64 => self.peaks[place::<N>(second)],
            Some(_) => 0,
        })
    }
}

fn place<const N: usize>(second: u64) -> usize {
    usize::try_from(second % N as u64).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happened_is_counted_in_its_second_and_forgotten_in_time() {
        let mut rate = Rate::<4>::default();
        for tenth in [10, 11, 19, 20, 40] {
            rate.add(tenth * SECOND / 10);
        }
        assert_eq!(rate.last(5 * SECOND), 1, "the fourth second");
        assert_eq!(rate.series(5 * SECOND, 5).collect::<Vec<_>>(), [0, 3, 1, 0, 1]);
        rate.add(50 * SECOND / 10);
        assert_eq!(rate.series(6 * SECOND, 5).collect::<Vec<_>>(), [0, 1, 0, 1, 1], "the first second is forgotten");
    }

    #[test]
    fn a_level_stays_until_it_changes_and_its_peaks_are_kept() {
        let mut level = Level::<4>::default();
        for (tenth, to) in [(10, 1), (11, 5), (12, 2), (35, 3), (36, 0)] {
            level.set(tenth * SECOND / 10, to);
        }
        assert_eq!(level.series(4 * SECOND, 4).collect::<Vec<_>>(), [0, 5, 2, 3]);
        assert_eq!(level.series(6 * SECOND, 3).collect::<Vec<_>>(), [3, 0, 0]);
        level.set(1_000 * SECOND, 7);
        assert_eq!(level.series(1_002 * SECOND, 4).collect::<Vec<_>>(), [0, 0, 7, 7]);
    }

    #[test]
    fn after_a_long_silence_nothing_old_is_counted_and_what_comes_too_late_is_left_out() {
        let mut rate = Rate::<4>::default();
        (0..4).for_each(|second| rate.add(second * SECOND));
        rate.add(1_000 * SECOND);
        rate.add(2 * SECOND);
        assert_eq!(rate.series(1_001 * SECOND, 4).collect::<Vec<_>>(), [0, 0, 0, 1]);
        assert_eq!(rate.last(2_000 * SECOND), 0);
    }
}
