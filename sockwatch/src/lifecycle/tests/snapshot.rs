//! What existed before the trace.

use super::{
    host::{Host, Socket, at, process},
    seen::{Watch, owner},
};
use crate::{
    event::State,
    lifecycle::{Origin, Role},
};

fn existing(host: &mut Host, state: State, local: &str, peer: &str) -> Socket {
    let mut socket = host.socket();
    socket.sock.state = state;
    socket.sock.local = at(local);
    socket.sock.peer = at(peer);
    socket
}

#[test]
fn a_listener_that_existed_has_its_holders_and_no_owner_if_several_processes_hold_it() {
    let mut host = Host::new();
    let (master, worker) = (process("master", 100), process("worker", 101));
    let mut alone = existing(&mut host, State::Listen, "0.0.0.0:80", "0.0.0.0:0");
    let mut shared = existing(&mut host, State::Listen, "0.0.0.0:81", "0.0.0.0:0");
    alone.stats.backlog = 511;
    host.exists(&mut alone, &[(&master, 7), (&master, 6)]);
    host.exists(&mut shared, &[(&master, 6), (&worker, 6)]);
    host.surveyed();
    let watch = Watch::all(&host);
    let life = watch.life(&alone);
    assert_eq!((life.origin, life.role, life.backlog), (Origin::Snapshot, Some(Role::Listener), Some(511)));
    assert_eq!((owner(life), life.fd, life.holders.as_ref().unwrap().len()), (Some(100), Some(6), 2));
    assert_eq!(life.backlog_given, None);
    let life = watch.life(&shared);
    assert_eq!((owner(life), life.fd, life.holders.as_ref().unwrap().len()), (None, None, 2));
    assert_eq!(watch.ending(&shared), "open");
}

#[test]
fn connections_that_existed_are_matched_to_listeners_by_address_and_port() {
    let mut host = Host::new();
    let nginx = process("nginx", 100);
    let mut everywhere = existing(&mut host, State::Listen, "0.0.0.0:80", "0.0.0.0:0");
    let mut one = existing(&mut host, State::Listen, "10.0.0.1:81", "0.0.0.0:0");
    let mut other = existing(&mut host, State::Listen, "0.0.0.0:81", "0.0.0.0:0");
    for listener in [&mut everywhere, &mut one, &mut other] {
        host.exists(listener, &[(&nginx, 6)]);
    }
    let mut served = existing(&mut host, State::Established, "10.0.0.1:80", "10.0.0.2:5000");
    let mut doubtful = existing(&mut host, State::CloseWait, "10.0.0.1:81", "10.0.0.2:5001");
    let mut client = existing(&mut host, State::Established, "10.0.0.1:5002", "10.0.0.2:80");
    for connection in [&mut served, &mut doubtful, &mut client] {
        host.exists(connection, &[(&nginx, 9)]);
    }
    host.netns = 2;
    let mut elsewhere = existing(&mut host, State::Established, "10.0.0.1:80", "10.0.0.9:5000");
    host.exists(&mut elsewhere, &[]);
    host.surveyed();
    let watch = Watch::all(&host);
    let role = |socket| {
        let life = watch.life(socket);
        (life.role.unwrap(), life.listener)
    };
    assert_eq!(role(&served), (Role::Server, Some(watch.life(&everywhere).number)));
    assert_eq!(role(&doubtful), (Role::Server, None), "two listeners match");
    assert_eq!(role(&client), (Role::Client, None));
    assert_eq!(role(&elsewhere), (Role::Client, None), "no listener of its network namespace");
    assert!(watch.lives.iter().all(|life| life.complete && life.lifetime_ns().is_none()));
}

#[test]
fn nobody_holds_a_socket_only_if_that_is_certain() {
    for certain in [true, false] {
        let mut host = Host::new();
        let mut queued = existing(&mut host, State::Established, "10.0.0.1:80", "10.0.0.2:5000");
        queued.stats.unheld = certain;
        host.exists(&mut queued, &[]);
        host.surveyed();
        let watch = Watch::all(&host);
        assert_eq!(watch.life(&queued).holders.as_ref().map(Vec::len), certain.then_some(0));
        assert_eq!(owner(watch.life(&queued)), None);
    }
}

#[test]
fn a_connection_that_waited_in_the_queue_before_the_trace_is_accepted_in_it() {
    let mut host = Host::new();
    let nginx = process("nginx", 100);
    let mut listener = existing(&mut host, State::Listen, "0.0.0.0:80", "0.0.0.0:0");
    let mut queued = existing(&mut host, State::Established, "10.0.0.1:80", "10.0.0.2:5000");
    host.exists(&mut listener, &[(&nginx, 6)]);
    host.exists(&mut queued, &[]);
    host.surveyed();
    host.accept(&queued, &nginx);
    let fresh = host.arrives(&listener, "10.0.0.2:5001");
    host.closes_second(&mut queued, &nginx);
    let watch = Watch::all(&host);
    let life = watch.life(&queued);
    assert_eq!(watch.path(&queued), "accept close");
    assert_eq!((owner(life), life.accept_queue_ns), (Some(100), None));
    assert_eq!(watch.ending(&queued), "peer fin");
    assert_eq!(watch.life(&listener).accepted, 1);
    assert_eq!(watch.life(&fresh).listener, Some(watch.life(&listener).number));
}

#[test]
fn a_socket_first_seen_in_mid_life_is_not_told_as_if_it_began_there() {
    let mut host = Host::new();
    let mut client = existing(&mut host, State::Established, "10.0.0.1:5000", "10.0.0.2:80");
    host.closes_first(&mut client, &process("curl", 200));
    let watch = Watch::all(&host);
    let life = watch.life(&client);
    assert_eq!((life.origin, life.role, life.lifetime_ns()), (Origin::Snapshot, None, None));
    assert_eq!((life.local, life.peer), (Some(at("10.0.0.1:5000")), Some(at("10.0.0.2:80"))));
    assert_eq!(watch.path(&client), "close");
    assert_eq!(watch.ending(&client), "local fin time_wait");
}

#[test]
fn two_connected_sockets_that_existed_know_each_other() {
    let mut host = Host::new();
    let mut client = existing(&mut host, State::Established, "127.0.0.1:5000", "127.0.0.1:80");
    let mut server = existing(&mut host, State::Established, "127.0.0.1:80", "127.0.0.1:5000");
    host.exists(&mut client, &[]);
    host.exists(&mut server, &[]);
    host.surveyed();
    let watch = Watch::all(&host);
    let (client, server) = (watch.life(&client), watch.life(&server));
    assert_eq!((client.peer_socket, server.peer_socket), (Some(server.number), Some(client.number)));
}
