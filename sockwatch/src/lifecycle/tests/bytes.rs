//! Payload counts: SYN and FIN are not payload.

use nix::libc;

use super::{
    host::{Host, Socket, process},
    seen::Watch,
};
use crate::event::{State, Stats};

/// Payload received and sent of a connection that received 100 and sent 1,000 bytes.
fn payload(client: bool, story: impl FnOnce(&mut Host, &mut Socket)) -> (u64, u64) {
    let mut host = Host::new();
    let nginx = process("nginx", 100);
    let listener = host.listener("0.0.0.0:80", &nginx);
    let mut socket = if client {
        host.client("10.0.0.1:5000", "10.0.0.2:80")
    } else {
        let child = host.arrives(&listener, "10.0.0.2:5000");
        host.accept(&child, &nginx);
        child
    };
    // The active opener's SYN was acknowledged.
    socket.stats = Stats { received: 100, acked: 1000 + u64::from(client), ..socket.stats };
    story(&mut host, &mut socket);
    let watch = Watch::all(&host);
    let bytes = watch.life(&socket).bytes().expect("they were counted");
    (bytes.received, bytes.sent)
}

#[test]
fn the_syn_of_the_active_opener_is_no_payload() {
    for client in [true, false] {
        let counts = payload(client, |host, socket| {
            host.is_reset(socket, libc::ECONNRESET);
            host.destroyed(socket);
        });
        assert_eq!(counts, (100, 1000), "client: {client}");
    }
}

#[test]
fn fins_are_no_payload_when_this_side_closes_first() {
    for client in [true, false] {
        let counts = payload(client, |host, socket| {
            // Our FIN is acknowledged, the peer's has not come.
            socket.stats.acked += 1;
            host.closes_first(socket, &process("curl", 200));
        });
        assert_eq!(counts, (100, 1000), "client: {client}");
    }
}

#[test]
fn fins_are_no_payload_when_the_peer_closes_first() {
    for client in [true, false] {
        let counts = payload(client, |host, socket| {
            socket.stats.acked += 1;
            socket.stats.received += 1;
            host.closes_second(socket, &process("curl", 200));
        });
        assert_eq!(counts, (100, 1000), "client: {client}");
    }
}

#[test]
fn a_fin_that_was_not_acknowledged_was_not_counted() {
    let counts = payload(true, |host, socket| {
        socket.stats.unacked = 1;
        host.step(socket, State::FinWait1, Some(&process("curl", 200)));
        socket.stats.error = crate::event::Errno::new(libc::ETIMEDOUT);
        host.close(socket, None);
        host.destroyed(socket);
    });
    assert_eq!(counts, (100, 1000));
}

#[test]
fn a_connect_that_was_refused_sent_nothing() {
    let mut host = Host::new();
    let mut client = host.socket();
    host.connect(&mut client, "10.0.0.2:80", &process("curl", 200));
    host.is_reset(&mut client, libc::ECONNREFUSED);
    host.destroyed(&client);
    let watch = Watch::all(&host);
    let bytes = watch.life(&client).bytes().unwrap();
    assert_eq!((bytes.received, bytes.sent), (0, 0));
}

#[test]
fn what_was_not_counted_is_not_zero() {
    let mut host = Host::new();
    let mut client = host.client("10.0.0.1:5000", "10.0.0.2:80");
    client.stats.counted = false;
    host.closes_second(&mut client, &process("curl", 200));
    let watch = Watch::all(&host);
    assert_eq!((watch.life(&client).bytes(), watch.life(&client).rtt_us()), (None, None));
}

#[test]
fn the_round_trip_time_is_in_microseconds() {
    let mut host = Host::new();
    let mut client = host.client("10.0.0.1:5000", "10.0.0.2:80");
    client.stats.srtt = 8 * 250;
    client.stats.retransmits = 2;
    host.closes_second(&mut client, &process("curl", 200));
    let watch = Watch::all(&host);
    assert_eq!(watch.life(&client).rtt_us(), Some(250));
    assert_eq!(watch.life(&client).stats.unwrap().retransmits, 2);
}
