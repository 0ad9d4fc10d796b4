//! Going on behind a gap.

use std::{collections::HashSet, mem};

use super::{Engine, Slot, rest::Place};
use crate::{
    event::Time,
    lifecycle::{
        Map, Report, SignalKind,
        timeline::{Entry, Tell},
    },
};

/// What two entries about one life have in common if they are the same.
#[derive(PartialEq, Eq, Hash)]
enum Same {
    Milestone(u64),
    Signal(Time, SignalKind),
    End,
}

fn same(entry: &Entry) -> (u64, Same) {
    let what = match &entry.what {
        Tell::Milestone(nth) => Same::Milestone(*nth),
        Tell::Signal(signal) => Same::Signal(signal.time, signal.kind),
        Tell::End => Same::End,
    };
    (entry.life.1, what)
}

impl Engine {
    /// Goes on from what another engine knew when the same run went on behind a gap.
    ///
    /// Told at once is what waited here and does not wait there. A life that is not known there ended in the gap: it is
    /// told as [`vanished`](crate::lifecycle::Life::vanished) and incomplete, with what was known of it, unless its end was
    /// seen. One that is known here and there goes on as there; its milestones that fell into the gap have no report of
    /// their own, but are in its path and not counted in its `told`. So are those of a life that began in the gap.
    ///
    /// That events were lost in the gap is not concluded from it: that is told by an event of its own.
    pub fn resume(&mut self, restored: Self, tell: &mut dyn FnMut(Report<'_>)) {
        let mut before = mem::replace(self, restored);
        before.wake_all();
        let numbers = |engine: &Self| -> Map<u64, usize> {
            let lives = engine.lives.iter().enumerate();
            lives.filter_map(|(place, life)| Some((life.number()?, place))).collect()
        };
        let (old, new) = (numbers(&before), numbers(self));
        for Slot { life, .. } in self.lives.iter_mut().filter_map(Place::awake_mut) {
            life.told = 0;
            if let Some(slot) = old.get(&life.number).and_then(|&place| before.lives[place].awake()) {
                life.follow(&slot.life);
            }
        }
        let pending: HashSet<_> = self.pending_losses.iter().copied().collect();
        for (count, since, until) in mem::take(&mut before.pending_losses) {
            if !pending.contains(&(count, since, until)) {
                tell(Report::Lost { count, since, until });
            }
        }
        let waiting: HashSet<(u64, Same)> = self.timeline.in_order().into_iter().map(same).collect();
        while let Some(entry) = before.timeline.pop() {
            match new.get(&entry.life.1) {
                None => before.tell(entry, tell),
                Some(&place) if !waiting.contains(&same(&entry)) => self.tell_late(place, entry.what, tell),
                Some(_) => {}
            }
        }
        for place in before.by_number() {
            let life = before.life(place);
            if !new.contains_key(&life.number) {
                life.vanished = true;
                life.complete = false;
                before.tell_whole(place, tell);
            }
        }
        self.quiet = before.quiet;
        if before.is_restful() {
            self.let_lives_rest();
        }
        self.losses.join(&before.losses);
    }

    /// Tells what settled in the gap, of a life that goes on.
    fn tell_late(&mut self, place: usize, what: Tell, tell: &mut dyn FnMut(Report<'_>)) {
        let life = self.life(place);
        match what {
            Tell::Milestone(nth) => {
                if let Some(index) = life.settled(nth) {
                    tell(Report::Milestone { life, index });
                }
            }
            Tell::Signal(signal) => tell(Report::Signal { life, signal: &signal }),
            Tell::End => {}
        }
    }
}
