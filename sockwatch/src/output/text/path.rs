//! What happens, line by line: the views `path` and `states`.

use std::io::{self, Write};

use anstyle::Style;

use super::{
    BAD, Cell, Column, GOOD, PLAIN, QUIET, SERVICE, Text, View, WARNING, holders, owner_cell, socket_cell, time_of_day,
    words::{self, Duration, Facts, Size},
};
use crate::{
    clock::Clock,
    event::State,
    lifecycle::{Life, Milestone, Origin, Phase, Role, Signal, SignalKind, Verdict},
    output::moment::Moment,
};

pub(super) fn columns(view: View) -> Vec<Column> {
    vec![
        Column::new("TIME", "TIME 2026-11-22".len()),
        Column::new("SOCKET", 0),
        Column::new("PROCESS", 16).at_most(25),
        Column::new("EVENT", if view == View::States { "reset_received".len() } else { "syn_received".len() }),
        Column::new("LOCAL", 19),
        Column::new("PEER", 19),
        Column::new("DETAIL", 0),
    ]
}

impl Text {
    pub(super) fn milestone(
        &mut self,
        out: &mut dyn Write,
        clock: &Clock,
        life: &Life,
        milestone: &Milestone,
    ) -> io::Result<()> {
        let moment = Moment::of(life, milestone);
        let phase = milestone.phase;
        let process = match &milestone.actor {
            Some(actor) => Cell::new(words::process(&actor.process)),
            None if matches!(phase, Phase::SynReceived | Phase::Established | Phase::Close) => {
                owner_cell(life.owner.as_ref())
            }
            None => Cell::new("?"),
        };
        let connected = matches!(life.role, Some(Role::Server | Role::Client));
        let failed = milestone.error.is_some();
        let has_local = connected && !failed || life.role == Some(Role::Listener);
        let has_peer = connected && !matches!(phase, Phase::Bind | Phase::Listen);
        let local = words::end(moment.local(), has_local);
        let peer = words::end(moment.peer(), has_peer);
        let verdict = moment.verdict();
        let bad = failed || verdict.as_ref().is_some_and(words::is_trouble);
        let style = match phase {
            _ if bad => BAD,
            Phase::Bind | Phase::Listen => SERVICE,
            Phase::Established | Phase::Accept => GOOD,
            Phase::Connect | Phase::SynReceived => PLAIN,
            Phase::Close => QUIET,
        };
        let detail = match phase {
            Phase::Close => closing(&moment, verdict.as_ref()),
            _ => doing(&moment),
        };
        let when = self.wall(clock, milestone.time);
        let cells = [
            Cell::new(time_of_day(when)),
            socket_cell(life),
            process,
            Cell::new(phase.name()).style(style),
            Cell::new(local),
            Cell::new(peer),
            Cell::new(detail.0).style(if bad { BAD } else { PLAIN }),
        ];
        self.row(out, Some(when), &cells)
    }

    pub(super) fn signal(
        &mut self,
        out: &mut dyn Write,
        clock: &Clock,
        life: &Life,
        signal: &Signal,
    ) -> io::Result<()> {
        let Signal { time, kind, actor, local, peer } = signal;
        let (event, style, detail) = match kind {
            SignalKind::State { from, to } => ("state", QUIET, format!("{} → {}", from.name(), to.name())),
            SignalKind::Retransmit => ("retransmit", WARNING, String::new()),
            SignalKind::ResetSent => ("reset_sent", BAD, String::new()),
            SignalKind::ResetReceived => ("reset_received", BAD, String::new()),
        };
        let process = match actor {
            Some(actor) => Cell::new(words::process(&actor.process)),
            None => owner_cell(life.owner.as_ref()),
        };
        let when = self.wall(clock, *time);
        let cells = [
            Cell::new(time_of_day(when)),
            socket_cell(life),
            process,
            Cell::new(event).style(style),
            Cell::new(words::end(*local, false)),
            Cell::new(words::end(*peer, false)),
            Cell::new(detail).style(QUIET),
        ];
        self.row(out, Some(when), &cells)
    }

    /// A life is over, or the run. Its last line has told all, unless it never closed, or is still open.
    pub(super) fn rest(&mut self, out: &mut dyn Write, clock: &Clock, life: &Life) -> io::Result<()> {
        let verdict = life.verdict();
        let started = |milestone: &&Milestone| matches!(milestone.phase, Phase::Connect | Phase::Listen | Phase::Close);
        let told = life.path.iter().rev().find(started).is_some_and(|last| last.phase == Phase::Close);
        let untouched = life.origin == Origin::Snapshot && life.path.is_empty() && life.destroyed.is_none();
        if told || untouched || verdict.is_some() && life.destroyed.is_none() {
            return Ok(());
        }
        let when = life.destroyed.map(|time| self.wall(clock, time));
        let (event, style, detail): (_, Style, _) = match &verdict {
            Some(verdict) => {
                let mut facts = Facts::default();
                facts.add(words::ending(life, verdict));
                facts.add_some(life.lifetime_ns().map(|lifetime| format!("after {}", Duration(lifetime))));
                facts.add_some((!life.complete).then_some("incomplete"));
                ("close", QUIET, facts)
            }
            None => ("open", PLAIN, self.still(clock, life)),
        };
        let cells = [
            Cell::new(when.map_or_else(|| "-".into(), time_of_day)),
            socket_cell(life),
            owner_cell(life.owner.as_ref()),
            Cell::new(event).style(style),
            Cell::new(words::end(life.local, false)),
            Cell::new(words::end(life.peer, false)),
            Cell::new(detail.0),
        ];
        self.row(out, when, &cells)
    }

    /// What an open socket does.
    fn still(&self, clock: &Clock, life: &Life) -> Facts {
        let mut facts = Facts::default();
        facts.add(match life.state {
            State::Closed if life.local.is_some() => "bound",
            State::Closed => "unused",
            state => state.name(),
        });
        match life.origin {
            Origin::Traced => {
                let first = self.wall(clock, life.first);
                let date = Some(first.date());
                let other_day = self.titled.is_some_and(|titled| titled != date);
                let day = if other_day { format!("{} ", first.date()) } else { String::new() };
                facts.add(format_args!("since {day}{}", time_of_day(first)));
            }
            Origin::Snapshot => facts.add("older than the trace"),
        }
        if life.role == Some(Role::Listener) {
            facts.add(format_args!("accepted {}", life.accepted));
        }
        if let Some(bytes) = life.bytes() {
            facts.add(format_args!("in {}", Size(bytes.received)));
            facts.add(format_args!("out {}", Size(bytes.sent)));
        }
        facts.add_some(holders(life));
        facts.add_some((!life.complete).then_some("incomplete"));
        facts
    }
}

/// What there is to say of a step, other than a close.
fn doing(moment: &Moment<'_>) -> Facts {
    let life = moment.life_now();
    let Milestone { phase, fd, error, .. } = moment.milestone;
    let mut facts = Facts::default();
    facts.add_some(error.map(|error| format!("failed: {}", words::error(error))));
    let failed = error.is_some();
    let server = moment.has_listener();
    let fd = fd.map(|fd| format!("fd {fd}"));
    match phase {
        Phase::Bind | Phase::Connect => facts.add_some(fd),
        Phase::Listen => {
            if let Some(life) = life.filter(|_| !failed) {
                let limit = life.backlog.map_or_else(|| "?".into(), |limit| limit.to_string());
                let given = life.backlog_given.filter(|&given| u32::try_from(given).ok() != life.backlog);
                let given = given.map_or_else(String::new, |given| format!(" ({given} given)"));
                facts.add(format_args!("backlog {limit}{given}"));
            }
            facts.add_some(fd);
        }
        Phase::SynReceived => facts.add(format_args!("from {}", words::id(moment.life.listener))),
        Phase::Established => {
            let time = |ns: Option<u64>, how| ns.map(|ns| format!("{how} {}", Duration(ns)));
            facts.add_some(life.and_then(|life| {
                if server { time(life.handshake_ns, "handshake") } else { time(life.connect_ns, "in") }
            }));
            facts.add_some(life.and_then(|life| life.peer_socket).map(|peer| format!("peer is s{peer}")));
        }
        Phase::Accept if failed => facts.add_some(fd),
        Phase::Accept => {
            let from = words::id(moment.life.listener);
            let fd = fd.map_or_else(String::new, |fd| format!(" as {fd}"));
            facts.add(format_args!("from {from}{fd}"));
            facts.add_some(
                life.and_then(|life| life.accept_queue_ns).map(|queued| format!("queued {}", Duration(queued))),
            );
        }
        Phase::Close => {}
    }
    facts
}

/// What there is to say of an end.
fn closing(moment: &Moment<'_>, verdict: Option<&Verdict>) -> Facts {
    let mut facts = Facts::default();
    let Some(verdict) = verdict else {
        facts.add("?");
        return facts;
    };
    facts.add(words::ending(moment.life, verdict));
    let Some(life) = moment.life_now() else {
        facts.add("and then used again");
        return facts;
    };
    match moment.began() {
        Some(began) => facts.add(format_args!("after {}", Duration(moment.milestone.time.saturating_sub(began)))),
        None if life.origin == Origin::Snapshot => facts.add("older than the trace"),
        None => {}
    }
    if life.role == Some(Role::Listener) {
        facts.add(format_args!("accepted {}", life.accepted));
        let dropped = life.stats.map_or(0, |stats| stats.drops);
        facts.add_some((dropped > 0).then(|| format!("dropped {dropped}")));
    }
    if let Some(bytes) = life.bytes().filter(|_| life.was_established()) {
        facts.add(format_args!("in {}", Size(bytes.received)));
        facts.add(format_args!("out {}", Size(bytes.sent)));
    }
    words::counts(&mut facts, life);
    facts.add_some((verdict.time_wait == Some(true)).then_some("TIME_WAIT"));
    facts.add_some((!life.complete).then_some("incomplete"));
    facts
}
