//! The table of events: a row for each thing that happened. Its columns are the fields of the event lines of
//! `trace --json --view states`, flattened; losses are rows too, so that a gap is not read as silence.

use super::column::{Column, Get, Kind, Table, Value};
use crate::{
    event::{Actor, Endpoint, Errno, Process, Time},
    lifecycle::{Life, Milestone, Phase, Role, Signal, SignalKind, Verdict},
    output::{Occurrence, Scene, moment::Moment},
};

/// See the module's documentation.
pub(super) enum Events {}

/// Something that happened.
pub(super) struct Event<'a> {
    scene: &'a Scene,
    time: Time,
    name: &'static str,
    /// Of whom; none of a loss.
    life: Option<&'a Life>,
    states: Option<(&'static str, &'static str)>,
    local: Option<Endpoint>,
    peer: Option<Endpoint>,
    actor: Option<&'a Actor>,
    fd: Option<i32>,
    error: Option<Errno>,
    listener: Option<u64>,
    backlog: Option<u32>,
    backlog_given: Option<i32>,
    handshake_ns: Option<u64>,
    accept_queue_ns: Option<u64>,
    connect_ns: Option<u64>,
    verdict: Option<Verdict>,
    lost: Option<u64>,
    lost_until: Option<Time>,
}

impl<'a> Event<'a> {
    fn new(scene: &'a Scene, time: Time, name: &'static str, life: Option<&'a Life>) -> Self {
        Self {
            scene,
            time,
            name,
            life,
            states: None,
            local: None,
            peer: None,
            actor: None,
            fd: None,
            error: None,
            listener: None,
            backlog: None,
            backlog_given: None,
            handshake_ns: None,
            accept_queue_ns: None,
            connect_ns: None,
            verdict: None,
            lost: None,
            lost_until: None,
        }
    }

    fn milestone(scene: &'a Scene, life: &'a Life, milestone: &'a Milestone) -> Self {
        let moment = Moment::of(life, milestone);
        let Milestone { phase, time, actor, fd, error, asked: _, then: _ } = milestone;
        // What the life tells of this step, if it was taken and is the life's latest of its kind.
        let now = moment.life_now().filter(|_| error.is_none());
        let of = |phase: Phase, role: Role| now.filter(|life| milestone.phase == phase && life.role == Some(role));
        let listen = now.filter(|_| *phase == Phase::Listen);
        Self {
            local: moment.local(),
            peer: moment.peer(),
            actor: actor.as_ref(),
            fd: *fd,
            error: *error,
            listener: life.listener.filter(|_| moment.has_listener()),
            backlog: listen.and_then(|life| life.backlog),
            backlog_given: listen.and_then(|life| life.backlog_given),
            handshake_ns: of(Phase::Established, Role::Server).and_then(|life| life.handshake_ns),
            accept_queue_ns: of(Phase::Accept, Role::Server).and_then(|life| life.accept_queue_ns),
            connect_ns: of(Phase::Established, Role::Client).and_then(|life| life.connect_ns),
            verdict: moment.verdict().filter(|_| error.is_none()),
            ..Self::new(scene, *time, phase.name(), Some(life))
        }
    }

    fn signal(scene: &'a Scene, life: &'a Life, signal: &'a Signal) -> Self {
        let Signal { time, kind, actor, local, peer } = signal;
        let (name, states) = match kind {
            SignalKind::State { from, to } => ("state", Some((from.name(), to.name()))),
            SignalKind::Retransmit => ("retransmit", None),
            SignalKind::ResetSent => ("reset_sent", None),
            SignalKind::ResetReceived => ("reset_received", None),
        };
        let (local, peer, actor) = (*local, *peer, actor.as_ref());
        Self { states, local, peer, actor, ..Self::new(scene, *time, name, Some(life)) }
    }

    fn process(&self) -> Option<&Process> {
        self.actor.map(|actor| &*actor.process)
    }
}

const fn column(name: &'static str, kind: Kind, get: Get<Events>) -> Column<Events> {
    Column { name, kind, get }
}

impl Table for Events {
    type Row<'a> = Event<'a>;

    const COLUMNS: &'static [Column<Self>] = &[
        column("time", Kind::Time, |row| Value::Time(row.time)),
        column("socket", Kind::Word, |row| Value::id(row.scene, row.life.map(|life| life.number))),
        column("event", Kind::Word, |row| Value::Word(row.name)),
        // `from` and `to` alone are SQL's own.
        column("from_state", Kind::Word, |row| Value::word(row.states.map(|(from, _)| from))),
        column("to_state", Kind::Word, |row| Value::word(row.states.map(|(_, to)| to))),
        column("transport", Kind::Word, |row| Value::word(row.life.map(|life| life.transport.name()))),
        column("netns", Kind::U32, |row| Value::integer(row.life.and_then(|life| life.netns))),
        column("local_address", Kind::Word, |row| Value::address(row.local)),
        column("local_port", Kind::U16, |row| Value::port(row.local)),
        column("peer_address", Kind::Word, |row| Value::address(row.peer)),
        column("peer_port", Kind::U16, |row| Value::port(row.peer)),
        column("process_pid", Kind::U32, |row| Value::integer(row.process().and_then(|process| process.pid))),
        column("process_tid", Kind::U32, |row| Value::integer(row.actor.and_then(|actor| actor.tid))),
        column("process_name", Kind::Word, |row| Value::name(row.process().map(|process| &process.name))),
        column("process_uid", Kind::U32, |row| Value::integer(row.process().and_then(|process| process.uid))),
        column("fd", Kind::I32, |row| Value::integer(row.fd)),
        column("error", Kind::Word, |row| Value::error(row.error)),
        column("listener", Kind::Word, |row| Value::id(row.scene, row.listener)),
        column("backlog", Kind::U32, |row| Value::integer(row.backlog)),
        column("backlog_given", Kind::I32, |row| Value::integer(row.backlog_given)),
        column("handshake_ns", Kind::Nanoseconds, |row| Value::integer(row.handshake_ns)),
        column("accept_queue_ns", Kind::Nanoseconds, |row| Value::integer(row.accept_queue_ns)),
        column("connect_ns", Kind::Nanoseconds, |row| Value::integer(row.connect_ns)),
        column("close_by", Kind::Word, |row| {
            Value::word(row.verdict.and_then(|verdict| verdict.by).map(|by| by.name()))
        }),
        column("close_how", Kind::Word, |row| {
            Value::word(row.verdict.and_then(|verdict| verdict.how).map(|how| how.name()))
        }),
        column("close_time_wait", Kind::Bool, |row| Value::bool(row.verdict.and_then(|verdict| verdict.time_wait))),
        column("close_error", Kind::Word, |row| Value::error(row.verdict.and_then(|verdict| verdict.error))),
        column("lost", Kind::U64, |row| Value::integer(row.lost)),
        column("lost_until", Kind::Time, |row| Value::time(row.lost_until)),
    ];

    fn event<'a>(scene: &'a Scene, life: &'a Life, what: Occurrence<'a>) -> Option<Event<'a>> {
        Some(match what {
            Occurrence::Milestone(milestone) => Event::milestone(scene, life, milestone),
            Occurrence::Signal(signal) => Event::signal(scene, life, signal),
        })
    }

    fn lost<'a>(scene: &'a Scene, count: Option<u64>, (since, until): (Time, Time)) -> Option<Event<'a>> {
        Some(Event { lost: count, lost_until: Some(until), ..Event::new(scene, since, "lost", None) })
    }
}
