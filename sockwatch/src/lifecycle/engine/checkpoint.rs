//! Giving what is known, in parts.

use super::Engine;
use crate::lifecycle::{checkpoint::Part, kin::Waiting, life::Life, timeline::Entry};

impl Engine {
    /// Gives all it knows: [`Restore`](super::Restore) makes an engine of it that goes on as this one does.
    pub fn checkpoint(&self, give: &mut dyn FnMut(Part<&Life>)) {
        let Self {
            lives,
            free: _,
            by_addr: _,
            listeners: _,
            subflows,
            ends,
            timeline,
            losses,
            surveyed,
            pending_losses,
            last_number,
            gapped: _,
            load: _,
            gone: _,
            quiet: _,
            candidates: _,
            spare: _,
            spare_signals: _,
        } = self;
        give(Part::Run { last_number: *last_number, surveyed: *surveyed });
        for place in self.by_number() {
            lives[place].look(|slot| give(Part::Life(&slot.life)));
        }
        let waiting = |place: usize| {
            let place = lives.get(place)?;
            Some((place.number()?, place.waiting()?))
        };
        let lists = ends.lists().map(|places| places.filter_map(waiting).collect());
        let mut lists: Vec<Vec<(u64, Waiting)>> = lists.collect();
        lists.sort_unstable_by_key(|here| here.first().map(|&(number, _)| number));
        for (life, Waiting { ends: (local, peer), netns }) in lists.into_iter().flatten() {
            give(Part::Unpaired { life, local, peer, netns });
        }
        let mut subflows: Vec<(u64, u64)> = subflows.iter().collect();
        subflows.sort_unstable();
        for (addr, socket) in subflows {
            give(Part::Subflow { addr, socket });
        }
        for entry in timeline.in_order().into_iter().filter(|entry| self.is_alive(entry)) {
            let Entry { time, life: (_, life), what } = entry;
            give(Part::Waiting { time: *time, life: *life, what: what.clone() });
        }
        for &(since, until) in losses.spans() {
            give(Part::Loss { since, until });
        }
        for &(count, since, until) in pending_losses {
            give(Part::PendingLoss { count, since, until });
        }
    }
}
