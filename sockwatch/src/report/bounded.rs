//! Counting by a key, of which there may be more than there is memory for.

use std::{collections::HashMap, hash::Hash};

/// Most keys of one table.
const MOST: usize = 10_000;

/// What is counted of a key. Keys that weigh least are given up first.
pub(super) trait Weigh: Default {
    /// How much it matters.
    fn weight(&self) -> u64;
}

impl Weigh for u64 {
    fn weight(&self) -> u64 {
        *self
    }
}

/// Counts by key. When there are too many keys the lighter half is forgotten; one that comes again starts from nothing.
/// From then on every count is a lower bound: a key that is heavy throughout keeps its whole count.
#[derive(Debug)]
pub(super) struct Bounded<K, V> {
    rows: HashMap<K, V>,
    most: usize,
    forgotten: u64,
}

impl<K: Hash + Eq, V: Weigh> Bounded<K, V> {
    pub(super) fn new() -> Self {
        Self::with_most(MOST)
    }

    fn with_most(most: usize) -> Self {
        Self { rows: HashMap::new(), most, forgotten: 0 }
    }

    /// What was counted of this key so far.
    pub(super) fn of(&mut self, key: K) -> &mut V {
        if self.rows.len() >= self.most && !self.rows.contains_key(&key) {
            self.forget();
        }
        self.rows.entry(key).or_default()
    }

    fn forget(&mut self) {
        let mut weights: Vec<u64> = self.rows.values().map(V::weight).collect();
        let half = weights.len() / 2;
        let (_, &mut limit, _) = weights.select_nth_unstable(half);
        // Of those at the limit, which may be all, as many go as are needed.
        let mut at_limit = half - weights[..half].iter().filter(|&&weight| weight < limit).count();
        let before = self.rows.len();
        self.rows.retain(|_, row| {
            let weight = row.weight();
            if weight == limit && at_limit > 0 {
                at_limit -= 1;
                return false;
            }
            weight >= limit
        });
        self.forgotten += (before - self.rows.len()) as u64;
    }

    /// Whether keys were forgotten: counts are lower bounds, and there were more keys than these.
    pub(super) fn is_lower_bound(&self) -> bool {
        self.forgotten > 0
    }

    /// All that is left, in no order.
    pub(super) fn into_rows(self) -> impl ExactSizeIterator<Item = (K, V)> {
        self.rows.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_keys_takes_no_more_memory_and_leaves_the_heavy_ones_whole() {
        let mut counts: Bounded<u64, u64> = Bounded::with_most(100);
        for round in 0..10_000 {
            *counts.of(1_000_000 + round) += 1;
            *counts.of(7) += 1;
            assert!(counts.rows.len() <= 100);
        }
        assert!(counts.is_lower_bound());
        assert_eq!(counts.rows[&7], 10_000);
    }

    #[test]
    fn nothing_is_forgotten_while_there_is_room() {
        let mut counts: Bounded<u64, u64> = Bounded::with_most(100);
        (0..100).for_each(|key| *counts.of(key) += 1);
        (0..100).for_each(|key| *counts.of(key) += 1);
        assert!(!counts.is_lower_bound());
        assert_eq!(counts.into_rows().map(|(_, count)| count).sum::<u64>(), 200);
    }
}
