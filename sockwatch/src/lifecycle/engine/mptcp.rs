//! MPTCP: the process holds one socket; the TCP sockets beneath it are not shown.

use super::{EIGHTH_US, Engine};
use crate::{
    event::{Sock, State, Time, Transport},
    lifecycle::life::Role,
};

impl Engine {
    /// A change of state of a TCP socket that belongs to an MPTCP socket. False if it is, or may be, a plain one: until
    /// it is established, every child of an MPTCP listener's hidden TCP listener looks like a subflow of that listener
    /// (`subflow_ulp_clone` in net/mptcp/subflow.c).
    pub(super) fn subflow(&mut self, time: Time, sock: &Sock, to: State, srtt: u32) -> bool {
        let owner = self.by_addr.get(&sock.mptcp).copied();
        let of_listener = owner.is_some_and(|place| self.life(place).role == Some(Role::Listener));
        if to == State::SynReceived && of_listener {
            let place = self.meet(time, sock, true);
            self.life(place).maybe_subflow = true;
            return false;
        }
        if let Some(place) = self.find(time, sock.key) {
            let life = self.life(place);
            if life.maybe_subflow {
                // It turned out to be one: what waits to be told of it is told of the MPTCP socket.
                self.remove(place);
            } else {
                life.complete = false;
                self.end(time, place);
            }
        }
        let owner = self.by_addr.get(&sock.mptcp).copied();
        if self.subflows.insert(sock.key.addr, sock.mptcp).is_none()
            && let Some(place) = owner
        {
            self.life(place).subflows += 1;
        }
        if let Some(place) = owner {
            let life = self.life(place);
            match to {
                State::Listen => {
                    self.listens_as(place, sock.key.id);
                }
                State::Established => {
                    if life.role == Some(Role::Server) {
                        life.handshake_ns = life.handshake_ns.or((srtt > 0).then_some(u64::from(srtt) * EIGHTH_US));
                    }
                    let known = life.peer.is_some() && life.local.is_some();
                    if !known {
                        life.set_ends(sock.local, sock.peer);
                        self.pair(place);
                    }
                }
                _ => {}
            }
        }
        true
    }

    /// The MPTCP socket goes with the last of its subflows (`mptcp_destroy_common` in net/mptcp/protocol.c); nothing else
    /// tells of it.
    pub(super) fn subflow_destroyed(&mut self, time: Time, addr: u64, socket: u64) {
        let counted = self.subflows.remove(&addr).is_some();
        let Some(&place) = self.by_addr.get(&socket) else { return };
        let life = self.life(place);
        life.subflows = life.subflows.saturating_sub(counted.into());
        if life.transport == Transport::Mptcp && life.subflows == 0 && life.state == State::Closed {
            self.end(time, place);
        }
    }
}
