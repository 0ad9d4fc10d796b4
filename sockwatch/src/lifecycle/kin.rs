//! Which sockets belong together: the two ends of a connection, where both are on this host, and what carries an MPTCP
//! socket.

use std::{collections::hash_map::Entry, hash::BuildHasher};

use super::Map;
use crate::event::Endpoint;

/// Most sockets that wait with the same two ends for the other one: as many as there are network namespaces that use the
/// same addresses at the same time, and ends of lives that were missed.
const MOST: usize = 64;

/// Connected sockets whose other end was not seen, by their ends. The ends themselves stand with the lives: a host may have a
/// million such sockets.
#[derive(Debug, Default)]
pub(super) struct Ends {
    /// By the hash of their ends.
    places: Map<u64, Here>,
    seed: foldhash::fast::RandomState,
    count: usize,
}

/// A socket that waits for its other end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiting {
    /// Its own end, and the other one.
    pub(super) ends: (Endpoint, Endpoint),
    pub(super) netns: Option<u32>,
}

/// Places of lives: each takes hundreds of bytes, so there are fewer.
type Number = u32;

/// Sockets at the same ends, in the order in which they came; with them any others whose ends have the same hash. Almost always one,
/// which takes no room of its own; more where network namespaces use the same addresses, or where the end of a life was missed.
#[derive(Debug)]
enum Here {
    One(Number),
    #[expect(clippy::box_collection, reason = "what there almost never is takes no more room than what there is")]
    Several(Box<Vec<Number>>),
}

impl Here {
    fn all(&self) -> &[Number] {
        match self {
            Self::One(place) => std::slice::from_ref(place),
            Self::Several(places) => places,
        }
    }

    /// Adds one. Returns the one that is given up for it, where there are too many.
    fn add(&mut self, place: Number) -> Option<Number> {
        if let Self::One(first) = self {
            *self = Self::Several(Box::new(vec![*first]));
        }
        let Self::Several(places) = self else { return None };
        places.push(place);
        (places.len() > MOST).then(|| places.remove(0))
    }

    /// Takes out those at a place. Returns how many they were, and whether none is left.
    fn remove(&mut self, place: Number) -> (usize, bool) {
        match self {
            Self::One(one) => (usize::from(*one == place), *one == place),
            Self::Several(places) => {
                let before = places.len();
                places.retain(|other| *other != place);
                (before - places.len(), places.is_empty())
            }
        }
    }
}

impl Ends {
    fn hash(&self, ends: (Endpoint, Endpoint)) -> u64 {
        self.seed.hash_one(ends)
    }

    /// Adds a socket. Returns the place of the one that is given up for it, where there are too many.
    pub(super) fn add(&mut self, ends: (Endpoint, Endpoint), place: usize) -> Option<usize> {
        let place = Number::try_from(place).ok()?;
        let given_up = match self.places.entry(self.hash(ends)) {
            Entry::Occupied(mut here) => here.get_mut().add(place),
            Entry::Vacant(here) => {
                here.insert(Here::One(place));
                None
            }
        };
        self.count += usize::from(given_up.is_none());
        given_up.map(|place| place as usize)
    }

    /// Takes out the socket at the other end: the newest in the same network namespace, or else the only one anywhere,
    /// unless the address is one that every namespace has for itself. `waiting` tells of the sockets by their places.
    pub(super) fn take(
        &mut self,
        Waiting { ends: (local, peer), netns }: Waiting,
        waiting: impl Fn(usize) -> Option<Waiting>,
    ) -> Option<usize> {
        let ends = (peer, local);
        let others = self.places.get(&self.hash(ends))?.all().iter().map(|&place| place as usize);
        let mut others = others.filter_map(|place| Some((place, waiting(place).filter(|other| other.ends == ends)?)));
        let place = match others.clone().rfind(|(_, other)| other.netns == netns) {
            Some((place, _)) => place,
            None if peer.address.is_loopback() => return None,
            None => {
                let (place, _) = others.next()?;
                if others.next().is_some() {
                    return None;
                }
                place
            }
        };
        self.remove(ends, place);
        Some(place)
    }

    /// Forgets a socket.
    pub(super) fn remove(&mut self, ends: (Endpoint, Endpoint), place: usize) {
        let (hash, Ok(place)) = (self.hash(ends), Number::try_from(place)) else { return };
        if let Some(here) = self.places.get_mut(&hash) {
            let (removed, is_empty) = here.remove(place);
            self.count -= removed;
            if is_empty {
                self.places.remove(&hash);
            }
        }
    }

    /// Places of those that have the same two ends, in the order in which they came; such lists in no order.
    pub(super) fn lists(&self) -> impl Iterator<Item = impl Iterator<Item = usize>> {
        self.places.values().map(|here| here.all().iter().map(|&place| place as usize))
    }

    /// Bytes that each takes in the table.
    pub(super) const ROOM: usize = size_of::<(u64, Here)>();

    /// How many sockets wait.
    pub(super) fn len(&self) -> usize {
        self.count
    }

    pub(super) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }
}

/// Subflows of MPTCP sockets: both by the addresses of their `struct sock`. A socket need not be known to have some.
#[derive(Debug, Default)]
pub(super) struct Subflows {
    /// Of a subflow: its socket, and where it stands among that socket's.
    sockets: Map<u64, (u64, usize)>,
    of: Map<u64, Vec<u64>>,
}

impl Subflows {
    /// Notes whose subflow this is.
    pub(super) fn add(&mut self, addr: u64, socket: u64) {
        if self.socket(addr) != Some(socket) {
            self.remove(addr);
            let siblings = self.of.entry(socket).or_default();
            self.sockets.insert(addr, (socket, siblings.len()));
            siblings.push(addr);
        }
    }

    pub(super) fn remove(&mut self, addr: u64) {
        let Some((socket, at)) = self.sockets.remove(&addr) else { return };
        let Some(siblings) = self.of.get_mut(&socket) else { return };
        siblings.swap_remove(at);
        if let Some(moved) = siblings.get(at).and_then(|moved| self.sockets.get_mut(moved)) {
            moved.1 = at;
        }
        if siblings.is_empty() {
            self.of.remove(&socket);
        }
    }

    /// Forgets all subflows of a socket.
    pub(super) fn remove_all(&mut self, socket: u64) {
        for addr in self.of.remove(&socket).into_iter().flatten() {
            self.sockets.remove(&addr);
        }
    }

    /// Whose subflow this is.
    pub(super) fn socket(&self, addr: u64) -> Option<u64> {
        self.sockets.get(&addr).map(|&(socket, _)| socket)
    }

    /// Each subflow, and whose it is, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, u64)> {
        self.sockets.iter().map(|(&addr, &(socket, _))| (addr, socket))
    }

    pub(super) fn len(&self) -> usize {
        self.sockets.len()
    }

    pub(super) fn contains(&self, addr: u64) -> bool {
        self.sockets.contains_key(&addr)
    }

    /// Whether its socket has no other.
    pub(super) fn is_alone(&self, addr: u64) -> bool {
        self.socket(addr).and_then(|socket| self.of.get(&socket)).is_none_or(|siblings| siblings.len() == 1)
    }

    /// Whether a socket has any.
    pub(super) fn carry(&self, socket: u64) -> bool {
        self.of.contains_key(&socket)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.sockets.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.sockets.clear();
        self.of.clear();
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    proptest! {
        #[test]
        fn a_subflow_is_of_the_socket_that_it_was_last_said_to_be(steps in vec((0..4_u8, 0..8_u64, 0..4_u64), 0..100)) {
            let (mut subflows, mut plain) = (Subflows::default(), Map::default());
            for (step, addr, socket) in steps {
                match step {
                    0 => {
                        subflows.remove(addr);
                        plain.remove(&addr);
                    }
                    1 => {
                        subflows.remove_all(socket);
                        plain.retain(|_, of| *of != socket);
                    }
                    _ => {
                        subflows.add(addr, socket);
                        plain.insert(addr, socket);
                    }
                }
                for addr in 0..8 {
                    prop_assert_eq!(subflows.socket(addr), plain.get(&addr).copied());
                }
                for socket in 0..4 {
                    prop_assert_eq!(subflows.carry(socket), plain.values().any(|of| *of == socket));
                }
            }
            prop_assert_eq!(subflows.is_empty(), plain.is_empty());
            prop_assert_eq!(subflows.sockets.len(), subflows.of.values().map(Vec::len).sum::<usize>());
        }
    }
}
