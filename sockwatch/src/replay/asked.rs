//! What of a recording is let through.

use std::io;

use super::Play;
use crate::{
    event::Time,
    lifecycle::{Life, Report},
    output::{Scene, Sink},
    select::Filter,
};

/// Lets through what was asked for: by the recorder, and by the part that is played.
pub(super) struct Asked<'a> {
    pub(super) filter: Option<&'a Filter>,
    pub(super) play: &'a Play,
    pub(super) shown_from: Option<Time>,
    /// What happened was told.
    pub(super) open_only: bool,
    pub(super) missing: &'a mut Missing,
    pub(super) sink: &'a mut dyn Sink,
}

impl Asked<'_> {
    fn lets_through(&self, life: &Life) -> bool {
        self.filter.is_none_or(|filter| filter.matches(life))
    }
}

impl Sink for Asked<'_> {
    fn report(&mut self, scene: &Scene, mut report: Report<'_>) -> io::Result<()> {
        let early = |time: Time| {
            self.play.since.is_some_and(|since| scene.clock.nanoseconds(time) < since.as_nanosecond())
                || self.shown_from.is_some_and(|from| time < from)
        };
        if let Report::Milestone { ref mut life, .. }
        | Report::Signal { ref mut life, .. }
        | Report::Socket(ref mut life) = report
            && (self.play.since.is_some() || self.shown_from.is_some())
        {
            while life.path.get(life.told).is_some_and(|milestone| early(milestone.time)) {
                life.told += 1;
            }
        }
        let late =
            |time: Time| self.play.until.is_some_and(|until| scene.clock.nanoseconds(time) > until.as_nanosecond());
        if self.open_only {
            return match report {
                Report::Socket(life) if life.destroyed.is_none() && self.lets_through(life) => {
                    life.told = life.path.len();
                    self.sink.report(scene, Report::Socket(life))
                }
                _ => Ok(()),
            };
        }
        match report {
            Report::Milestone { ref life, index } if late(life.path[index].time) => Ok(()),
            Report::Signal { signal, .. } if late(signal.time) => Ok(()),
            Report::Socket(ref life) if life.destroyed.is_some_and(late) => Ok(()),
            Report::Lost { since, .. } if late(since) => Ok(()),
            Report::Milestone { ref life, index } if life.told > index => Ok(()),
            Report::Signal { signal, .. } if early(signal.time) => Ok(()),
            Report::Socket(ref life) if life.destroyed.is_some_and(early) => Ok(()),
            Report::Lost { until, .. } if early(until) => Ok(()),
            Report::Lost { count, since, until } => {
                self.missing.gaps += 1;
                self.missing.events = self.missing.events.saturating_add(count.unwrap_or(0));
                self.sink.report(scene, Report::Lost { count, since, until })
            }
            Report::Milestone { ref life, .. } | Report::Signal { ref life, .. } | Report::Socket(ref life)
                if !self.lets_through(life) =>
            {
                Ok(())
            }
            told => self.sink.report(scene, told),
        }
    }

    fn is_done(&self) -> bool {
        self.sink.is_done()
    }
}

/// What was told to be missing.
#[derive(Clone, Copy, Default)]
pub(super) struct Missing {
    pub(super) gaps: u64,
    pub(super) events: u64,
}
