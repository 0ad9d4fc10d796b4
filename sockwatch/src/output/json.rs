//! JSON lines. Their fields are a promise to scripts: added to, never renamed or removed.

mod escape;
mod parts;
pub(crate) mod stamp;
#[cfg(test)]
mod tests;
mod writer;

use std::{
    cell::Cell,
    io::{self, Write},
};

use serde::Serialize;

pub(crate) use self::writer::write;
use self::{
    parts::{Close, Doer, End, ErrorName, Holders, Id, Name, Owner, Path, family},
    stamp::{LastSecond, Stamp, Wall},
};
use super::{Degraded, Format, Occurrence, Scene, Start, Summary, moment::Moment};
use crate::lifecycle::{Life, Milestone, Origin, Phase, Role, Signal, SignalKind};

/// One object a line, `type` first. What is not known is null; times are UTC.
#[derive(Debug, Default)]
pub struct Json {
    /// The line being written: it reaches the output whole.
    line: Vec<u8>,
    last_second: Cell<LastSecond>,
    /// Sockets are shown with what waits in their queues.
    queues: bool,
}

impl Json {
    /// Nothing to set.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// With what waits in the queues of each socket: for sockets as they are, not as they were.
    #[must_use]
    pub fn with_queues() -> Self {
        Self { queues: true, ..Self::default() }
    }

    fn write(&mut self, out: &mut dyn Write, content: &impl Serialize) -> io::Result<()> {
        write_line(&mut self.line, out, content)
    }
}

/// Writes an object, in a line of its own, that can't drive a terminal. `line`: room for it.
pub(crate) fn write_line(line: &mut Vec<u8>, out: &mut dyn Write, content: &impl Serialize) -> io::Result<()> {
    line.clear();
    write(line, content)?;
    line.push(b'\n');
    out.write_all(line)
}

impl Format for Json {
    fn start(&mut self, out: &mut dyn Write, start: &Start) -> io::Result<()> {
        let Start { host, kernel, boot_id, probes, degraded } = start;
        let degraded = degraded.iter().map(|Degraded { probe, why, lost }| Unseen { probe, why, lost }).collect();
        let version = env!("CARGO_PKG_VERSION");
        let [host, kernel, boot_id] = [Name(host), Name(kernel), Name(boot_id)];
        self.write(out, &StartLine { version, host, kernel, boot_id, probes, degraded })
    }

    fn event(&mut self, out: &mut dyn Write, scene: &Scene, life: &Life, what: Occurrence<'_>) -> io::Result<()> {
        let wall = Wall { scene, last: &self.last_second };
        let content = match what {
            Occurrence::Milestone(milestone) => EventLine::milestone(wall, life, milestone),
            Occurrence::Signal(signal) => EventLine::signal(wall, life, signal),
        };
        write_line(&mut self.line, out, &content)
    }

    fn socket(&mut self, out: &mut dyn Write, scene: &Scene, life: &Life) -> io::Result<()> {
        let wall = Wall { scene, last: &self.last_second };
        write_line(&mut self.line, out, &SocketLine::new(wall, life, self.queues))
    }

    fn lost(
        &mut self,
        out: &mut dyn Write,
        scene: &Scene,
        count: Option<u64>,
        since: u64,
        until: u64,
    ) -> io::Result<()> {
        let wall = Wall { scene, last: &self.last_second };
        write_line(&mut self.line, out, &LostLine { count, since: wall.at(since), until: wall.at(until) })
    }

    fn summary(&mut self, out: &mut dyn Write, summary: &Summary) -> io::Result<()> {
        let Summary { events, sockets, lost, gaps: _, complete } = *summary;
        self.write(out, &SummaryLine { events, sockets, lost, complete })
    }
}

#[derive(Serialize)]
#[serde(tag = "type", rename = "start")]
struct StartLine<'a> {
    version: &'a str,
    host: Name<'a>,
    kernel: Name<'a>,
    boot_id: Name<'a>,
    probes: &'a [String],
    degraded: Vec<Unseen<'a>>,
}

#[derive(Serialize)]
struct Unseen<'a> {
    probe: &'a str,
    why: &'a str,
    lost: &'a str,
}

#[derive(Serialize)]
#[serde(tag = "type", rename = "lost")]
struct LostLine<'a> {
    count: Option<u64>,
    since: Stamp<'a>,
    until: Stamp<'a>,
}

#[derive(Serialize)]
#[serde(tag = "type", rename = "summary")]
struct SummaryLine {
    events: u64,
    sockets: u64,
    lost: u64,
    complete: bool,
}

/// A field that some events don't have: the outer `None` leaves it out, the inner says that it is not known.
type Sometimes<T> = Option<Option<T>>;

#[derive(Serialize)]
#[serde(tag = "type", rename = "event")]
struct EventLine<'a> {
    time: Stamp<'a>,
    socket: Id<'a>,
    event: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<&'static str>,
    transport: &'static str,
    netns: Option<u32>,
    local: Option<End>,
    peer: Option<End>,
    process: Option<Doer<'a>>,
    fd: Option<i32>,
    error: Option<ErrorName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    listener: Sometimes<Id<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    backlog: Sometimes<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    backlog_given: Sometimes<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    handshake_ns: Sometimes<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    accept_queue_ns: Sometimes<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    connect_ns: Sometimes<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    close: Sometimes<Close>,
}

impl<'a> EventLine<'a> {
    fn milestone(wall: Wall<'a>, life: &'a Life, milestone: &'a Milestone) -> Self {
        let moment = Moment::of(life, milestone);
        let now = moment.life_now();
        let Milestone { phase, time, actor, fd, error, asked: _, then: _ } = milestone;
        let at = |phase: Phase, holds: bool| (milestone.phase == phase && error.is_none() && holds).then_some(());
        let (server, client) = (life.role == Some(Role::Server), life.role == Some(Role::Client));
        Self {
            time: wall.at(*time),
            socket: wall.id(life.number),
            event: phase.name(),
            from: None,
            to: None,
            transport: life.transport.name(),
            netns: life.netns,
            local: moment.local().map(End::new),
            peer: moment.peer().map(End::new),
            process: actor.as_ref().map(Doer::new),
            fd: *fd,
            error: error.map(ErrorName),
            listener: moment.has_listener().then(|| life.listener.map(|id| wall.id(id))),
            backlog: at(Phase::Listen, true).map(|()| now?.backlog),
            backlog_given: at(Phase::Listen, true).map(|()| now?.backlog_given),
            handshake_ns: at(Phase::Established, server).map(|()| now?.handshake_ns),
            accept_queue_ns: at(Phase::Accept, server).map(|()| now?.accept_queue_ns),
            connect_ns: at(Phase::Established, client).map(|()| now?.connect_ns),
            close: at(Phase::Close, true).map(|()| moment.verdict().map(Close::new)),
        }
    }

    fn signal(wall: Wall<'a>, life: &'a Life, signal: &'a Signal) -> Self {
        let Signal { time, kind, actor, local, peer } = signal;
        let (event, from, to) = match kind {
            SignalKind::State { from, to } => ("state", Some(from.name()), Some(to.name())),
            SignalKind::Retransmit => ("retransmit", None, None),
            SignalKind::ResetSent => ("reset_sent", None, None),
            SignalKind::ResetReceived => ("reset_received", None, None),
        };
        Self {
            time: wall.at(*time),
            socket: wall.id(life.number),
            event,
            from,
            to,
            transport: life.transport.name(),
            netns: life.netns,
            local: local.map(End::new),
            peer: peer.map(End::new),
            process: actor.as_ref().map(Doer::new),
            fd: None,
            error: None,
            listener: None,
            backlog: None,
            backlog_given: None,
            handshake_ns: None,
            accept_queue_ns: None,
            connect_ns: None,
            close: None,
        }
    }
}

#[derive(Serialize)]
#[serde(tag = "type", rename = "socket")]
struct SocketLine<'a> {
    socket: Id<'a>,
    cookie: Option<u64>,
    netns: Option<u32>,
    transport: &'static str,
    family: Option<&'static str>,
    role: Option<&'static str>,
    local: Option<End>,
    peer: Option<End>,
    listener: Option<Id<'a>>,
    process: Option<Owner<'a>>,
    fd: Option<i32>,
    path: Path<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path_omitted: Option<u64>,
    state: &'static str,
    destroyed: Option<Stamp<'a>>,
    handshake_ns: Option<u64>,
    accept_queue_ns: Option<u64>,
    connect_ns: Option<u64>,
    lifetime_ns: Option<u64>,
    bytes: Option<Payload>,
    rtt_us: Option<u32>,
    retransmits: Option<u32>,
    accepted: Option<u64>,
    backlog: Option<u32>,
    backlog_given: Option<i32>,
    queue: Option<u32>,
    dropped: Option<u32>,
    close: Option<Close>,
    #[serde(skip_serializing_if = "Option::is_none")]
    holders: Sometimes<Holders<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    recv_queue: Sometimes<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    send_queue: Sometimes<u32>,
    peer_socket: Option<Id<'a>>,
    origin: &'static str,
    complete: bool,
}

#[derive(Serialize)]
struct Payload {
    received: u64,
    sent: u64,
}

impl<'a> SocketLine<'a> {
    fn new(wall: Wall<'a>, life: &'a Life, queues: bool) -> Self {
        let listener = (life.role == Some(Role::Listener)).then_some(life);
        let connected = matches!(life.role, Some(Role::Server | Role::Client));
        let snapshot = life.origin == Origin::Snapshot;
        Self {
            socket: wall.id(life.number),
            cookie: life.cookie,
            netns: life.netns,
            transport: life.transport.name(),
            family: life.family.map(family),
            role: life.role.map(Role::name),
            local: life.local.map(End::new),
            peer: life.peer.map(End::new),
            listener: life.listener.map(|id| wall.id(id)),
            process: life.owner.as_ref().map(Owner::new),
            fd: life.fd,
            path: Path { life, wall },
            path_omitted: Some(life.path_omitted).filter(|&omitted| omitted > 0),
            state: life.state.name(),
            destroyed: life.destroyed.map(|time| wall.at(time)),
            handshake_ns: life.handshake_ns,
            accept_queue_ns: life.accept_queue_ns,
            connect_ns: life.connect_ns,
            lifetime_ns: life.lifetime_ns(),
            bytes: life.bytes().map(|bytes| Payload { received: bytes.received, sent: bytes.sent }),
            rtt_us: life.rtt_us(),
            retransmits: life.retransmits().filter(|_| connected),
            accepted: listener.map(|life| life.accepted),
            backlog: listener.and_then(|life| life.backlog),
            backlog_given: listener.and_then(|life| life.backlog_given),
            queue: listener.and_then(|life| life.stats).map(|stats| stats.queue),
            dropped: listener.and_then(|life| life.stats).map(|stats| stats.drops),
            close: life.verdict().map(Close::new),
            holders: (snapshot || life.holders.is_some()).then(|| life.holders.as_deref().map(Holders)),
            recv_queue: queues.then(|| life.queues().map(|(received, _)| received)),
            send_queue: queues.then(|| life.queues().map(|(_, sent)| sent)),
            peer_socket: life.peer_socket.map(|id| wall.id(id)),
            origin: if snapshot { "snapshot" } else { "traced" },
            complete: life.complete,
        }
    }
}
