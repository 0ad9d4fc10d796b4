//! Making an engine of what another one knew.

use std::collections::HashSet;

use super::{Engine, MOST_IDS};
use crate::lifecycle::{
    Map,
    checkpoint::Part,
    life::{Life, MOST_NUMBERS},
    timeline::{Entry, Tell},
};

/// Makes an engine of the parts of a checkpoint. They may be nonsense: what does not fit is dropped.
#[derive(Debug, Default)]
pub struct Restore {
    engine: Engine,
    places: Map<u64, usize>,
    /// Places of the lives whose end waits to be told.
    ending: HashSet<usize>,
}

impl Restore {
    /// Nothing is known yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a part. Lives come before what speaks of them.
    pub fn take(&mut self, part: Part) {
        let engine = &mut self.engine;
        match part {
            Part::Run { last_number, surveyed } => {
                engine.last_number = engine.last_number.max(last_number.min(MOST_NUMBERS));
                engine.surveyed = surveyed;
            }
            Part::Life(life) => self.life(*life),
            // Its network namespace is the life's.
            Part::Unpaired { life, local, peer, netns: _ } => {
                if let Some(&place) = self.places.get(&life)
                    && engine.slot(place).unpaired.is_none()
                {
                    engine.look_for(place, (local, peer));
                }
            }
            Part::Subflow { addr, socket } => engine.subflows.add(addr, socket),
            Part::Waiting { time, life, what } => {
                let Some(&place) = self.places.get(&life) else { return };
                if what == Tell::End && (engine.life(place).destroyed.is_none() || !self.ending.insert(place)) {
                    return;
                }
                let entry = Entry { time, life: (place, life), what };
                if engine.is_alive(&entry) {
                    engine.timeline.push(entry);
                }
            }
            Part::Loss { since, until } => engine.losses.add(since, until),
            Part::PendingLoss { count, since, until } => engine.pending_losses.push_back((count, since, until)),
        }
    }

    fn life(&mut self, mut life: Life) {
        let Self { engine, places, ending: _ } = self;
        let (number, addr) = (life.number, life.key.addr);
        let is_there = life.destroyed.is_none();
        let is_taken = places.contains_key(&number) || is_there && engine.by_addr.contains_key(&addr);
        if number > MOST_NUMBERS || is_taken {
            return;
        }
        life.mend();
        let ids = std::mem::take(&mut life.listens_as);
        let place = engine.put(life);
        places.insert(number, place);
        engine.last_number = engine.last_number.max(number);
        if is_there {
            engine.by_addr.insert(addr, place);
        }
        for id in ids.into_iter().take(MOST_IDS).filter(|&id| id != 0) {
            engine.listens_as(place, id);
        }
    }

    /// The engine.
    #[must_use]
    pub fn finish(self) -> Engine {
        let Self { mut engine, places, ending } = self;
        let mut gone = Vec::new();
        for place in 0..engine.lives.len() {
            let slot = engine.slot(place);
            let listener = slot.life.listener.and_then(|number| places.get(&number));
            slot.listener = listener.copied().unwrap_or(usize::MAX);
            let (number, destroyed, key) = (slot.life.number, slot.life.destroyed, slot.life.key);
            if let Some(time) = destroyed {
                gone.push((time, key, place, number));
                if !ending.contains(&place) {
                    engine.timeline.push(Entry { time, life: (place, number), what: Tell::End });
                }
            }
        }
        gone.sort_unstable_by_key(|&(time, _, _, number)| (time, number));
        for (_, key, place, number) in gone {
            engine.is_gone(key, place, number);
        }
        for place in 0..engine.lives.len() {
            engine.joins_queue(place);
        }
        engine.skip_dead();
        engine
    }
}
