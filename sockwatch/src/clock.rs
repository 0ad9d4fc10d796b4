//! From the kernel's clock to the wall's.

use std::{collections::VecDeque, fs, sync::OnceLock};

use jiff::Timestamp;
use nix::time::{ClockId, clock_gettime};

use crate::event::Time;

/// What the wall clock says at a time of `CLOCK_BOOTTIME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clock {
    /// `CLOCK_REALTIME` minus `CLOCK_BOOTTIME`, nanoseconds: of the oldest times.
    first: i128,
    /// From when on it was another: the wall clock was set. In order.
    steps: VecDeque<(Time, i128)>,
}

/// What is less is not told from the time between two readings: a millisecond.
const SMALLEST_STEP: i128 = 1_000_000;

/// Most steps that are remembered; beyond, the oldest times are shown with what held after them.
const STEPS: usize = 1024;

impl Clock {
    /// The offset now.
    ///
    /// # Errors
    /// If the kernel has not these clocks.
    pub fn now() -> Result<Self, nix::Error> {
        Ok(Self::at(reading()?.1))
    }

    /// The offset now, if the wall clock was set since the latest that is known.
    #[must_use]
    pub fn was_set(&self) -> Option<i128> {
        let (doubt, offset) = reading().ok()?;
        // The two run at the same rate, also while the time daemon slews them.
        ((offset - self.offset()).abs() > SMALLEST_STEP + 2 * doubt).then_some(offset)
    }

    /// One that was never set, with this offset.
    #[must_use]
    pub fn at(offset: i128) -> Self {
        Self { first: offset, steps: VecDeque::new() }
    }

    /// The latest offset.
    #[must_use]
    pub fn offset(&self) -> i128 {
        self.steps.back().map_or(self.first, |&(_, offset)| offset)
    }

    /// When it was set last, and the offset since.
    #[must_use]
    pub fn last_step(&self) -> Option<(Time, i128)> {
        self.steps.back().copied()
    }

    /// The wall clock was set: from then on this is the offset.
    pub fn step(&mut self, since: Time, offset: i128) {
        let since = self.steps.back().map_or(since, |&(last, _)| last.max(since));
        self.steps.push_back((since, offset));
        if self.steps.len() > STEPS
            && let Some((_, offset)) = self.steps.pop_front()
        {
            self.first = offset;
        }
    }

    /// Nanoseconds since 1970 at a time.
    #[must_use]
    pub fn nanoseconds(&self, time: Time) -> i128 {
        let after = if self.steps.is_empty() { 0 } else { self.steps.partition_point(|&(since, _)| since <= time) };
        let offset = after.checked_sub(1).map_or(self.first, |last| self.steps[last].1);
        offset + i128::from(time)
    }

    /// The wall clock at a time.
    #[must_use]
    pub fn wall(&self, time: Time) -> Timestamp {
        Timestamp::from_nanosecond(self.nanoseconds(time)).unwrap_or(Timestamp::UNIX_EPOCH)
    }
}

/// The time of events now.
///
/// # Errors
/// If the kernel has not this clock.
pub fn boot_time() -> Result<Time, nix::Error> {
    read(ClockId::CLOCK_BOOTTIME).map(|time| Time::try_from(time).unwrap_or(0))
}

/// How far apart the two clocks are, behind how long it took to read them: they can't be read at once. The quickest of three.
fn reading() -> Result<(i128, i128), nix::Error> {
    let once = || {
        let before = read(ClockId::CLOCK_BOOTTIME)?;
        let wall = read(ClockId::CLOCK_REALTIME)?;
        let after = read(ClockId::CLOCK_BOOTTIME)?;
        Ok((after - before, wall - (before + after) / 2))
    };
    Ok(once()?.min(once()?).min(once()?))
}

fn read(clock: ClockId) -> Result<i128, nix::Error> {
    let time = clock_gettime(clock)?;
    let shift = if clock == ClockId::CLOCK_BOOTTIME { boot_time_shift() } else { 0 };
    Ok(i128::from(time.tv_sec()) * 1_000_000_000 + i128::from(time.tv_nsec()) - shift)
}

/// By how much this process is shown a later `CLOCK_BOOTTIME` than the kernel's, which is that of the events: nanoseconds. Other
/// than 0 in a time namespace.
fn boot_time_shift() -> i128 {
    static SHIFT: OnceLock<i128> = OnceLock::new();
    *SHIFT.get_or_init(|| fs::read_to_string("/proc/self/timens_offsets").map_or(0, |text| shift_of(&text)))
}

/// Of `/proc/self/timens_offsets`: for each clock a line with its name, seconds and nanoseconds (time_namespaces(7)).
fn shift_of(offsets: &str) -> i128 {
    let words = offsets.lines().map(|line| line.split_ascii_whitespace().collect::<Vec<_>>());
    let mut shifts = words.filter_map(|words| match words[..] {
        ["boottime", seconds, nanoseconds] => {
            Some(seconds.parse::<i128>().ok()? * 1_000_000_000 + nanoseconds.parse::<i128>().ok()?)
        }
        _ => None,
    });
    shifts.next_back().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_time_is_shown_as_the_wall_clock_had_it_then() {
        let mut clock = Clock::at(1_000);
        clock.step(50, 5_000);
        clock.step(70, 100);
        for (time, wall) in [(0, 1_000), (49, 1_049), (50, 5_050), (69, 5_069), (70, 170), (1_000, 1_100)] {
            assert_eq!(clock.nanoseconds(time), wall, "at {time}");
        }
    }

    #[test]
    fn a_clock_that_is_set_all_the_time_takes_no_more_memory() {
        let mut clock = Clock::at(0);
        for step in 0..10_000 {
            clock.step(step, step.into());
        }
        assert_eq!(clock.steps.len(), STEPS);
        assert_eq!(clock.nanoseconds(10_000), 19_999);
    }

    #[test]
    fn the_shift_of_a_time_namespace_is_read() {
        for (offsets, shift) in [
            ("monotonic           0         0\nboottime            0         0\n", 0),
            ("monotonic           7         0\nboottime      1000000         5\n", 1_000_000_000_000_005),
            ("monotonic           0         0\nboottime         -100 500000000\n", -99_500_000_000),
            ("", 0),
            ("boottime much 0", 0),
        ] {
            assert_eq!(shift_of(offsets), shift, "{offsets}");
        }
    }

    #[test]
    fn a_clock_that_nobody_sets_was_not_set() {
        assert_eq!(Clock::now().unwrap().was_set(), None);
        let elsewhere = Clock::at(Clock::now().unwrap().offset() + 3_600_000_000_000);
        assert!(elsewhere.was_set().is_some());
    }
}
