//! What is told, and when.

use super::{Engine, MOST_SPARE_SIGNALS, Slot, rest::Place};
use crate::{
    event::{State, Time},
    lifecycle::{
        Report,
        life::{Life, Phase},
        timeline::{Entry, PATIENCE, SAME_PACKET, Tell},
    },
};

impl Engine {
    /// Tells what is settled, now that every event up to `now` was given.
    pub fn advance(&mut self, now: Time, tell: &mut dyn FnMut(Report<'_>)) {
        while self.advance_one(now, tell) {}
    }

    /// Tells the next thing that is settled, now that every event up to `now` was given. Returns whether there was one.
    pub fn advance_one(&mut self, now: Time, tell: &mut dyn FnMut(Report<'_>)) -> bool {
        let settled = self.next_settled(now);
        if let Some((count, since, until)) =
            self.pending_losses.pop_front_if(|(_, _, until)| settled.is_none_or(|time| *until <= time))
        {
            tell(Report::Lost { count, since, until });
            return true;
        }
        let Some(entry) = settled.and_then(|_| self.timeline.pop()) else {
            self.rest(now);
            return false;
        };
        self.tell(entry, tell);
        self.skip_dead();
        true
    }

    /// The time of what [`Self::advance_one`] would tell next; of a loss, when it was over.
    #[must_use]
    pub fn next_time(&self, now: Time) -> Option<Time> {
        let loss = self.pending_losses.front().map(|&(_, _, until)| until);
        self.next_settled(now).into_iter().chain(loss).min()
    }

    /// Ends the run: tells all that waits, then every socket that is still there.
    pub fn finish(&mut self, tell: &mut dyn FnMut(Report<'_>)) {
        self.advance(Time::MAX, tell);
        for place in self.by_number() {
            self.tell_whole(place, tell);
        }
        // What is left are subflows of MPTCP sockets that were never seen.
        self.subflows.clear();
    }

    /// The time of the next entry, if that is settled. What was lost does not wait, but is told among what is settled.
    fn next_settled(&self, now: Time) -> Option<Time> {
        let first = self.timeline.first()?;
        first.is_settled(now, |entry| self.may_change(entry)).then_some(first.time)
    }

    /// Takes out what comes next but can't be told: of a life that turned out to be none, or a milestone that is not kept.
    /// To be called where a life is removed, so that the next entry always is one that is told.
    pub(super) fn skip_dead(&mut self) {
        while self.timeline.first().is_some_and(|entry| !self.is_alive(entry)) {
            self.timeline.pop();
        }
    }

    pub(super) fn is_alive(&self, entry: &Entry) -> bool {
        self.known(entry.life).is_some_and(|life| match entry.what {
            Tell::Milestone(nth) => life.nth(nth).is_some(),
            Tell::Signal(_) | Tell::End => true,
        })
    }

    pub(super) fn tell(&mut self, entry: Entry, tell: &mut dyn FnMut(Report<'_>)) {
        let (place, number) = entry.life;
        let slot = self.lives.get_mut(place).and_then(Place::awake_mut);
        let Some(Slot { life, .. }) = slot.filter(|slot| slot.life.number == number) else { return };
        match entry.what {
            Tell::Milestone(nth) => {
                let before = life.kept();
                if let Some(index) = life.settle(nth) {
                    self.load.milestones -= before - life.kept();
                    tell(Report::Milestone { life, index });
                }
            }
            Tell::Signal(mut signal) => {
                tell(Report::Signal { life, signal: &signal });
                if self.spare_signals.len() < MOST_SPARE_SIGNALS {
                    signal.actor = None;
                    self.spare_signals.push(signal);
                }
            }
            Tell::End => self.tell_whole(place, tell),
        }
    }

    /// Tells a life, and forgets it.
    pub(super) fn tell_whole(&mut self, place: usize, tell: &mut dyn FnMut(Report<'_>)) {
        if let Some(mut slot) = self.remove(place) {
            let life = &mut slot.life;
            life.make_whole();
            self.judge(life);
            tell(Report::Socket(life));
            self.spare(slot);
        }
    }

    /// Whether anything that concerned a life may have been lost. What was first seen in the midst of its life may have
    /// lost its beginning at any time before.
    fn judge(&self, life: &mut Life) {
        let from = if life.begun { life.first } else { 0 };
        let close_missed = life.destroyed.is_some() && life.is_close_missing();
        life.complete &= life.begun && !close_missed;
        life.complete &= !self.losses.touch(from, life.destroyed.unwrap_or(Time::MAX));
    }

    /// How long the meaning of what is to be told can still change.
    fn may_change(&self, entry: &Entry) -> Time {
        let Some(life) = self.known(entry.life) else { return 0 };
        let is_question = || life.end.is_open_question(&life.stats.unwrap_or_default(), life.was_accepted());
        if life.destroyed.is_some() {
            // Most that close first become timewait sockets now. One that is destroyed in place of that sends its reset after it.
            let may_reset = life.end.from == Some(State::FinWait2) && is_question();
            return if may_reset { SAME_PACKET } else { 0 };
        }
        // A socket that listens without a bind is given its port, by which it may be looked for, after the change of state.
        let is_nowhere = life.state == State::Listen && life.local.is_none();
        let is_open = match entry.what {
            Tell::Signal(_) | Tell::End => life.maybe_subflow || is_nowhere,
            Tell::Milestone(nth) => life.nth(nth).is_some_and(|milestone| match milestone.phase {
                Phase::Close => is_question(),
                Phase::Connect => life.state == State::SynSent || life.end.connect_failed == Some(None),
                Phase::Listen => is_nowhere,
                Phase::SynReceived => life.peer.is_none() || life.maybe_subflow,
                _ => false,
            }),
        };
        if is_open { PATIENCE } else { 0 }
    }
}
