//! A line for each life: the view `closed`.

use std::io::{self, Write};

use super::{
    BAD, Cell, Column, PLAIN, QUIET, Text, holders, socket_cell, time_of_day,
    words::{self, Duration, Facts, Size},
};
use crate::{
    clock::Clock,
    lifecycle::{By, How, Life, Role, Verdict},
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
    pub(super) fn whole(&mut self, out: &mut dyn Write, clock: &Clock, life: &Life) -> io::Result<()> {
        let when = life.destroyed.map(|time| self.wall(clock, time));
        let verdict = life.verdict();
        let connected = matches!(life.role, Some(Role::Server | Role::Client));
        let unknown = if connected { "?" } else { "-" };
        let size = |bytes: Option<u64>| bytes.map_or_else(|| unknown.into(), |bytes| Size(bytes).to_string());
        let lifetime = match (life.lifetime_ns(), life.destroyed) {
            (Some(lifetime), _) => Duration(lifetime).to_string(),
            (None, Some(_)) => "?".into(),
            (None, None) => "-".into(),
        };
        let process = life.owner.as_ref().map_or_else(|| "?".into(), |owner| words::process(&owner.process));
        let style = match &verdict {
            Some(verdict) if words::is_trouble(verdict) => BAD,
            Some(_) => QUIET,
            None => PLAIN,
        };
        let end = verdict.as_ref().map_or_else(|| "open".into(), words::short_ending);
        let cells = [
            Cell::new(when.map_or_else(|| "-".into(), time_of_day)),
            socket_cell(life),
            Cell::new(process),
            Cell::new(life.role.map_or("-", Role::name)),
            Cell::new(words::end(life.local, life.role.is_some())),
            Cell::new(words::end(life.peer, connected)),
            Cell::new(lifetime),
            Cell::new(size(life.bytes().map(|bytes| bytes.received))),
            Cell::new(size(life.bytes().map(|bytes| bytes.sent))),
            Cell::new(end).style(style),
            Cell::new(detail(life, verdict.as_ref()).0),
        ];
        self.row(out, when, &cells)
    }
}

fn detail(life: &Life, verdict: Option<&Verdict>) -> Facts {
    let mut facts = Facts::default();
    let lasted = |ns: Option<u64>, what: &str| ns.map(|ns| format!("{what} {}", Duration(ns)));
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
            facts.add_some(life.listener.map(|listener| format!("from s{listener}")));
            facts.add_some(lasted(life.handshake_ns, "handshake"));
            facts.add_some(lasted(life.accept_queue_ns, "queued"));
        }
        Some(Role::Client) => facts.add_some(lasted(life.connect_ns, "connect")),
        None => {}
    }
    words::counts(&mut facts, life);
    facts.add_some(life.peer_socket.map(|peer| format!("peer is s{peer}")));
    facts.add_some(verdict.is_some_and(|verdict| verdict.time_wait == Some(true)).then_some("TIME_WAIT"));
    facts.add_some(if life.destroyed.is_none() { holders(life) } else { None });
    facts.add_some((!life.complete).then_some("incomplete"));
    facts
}
