//! What exists already when the trace begins, and when it ends.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Engine, Slot, rest::Place};
use crate::{
    event::{Actor, Endpoint, Sock, State, Stats, Time, Transport},
    lifecycle::{
        Map,
        life::{Holder, Origin, Role},
    },
};

impl Engine {
    pub(super) fn exists(&mut self, time: Time, sock: &Sock, stats: Stats, holder: Option<(Actor, i32)>) {
        if sock.mptcp != 0 {
            self.subflow(time, sock, sock.state, (0, stats.backlog));
            if sock.state == State::Listen {
                self.count_below(sock, stats);
            }
            return;
        }
        let place = self.meet(time, sock, false);
        let surveyed = self.surveyed;
        self.load.holders += usize::from(holder.is_some());
        if surveyed && !stats.unheld {
            self.taken(place);
        }
        let life = self.life(place);
        // What the first survey finds began before the trace, and nothing of it was there to be lost.
        life.begun |= !surveyed;
        if life.end.from.is_none() {
            life.state = sock.state;
            life.stats = Some(life.counted_below(stats));
        }
        life.set_ends(sock.local, sock.peer);
        self.stir(place, time);
        let life = self.life(place);
        if let Some((actor, fd)) = holder {
            life.holders.get_or_insert_default().push(Holder { process: actor.process, fd });
        }
        if sock.state == State::Listen {
            life.role = Some(Role::Listener);
            if life.transport == Transport::Tcp {
                life.limit(stats.backlog);
            }
            let id = life.key.id;
            self.listens_as(place, id);
        }
    }

    /// The trace begins. What began before may have done so between one probe and the next: it is older than the trace, and
    /// what ended before is no part of it.
    fn begin(&mut self) {
        for place in 0..self.lives.len() {
            match self.lives.get_mut(place) {
                Some(Place::Awake(slot)) if slot.life.destroyed.is_some() => drop(self.remove(place)),
                Some(Place::Awake(slot)) => slot.life.origin = Origin::Snapshot,
                _ => {}
            }
        }
        self.skip_dead();
    }

    /// All that exists was told: what follows from all of it together. It is told once.
    pub(super) fn surveyed(&mut self) {
        if self.surveyed {
            return;
        }
        self.surveyed = true;
        self.wake_all();
        self.begin();
        let mut listeners = Listeners::default();
        for (place, slot) in self.lives.iter().enumerate() {
            if let Some(Slot { life, .. }) = slot.awake()
                && life.role == Some(Role::Listener)
                && let Some(local) = life.local
            {
                listeners.add(life.netns, local, (place, life.number));
            }
        }
        for place in self.by_number() {
            let life = self.life(place);
            if life.origin != Origin::Snapshot {
                continue;
            }
            if life.role.is_none()
                && let (Some(local), Some(_)) = (life.local, life.peer)
            {
                let (role, listener) = listeners.serve(life.netns, local);
                life.role = Some(role);
                self.came_from(place, listener);
                self.pair(place);
            }
            let life = self.life(place);
            if life.holders.is_none() && life.stats.is_some_and(|stats| stats.unheld) {
                life.holders = Some(Vec::new());
            }
            self.joins_queue(place);
            let life = self.life(place);
            if life.owner.is_none()
                && let Some((first, rest)) = life.holders.as_deref().and_then(<[Holder]>::split_first)
                && rest.iter().all(|holder| holder.process.pid == first.process.pid)
            {
                life.owner = Some(Actor { process: first.process.clone(), tid: None, descendant: false });
                life.fd = Some(rest.iter().map(|holder| holder.fd).fold(first.fd, i32::min));
            }
        }
    }
}

/// The listeners that exist, by network namespace, port and address: place and number of one, and
/// whether there are more.
#[derive(Default)]
struct Listeners {
    known: Map<(Option<u32>, u16, IpAddr), Serving>,
}

struct Serving {
    one: (usize, u64),
    more: bool,
}

impl Listeners {
    fn add(&mut self, netns: Option<u32>, local: Endpoint, listener: (usize, u64)) {
        let known = self.known.entry((netns, local.port, local.address));
        known.and_modify(|serving| serving.more = true).or_insert(Serving { one: listener, more: false });
    }

    /// What a socket with this end is, and the listener that it came from, if only one can be: one of its address, or of
    /// all addresses.
    fn serve(&self, netns: Option<u32>, local: Endpoint) -> (Role, Option<(usize, u64)>) {
        let all: [IpAddr; 2] = [Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()];
        let own = Some(local.address).filter(|address| !address.is_unspecified());
        let mut found = all.into_iter().chain(own).filter_map(|address| self.known.get(&(netns, local.port, address)));
        match (found.next(), found.next()) {
            (None, _) => (Role::Client, None),
            (Some(&Serving { one, more: false }), None) => (Role::Server, Some(one)),
            _ => (Role::Server, None),
        }
    }
}
