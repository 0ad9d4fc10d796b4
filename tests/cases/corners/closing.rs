//! Connections that end in other ways than the usual ones.

use crate::support::{Netns, Seen, Stage, wait_for};

/// An end that no answer is waited for long.
fn impatient(netns: &Netns) {
    netns.sysctl("net.ipv4.tcp_retries2", "1");
    netns.sysctl("net.ipv4.tcp_orphan_retries", "1");
}

/// A stage with a connection, whose peer falls silent: nothing that either side sends arrives.
fn silent() -> Option<(Stage, u16)> {
    let stage = Stage::bare(impatient)?;
    if !stage.host.has(&["iptables"]) {
        return None;
    }
    stage.server.tell("l = listen('127.0.0.1', 8000)");
    let port = stage.connect();
    stage.netns.on_input_to("127.0.0.1", &["DROP"]);
    Some((stage, port))
}

#[test]
fn keepalive_gives_up_a_silent_peer() {
    let Some((stage, port)) = silent() else { return };
    stage.client.tell("c.setsockopt(SOL_SOCKET, SO_KEEPALIVE, 1)");
    for (option, value) in [("KEEPCNT", 1), ("KEEPINTVL", 1), ("KEEPIDLE", 1)] {
        stage.client.tell(&format!("c.setsockopt(IPPROTO_TCP, TCP_{option}, {value})"));
    }
    assert_eq!(stage.client.fail("c.recv(1)"), "ETIMEDOUT");
    stage.client.tell("c.close()");
    let Seen { run, .. } = stage.stop();

    let socket = run.client(port);
    assert_eq!(socket.ending(), "by kernel, timeout: ETIMEDOUT");
    assert_eq!(run.server(port).ending(), "open", "it does not know");
    assert!(run.event(socket, "close").0["process"].is_null(), "no process did it");
}

#[test]
fn a_user_timeout_gives_up_a_silent_peer() {
    let Some((stage, port)) = silent() else { return };
    stage.client.tell("c.setsockopt(IPPROTO_TCP, TCP_USER_TIMEOUT, 300); c.sendall(b'anyone?')");
    assert_eq!(stage.client.fail("c.recv(1)"), "ETIMEDOUT");
    stage.client.tell("c.close()");
    let Seen { run, .. } = stage.stop();

    let socket = run.client(port);
    assert_eq!((socket.ending().as_str(), socket.bytes()), ("by kernel, timeout: ETIMEDOUT", Some((0, 0))));
    assert!(socket.number("retransmits") > Some(0), "{socket:?}");
    assert!(run.events_of(socket).iter().any(|event| event.name() == "retransmit"));
}

#[test]
fn retransmission_gives_up_a_silent_peer() {
    let Some((stage, port)) = silent() else { return };
    stage.client.tell("c.sendall(b'anyone?')");
    assert_eq!(stage.client.fail("c.recv(1)"), "ETIMEDOUT");
    stage.client.tell("c.close()");
    let Seen { run, .. } = stage.stop();

    assert_eq!(run.client(port).ending(), "by kernel, timeout: ETIMEDOUT");
}

#[test]
fn a_closed_socket_whose_last_words_nobody_confirms_is_given_up() {
    let Some((stage, port)) = silent() else { return };
    stage.client.tell("c.sendall(b'anyone?'); c.close()");
    stage.shows_ends(1);
    let seen = stage.stop();

    let socket = seen.run.client(port);
    assert_eq!(socket.ending(), "by local, timeout: ETIMEDOUT", "it closed first");
    assert_eq!(seen.who(socket, "fin_wait_1"), Some(seen.client));
    assert!(seen.run.event(socket, "close").0["process"].is_null(), "the orphan was nobody's");
}

#[test]
fn a_socket_that_closed_after_its_peer_and_is_not_answered_is_given_up() {
    let Some(stage) = Stage::bare(impatient) else { return };
    if !stage.host.has(&["iptables"]) {
        return;
    }
    stage.server.tell("l = listen('127.0.0.1', 8000)");
    let port = stage.connect();
    stage.client.tell("c.shutdown(SHUT_WR)");
    stage.server.tell("assert s.recv(1) == b''");
    // The ACK of a FIN may be delayed. TCP_INFO begins with the state; 5 is FIN_WAIT2.
    wait_for("the ACK of the client's FIN", || {
        stage.client.ask::<bool>("c.getsockopt(IPPROTO_TCP, TCP_INFO, 8)[0] == 5").then_some(())
    });
    stage.netns.on_input_to("127.0.0.1", &["DROP"]);
    stage.server.tell("s.close()");
    stage.shows_ends(1);
    let seen = stage.stop();

    let socket = seen.run.server(port);
    assert_eq!(socket.ending(), "by peer, timeout: ETIMEDOUT", "the peer closed first");
    assert_eq!(seen.who(socket, "last_ack"), Some(seen.server));
    assert_eq!(
        (&seen.run.client(port).0["state"], seen.run.client(port).ending()),
        (&"fin_wait_2".into(), "open".into())
    );
}

#[test]
fn both_close_at_once_and_each_was_first() {
    let Some(stage) = Stage::new() else { return };
    if !stage.host.has(&["iptables"]) {
        return;
    }
    let port = stage.connect();
    stage.netns.on_input_to("127.0.0.1", &["DROP"]);
    stage.client.tell("c.close()");
    stage.server.tell("s.close()");
    stage.netns.let_in();
    stage.shows_ends(2);
    let seen = stage.stop();

    assert_eq!(seen.endings(port), ["by local, fin, then time_wait"; 2]);
    let crossed = [seen.run.client(port), seen.run.server(port)]
        .into_iter()
        .any(|socket| seen.run.states(socket).contains(&"fin_wait_1 to closing".to_owned()));
    assert!(crossed, "their ends crossed");
}

#[test]
fn a_port_in_time_wait_is_used_again_and_each_connection_keeps_its_owner() {
    let Some(stage) = Stage::bare(|netns| netns.sysctl("net.ipv4.tcp_tw_reuse", "1")) else { return };
    let Stage { server, client, netns, .. } = &stage;
    server.tell("l = listen('127.0.0.1', 8000)");
    let other = crate::support::Actor::within(netns);
    let connect = "c = tcp('127.0.0.1'); c.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1); c.bind(('127.0.0.1', 5000)); \
                   c.connect(('127.0.0.1', 8000))";
    // Who comes again has to wait until the clock of its timestamps has gone on.
    let again = "def again():\n  import time\n  while True:\n    c = tcp('127.0.0.1'); c.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)\n    \
         c.bind(('127.0.0.1', 5000))\n    try:\n      c.connect(('127.0.0.1', 8000)); return c\n    \
         except OSError as e:\n      if e.errno != errno.EADDRNOTAVAIL: raise\n    c.close(); time.sleep(0.05)\n\
         import gc; c = again()";
    for (actor, code) in [(client, connect), (&other, again)] {
        actor.tell(code);
        server.tell("s, _ = l.accept()");
        actor.tell("c.close()");
        server.tell("assert s.recv(1) == b''; s.close()");
    }
    let other_pid = other.pid();
    let Seen { run, client: pid, .. } = stage.stop();

    let made = run.sockets_where(|socket| {
        socket.role() == "client" && socket.local_port() == Some(5000) && socket.pid() == Some(pid)
    });
    let remade = run.sockets_where(|socket| {
        socket.local_port() == Some(5000) && socket.pid() == Some(other_pid) && socket.path().contains("established")
    });
    let ([first], [second]) = (&made[..], &remade[..]) else { panic!("{made:?} {remade:?}") };
    for (socket, pid) in [(first, pid), (second, other_pid)] {
        assert_eq!(socket.path(), format!("bind by {pid}, connect by {pid}, established, close"));
        assert_eq!(socket.ending(), "by local, fin, then time_wait");
        let served = run.only("its other end", 5000, |other| other.0["socket"] == socket.0["peer_socket"]);
        assert_eq!((served.role(), served.ending().as_str()), ("server", "by peer, fin"));
    }
    assert_ne!(first.0["peer_socket"], second.0["peer_socket"]);
}

#[test]
fn what_is_left_of_a_closed_connection_waits_for_its_peer_without_anyone() {
    let Some(stage) = Stage::new() else { return };
    let port = stage.connect();
    // It closed, and the peer goes on: what is left of it needs no socket any more.
    stage.server.tell("s.close()");
    stage.shows_ends(1);
    stage.client.tell("assert c.recv(1) == b''; c.close()");
    let seen = stage.stop();

    let socket = seen.run.server(port);
    assert_eq!(socket.ending(), "by local, fin, then time_wait");
    assert_eq!(
        seen.run.states(socket)[2..],
        ["established to fin_wait_1", "fin_wait_1 to fin_wait_2", "fin_wait_2 to closed"]
    );
    assert_eq!(seen.run.client(port).ending(), "by peer, fin");
}

#[test]
fn a_closed_socket_that_waits_for_nothing_resets() {
    let Some(stage) = Stage::new() else { return };
    let port = stage.connect();
    stage.server.tell("s.setsockopt(IPPROTO_TCP, TCP_LINGER2, -1); s.close()");
    assert_eq!(stage.client.fail("c.sendall(b'x'); c.sendall(b'x'); c.recv(1)"), "EPIPE");
    stage.client.tell("c.close()");
    let seen = stage.stop();

    let socket = seen.run.server(port);
    assert_eq!(socket.ending(), "by local, reset", "no timewait socket took its place");
    assert_eq!(seen.who(socket, "fin_wait_1"), Some(seen.server));
    assert_eq!(seen.run.client(port).ending(), "by peer, reset: EPIPE");
}

#[test]
fn data_for_a_socket_that_was_closed_is_answered_by_a_reset() {
    let Some(stage) = Stage::new() else { return };
    if !stage.host.has(&["iptables"]) {
        return;
    }
    let port = stage.connect();
    // Both are under way when neither has arrived: the client's data, and the server's end.
    stage.netns.on_input_to("127.0.0.1", &["DROP"]);
    stage.client.tell("c.sendall(b'too late')");
    stage.server.tell("s.close()");
    stage.netns.let_in();
    stage.shows_ends(1);
    let seen = stage.stop();

    // The kernel then acts as if it had been reset itself, and sends one.
    let close = &seen.run.server(port).0["close"];
    assert_eq!((&close["by"], &close["how"]), (&"local".into(), &"reset".into()), "{close}");
}

#[test]
fn each_half_is_shut_down_for_itself() {
    let Some(stage) = Stage::new() else { return };
    let Stage { server, client, .. } = &stage;
    // One reads no more: that is between it and its kernel.
    let unread = stage.connect();
    client.tell("c.shutdown(SHUT_RD)");
    server.tell("s.sendall(b'hello'); s.shutdown(SHUT_WR)");
    client.tell("import select; poll = select.poll(); poll.register(c, select.POLLIN); poll.poll()");
    client.tell("c.close()");
    server.tell("s.close()");
    // One writes no more, and the other goes on.
    let half = stage.connect();
    client.tell("c.sendall(b'last'); c.shutdown(SHUT_WR)");
    server.tell("read(s, 4); assert s.recv(1) == b''; s.sendall(b'and more'); s.close()");
    client.tell("read(c, 8); assert c.recv(1) == b''; c.close()");
    // Both at once.
    let both = stage.connect();
    client.tell("c.shutdown(SHUT_RDWR)");
    server.tell("assert s.recv(1) == b''; s.shutdown(SHUT_RDWR)");
    client.tell("c.close()");
    server.tell("s.close()");
    let seen = stage.stop();

    let by_peer = seen.run.client(unread);
    assert_eq!(by_peer.0["close"]["by"], "peer", "the first FIN: {by_peer:?}");
    assert_eq!(by_peer.bytes(), Some((5, 0)), "received, though nobody read it");
    for port in [half, both] {
        assert_eq!(seen.endings(port), ["by local, fin, then time_wait", "by peer, fin"]);
        assert_eq!(seen.who(seen.run.client(port), "fin_wait_1"), Some(seen.client));
        assert_eq!(seen.who(seen.run.server(port), "last_ack"), Some(seen.server));
    }
    assert_eq!(seen.run.client(half).bytes(), Some((8, 4)));
}

#[test]
fn a_listener_that_is_shut_down_and_listens_again_is_one_socket() {
    let Some(stage) = Stage::new() else { return };
    let Stage { server, client, .. } = &stage;
    client.tell("waits = connect('127.0.0.1', 8000)");
    server.tell("l.shutdown(SHUT_RD)");
    assert_eq!(client.fail("waits.recv(1)"), "ECONNRESET");
    let waited: u16 = client.ask("port(waits)");
    assert_eq!(client.fail("connect('127.0.0.1', 8000)"), "ECONNREFUSED");
    server.tell("l.listen(5)");
    let port = stage.connect();
    server.tell("s.close(); l.close()");
    let Seen { run, server: pid, .. } = stage.stop();

    let listener = run.listener(8000);
    let once = format!("listen by {pid}, close");
    assert_eq!(listener.path(), format!("bind by {pid}, {once}, {once}"));
    assert_eq!((listener.number("accepted"), listener.number("backlog")), (Some(1), Some(5)));
    for port in [waited, port] {
        assert_eq!(run.server(port).0["listener"], listener.0["socket"]);
    }
    assert_eq!(run.server(waited).ending(), "by local, unaccepted");
}

#[test]
fn a_reset_after_the_first_fin_does_not_change_who_closed_first() {
    let Some(stage) = Stage::new() else { return };
    let Stage { server, client, .. } = &stage;
    // The one that was closed first resets.
    let after = stage.connect();
    client.tell("c.shutdown(SHUT_WR)");
    server.tell("assert s.recv(1) == b''; reset(s)");
    assert_eq!(client.fail("c.recv(1)"), "ECONNRESET");
    client.tell("c.close()");
    // The one that closed first resets.
    let before = stage.connect();
    client.tell("c.shutdown(SHUT_WR)");
    server.tell("assert s.recv(1) == b''");
    client.tell("reset(c)");
    assert_eq!(server.fail("s.sendall(b'x'); s.sendall(b'x')"), "EPIPE");
    server.tell("s.close()");
    let seen = stage.stop();

    assert_eq!(seen.endings(after), ["by local, reset: ECONNRESET", "by peer, reset"]);
    assert_eq!(seen.endings(before), ["by local, reset", "by peer, reset: EPIPE"]);
    assert_eq!(seen.run.event(seen.run.server(after), "reset_sent").pid(), Some(seen.server));
    assert_eq!(seen.run.event(seen.run.client(before), "reset_sent").pid(), Some(seen.client));
}

#[test]
fn an_administrator_ends_connections_and_listeners() {
    let Some(stage) = Stage::new() else { return };
    if !stage.host.has(&["ss"]) {
        return;
    }
    let port = stage.connect();
    let kill = |filter: &[&str]| {
        let output = stage.netns.command("ss").args(["-K", "-t"]).args(filter).output().expect("ss runs");
        String::from_utf8_lossy(&output.stdout).lines().count() > 1
    };
    let killed = kill(&["dport", "=", "8000"]);
    if !stage.host.kernel_has("way to end others' sockets (CONFIG_INET_DIAG_DESTROY)", killed) {
        return;
    }
    assert!(kill(&["-l", "sport", "=", "8000"]), "the listener");
    stage.client.tell("c.close()");
    stage.server.tell("s.close(); l.close()");
    let seen = stage.stop();

    assert_eq!(seen.endings(port), ["by kernel, reset: ECONNABORTED", "by peer, reset: ECONNRESET"]);
    assert_eq!(seen.run.listener(8000).ending(), "by kernel, closed: ECONNABORTED");
}
