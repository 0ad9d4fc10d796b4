//! Whole hosts at random: stories in the kernel's grammar that run at the same time, on several processors.

use std::collections::HashMap;

use nix::libc;

use super::{
    host::{Dice, Host, MS, Socket, US, process},
    mptcp,
};
use crate::event::{Actor, Errno, Event, Mark, State, Time, What};

/// One story: which, when it starts, and what its dice say.
pub(super) type Plan = (u8, Time, u64);

/// How many kinds of story there are.
pub(super) const STORIES: u8 = 14;

/// What a host does, and what must be seen of it.
#[derive(Debug)]
pub(super) struct Town {
    /// In the order in which they are received.
    pub(super) events: Vec<Event>,
    /// Sockets that users know of.
    pub(super) sockets: usize,
    /// Ids of accepted sockets, and of their listeners.
    pub(super) accepted: Vec<(u64, u64)>,
}

struct Builder {
    host: Host,
    dice: Dice,
    sockets: usize,
    accepted: Vec<(u64, u64)>,
    by: Actor,
}

impl Town {
    /// All sockets are destroyed at its end.
    pub(super) fn new(plans: &[Plan], seed: u64) -> Self {
        let mut host = Host::new();
        let by = process("daemon", 100);
        let mut listeners: Vec<Socket> = (80..83).map(|port| host.listener(&format!("0.0.0.0:{port}"), &by)).collect();
        let start = host.now + 5 * MS;
        let mut end = start;
        let mut builder = Builder { host, dice: Dice(seed), sockets: listeners.len(), accepted: Vec::new(), by };
        // Events that one processor writes, by the index of the first: they keep their order among each other.
        let mut together = Vec::new();
        for &(kind, after, seed) in plans {
            builder.host.now = start + after;
            builder.host.dice = Some(Dice(seed ^ 1));
            builder.dice = Dice(seed);
            let first = builder.host.events.len();
            builder.story(kind, &listeners);
            together.push((first, matches!(kind, 8..=10)));
            end = end.max(builder.host.now);
        }
        builder.host.now = end + 5 * MS;
        together.push((builder.host.events.len(), true));
        for listener in &mut listeners {
            builder.host.stops_listening(listener, &builder.by);
            builder.host.destroyed(listener);
        }
        let Builder { host, sockets, accepted, .. } = builder;
        let mut events: Vec<(usize, Event)> = host.events.into_iter().enumerate().collect();
        for (index, _) in &mut events {
            let story = together.partition_point(|(first, _)| *first <= *index);
            *index = if story > 0 && together[story - 1].1 { story } else { 0 };
        }
        events.sort_by_key(|(_, event)| event.time);
        use_addresses_again(&mut events);
        Self { events: received(events, Dice(seed)), sockets, accepted }
    }

    /// Loses some of the events, and says so. Returns the times.
    pub(super) fn lose(&mut self, percent: u64, seed: u64) -> Vec<Time> {
        let mut dice = Dice(seed);
        let mut lost = Vec::new();
        for event in &mut self.events {
            if dice.below(100) < percent {
                lost.push(event.time);
                *event = Event { time: event.time + 1, what: What::Lost { count: Some(1), since: event.time - 1 } };
            }
        }
        lost
    }
}

impl Builder {
    fn story(&mut self, kind: u8, listeners: &[Socket]) {
        let by = self.by.clone();
        let listener = &listeners[self.dice.below(listeners.len() as u64) as usize];
        let port = 5000 + self.dice.below(20);
        let (here, there) = (format!("10.0.0.1:{port}"), format!("10.0.0.2:{port}"));
        self.sockets += 1;
        let host = &mut self.host;
        let mut socket = host.socket();
        match kind {
            0 | 1 => {
                host.connect(&mut socket, &there, &by);
                if kind == 1 {
                    host.is_reset(&mut socket, libc::ECONNREFUSED);
                    socket.stats.error = None;
                    host.connect(&mut socket, "10.0.0.3:443", &by);
                }
                host.connected(&mut socket, &here);
                self.ends(&mut socket);
            }
            2 => {
                host.connect_fails(&socket, &there, &by, libc::ENETUNREACH);
                host.destroyed(&socket);
            }
            3 => {
                host.connect_fails_inside(&mut socket, &there, &by, libc::EADDRNOTAVAIL);
                host.destroyed(&socket);
            }
            4 => {
                host.bind_fails(&socket, &here, &by, libc::EADDRINUSE);
                host.bind(&mut socket, &here, &by);
                host.destroyed(&socket);
            }
            5 => {
                host.connect(&mut socket, &there, &by);
                host.close(&mut socket, Some(&by));
                host.destroyed(&socket);
            }
            6 | 7 => {
                let mut child = host.syn_received(listener, &there);
                host.connected(&mut child, "10.0.0.1:80");
                if kind == 7 {
                    host.is_reset(&mut child, libc::ECONNRESET);
                }
                host.accept(&child, &by);
                self.accepted.push((child.sock.key.id, listener.sock.key.id));
                if kind == 7 {
                    self.host.destroyed(&child);
                } else {
                    self.ends(&mut child);
                }
            }
            8 => {
                let mut own = host.listener("10.0.0.1:99", &by);
                let mut queue: Vec<Socket> = (0..3).map(|n| host.arrives(&own, &format!("10.0.0.4:{n}"))).collect();
                host.stops_listening(&mut own, &by);
                for child in &mut queue {
                    host.resets(child, &by);
                }
                host.destroyed(&own);
                self.sockets += queue.len();
            }
            9 => {
                let mut own = mptcp::listener(host, "10.0.0.1:98", &by);
                let mut plain = mptcp::plain_client(host, &own, &there);
                host.accept(&plain, &by);
                let mut connection = mptcp::mptcp_client(host, &own, "10.0.0.5:1");
                host.accept(&connection.0, &by);
                mptcp::ends(host, &mut connection, &by);
                host.closes_second(&mut plain, &by);
                mptcp::ends(host, &mut own, &by);
                let id = own.0.sock.key.id;
                self.accepted.extend([(plain.sock.key.id, id), (connection.0.sock.key.id, id)]);
                self.sockets += 2;
            }
            10 => {
                let mut own = host.listener("10.0.0.1:97", &by);
                host.stops_listening(&mut own, &by);
                host.listen(&mut own, &by);
                let mut child = host.arrives(&own, &there);
                host.accept(&child, &by);
                host.closes_first(&mut child, &by);
                host.stops_listening(&mut own, &by);
                host.connect(&mut own, &there, &by);
                host.is_reset(&mut own, libc::ECONNREFUSED);
                host.destroyed(&own);
                self.accepted.push((child.sock.key.id, own.sock.key.id));
                self.sockets += 1;
            }
            11 => {
                host.bind(&mut socket, "0.0.0.0:80", &by);
                host.listen_fails_inside(&mut socket, &by, libc::EADDRINUSE);
                host.destroyed(&socket);
            }
            _ => {
                // Both ends on this host.
                host.connect(&mut socket, "10.0.0.1:80", &by);
                host.connected(&mut socket, &there);
                let mut child = host.arrives(listener, &there);
                host.accept(&child, &by);
                self.accepted.push((child.sock.key.id, listener.sock.key.id));
                self.sockets += 1;
                self.ends(&mut socket);
                self.ends(&mut child);
            }
        }
    }

    fn ends(&mut self, socket: &mut Socket) {
        let Self { host, dice, by, .. } = self;
        host.wait(dice.below(30 * MS));
        for _ in 0..dice.below(3) {
            host.mark(socket, Mark::Retransmit);
        }
        match dice.below(8) {
            0 => host.closes_first(socket, by),
            1 => host.closes_second(socket, by),
            2 => host.resets(socket, by),
            3 => {
                host.is_reset(socket, libc::ECONNRESET);
                host.destroyed(socket);
            }
            4 => {
                socket.stats.error = Some(Errno(libc::ETIMEDOUT));
                host.close(socket, None);
                host.destroyed(socket);
            }
            5 => {
                host.step(socket, State::FinWait1, Some(by));
                host.step(socket, State::Closing, None);
                host.close(socket, None);
                host.destroyed(socket);
            }
            6 => {
                host.step(socket, State::CloseWait, None);
                host.resets(socket, by);
            }
            _ => {
                host.step(socket, State::FinWait1, Some(by));
                host.is_reset(socket, libc::ECONNRESET);
                host.destroyed(socket);
            }
        }
    }
}

/// The addresses that an event speaks of: its socket's, and that of the MPTCP socket.
fn addresses(event: &mut Event) -> Option<(&mut u64, Option<&mut u64>)> {
    match &mut event.what {
        What::Transition { sock, .. }
        | What::Close { sock, .. }
        | What::Call { sock, .. }
        | What::Exists { sock, .. } => Some((&mut sock.key.addr, Some(&mut sock.mptcp))),
        What::Mark { key, mptcp, .. } => Some((&mut key.addr, Some(mptcp))),
        What::Step { key, .. } => Some((&mut key.addr, None)),
        What::Exec { .. } | What::Surveyed | What::Lost { .. } => None,
    }
}

/// The memory of a destroyed socket is the next one's, as soon as can be.
fn use_addresses_again(events: &mut [(usize, Event)]) {
    let mut last = HashMap::new();
    for (_, event) in events.iter_mut() {
        let time = event.time;
        if let Some((addr, mptcp)) = addresses(event) {
            last.insert(*addr, time);
            if let Some(mptcp) = mptcp.filter(|mptcp| **mptcp != 0) {
                last.insert(*mptcp, time);
            }
        }
    }
    let mut places: Vec<Time> = Vec::new();
    let mut given: HashMap<u64, u64> = HashMap::new();
    for (_, event) in events {
        let time = event.time;
        let Some((addr, mptcp)) = addresses(event) else { continue };
        for address in [mptcp, Some(addr)].into_iter().flatten().filter(|address| **address != 0) {
            *address = *given.entry(*address).or_insert_with(|| {
                let place = places.iter().position(|until| *until < time).unwrap_or(places.len());
                places.resize(places.len().max(place + 1), 0);
                places[place] = last[address];
                64 * (place as u64 + 1)
            });
        }
    }
}

/// Processors write their records up to a millisecond out of order; what is of one socket, or of one story on one
/// processor, stays in order.
fn received(events: Vec<(usize, Event)>, mut dice: Dice) -> Vec<Event> {
    let mut last: HashMap<(usize, u64), Time> = HashMap::new();
    let mut records: Vec<(Time, Event)> = events
        .into_iter()
        .map(|(story, mut event)| {
            let (addr, mptcp) =
                addresses(&mut event).map_or((0, 0), |(addr, mptcp)| (*addr, mptcp.map_or(0, |mptcp| *mptcp)));
            let orders = [(0, addr), (0, mptcp), (story, 0)];
            let before = orders.iter().filter(|order| **order != (0, 0)).filter_map(|order| last.get(order)).max();
            let written = before.copied().unwrap_or(0).max(event.time + dice.below(MS - 10 * US));
            last.extend(orders.map(|order| (order, written)));
            (written, event)
        })
        .collect();
    records.sort_by_key(|(written, _)| *written);
    records.into_iter().map(|(_, event)| event).collect()
}
