//! Listeners and binds that are not plain.

use crate::support::{Netns, Seen, Stage, wait_for};

#[test]
fn a_backlog_that_overflows_is_counted_for_the_listener_it_was() {
    let Some(stage) = Stage::bare(|netns| netns.sysctl("net.ipv4.tcp_syncookies", "0")) else { return };
    let Stage { server, client, netns, .. } = &stage;
    server.tell("full, free = listen('127.0.0.1', 8000, backlog=1), listen('127.0.0.1', 8001)");
    client.tell("cs = [tcp('127.0.0.1') for _ in range(5)]; [c.setblocking(False) for c in cs]");
    client.tell("for c in cs: c.connect_ex(('127.0.0.1', 8000))");
    client.tell("other = connect('127.0.0.1', 8001)");
    wait_for("connections that were dropped", || (netns.counter("ListenOverflows") >= 3).then_some(()));
    // Those that wait to be let in give up: nothing more is dropped.
    client.tell("[c.close() for c in cs]");
    let dropped = netns.counter("ListenDrops");
    server.tell("full.close(); free.close()");
    let Seen { run, server, client } = stage.stop();

    let (full, free) = (run.listener(8000), run.listener(8001));
    assert_eq!((full.number("queue"), full.number("backlog")), (Some(2), Some(1)), "a backlog of 1 lets two wait");
    assert_eq!((full.number("dropped"), free.number("dropped")), (Some(dropped), Some(0)));
    assert_eq!((full.pid(), free.pid()), (Some(server), Some(server)));
    let asked = run.sockets_where(|socket| socket.role() == "client" && socket.peer_port() == Some(8000));
    let outside: Vec<_> = asked.iter().filter(|socket| !socket.path().contains("established")).collect();
    assert_eq!((asked.len(), outside.len()), (5, 3), "{asked:?}");
    for socket in outside {
        assert_eq!(socket.path(), format!("connect by {client}, close"));
        assert_eq!(socket.ending(), "by local, aborted");
    }
}

#[test]
fn many_clients_at_a_full_queue_leave_nothing_unexplained() {
    let Some(stage) = Stage::bare(|_| ()) else { return };
    let Stage { server, client, netns, .. } = &stage;
    server.tell("l = listen('127.0.0.1', 8000, backlog=4)");
    // They come from several threads at once, and go as soon as they are let in, or in a while.
    client.tell(
        "
import select, threading
def come():
    for _ in range(60):
        c = tcp('127.0.0.1'); c.setblocking(False)
        c.connect_ex(('127.0.0.1', 8000)); select.select([], [c], [], 0.002)
        try: c.send(b'x')
        except OSError: pass
        c.close()
threads = [threading.Thread(target=come) for _ in range(4)]
[thread.start() for thread in threads]",
    );
    server.tell(
        "
import select
def accept_some():
    for _ in range(40):
        if not select.select([l], [], [], 0.05)[0]: break
        l.accept()[0].close()
accept_some()",
    );
    client.tell("[thread.join() for thread in threads]");
    server.tell("l.close()");
    assert!(netns.counter("ListenOverflows") > 0, "the queue was full");
    let Seen { run, .. } = stage.stop();

    // `consistency` has checked that each that is complete has a `how`; here each of them is.
    for socket in &run.sockets {
        assert_eq!(socket.0["complete"], true, "{socket:?}");
        assert!(socket.0["close"]["by"].is_string() || socket.0["close"].is_null(), "{socket:?}");
    }
}

#[test]
fn the_address_that_was_bound_is_the_one_that_is_told() {
    let Some(stage) = Stage::bare(|_| ()) else { return };
    let actor = &stage.server;
    // Any port; a device; an address that is not this host's; none at all; one that connect() may choose.
    actor.tell("s = tcp('127.0.0.1'); s.bind(('127.0.0.1', 0)); s.listen()");
    let any: u16 = actor.ask("port(s)");
    actor.tell("s.close()");
    actor.tell("s = tcp('127.0.0.1'); s.setsockopt(SOL_SOCKET, SO_BINDTODEVICE, b'lo'); s.bind(('0.0.0.0', 8001)); s.listen(); s.close()");
    actor.tell(
        "s = tcp('127.0.0.1'); s.setsockopt(IPPROTO_IP, 19, 1); s.bind(('192.0.2.7', 8002)); s.listen(); s.close()",
    );
    actor.tell("s = tcp('127.0.0.1'); s.listen()");
    let unbound: u16 = actor.ask("port(s)");
    actor.tell("s.close()");
    actor.tell("l = listen('127.0.0.1', 8000); s = tcp('127.0.0.1'); s.setsockopt(IPPROTO_IP, 24, 1); s.bind(('127.0.0.2', 0))");
    actor.tell("s.connect(('127.0.0.1', 8000))");
    let late: u16 = actor.ask("port(s)");
    actor.tell("s.close()");
    let Seen { run, server: pid, .. } = stage.stop();

    for (port, address) in [(any, "127.0.0.1"), (8001, "0.0.0.0"), (8002, "192.0.2.7")] {
        let listener = run.listener(port);
        assert_eq!(listener.ends(), format!("{address}:{port} to -"));
        assert_eq!(listener.path(), format!("bind by {pid}, listen by {pid}, close"));
        assert_eq!(run.event(listener, "bind").0["local"]["port"], port);
    }
    let listener = run.listener(unbound);
    assert_eq!(
        [listener.path(), listener.ends()],
        [format!("listen by {pid}, close"), format!("0.0.0.0:{unbound} to -")]
    );
    assert_eq!(run.event(listener, "listen").0["local"]["port"], unbound);
    let asked = run.client(late);
    assert_eq!(asked.path(), format!("bind by {pid}, connect by {pid}, established, close"));
    assert_eq!(asked.ends(), format!("127.0.0.2:{late} to 127.0.0.1:8000"));
}

#[test]
fn a_transparent_listener_serves_an_address_that_is_not_the_hosts() {
    let route = |netns: &Netns| netns.ip(&["route", "add", "local", "192.0.2.0/24", "dev", "lo"]);
    let Some(stage) = Stage::bare(route) else { return };
    let Stage { server, client, .. } = &stage;
    server.tell("l = tcp('127.0.0.1'); l.setsockopt(IPPROTO_IP, 19, 1); l.bind(('0.0.0.0', 8000)); l.listen()");
    client.tell("c = connect('192.0.2.7', 8000)");
    server.tell("s, _ = l.accept()");
    let port: u16 = client.ask("port(c)");
    client.tell("c.close()");
    server.tell("s.close()");
    let Seen { run, server: pid, .. } = stage.stop();

    let served = run.server(port);
    assert_eq!(served.0["local"]["address"], "192.0.2.7", "what the client asked for");
    assert_eq!(served.path(), format!("syn_received, established, accept by {pid}, close"));
    assert_eq!(served.0["listener"], run.listener(8000).0["socket"]);
}

#[test]
fn ipv4_and_ipv6_listeners_of_one_port_are_not_confused() {
    let Some(stage) = Stage::bare(|_| ()) else { return };
    let Stage { server, client, .. } = &stage;
    server.tell("six = tcp('::'); six.setsockopt(IPPROTO_IPV6, IPV6_V6ONLY, 1); six.bind(('::', 8000)); six.listen()");
    server.tell("four = listen('0.0.0.0', 8000)");
    client.tell("a, b = connect('127.0.0.1', 8000), connect('::1', 8000)");
    server.tell("kept = [four.accept(), six.accept()]");
    let ports: [u16; 2] = client.ask("[port(a), port(b)]");
    let Seen { run, server: pid, .. } = stage.stop();

    let listener =
        |family: &str| run.only(family, 8000, |socket| socket.role() == "listener" && socket.0["family"] == family);
    assert_eq!([listener("ipv4").ends(), listener("ipv6").ends()], ["0.0.0.0:8000 to -", "[::]:8000 to -"]);
    for (port, family) in ports.into_iter().zip(["ipv4", "ipv6"]) {
        let served = run.server(port);
        assert_eq!((&served.0["listener"], &served.0["family"]), (&listener(family).0["socket"], &family.into()));
        assert_eq!(served.path(), format!("syn_received, established, accept by {pid}"));
        assert_eq!(listener(family).number("accepted"), Some(1));
    }
}

#[test]
fn an_accept_that_waits_for_the_first_bytes_is_told_when_it_happens() {
    let Some(stage) = Stage::new() else { return };
    let Stage { server, client, .. } = &stage;
    server.tell("l.setsockopt(IPPROTO_TCP, TCP_DEFER_ACCEPT, 30)");
    client.tell("c = connect('127.0.0.1', 8000)");
    let port: u16 = client.ask("port(c)");
    client.tell("c.sendall(b'now')");
    server.tell("s, _ = l.accept(); read(s, 3); s.close()");
    client.tell("assert c.recv(1) == b''; c.close()");
    let seen = stage.stop();

    let served = seen.run.server(port);
    assert_eq!(served.path(), format!("syn_received, established, accept by {}, close", seen.server));
    assert_eq!(seen.endings(port), ["by peer, fin", "by local, fin, then time_wait"]);
    assert!(
        seen.run.client(port).time_of("established") < served.time_of("syn_received"),
        "it began with the first bytes"
    );
}
