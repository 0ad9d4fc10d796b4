//! The table of sockets: a row for each life. Its columns are the fields of the socket lines of `trace --json`, flattened.

use super::column::{Column, Get, Kind, Table, Value, first_seen};
use crate::{
    event::{Actor, Family, Process, Stats, Time},
    lifecycle::{Bytes, Life, Origin, Phase, Role, Verdict},
    output::Scene,
};

/// See the module's documentation.
pub(super) enum Sockets {}

/// A life, and what several columns are taken from.
pub(super) struct Socket<'a> {
    scene: &'a Scene,
    life: &'a Life,
    verdict: Option<Verdict>,
    bytes: Option<Bytes>,
}

impl Socket<'_> {
    /// When this was reached last.
    fn last(&self, phase: Phase) -> Option<Time> {
        let mut steps = self.life.path.iter().rev();
        steps.find(|step| step.phase == phase && step.error.is_none()).map(|step| step.time)
    }

    fn owner(&self) -> Option<&Actor> {
        self.life.owner.as_ref()
    }

    fn process(&self) -> Option<&Process> {
        self.owner().map(|owner| &*owner.process)
    }

    fn listener(&self) -> Option<&Life> {
        (self.life.role == Some(Role::Listener)).then_some(self.life)
    }

    fn queue(&self) -> Option<Stats> {
        self.listener().and_then(|life| life.stats)
    }

    fn retransmits(&self) -> Option<u32> {
        let connected = matches!(self.life.role, Some(Role::Server | Role::Client));
        self.life.retransmits().filter(|_| connected)
    }
}

const fn column(name: &'static str, kind: Kind, get: Get<Sockets>) -> Column<Sockets> {
    Column { name, kind, get }
}

impl Table for Sockets {
    type Row<'a> = Socket<'a>;

    const COLUMNS: &'static [Column<Self>] = &[
        column("socket", Kind::Text, |row| Value::id(row.scene, Some(row.life.number))),
        column("cookie", Kind::U64, |row| Value::integer(row.life.cookie)),
        column("netns", Kind::U32, |row| Value::integer(row.life.netns)),
        column("transport", Kind::Word, |row| Value::Word(row.life.transport.name())),
        column("family", Kind::Word, |row| Value::word(row.life.family.map(family))),
        column("role", Kind::Word, |row| Value::word(row.life.role.map(Role::name))),
        column("local_address", Kind::Word, |row| Value::address(row.life.local)),
        column("local_port", Kind::U16, |row| Value::port(row.life.local)),
        column("peer_address", Kind::Word, |row| Value::address(row.life.peer)),
        column("peer_port", Kind::U16, |row| Value::port(row.life.peer)),
        column("listener", Kind::Word, |row| Value::id(row.scene, row.life.listener)),
        column("process_pid", Kind::U32, |row| Value::integer(row.process().and_then(|process| process.pid))),
        column("process_tid", Kind::U32, |row| Value::integer(row.owner().and_then(|owner| owner.tid))),
        column("process_name", Kind::Word, |row| Value::name(row.process().map(|process| &process.name))),
        column("process_uid", Kind::U32, |row| Value::integer(row.process().and_then(|process| process.uid))),
        column("process_executable", Kind::Word, |row| {
            Value::name(row.process().and_then(|process| process.executable.as_ref()))
        }),
        column("process_container", Kind::Word, |row| {
            let container = row.process().and_then(|process| process.container.as_deref());
            container.map_or(Value::Null, Value::Container)
        }),
        column("fd", Kind::I32, |row| Value::integer(row.life.fd)),
        column("path", Kind::Text, |row| if row.life.path.is_empty() { Value::Null } else { Value::Path(row.life) }),
        column("path_omitted", Kind::U64, |row| Value::integer(Some(row.life.path_omitted))),
        column("state", Kind::Word, |row| Value::Word(row.life.state.name())),
        column("first_seen", Kind::Time, |row| Value::Time(first_seen(row.life))),
        column("established", Kind::Time, |row| Value::time(row.last(Phase::Established))),
        column("closed", Kind::Time, |row| Value::time(row.last(Phase::Close))),
        column("destroyed", Kind::Time, |row| Value::time(row.life.destroyed)),
        column("handshake_ns", Kind::Nanoseconds, |row| Value::integer(row.life.handshake_ns)),
        column("accept_queue_ns", Kind::Nanoseconds, |row| Value::integer(row.life.accept_queue_ns)),
        column("connect_ns", Kind::Nanoseconds, |row| Value::integer(row.life.connect_ns)),
        column("lifetime_ns", Kind::Nanoseconds, |row| Value::integer(row.life.lifetime_ns())),
        column("bytes_received", Kind::U64, |row| Value::integer(row.bytes.map(|bytes| bytes.received))),
        column("bytes_sent", Kind::U64, |row| Value::integer(row.bytes.map(|bytes| bytes.sent))),
        column("rtt_us", Kind::U32, |row| Value::integer(row.life.rtt_us())),
        column("retransmits", Kind::U32, |row| Value::integer(row.retransmits())),
        column("accepted", Kind::U64, |row| Value::integer(row.listener().map(|life| life.accepted))),
        column("backlog", Kind::U32, |row| Value::integer(row.listener().and_then(|life| life.backlog))),
        column("backlog_given", Kind::I32, |row| Value::integer(row.listener().and_then(|life| life.backlog_given))),
        column("queue", Kind::U32, |row| Value::integer(row.queue().map(|stats| stats.queue))),
        column("dropped", Kind::U32, |row| Value::integer(row.queue().map(|stats| stats.drops))),
        column("close_by", Kind::Word, |row| {
            Value::word(row.verdict.and_then(|verdict| verdict.by).map(|by| by.name()))
        }),
        column("close_how", Kind::Word, |row| {
            Value::word(row.verdict.and_then(|verdict| verdict.how).map(|how| how.name()))
        }),
        column("close_time_wait", Kind::Bool, |row| Value::bool(row.verdict.and_then(|verdict| verdict.time_wait))),
        column("close_error", Kind::Word, |row| Value::error(row.verdict.and_then(|verdict| verdict.error))),
        column("holder_count", Kind::U32, |row| Value::integer(row.life.holders.as_ref().map(|all| all.len() as u32))),
        column("holders", Kind::Word, |row| {
            let holders = row.life.holders.as_deref().filter(|holders| !holders.is_empty());
            holders.map_or(Value::Null, Value::Holders)
        }),
        column("peer_socket", Kind::Text, |row| Value::id(row.scene, row.life.peer_socket)),
        column("origin", Kind::Word, |row| {
            Value::Word(if row.life.origin == Origin::Snapshot { "snapshot" } else { "traced" })
        }),
        column("complete", Kind::Bool, |row| Value::Bool(row.life.complete)),
    ];

    fn socket<'a>(scene: &'a Scene, life: &'a Life) -> Option<Socket<'a>> {
        Some(Socket { scene, life, verdict: life.verdict(), bytes: life.bytes() })
    }
}

fn family(family: Family) -> &'static str {
    match family {
        Family::Ipv4 => "ipv4",
        Family::Ipv6 => "ipv6",
    }
}
