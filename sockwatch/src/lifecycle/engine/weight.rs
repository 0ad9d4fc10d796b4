//! How much it holds.

use super::{Engine, Slot, rest::Place};
use crate::{
    event::Time,
    lifecycle::{
        Holder, Signal,
        kin::Ends,
        life::{Life, Milestone, Then},
        timeline::Entry,
    },
};

/// Room in a table or a list that grows: between half and all of it is used.
const ROOM: usize = 2;

/// What an engine holds, by count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Load {
    pub(super) lives: usize,
    pub(super) milestones: usize,
    pub(super) holders: usize,
    waiting: usize,
    ends: usize,
    subflows: usize,
    ids: usize,
    losses: usize,
    candidates: usize,
}

impl Load {
    /// A life came, with what it brought.
    pub(super) fn add(&mut self, life: &Life) {
        self.lives += 1;
        self.milestones += life.kept();
        self.holders += life.holders.as_ref().map_or(0, Vec::len);
    }

    /// A life went.
    pub(super) fn remove(&mut self, life: &Life) {
        self.lives -= 1;
        self.milestones -= life.kept();
        self.holders -= life.holders.as_ref().map_or(0, Vec::len);
    }

    fn bytes(&self) -> usize {
        let Self { lives, milestones, holders, waiting, ends, subflows, ids, losses, candidates } = *self;
        lives * (ROOM * (size_of::<Place>() + size_of::<(u64, usize)>()) + size_of::<Slot>())
            + milestones * (ROOM * size_of::<Milestone>() + size_of::<Then>())
            + holders * ROOM * size_of::<Holder>()
            + waiting * (ROOM * (size_of::<u64>() + size_of::<Entry>()) + size_of::<Signal>())
            + ends * ROOM * Ends::ROOM
            + subflows * ROOM * (size_of::<(u64, (u64, usize))>() + size_of::<(u64, Vec<u64>)>() + size_of::<u64>())
            + ids * ROOM * (size_of::<(u64, usize)>() + size_of::<u64>())
            + losses * ROOM * size_of::<(Option<u64>, Time, Time)>()
            + candidates * ROOM * size_of::<(Time, usize, u64)>()
    }
}

impl Engine {
    /// About how many bytes of memory it holds, in so far as that grows with what happens. The processes behind the events
    /// are not among them: whoever made the events shares these, and counts them.
    #[must_use]
    pub fn weight(&self) -> usize {
        self.load().bytes()
    }

    fn load(&self) -> Load {
        Load {
            waiting: self.timeline.len(),
            ends: self.ends.len(),
            subflows: self.subflows.len(),
            ids: self.listeners.len(),
            losses: self.pending_losses.len(),
            candidates: self.candidates.len(),
            ..self.load
        }
    }

    /// That what was counted on the way is what there is.
    #[cfg(test)]
    pub(in crate::lifecycle) fn check_weight(&self) {
        let mut found = Load::default();
        for place in &self.lives {
            place.look(|slot| {
                found.add(&slot.life);
                found.ids += slot.life.listens_as.len();
                found.ends += usize::from(slot.unpaired.is_some());
            });
        }
        found.waiting = self.timeline.in_order().len();
        found.subflows = self.subflows.iter().count();
        found.losses = self.pending_losses.len();
        found.candidates = self.candidates.len();
        assert_eq!(self.load(), found);
        assert_eq!(self.len(), found.lives);
    }
}
