//! Connections that begin in other ways than the usual one.

use crate::support::{Actor, Netns, Seen, Socket, Stage, wait_for};

/// What is sent to this address is never answered.
const NOWHERE: &str = "127.0.0.99";

fn fast_open(netns: &Netns) {
    netns.sysctl("net.ipv4.tcp_fastopen", "3");
}

#[test]
fn a_client_that_sends_with_its_syn_is_told_as_one_that_connects() {
    let Some(stage) = Stage::bare(fast_open) else { return };
    let Stage { server, client, .. } = &stage;
    server.tell(
        "l = tcp('127.0.0.1'); l.bind(('127.0.0.1', 8000)); l.setsockopt(IPPROTO_TCP, TCP_FASTOPEN, 16); l.listen(16)",
    );
    // The first gets a cookie, the second sends its question with the SYN.
    let mut ports = Vec::new();
    for _ in 0..2 {
        client.tell("c = tcp('127.0.0.1'); c.sendto(b'question', MSG_FASTOPEN, ('127.0.0.1', 8000))");
        ports.push(client.ask::<u16>("port(c)"));
        server.tell("s, _ = l.accept(); read(s, 8); s.sendall(b'answer')");
        client.tell("read(c, 6); c.close()");
        server.tell("assert s.recv(1) == b''; s.close()");
    }
    let used = stage.netns.counter("TCPFastOpenPassive");
    let Seen { run, server, client } = stage.stop();

    assert_eq!(used, 1, "connections that were opened fast");
    for port in ports {
        let (asked, served) = (run.client(port), run.server(port));
        assert_eq!(asked.path(), format!("connect by {client}, established, close"));
        assert_eq!(served.path(), format!("syn_received, established, accept by {server}, close"));
        assert_eq!((asked.bytes(), served.bytes()), (Some((6, 8)), Some((8, 6))));
        assert_eq!((asked.ending(), served.ending()), ("by local, fin, then time_wait".into(), "by peer, fin".into()));
        assert_eq!(served.0["listener"], run.listener(8000).0["socket"]);
        assert_eq!(asked.0["peer_socket"], served.0["socket"]);
    }
}

#[test]
fn a_connection_that_is_accepted_before_it_is_established_is_told_so() {
    let prepare = |netns: &Netns| {
        // Without cookies, and for every listener.
        netns.sysctl("net.ipv4.tcp_fastopen", "1539");
    };
    let Some(stage) = Stage::bare(prepare) else { return };
    if !stage.host.has(&["iptables"]) {
        return;
    }
    stage.netns.on_input_to(NOWHERE, &["DROP"]);
    let Stage { server, .. } = &stage;
    server.tell("l = listen('127.0.0.1', 8000); from half_open import send_syn");
    for (nth, then) in ["pass", "s.close()", "reset(s)"].into_iter().enumerate() {
        server.tell(&format!("send_syn('{NOWHERE}', {}, '127.0.0.1', 8000, b'early')", 4000 + nth));
        server.tell(&format!("s, _ = l.accept(); kept = [*globals().get('kept', []), s]; read(s, 5); {then}"));
    }
    // And one that nobody accepts.
    server.tell(&format!("send_syn('{NOWHERE}', 4003, '127.0.0.1', 8000, b'early'); l.close()"));
    let seen = stage.stop();

    let Seen { run, server, .. } = &seen;
    let accepted = format!("syn_received, accept by {server}");
    let [open, closed, reset, waited] = [4000, 4001, 4002, 4003].map(|port| run.server(port));
    assert_eq!([open.path(), open.ending()], [accepted.as_str(), "open"]);
    assert_eq!((&open.0["state"], open.number("accept_queue_ns")), (&"syn_received".into(), None));
    assert_eq!([closed.path(), closed.ending()], [accepted.as_str(), "open"], "its FIN is not answered");
    assert_eq!((&closed.0["state"], seen.who(closed, "fin_wait_1")), (&"fin_wait_1".into(), Some(*server)));
    assert_eq!([reset.path(), reset.ending()], [format!("{accepted}, close").as_str(), "by local, reset"]);
    assert_eq!([waited.path(), waited.ending()], ["syn_received, close", "by local, unaccepted"]);
    for socket in [open, closed, reset] {
        assert_eq!((socket.pid(), socket.bytes()), (Some(*server), Some((5, 0))));
    }
    assert_eq!(run.listener(8000).number("accepted"), Some(3));
}

#[test]
fn the_handshake_of_a_connection_that_a_syn_cookie_made_is_not_timed() {
    let Some(stage) = Stage::bare(|netns| netns.sysctl("net.ipv4.tcp_syncookies", "2")) else { return };
    let Stage { server, client, .. } = &stage;
    server.tell("l = listen('127.0.0.1', 8000)");
    client.tell("cs = [connect('127.0.0.1', 8000) for _ in range(8)]");
    server.tell("ss = [l.accept()[0] for _ in range(8)]");
    let ports: Vec<u16> = client.ask("[port(c) for c in cs]");
    let cookies = stage.netns.counter("SyncookiesRecv");
    let Seen { run, server, .. } = stage.stop();

    assert_eq!(cookies, 8, "connections that a cookie made");
    for port in ports {
        let served = run.server(port);
        assert_eq!(served.path(), format!("syn_received, established, accept by {server}"));
        // The kernel has an estimate, from a timestamp in which the cookie hid something.
        assert_eq!(served.number("handshake_ns"), None, "{served:?}");
        assert_eq!(served.0["listener"], run.listener(8000).0["socket"]);
    }
}

#[test]
fn a_flood_of_syns_makes_no_sockets_and_who_comes_through_it_is_told() {
    let prepare = |netns: &Netns| {
        netns.sysctl("net.ipv4.tcp_syncookies", "1");
        netns.sysctl("net.ipv4.tcp_max_syn_backlog", "8");
    };
    let Some(stage) = Stage::bare(prepare) else { return };
    if !stage.host.has(&["iptables"]) {
        return;
    }
    stage.netns.on_input_to("127.0.1.0/24", &["DROP"]);
    let Stage { server, client, .. } = &stage;
    server.tell("l = listen('127.0.0.1', 8000, backlog=8); from half_open import send_syn");
    server.tell("for nth in range(200): send_syn(f'127.0.1.{nth}', 4000, '127.0.0.1', 8000)");
    let flooded = stage.netns.counter("SyncookiesSent");
    let port = stage.connect();
    client.tell("c.sendall(b'made it'); c.close()");
    server.tell("read(s, 7); s.close()");
    let Seen { run, server, client } = stage.stop();

    assert!(flooded > 0, "the queue of half-open connections was full");
    assert_eq!(run.sockets.len(), 3, "the listener and both ends of the one connection: {:?}", run.sockets);
    assert_eq!(run.client(port).path(), format!("connect by {client}, established, close"));
    assert_eq!(run.server(port).path(), format!("syn_received, established, accept by {server}, close"));
    assert_eq!(run.server(port).bytes(), Some((7, 0)));
}

#[test]
fn two_clients_that_open_to_each_other_are_both_clients() {
    let Some(stage) = Stage::bare(|_| ()) else { return };
    if !stage.host.has(&["iptables"]) {
        return;
    }
    let Stage { server: one, client: other, netns, .. } = &stage;
    // Their first SYNs are lost, so that both wait when the next ones come.
    netns.on_input_to("127.0.0.1", &["DROP"]);
    for (actor, here, there) in [(one, 5000, 6000), (other, 6000, 5000)] {
        actor
            .tell(&format!("c = tcp('127.0.0.1'); c.bind(('127.0.0.1', {here})); c.setblocking(False); import select"));
        assert_eq!(actor.fail(&format!("c.connect(('127.0.0.1', {there}))")), "EINPROGRESS");
    }
    netns.let_in();
    for actor in [one, other] {
        actor.tell("select.select([], [c], []); assert c.getsockopt(SOL_SOCKET, SO_ERROR) == 0; c.setblocking(True)");
    }
    one.tell("c.sendall(b'hi'); c.close()");
    other.tell("read(c, 2); assert c.recv(1) == b''; c.close()");
    let Seen { run, server: one, client: other } = stage.stop();

    let (first, second) = (run.client(5000), run.client(6000));
    assert_eq!(first.path(), format!("bind by {one}, connect by {one}, established, close"));
    assert_eq!(second.path(), format!("bind by {other}, connect by {other}, established, close"));
    assert_eq!((first.bytes(), second.bytes()), (Some((0, 2)), Some((2, 0))));
    assert_eq!([first.ending(), second.ending()], ["by local, fin, then time_wait", "by peer, fin"]);
    assert_eq!(first.0["peer_socket"], second.0["socket"]);
    let crossed =
        [first, second].iter().any(|socket| run.states(socket).contains(&"syn_sent to syn_received".to_owned()));
    assert!(crossed, "the SYNs crossed: {:?} {:?}", run.states(first), run.states(second));
}

#[test]
fn a_socket_that_connects_to_itself_is_one_client() {
    let Some(stage) = Stage::bare(|_| ()) else { return };
    let actor = &stage.client;
    actor.tell("c = tcp('127.0.0.1'); c.bind(('127.0.0.1', 5000)); c.connect(('127.0.0.1', 5000))");
    actor.tell("c.sendall(b'echo'); read(c, 4); c.close()");
    let Seen { run, client: pid, .. } = stage.stop();

    let socket = run.client(5000);
    assert_eq!(socket.path(), format!("bind by {pid}, connect by {pid}, established, close"));
    assert_eq!((socket.bytes(), socket.ending()), (Some((4, 4)), "by local, fin, then time_wait".to_owned()));
    assert_eq!(run.states(socket)[..2], ["closed to syn_sent", "syn_sent to syn_received"]);
    assert_eq!((&socket.0["peer_socket"], run.sockets.len()), (&().into(), 1));
}

#[test]
fn a_process_that_is_killed_while_it_connects_gave_up() {
    let Some(stage) = Stage::bare(|_| ()) else { return };
    if !stage.host.has(&["iptables"]) {
        return;
    }
    stage.netns.on_input_to(NOWHERE, &["DROP"]);
    let victim = Actor::within(&stage.netns);
    let pid = victim.pid();
    victim.begin(&format!("connect('{NOWHERE}', 80)"));
    stage.shows(&["\"to\":\"syn_sent\""]);
    victim.kill();
    let Seen { run, .. } = stage.stop();

    let socket = run.only("to nowhere", 80, |socket| socket.peer_port() == Some(80));
    assert_eq!(socket.path(), format!("connect by {pid}, close"));
    assert_eq!((socket.pid(), socket.ending()), (Some(pid), "by local, aborted".to_owned()));
}

/// connect() to no address, which takes a connection apart.
const DISCONNECT: &str = "
import ctypes
def disconnect(s):
    assert ctypes.CDLL(None).connect(s.fileno(), pack('=H14x', AF_UNSPEC), 16) == 0";

#[test]
fn a_socket_that_is_disconnected_and_connects_again_goes_on_under_its_id() {
    let Some(stage) = Stage::new() else { return };
    let Stage { server, client, .. } = &stage;
    server.tell("m = listen('127.0.0.1', 8001)");
    client.tell(DISCONNECT);
    let first = stage.connect();
    client.tell("disconnect(c)");
    assert_eq!(server.fail("s.recv(1)"), "ECONNRESET");
    server.tell("s.close()");
    client.tell("c.connect(('127.0.0.1', 8001)); c.sendall(b'again')");
    server.tell("s, _ = m.accept(); read(s, 5)");
    let second: u16 = client.ask("port(c)");
    client.tell("c.close()");
    server.tell("s.close()");
    let Seen { run, client: pid, .. } = stage.stop();

    let socket = run.client(second);
    let once = format!("connect by {pid}, established, close");
    assert_eq!(socket.path(), format!("{once}, {once}"));
    assert_eq!(socket.ends(), format!("127.0.0.1:{second} to 127.0.0.1:8001"));
    assert_eq!((socket.ending().as_str(), socket.bytes()), ("by local, fin, then time_wait", Some((0, 5))));
    assert_eq!(run.server(first).ending(), "by peer, reset: ECONNRESET");
    assert_eq!(run.server(second).0["peer_socket"], socket.0["socket"]);
    assert_eq!(run.event(socket, "reset_sent").pid(), Some(pid));
}

#[test]
fn a_connect_that_is_given_up_by_a_disconnect_is_followed_by_one_that_is_made() {
    let Some(stage) = Stage::new() else { return };
    if !stage.host.has(&["iptables"]) {
        return;
    }
    stage.netns.on_input_to(NOWHERE, &["DROP"]);
    let Stage { server, client, .. } = &stage;
    client.tell(DISCONNECT);
    client.tell("c = tcp('127.0.0.1'); c.setblocking(False)");
    assert_eq!(client.fail(&format!("c.connect(('{NOWHERE}', 80))")), "EINPROGRESS");
    client.tell("disconnect(c); c.setblocking(True); c.connect(('127.0.0.1', 8000))");
    let port: u16 = client.ask("port(c)");
    client.tell("c.close()");
    server.tell("s, _ = l.accept(); assert s.recv(1) == b''; s.close()");
    let Seen { run, client: pid, .. } = stage.stop();

    let socket = run.client(port);
    assert_eq!(socket.path(), format!("connect by {pid}, close, connect by {pid}, established, close"));
    assert_eq!(socket.ending(), "by local, fin, then time_wait");
}

#[test]
fn a_client_that_becomes_a_listener_has_no_peer_and_no_error_any_more() {
    let Some(stage) = Stage::new() else { return };
    let Stage { server, client, .. } = &stage;
    client.tell(DISCONNECT);
    stage.connect();
    client.tell("disconnect(c); c.bind(('127.0.0.1', 8001)); c.listen(5)");
    server.tell("s.close(); k = connect('127.0.0.1', 8001)");
    client.tell("t, _ = c.accept(); c.close(); t.close()");
    server.tell("k.close()");
    let Seen { run, client: pid, .. } = stage.stop();

    let listener: &Socket = run.listener(8001);
    let connected = format!("connect by {pid}, established, close");
    assert_eq!(listener.path(), format!("{connected}, bind by {pid}, listen by {pid}, close"));
    assert_eq!(listener.ends(), "127.0.0.1:8001 to -");
    assert_eq!((listener.ending().as_str(), listener.number("accepted")), ("by local, closed", Some(1)));
}

#[test]
fn a_half_open_connection_is_no_socket_yet() {
    let Some(stage) = Stage::new() else { return };
    if !stage.host.has(&["iptables"]) {
        return;
    }
    stage.netns.on_input_to(NOWHERE, &["DROP"]);
    stage.server.tell(&format!("from half_open import send_syn; send_syn('{NOWHERE}', 4000, '127.0.0.1', 8000)"));
    wait_for("a SYN that came", || (stage.netns.counter("InSegs") > 0).then_some(()));
    let Seen { run, .. } = stage.stop();

    assert_eq!(run.sockets.len(), 1, "the listener: {:?}", run.sockets);
}
