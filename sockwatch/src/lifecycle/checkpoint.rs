//! What an engine knows, in parts: so that a recording can be read from its middle, and go on behind a gap.

use super::{Life, Tell};
use crate::event::{Endpoint, Time};

/// A part of what an engine knows. Lives are named by their numbers; the parts come in the order in which they stand here.
/// `L` is a life: borrowed from the engine that gives the part, or owned.
#[derive(Clone, Debug, PartialEq)]
pub enum Part<L = Box<Life>> {
    /// Of the run as a whole.
    Run {
        /// The number of the newest life.
        last_number: u64,
        /// Whether everything that existed before was told of.
        surveyed: bool,
    },
    /// A life, in the order of their numbers. Its `told` is of those who were shown it: for someone else it is 0. Its
    /// `listener` may be one that is gone.
    Life(L),
    /// A connected socket whose other end was not seen yet. Those of the same ends come in their order.
    Unpaired {
        /// Number of its life.
        life: u64,
        /// Its own end.
        local: Endpoint,
        /// The other end.
        peer: Endpoint,
        /// The network namespace that it is in.
        netns: Option<u32>,
    },
    /// A subflow of an MPTCP socket, both by the addresses of their `struct sock`, in the order of the first.
    Subflow {
        /// Its own.
        addr: u64,
        /// The MPTCP socket's, which need not be known.
        socket: u64,
    },
    /// Something that is not settled yet, in the order in which it is to be told.
    Waiting {
        /// Its time.
        time: Time,
        /// Number of its life.
        life: u64,
        /// What.
        what: Tell,
    },
    /// A span of time in which events were lost, in order.
    Loss {
        /// Not before.
        since: Time,
        /// Not after.
        until: Time,
    },
    /// A loss that was not told yet, in order. It is one of the spans too.
    PendingLoss {
        /// How many; none if that can't be known.
        count: Option<u64>,
        /// Not before.
        since: Time,
        /// Not after.
        until: Time,
    },
}

impl<L> Part<L> {
    /// The same, with the life made into another kind of life.
    pub fn map<M>(self, life_of: impl FnOnce(L) -> M) -> Part<M> {
        match self {
            Self::Life(life) => Part::Life(life_of(life)),
            Self::Run { last_number, surveyed } => Part::Run { last_number, surveyed },
            Self::Unpaired { life, local, peer, netns } => Part::Unpaired { life, local, peer, netns },
            Self::Subflow { addr, socket } => Part::Subflow { addr, socket },
            Self::Waiting { time, life, what } => Part::Waiting { time, life, what },
            Self::Loss { since, until } => Part::Loss { since, until },
            Self::PendingLoss { count, since, until } => Part::PendingLoss { count, since, until },
        }
    }
}
