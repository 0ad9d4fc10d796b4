//! What exists already when the trace begins, and when it ends.

use std::collections::HashMap;

use super::Engine;
use crate::{
    event::{Actor, Endpoint, Sock, State, Stats, Time},
    lifecycle::life::{Holder, Life, Origin, Role},
};

impl Engine {
    pub(super) fn exists(&mut self, time: Time, sock: &Sock, stats: Stats, holder: Option<(Actor, i32)>) {
        if sock.mptcp != 0 {
            self.subflow(time, sock, sock.state, 0);
            return;
        }
        let place = self.meet(time, sock, false);
        let surveyed = self.surveyed;
        let life = self.life(place);
        // What the first survey finds began before the trace, and nothing of it was there to be lost.
        life.begun |= !surveyed;
        if life.end.from.is_none() {
            life.state = sock.state;
            life.stats = Some(stats);
        }
        life.set_ends(sock.local, sock.peer);
        if let Some((actor, fd)) = holder {
            life.holders.get_or_insert_default().push(Holder { process: actor.process, fd });
        }
        if sock.state == State::Listen {
            life.role = Some(Role::Listener);
            life.backlog = Some(stats.backlog);
            let id = life.key.id;
            self.listens_as(place, id);
        }
    }

    /// The trace begins. What began before may have done so between one probe and the next: it is older than the trace, and
    /// what ended before is no part of it.
    pub(super) fn begin(&mut self) {
        for place in 0..self.lives.len() {
            match self.lives.get_mut(place) {
                Some(Some(life)) if life.destroyed.is_some() => drop(self.remove(place)),
                Some(Some(life)) => life.origin = Origin::Snapshot,
                _ => {}
            }
        }
    }

    /// All that exists was told: what follows from all of it together.
    pub(super) fn surveyed(&mut self) {
        if !self.surveyed {
            self.surveyed = true;
            self.begin();
        }
        let mut listeners: HashMap<(Option<u32>, u16), Vec<usize>> = HashMap::new();
        for (place, life) in self.lives.iter().enumerate() {
            if let Some(life) = life
                && life.role == Some(Role::Listener)
                && let Some(local) = life.local
            {
                listeners.entry((life.netns, local.port)).or_default().push(place);
            }
        }
        for place in 0..self.lives.len() {
            let Some(life) = self.lives[place].as_ref().filter(|life| life.origin == Origin::Snapshot) else {
                continue;
            };
            if life.role.is_none()
                && let (Some(local), Some(_)) = (life.local, life.peer)
            {
                let matching: Vec<usize> = listeners
                    .get(&(life.netns, local.port))
                    .into_iter()
                    .flatten()
                    .copied()
                    .filter(|&listener| self.lives[listener].as_ref().is_some_and(|listener| serves(listener, local)))
                    .collect();
                let only = match matching.as_slice() {
                    [only] => Some((*only, self.life(*only).number)),
                    _ => None,
                };
                let life = self.life(place);
                life.role = Some(if matching.is_empty() { Role::Client } else { Role::Server });
                life.parent = life.parent.or(only);
                life.listener = life.parent.map(|(_, number)| number);
                self.pair(place);
            }
            let life = self.life(place);
            if life.holders.is_none() && life.stats.is_some_and(|stats| stats.unheld) {
                life.holders = Some(Vec::new());
            }
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

/// Whether a listener takes connections to this address.
fn serves(listener: &Life, local: Endpoint) -> bool {
    listener.local.is_some_and(|own| own.address == local.address || own.address.is_unspecified())
}
