//! A host that opens and closes connections with itself, as its kernel would tell it: for measuring without a kernel.

use std::{
    collections::VecDeque,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
};

use sockwatch::{
    event::{Actor, CallKind, Endpoint, Event, Family, Key, Mark, Process, Sock, State, Stats, Time, Transport, What},
    source::Step,
    untrusted::Untrusted,
};

/// Between two events: short connections come as fast as they can, of others ten thousand a second.
const APART: [Time; 2] = [2_000, 20_000];

/// How long it takes from a system call to what it does.
const CALL: Time = 1_000;

/// How long connections that stay are there before the end.
const STAY: Time = 3_000_000_000;

/// How often the reader looks.
const LOOK: Time = 25_000_000;

/// How many connections there are at a time.
const AT_A_TIME: usize = 64;

/// The port that is listened on, and the id of the listener's socket.
const LISTENER: (u16, u64) = (8080, 1);

/// Where a kernel's objects may be.
const KERNEL: u64 = 0xffff_8880_0000_0000;

/// How far its beginning is told.
enum Began {
    Not,
    Surveyed,
    Whole,
}

/// Makes steps, one after another.
pub(crate) struct Host {
    /// When it begins.
    pub(crate) now: Time,
    looked: Time,
    events: u64,
    connections: u64,
    client: Actor,
    server: Actor,
    began: Began,
    /// Of each connection that is open, what is still to come.
    open: VecDeque<VecDeque<What>>,
    /// Connections are opened and stay.
    stays: bool,
    /// For how long nothing happened at the end.
    stayed: Time,
    /// Only the client's end of each connection is on this host.
    peers_elsewhere: bool,
    /// Between two events.
    pub(crate) apart: Time,
}

impl Host {
    /// One whose connections are short, or stay open; whose peers are here or elsewhere.
    pub(crate) fn new(stays: bool, peers_elsewhere: bool) -> Self {
        let actor = |name: &str, pid| Actor {
            process: Arc::new(Process {
                pid: Some(pid),
                start: 1_000_000 * Time::from(pid),
                name: Untrusted::new(name.as_bytes()),
                uid: Some(1000),
                executable: Some(Untrusted::new(format!("/usr/bin/{name}").as_bytes())),
                container: None,
            }),
            tid: Some(pid),
            descendant: false,
        };
        Self {
            now: 1_000_000_000_000,
            looked: 1_000_000_000_000,
            events: 0,
            connections: 0,
            client: actor("client", 4001),
            server: actor("server", 4002),
            began: Began::Not,
            open: VecDeque::new(),
            stays,
            stayed: 0,
            peers_elsewhere,
            apart: APART[usize::from(stays)],
        }
    }

    /// The steps of so many connections, and the end.
    pub(crate) fn steps(mut self, connections: u64) -> impl Iterator<Item = Step> {
        let mut ended = false;
        std::iter::from_fn(move || {
            if ended {
                return None;
            }
            let step = self.next(connections);
            ended = step == Step::End;
            Some(step)
        })
    }

    fn next(&mut self, connections: u64) -> Step {
        if self.now >= self.looked + LOOK {
            self.looked = self.now;
            return Step::Settled { now: self.now, events: self.events };
        }
        match std::mem::replace(&mut self.began, Began::Whole) {
            Began::Not => {
                self.began = Began::Surveyed;
                return Step::Event(Event { time: self.now, what: What::Surveyed });
            }
            Began::Surveyed => return self.event(listening(&self.server)),
            Began::Whole => {}
        }
        while self.open.len() < AT_A_TIME && self.connections < connections {
            self.connections += 1;
            let connection = Connection::new(self.connections);
            let mut events = connection.opens(&self.client, &self.server);
            if self.peers_elsewhere {
                events.truncate(2);
            }
            if !self.stays {
                events.extend(connection.closes(&self.client, &self.server, self.connections % 4));
            }
            self.open.push_back(events.into());
        }
        let Some(mut first) = self.open.pop_front() else {
            if self.stays && self.stayed < STAY {
                (self.stayed, self.now, self.looked) = (self.stayed + LOOK, self.now + LOOK, self.now + LOOK);
                return Step::Settled { now: self.now, events: self.events };
            }
            return Step::End;
        };
        let what = first.pop_front().expect("one that is empty is not put back");
        if !first.is_empty() {
            self.open.push_back(first);
        }
        self.event(what)
    }

    fn event(&mut self, mut what: What) -> Step {
        self.now += self.apart;
        self.events += 1;
        let began = self.now - CALL;
        match &mut what {
            What::Transition { call: Some((called, _)), .. } | What::Call { called: Some(called), .. } => {
                *called = began;
            }
            _ => {}
        }
        Step::Event(Event { time: self.now, what })
    }
}

fn listening(server: &Actor) -> What {
    let local = Endpoint { address: IpAddr::V6(Ipv6Addr::UNSPECIFIED), port: LISTENER.0 };
    let sock = Sock { state: State::Closed, family: Family::Ipv6, ..sock(LISTENER.1, 0, local, nowhere()) };
    let (by, call) = (Some(server.clone()), Some((0, 3)));
    What::Transition { sock, to: State::Listen, by, call, srtt: 0, backlog: 4096 }
}

fn nowhere() -> Endpoint {
    Endpoint { address: IpAddr::V4(Ipv4Addr::UNSPECIFIED), port: 0 }
}

fn sock(id: u64, parent: u64, local: Endpoint, peer: Endpoint) -> Sock {
    Sock {
        key: key(id),
        parent,
        mptcp: 0,
        cookie: 0x1000 + id,
        netns: 4_026_531_840,
        family: if local.address.is_ipv4() { Family::Ipv4 } else { Family::Ipv6 },
        transport: Transport::Tcp,
        state: State::Closed,
        local,
        peer,
    }
}

/// Structs of sockets lie where a slab has room: near each other, in no order.
fn key(id: u64) -> Key {
    Key { id, addr: KERNEL + (id.wrapping_mul(0x9e37_79b9) & 0xff_ffff) * 2560 }
}

/// Both ends of one.
struct Connection {
    client: Sock,
    server: Sock,
}

impl Connection {
    fn new(number: u64) -> Self {
        // A port of 32,768, and as many addresses as that takes.
        let port = 32_768 + (number % 32_768) as u16;
        let beyond = (number / 32_768) as u16;
        let [high, low] = beyond.to_be_bytes();
        let address = if number.is_multiple_of(2) {
            IpAddr::V4(Ipv4Addr::new(10, 1, high, low))
        } else {
            IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 1, beyond))
        };
        let (here, there) = (Endpoint { address, port }, Endpoint { address, port: LISTENER.0 });
        let id = 2 * number;
        Self { client: sock(id, 0, here, there), server: sock(id + 1, LISTENER.1, there, here) }
    }

    fn opens(&self, client: &Actor, server: &Actor) -> Vec<What> {
        let Self { client: one, server: other } = self;
        let in_state = |sock: &Sock, state| Sock { state, ..sock.clone() };
        let change = |sock: Sock, to, by, call, srtt| What::Transition { sock, to, by, call, srtt, backlog: 0 };
        let unbound = Sock { local: Endpoint { port: 0, ..one.local }, ..one.clone() };
        let call = Some((0, 5));
        vec![
            change(unbound, State::SynSent, Some(client.clone()), call, 0),
            change(in_state(one, State::SynSent), State::Established, None, None, 320),
            change(in_state(other, State::Listen), State::SynReceived, None, None, 0),
            change(in_state(other, State::SynReceived), State::Established, None, None, 160),
            What::Call {
                call: CallKind::Accept,
                sock: Sock { key: Key { id: 0, ..other.key }, ..in_state(other, State::Established) },
                by: Some(server.clone()),
                called: Some(0),
                fd: Some(7),
                error: None,
                backlog: (0, 0),
            },
        ]
    }

    fn closes(&self, client: &Actor, server: &Actor, how: u64) -> Vec<What> {
        // In turn the client closes first and the server does.
        let ((first, by), (second, then_by)) = match how % 2 {
            0 => ((&self.client, client), (&self.server, server)),
            _ => ((&self.server, server), (&self.client, client)),
        };
        let step = |sock: &Sock, from, to, by: Option<&Actor>| What::Step {
            key: sock.key,
            parent: sock.parent,
            from,
            to,
            by: by.cloned(),
        };
        let close = |sock: &Sock, from, by: Option<&Actor>, fin_received| What::Close {
            sock: Sock { state: from, ..sock.clone() },
            by: by.cloned(),
            stats: Stats { received: 513, acked: 78, srtt: 250, counted: true, fin_received, ..Stats::default() },
            in_call: false,
        };
        let mark = |sock: &Sock, mark| What::Mark { key: sock.key, mptcp: 0, state: State::Closed, mark };
        if how < 2 {
            return vec![
                step(first, State::Established, State::FinWait1, Some(by)),
                step(second, State::Established, State::CloseWait, None),
                step(first, State::FinWait1, State::FinWait2, None),
                close(first, State::FinWait2, None, false),
                mark(first, Mark::Destroyed),
                step(second, State::CloseWait, State::LastAck, Some(then_by)),
                close(second, State::LastAck, None, true),
                mark(second, Mark::Destroyed),
            ];
        }
        vec![
            close(first, State::Established, Some(by), false),
            mark(first, Mark::ResetSent),
            mark(second, Mark::ResetReceived),
            close(second, State::Established, None, false),
            mark(first, Mark::Destroyed),
            mark(second, Mark::Destroyed),
        ]
    }
}
