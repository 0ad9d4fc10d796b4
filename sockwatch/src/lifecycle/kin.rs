//! Which sockets belong together: the two ends of a connection, where both are on this host, and what carries an MPTCP
//! socket.

use std::collections::hash_map::Entry;

use super::Map;
use crate::event::Endpoint;

/// Most sockets that wait with the same two ends for the other one: as many as there are network namespaces that use the
/// same addresses at the same time, and ends of lives that were missed.
const MOST: usize = 64;

/// Connected sockets whose other end was not seen, by their ends. Almost always one; more where network namespaces use the
/// same addresses, or where the end of a life was missed.
#[derive(Debug, Default)]
pub(super) struct Ends {
    places: Map<(Endpoint, Endpoint), Here>,
    count: usize,
}

/// A socket at an end.
#[derive(Clone, Copy, Debug)]
pub(super) struct End {
    pub(super) place: usize,
    pub(super) netns: Option<u32>,
}

/// Sockets at the same ends, in the order in which they came. Almost always one, which takes no room of its own.
#[derive(Debug)]
enum Here {
    One(End),
    Several(Vec<End>),
}

impl Here {
    fn all(&self) -> &[End] {
        match self {
            Self::One(end) => std::slice::from_ref(end),
            Self::Several(ends) => ends,
        }
    }

    /// Adds one. Returns the one that is given up for it, where there are too many.
    fn add(&mut self, end: End) -> Option<End> {
        if let Self::One(first) = self {
            *self = Self::Several(vec![*first]);
        }
        let Self::Several(ends) = self else { return None };
        ends.push(end);
        (ends.len() > MOST).then(|| ends.remove(0))
    }

    /// Takes out those at a place. Returns how many they were, and whether none is left.
    fn remove(&mut self, place: usize) -> (usize, bool) {
        match self {
            Self::One(end) => (usize::from(end.place == place), end.place == place),
            Self::Several(ends) => {
                let before = ends.len();
                ends.retain(|end| end.place != place);
                (before - ends.len(), ends.is_empty())
            }
        }
    }
}

impl Ends {
    /// Adds a socket. Returns the place of the one that is given up for it, where there are too many.
    pub(super) fn add(&mut self, local: Endpoint, peer: Endpoint, end: End) -> Option<usize> {
        let given_up = match self.places.entry((local, peer)) {
            Entry::Occupied(mut here) => here.get_mut().add(end),
            Entry::Vacant(here) => {
                here.insert(Here::One(end));
                None
            }
        };
        self.count += usize::from(given_up.is_none());
        given_up.map(|end| end.place)
    }

    /// Takes out the socket at the other end: the newest in the same network namespace, or else the only one anywhere,
    /// unless the address is one that every namespace has for itself.
    pub(super) fn take(&mut self, local: Endpoint, peer: Endpoint, netns: Option<u32>) -> Option<usize> {
        let others = self.places.get(&(peer, local))?.all();
        let place = match (others.iter().rfind(|other| other.netns == netns), others) {
            (Some(other), _) => other.place,
            (None, [other]) if !peer.address.is_loopback() => other.place,
            _ => return None,
        };
        self.remove(peer, local, place);
        Some(place)
    }

    /// Forgets a socket.
    pub(super) fn remove(&mut self, local: Endpoint, peer: Endpoint, place: usize) {
        if let Some(here) = self.places.get_mut(&(local, peer)) {
            let (removed, is_empty) = here.remove(place);
            self.count -= removed;
            if is_empty {
                self.places.remove(&(local, peer));
            }
        }
    }

    /// Those that have the same two ends, in the order in which they came; such lists in no order.
    pub(super) fn lists(&self) -> impl Iterator<Item = (&(Endpoint, Endpoint), &[End])> {
        self.places.iter().map(|(ends, here)| (ends, here.all()))
    }

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
