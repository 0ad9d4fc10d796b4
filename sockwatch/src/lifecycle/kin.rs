//! Which sockets belong together: the two ends of a connection, where both are on this host.

use std::collections::HashMap;

use crate::event::Endpoint;

/// Connected sockets whose other end was not seen, by their ends. Almost always one; more where network namespaces use the
/// same addresses, or where the end of a life was missed.
#[derive(Debug, Default)]
pub(super) struct Ends {
    places: HashMap<(Endpoint, Endpoint), Vec<End>>,
}

/// A socket at an end.
#[derive(Debug)]
pub(super) struct End {
    pub(super) place: usize,
    pub(super) netns: Option<u32>,
}

impl Ends {
    /// Adds a socket.
    pub(super) fn add(&mut self, local: Endpoint, peer: Endpoint, end: End) {
        self.places.entry((local, peer)).or_default().push(end);
    }

    /// Takes out the socket at the other end: the newest in the same network namespace, or else the only one anywhere,
    /// unless the address is one that every namespace has for itself.
    pub(super) fn take(&mut self, local: Endpoint, peer: Endpoint, netns: Option<u32>) -> Option<usize> {
        let others = self.places.get(&(peer, local))?;
        let place = match (others.iter().rfind(|other| other.netns == netns), others.as_slice()) {
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
            here.retain(|end| end.place != place);
            if here.is_empty() {
                self.places.remove(&(local, peer));
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }
}
