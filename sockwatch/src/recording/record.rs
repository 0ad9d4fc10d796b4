//! What is in a block: records, each of which is a step or names something that steps refer to.
//!
//! Sockets, processes and threads are named by their place in tables that begin empty with every block, so that each block
//! can be read alone. Times, ids and cookies are differences to the last one of the block; of a socket only what changed
//! since the block last told of it is written.

mod decode;
mod encode;
mod parts;
#[cfg(test)]
pub(super) mod tests;

pub(super) use decode::{Decoder, is_event};
pub(super) use encode::{Encoder, Filled};
pub(super) use parts::Piece;

use crate::event::{Endpoint, Family, Sock, State, Transport};

/// What a record is.
mod kind {
    pub(super) const PROCESS: u8 = 1;
    pub(super) const ACTOR: u8 = 2;
    pub(super) const SOCKET: u8 = 3;
    pub(super) const TRANSITION: u8 = 16;
    pub(super) const STEP: u8 = 17;
    pub(super) const CLOSE: u8 = 18;
    pub(super) const DESTROYED: u8 = 19;
    pub(super) const RETRANSMIT: u8 = 20;
    pub(super) const RESET_SENT: u8 = 21;
    pub(super) const RESET_RECEIVED: u8 = 22;
    pub(super) const BIND: u8 = 23;
    pub(super) const LISTEN: u8 = 24;
    pub(super) const CONNECT: u8 = 25;
    pub(super) const ACCEPT: u8 = 26;
    pub(super) const EXISTS: u8 = 27;
    pub(super) const SURVEYED: u8 = 28;
    pub(super) const LOST: u8 = 29;
    pub(super) const SETTLED: u8 = 32;
    pub(super) const CLOCK: u8 = 33;
    pub(super) const END: u8 = 34;
    pub(super) const RUN: u8 = 64;
    pub(super) const LIFE: u8 = 65;
    pub(super) const UNPAIRED: u8 = 66;
    pub(super) const SUBFLOW: u8 = 67;
    pub(super) const WAITING: u8 = 68;
    pub(super) const LOSS: u8 = 69;
    pub(super) const PENDING_LOSS: u8 = 70;
    pub(super) const WHOLE: u8 = 71;
}

/// Bits that say which fields of a socket follow.
mod changed {
    pub(super) const NO_ID: u64 = 1;
    pub(super) const ID: u64 = 1 << 1;
    pub(super) const COOKIE: u64 = 1 << 2;
    pub(super) const LOCAL_PORT: u64 = 1 << 3;
    pub(super) const PEER_PORT: u64 = 1 << 4;
    pub(super) const LOCAL_ADDRESS: u64 = 1 << 5;
    pub(super) const PEER_ADDRESS: u64 = 1 << 6;
    pub(super) const PARENT: u64 = 1 << 7;
    pub(super) const NETNS: u64 = 1 << 8;
    pub(super) const KIND: u64 = 1 << 9;
    pub(super) const MPTCP: u64 = 1 << 10;
}

/// Bits that say which counts follow; those that don't are 0.
mod counted {
    pub(super) const RECEIVED: u64 = 1;
    pub(super) const ACKED: u64 = 1 << 1;
    pub(super) const SRTT: u64 = 1 << 2;
    pub(super) const UNACKED: u64 = 1 << 3;
    pub(super) const RETRANSMITS: u64 = 1 << 4;
    pub(super) const UNREAD: u64 = 1 << 5;
    pub(super) const ERROR: u64 = 1 << 6;
    pub(super) const QUEUE: u64 = 1 << 7;
    pub(super) const BACKLOG: u64 = 1 << 8;
    pub(super) const DROPS: u64 = 1 << 9;
}

/// What holds of a socket when it counted.
mod holds {
    pub(super) const COUNTED: u8 = 1;
    pub(super) const FIN_RECEIVED: u8 = 1 << 1;
    pub(super) const ORPHAN: u8 = 1 << 2;
    pub(super) const UNHELD: u8 = 1 << 3;
    pub(super) const NOTHING_SENT: u8 = 1 << 4;
}

/// Ids are given by each processor for itself: the upper bits tell which one, the lower ones count.
const ID_COUNT: u32 = 46;

/// A socket of which a block has told nothing yet.
fn unknown() -> Sock {
    let nowhere = Endpoint { address: [0, 0, 0, 0].into(), port: 0 };
    Sock {
        key: crate::event::Key { id: 0, addr: 0 },
        parent: 0,
        mptcp: 0,
        cookie: 0,
        netns: 0,
        family: Family::Ipv4,
        transport: Transport::Tcp,
        state: State::Closed,
        local: nowhere,
        peer: nowhere,
    }
}
