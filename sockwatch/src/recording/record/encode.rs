//! Steps to bytes.

use std::{collections::HashMap, net::IpAddr, sync::Arc};

use foldhash::fast::RandomState;

use super::{ID_COUNT, changed, counted, holds, kind, unknown};
use crate::{
    event::{Actor, CallKind, Errno, Event, Family, Key, Mark, Process, Sock, State, Stats, Time, Transport, What},
    recording::{veil::Veil, wire::Writer},
    source::Step,
};

/// Writes the records of one block after another.
#[derive(Debug)]
pub(in crate::recording) struct Encoder {
    pub(super) out: Writer,
    pub(super) veil: Veil,
    sockets: HashMap<u64, u32, RandomState>,
    told: Vec<Sock>,
    /// Whose address is in a key of `actors` stays alive here, so that nobody else gets it.
    processes: Vec<Arc<Process>>,
    process_places: HashMap<usize, u32, RandomState>,
    actors: HashMap<(usize, Option<u32>, bool), u32, RandomState>,
    ids: HashMap<u64, u64, RandomState>,
    cookie: u64,
    time: Time,
    first: Time,
    last: Time,
    events: u32,
}

/// The contents of a block.
#[derive(Debug)]
pub(in crate::recording) struct Filled {
    pub(in crate::recording) payload: Vec<u8>,
    pub(in crate::recording) first: Time,
    pub(in crate::recording) last: Time,
    pub(in crate::recording) events: u32,
}

impl Encoder {
    /// One for a recording: what stands for addresses of the kernel means nothing outside of it.
    pub(in crate::recording) fn new() -> Self {
        Self {
            out: Writer::default(),
            veil: Veil::new(),
            sockets: HashMap::default(),
            told: Vec::new(),
            processes: Vec::new(),
            process_places: HashMap::default(),
            actors: HashMap::default(),
            ids: HashMap::default(),
            cookie: 0,
            time: 0,
            first: Time::MAX,
            last: 0,
            events: 0,
        }
    }

    /// How many bytes wait.
    pub(in crate::recording) fn len(&self) -> usize {
        self.out.bytes.len()
    }

    /// Hands out what was written, and begins anew.
    pub(in crate::recording) fn take(&mut self) -> Filled {
        let Self {
            out,
            veil: _,
            sockets,
            told,
            processes,
            process_places,
            actors,
            ids,
            cookie,
            time,
            first,
            last,
            events,
        } = self;
        let room = out.bytes.len();
        let filled = Filled {
            payload: std::mem::replace(&mut out.bytes, Vec::with_capacity(room + room / 8)),
            first: if *first > *last { 0 } else { *first },
            last: *last,
            events: *events,
        };
        sockets.clear();
        told.clear();
        processes.clear();
        process_places.clear();
        actors.clear();
        ids.clear();
        (*cookie, *time, *first, *last, *events) = (0, 0, Time::MAX, 0, 0);
        filled
    }

    /// Writes a step.
    pub(in crate::recording) fn step(&mut self, step: &Step) {
        match step {
            Step::Event(event) => self.event(event),
            Step::Settled { now, events } => {
                let elapsed = self.elapsed(*now);
                self.out.record(kind::SETTLED, |out| {
                    out.signed(elapsed);
                    out.number(*events);
                });
            }
            Step::Clock { since, offset } => {
                let elapsed = self.elapsed(*since);
                let offset = i64::try_from(*offset).unwrap_or(0);
                self.out.record(kind::CLOCK, |out| {
                    out.signed(elapsed);
                    out.signed(offset);
                });
            }
            Step::End => self.out.record(kind::END, |_| {}),
        }
    }

    fn event(&mut self, event: &Event) {
        let Event { time, what } = event;
        match what {
            What::Transition { sock, to, by, call, srtt, backlog } => {
                let (place, actor) = self.refer(sock.key.addr, by.as_ref());
                self.record(kind::TRANSITION, *time, |this| {
                    this.sock(place, sock);
                    let out = &mut this.out;
                    out.byte(state(*to));
                    out.number(actor);
                    out.number((*srtt).into());
                    out.number((*backlog).into());
                    out.byte(call.is_some().into());
                    if let Some((called, fd)) = call {
                        out.delta(*time, *called);
                        out.signed((*fd).into());
                    }
                });
            }
            What::Step { key, parent, from, to, by } => {
                let (place, actor) = self.refer(key.addr, by.as_ref());
                self.record(kind::STEP, *time, |this| {
                    let Seen { mut bits, id } = this.seen(place, *key);
                    let told = &mut this.told[place as usize];
                    bits |= if told.parent == *parent { 0 } else { changed::PARENT };
                    told.parent = *parent;
                    let out = &mut this.out;
                    out.number(place.into());
                    out.number(bits);
                    this.id(bits, id);
                    if bits & changed::PARENT != 0 {
                        this.out.number(*parent);
                    }
                    this.out.byte(state(*from) << 4 | state(*to));
                    this.out.number(actor);
                });
            }
            What::Close { sock, by, stats, in_call } => {
                let (place, actor) = self.refer(sock.key.addr, by.as_ref());
                self.record(kind::CLOSE, *time, |this| {
                    this.sock(place, sock);
                    this.out.number(actor);
                    this.stats(stats);
                    this.out.byte((*in_call).into());
                });
            }
            What::Mark { key, mptcp, state: now, mark } => {
                let (place, _) = self.refer(key.addr, None);
                let mptcp = self.veil.token(*mptcp);
                self.record(mark_kind(*mark), *time, |this| {
                    let Seen { mut bits, id } = this.seen(place, *key);
                    bits |= if mptcp == 0 { 0 } else { changed::MPTCP };
                    this.out.number(place.into());
                    this.out.number(bits);
                    this.id(bits, id);
                    if bits & changed::MPTCP != 0 {
                        this.out.number(mptcp);
                    }
                    this.out.byte(state(*now));
                });
            }
            What::Call { call, sock, by, called, fd, error, backlog: (given, limit) } => {
                let (place, actor) = self.refer(sock.key.addr, by.as_ref());
                self.record(call_kind(*call), *time, |this| {
                    this.sock(place, sock);
                    let out = &mut this.out;
                    out.number(actor);
                    out.byte(u8::from(called.is_some()) | u8::from(fd.is_some()) << 1);
                    if let Some(called) = called {
                        out.delta(*time, *called);
                    }
                    if let Some(fd) = fd {
                        out.signed((*fd).into());
                    }
                    out.number(errno(*error));
                    out.signed((*given).into());
                    out.number((*limit).into());
                });
            }
            What::Exists { sock, stats, holder } => {
                let (place, actor) = self.refer(sock.key.addr, holder.as_ref().map(|(actor, _)| actor));
                self.record(kind::EXISTS, *time, |this| {
                    this.sock(place, sock);
                    this.stats(stats);
                    this.out.number(actor);
                    if let Some((_, fd)) = holder {
                        this.out.signed((*fd).into());
                    }
                });
            }
            What::Surveyed => {
                let elapsed = self.elapsed(*time);
                self.out.record(kind::SURVEYED, |out| out.signed(elapsed));
            }
            What::Lost { count, since } => {
                let elapsed = self.elapsed(*time);
                self.out.record(kind::LOST, |out| {
                    out.signed(elapsed);
                    out.delta(*time, *since);
                    out.byte(count.is_some().into());
                    out.number(count.unwrap_or(0));
                });
            }
            // It has done its work: the processes that follow have the executable.
            What::Exec { .. } => {}
        }
    }

    /// Writes an event's record: its time, and what `fields` writes.
    fn record(&mut self, kind: u8, time: Time, fields: impl FnOnce(&mut Self)) {
        let elapsed = self.elapsed(time);
        self.events += 1;
        let start = self.out.begin(kind);
        self.out.signed(elapsed);
        fields(self);
        self.out.end(start);
    }

    /// Time since the last record.
    fn elapsed(&mut self, time: Time) -> i64 {
        let elapsed = time.wrapping_sub(self.time).cast_signed();
        self.time = time;
        self.first = self.first.min(time);
        self.last = self.last.max(time);
        elapsed
    }

    /// Places of a socket and of an actor in the tables (of the latter one more, 0 for none); named, if they are new.
    fn refer(&mut self, addr: u64, actor: Option<&Actor>) -> (u32, u64) {
        let actor = actor.map_or(0, |actor| u64::from(self.actor(actor)) + 1);
        let next = self.told.len() as u32;
        let place = *self.sockets.entry(addr).or_insert(next);
        if place == next {
            let token = self.veil.token(addr);
            self.out.record(kind::SOCKET, |out| out.number(token));
            self.told.push(unknown());
        }
        (place, actor)
    }

    pub(super) fn actor(&mut self, actor: &Actor) -> u32 {
        let Actor { process, tid, descendant } = actor;
        let key = (Arc::as_ptr(process).addr(), *tid, *descendant);
        if let Some(&place) = self.actors.get(&key) {
            return place;
        }
        let of = self.place_of_process(process);
        self.out.record(kind::ACTOR, |out| {
            out.number(of.into());
            out.optional(*tid);
            out.byte((*descendant).into());
        });
        let place = self.actors.len() as u32;
        self.actors.insert(key, place);
        place
    }

    /// Place of a process in its table; it is named if it is new.
    pub(super) fn place_of_process(&mut self, process: &Arc<Process>) -> u32 {
        if let Some(&place) = self.process_places.get(&Arc::as_ptr(process).addr()) {
            return place;
        }
        let Process { pid, start, name, uid, executable, container } = &**process;
        self.out.record(kind::PROCESS, |out| {
            out.optional(*pid);
            out.number(*start);
            out.text(name.as_bytes());
            out.optional(*uid);
            out.optional_text(executable.as_ref().map(|path| path.as_bytes()));
            out.optional_text(container.as_ref().map(|id| id.as_bytes()));
        });
        let place = self.processes.len() as u32;
        self.processes.push(process.clone());
        self.process_places.insert(Arc::as_ptr(process).addr(), place);
        place
    }

    /// What to write of a key, given what the block told of the socket before.
    fn seen(&mut self, place: u32, key: Key) -> Seen {
        let told = &mut self.told[place as usize];
        if key.id == 0 {
            return Seen { bits: changed::NO_ID, id: 0 };
        }
        if key.id == told.key.id {
            return Seen { bits: 0, id: 0 };
        }
        told.key.id = key.id;
        Seen { bits: changed::ID, id: key.id }
    }

    fn id(&mut self, bits: u64, id: u64) {
        if bits & changed::ID != 0 {
            let (giver, count) = (id >> ID_COUNT, id & ((1 << ID_COUNT) - 1));
            let last = self.ids.insert(giver, count).unwrap_or(0);
            self.out.number(giver);
            self.out.delta(last, count);
        }
    }

    fn sock(&mut self, place: u32, sock: &Sock) {
        let Sock { key, parent, mptcp, cookie, netns, family, transport, state: now, local, peer } = sock;
        let Seen { mut bits, id } = self.seen(place, *key);
        let mptcp = self.veil.token(*mptcp);
        let told = &mut self.told[place as usize];
        let mut note = |differs: bool, bit: u64| bits |= if differs { bit } else { 0 };
        note(told.cookie != *cookie, changed::COOKIE);
        note(told.local.port != local.port, changed::LOCAL_PORT);
        note(told.peer.port != peer.port, changed::PEER_PORT);
        note(told.local.address != local.address, changed::LOCAL_ADDRESS);
        note(told.peer.address != peer.address, changed::PEER_ADDRESS);
        note(told.parent != *parent, changed::PARENT);
        note(told.netns != *netns, changed::NETNS);
        note((told.family, told.transport) != (*family, *transport), changed::KIND);
        note(told.mptcp != mptcp, changed::MPTCP);
        *told = Sock { key: told.key, mptcp, ..sock.clone() };
        let has = |bit| bits & bit != 0;
        self.out.number(place.into());
        self.out.number(bits);
        self.id(bits, id);
        let out = &mut self.out;
        if has(changed::COOKIE) {
            out.delta(self.cookie, *cookie);
            self.cookie = *cookie;
        }
        if has(changed::LOCAL_PORT) {
            out.number(local.port.into());
        }
        if has(changed::PEER_PORT) {
            out.number(peer.port.into());
        }
        if has(changed::LOCAL_ADDRESS) {
            write_address(out, local.address);
        }
        if has(changed::PEER_ADDRESS) {
            write_address(out, peer.address);
        }
        if has(changed::PARENT) {
            out.number(*parent);
        }
        if has(changed::NETNS) {
            out.number((*netns).into());
        }
        if has(changed::KIND) {
            out.byte(family_code(*family) | transport_code(*transport) << 4);
        }
        if has(changed::MPTCP) {
            out.number(mptcp);
        }
        out.byte(state(*now));
    }

    pub(super) fn stats(&mut self, stats: &Stats) {
        let Stats {
            received,
            acked,
            srtt,
            retransmits,
            queue,
            backlog,
            drops,
            unread,
            unacked,
            error,
            counted: readable,
            fin_received,
            orphan,
            unheld,
            nothing_sent,
        } = *stats;
        let flags = [
            (readable, holds::COUNTED),
            (fin_received, holds::FIN_RECEIVED),
            (orphan, holds::ORPHAN),
            (unheld, holds::UNHELD),
            (nothing_sent, holds::NOTHING_SENT),
        ];
        self.out.byte(flags.into_iter().filter(|(set, _)| *set).map(|(_, bit)| bit).sum());
        let counts = [
            (received, counted::RECEIVED),
            (acked, counted::ACKED),
            (srtt.into(), counted::SRTT),
            (unacked.into(), counted::UNACKED),
            (retransmits.into(), counted::RETRANSMITS),
            (unread.into(), counted::UNREAD),
            (errno(error), counted::ERROR),
            (queue.into(), counted::QUEUE),
            (backlog.into(), counted::BACKLOG),
            (drops.into(), counted::DROPS),
        ];
        self.out.number(counts.into_iter().filter(|(count, _)| *count > 0).map(|(_, bit)| bit).sum());
        for (count, _) in counts.into_iter().filter(|(count, _)| *count > 0) {
            self.out.number(count);
        }
    }
}

/// How a key differs from what was told before.
struct Seen {
    bits: u64,
    id: u64,
}

pub(super) fn write_address(out: &mut Writer, address: IpAddr) {
    match address {
        IpAddr::V4(address) => {
            out.byte(4);
            out.bytes.extend_from_slice(&address.octets());
        }
        IpAddr::V6(address) => {
            out.byte(6);
            out.bytes.extend_from_slice(&address.octets());
        }
    }
}

/// The kernel's number of a state.
pub(super) fn state(state: State) -> u8 {
    use sockwatch_ebpf::state as kernel;
    match state {
        State::Established => kernel::ESTABLISHED,
        State::SynSent => kernel::SYN_SENT,
        State::SynReceived => kernel::SYN_RECV,
        State::FinWait1 => kernel::FIN_WAIT1,
        State::FinWait2 => kernel::FIN_WAIT2,
        State::TimeWait => kernel::TIME_WAIT,
        State::Closed => kernel::CLOSE,
        State::CloseWait => kernel::CLOSE_WAIT,
        State::LastAck => kernel::LAST_ACK,
        State::Listen => kernel::LISTEN,
        State::Closing => kernel::CLOSING,
    }
}

pub(super) fn family_code(family: Family) -> u8 {
    match family {
        Family::Ipv4 => 4,
        Family::Ipv6 => 6,
    }
}

pub(super) fn transport_code(transport: Transport) -> u8 {
    match transport {
        Transport::Tcp => 0,
        Transport::Mptcp => 1,
        Transport::Sctp => 2,
    }
}

pub(super) fn errno(error: Option<Errno>) -> u64 {
    error.map_or(0, |error| error.0.unsigned_abs().into())
}

fn mark_kind(mark: Mark) -> u8 {
    match mark {
        Mark::Destroyed => kind::DESTROYED,
        Mark::Retransmit => kind::RETRANSMIT,
        Mark::ResetSent => kind::RESET_SENT,
        Mark::ResetReceived => kind::RESET_RECEIVED,
    }
}

fn call_kind(call: CallKind) -> u8 {
    match call {
        CallKind::Bind => kind::BIND,
        CallKind::Listen => kind::LISTEN,
        CallKind::Connect => kind::CONNECT,
        CallKind::Accept => kind::ACCEPT,
    }
}
