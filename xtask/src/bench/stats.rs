//! Medians and spreads.

use serde::Serialize;

/// What several measurements of one thing came to.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Spread {
    /// The middle one; between the two in the middle of an even number.
    pub(crate) median: f64,
    /// The least.
    pub(crate) least: f64,
    /// The most.
    pub(crate) most: f64,
    /// How many there are.
    pub(crate) runs: usize,
}

impl Spread {
    /// Of these; none if there are none, or one is no number.
    pub(crate) fn of(measured: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = measured.into_iter().collect();
        if sorted.iter().any(|number| number.is_nan()) {
            return None;
        }
        sorted.sort_unstable_by(f64::total_cmp);
        let (&least, &most) = (sorted.first()?, sorted.last()?);
        let middle = sorted.len() / 2;
        let median = if sorted.len() % 2 == 1 { sorted[middle] } else { (sorted[middle - 1] + sorted[middle]) / 2.0 };
        Some(Self { median, least, most, runs: sorted.len() })
    }

    /// Of the ratios of what was measured to what it is compared with, each measured at the same time: a machine that is
    /// slower for a while is so for both. Pairs that lack one of the two are left out.
    pub(crate) fn of_ratios(pairs: impl IntoIterator<Item = (Option<f64>, Option<f64>)>) -> Option<Self> {
        let ratio = |(measured, compared): (Option<f64>, Option<f64>)| {
            let compared = compared.filter(|&compared| compared > 0.0)?;
            Some(measured? / compared)
        };
        Self::of(pairs.into_iter().filter_map(ratio))
    }
}

/// A fraction; none of nothing.
pub(crate) fn per(part: f64, whole: f64) -> Option<f64> {
    (whole > 0.0).then(|| part / whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_one_or_between_the_two_in_the_middle() {
        let spread = Spread::of([5.0, 1.0, 3.0]).unwrap();
        assert_eq!(spread, Spread { median: 3.0, least: 1.0, most: 5.0, runs: 3 });
        assert_eq!(Spread::of([4.0, 1.0, 2.0, 100.0]).unwrap().median, 3.0);
        assert_eq!(Spread::of([7.0]).unwrap().median, 7.0);
        assert_eq!(Spread::of([]), None);
        assert_eq!(Spread::of([1.0, f64::NAN]), None);
    }

    #[test]
    fn ratios_are_of_pairs_so_a_slow_moment_is_slow_for_both() {
        // The second pair ran at half the speed: the ratio of medians would be 60 / 100.
        let pairs = [(Some(80.0), Some(100.0)), (Some(40.0), Some(50.0)), (Some(60.0), Some(120.0))];
        let spread = Spread::of_ratios(pairs).unwrap();
        assert_eq!((spread.median, spread.least, spread.most), (0.8, 0.5, 0.8));
    }

    #[test]
    fn a_pair_of_which_one_did_not_run_is_left_out() {
        let pairs = [(None, Some(100.0)), (Some(50.0), None), (Some(50.0), Some(0.0)), (Some(50.0), Some(100.0))];
        assert_eq!(Spread::of_ratios(pairs), Some(Spread { median: 0.5, least: 0.5, most: 0.5, runs: 1 }));
        assert_eq!(Spread::of_ratios([(None, None)]), None);
    }
}
