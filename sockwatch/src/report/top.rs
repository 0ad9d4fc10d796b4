//! The sockets that lead a list.

use std::{cmp::Ordering, collections::BinaryHeap};

/// The rows with the highest values that were offered. Of equal values the one that came first.
#[derive(Debug)]
pub(super) struct Top<T> {
    most: usize,
    offered: u64,
    rows: BinaryHeap<Row<T>>,
}

#[derive(Debug)]
struct Row<T> {
    value: u64,
    nth: u64,
    row: T,
}

impl<T> Top<T> {
    pub(super) fn new(most: usize) -> Self {
        Self { most, offered: 0, rows: BinaryHeap::new() }
    }

    /// A row with this value; made only if it is among the first.
    pub(super) fn offer(&mut self, value: u64, make: impl FnOnce() -> T) {
        self.offered += 1;
        if self.rows.len() >= self.most {
            match self.rows.peek() {
                Some(last) if last.value < value => drop(self.rows.pop()),
                _ => return,
            }
        }
        self.rows.push(Row { value, nth: self.offered, row: make() });
    }

    /// How many were offered.
    pub(super) fn offered(&self) -> u64 {
        self.offered
    }

    /// The highest value first.
    pub(super) fn into_rows(self) -> Vec<(u64, T)> {
        self.rows.into_sorted_vec().into_iter().map(|row| (row.value, row.row)).collect()
    }
}

// The heap has at its top what leaves first: the greatest row is the one with the lowest value that came last.
impl<T> Ord for Row<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        other.value.cmp(&self.value).then(self.nth.cmp(&other.nth))
    }
}

impl<T> PartialOrd for Row<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> PartialEq for Row<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<T> Eq for Row<T> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_are_kept_and_of_equals_the_first() {
        let mut top = Top::new(3);
        for (value, name) in [(5, "a"), (9, "b"), (5, "c"), (1, "d"), (9, "e"), (5, "f")] {
            top.offer(value, || name);
        }
        assert_eq!(top.offered(), 6);
        assert_eq!(top.into_rows(), [(9, "b"), (9, "e"), (5, "a")]);
    }
}
