//! How much happened when.

use serde::Serialize;

const MS: i128 = 1_000_000;
const SECOND: i128 = 1_000 * MS;
const MINUTE: i128 = 60 * SECOND;
const DAY: i128 = 1_440 * MINUTE;

/// Lengths of an interval while events come in, each a multiple of the one before.
const LENGTHS: [i128; 9] = [MS, 10 * MS, 100 * MS, SECOND, 10 * SECOND, MINUTE, 10 * MINUTE, 60 * MINUTE, DAY];

/// Lengths that a reader likes.
const PLEASANT: [i128; 31] = [
    MS,
    2 * MS,
    5 * MS,
    10 * MS,
    20 * MS,
    50 * MS,
    100 * MS,
    200 * MS,
    500 * MS,
    SECOND,
    2 * SECOND,
    5 * SECOND,
    10 * SECOND,
    20 * SECOND,
    30 * SECOND,
    MINUTE,
    2 * MINUTE,
    5 * MINUTE,
    10 * MINUTE,
    20 * MINUTE,
    30 * MINUTE,
    60 * MINUTE,
    120 * MINUTE,
    360 * MINUTE,
    720 * MINUTE,
    DAY,
    2 * DAY,
    5 * DAY,
    10 * DAY,
    20 * DAY,
    50 * DAY,
];

/// Most intervals while events come in.
const MOST: usize = 4096;

/// What is counted.
#[derive(Clone, Copy, Debug)]
pub(super) enum What {
    /// A connection began: the connect, or the last ACK of its handshake.
    Opened,
    /// A connection reached CLOSE.
    Closed,
    /// A bind, listen, connect or accept failed, or a connection came to a bad end.
    Failed,
}

/// Counts in intervals of time, which grow longer so that there never are too many of them.
#[derive(Debug, Default)]
pub(super) struct Rates {
    /// Which length.
    length: usize,
    /// Number of the first interval: since 1970, in intervals.
    first: i64,
    counts: Vec<[u32; 3]>,
    /// How many lengths of the last in the table make one, where that is not enough.
    stretch: i64,
}

/// Counts in intervals of equal length. The first begins at `since`.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Series {
    /// Nanoseconds since 1970.
    #[serde(skip)]
    pub since: i128,
    /// How long an interval is, nanoseconds.
    pub interval_ns: u64,
    /// Connections that began in each.
    pub opened: Vec<u64>,
    /// Connections that reached CLOSE in each.
    pub closed: Vec<u64>,
    /// Calls that failed and connections that came to a bad end in each.
    pub failed: Vec<u64>,
}

impl Rates {
    /// Something happened at this many nanoseconds since 1970. Of what is before 1677 or after 2262 it is the last moment.
    pub(super) fn add(&mut self, wall: i128, what: What) {
        // Divisions of 64 bits are several times as quick.
        let wall = wall.clamp(i64::MIN.into(), i64::MAX.into()) as i64;
        if self.counts.is_empty() {
            self.stretch = 1;
            self.first = wall.div_euclid(self.width());
        }
        loop {
            let at = wall.div_euclid(self.width()) - self.first;
            let count = self.counts.len() as i64;
            let needed = if at < 0 { count - at } else { count.max(at + 1) };
            if needed > MOST as i64 {
                self.widen();
                continue;
            }
            if at < 0 {
                self.counts.splice(0..0, std::iter::repeat_n([0; 3], (-at) as usize));
                self.first += at;
            } else if at >= count {
                self.counts.resize(at as usize + 1, [0; 3]);
            }
            let count = &mut self.counts[at.max(0) as usize][what as usize];
            *count = count.saturating_add(1);
            return;
        }
    }

    fn width(&self) -> i64 {
        LENGTHS[self.length] as i64 * self.stretch
    }

    fn widen(&mut self) {
        let before = self.width();
        if self.length + 1 < LENGTHS.len() {
            self.length += 1;
        } else {
            self.stretch *= 10;
        }
        let ratio = self.width() / before;
        let first = self.first.div_euclid(ratio);
        let mut counts: Vec<[u32; 3]> = Vec::new();
        for (at, count) in self.counts.iter().enumerate() {
            let to = ((self.first + at as i64).div_euclid(ratio) - first) as usize;
            counts.resize(counts.len().max(to + 1), [0; 3]);
            for (sum, count) in counts[to].iter_mut().zip(count) {
                *sum = sum.saturating_add(*count);
            }
        }
        (self.first, self.counts) = (first, counts);
    }

    /// The counts between the first and the last moment, in at most this many intervals, of a length that is pleasant to
    /// read. None if nothing was counted.
    pub(super) fn series(&self, most: usize, (first, last): (i128, i128)) -> Option<Series> {
        if self.counts.is_empty() {
            return None;
        }
        let width = i128::from(self.width());
        let from = i128::from(self.first) * width;
        let start = from.min(first.div_euclid(width) * width);
        let end = (from + width * self.counts.len() as i128).max(last + 1);
        let spans = |length: i128| (end - 1).div_euclid(length) - start.div_euclid(length) + 1;
        let fits = |length: i128| length % width == 0 && spans(length) <= most as i128;
        let length = PLEASANT.into_iter().find(|&length| fits(length)).unwrap_or_else(|| {
            // No recording lasts that long, but its times may say so.
            let mut length = width;
            while spans(length) > most as i128 {
                length *= 2;
            }
            length
        });
        let first = start.div_euclid(length);
        let mut series = Series { since: first * length, interval_ns: length as u64, ..Series::default() };
        let count = spans(length) as usize;
        for (what, to) in [&mut series.opened, &mut series.closed, &mut series.failed].into_iter().enumerate() {
            to.resize(count, 0);
            for (at, counts) in self.counts.iter().enumerate() {
                let at = (from + at as i128 * width).div_euclid(length) - first;
                to[at as usize] += u64::from(counts[what]);
            }
        }
        Some(series)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_is_told_in_seconds() {
        let mut rates = Rates::default();
        for ms in 0..60_000 {
            rates.add(1_000_000 * SECOND + ms * MS, What::Opened);
        }
        let start = 1_000_000 * SECOND;
        let series = rates.series(60, (start, start)).unwrap();
        assert_eq!((series.since, i128::from(series.interval_ns)), (1_000_000 * SECOND, SECOND));
        assert_eq!(series.opened, [1000; 60]);
        assert_eq!(series.failed, [0; 60]);
    }

    #[test]
    fn quiet_times_before_and_after_are_shown() {
        let mut rates = Rates::default();
        rates.add(50 * SECOND, What::Closed);
        let series = rates.series(120, (0, 100 * SECOND - 1)).unwrap();
        assert_eq!((series.since, series.closed.len()), (0, 100));
        assert_eq!(series.closed[50], 1);
    }

    #[test]
    fn what_comes_late_or_out_of_all_proportion_is_counted_in_bounded_memory() {
        let mut rates = Rates::default();
        let times = [5 * SECOND, 3 * SECOND, 0, -7 * DAY, 300_000 * DAY, 5 * SECOND];
        for time in times {
            rates.add(time, What::Failed);
            assert!(rates.counts.len() <= MOST);
        }
        let series = rates.series(240, (0, 0)).unwrap();
        assert!(series.failed.len() <= 240);
        assert_eq!(series.failed.iter().sum::<u64>(), times.len() as u64);
    }

    #[test]
    fn five_hundred_years_are_told_at_once() {
        let mut rates = Rates::default();
        rates.add(0, What::Opened);
        let series = rates.series(240, (0, 500 * 365 * DAY)).unwrap();
        assert!(series.opened.len() <= 240);
        assert_eq!(series.opened[0], 1);
    }

    #[test]
    fn nothing_has_no_series() {
        assert!(Rates::default().series(60, (0, SECOND)).is_none());
    }
}
