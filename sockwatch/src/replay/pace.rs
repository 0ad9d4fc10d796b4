//! How fast a recording is told.

use std::time::{Duration, Instant};

/// Keeps time.
pub(super) struct Pace {
    speed: u32,
    start: Option<(Instant, i128)>,
}

/// The longest wait in one go, so that a signal is heeded soon.
const NAP: Duration = Duration::from_millis(100);

impl Pace {
    pub(super) fn new(speed: u32) -> Self {
        Self { speed, start: None }
    }

    /// Whether it is not yet this time: then it waits for it, or a while.
    pub(super) fn is_early(&mut self, wall: i128) -> bool {
        let (began, first) = *self.start.get_or_insert((Instant::now(), wall));
        let after = u64::try_from(wall.saturating_sub(first) / i128::from(self.speed.max(1))).unwrap_or(0);
        let wait = Duration::from_nanos(after).saturating_sub(began.elapsed());
        std::thread::sleep(wait.min(NAP));
        wait > NAP
    }
}
