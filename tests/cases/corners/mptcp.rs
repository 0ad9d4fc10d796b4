//! MPTCP beyond the order in which things usually go: the process holds one socket, and what carries it are others.

use crate::support::{Actor, Host, Netns, Run, Trace, wait_for};

/// A listener `l` of MPTCP on port 8000, a client, and a trace of both.
struct Multipath {
    trace: Trace,
    server: Actor,
    client: Actor,
    netns: Netns,
    host: Host,
}

impl Multipath {
    fn new() -> Option<Self> {
        let host = Host::shared()?;
        let netns = host.netns();
        let server = Actor::within(&netns);
        if !host.kernel_has("MPTCP", server.ask("os.path.exists('/proc/sys/net/mptcp/enabled')")) {
            return None;
        }
        netns.sysctl("net.mptcp.enabled", "1");
        let trace = host.trace(&["--view", "states", "--netns", &netns.path().display().to_string()]);
        let client = Actor::within(&netns);
        server.tell("l = listen('127.0.0.1', 8000, protocol=MPTCP)");
        Some(Self { trace, server, client, netns, host })
    }

    /// A connection, `c` and `s`; returns the client's port.
    fn connect(&self) -> u16 {
        self.client.tell("c = connect('127.0.0.1', 8000, MPTCP)");
        self.server.tell("s, _ = l.accept()");
        self.client.ask("port(c)")
    }

    /// What was received and sent, where this kernel counts it.
    fn counted(&self, bytes: (u64, u64)) -> Option<(u64, u64)> {
        self.client.ask::<bool>("counts_mptcp_bytes(tcp('127.0.0.1', MPTCP))").then_some(bytes)
    }
}

fn endings(run: &Run, port: u16) -> [String; 2] {
    let ending = |ending: String| ending.replace(", then perhaps time_wait", "");
    [ending(run.client(port).ending()), ending(run.server(port).ending())]
}

#[test]
fn an_mptcp_server_that_closes_with_unread_bytes_resets() {
    let Some(multipath) = Multipath::new() else { return };
    let Multipath { server, client, .. } = &multipath;
    let port = multipath.connect();
    client.tell("c.sendall(b'unheard')");
    server.tell("s.recv(1, MSG_PEEK); s.close()");
    assert_eq!(client.fail("c.recv(1)"), "ECONNRESET");
    client.tell("c.close()");
    let received = multipath.counted((7, 0));
    let run = multipath.trace.stop();

    assert_eq!(endings(&run, port), ["by peer, reset: ECONNRESET", "by local, reset"]);
    assert_eq!(run.server(port).bytes(), received, "though nobody read it");
}

#[test]
fn an_mptcp_server_that_closes_after_its_peer_with_unread_bytes_resets() {
    let Some(multipath) = Multipath::new() else { return };
    let Multipath { server, client, .. } = &multipath;
    let port = multipath.connect();
    client.tell("c.sendall(b'unheard'); c.shutdown(SHUT_WR)");
    server.tell("import select");
    wait_for("the end of what the client sends", || {
        server.tell("poll = select.poll(); poll.register(s, select.POLLRDHUP)");
        server.ask::<bool>("bool(poll.poll(0))").then_some(())
    });
    server.tell("s.close()");
    client.tell("c.close()");
    let run = multipath.trace.stop();

    let served = run.server(port);
    assert_eq!((served.0["close"]["by"].as_str(), served.0["close"]["how"].as_str()), (Some("peer"), Some("reset")));
}

#[test]
fn an_mptcp_listener_that_closes_resets_who_waits() {
    let Some(multipath) = Multipath::new() else { return };
    let Multipath { server, client, .. } = &multipath;
    client.tell("c = connect('127.0.0.1', 8000, MPTCP); c.sendall(b'hello?')");
    let port: u16 = client.ask("port(c)");
    server.tell("l.close()");
    client.tell("c.close()");
    let run = multipath.trace.stop();

    let listener = run.listener(8000);
    assert_eq!(listener.ending(), "by local, closed");
    assert_eq!((listener.number("backlog"), listener.number("backlog_given")), (Some(16), Some(16)));
    assert_eq!(listener.number("accepted"), Some(0));
    let waited = run.server(port);
    assert_eq!((waited.path().as_str(), waited.pid()), ("syn_received, established, close", None));
    assert_eq!(waited.ending(), "by local, unaccepted");
    assert_eq!(waited.0["listener"], listener.0["socket"]);
}

#[test]
fn an_mptcp_listener_counts_what_waits_and_what_it_dropped() {
    let Some(multipath) = Multipath::new() else { return };
    let Multipath { server, client, netns, .. } = &multipath;
    netns.sysctl("net.ipv4.tcp_syncookies", "0");
    server.tell("l.listen(1)");
    client.tell("cs = [tcp('127.0.0.1', MPTCP) for _ in range(4)]; [c.setblocking(False) for c in cs]");
    client.tell("for c in cs: c.connect_ex(('127.0.0.1', 8000))");
    let dropped = wait_for("a full queue", || {
        let dropped = netns.counter("ListenDrops");
        (dropped > 0).then_some(dropped)
    });
    server.tell("l.close()");
    let after = netns.counter("ListenDrops");
    let run = multipath.trace.stop();

    let listener = run.listener(8000);
    assert_eq!((listener.number("backlog"), listener.number("backlog_given")), (Some(1), Some(1)));
    assert_eq!(listener.number("queue"), Some(2), "a backlog of 1 lets two wait");
    let told = listener.number("dropped").expect("it is known");
    assert!((dropped..=after).contains(&told), "{told} of {dropped} to {after}");
}

#[test]
fn segments_that_a_subflow_sends_again_are_told_of_its_mptcp_socket() {
    let Some(multipath) = Multipath::new() else { return };
    let Multipath { server, client, netns, host, .. } = &multipath;
    if !host.has(&["iptables"]) {
        return;
    }
    let port = multipath.connect();
    client.tell("c.sendall(b'heard')");
    server.tell("read(s, 5)");
    netns.on_input_to("127.0.0.1", &["DROP"]);
    client.tell("c.sendall(b'lost at first')");
    multipath.trace.stdout().wait_for("a retransmit", |lines| {
        lines.iter().any(|line| line.contains("\"event\":\"retransmit\"")).then_some(())
    });
    netns.let_in();
    server.tell("read(s, 13)");
    let run = multipath.trace.stop();

    let asked = run.client(port);
    assert!(run.events_of(asked).iter().any(|event| event.name() == "retransmit"), "{:?}", run.events_of(asked));
    assert!(asked.0["retransmits"].is_null(), "each subflow counts its own: {asked:?}");
    assert_eq!(run.sockets.len(), 3, "no subflows: {:?}", run.sockets);
}

#[test]
fn a_second_subflow_comes_and_goes_within_the_connection() {
    let Some(multipath) = Multipath::new() else { return };
    let Multipath { server, client, netns, .. } = &multipath;
    for arguments in [
        &["addr", "add", "10.77.0.1/32", "dev", "lo"][..],
        &["addr", "add", "10.77.0.2/32", "dev", "lo"],
        &["mptcp", "limits", "set", "subflow", "2", "add_addr_accepted", "2"],
        &["mptcp", "endpoint", "add", "10.77.0.2", "dev", "lo", "subflow"],
    ] {
        netns.ip(arguments);
    }
    server.tell("m = listen('10.77.0.1', 8001, protocol=MPTCP)");
    client.tell("c = connect('10.77.0.1', 8001, MPTCP); c.sendall(b'first')");
    server.tell("s, _ = m.accept(); read(s, 5); s.sendall(b'x')");
    client.tell("read(c, 1)");
    let subflows = || netns.counter("MPJoinAckRx");
    wait_for("a second subflow", || (subflows() > 0).then_some(()));
    let port: u16 = client.ask("port(c)");
    // The one that joined goes, with a reset; the connection stays.
    netns.ip(&["mptcp", "endpoint", "del", "id", "1"]);
    wait_for("one subflow again", || (netns.counter("RmSubflow") > 0).then_some(()));
    client.tell("c.sendall(b'second'); c.close()");
    server.tell("read(s, 6); assert s.recv(1) == b''; s.close(); m.close()");
    let bytes = [multipath.counted((1, 11)), multipath.counted((11, 1))];
    let run = multipath.trace.stop();

    assert_eq!(run.sockets.len(), 4, "two listeners and both ends: {:?}", run.sockets);
    assert_eq!(endings(&run, port), ["by local, fin", "by peer, fin"]);
    assert_eq!([run.client(port).bytes(), run.server(port).bytes()], bytes);
    assert_eq!(run.client(port).ends(), format!("10.77.0.1:{port} to 10.77.0.1:8001"), "of the first subflow");
}
