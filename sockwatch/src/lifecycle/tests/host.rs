//! A host that reports what a kernel reports, in the kernel's order, for as many sockets as a story needs.

use std::sync::Arc;

use crate::{
    event::{
        Actor, CallKind, Endpoint, Errno, Event, Family, Key, Mark, Process, Sock, State, Stats, Time, Transport, What,
    },
    untrusted::Untrusted,
};

pub(super) const US: Time = 1_000;
pub(super) const MS: Time = 1_000_000;
pub(super) const SECOND: Time = 1_000_000_000;

/// `10.0.0.1:80`.
pub(super) fn at(text: &str) -> Endpoint {
    let address: std::net::SocketAddr = text.parse().expect("an address and a port");
    Endpoint { address: address.ip(), port: address.port() }
}

pub(super) fn process(name: &str, pid: u32) -> Actor {
    let name = Untrusted::new(name.as_bytes());
    let process =
        Process { pid: Some(pid), start: u64::from(pid), name, uid: Some(1000), executable: None, container: None };
    Actor { process: Arc::new(process), tid: Some(pid), descendant: false }
}

/// A socket of the host. Stories set its counts before it closes.
#[derive(Clone, Debug)]
pub(super) struct Socket {
    /// As the next record about it says; its id is left out where the kernel can't say it.
    pub(super) sock: Sock,
    pub(super) stats: Stats,
    pub(super) fd: i32,
    /// At ESTABLISHED, eighths of a microsecond.
    pub(super) srtt: u32,
    /// Whether it has a storage: from its first change of state.
    stored: bool,
}

impl Socket {
    pub(super) fn local(&mut self, local: &str) {
        self.sock.local = at(local);
    }
}

/// The host, and what its kernel reported so far.
#[derive(Debug)]
pub(super) struct Host {
    pub(super) now: Time,
    pub(super) events: Vec<Event>,
    pub(super) netns: u32,
    last: u64,
    /// Makes the time between two events random, up to a quarter of a millisecond.
    pub(super) dice: Option<Dice>,
}

impl Host {
    pub(super) fn new() -> Self {
        Self { now: SECOND, events: Vec::new(), netns: 1, last: 0, dice: None }
    }

    pub(super) fn wait(&mut self, time: Time) {
        self.now += time;
    }

    /// A TCP socket that no event was about yet.
    pub(super) fn socket(&mut self) -> Socket {
        self.last += 1;
        let sock = Sock {
            key: Key { id: self.last, addr: 0xffff_0000 + self.last * 64 },
            parent: 0,
            mptcp: 0,
            cookie: 1000 + self.last,
            netns: self.netns,
            family: Family::Ipv4,
            transport: Transport::Tcp,
            state: State::Closed,
            local: at("0.0.0.0:0"),
            peer: at("0.0.0.0:0"),
        };
        let stats = Stats { counted: true, ..Stats::default() };
        Socket { sock, stats, fd: 3, srtt: 0, stored: false }
    }

    pub(super) fn mptcp_socket(&mut self) -> Socket {
        let mut socket = self.socket();
        socket.sock.transport = Transport::Mptcp;
        socket
    }

    /// A subflow of an MPTCP socket.
    pub(super) fn subflow(&mut self, of: &Socket) -> Socket {
        let mut socket = self.socket();
        socket.sock.mptcp = of.sock.key.addr;
        socket
    }

    fn emit(&mut self, what: What) {
        self.now += US;
        self.events.push(Event { time: self.now, what });
    }

    fn pause(&mut self) {
        if let Some(dice) = &mut self.dice {
            self.now += dice.below(250 * US);
        }
    }

    // The kernel's records.

    pub(super) fn transition(&mut self, socket: &mut Socket, to: State, by: Option<&Actor>, called: Option<Time>) {
        let mut sock = socket.sock.clone();
        if to == State::SynReceived {
            sock.cookie = 0;
        }
        let call = called.map(|called| (called, socket.fd));
        let (srtt, backlog) = (socket.srtt, socket.stats.backlog);
        self.emit(What::Transition { sock, to, by: by.cloned(), call, srtt, backlog });
        socket.sock.state = to;
        socket.stored = true;
    }

    pub(super) fn step(&mut self, socket: &mut Socket, to: State, by: Option<&Actor>) {
        self.pause();
        let Sock { key, parent, state: from, .. } = socket.sock;
        self.emit(What::Step { key, parent, from, to, by: by.cloned() });
        socket.sock.state = to;
        socket.stored = true;
    }

    /// To CLOSE.
    pub(super) fn close(&mut self, socket: &mut Socket, by: Option<&Actor>) {
        self.pause();
        self.close_in(socket, by, false);
    }

    fn close_in(&mut self, socket: &mut Socket, by: Option<&Actor>, in_call: bool) {
        let (sock, stats) = (socket.sock.clone(), socket.stats);
        self.emit(What::Close { sock, by: by.cloned(), stats, in_call });
        socket.sock.state = State::Closed;
        socket.stored = true;
    }

    pub(super) fn mark(&mut self, socket: &Socket, mark: Mark) {
        self.pause();
        let Sock { key, mptcp, state, .. } = socket.sock;
        let id = if socket.stored { key.id } else { 0 };
        self.emit(What::Mark { key: Key { id, ..key }, mptcp, state, mark });
    }

    pub(super) fn destroyed(&mut self, socket: &Socket) {
        self.mark(socket, Mark::Destroyed);
    }

    fn call(&mut self, call: CallKind, socket: &Socket, by: &Actor, called: Time, error: Option<i32>) {
        let mut sock = socket.sock.clone();
        sock.key.id = 0;
        sock.parent = 0;
        sock.cookie = 0;
        let backlog = if call == CallKind::Listen { (4096, socket.stats.backlog) } else { (0, 0) };
        let (called, fd, error) = (Some(called), Some(socket.fd), error.map(Errno));
        self.emit(What::Call { call, sock, by: Some(by.clone()), called, fd, error, backlog });
    }

    /// A socket that existed before: one record for each descriptor that holds it, or one without.
    pub(super) fn exists(&mut self, socket: &mut Socket, holders: &[(&Actor, i32)]) {
        socket.stored = true;
        let (sock, stats) = (socket.sock.clone(), socket.stats);
        if holders.is_empty() {
            self.emit(What::Exists { sock: sock.clone(), stats, holder: None });
        }
        for &(actor, fd) in holders {
            self.emit(What::Exists { sock: sock.clone(), stats, holder: Some((actor.clone(), fd)) });
        }
    }

    pub(super) fn surveyed(&mut self) {
        self.emit(What::Surveyed);
    }

    /// Events were lost since then.
    pub(super) fn lost(&mut self, count: u64, since: Time) {
        self.emit(What::Lost { count: Some(count), since });
    }

    // What processes do.

    pub(super) fn bind(&mut self, socket: &mut Socket, local: &str, by: &Actor) {
        self.pause();
        let called = self.now;
        socket.local(local);
        self.call(CallKind::Bind, socket, by, called, None);
    }

    pub(super) fn bind_fails(&mut self, socket: &Socket, local: &str, by: &Actor, error: i32) {
        self.pause();
        let called = self.now;
        let mut asked = socket.clone();
        asked.local(local);
        self.call(CallKind::Bind, &asked, by, called, Some(error));
    }

    pub(super) fn listen(&mut self, socket: &mut Socket, by: &Actor) {
        self.pause();
        let called = self.now;
        socket.stats.backlog = 128;
        if socket.sock.state == State::Closed {
            self.transition(socket, State::Listen, Some(by), Some(called));
        }
        self.listen_returns(socket, by, called);
    }

    pub(super) fn listen_returns(&mut self, socket: &Socket, by: &Actor, called: Time) {
        self.call(CallKind::Listen, socket, by, called, None);
    }

    /// listen() chooses a port, and finds that someone else has it (`inet_csk_listen_start`).
    pub(super) fn listen_fails_inside(&mut self, socket: &mut Socket, by: &Actor, error: i32) {
        let called = self.now;
        self.transition(socket, State::Listen, Some(by), Some(called));
        self.close_in(socket, Some(by), true);
        self.call(CallKind::Listen, socket, by, called, Some(error));
    }

    pub(super) fn listener(&mut self, local: &str, by: &Actor) -> Socket {
        let mut socket = self.socket();
        self.bind(&mut socket, local, by);
        self.listen(&mut socket, by);
        socket
    }

    /// connect() up to the SYN: the port is not known yet unless it was bound.
    pub(super) fn connect(&mut self, socket: &mut Socket, peer: &str, by: &Actor) {
        self.pause();
        let called = self.now;
        socket.sock.peer = at(peer);
        self.transition(socket, State::SynSent, Some(by), Some(called));
    }

    /// The SYN-ACK came, or nothing yet: the local end is known after the SYN was sent.
    pub(super) fn connected(&mut self, socket: &mut Socket, local: &str) {
        self.pause();
        socket.local(local);
        self.transition(socket, State::Established, None, None);
    }

    pub(super) fn connect_fails(&mut self, socket: &Socket, peer: &str, by: &Actor, error: i32) {
        self.pause();
        let called = self.now;
        let mut asked = socket.clone();
        asked.sock.peer = at(peer);
        self.call(CallKind::Connect, &asked, by, called, Some(error));
    }

    /// connect() gets as far as SYN_SENT and no SYN leaves: no port is free.
    pub(super) fn connect_fails_inside(&mut self, socket: &mut Socket, peer: &str, by: &Actor, error: i32) {
        self.pause();
        let called = self.now;
        socket.sock.peer = at(peer);
        self.transition(socket, State::SynSent, Some(by), Some(called));
        socket.stats.nothing_sent = true;
        self.close_in(socket, Some(by), true);
        self.call(CallKind::Connect, socket, by, called, Some(error));
    }

    /// A client that is connected, by `curl`.
    pub(super) fn client(&mut self, local: &str, peer: &str) -> Socket {
        let mut socket = self.socket();
        self.connect(&mut socket, peer, &process("curl", 200));
        self.connected(&mut socket, local);
        socket
    }

    /// The last ACK of a handshake came to a listener.
    pub(super) fn syn_received(&mut self, listener: &Socket, peer: &str) -> Socket {
        self.pause();
        let mut child = self.socket();
        child.sock.parent = listener.sock.key.id;
        child.sock.local = listener.sock.local;
        child.sock.peer = at(peer);
        child.sock.state = State::Listen;
        child.srtt = 800;
        child.fd = 9;
        if child.sock.local.address.is_unspecified() {
            child.sock.local.address = at("10.0.0.1:1").address;
        }
        self.transition(&mut child, State::SynReceived, None, None);
        child
    }

    /// A connection in the accept queue.
    pub(super) fn arrives(&mut self, listener: &Socket, peer: &str) -> Socket {
        let mut child = self.syn_received(listener, peer);
        self.transition(&mut child, State::Established, None, None);
        child
    }

    pub(super) fn accept(&mut self, child: &Socket, by: &Actor) {
        self.pause();
        let called = self.now;
        self.call(CallKind::Accept, child, by, called, None);
    }

    pub(super) fn accept_fails(&mut self, listener: &Socket, by: &Actor, error: i32) {
        let called = self.now;
        self.call(CallKind::Accept, listener, by, called, Some(error));
    }

    // How connections end.

    /// close() by this side; the peer answers. An orphan leaves in FIN_WAIT2.
    pub(super) fn closes_first(&mut self, socket: &mut Socket, by: &Actor) {
        self.step(socket, State::FinWait1, Some(by));
        self.step(socket, State::FinWait2, None);
        socket.stats.orphan = true;
        self.close(socket, None);
        self.destroyed(socket);
    }

    pub(super) fn closes_second(&mut self, socket: &mut Socket, by: &Actor) {
        self.step(socket, State::CloseWait, None);
        self.step(socket, State::LastAck, Some(by));
        socket.stats.orphan = true;
        socket.stats.fin_received = true;
        self.close(socket, None);
        self.destroyed(socket);
    }

    /// The peer's reset came.
    pub(super) fn is_reset(&mut self, socket: &mut Socket, error: i32) {
        self.mark(socket, Mark::ResetReceived);
        socket.stats.error = Errno::new(error);
        self.close(socket, None);
    }

    /// close() with SO_LINGER 0, or with unread bytes.
    pub(super) fn resets(&mut self, socket: &mut Socket, by: &Actor) {
        self.close(socket, Some(by));
        self.mark(socket, Mark::ResetSent);
        self.destroyed(socket);
    }

    /// close() of a listener.
    pub(super) fn stops_listening(&mut self, listener: &mut Socket, by: &Actor) {
        self.close(listener, Some(by));
    }
}

/// A small deterministic generator (SplitMix64).
#[derive(Clone, Debug)]
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}
