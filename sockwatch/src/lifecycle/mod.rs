//! Pure: events in, sockets' lives out. No I/O, no clock, no BPF.
//!
//! The kernel's records arrive in the order in which they were written: for one socket that is the order in which things
//! happened, between sockets nearly so. What is told of them waits in a [`timeline`] until its order and its meaning are
//! settled (a reset is reported after the close that it explains), and is then handed out by [`Engine::advance`].

mod checkpoint;
mod engine;
mod kin;
mod life;
mod losses;
mod timeline;
mod verdict;

#[cfg(test)]
mod tests;

pub use checkpoint::Part;
pub use engine::{Engine, Restore};
pub use life::{Bytes, Holder, Life, Milestone, Origin, Phase, Role, Then};
pub use timeline::Tell;
pub use verdict::{By, End, How, Verdict};

use std::collections::HashMap;

use crate::event::{Actor, Endpoint, State, Time};

/// Several are asked for every event, by keys that whoever made a recording may have chosen: quick to hash, with a seed
/// that nobody can know.
type Map<K, V> = HashMap<K, V, foldhash::fast::RandomState>;

/// Something to tell about a socket, in the order of time.
#[derive(Debug)]
pub enum Report<'a> {
    /// A milestone: the one at `index` of the life's path.
    Milestone {
        /// Whose. Its `told` counts the milestones that were shown, for whoever shows them.
        life: &'a mut Life,
        /// Which.
        index: usize,
    },
    /// A change of state, or a segment that tells something.
    Signal {
        /// Whose.
        life: &'a mut Life,
        /// What.
        signal: &'a Signal,
    },
    /// A whole life: the socket was destroyed, or the run ends.
    Socket(&'a mut Life),
    /// Events were lost.
    Lost {
        /// How many; none if that can't be known.
        count: Option<u64>,
        /// Not before.
        since: Time,
        /// Not after.
        until: Time,
    },
}

/// What the `states` view shows beside the milestones.
#[derive(Clone, Debug, PartialEq)]
pub struct Signal {
    /// When.
    pub time: Time,
    /// What.
    pub kind: SignalKind,
    /// The process that did it.
    pub actor: Option<Actor>,
    /// The ends at that moment.
    pub local: Option<Endpoint>,
    /// The peer at that moment.
    pub peer: Option<Endpoint>,
}

/// See [`Signal`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SignalKind {
    /// A change of state.
    State {
        /// Before.
        from: State,
        /// After.
        to: State,
    },
    /// A segment was sent again.
    Retransmit,
    /// A reset was sent.
    ResetSent,
    /// A reset was received.
    ResetReceived,
}
