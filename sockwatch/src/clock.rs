//! From the kernel's clock to the wall's.

use jiff::Timestamp;
use nix::time::{ClockId, clock_gettime};

use crate::event::Time;

/// What the wall clock says at a time of `CLOCK_BOOTTIME`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    /// `CLOCK_REALTIME` minus `CLOCK_BOOTTIME`, nanoseconds.
    pub offset: i128,
}

impl Clock {
    /// The offset now. Read three times, and the reading kept that took least: the two clocks can't be read at once.
    ///
    /// # Errors
    /// If the kernel has not these clocks.
    pub fn now() -> Result<Self, nix::Error> {
        let mut best = None;
        for _ in 0..3 {
            let before = read(ClockId::CLOCK_BOOTTIME)?;
            let wall = read(ClockId::CLOCK_REALTIME)?;
            let after = read(ClockId::CLOCK_BOOTTIME)?;
            let reading = (after - before, wall - (before + after) / 2);
            best = Some(best.map_or(reading, |best: (i128, i128)| best.min(reading)));
        }
        Ok(Self { offset: best.map_or(0, |(_, offset)| offset) })
    }

    /// The wall clock at a time.
    #[must_use]
    pub fn wall(&self, time: Time) -> Timestamp {
        Timestamp::from_nanosecond(self.offset + i128::from(time)).unwrap_or(Timestamp::UNIX_EPOCH)
    }
}

/// The time of events now.
///
/// # Errors
/// If the kernel has not this clock.
pub fn boot_time() -> Result<Time, nix::Error> {
    read(ClockId::CLOCK_BOOTTIME).map(|time| Time::try_from(time).unwrap_or(0))
}

fn read(clock: ClockId) -> Result<i128, nix::Error> {
    let time = clock_gettime(clock)?;
    Ok(i128::from(time.tv_sec()) * 1_000_000_000 + i128::from(time.tv_nsec()))
}
