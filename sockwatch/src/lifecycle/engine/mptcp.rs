//! MPTCP: the process holds one socket; the TCP sockets beneath it are not shown.

use super::{
    Engine,
    states::{handshake, signal_of},
};
use crate::{
    event::{Mark, Sock, State, Stats, Time, Transport},
    lifecycle::{SignalKind, life::Role},
};

impl Engine {
    /// A change of state of a TCP socket that belongs to an MPTCP socket. False if it is, or may be, a plain one: until
    /// it is established, every child of an MPTCP listener's hidden TCP listener looks like a subflow of that listener
    /// (`subflow_ulp_clone` in net/mptcp/subflow.c).
    pub(super) fn subflow(&mut self, time: Time, sock: &Sock, to: State, (srtt, backlog): (u32, u32)) -> bool {
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
                self.skip_dead();
            } else {
                life.complete = false;
                self.end(time, place);
            }
        }
        let owner = self.by_addr.get(&sock.mptcp).copied();
        self.subflows.add(sock.key.addr, sock.mptcp);
        if let Some(place) = owner {
            let life = self.life(place);
            match to {
                State::Listen => {
                    life.backlog = Some(backlog);
                    self.listens_as(place, sock.key.id);
                }
                State::Established => {
                    if life.role == Some(Role::Server) {
                        life.handshake_ns = life.handshake_ns.or(handshake(srtt));
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

    /// What waits and what was dropped is counted by the TCP listener beneath an MPTCP one.
    pub(super) fn count_below(&mut self, sock: &Sock, stats: Stats) {
        let Some(&place) = self.by_addr.get(&sock.mptcp) else { return };
        let life = self.life(place);
        if life.role == Some(Role::Listener) {
            let Stats { queue, backlog, drops, .. } = stats;
            life.limit(backlog);
            life.stats = Some(Stats { queue, backlog, drops, ..life.stats.unwrap_or_default() });
        }
    }

    /// An MPTCP listener stops: its children are closed before it says so itself (`mptcp_check_listen_stop`).
    pub(super) fn listening_subflow_closed(&mut self, sock: &Sock, stats: Stats) {
        self.count_below(sock, stats);
        if let Some(&place) = self.by_addr.get(&sock.mptcp) {
            self.life(place).state = State::Closed;
        }
    }

    /// Something happened to a subflow. A reset ends the subflow: the connection only if that was the last, or if the connection
    /// is closed already and this is how (`mptcp_do_fastclose`).
    pub(super) fn subflow_mark(&mut self, time: Time, addr: u64, socket: u64, mark: Mark) {
        if mark == Mark::Destroyed {
            self.subflow_destroyed(time, addr, socket);
            return;
        }
        let Some(&place) = self.by_addr.get(&socket) else { return };
        let is_last = self.subflows.is_alone(addr);
        let life = self.life(place);
        if life.role == Some(Role::Listener) {
            return;
        }
        let kind = signal_of(mark);
        life.end.reset_sent |= kind == SignalKind::ResetSent && life.end.from.is_some();
        life.end.reset_received |= kind == SignalKind::ResetReceived && is_last && life.end.from.is_none();
        self.signal(place, time, kind, None);
    }

    /// The MPTCP socket goes with the last of its subflows (`mptcp_destroy_common` in net/mptcp/protocol.c); nothing else
    /// tells of it.
    pub(super) fn subflow_destroyed(&mut self, time: Time, addr: u64, socket: u64) {
        self.subflows.remove(addr);
        let Some(&place) = self.by_addr.get(&socket) else { return };
        let is_carried = self.subflows.carry(socket);
        let life = self.life(place);
        if life.transport == Transport::Mptcp && !is_carried && life.state == State::Closed {
            self.end(time, place);
        }
    }
}
