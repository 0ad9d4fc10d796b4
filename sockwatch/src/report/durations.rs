//! How durations are distributed.

/// Steps to each power of two.
const STEPS: u64 = 32;

/// A histogram whose steps grow with the values. Counts, the smallest and the largest are exact; a quantile is the middle
/// of its step, at most 1/64 (1.6 %) off. It takes memory for the range of its values alone: a few hundred bytes as a rule,
/// at most 8 kB.
#[derive(Clone, Debug, Default)]
pub(super) struct Histogram {
    /// The step that `counts` begins with.
    first: usize,
    counts: Vec<u32>,
    count: u64,
    least: u64,
    most: u64,
}

impl Histogram {
    pub(super) fn add(&mut self, value: u64) {
        let step = step(value);
        if self.counts.is_empty() {
            self.first = step;
            self.least = value;
        }
        if step < self.first {
            let room = self.first - step;
            self.counts.splice(0..0, std::iter::repeat_n(0, room));
            self.first = step;
        }
        let at = step - self.first;
        if at >= self.counts.len() {
            self.counts.resize(at + 1, 0);
        }
        self.counts[at] = self.counts[at].saturating_add(1);
        self.count += 1;
        self.least = self.least.min(value);
        self.most = self.most.max(value);
    }

    /// Takes in what another counted.
    pub(super) fn merge(&mut self, other: &Self) {
        if other.counts.is_empty() {
            return;
        }
        if self.counts.is_empty() {
            self.clone_from(other);
            return;
        }
        let first = self.first.min(other.first);
        let end = (self.first + self.counts.len()).max(other.first + other.counts.len());
        let mut counts = vec![0u32; end - first];
        for half in [&*self, other] {
            for (at, &count) in half.counts.iter().enumerate() {
                let sum = &mut counts[half.first - first + at];
                *sum = sum.saturating_add(count);
            }
        }
        self.first = first;
        self.counts = counts;
        self.count += other.count;
        self.least = self.least.min(other.least);
        self.most = self.most.max(other.most);
    }

    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// The largest value.
    pub(super) fn max(&self) -> Option<u64> {
        (self.count > 0).then_some(self.most)
    }

    /// The value that this share of all, 0 to 1, does not exceed.
    pub(super) fn quantile(&self, share: f64) -> Option<u64> {
        let total: u64 = self.counts.iter().map(|&count| u64::from(count)).sum();
        let rank = ((total as f64 * share).ceil() as u64).max(1);
        let mut seen = 0;
        let at = self.counts.iter().position(|&count| {
            seen += u64::from(count);
            seen >= rank
        })?;
        Some(middle(self.first + at).clamp(self.least, self.most))
    }
}

/// Which step a value is on: below 32 each has its own.
fn step(value: u64) -> usize {
    if value < STEPS {
        return value as usize;
    }
    let power = value.ilog2() - STEPS.ilog2();
    (u64::from(power) * STEPS + (value >> power)) as usize
}

/// The value in the middle of a step.
fn middle(step: usize) -> u64 {
    let step = step as u64;
    if step < 2 * STEPS {
        return step;
    }
    let power = step / STEPS - 1;
    let lowest = (step % STEPS + STEPS) << power;
    lowest + (1 << power) / 2
}

/// The bounds between [`Bands`], nanoseconds.
const BOUNDS: [u64; 9] = {
    const MS: u64 = 1_000_000;
    const MINUTE: u64 = 60_000 * MS;
    [MS, 10 * MS, 100 * MS, 1000 * MS, 10_000 * MS, MINUTE, 10 * MINUTE, 60 * MINUTE, 1440 * MINUTE]
};

/// Exact counts of durations in the bands that people think in: below a millisecond, ten, a hundred, a second, …, a day, and
/// more.
#[derive(Clone, Debug, Default)]
pub(super) struct Bands([u64; BOUNDS.len() + 1]);

impl Bands {
    pub(super) fn add(&mut self, duration: u64) {
        self.0[BOUNDS.partition_point(|&bound| bound <= duration)] += 1;
    }

    /// Each band: durations below this bound, which the last has not, and not in a band before.
    pub(super) fn rows(&self) -> impl Iterator<Item = (Option<u64>, u64)> {
        self.0.iter().enumerate().map(|(at, &count)| (BOUNDS.get(at).copied(), count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_within_a_sixty_fourth_of_the_truth() {
        let mut histogram = Histogram::default();
        let mut values: Vec<u64> = (0..10_000u64).map(|n| 1_000 + n * n * 37).collect();
        values.iter().for_each(|&value| histogram.add(value));
        values.sort_unstable();
        for share in [0.01, 0.5, 0.9, 0.99, 1.0] {
            let truth = values[((values.len() as f64 * share).ceil() as usize) - 1];
            let said = histogram.quantile(share).unwrap();
            assert!(said.abs_diff(truth) <= truth / 64 + 1, "{share}: {said} for {truth}");
        }
        assert_eq!((histogram.count(), histogram.max()), (10_000, values.last().copied()));
    }

    #[test]
    fn it_is_small_for_ordinary_values_and_bounded_for_all() {
        let mut histogram = Histogram::default();
        [900_000, 1_000_000, 1_100_000].iter().for_each(|&value| histogram.add(value));
        assert!(histogram.counts.len() < 32, "{}", histogram.counts.len());
        [0, 1, u64::MAX].iter().for_each(|&value| histogram.add(value));
        assert!(histogram.counts.len() <= 2048, "{}", histogram.counts.len());
        assert_eq!(histogram.quantile(1.0), Some(u64::MAX - (1 << 58) / 2 + 1));
    }

    #[test]
    fn two_halves_make_the_whole() {
        let (mut low, mut high, mut whole) = (Histogram::default(), Histogram::default(), Histogram::default());
        for value in (0..5_000).map(|n| if n % 3 == 0 { n } else { n * 1000 }) {
            let half = if value < 1000 { &mut low } else { &mut high };
            half.add(value);
            whole.add(value);
        }
        high.merge(&low);
        high.merge(&Histogram::default());
        for share in [0.0, 0.1, 0.5, 0.99] {
            assert_eq!(high.quantile(share), whole.quantile(share));
        }
        assert_eq!((high.count(), high.max()), (whole.count(), whole.max()));
    }

    #[test]
    fn nothing_has_no_quantile() {
        assert_eq!((Histogram::default().quantile(0.5), Histogram::default().max()), (None, None));
    }

    #[test]
    fn a_band_ends_before_its_bound() {
        let mut bands = Bands::default();
        [0, 999_999, 1_000_000, u64::MAX].iter().for_each(|&duration| bands.add(duration));
        let counts: Vec<u64> = bands.rows().map(|(_, count)| count).collect();
        assert_eq!(counts, [2, 1, 0, 0, 0, 0, 0, 0, 0, 1]);
    }
}
