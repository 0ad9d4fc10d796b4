//! When events were lost, to tell whose lives may be incomplete.

use crate::event::Time;

/// Most spans that are kept; the oldest are joined beyond that, which can only make more lives incomplete.
const MOST: usize = 1024;

/// Spans of time in which something was lost, in order.
#[derive(Debug, Default)]
pub(super) struct Losses {
    spans: Vec<(Time, Time)>,
}

impl Losses {
    pub(super) fn add(&mut self, since: Time, until: Time) {
        let (mut since, mut until) = (since.min(until), until);
        while let Some(last) = self.spans.pop_if(|last| last.1 >= since) {
            since = since.min(last.0);
            until = until.max(last.1);
        }
        self.spans.push((since, until));
        if self.spans.len() > MOST {
            let second = self.spans.remove(1);
            self.spans[0].1 = second.1;
        }
    }

    /// Adds those of another.
    pub(super) fn join(&mut self, other: &Self) {
        let mut all: Vec<(Time, Time)> = self.spans.drain(..).chain(other.spans.iter().copied()).collect();
        all.sort_unstable();
        for (since, until) in all {
            self.add(since, until);
        }
    }

    /// The spans, in order.
    pub(super) fn spans(&self) -> &[(Time, Time)] {
        &self.spans
    }

    /// Whether anything was lost between these times.
    pub(super) fn touch(&self, from: Time, to: Time) -> bool {
        let next = self.spans.partition_point(|span| span.1 < from);
        self.spans.get(next).is_some_and(|span| span.0 <= to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_life_is_touched_by_a_loss_that_overlaps_it() {
        let mut losses = Losses::default();
        losses.add(10, 20);
        losses.add(40, 50);
        for (from, to, touched) in
            [(0, 9, false), (0, 10, true), (20, 30, true), (21, 39, false), (45, 46, true), (51, 99, false)]
        {
            assert_eq!(losses.touch(from, to), touched, "{from}..{to}");
        }
    }

    #[test]
    fn its_memory_is_bounded_and_nothing_is_forgotten() {
        let mut losses = Losses::default();
        for start in 0..10_000 {
            losses.add(start * 10, start * 10 + 1);
        }
        assert!(losses.spans.len() <= MOST);
        assert!((0..10_000).all(|start| losses.touch(start * 10, start * 10)));
    }
}
