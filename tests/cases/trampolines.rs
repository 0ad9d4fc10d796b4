//! System calls are seen by trampolines where the kernel has them, else by tracepoints. Both tell the same.

use serde_json::Value;

use crate::support::{Actor, Host, Trace, sockwatch};

const CALLS: [&str; 4] = ["bind", "listen", "connect", "accept"];

/// Why this kernel has no trampolines, as doctor says; none if it has them.
fn why_no_trampolines() -> Option<String> {
    let doctor = sockwatch(&["doctor", "--json"]).output().expect("sockwatch runs");
    let findings: Value = serde_json::from_slice(&doctor.stdout).expect("JSON");
    let probes = findings["probes"].as_array().expect("a list").iter();
    probes.filter_map(|probe| probe["no_trampolines"].as_str()).next().map(ToOwned::to_owned)
}

/// The probes of the first line that is printed.
fn probes(arguments: &[&str]) -> Vec<String> {
    let run = sockwatch(&["trace", "--json", "--duration", "10ms"]).args(arguments).output().expect("sockwatch runs");
    assert_eq!(run.status.code(), Some(0), "{}", String::from_utf8_lossy(&run.stderr));
    let line = run.stdout.split(|&byte| byte == b'\n').next().expect("a line");
    let start: Value = serde_json::from_slice(line).expect("JSON");
    let names = start["probes"].as_array().expect("a list").iter();
    names.map(|name| name.as_str().expect("a name").to_owned()).collect()
}

#[test]
fn trampolines_and_tracepoints_tell_the_same_of_the_same_sockets() {
    let Some(host) = Host::alone() else { return };
    if why_no_trampolines().is_some() {
        eprintln!("SKIPPED: this kernel has no trampolines; another test is of what is said then");
        return;
    }
    let netns = host.netns();
    let path = netns.path().display().to_string();
    let asleep = Actor::within(&netns);
    asleep.tell("early = listen('127.0.0.1')");
    let early: u16 = asleep.ask("port(early)");
    asleep.begin("s, _ = early.accept(); s.close()");
    asleep.wait_until_in_accept();
    let traces = ["tracepoints", "trampolines"]
        .map(|probes| host.trace(&["--view", "states", "--netns", &path, "--probes", probes]));

    let (server, client) = (Actor::within(&netns), Actor::within(&netns));
    client.tell(&format!("connect('127.0.0.1', {early}).close()"));
    asleep.finish::<()>();
    server.tell("l = listen('127.0.0.1')");
    let port: u16 = server.ask("port(l)");
    client.tell(&format!("c = connect('127.0.0.1', {port})"));
    server.tell("s, _ = l.accept(); s.close()");
    client.tell("c.close()");
    assert_eq!(client.fail(&format!("listen('127.0.0.1', {port})")), "EADDRINUSE");
    server.tell("held = tcp('127.0.0.1'); held.bind(('127.0.0.1', 0))");
    let held: u16 = server.ask("port(held)");
    assert_eq!(client.fail(&format!("connect('127.0.0.1', {held})")), "ECONNREFUSED");
    client.tell("t = tcp('127.0.0.1')");
    assert_eq!(client.fail("t.connect(('192.0.2.1', 9))"), "ENETUNREACH");
    client.tell("t.close(); import gc; gc.collect()");
    server.tell("held.close(); l.close()");
    let [tracepoints, trampolines] = traces.map(Trace::stop);

    assert!(tracepoints.sockets.len() >= 7, "{:?}", tracepoints.sockets);
    assert_eq!(trampolines.anywhere(), tracepoints.anywhere());
    let told = |run: &crate::support::Run| -> Vec<String> {
        let named = run.events.iter().map(|event| {
            let cookie =
                run.sockets.iter().find(|socket| socket.id() == event.0["socket"]).and_then(|socket| socket.cookie());
            format!("{cookie:?} {} {} {:?} {}", event.name(), event.0["state"], event.pid(), event.0["fd"])
        });
        let mut named: Vec<String> = named.collect();
        named.sort_unstable();
        named
    };
    assert_eq!(told(&trampolines), told(&tracepoints));
}

/// The kernel skips the exit of a function for those who sleep in it when anybody's trampoline comes to it or goes from it.
#[test]
fn calls_that_sleep_while_another_sockwatch_comes_and_goes_are_told() {
    let Some(host) = Host::shared() else { return };
    if !host.has(&["iptables"]) {
        return;
    }
    let netns = host.netns();
    let path = netns.path().display().to_string();
    let (early, late, client) = (Actor::within(&netns), Actor::within(&netns), Actor::within(&netns));
    let accept = |server: &Actor, port: u16| {
        server.tell(&format!("l = listen('127.0.0.1', {port})"));
        server.begin("s, _ = l.accept()");
        server.wait_until_in_accept();
    };
    accept(&early, 8001);
    let trace = host.trace(&["--netns", &path]);
    accept(&late, 8002);
    netns.on_input_to("127.0.0.1", &["DROP"]);
    client.begin("c = connect('127.0.0.1', 8001)");
    client.wait_until_in_connect();
    assert_eq!(host.trace(&["--netns", &path]).stop().sockets.len(), 3, "two listeners and who connects");
    netns.let_in();
    client.finish::<Value>();
    client.tell("d = connect('127.0.0.1', 8002)");
    let ports: [u16; 2] = client.ask("[port(c), port(d)]");
    let servers = [&early, &late].map(|server| {
        server.finish::<Value>();
        (server.pid(), server.ask::<i64>("s.fileno()"))
    });
    let fds: [i64; 2] = client.ask("[c.fileno(), d.fileno()]");
    client.tell("c.close(); d.close()");
    let run = trace.stop();

    for ((port, (server, server_fd)), fd) in ports.into_iter().zip(servers).zip(fds) {
        let (accepted, connected) = (run.server(port), run.client(port));
        assert_eq!((accepted.pid(), accepted.fd()), (Some(server), Some(server_fd)));
        assert_eq!(accepted.path(), format!("syn_received, established, accept by {server}"));
        assert_eq!((connected.pid(), connected.fd()), (Some(client.pid()), Some(fd)));
        assert_eq!(connected.path(), format!("connect by {}, established, close", client.pid()));
    }
}

#[test]
fn the_probes_that_are_attached_are_named_by_the_way_they_were_asked_for() {
    let Some(_host) = Host::alone() else { return };
    let tracepoints = CALLS.map(|call| format!("syscalls/{call}"));
    let trampolines =
        ["__sys_bind", "__sys_listen", "__sys_connect", "__sys_accept4"].map(|call| format!("fexit/{call}"));
    let has = |probes: &[String], wanted: &[String; 4]| wanted.iter().filter(|name| probes.contains(name)).count();

    let forced = probes(&["--probes", "tracepoints"]);
    assert_eq!((has(&forced, &tracepoints), has(&forced, &trampolines)), (4, 0), "{forced:?}");
    let chosen = probes(&[]);
    match why_no_trampolines() {
        None => {
            assert_eq!((has(&chosen, &tracepoints), has(&chosen, &trampolines)), (0, 4), "{chosen:?}");
            assert_eq!(probes(&["--probes", "trampolines"]), chosen);
        }
        Some(why) => {
            assert_eq!((has(&chosen, &tracepoints), has(&chosen, &trampolines)), (4, 0), "{chosen:?}");
            let refused = sockwatch(&["trace", "--probes", "trampolines"]).output().expect("sockwatch runs");
            let said = String::from_utf8_lossy(&refused.stderr);
            assert_eq!(refused.status.code(), Some(1), "{said}");
            assert!(
                said.contains("can't see syscalls/bind by trampolines") && said.contains("--probes tracepoints"),
                "{said}"
            );
            assert!(!why.is_empty() && said.contains(&why), "{why}: {said}");
        }
    }
}
