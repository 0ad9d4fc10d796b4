//! How connections end: every `by`, `how` and `time_wait`.

use nix::libc;

use super::{
    host::{Host, MS, Socket, at, process},
    seen::Watch,
};
use crate::event::{Errno, Mark, State, Time};

/// A connection that `curl` opened ends as `story` says.
fn client_ends(story: impl FnOnce(&mut Host, &mut Socket)) -> String {
    let mut host = Host::new();
    let mut client = host.client("10.0.0.1:5000", "10.0.0.2:80");
    story(&mut host, &mut client);
    Watch::all(&host).ending(&client)
}

#[test]
fn closing_first_leaves_a_timewait_socket() {
    assert_eq!(client_ends(|host, client| host.closes_first(client, &process("curl", 200))), "local fin time_wait");
}

#[test]
fn closing_after_the_peer_leaves_none() {
    assert_eq!(client_ends(|host, client| host.closes_second(client, &process("curl", 200))), "peer fin");
}

#[test]
fn after_a_shutdown_the_peers_fin_makes_the_timewait_socket() {
    let ending = client_ends(|host, client| {
        host.step(client, State::FinWait1, Some(&process("curl", 200)));
        host.step(client, State::FinWait2, None);
        client.stats.fin_received = true;
        host.close(client, None);
        host.destroyed(client);
    });
    assert_eq!(ending, "local fin time_wait");
}

#[test]
fn closing_at_the_same_time_as_the_peer_leaves_a_timewait_socket() {
    let ending = client_ends(|host, client| {
        host.step(client, State::FinWait1, Some(&process("curl", 200)));
        host.step(client, State::Closing, None);
        client.stats.fin_received = true;
        host.close(client, None);
        host.destroyed(client);
    });
    assert_eq!(ending, "local fin time_wait");
}

#[test]
fn a_peer_that_resets_is_named() {
    let ending = client_ends(|host, client| {
        host.is_reset(client, libc::ECONNRESET);
        host.destroyed(client);
    });
    assert_eq!(ending, "peer reset ECONNRESET");
}

#[test]
fn a_peer_that_sent_a_fin_and_then_resets_ended_it_first() {
    let ending = client_ends(|host, client| {
        host.step(client, State::CloseWait, None);
        host.is_reset(client, libc::EPIPE);
        host.destroyed(client);
    });
    assert_eq!(ending, "peer reset EPIPE");
}

#[test]
fn a_reset_after_our_own_fin_was_begun_by_us() {
    let ending = client_ends(|host, client| {
        host.step(client, State::FinWait1, Some(&process("curl", 200)));
        client.stats.orphan = true;
        host.is_reset(client, libc::ECONNRESET);
        host.destroyed(client);
    });
    assert_eq!(ending, "local reset ECONNRESET");
}

#[test]
fn closing_with_unread_bytes_resets() {
    let ending = client_ends(|host, client| {
        client.stats.unread = 10;
        host.resets(client, &process("curl", 200));
    });
    assert_eq!(ending, "local reset");
}

#[test]
fn closing_with_unread_bytes_after_the_peers_fin_was_begun_by_the_peer() {
    let ending = client_ends(|host, client| {
        host.step(client, State::CloseWait, None);
        client.stats.fin_received = true;
        host.resets(client, &process("curl", 200));
    });
    assert_eq!(ending, "peer reset");
}

#[test]
fn a_reset_from_fin_wait_2_leaves_no_timewait_socket() {
    let ending = client_ends(|host, client| {
        host.step(client, State::FinWait1, Some(&process("curl", 200)));
        host.step(client, State::FinWait2, None);
        host.close(client, None);
        host.mark(client, Mark::ResetSent);
        host.destroyed(client);
    });
    assert_eq!(ending, "local reset");
}

#[test]
fn retransmission_and_keepalive_run_out_by_the_kernel() {
    let ending = client_ends(|host, client| {
        for _ in 0..3 {
            host.mark(client, Mark::Retransmit);
        }
        client.stats.error = Some(Errno(libc::ETIMEDOUT));
        host.close(client, None);
        host.destroyed(client);
    });
    assert_eq!(ending, "kernel timeout ETIMEDOUT");
}

#[test]
fn an_administrators_ss_k_is_the_kernels_reset() {
    let ending = client_ends(|host, client| {
        client.stats.error = Some(Errno(libc::ECONNABORTED));
        host.close(client, None);
        host.mark(client, Mark::ResetSent);
        host.destroyed(client);
    });
    assert_eq!(ending, "kernel reset ECONNABORTED");
}

#[test]
fn a_network_that_went_is_unreachable() {
    let ending = client_ends(|host, client| {
        client.stats.error = Some(Errno(libc::EHOSTUNREACH));
        host.close(client, None);
        host.destroyed(client);
    });
    assert_eq!(ending, "kernel unreachable EHOSTUNREACH");
}

#[test]
fn a_close_that_nothing_explains_is_not_guessed_at() {
    let ending = client_ends(|host, client| {
        host.close(client, None);
        host.destroyed(client);
    });
    assert_eq!(ending, "? ?");
}

#[test]
fn a_missing_close_is_not_guessed_at() {
    let ending = client_ends(|host, client| {
        host.step(client, State::CloseWait, None);
        host.destroyed(client);
    });
    assert_eq!(ending, "peer ? time_wait?");
}

#[test]
fn a_connection_is_open_until_it_is_closed() {
    assert_eq!(client_ends(|_, _| ()), "open");
}

#[test]
fn a_socket_that_only_bound_is_closed_when_it_is_destroyed() {
    let mut host = Host::new();
    let mut socket = host.socket();
    host.bind(&mut socket, "10.0.0.1:80", &process("python", 300));
    host.destroyed(&socket);
    let watch = Watch::all(&host);
    assert_eq!(watch.ending(&socket), "local closed");
    assert_eq!(watch.path(&socket), "bind");
    assert_eq!(watch.life(&socket).role, None);
}

#[test]
fn a_missing_transition_leaves_the_rest_of_the_life_as_it_was() {
    let mut host = Host::new();
    let mut client = host.client("10.0.0.1:5000", "10.0.0.2:80");
    // ESTABLISHED → FIN_WAIT1 is missed.
    client.sock.state = State::FinWait1;
    host.step(&mut client, State::FinWait2, None);
    client.stats.orphan = true;
    host.close(&mut client, None);
    host.destroyed(&client);
    let watch = Watch::all(&host);
    assert_eq!(watch.path(&client), "connect established close");
    assert_eq!(watch.ending(&client), "local fin time_wait");
}

#[test]
fn a_reset_that_is_sent_when_the_socket_is_gone_already_is_its_end() {
    // An orphan that waits for nothing (TCP_LINGER2): `tcp_done` comes before the answer to the peer.
    let ends_after = |pause: Time| {
        client_ends(|host, client| {
            host.step(client, State::FinWait1, Some(&process("curl", 200)));
            host.step(client, State::FinWait2, None);
            client.stats.orphan = true;
            host.close(client, None);
            host.destroyed(client);
            // Its processor may be taken away here; others go on.
            host.wait(pause);
            for port in 5001..5101 {
                let mut other = host.client(&format!("10.0.0.1:{port}"), "10.0.0.2:80");
                host.closes_first(&mut other, &process("curl", 200));
            }
            host.mark(client, Mark::ResetSent);
        })
    };
    assert_eq!([ends_after(0), ends_after(4 * MS)], ["local reset"; 2]);
}

#[test]
fn a_reset_of_a_socket_at_the_same_address_is_not_that_of_the_one_before() {
    let mut host = Host::new();
    let mut first = host.client("10.0.0.1:5000", "10.0.0.2:80");
    host.closes_first(&mut first, &process("curl", 200));
    let mut second = host.socket();
    second.sock.key.addr = first.sock.key.addr;
    host.connect(&mut second, "10.0.0.2:80", &process("curl", 200));
    host.connected(&mut second, "10.0.0.1:5001");
    host.resets(&mut second, &process("curl", 200));
    let watch = Watch::all(&host);
    assert_eq!([watch.ending(&first), watch.ending(&second)], ["local fin time_wait", "local reset"]);
}

#[test]
fn a_listener_is_ended_by_its_process_or_by_an_administrator() {
    for (error, expected) in [(None, "local closed"), (Some(libc::ECONNABORTED), "kernel closed ECONNABORTED")] {
        let mut host = Host::new();
        let nginx = process("nginx", 100);
        let mut listener = host.listener("10.0.0.1:80", &nginx);
        host.stops_listening(&mut listener, &nginx);
        listener.stats.error = error.map(Errno);
        // `tcp_abort` goes to CLOSE twice.
        host.close(&mut listener, None);
        host.destroyed(&listener);
        assert_eq!(Watch::all(&host).ending(&listener), expected);
    }
}

#[test]
fn a_client_that_became_a_listener_has_no_peer_and_no_error() {
    let mut host = Host::new();
    let curl = process("curl", 200);
    let mut socket = host.client("10.0.0.1:5000", "10.0.0.2:80");
    host.close(&mut socket, Some(&curl));
    host.mark(&socket, Mark::ResetSent);
    socket.sock.peer = at("0.0.0.0:0");
    socket.stats.error = Some(Errno(libc::ECONNRESET));
    host.bind(&mut socket, "10.0.0.1:90", &curl);
    host.listen(&mut socket, &curl);
    host.stops_listening(&mut socket, &curl);
    host.destroyed(&socket);
    let watch = Watch::all(&host);
    let life = watch.life(&socket);
    assert_eq!((life.local, life.peer), (Some(at("10.0.0.1:90")), None));
    assert_eq!(watch.ending(&socket), "local closed");
}
