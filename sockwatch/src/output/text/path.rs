//! What happens, line by line: the views `path` and `states`.

use std::io::{self, Write};

use super::{
    BAD, Column, GOOD, PLAIN, QUIET, SERVICE, Text, View, WARNING, actor, begin, holders,
    table::Facts,
    time_of_day,
    words::{self, Duration, Size},
};
use crate::{
    event::State,
    lifecycle::{Life, Milestone, Origin, Phase, Role, Signal, SignalKind, Verdict},
    output::{Scene, moment::Moment},
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
        scene: &Scene,
        life: &Life,
        milestone: &Milestone,
    ) -> io::Result<()> {
        let moment = Moment::of(life, milestone);
        let phase = milestone.phase;
        let connected = matches!(life.role, Some(Role::Server | Role::Client));
        let failed = milestone.error.is_some();
        let has_local = connected && !failed || life.role == Some(Role::Listener);
        let has_peer = connected && !matches!(phase, Phase::Bind | Phase::Listen);
        let verdict = moment.verdict();
        let bad = failed || verdict.as_ref().is_some_and(words::is_trouble);
        let style = match phase {
            _ if bad => BAD,
            Phase::Bind | Phase::Listen => SERVICE,
            Phase::Established | Phase::Accept => GOOD,
            Phase::Connect | Phase::SynReceived => PLAIN,
            Phase::Close => QUIET,
        };
        let when = Some(self.wall(scene, milestone.time));
        let row = self.row(out, when)?;
        begin(row, scene, life, when);
        let by_itself = matches!(phase, Phase::SynReceived | Phase::Established | Phase::Close);
        match &milestone.actor {
            None if !by_itself => row.add_text("?", PLAIN),
            by => actor(row, by.as_ref(), life.owner.as_ref()),
        }
        row.add_text(phase.name(), style);
        row.add(words::end(moment.local(), has_local), PLAIN);
        row.add(words::end(moment.peer(), has_peer), PLAIN);
        row.add_facts(if bad { BAD } else { PLAIN }, |facts| match phase {
            Phase::Close => closing(facts, &moment, verdict.as_ref()),
            _ => doing(facts, scene, &moment),
        });
        row.end_row(out)
    }

    pub(super) fn signal(
        &mut self,
        out: &mut dyn Write,
        scene: &Scene,
        life: &Life,
        signal: &Signal,
    ) -> io::Result<()> {
        let Signal { time, kind, actor: by, local, peer } = signal;
        let (event, style) = match kind {
            SignalKind::State { .. } => ("state", QUIET),
            SignalKind::Retransmit => ("retransmit", WARNING),
            SignalKind::ResetSent => ("reset_sent", BAD),
            SignalKind::ResetReceived => ("reset_received", BAD),
        };
        let when = Some(self.wall(scene, *time));
        let row = self.row(out, when)?;
        begin(row, scene, life, when);
        actor(row, by.as_ref(), life.owner.as_ref());
        row.add_text(event, style);
        row.add(words::end(*local, false), PLAIN);
        row.add(words::end(*peer, false), PLAIN);
        row.add_facts(QUIET, |facts| {
            if let SignalKind::State { from, to } = kind {
                facts.add(format_args!("{} → {}", from.name(), to.name()));
            }
        });
        row.end_row(out)
    }

    /// A life is over, or the run. Its last line has told all, unless it never closed, or is still open.
    pub(super) fn rest(&mut self, out: &mut dyn Write, scene: &Scene, life: &Life) -> io::Result<()> {
        let verdict = life.verdict();
        let started = |milestone: &&Milestone| matches!(milestone.phase, Phase::Connect | Phase::Listen | Phase::Close);
        let told = life.path.iter().rev().find(started).is_some_and(|last| last.phase == Phase::Close);
        let untouched = life.origin == Origin::Snapshot && life.path.is_empty() && life.destroyed.is_none();
        if told || untouched || verdict.is_some() && life.destroyed.is_none() && !life.vanished {
            return Ok(());
        }
        let when = life.destroyed.map(|time| self.wall(scene, time));
        let since = self.since(scene, life);
        let row = self.row(out, when)?;
        begin(row, scene, life, when);
        actor(row, None, life.owner.as_ref());
        let (event, style) = if verdict.is_some() { ("close", QUIET) } else { ("open", PLAIN) };
        row.add_text(event, style);
        row.add(words::end(life.local, false), PLAIN);
        row.add(words::end(life.peer, false), PLAIN);
        row.add_facts(PLAIN, |facts| match &verdict {
            Some(verdict) => {
                facts.add(words::ending(life, verdict));
                facts.add_some(life.lifetime_ns().map(|lifetime| format!("after {}", Duration(lifetime))));
                facts.add_some((!life.complete).then_some("incomplete"));
            }
            None => still(facts, life, &since),
        });
        row.end_row(out)
    }

    /// Since when there is an open socket.
    fn since(&self, scene: &Scene, life: &Life) -> String {
        match life.origin {
            Origin::Traced => {
                let first = self.wall(scene, life.first);
                let date = Some(first.date());
                let other_day = self.titled.is_some_and(|titled| titled != date);
                let day = if other_day { format!("{} ", first.date()) } else { String::new() };
                format!("since {day}{}", time_of_day(first))
            }
            Origin::Snapshot => "older than the trace".into(),
        }
    }
}

/// What an open socket does.
fn still(facts: &mut Facts<'_>, life: &Life, since: &str) {
    facts.add(match life.state {
        State::Closed if life.local.is_some() => "bound",
        State::Closed => "unused",
        state => state.name(),
    });
    facts.add(since);
    if life.role == Some(Role::Listener) {
        facts.add(format_args!("accepted {}", life.accepted));
    }
    if let Some(bytes) = life.bytes() {
        facts.add(format_args!("in {}", Size(bytes.received)));
        facts.add(format_args!("out {}", Size(bytes.sent)));
    }
    facts.add_some(holders(life));
    facts.add_some((!life.complete).then_some("incomplete"));
}

/// What there is to say of a step, other than a close.
fn doing(facts: &mut Facts<'_>, scene: &Scene, moment: &Moment<'_>) {
    let life = moment.life_now();
    let Milestone { phase, fd, error, .. } = moment.milestone;
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
        Phase::SynReceived => facts.add(format_args!("from {}", words::id(scene, moment.life.listener))),
        Phase::Established => {
            let time = |ns: Option<u64>, how| ns.map(|ns| format!("{how} {}", Duration(ns)));
            facts.add_some(life.and_then(|life| {
                if server { time(life.handshake_ns, "handshake") } else { time(life.connect_ns, "in") }
            }));
            facts.add_some(life.and_then(|life| life.peer_socket).map(|peer| format!("peer is {}", scene.id(peer))));
        }
        Phase::Accept if failed => facts.add_some(fd),
        Phase::Accept => {
            let from = words::id(scene, moment.life.listener);
            let fd = fd.map_or_else(String::new, |fd| format!(" as {fd}"));
            facts.add(format_args!("from {from}{fd}"));
            facts.add_some(
                life.and_then(|life| life.accept_queue_ns).map(|queued| format!("queued {}", Duration(queued))),
            );
        }
        Phase::Close => {}
    }
}

/// What there is to say of an end.
fn closing(facts: &mut Facts<'_>, moment: &Moment<'_>, verdict: Option<&Verdict>) {
    let Some(verdict) = verdict else {
        facts.add("?");
        return;
    };
    facts.add(words::ending(moment.life, verdict));
    let Some(life) = moment.life_now() else {
        facts.add("and then used again");
        return;
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
    words::counts(facts, life);
    facts.add_some((verdict.time_wait == Some(true)).then_some("TIME_WAIT"));
    facts.add_some((!life.complete).then_some("incomplete"));
}
