//! MPTCP: the process holds one socket; what carries it is not shown.

use super::{
    host::{Host, MS, Socket, at, process},
    seen::{Watch, owner},
};
use crate::{
    event::{Actor, Mark, State, Transport},
    lifecycle::Role,
};

/// An MPTCP listener, and the TCP listener beneath it.
pub(super) fn listener(host: &mut Host, local: &str, by: &Actor) -> (Socket, Socket) {
    let mut socket = host.mptcp_socket();
    let mut subflow = host.subflow(&socket);
    host.bind(&mut socket, local, by);
    socket.stats.backlog = 128;
    let called = host.now;
    host.transition(&mut socket, State::Listen, Some(by), Some(called));
    subflow.sock.local = at(local);
    subflow.stats.backlog = 128;
    host.transition(&mut subflow, State::Listen, Some(by), None);
    host.listen_returns(&socket, by, called);
    (socket, subflow)
}

/// A client that speaks plain TCP: until it is established it looks like a subflow of the listener.
pub(super) fn plain_client(host: &mut Host, (socket, subflow): &(Socket, Socket), peer: &str) -> Socket {
    let mut child = host.socket();
    child.sock.parent = subflow.sock.key.id;
    child.sock.mptcp = socket.sock.key.addr;
    child.sock.local = subflow.sock.local;
    child.sock.peer = at(peer);
    child.sock.state = State::Listen;
    host.transition(&mut child, State::SynReceived, None, None);
    child.sock.mptcp = 0;
    host.transition(&mut child, State::Established, None, None);
    child
}

/// A client that speaks MPTCP: its socket, and its first subflow.
pub(super) fn mptcp_client(host: &mut Host, (socket, subflow): &(Socket, Socket), peer: &str) -> (Socket, Socket) {
    let mut carrier = host.socket();
    carrier.sock.parent = subflow.sock.key.id;
    carrier.sock.mptcp = socket.sock.key.addr;
    carrier.sock.local = subflow.sock.local;
    carrier.sock.peer = at(peer);
    carrier.sock.state = State::Listen;
    carrier.srtt = 800;
    host.transition(&mut carrier, State::SynReceived, None, None);
    let mut child = host.mptcp_socket();
    child.sock.parent = socket.sock.key.id;
    child.sock.state = State::Listen;
    child.sock.local = subflow.sock.local;
    child.sock.peer = at(peer);
    host.transition(&mut child, State::Established, None, None);
    carrier.sock.mptcp = child.sock.key.addr;
    host.transition(&mut carrier, State::Established, None, None);
    (child, carrier)
}

/// Closed in order after the peer.
pub(super) fn ends(host: &mut Host, (socket, subflow): &mut (Socket, Socket), by: &Actor) {
    if socket.sock.state != State::Listen {
        host.step(socket, State::CloseWait, None);
        host.step(socket, State::LastAck, Some(by));
        host.step(subflow, State::CloseWait, None);
        host.step(subflow, State::LastAck, None);
    }
    host.close(socket, Some(by));
    host.close(subflow, None);
    host.destroyed(subflow);
}

#[test]
fn a_listener_is_one_socket_whatever_carries_it() {
    let mut host = Host::new();
    let go = process("go", 100);
    let mut pair = listener(&mut host, "10.0.0.1:80", &go);
    ends(&mut host, &mut pair, &go);
    let watch = Watch::all(&host);
    assert_eq!(watch.lives.len(), 1);
    let life = watch.life(&pair.0);
    assert_eq!((life.transport, life.role, owner(life)), (Transport::Mptcp, Some(Role::Listener), Some(100)));
    assert_eq!(watch.milestones().iter().filter(|text| **text == "close").count(), 1);
    assert_eq!(watch.ending(&pair.0), "local closed");
    assert!(life.destroyed.is_some());
}

#[test]
fn a_plain_client_of_an_mptcp_listener_is_a_tcp_connection_of_that_listener() {
    let mut host = Host::new();
    let go = process("go", 100);
    let pair = listener(&mut host, "10.0.0.1:80", &go);
    let mut child = plain_client(&mut host, &pair, "10.0.0.2:5000");
    host.accept(&child, &go);
    host.closes_second(&mut child, &go);
    let watch = Watch::all(&host);
    let life = watch.life(&child);
    assert_eq!(life.transport, Transport::Tcp);
    assert_eq!(watch.path(&child), "syn_received established accept close");
    assert_eq!(life.listener, Some(watch.life(&pair.0).number));
    assert_eq!(watch.life(&pair.0).accepted, 1);
    assert_eq!(watch.ending(&child), "peer fin");
}

#[test]
fn an_mptcp_client_is_one_connection_whatever_carries_it() {
    let mut host = Host::new();
    let go = process("go", 100);
    let pair = listener(&mut host, "10.0.0.1:80", &go);
    let mut connection = mptcp_client(&mut host, &pair, "10.0.0.2:5000");
    host.accept(&connection.0, &go);
    host.wait(50 * MS);
    ends(&mut host, &mut connection, &go);
    let watch = Watch::all(&host);
    assert_eq!(watch.lives.len(), 2, "the listener and the connection");
    let life = watch.life(&connection.0);
    assert_eq!(watch.path(&connection.0), "syn_received established accept close");
    assert_eq!((life.transport, life.role, owner(life)), (Transport::Mptcp, Some(Role::Server), Some(100)));
    assert_eq!(life.listener, Some(watch.life(&pair.0).number));
    assert_eq!((life.local, life.peer), (Some(at("10.0.0.1:80")), Some(at("10.0.0.2:5000"))));
    assert_eq!(life.handshake_ns, Some(100_000));
    assert_eq!(watch.ending(&connection.0), "peer fin");
    let told = watch.milestones();
    assert_eq!(told, ["bind", "listen", "syn_received", "established", "accept", "close"]);
}

#[test]
fn a_subflow_that_joins_and_leaves_does_not_end_the_connection() {
    let mut host = Host::new();
    let go = process("go", 100);
    let pair = listener(&mut host, "10.0.0.1:80", &go);
    let mut connection = mptcp_client(&mut host, &pair, "10.0.0.2:5000");
    let mut joined = host.subflow(&connection.0);
    joined.sock.parent = pair.1.sock.key.id;
    joined.sock.state = State::Listen;
    host.transition(&mut joined, State::SynReceived, None, None);
    host.transition(&mut joined, State::Established, None, None);
    host.step(&mut joined, State::CloseWait, None);
    host.close(&mut joined, None);
    host.destroyed(&joined);
    let watch = Watch::all(&host);
    assert_eq!(watch.lives.len(), 2);
    assert_eq!(watch.ending(&connection.0), "open");
    ends(&mut host, &mut connection, &go);
    let watch = Watch::all(&host);
    assert_eq!(watch.lives.len(), 2);
    assert!(watch.life(&connection.0).destroyed.is_some());
}

#[test]
fn an_mptcp_connect_that_is_refused_has_its_subflows_errno() {
    let mut host = Host::new();
    let curl = process("curl", 200);
    let mut socket = host.mptcp_socket();
    host.connect(&mut socket, "10.0.0.2:80", &curl);
    let mut subflow = host.subflow(&socket);
    subflow.sock.peer = at("10.0.0.2:80");
    host.transition(&mut subflow, State::SynSent, Some(&curl), None);
    host.is_reset(&mut subflow, nix::libc::ECONNREFUSED);
    host.close(&mut socket, None);
    host.destroyed(&subflow);
    let watch = Watch::all(&host);
    assert_eq!(watch.lives.len(), 1);
    assert_eq!(watch.path(&socket), "connect close");
    assert_eq!(watch.ending(&socket), "peer refused ECONNREFUSED");
}

#[test]
fn odd_transitions_to_the_same_state_are_no_events() {
    let mut host = Host::new();
    let go = process("go", 100);
    let mut pair = listener(&mut host, "10.0.0.1:80", &go);
    host.transition(&mut pair.0, State::Listen, None, None);
    ends(&mut host, &mut pair, &go);
    pair.0.sock.state = State::Closed;
    host.close(&mut pair.0, None);
    let watch = Watch::all(&host);
    assert_eq!(watch.lives.len(), 1);
    assert_eq!(watch.path(&pair.0), "bind listen close");
}

/// What is told of an MPTCP connection whose first subflow is the second socket, after `story`.
fn connection_ends(story: impl FnOnce(&mut Host, &mut (Socket, Socket), &mut (Socket, Socket))) -> String {
    let mut host = Host::new();
    let go = process("go", 100);
    let mut pair = listener(&mut host, "10.0.0.1:80", &go);
    let mut connection = mptcp_client(&mut host, &pair, "10.0.0.2:5000");
    story(&mut host, &mut pair, &mut connection);
    let watch = Watch::all(&host);
    watch.ending(&connection.0)
}

#[test]
fn resets_of_subflows_end_an_mptcp_connection_only_where_nothing_else_did() {
    let go = || process("go", 100);
    // `mptcp_do_fastclose`: the socket first, then what carries it.
    let by_us = connection_ends(|host, _, (socket, subflow)| {
        host.accept(socket, &go());
        host.close(socket, None);
        host.close(subflow, None);
        host.mark(subflow, Mark::ResetSent);
        host.destroyed(subflow);
    });
    assert_eq!(by_us, "local reset");
    let by_peer = connection_ends(|host, _, (socket, subflow)| {
        host.accept(socket, &go());
        host.is_reset(subflow, nix::libc::ECONNRESET);
        host.close(socket, None);
        host.destroyed(subflow);
    });
    assert_eq!(by_peer, "peer reset");
    let in_order = connection_ends(|host, pair, connection| {
        host.accept(&connection.0, &go());
        let mut joined = host.subflow(&connection.0);
        joined.sock.parent = pair.1.sock.key.id;
        joined.sock.state = State::Listen;
        host.transition(&mut joined, State::SynReceived, None, None);
        host.transition(&mut joined, State::Established, None, None);
        host.is_reset(&mut joined, nix::libc::ECONNRESET);
        host.destroyed(&joined);
        ends(host, connection, &go());
    });
    assert_eq!(in_order, "peer fin");
}

#[test]
fn an_mptcp_connection_that_nobody_accepted_is_told_so() {
    let ending = connection_ends(|host, pair, (socket, subflow)| {
        // `mptcp_check_listen_stop`: the TCP listener beneath, what waits, and then the listener itself.
        host.close(&mut pair.1, None);
        socket.stats.unheld = true;
        host.close(socket, None);
        host.close(subflow, None);
        host.mark(subflow, Mark::ResetSent);
        host.destroyed(subflow);
        host.close(&mut pair.0, Some(&process("go", 100)));
        host.destroyed(&pair.1);
    });
    assert_eq!(ending, "local unaccepted");
}

#[test]
fn an_mptcp_listener_has_the_counts_of_the_tcp_listener_beneath() {
    let go = process("go", 100);
    for own_close_first in [false, true] {
        let mut host = Host::new();
        let mut pair = listener(&mut host, "10.0.0.1:80", &go);
        pair.0.stats.backlog = 0;
        let below = &mut pair.1.stats;
        (below.backlog, below.queue, below.drops) = (128, 2, 7);
        if own_close_first {
            host.close(&mut pair.0, Some(&go));
            host.close(&mut pair.1, None);
        } else {
            host.close(&mut pair.1, None);
            host.close(&mut pair.0, Some(&go));
        }
        host.destroyed(&pair.1);
        let watch = Watch::all(&host);
        let life = watch.life(&pair.0);
        let stats = life.stats.expect("its counts");
        assert_eq!((life.backlog, life.backlog_given, stats.queue, stats.drops), (Some(128), Some(4096), 2, 7));
        assert_eq!(watch.ending(&pair.0), "local closed");
    }
}
