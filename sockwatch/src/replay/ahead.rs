//! A track that is taken event by event: what comes next is known before it is taken.

use super::{Found, LONGEST_TURN, Play, PlayError, Position, Recording, Track, Watch, asked::Asked};
use crate::{
    event::{CallKind, Event, Mark, Time, What},
    lane::Lane,
    output::Sink,
    source::Step,
};

/// What existed when a run began is known after so long at most, nanoseconds.
const LONGEST_SURVEY: Time = 60_000_000_000;

/// What comes next on a track.
pub(super) enum Ahead {
    Event(Position),
    /// That is not known yet.
    Later,
    Nothing,
}

impl Track {
    /// Another one that goes on from here.
    pub(super) fn copy(&self) -> Option<Self> {
        let Self {
            facts,
            filter,
            current,
            later,
            lane,
            damage,
            begins_late,
            begun,
            shown_from,
            missing,
            passed,
            events_before,
            gaps,
            beyond: _,
            stopped: _,
            open_only,
            over,
            due,
            ended,
            told,
            held,
            played_out,
        } = self;
        // First: there may be none.
        let current = current.copy()?;
        Some(Self {
            facts: facts.clone(),
            filter: filter.clone(),
            current,
            later: later.iter().map(Recording::copy).collect::<Option<_>>()?,
            lane: lane.copy(),
            damage: damage.clone(),
            begins_late: *begins_late,
            begun: *begun,
            shown_from: *shown_from,
            missing: *missing,
            passed: *passed,
            events_before: *events_before,
            gaps: *gaps,
            // A tape holds events back one by one.
            beyond: Vec::new(),
            stopped: None,
            open_only: *open_only,
            over: *over,
            due: *due,
            ended: *ended,
            told: *told,
            held: held.clone(),
            played_out: *played_out,
        })
    }

    pub(super) fn position(&self, time: Time) -> Position {
        Position::from(self.facts.offset) + Position::from(time)
    }

    pub(super) fn time_at(&self, position: Position) -> Time {
        Time::try_from((position - Position::from(self.facts.offset)).max(0)).unwrap_or(Time::MAX)
    }

    /// Where it begins: where what existed before is known, if that can be looked for.
    pub(super) fn beginning(&self, play: &Play, mut watcher: impl Watch) -> Result<Position, PlayError> {
        let began = self.position(self.facts.began);
        let Some(mut ahead) = self.copy() else { return Ok(began) };
        let mut surveyed = None;
        loop {
            let position = match ahead.ahead(play, &mut watcher)? {
                Ahead::Later => continue,
                Ahead::Nothing => return Ok(began),
                Ahead::Event(position) => position,
            };
            if ahead.lane.is_surveyed() {
                // Of one whose earlier files are missing: where there is something.
                let first = if self.begins_late { ahead.held.as_ref().map(|held| held.time) } else { surveyed };
                return Ok(first.map_or(began, |first| self.position(first).max(began)));
            }
            if position > began + Position::from(LONGEST_SURVEY) {
                return Ok(began);
            }
            if let Some(event) = ahead.held.take() {
                if matches!(event.what, What::Surveyed) {
                    surveyed = Some(event.time);
                }
                ahead.lane.take(Step::Event(event));
            }
        }
    }

    /// What comes next. Reads on for a while until there is an event, and holds it; what is settled before it is told.
    pub(super) fn ahead<W: Watch>(&mut self, play: &Play, watcher: &mut W) -> Result<Ahead, PlayError> {
        if let Some(held) = &self.held {
            return Ok(Ahead::Event(self.position(held.time)));
        }
        if self.played_out {
            return Ok(Ahead::Nothing);
        }
        self.check_weight()?;
        for _ in 0..LONGEST_TURN {
            match self.find(play, watcher)? {
                Found::Nothing => return Ok(Ahead::Later),
                Found::Step(Step::Event(event)) if !self.is_after(event.time, play) => {
                    let position = self.position(event.time);
                    self.settle(event.time, play, watcher)?;
                    self.held = Some(event);
                    return Ok(Ahead::Event(position));
                }
                Found::Step(Step::Event(_)) | Found::End => {
                    self.played_out = true;
                    self.settle(Time::MAX, play, watcher)?;
                    return Ok(Ahead::Nothing);
                }
                Found::Step(step) => {
                    if let Step::Settled { now, events } = step {
                        self.note_before(now, events, play);
                    }
                    if self.lane.take(step) {
                        self.tell_settled(play, watcher)?;
                    }
                }
            }
        }
        Ok(Ahead::Later)
    }

    /// Every event up to then was taken.
    fn settle(&mut self, now: Time, play: &Play, sink: &mut dyn Sink) -> Result<(), PlayError> {
        self.lane.take(Step::Settled { now, events: self.lane.events() });
        self.tell_settled(play, sink)
    }

    fn tell_settled(&mut self, play: &Play, sink: &mut dyn Sink) -> Result<(), PlayError> {
        let Self { lane, filter, shown_from, missing, .. } = self;
        let filter = filter.as_ref();
        Ok(lane.tell(&mut Asked { filter, play, shown_from: *shown_from, open_only: false, missing, sink })?)
    }

    /// Takes an event. If someone who watches sees that something changed: the number of the life, and what it was.
    pub(super) fn take_seen(&mut self, event: Event, watcher: &impl Watch) -> Option<(u64, &'static str)> {
        let addr = event.what.addr();
        let what = word(&event.what);
        // A socket that was closed is destroyed soon after, or later: that does not show.
        let destroyed = matches!(event.what, What::Mark { .. });
        let watched = |lane: &Lane| {
            let life = addr.and_then(|addr| lane.life_at(addr))?;
            (watcher.watches(life) && !(destroyed && life.verdict().is_some())).then_some(life.number)
        };
        let before = watched(&self.lane);
        self.lane.take(Step::Event(event));
        Some((watched(&self.lane).or(before)?, what?))
    }
}

/// What an event is called that shows at once; none if it does not: that a segment was sent again, or a reset, shows when the
/// socket is closed.
fn word(what: &What) -> Option<&'static str> {
    Some(match what {
        What::Transition { to, .. } | What::Step { to, .. } => to.name(),
        What::Close { .. } => "close",
        What::Mark { mark: Mark::Destroyed, .. } => "destroyed",
        What::Call { call: CallKind::Bind, .. } => "bind",
        What::Call { call: CallKind::Listen, .. } => "listen",
        What::Call { call: CallKind::Connect, .. } => "connect",
        What::Call { call: CallKind::Accept, .. } => "accept",
        What::Exists { .. } => "found",
        What::Mark { .. } | What::Exec { .. } | What::Surveyed | What::Lost { .. } => return None,
    })
}
