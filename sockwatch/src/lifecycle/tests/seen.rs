//! What a reader of the engine's reports sees.

use super::host::{Host, Socket};
use crate::{
    event::{Event, Time},
    lifecycle::{Engine, Life, Origin, Report, SignalKind},
};

/// A line: when, of which life, what.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Line {
    pub(super) time: Time,
    pub(super) number: u64,
    pub(super) text: String,
}

/// An engine and what it has told so far.
#[derive(Debug, Default)]
pub(super) struct Watch {
    pub(super) engine: Engine,
    /// Milestones, signals and ends.
    pub(super) lines: Vec<Line>,
    pub(super) lives: Vec<Life>,
    pub(super) lost: u64,
}

impl Watch {
    /// A whole story, read live, to its end.
    pub(super) fn all(host: &Host) -> Self {
        let mut watch = Self::default();
        watch.give_all(host);
        watch.finish();
        watch
    }

    /// A story so far, read live.
    pub(super) fn give_all(&mut self, host: &Host) {
        for event in &host.events {
            self.give(event);
            self.advance(event.time);
        }
    }

    pub(super) fn give(&mut self, event: &Event) {
        self.engine.event(event.clone());
    }

    pub(super) fn advance(&mut self, now: Time) {
        let Self { engine, lines, lives, lost } = self;
        engine.advance(now, &mut |report| note(report, lines, lives, lost));
    }

    pub(super) fn finish(&mut self) {
        let Self { engine, lines, lives, lost } = self;
        engine.finish(&mut |report| note(report, lines, lives, lost));
        assert!(engine.is_empty(), "something is left in memory after the end: {engine:?}");
    }

    /// Goes on from a checkpoint behind a gap.
    pub(super) fn resume(&mut self, restored: Engine) {
        let Self { engine, lines, lives, lost } = self;
        engine.resume(restored, &mut |report| note(report, lines, lives, lost));
    }

    /// The life of a socket. One that was only bound has no id.
    pub(super) fn life(&self, socket: &Socket) -> &Life {
        let key = socket.sock.key;
        let mut found =
            self.lives.iter().filter(|life| life.key.id == key.id || life.key.id == 0 && life.key.addr == key.addr);
        let life = found.next().expect("the socket was reported");
        assert!(found.next().is_none(), "the socket was reported twice");
        life
    }

    /// What was told of a socket so far, by its number.
    pub(super) fn told(&self, number: u64) -> Vec<&str> {
        self.lines.iter().filter(|line| line.number == number).map(|line| line.text.as_str()).collect()
    }

    /// The milestones told so far, of all sockets.
    pub(super) fn milestones(&self) -> Vec<&str> {
        let texts = self.lines.iter().map(|line| line.text.as_str());
        texts.filter(|text| !text.contains('→') && !text.starts_with('(') && *text != "end").collect()
    }

    pub(super) fn ending(&self, socket: &Socket) -> String {
        ending(self.life(socket))
    }

    pub(super) fn path(&self, socket: &Socket) -> String {
        path(self.life(socket))
    }
}

fn note(report: Report<'_>, lines: &mut Vec<Line>, lives: &mut Vec<Life>, lost: &mut u64) {
    let line = match report {
        Report::Milestone { life, index } => {
            let milestone = &life.path[index];
            life.told += 1;
            Line { time: milestone.time, number: life.number, text: milestone.phase.name().to_owned() }
        }
        Report::Signal { life, signal } => {
            let text = match signal.kind {
                SignalKind::State { from, to } => format!("{}→{}", from.name(), to.name()),
                SignalKind::Retransmit => "(retransmit)".to_owned(),
                SignalKind::ResetSent => "(reset sent)".to_owned(),
                SignalKind::ResetReceived => "(reset received)".to_owned(),
            };
            Line { time: signal.time, number: life.number, text }
        }
        Report::Socket(life) => {
            let time = life.destroyed.unwrap_or(Time::MAX);
            let number = life.number;
            let gone = Life::new(number, life.key, life.transport, Origin::Traced, 0);
            lives.push(std::mem::replace(life, gone));
            Line { time, number, text: "end".to_owned() }
        }
        Report::Lost { count, .. } => {
            *lost += count.unwrap_or(0);
            return;
        }
    };
    lines.push(line);
}

/// `peer refused ECONNREFUSED`, `local fin time_wait`; `open` while it is.
pub(super) fn ending(life: &Life) -> String {
    let Some(verdict) = life.verdict() else { return "open".to_owned() };
    let by = verdict.by.map_or("?", |by| by.name());
    let how = verdict.how.map_or("?", |how| how.name());
    let time_wait = match verdict.time_wait {
        None => " time_wait?",
        Some(true) => " time_wait",
        Some(false) => "",
    };
    let error = verdict.error.map_or_else(String::new, |error| format!(" {}", error.name()));
    format!("{by} {how}{time_wait}{error}")
}

/// `bind:EADDRINUSE bind listen close`.
pub(super) fn path(life: &Life) -> String {
    let steps = life.path.iter().map(|milestone| match milestone.error {
        Some(error) => format!("{}:{}", milestone.phase.name(), error.name()),
        None => milestone.phase.name().to_owned(),
    });
    steps.collect::<Vec<_>>().join(" ")
}

pub(super) fn owner(life: &Life) -> Option<u32> {
    life.owner.as_ref().and_then(|actor| actor.process.pid)
}
