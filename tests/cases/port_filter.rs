//! Of one port alone the kernel tells what it tells of all ports, and nothing of the others.

use std::collections::BTreeMap;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::support::{Actor, Ending, Event, Host, Load, Netns, Opens, Run, Socket, Trace, scaled, sockwatch};

/// A run that follows one port, and beside it one that is told of all and shows that port.
struct Both {
    follow: Trace,
    trace: Trace,
}

impl Both {
    fn watch(netns: &Netns, port: u16) -> Self {
        Self::watch_in("states", netns, port)
    }

    fn watch_in(view: &str, netns: &Netns, port: u16) -> Self {
        let (path, port) = (netns.path().display().to_string(), port.to_string());
        let common = ["--json", "--view", view, "--netns", &path];
        let trace = Trace::ready(sockwatch(&["trace", "--port", &port]).args(common));
        let follow = Trace::ready(sockwatch(&["follow", &port]).args(common));
        Self { follow, trace }
    }

    /// Ends both. They told the same; what was followed is returned.
    fn told_the_same(self, sockets: usize) -> Run {
        self.told_the_same_but(sockets, &[])
    }

    /// As above, but for these fields of the sockets' lines.
    fn told_the_same_but(self, sockets: usize, fields: &[&str]) -> Run {
        let (follow, trace) = self.stop();
        assert_eq!(trace.sockets.len(), sockets, "{:#?}", trace.sockets);
        let (followed, traced) = (lives(&follow, fields), lives(&trace, fields));
        assert_eq!(followed.keys().collect::<Vec<_>>(), traced.keys().collect::<Vec<_>>(), "these are shown");
        for (socket, life) in &traced {
            assert_eq!(&followed[socket], life, "{socket}");
        }
        follow
    }

    /// Waits until both have shown how so many sockets ended.
    fn show_ends(&self, count: usize) {
        for trace in [&self.follow, &self.trace] {
            trace.stdout().wait_for("the ends of all sockets", |lines| {
                (lines.iter().filter(|line| line.starts_with("{\"type\":\"socket\"")).count() >= count).then_some(())
            });
        }
    }

    fn stop(self) -> (Run, Run) {
        let (trace, follow) = (self.trace.stop(), self.follow.stop());
        (follow, trace)
    }
}

fn events(run: &Run) -> u64 {
    run.summary["events"].as_u64().expect("a count")
}

/// What is told of each socket, but for ids, times and some fields of its line. A socket is named by its path and ends.
fn lives(run: &Run, without: &[&str]) -> BTreeMap<String, Value> {
    let cookies: BTreeMap<_, _> = run.sockets.iter().map(|socket| (socket.id(), socket.cookie())).collect();
    let cookie = |id: &Value| id.as_str().and_then(|id| *cookies.get(id)?);
    let mut lives = BTreeMap::new();
    for socket in &run.sockets {
        let mut events = run.events_of(socket);
        // What was kept is told late.
        events.sort_by_key(|event| event.0["time"].as_str());
        let told = |states: bool| -> Vec<Value> {
            let wanted = events.iter().filter(|event| (event.name() == "state") == states);
            let of = |event: &Event, field: &str| event.0.get(field).cloned().unwrap_or_default();
            let words = |event: &&Event| {
                let [name, from, to, error] = ["event", "from", "to", "error"].map(|field| of(event, field));
                json!([name, from, to, event.pid(), event.fd(), error])
            };
            wanted.copied().map(|event| words(&event)).collect()
        };
        let mut life = socket.anywhere();
        life["listener"] = cookie(&socket.0["listener"]).into();
        life["peer_socket"] = cookie(&socket.0["peer_socket"]).into();
        without.iter().for_each(|field| life[*field] = Value::Null);
        let timed = ["handshake_ns", "accept_queue_ns", "connect_ns", "lifetime_ns"];
        let known: Vec<_> = timed.iter().filter(|field| !socket.0[**field].is_null()).collect();
        let name = format!("{} {} {} {:?}", socket.role(), socket.ends(), socket.path(), socket.cookie());
        // The two are not told at the same time: what two processors do at once may be in another order.
        let told = json!({"line": life, "timed": known, "states": told(true), "others": told(false)});
        assert!(lives.insert(name, told).is_none(), "{socket:?}");
    }
    lives
}

/// A server and clients in a namespace, where ports are given from 30000 on.
fn cast(host: &Host) -> (Netns, Actor, Actor) {
    let netns = host.netns();
    netns.sysctl("net.ipv4.ip_local_port_range", "30000 30099");
    let (server, client) = (Actor::within(&netns), Actor::within(&netns));
    (netns, server, client)
}

fn paths(run: &Run, role: &str) -> Vec<String> {
    run.sockets_where(|socket| socket.role() == role).iter().map(|socket| socket.path()).collect()
}

#[test]
fn of_a_load_on_other_ports_nothing_is_told() {
    let Some(host) = Host::alone() else { return };
    let netns = host.netns();
    // Below the ports that the load is given.
    let follow = Trace::ready(&mut sockwatch(&["follow", "80", "--json"]));
    let connections = scaled(10_000);
    for ending in [Ending::Fin, Ending::Reset] {
        let opens = Load { connections, pairs: 2, ending }.run(&netns);
        assert_eq!(opens, Opens { active: connections.into(), passive: connections.into() });
    }
    let run = follow.stop();

    assert_eq!(run.sockets.len(), 0, "{:?}", run.sockets);
    assert!(events(&run) < connections.into(), "no more than the programs that were run on this host: {}", run.summary);
}

#[test]
fn of_a_load_on_ports_that_may_be_the_one_nothing_is_lost() {
    let Some(host) = Host::alone() else { return };
    let netns = host.netns();
    let follow = Trace::ready(&mut sockwatch(&["follow", "20000", "--json"]));
    let connections = scaled(20_000);
    let opens = Load { connections, pairs: 2, ending: Ending::Fin }.run(&netns);
    assert_eq!(opens, Opens { active: connections.into(), passive: connections.into() });
    let run = follow.stop();

    assert_eq!(run.summary["lost"], 0);
    for socket in &run.sockets {
        assert!(socket.0["complete"] == true && socket.0["origin"] == "traced", "{socket:?}");
        assert!([socket.local_port(), socket.peer_port()].contains(&Some(20_000)), "{socket:?}");
    }
}

#[test]
fn a_server_and_its_clients_are_told_however_they_end() {
    let Some(host) = Host::shared() else { return };
    let (netns, server, client) = cast(&host);
    let both = Both::watch(&netns, 7100);
    server.tell("l, other = listen('127.0.0.1', 7100), listen('127.0.0.1', 7200)");
    client.tell("a, b = connect('127.0.0.1', 7100), connect('127.0.0.1', 7100)");
    client.tell("elsewhere = connect('127.0.0.1', 7200)");
    let killed = Actor::within(&netns);
    killed.tell("c = connect('127.0.0.1', 7100)");
    server.tell("sa, sb, sc, so = l.accept()[0], l.accept()[0], l.accept()[0], other.accept()[0]");
    client.tell("a.sendall(b'fin'); a.close(); reset(b); elsewhere.close()");
    killed.kill();
    server.tell("read(sa, 3); sa.close(); assert sc.recv(1) == b''; sb.close(); sc.close(); so.close()");
    client.tell("late = connect('127.0.0.1', 7100)");
    server.tell("l.close(); other.close()");
    client.fail("late.recv(1)");
    client.tell("late.close()");
    let run = both.told_the_same(9);

    assert_eq!(paths(&run, "listener"), [format!("bind by {0}, listen by {0}, close", server.pid())]);
    let endings: Vec<_> = run.sockets_where(|socket| socket.role() == "client").iter().map(|s| s.ending()).collect();
    assert!(endings.iter().any(|ending| ending.contains("reset")), "{endings:?}");
}

#[test]
fn a_listener_that_was_given_the_port_is_told_from_its_bind() {
    let Some(host) = Host::shared() else { return };
    let (netns, server, client) = cast(&host);
    netns.sysctl("net.ipv4.ip_local_port_range", "30000 30000");
    let both = Both::watch(&netns, 30_000);
    server.tell("l = tcp('127.0.0.1'); l.bind(('127.0.0.1', 0)); l.listen(5)");
    assert_eq!(server.ask::<u16>("port(l)"), 30_000);
    // One that listens without a bind is given the port when it listens.
    server.tell("l6 = tcp('::1'); l6.setsockopt(IPPROTO_IPV6, IPV6_V6ONLY, 1); l6.listen(5)");
    assert_eq!(server.ask::<u16>("port(l6)"), 30_000);
    netns.sysctl("net.ipv4.ip_local_port_range", "30000 30099");
    client.tell("a, b = connect('127.0.0.1', 30000), connect('::1', 30000)");
    server.tell("s, t = l.accept()[0], l6.accept()[0]; s.close(); t.close(); l.close(); l6.close()");
    client.tell("a.close(); b.close()");
    let run = both.told_the_same(6);

    let listened = format!("listen by {}, close", server.pid());
    let mut listeners = paths(&run, "listener");
    listeners.sort();
    assert_eq!(listeners, [format!("bind by {}, {listened}", server.pid()), listened]);
}

#[test]
fn a_client_that_was_bound_to_another_port_is_told_from_its_bind() {
    let Some(host) = Host::shared() else { return };
    let (netns, server, client) = cast(&host);
    let both = Both::watch(&netns, 7100);
    server.tell("l, other = listen('127.0.0.1', 7100), listen('127.0.0.1', 7200)");
    client.tell("a = tcp('127.0.0.1'); a.bind(('127.0.0.5', 7300)); a.connect(('127.0.0.1', 7100))");
    client.tell("b = tcp('127.0.0.1'); b.bind(('127.0.0.5', 0)); b.connect(('127.0.0.1', 7100))");
    // IP_BIND_ADDRESS_NO_PORT
    client.tell("c = tcp('127.0.0.1'); c.setsockopt(0, 24, 1); c.bind(('127.0.0.5', 0))");
    client.tell("c.connect(('127.0.0.1', 7100))");
    // Not to the port, and one that goes nowhere.
    client.tell("d = tcp('127.0.0.1'); d.bind(('127.0.0.5', 7400)); d.connect(('127.0.0.1', 7200))");
    client.tell("e = tcp('127.0.0.1'); e.bind(('127.0.0.5', 7500)); e.close()");
    server.tell("held = [l.accept()[0] for _ in range(3)]");
    client.tell("[s.close() for s in (a, b, c, d)]");
    server.tell("[s.close() for s in held]; l.close(); other.close()");
    let run = both.told_the_same(7);

    let path = format!("bind by {0}, connect by {0}, established, close", client.pid());
    assert_eq!(paths(&run, "client"), [path.clone(), path.clone(), path]);
}

#[test]
fn a_client_that_is_bound_to_the_port_is_told_with_its_server() {
    let Some(host) = Host::shared() else { return };
    let (netns, server, client) = cast(&host);
    let both = Both::watch(&netns, 7100);
    server.tell("l = listen('127.0.0.1', 7200)");
    client.tell("a = tcp('127.0.0.1'); a.bind(('127.0.0.5', 7100)); a.connect(('127.0.0.1', 7200))");
    client.tell("b = connect('127.0.0.1', 7200)");
    server.tell("s, t = l.accept()[0], l.accept()[0]");
    client.tell("a.close(); b.close()");
    server.tell("s.close(); t.close(); l.close()");
    let run = both.told_the_same(2);

    assert_eq!(paths(&run, "client"), [format!("bind by {0}, connect by {0}, established, close", client.pid())]);
    assert_eq!(paths(&run, "server"), [format!("syn_received, established, accept by {}, close", server.pid())]);
}

#[test]
fn a_client_that_was_given_the_port_is_told_from_its_connect() {
    let Some(host) = Host::shared() else { return };
    let (netns, server, client) = cast(&host);
    netns.sysctl("net.ipv4.ip_local_port_range", "30000 30000");
    // Not its states, see below.
    let both = Both::watch_in("path", &netns, 30_000);
    client.tell("a = tcp('127.0.0.1')");
    assert_eq!(client.fail("a.connect(('127.0.0.1', 7199))"), "ECONNREFUSED");
    client.tell("a.close()");
    server.tell("l = listen('127.0.0.1', 7200)");
    client.tell("b, c = connect('127.0.0.1', 7200), tcp('127.0.0.1')");
    // That was the last one.
    assert_eq!(client.fail("c.connect(('127.0.0.1', 7200))"), "EADDRNOTAVAIL");
    netns.sysctl("net.ipv4.ip_local_port_range", "30000 30001");
    client.tell("d = connect('127.0.0.1', 7200)");
    server.tell("s, t = l.accept()[0], l.accept()[0]");
    client.tell("b.close(); c.close(); d.close()");
    server.tell("s.close(); t.close()");
    let run = both.told_the_same(3);

    let connect = format!("connect by {}", client.pid());
    let mut clients = paths(&run, "client");
    clients.sort();
    assert_eq!(clients, [format!("{connect}, close"), format!("{connect}, established, close")]);
}

#[test]
fn a_client_that_was_given_the_port_and_is_not_answered_is_told() {
    let Some(host) = Host::shared() else { return };
    if !host.has(&["iptables"]) {
        return;
    }
    let (netns, _, client) = cast(&host);
    netns.on_input_to("127.0.0.9", &["DROP"]);
    netns.sysctl("net.ipv4.ip_local_port_range", "30000 30000");
    // Not its states, see below.
    let both = Both::watch_in("path", &netns, 30_000);
    client.tell("c = tcp('127.0.0.1'); c.setblocking(False)");
    assert_eq!(client.fail("c.connect(('127.0.0.9', 80))"), "EINPROGRESS");
    // The SYN is sent again each second, and the two are not ended at once.
    let run = both.told_the_same_but(1, &["retransmits"]);

    let socket = &run.sockets[0];
    assert_eq!((socket.path(), socket.ending()), (format!("connect by {}", client.pid()), "open".to_owned()));
    assert_eq!(socket.0["state"], "syn_sent");
}

#[test]
fn a_client_that_is_refused_is_told_whatever_it_tries_before_it_succeeds() {
    let Some(host) = Host::shared() else { return };
    let (netns, server, client) = cast(&host);
    // Not its states: a change is shown only if the socket has to do with the port when it is told.
    let both = Both::watch_in("path", &netns, 7100);
    client.tell("c = tcp('127.0.0.1')");
    assert_eq!(client.fail("c.connect(('127.0.0.1', 7100))"), "ECONNREFUSED");
    // To nowhere at all, to a port that refuses, and again to nowhere.
    assert_eq!(client.fail("c.connect(('192.0.2.1', 7200))"), "ENETUNREACH");
    assert_eq!(client.fail("c.connect(('127.0.0.1', 7200))"), "ECONNREFUSED");
    assert_eq!(client.fail("c.connect(('192.0.2.1', 7200))"), "ENETUNREACH");
    server.tell("l = listen('127.0.0.1', 7100)");
    client.tell("c.connect(('127.0.0.1', 7100))");
    server.tell("s, _ = l.accept()");
    client.tell("c.close()");
    server.tell("s.close(); l.close()");
    let run = both.told_the_same(3);

    let (connect, nowhere) =
        (format!("connect by {}", client.pid()), format!("connect by {}: ENETUNREACH", client.pid()));
    let refused = format!("{connect}, close");
    let path = format!("{refused}, {nowhere}, {refused}, {nowhere}, {connect}, established, close");
    assert_eq!(paths(&run, "client"), [path]);
}

#[test]
fn a_socket_that_could_not_be_bound_to_the_port_is_told_wherever_it_connects() {
    let Some(host) = Host::shared() else { return };
    let (netns, server, client) = cast(&host);
    let both = Both::watch(&netns, 7100);
    server.tell("l, other = listen('127.0.0.1', 7100), listen('127.0.0.1', 7200)");
    client.tell("c = tcp('127.0.0.1')");
    assert_eq!(client.fail("c.bind(('127.0.0.1', 7100))"), "EADDRINUSE");
    assert_eq!(client.fail("c.connect(('192.0.2.1', 7200))"), "ENETUNREACH");
    client.tell("c.connect(('127.0.0.1', 7200))");
    server.tell("s, _ = other.accept()");
    client.tell("c.close()");
    server.tell("s.close(); l.close(); other.close()");
    let run = both.told_the_same(2);

    let pid = client.pid();
    let path =
        format!("bind by {pid}: EADDRINUSE, connect by {pid}: ENETUNREACH, connect by {pid}, established, close");
    assert_eq!(paths(&run, "client"), [path]);
}

#[test]
fn a_connect_to_the_port_that_fails_before_a_syn_is_told() {
    let Some(host) = Host::shared() else { return };
    let (netns, server, client) = cast(&host);
    let both = Both::watch(&netns, 7100);
    server.tell("l = listen('127.0.0.1', 7100)");
    client.tell("a, b = tcp('127.0.0.1'), tcp('127.0.0.1')");
    assert_eq!(client.fail("a.connect(('192.0.2.1', 7100))"), "ENETUNREACH");
    client.tell("a.close()");
    // To another port first.
    assert_eq!(client.fail("b.connect(('192.0.2.1', 7200))"), "ENETUNREACH");
    client.tell("b.connect(('127.0.0.1', 7100))");
    server.tell("s, _ = l.accept()");
    client.tell("b.close()");
    server.tell("s.close(); l.close()");
    let run = both.told_the_same(4);

    let pid = client.pid();
    let mut clients = paths(&run, "client");
    clients.sort();
    let failed = format!("connect by {pid}: ENETUNREACH");
    assert_eq!(clients, [failed.clone(), format!("{failed}, connect by {pid}, established, close")]);
}

#[test]
fn a_bind_to_the_port_that_fails_is_told_with_what_the_socket_does_next() {
    let Some(host) = Host::shared() else { return };
    let (netns, server, client) = cast(&host);
    let late = Actor::within(&netns);
    let both = Both::watch(&netns, 7100);
    server.tell("l = listen('127.0.0.1', 7100)");
    late.tell("l = tcp('127.0.0.1')");
    assert_eq!(late.fail("l.bind(('127.0.0.1', 7100))"), "EADDRINUSE");
    late.tell("l.bind(('127.0.0.1', 7101)); l.listen(5)");
    client.tell("c = connect('127.0.0.1', 7101)");
    late.tell("s, _ = l.accept()");
    client.tell("c.close()");
    late.tell("s.close(); l.close()");
    server.tell("l.close()");
    let run = both.told_the_same(2);

    let pid = late.pid();
    let path = format!("bind by {pid}: EADDRINUSE, bind by {pid}, listen by {pid}, close");
    assert!(paths(&run, "listener").contains(&path), "{:?}", run.sockets);
}

#[test]
fn a_server_that_tries_other_ports_first_is_told_from_its_first_try() {
    let Some(host) = Host::shared() else { return };
    let (netns, server, late) = cast(&host);
    let both = Both::watch(&netns, 7103);
    server.tell("held = [listen('127.0.0.1', port) for port in (7100, 7101, 7102)]");
    late.tell("l = tcp('127.0.0.1')");
    for port in 7100..7103 {
        assert_eq!(late.fail(&format!("l.bind(('127.0.0.1', {port}))")), "EADDRINUSE");
    }
    late.tell("l.bind(('127.0.0.1', 7103)); l.listen(5); l.close()");
    server.tell("[l.close() for l in held]");
    let run = both.told_the_same(1);

    let (pid, failed) = (late.pid(), format!("bind by {}: EADDRINUSE", late.pid()));
    assert_eq!(run.sockets[0].path(), format!("{failed}, {failed}, {failed}, bind by {pid}, listen by {pid}, close"));
}

#[test]
fn a_socket_that_tries_more_ports_than_are_kept_is_not_said_to_be_whole() {
    let Some(host) = Host::shared() else { return };
    let (netns, server, late) = cast(&host);
    let both = Both::watch(&netns, 7120);
    server.tell("held = [listen('127.0.0.1', port) for port in range(7100, 7120)]");
    late.tell("l = tcp('127.0.0.1')");
    for port in 7100..7120 {
        assert_eq!(late.fail(&format!("l.bind(('127.0.0.1', {port}))")), "EADDRINUSE");
    }
    late.tell("l.bind(('127.0.0.1', 7120)); l.listen(5); l.close()");
    let follow = both.follow.stop_with(3);

    assert_eq!((&follow.summary["lost"], &follow.summary["complete"]), (&json!(0), &json!(false)));
    let socket = follow.listener(7120);
    assert_eq!((&socket.0["complete"], &socket.0["origin"]), (&json!(false), &json!("snapshot")));
    let pid = late.pid();
    assert!(socket.path().ends_with(&format!("bind by {pid}: EADDRINUSE, bind by {pid}, listen by {pid}, close")));
}

#[test]
fn a_socket_that_was_connected_elsewhere_before_is_not_said_to_be_whole() {
    let Some(host) = Host::shared() else { return };
    let (netns, server, client) = cast(&host);
    let both = Both::watch(&netns, 7100);
    server.tell("l = listen('127.0.0.1', 7100)");
    client.tell("c = tcp('127.0.0.1')");
    assert_eq!(client.fail("c.connect(('127.0.0.1', 7200))"), "ECONNREFUSED");
    client.tell("c.connect(('127.0.0.1', 7100))");
    server.tell("s, _ = l.accept()");
    client.tell("c.close()");
    server.tell("s.close(); l.close()");
    let (follow, trace) = (both.follow.stop_with(3), both.trace.stop());

    let client = client.pid();
    let whole = trace.only("the client", 7100, |socket| socket.role() == "client");
    assert_eq!(whole.path(), format!("connect by {client}, close, connect by {client}, established, close"));
    let part = follow.only("the client", 7100, |socket| socket.role() == "client");
    assert_eq!(part.path(), format!("connect by {client}, established, close"));
    assert_eq!((&part.0["complete"], &part.0["origin"]), (&json!(false), &json!("snapshot")));
    assert_eq!((part.ends(), part.ending(), part.bytes()), (whole.ends(), whole.ending(), whole.bytes()));
    assert!(follow.states(part).iter().all(|change| change != "closed to closed"), "{:?}", follow.states(part));
    for role in ["listener", "server"] {
        assert!(follow.sockets_where(|socket| socket.role() == role)[0].0["complete"] == true);
    }
}

#[test]
fn a_listener_that_is_shut_down_and_listens_again_is_one_socket() {
    let Some(host) = Host::shared() else { return };
    let (netns, server, client) = cast(&host);
    let both = Both::watch(&netns, 7100);
    server.tell("l = listen('127.0.0.1', 7100)");
    client.tell("a = connect('127.0.0.1', 7100)");
    server.tell("s, _ = l.accept(); l.shutdown(SHUT_RDWR)");
    assert_eq!(client.fail("connect('127.0.0.1', 7100)"), "ECONNREFUSED");
    client.tell("import gc; gc.collect()");
    server.tell("l.listen(7)");
    client.tell("b = connect('127.0.0.1', 7100)");
    server.tell("t, _ = l.accept()");
    client.tell("a.close(); b.close()");
    server.tell("s.close(); t.close(); l.close()");
    let run = both.told_the_same(6);

    let pid = server.pid();
    let path = format!("bind by {pid}, listen by {pid}, close, listen by {pid}, close");
    assert_eq!(paths(&run, "listener"), [path]);
}

#[test]
fn a_connection_that_a_forked_child_accepts_is_told() {
    let Some(host) = Host::shared() else { return };
    let (netns, server, client) = cast(&host);
    let both = Both::watch(&netns, 7100);
    server.tell("l = listen('127.0.0.1', 7100); child = Child(globals())");
    client.tell("c = connect('127.0.0.1', 7100)");
    server.tell("child.ask('s, _ = l.accept()')");
    client.tell("c.sendall(b'hello'); c.close()");
    server.tell("child.ask('read(s, 5); s.close(); l.close()'); l.close()");
    let child: u32 = server.ask("child.pid");
    let run = both.told_the_same(3);

    assert_eq!(paths(&run, "server"), [format!("syn_received, established, accept by {child}, close")]);
}

#[test]
fn of_many_connections_each_is_told() {
    let Some(host) = Host::alone() else { return };
    let (netns, server, client) = cast(&host);
    // At last the clients' ports are among those that may be the one.
    for (port, clients) in [(7100, "32000 39999"), (31_000, "30000 39999")] {
        netns.sysctl("net.ipv4.ip_local_port_range", clients);
        let both = Both::watch(&netns, port);
        // Room for all of them: what finds none comes again.
        server.tell(&format!("l = listen('127.0.0.1', {port}, 400)"));
        client.begin(&format!("[connect('127.0.0.1', {port}).close() for _ in range(200)]"));
        server.tell("[l.accept()[0].close() for _ in range(200)]");
        client.finish::<Value>();
        server.tell("l.close()");
        both.show_ends(401);
        both.told_the_same(401);
    }
}

#[test]
fn ipv6_and_ipv4_on_an_ipv6_listener_are_told() {
    let Some(host) = Host::shared() else { return };
    let (netns, server, client) = cast(&host);
    let both = Both::watch(&netns, 7100);
    server.tell("l = listen('::', 7100)");
    client.tell("a, b = connect('::1', 7100), connect('127.0.0.1', 7100)");
    client.tell("c = tcp('::1'); c.connect(('::ffff:127.0.0.1', 7100))");
    server.tell("held = [l.accept()[0] for _ in range(3)]");
    client.tell("a.close(); b.close(); c.close()");
    server.tell("[s.close() for s in held]; l.close()");
    both.told_the_same(7);
}

#[test]
fn mptcp_is_told_with_plain_and_mptcp_clients() {
    let Some(host) = Host::shared() else { return };
    let (netns, server, plain) = cast(&host);
    if server.ask::<bool>("not os.path.exists('/proc/sys/net/mptcp/enabled')") {
        eprintln!("SKIPPED: this kernel has no MPTCP");
        return;
    }
    netns.sysctl("net.mptcp.enabled", "1");
    let multi = Actor::within(&netns);
    let both = Both::watch(&netns, 7100);
    server.tell("l, other = listen('127.0.0.1', 7100, protocol=MPTCP), listen('127.0.0.1', 7200, protocol=MPTCP)");
    plain.tell("c = connect('127.0.0.1', 7100)");
    multi.tell("c, d = connect('127.0.0.1', 7100, MPTCP), connect('127.0.0.1', 7200, MPTCP)");
    multi.tell("e = tcp('127.0.0.1', MPTCP); e.bind(('127.0.0.5', 7300)); e.connect(('127.0.0.1', 7100))");
    server.tell("held = [l.accept()[0] for _ in range(3)]; o, _ = other.accept()");
    plain.tell("c.sendall(b'one'); c.close()");
    multi.tell("c.sendall(b'two'); c.close(); d.close(); e.close()");
    server.tell("[read(s, n) for s, n in zip(held, (3, 3, 0))]; assert [s.recv(1) for s in held] == [b''] * 3");
    server.tell("[s.close() for s in held]; o.close(); l.close(); other.close()");
    both.told_the_same(7);
}

#[test]
fn what_exists_already_on_the_port_is_found() {
    let Some(host) = Host::shared() else { return };
    let (netns, server, client) = cast(&host);
    server.tell("l, other = listen('127.0.0.1', 7100), listen('127.0.0.1', 7200)");
    client.tell("a, b, c = connect('127.0.0.1', 7100), connect('127.0.0.1', 7200), connect('127.0.0.1', 7100)");
    server.tell("s, t = l.accept()[0], other.accept()[0]");
    client.tell("bound = tcp('127.0.0.1'); bound.bind(('127.0.0.5', 7300))");
    let both = Both::watch(&netns, 7100);
    server.tell("u, _ = l.accept()");
    client.tell("a.close(); b.close(); c.close()");
    server.tell("s.close(); t.close(); u.close()");
    let run = both.told_the_same(5);
    assert!(run.sockets.iter().all(|socket| socket.0["origin"] == "snapshot"), "{:?}", run.sockets);

    // One that was bound elsewhere before is no new one.
    let both = Both::watch(&netns, 7100);
    client.tell("bound.connect(('127.0.0.1', 7100))");
    server.tell("v, _ = l.accept()");
    client.tell("bound.close()");
    server.tell("v.close()");
    both.follow.signal(Signal::SIGINT);
    let (follow, trace) = (both.follow.end_with(3), both.trace.stop());
    for (run, complete) in [(&follow, false), (&trace, true)] {
        let found: &Socket = run.only("the client", 7100, |socket| socket.role() == "client");
        assert_eq!((&found.0["origin"], &found.0["complete"]), (&json!("snapshot"), &json!(complete)), "{found:?}");
    }
}
