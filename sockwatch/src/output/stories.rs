//! Lives for tests, lived through the real engine: what happens on a host, as the kernel would report it.

use std::sync::Arc;

use jiff::Timestamp;

use super::{Format, Occurrence, Scene, View};
use crate::{
    clock::Clock,
    event::{
        Actor, CallKind, Endpoint, Errno, Event, Family, Key, Mark, Process, Sock, State, Stats, Time, Transport, What,
    },
    lifecycle::{Engine, Report},
    untrusted::Untrusted,
};

pub(crate) const MS: Time = 1_000_000;

/// What a format writes of these events. They begin at 18:04:11 UTC.
pub(crate) fn shown(format: &mut dyn Format, view: View, events: Vec<Event>) -> String {
    let start: Timestamp = "2026-11-22T18:04:11Z".parse().unwrap();
    let scene = Scene::new(Clock::at(start.as_nanosecond()));
    let mut out = Vec::new();
    let mut engine = Engine::new();
    let mut tell = |report: Report<'_>| match report {
        Report::Milestone { life, index } if view != View::Closed => {
            for milestone in &life.path[life.told..=index] {
                format.event(&mut out, &scene, life, Occurrence::Milestone(milestone)).unwrap();
            }
            life.told = index + 1;
        }
        Report::Signal { life, signal } if view == View::States => {
            format.event(&mut out, &scene, life, Occurrence::Signal(signal)).unwrap();
        }
        Report::Milestone { .. } | Report::Signal { .. } => {}
        Report::Socket(life) => format.socket(&mut out, &scene, life).unwrap(),
        Report::Lost { count, since, until } => format.lost(&mut out, &scene, count, since, until).unwrap(),
    };
    for event in events {
        let time = event.time;
        engine.event(event);
        engine.advance(time, &mut tell);
    }
    engine.finish(&mut tell);
    String::from_utf8(out).unwrap()
}

pub(crate) fn process(name: &str, pid: u32) -> Actor {
    named(name.as_bytes(), pid)
}

pub(crate) fn named(name: &[u8], pid: u32) -> Actor {
    let process = Process {
        pid: Some(pid),
        start: 1,
        name: Untrusted::new(name),
        uid: Some(33),
        executable: Some(Untrusted::new(b"/usr/sbin/nginx")),
        container: None,
    };
    Actor { process: Arc::new(process), tid: Some(pid), descendant: false }
}

/// One socket, and what happens to it.
pub(crate) struct Story {
    sock: Sock,
    by: Actor,
    pub(crate) events: Vec<Event>,
}

impl Story {
    pub(crate) fn new(id: u64, by: Actor, local: &str, peer: &str) -> Self {
        let nowhere = Endpoint { address: [0, 0, 0, 0].into(), port: 0 };
        let end = |text: &str| {
            text.parse().map_or(nowhere, |end: std::net::SocketAddr| Endpoint { address: end.ip(), port: end.port() })
        };
        let (local, peer) = (end(local), end(peer));
        let family = if local.address.is_ipv6() { Family::Ipv6 } else { Family::Ipv4 };
        let sock = Sock {
            key: Key { id, addr: id * 64 },
            parent: 0,
            mptcp: 0,
            cookie: id + 4096,
            netns: 4_026_531_840,
            family,
            transport: Transport::Tcp,
            state: State::Closed,
            local,
            peer,
        };
        Self { sock, by, events: Vec::new() }
    }

    /// A child of the listener with this id.
    pub(crate) fn child_of(mut self, listener: u64) -> Self {
        self.sock.parent = listener;
        self.sock.state = State::Listen;
        self
    }

    fn push(mut self, time: Time, what: What) -> Self {
        self.events.push(Event { time, what });
        self
    }

    pub(crate) fn call(self, time: Time, call: CallKind, fd: i32, error: i32) -> Self {
        self.call_with(time, call, fd, error, (0, 0))
    }

    pub(crate) fn call_with(self, time: Time, call: CallKind, fd: i32, error: i32, backlog: (i32, u32)) -> Self {
        let (sock, by, error) = (self.sock.clone(), Some(self.by.clone()), Errno::new(error));
        self.push(time, What::Call { call, sock, by, called: Some(time), fd: Some(fd), error, backlog })
    }

    pub(crate) fn listen(self, time: Time, fd: i32, given: i32, limit: u32) -> Self {
        self.to(time, State::Listen, 0).call_with(time, CallKind::Listen, fd, 0, (given, limit))
    }

    /// To a state whose record tells all; `srtt` in eighths of a microsecond.
    pub(crate) fn to(mut self, time: Time, to: State, srtt: u32) -> Self {
        let sock = self.sock.clone();
        let called = matches!(to, State::SynSent | State::Listen);
        let by = called.then(|| self.by.clone());
        self.sock.state = to;
        self.push(time, What::Transition { sock, to, by, call: called.then_some((time, 7)), srtt, backlog: 0 })
    }

    pub(crate) fn step(mut self, time: Time, to: State) -> Self {
        let from = std::mem::replace(&mut self.sock.state, to);
        let Sock { key, parent, .. } = self.sock;
        self.push(time, What::Step { key, parent, from, to, by: None })
    }

    pub(crate) fn mark(self, time: Time, mark: Mark) -> Self {
        let Sock { key, state, .. } = self.sock;
        self.push(time, What::Mark { key, mptcp: 0, state, mark })
    }

    pub(crate) fn close(mut self, time: Time, by_process: bool, stats: Stats) -> Self {
        let sock = self.sock.clone();
        self.sock.state = State::Closed;
        let by = by_process.then(|| self.by.clone());
        self.push(time, What::Close { sock, by, stats, in_call: false })
    }

    pub(crate) fn destroyed(self, time: Time) -> Self {
        self.mark(time, Mark::Destroyed)
    }

    pub(crate) fn exists(mut self, time: Time, state: State, held: bool, stats: Stats) -> Self {
        self.sock.state = state;
        let (sock, holder) = (self.sock.clone(), held.then(|| (self.by.clone(), 6)));
        self.push(time, What::Exists { sock, stats, holder })
    }
}

/// What several sockets do, in the order of time.
pub(crate) fn together(stories: impl IntoIterator<Item = Story>) -> Vec<Event> {
    let mut events: Vec<Event> = stories.into_iter().flat_map(|story| story.events).collect();
    events.sort_by_key(|event| event.time);
    events
}

pub(crate) fn counted(received: u64, acked: u64) -> Stats {
    Stats { counted: true, received, acked, srtt: 1680, ..Stats::default() }
}

/// nginx listens, is asked for a page by a peer that closes first, and stops.
pub(crate) fn web_server() -> Vec<Event> {
    let listener = Story::new(1, process("nginx", 812), "0.0.0.0:80", "")
        .call(0, CallKind::Bind, 6, 0)
        .listen(MS, 6, 4096, 511)
        .close(60_000 * MS, true, Stats { drops: 3, backlog: 511, ..Stats::default() })
        .destroyed(60_001 * MS);
    let child = Story::new(2, process("nginx", 814), "10.0.0.4:80", "10.0.0.5:55715")
        .child_of(1)
        .to(4880 * MS, State::SynReceived, 0)
        .to(4880 * MS + 10_000, State::Established, 1680)
        .call(4880 * MS + 60_000, CallKind::Accept, 9, 0)
        .step(4890 * MS, State::CloseWait)
        .step(4892 * MS, State::LastAck)
        .close(4892 * MS + 910_000, false, Stats { fin_received: true, ..counted(79, 613) })
        .destroyed(4893 * MS);
    together([listener, child])
}

/// curl asks for a page and closes first.
pub(crate) fn client(name: &[u8], local: &str, peer: &str) -> Story {
    Story::new(3, named(name, 4711), local, peer)
        .to(10 * MS, State::SynSent, 0)
        .to(10 * MS + 210_000, State::Established, 1680)
        .step(20 * MS, State::FinWait1)
        .step(21 * MS, State::FinWait2)
        .close(22 * MS, false, Stats { fin_received: true, retransmits: 2, ..counted(1_204_001, 80) })
        .destroyed(23 * MS)
}

/// A connect that ends with an errno after this many milliseconds.
pub(crate) fn hopeless(errno: i32, after: Time) -> Vec<Event> {
    Story::new(4, process("curl", 99), "10.0.0.4:40000", "10.0.0.9:81")
        .to(0, State::SynSent, 0)
        .close(after * MS, false, Stats { error: Errno::new(errno), ..Stats::default() })
        .destroyed((after + 1) * MS)
        .events
}
