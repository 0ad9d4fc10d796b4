//! The two ends of a connection on this host.

use nix::libc;

use super::{
    host::{Host, MS, SECOND, Socket, process},
    seen::Watch,
};

const CLIENT: &str = "127.0.0.1:5000";
const SERVER: &str = "127.0.0.1:80";

/// A connection over loopback; the server's end in this network namespace.
fn connection(host: &mut Host, listener: &Socket, netns: u32, (local, peer): (&str, &str)) -> (Socket, Socket) {
    let mut client = host.socket();
    client.sock.netns = netns;
    host.connect(&mut client, peer, &process("curl", 200));
    host.connected(&mut client, local);
    let mut server = host.syn_received(listener, local);
    host.connected(&mut server, peer);
    (client, server)
}

fn are_paired(watch: &Watch, (client, server): &(Socket, Socket)) -> bool {
    let (client, server) = (watch.life(client), watch.life(server));
    client.peer_socket == Some(server.number) && server.peer_socket == Some(client.number)
}

#[test]
fn the_ends_of_a_loopback_connection_name_each_other() {
    let mut host = Host::new();
    let listener = host.listener(SERVER, &process("nginx", 100));
    let pair = connection(&mut host, &listener, 1, (CLIENT, SERVER));
    let stranger = host.arrives(&listener, "10.0.0.9:5000");
    let watch = Watch::all(&host);
    assert!(are_paired(&watch, &pair));
    assert_eq!(watch.life(&stranger).peer_socket, None);
}

#[test]
fn loopback_addresses_of_two_network_namespaces_are_not_the_same_place() {
    let mut host = Host::new();
    let listener = host.listener(SERVER, &process("nginx", 100));
    let (client, server) = connection(&mut host, &listener, 2, (CLIENT, SERVER));
    let watch = Watch::all(&host);
    assert_eq!((watch.life(&client).peer_socket, watch.life(&server).peer_socket), (None, None));
}

#[test]
fn the_ends_of_a_connection_between_network_namespaces_name_each_other() {
    let mut host = Host::new();
    let listener = host.listener("10.0.0.1:80", &process("nginx", 100));
    let pair = connection(&mut host, &listener, 2, ("10.0.0.2:5000", "10.0.0.1:80"));
    assert!(are_paired(&Watch::all(&host), &pair));
}

#[test]
fn ports_that_are_used_again_at_once_do_not_confuse_the_ends() {
    let mut host = Host::new();
    let nginx = process("nginx", 100);
    let listener = host.listener(SERVER, &nginx);
    let mut first = connection(&mut host, &listener, 1, (CLIENT, SERVER));
    // With SO_LINGER 0 nothing waits, and the ports are free at once.
    host.resets(&mut first.0, &nginx);
    host.is_reset(&mut first.1, libc::ECONNRESET);
    host.destroyed(&first.1);
    let second = connection(&mut host, &listener, 1, (CLIENT, SERVER));
    let watch = Watch::all(&host);
    assert!(are_paired(&watch, &first));
    assert!(are_paired(&watch, &second));
}

#[test]
fn a_socket_that_connects_again_elsewhere_has_no_end_here_any_more() {
    let mut host = Host::new();
    let curl = process("curl", 200);
    let listener = host.listener(SERVER, &process("nginx", 100));
    let (mut client, mut server) = connection(&mut host, &listener, 1, (CLIENT, SERVER));
    host.is_reset(&mut client, libc::ECONNRESET);
    host.resets(&mut server, &process("nginx", 100));
    host.wait(SECOND);
    client.stats.error = None;
    host.connect(&mut client, "10.0.0.7:80", &curl);
    host.connected(&mut client, "10.0.0.1:5001");
    let watch = Watch::all(&host);
    assert_eq!(watch.life(&client).peer_socket, None);
    assert_eq!(watch.life(&server).peer_socket, Some(watch.life(&client).number));
}

#[test]
fn an_end_that_is_long_gone_is_not_named() {
    let mut host = Host::new();
    let listener = host.listener(SERVER, &process("nginx", 100));
    let mut client = host.client(CLIENT, SERVER);
    host.is_reset(&mut client, libc::ECONNRESET);
    host.destroyed(&client);
    let mut watch = Watch::default();
    watch.give_all(&host);
    watch.advance(host.now + 100 * MS);
    host.events.clear();
    let server = host.arrives(&listener, CLIENT);
    watch.give_all(&host);
    watch.finish();
    assert_eq!(watch.life(&server).peer_socket, None);
}
