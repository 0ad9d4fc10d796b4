//! Calls that fail, and connects that come to nothing.

use crate::support::{Actor, Host, Netns, Run, Socket};

/// A port of 127.0.0.1 that refuses: bound, and no listener. The actor keeps it in `held`.
const HOLD_A_PORT: &str = "held = tcp('127.0.0.1'); held.bind(('127.0.0.1', 0))";

/// Begins to connect and does not wait.
const BEGIN: &str = "c = tcp('127.0.0.1'); c.setblocking(False)";

fn owned_by<'run>(run: &'run Run, actor: &Actor, near: u16) -> &'run Socket {
    run.only("of this process", near, |socket| {
        socket.pid() == Some(actor.pid()) || run.events_of(socket).iter().any(|event| event.pid() == Some(actor.pid()))
    })
}

#[test]
fn a_bind_to_a_port_that_another_listens_on_fails_with_eaddrinuse() {
    let Some(host) = Host::shared() else { return };
    let netns = host.netns();
    let trace = host.trace(&["--netns", &netns.path().display().to_string()]);
    let (holder, late) = (Actor::within(&netns), Actor::within(&netns));
    holder.tell("l = listen('127.0.0.1')");
    let port: u16 = holder.ask("port(l)");
    assert_eq!(late.fail(&format!("listen('127.0.0.1', {port})")), "EADDRINUSE");
    late.tell("import gc; gc.collect()");
    let run = trace.stop();

    let socket = owned_by(&run, &late, port);
    assert_eq!(socket.path(), format!("bind by {}: EADDRINUSE", late.pid()));
    assert_eq!((socket.role(), socket.ending().as_str()), ("", "by local, closed"));
    let bind = run.event(socket, "bind");
    assert_eq!(bind.0["local"], serde_json::json!({"address": "127.0.0.1", "port": port}), "the address asked for");
    assert_eq!(bind.0["error"], "EADDRINUSE");
    assert!(socket.0["local"].is_null(), "it never had it: {socket:?}");
}

#[test]
fn a_bind_to_a_low_port_by_an_ordinary_user_fails_with_eacces() {
    let Some(host) = Host::shared() else { return };
    let netns = host.netns();
    netns.sysctl("net.ipv4.ip_unprivileged_port_start", "1024");
    let trace = host.trace(&["--netns", &netns.path().display().to_string()]);
    let user = Actor::within(&netns);
    user.tell("os.setresuid(65534, 65534, 65534)");
    assert_eq!(user.fail("listen('127.0.0.1', 1)"), "EACCES");
    let run = trace.stop();

    let socket = owned_by(&run, &user, 1);
    assert_eq!(socket.path(), format!("bind by {}: EACCES", user.pid()));
    let bind = run.event(socket, "bind");
    assert_eq!(bind.0["process"]["uid"], 65534);
    assert_eq!(bind.0["local"]["port"], 1);
}

#[test]
fn a_socket_that_is_bound_and_closed_has_no_role() {
    let Some(host) = Host::shared() else { return };
    let netns = host.netns();
    let trace = host.trace(&["--netns", &netns.path().display().to_string()]);
    let actor = Actor::within(&netns);
    actor.tell(HOLD_A_PORT);
    let port: u16 = actor.ask("port(held)");
    actor.tell("held.close()");
    let run = trace.stop();

    let socket = owned_by(&run, &actor, port);
    assert_eq!(socket.path(), format!("bind by {}", actor.pid()));
    assert_eq!(socket.ends(), format!("127.0.0.1:{port} to -"));
    assert_eq!((socket.role(), socket.ending().as_str()), ("", "by local, closed"));
    assert!(socket.number("lifetime_ns") > Some(0));
}

#[test]
fn a_connect_that_is_refused() {
    let Some(host) = Host::shared() else { return };
    let netns = host.netns();
    let trace = host.trace(&["--netns", &netns.path().display().to_string()]);
    let (holder, client) = (Actor::within(&netns), Actor::within(&netns));
    holder.tell(HOLD_A_PORT);
    let port: u16 = holder.ask("port(held)");
    client.tell("c = tcp('127.0.0.1')");
    assert_eq!(client.fail(&format!("c.connect(('127.0.0.1', {port}))")), "ECONNREFUSED");
    client.tell("c.close()");
    let run = trace.stop();

    let socket = owned_by(&run, &client, port);
    assert_eq!(socket.path(), format!("connect by {}, close", client.pid()));
    assert_eq!((socket.role(), socket.peer_port()), ("client", Some(port)));
    assert_eq!(socket.ending(), "by peer, refused: ECONNREFUSED");
    assert_eq!(socket.bytes(), Some((0, 0)));
    assert!(socket.number("connect_ns") > Some(0), "{socket:?}");
    assert!(run.event(socket, "connect").0["error"].is_null(), "a SYN was sent");
}

#[test]
fn a_socket_that_is_refused_connects_again_under_the_same_id() {
    let Some(host) = Host::shared() else { return };
    let netns = host.netns();
    let trace = host.trace(&["--netns", &netns.path().display().to_string()]);
    let (server, client) = (Actor::within(&netns), Actor::within(&netns));
    server.tell(HOLD_A_PORT);
    let port: u16 = server.ask("port(held)");
    client.tell("c = tcp('127.0.0.1')");
    assert_eq!(client.fail(&format!("c.connect(('127.0.0.1', {port}))")), "ECONNREFUSED");
    server.tell("held.listen(1)");
    client.tell(&format!("c.connect(('127.0.0.1', {port}))"));
    server.tell("s, _ = held.accept()");
    let client_port: u16 = client.ask("port(c)");
    client.tell("c.sendall(b'at last'); c.close()");
    server.tell("read(s, 7); s.close()");
    let run = trace.stop();

    let pid = client.pid();
    let socket = owned_by(&run, &client, port);
    assert_eq!(socket.path(), format!("connect by {pid}, close, connect by {pid}, established, close"));
    assert_eq!(socket.ends(), format!("127.0.0.1:{client_port} to 127.0.0.1:{port}"));
    assert_eq!(socket.ending(), "by local, fin, then time_wait", "of the last close");
    assert_eq!(socket.bytes(), Some((0, 7)));
    assert_eq!(run.server(client_port).0["peer_socket"], socket.0["socket"]);
}

#[test]
fn a_connect_that_does_not_wait_and_succeeds() {
    let Some(host) = Host::shared() else { return };
    let netns = host.netns();
    let trace = host.trace(&["--netns", &netns.path().display().to_string()]);
    let (server, client) = (Actor::within(&netns), Actor::within(&netns));
    server.tell("l = listen('127.0.0.1')");
    let port: u16 = server.ask("port(l)");
    client.tell(BEGIN);
    assert_eq!(client.fail(&format!("c.connect(('127.0.0.1', {port}))")), "EINPROGRESS");
    client.tell("import select; select.select([], [c], [])");
    assert_eq!(client.ask::<i32>("c.connect_ex(c.getpeername())"), 0, "the second call tells the outcome");
    client.tell("c.close()");
    server.tell("s, _ = l.accept(); assert s.recv(1) == b''; s.close()");
    let run = trace.stop();

    let socket = owned_by(&run, &client, port);
    assert_eq!(socket.path(), format!("connect by {}, established, close", client.pid()));
    assert!(run.event(socket, "connect").0["error"].is_null(), "EINPROGRESS is no failure");
}

#[test]
fn a_connect_that_does_not_wait_and_is_refused() {
    let Some(host) = Host::shared() else { return };
    let netns = host.netns();
    let trace = host.trace(&["--netns", &netns.path().display().to_string()]);
    let (holder, client) = (Actor::within(&netns), Actor::within(&netns));
    holder.tell(HOLD_A_PORT);
    let port: u16 = holder.ask("port(held)");
    client.tell(BEGIN);
    assert_eq!(client.fail(&format!("c.connect(('127.0.0.1', {port}))")), "EINPROGRESS");
    client.tell("import select; select.select([], [c], [])");
    let refused: i32 = client.ask("c.getsockopt(SOL_SOCKET, SO_ERROR)");
    assert_eq!(refused, nix::libc::ECONNREFUSED);
    client.tell("c.close()");
    let run = trace.stop();

    let socket = owned_by(&run, &client, port);
    assert_eq!(socket.path(), format!("connect by {}, close", client.pid()));
    assert_eq!(socket.ending(), "by peer, refused: ECONNREFUSED");
}

/// A namespace where what is sent to 127.0.0.9 is dropped, and SYNs are given up soon.
fn with_a_black_hole(host: &Host) -> Netns {
    let netns = host.netns();
    netns.on_input_to("127.0.0.9", &["DROP"]);
    netns.sysctl("net.ipv4.tcp_syn_retries", "1");
    // Since Linux 6.5 the first SYNs are repeated each second.
    if netns.has_sysctl("net.ipv4.tcp_syn_linear_timeouts") {
        netns.sysctl("net.ipv4.tcp_syn_linear_timeouts", "0");
    }
    netns
}

#[test]
fn a_connect_that_nobody_answers_times_out() {
    let Some(host) = Host::shared() else { return };
    if !host.has(&["iptables"]) {
        return;
    }
    let netns = with_a_black_hole(&host);
    let trace = host.trace(&["--view", "states", "--netns", &netns.path().display().to_string()]);
    let client = Actor::within(&netns);
    client.tell("c = tcp('127.0.0.9')");
    assert_eq!(client.fail("c.connect(('127.0.0.9', 80))"), "ETIMEDOUT");
    client.tell("c.close()");
    let run = trace.stop();

    let socket = owned_by(&run, &client, 80);
    assert_eq!(socket.path(), format!("connect by {}, close", client.pid()));
    assert_eq!(socket.ending(), "by kernel, timeout: ETIMEDOUT");
    assert!(socket.number("connect_ns") > Some(1_000_000_000), "a SYN, one retry, and their waits: {socket:?}");
    assert_eq!(run.event(socket, "retransmit").name(), "retransmit");
    assert_eq!(run.states(socket), ["closed to syn_sent", "syn_sent to closed"]);
}

#[test]
fn a_connect_that_is_given_up() {
    let Some(host) = Host::shared() else { return };
    if !host.has(&["iptables"]) {
        return;
    }
    let netns = with_a_black_hole(&host);
    let trace = host.trace(&["--netns", &netns.path().display().to_string()]);
    let client = Actor::within(&netns);
    client.tell(BEGIN);
    assert_eq!(client.fail("c.connect(('127.0.0.9', 80))"), "EINPROGRESS");
    client.tell("c.close()");
    let run = trace.stop();

    let socket = owned_by(&run, &client, 80);
    assert_eq!(socket.path(), format!("connect by {}, close", client.pid()));
    assert_eq!(socket.ending(), "by local, aborted");
}

#[test]
fn a_connect_to_a_host_that_cannot_be_reached() {
    let Some(host) = Host::shared() else { return };
    if !host.has(&["iptables"]) {
        return;
    }
    let netns = host.netns();
    netns.on_input_to("127.0.0.8", &["REJECT", "--reject-with", "icmp-host-unreachable"]);
    let trace = host.trace(&["--netns", &netns.path().display().to_string()]);
    let client = Actor::within(&netns);
    client.tell("c = tcp('127.0.0.8')");
    assert_eq!(client.fail("c.connect(('127.0.0.8', 80))"), "EHOSTUNREACH");
    client.tell("c.close()");
    let run = trace.stop();

    let socket = owned_by(&run, &client, 80);
    assert_eq!(socket.path(), format!("connect by {}, close", client.pid()));
    assert_eq!(socket.ending(), "by kernel, unreachable: EHOSTUNREACH");
}

#[test]
fn a_connect_without_a_route_fails_before_a_syn() {
    let Some(host) = Host::shared() else { return };
    let netns = host.netns();
    let trace = host.trace(&["--netns", &netns.path().display().to_string()]);
    let client = Actor::within(&netns);
    client.tell("c = tcp('192.0.2.1')");
    assert_eq!(client.fail("c.connect(('192.0.2.1', 80))"), "ENETUNREACH");
    client.tell("c.close()");
    let run = trace.stop();

    let socket = owned_by(&run, &client, 80);
    assert_eq!(socket.path(), format!("connect by {}: ENETUNREACH", client.pid()));
    assert_eq!(socket.role(), "client");
    assert_eq!(socket.0["close"]["how"], "failed");
    assert_eq!(socket.0["close"]["error"], "ENETUNREACH");
    assert_eq!(socket.0["close"]["time_wait"], false);
}

#[test]
fn a_connect_that_finds_no_free_port_fails_before_a_syn() {
    let Some(host) = Host::shared() else { return };
    let netns = host.netns();
    netns.sysctl("net.ipv4.ip_local_port_range", "40000 40001");
    let trace = host.trace(&["--netns", &netns.path().display().to_string()]);
    let (server, client) = (Actor::within(&netns), Actor::within(&netns));
    server.tell("l = listen('127.0.0.1', 80)");
    client.tell("kept = [connect('127.0.0.1', 80), connect('127.0.0.1', 80)]; c = tcp('127.0.0.1')");
    assert_eq!(client.fail("c.connect(('127.0.0.1', 80))"), "EADDRNOTAVAIL");
    client.tell("c.close()");
    let run = trace.stop();

    let socket = run.only("a connect that failed", 80, |socket| socket.path().ends_with("EADDRNOTAVAIL"));
    assert_eq!(socket.path(), format!("connect by {}: EADDRNOTAVAIL", client.pid()));
    assert_eq!((&socket.0["close"]["how"], socket.role()), (&"failed".into(), "client"));
}
