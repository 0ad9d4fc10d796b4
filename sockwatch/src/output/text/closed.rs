//! A line for each life: the view `closed`.

use std::io::{self, Write};

use super::{
    BAD, Column, PLAIN, QUIET, Text, begin, holders,
    table::Facts,
    words::{self, Duration, Size},
};
use crate::{
    lifecycle::{By, How, Life, Role, Verdict},
    output::Scene,
};

pub(super) fn columns() -> Vec<Column> {
    vec![
        Column::new("TIME", "TIME 2026-11-22".len()),
        Column::new("SOCKET", 0),
        Column::new("PROCESS", 16).at_most(25),
        Column::new("ROLE", "listener".len()),
        Column::new("LOCAL", 19),
        Column::new("PEER", 19),
        Column::new("LIFE", "1 h 02 min".len()).right(),
        Column::new("IN", "1.20 kB".len()).right(),
        Column::new("OUT", "1.20 kB".len()).right(),
        Column::new("END", "fin by local".len()),
        Column::new("DETAIL", 0),
    ]
}

impl Text {
    pub(super) fn whole(&mut self, out: &mut dyn Write, scene: &Scene, life: &Life) -> io::Result<()> {
        let when = life.destroyed.map(|time| self.wall(scene, time));
        let row = self.row(out, when)?;
        let verdict = life.verdict();
        let connected = matches!(life.role, Some(Role::Server | Role::Client));
        begin(row, scene, life, when);
        match &life.owner {
            Some(owner) => row.add(words::process(&owner.process), PLAIN),
            None => row.add_text("?", PLAIN),
        }
        row.add_text(life.role.map_or("-", Role::name), PLAIN);
        row.add(words::end(life.local, life.role.is_some()), PLAIN);
        row.add(words::end(life.peer, connected), PLAIN);
        match (life.lifetime_ns(), life.destroyed) {
            (Some(lifetime), _) => row.add(Duration(lifetime), PLAIN),
            (None, None) if !life.vanished => row.add_text("-", PLAIN),
            (None, _) => row.add_text("?", PLAIN),
        }
        match life.bytes() {
            Some(bytes) => [bytes.received, bytes.sent].into_iter().for_each(|size| row.add(Size(size), PLAIN)),
            None => (0..2).for_each(|_| row.add_text(if connected { "?" } else { "-" }, PLAIN)),
        }
        match &verdict {
            Some(verdict) => {
                let style = if words::is_trouble(verdict) { BAD } else { QUIET };
                row.add_text(words::short_ending(verdict), style);
            }
            None => row.add_text("open", PLAIN),
        }
        row.add_facts(PLAIN, |facts| detail(facts, scene, life, verdict.as_ref()));
        row.end_row(out)
    }
}

fn detail(facts: &mut Facts<'_>, scene: &Scene, life: &Life, verdict: Option<&Verdict>) {
    let lasted = |facts: &mut Facts<'_>, ns: Option<u64>, what: &str| {
        if let Some(ns) = ns {
            facts.add(format_args!("{what} {}", Duration(ns)));
        }
    };
    facts.add_some(verdict.is_none().then(|| life.state.name()));
    // What went wrong before, and why it ended, where the column does not say it.
    for milestone in life.path.iter().filter(|milestone| milestone.error.is_some()).take(3) {
        let error = milestone.error.map_or_else(String::new, |error| error.name());
        facts.add(format_args!("{} failed: {error}", milestone.phase.name()));
    }
    if let Some(Verdict { how: Some(how @ (How::Timeout | How::Unreachable | How::Reset)), by, error, .. }) = verdict {
        facts.add_some(error.filter(|_| *how != How::Reset || *by == Some(By::Kernel)).map(|error| error.name()));
    }
    match life.role {
        Some(Role::Listener) => {
            facts.add(format_args!("accepted {}", life.accepted));
            facts.add_some(life.backlog.map(|backlog| format!("backlog {backlog}")));
            let dropped = life.stats.map_or(0, |stats| stats.drops);
            facts.add_some((dropped > 0).then(|| format!("dropped {dropped}")));
        }
        Some(Role::Server) => {
            if let Some(listener) = life.listener {
                facts.add(format_args!("from {}", scene.id(listener)));
            }
            lasted(facts, life.handshake_ns, "handshake");
            lasted(facts, life.accept_queue_ns, "queued");
        }
        Some(Role::Client) => lasted(facts, life.connect_ns, "connect"),
        None => {}
    }
    words::counts(facts, life);
    if let Some(peer) = life.peer_socket {
        facts.add(format_args!("peer is {}", scene.id(peer)));
    }
    facts.add_some(verdict.is_some_and(|verdict| verdict.time_wait == Some(true)).then_some("TIME_WAIT"));
    facts.add_some(if life.destroyed.is_none() { holders(life) } else { None });
    facts.add_some((!life.complete).then_some("incomplete"));
}
