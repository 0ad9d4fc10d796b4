//! `list`: the sockets that exist, as `ss` sees them, and what `ss` does not tell.

use std::{collections::BTreeMap, process::Stdio};

use serde_json::Value;

use crate::support::{Actor, Host, Netns, Run, recording::run, sockwatch, wait_for};

/// `sockwatch list --json` of one namespace.
fn list(netns: &Netns, arguments: &[&str]) -> Run {
    let path = netns.path().display().to_string();
    run(&[&["list", "--json", "--netns", &path], arguments].concat()).expect(0).run()
}

/// What both tools tell of a socket: its queues and its holders, by state and ends.
type Told = BTreeMap<String, (u64, u64, Vec<(u64, u64)>)>;

/// As `ss` tells it.
fn told_by_ss(netns: &Netns) -> Told {
    let output = netns.command("ss").arg("-tanpH").output().expect("ss runs");
    let text = String::from_utf8(output.stdout).expect("text");
    let one = |line: &str| {
        let mut fields = line.split_whitespace();
        let mut next = || fields.next().unwrap_or_else(|| panic!("a field is missing in {line}"));
        let state = match next() {
            "ESTAB" => "established".to_owned(),
            "SYN-RECV" => "syn_received".to_owned(),
            other => other.to_ascii_lowercase().replace('-', "_"),
        };
        let [received, sent] = [next(), next()].map(|count| count.parse().expect("a count"));
        let [local, peer] = [next(), next()].map(|end| end.replace('*', "0.0.0.0").replace(":0.0.0.0", ":0"));
        let held = line.split("pid=").skip(1).map(|holder| {
            let number = |text: &str| text.split([',', ')']).next().and_then(|number| number.parse().ok());
            (number(holder).expect("a pid"), holder.split_once("fd=").and_then(|(_, fd)| number(fd)).expect("an fd"))
        });
        let mut held: Vec<_> = held.collect();
        held.sort_unstable();
        (format!("{state} {local} {peer}"), (received, sent, held))
    };
    text.lines().map(one).collect()
}

/// As `sockwatch` tells it.
fn told_by_us(run: &Run) -> Told {
    let end = |end: &Value, family: &Value| match (end["address"].as_str(), end["port"].as_u64()) {
        (Some(address), Some(port)) if address.contains(':') => format!("[{address}]:{port}"),
        (Some(address), Some(port)) => format!("{address}:{port}"),
        _ if family == "ipv6" => "[::]:0".to_owned(),
        _ => "0.0.0.0:0".to_owned(),
    };
    // Sockets that are bound, or nothing yet, are none of those that ss shows.
    let known = run.sockets.iter().filter(|socket| socket.0["state"] != "closed");
    let told = known.map(|socket| {
        let line = &socket.0;
        let ends = [&line["local"], &line["peer"]].map(|place| end(place, &line["family"]));
        let state = line["state"].as_str().expect("a state");
        let queue = |name: &str| line[name].as_u64().unwrap_or(0);
        let held = line["holders"].as_array().expect("holders").iter();
        let number = |value: &Value| value.as_u64().expect("a number");
        let mut held: Vec<_> = held.map(|holder| (number(&holder["pid"]), number(&holder["fd"]))).collect();
        held.sort_unstable();
        let key = format!("{state} {} {}", ends[0], ends[1]);
        (key, (queue("recv_queue"), queue("send_queue"), held))
    });
    told.collect()
}

/// A host on which every state that lasts is to be found: a server on 7300 with clients, also over IPv6.
fn crowd(netns: &Netns) -> (Actor, Actor) {
    let (server, client) = (Actor::within(netns), Actor::within(netns));
    server.tell("l, six = listen('0.0.0.0', 7300, backlog=7), listen('::1', 7301)");
    for number in 0..3 {
        client.tell(&format!("c{number} = connect('127.0.0.1', 7300)"));
        server.tell(&format!("s{number}, _ = l.accept()"));
    }
    // Not read.
    client.tell("c0.sendall(b'x' * 1000)");
    // Half closed: CLOSE_WAIT here, FIN_WAIT2 there, which somebody still holds.
    client.tell("c1.shutdown(1)");
    // TIME_WAIT.
    client.tell("c2.close()");
    server.tell("s2.close()");
    // An orphan: FIN_WAIT2 in a timewait socket.
    client.tell("o = connect('127.0.0.1', 7300)");
    server.tell("so, _ = l.accept()");
    client.tell("o.close()");
    client.tell("v6 = connect('::1', 7301)");
    server.tell("s6, _ = six.accept()");
    // In the accept queue.
    client.tell("waits = connect('127.0.0.1', 7300); waits.sendall(b'abc')");
    // Held by two.
    server.tell("child = Child(globals())");
    server.tell("bound = tcp('127.0.0.1'); bound.bind(('127.0.0.1', 7302))");
    (server, client)
}

/// A SYN from an address that nobody has, so that its SYN-ACK is never answered.
fn begin_half_open(netns: &Netns, client: &Actor) {
    let configure = |arguments: &[&str]| {
        let done = netns.command("ip").args(arguments).status().expect("ip runs");
        assert!(done.success(), "ip {arguments:?}");
    };
    configure(&["addr", "add", "10.98.0.1/32", "dev", "lo"]);
    configure(&["route", "add", "10.99.0.0/24", "dev", "lo"]);
    client.tell("from half_open import send_syn; send_syn('10.99.0.1', 5555, '10.98.0.1', 7300)");
}

#[test]
fn list_agrees_with_ss_socket_by_socket() {
    let Some(host) = Host::shared() else { return };
    if !host.has(&["ss"]) {
        return;
    }
    let netns = host.netns();
    let (_server, client) = crowd(&netns);
    begin_half_open(&netns, &client);
    // Segments may still be on their way.
    let told = wait_for("ss and sockwatch to agree", || {
        let (ss, us) = (told_by_ss(&netns), told_by_us(&list(&netns, &[])));
        if ss != us {
            eprintln!("ss:        {ss:?}\nsockwatch: {us:?}");
        }
        (ss == us).then_some(us)
    });
    let states = ["listen", "established", "syn_received", "close_wait", "fin_wait_2", "time_wait"];
    let found = |state: &str| told.keys().filter(|key| key.starts_with(&format!("{state} "))).count();
    assert_eq!(states.map(found), [2, 6, 1, 2, 2, 1], "{told:#?}");
    assert!(told.values().any(|(received, _, _)| *received == 1000), "{told:#?}");
    assert!(told.values().any(|(_, _, held)| held.len() == 2), "{told:#?}");
}

#[test]
fn list_knows_what_ss_does_not_who_is_at_the_other_end_what_waits_and_what_is_only_bound() {
    let Some(host) = Host::shared() else { return };
    let netns = host.netns();
    let (server, client) = crowd(&netns);
    let run = list(&netns, &[]);
    let listener = run.listener(7300);
    let port = |code: &str| client.ask::<u16>(code);
    let (first, waiting) = (port("port(c0)"), port("port(waits)"));
    let [ours, theirs] = [run.server(first), run.client(first)];
    assert_eq!([&ours.0["peer_socket"], &theirs.0["peer_socket"]], [theirs.id(), ours.id()]);
    assert_eq!([&ours.0["listener"], &run.server(waiting).0["listener"]], [listener.id(), listener.id()]);
    assert_eq!(theirs.pid(), Some(client.pid()));
    assert_eq!(run.server(waiting).0["holders"], Value::Array(Vec::new()));
    let bound = run.only("bound to 7302", 7302, |socket| socket.local_port() == Some(7302));
    assert_eq!((bound.role(), &bound.0["state"]), ("", &"closed".into()));

    let text = |target: &str| {
        let path = netns.path().display().to_string();
        let output = sockwatch(&["list", target, "--netns", &path]).stderr(Stdio::piped()).output().expect("it runs");
        (String::from_utf8(output.stdout).expect("text"), String::from_utf8(output.stderr).expect("text"))
    };
    let (rows, _) = text("7300");
    let row = |what: &str| rows.lines().find(|row| row.contains(what)).unwrap_or_else(|| panic!("{what}: {rows}"));
    assert!(row("127.0.0.1:7300       127.0.0.1:").contains(&format!("(python3 {})", client.pid())), "{rows}");
    assert!(row("waits to be accepted").contains(&format!("127.0.0.1:{waiting}")), "{rows}");
    assert!(row(" listen ").contains(&format!("python3 {} +1", server.pid())), "{rows}");
    let (rows, _) = text("127.0.0.1:7302");
    assert!(rows.lines().count() == 2 && rows.contains(" bound "), "{rows}");
    assert_eq!(text("7399"), (String::new(), "sockwatch: no socket passes the filters\n".to_owned()));
    let nobody = run_text(&["list", "10.254.254.254:7399"]);
    assert_eq!(nobody, ["sockwatch: nobody listens on 10.254.254.254:7399 or is connected to it"]);
}

/// What a command that shows nothing says.
fn run_text(arguments: &[&str]) -> Vec<String> {
    let ended = run(arguments).expect(0);
    assert!(ended.stdout.is_empty(), "{:?}", ended.stdout);
    ended.stderr
}

#[test]
fn a_listener_that_was_passed_on_is_held_by_whoever_has_it_now() {
    let Some(host) = Host::shared() else { return };
    let netns = host.netns();
    let (manager, service) = (Actor::within(&netns), Actor::within(&netns));
    let holders = || {
        let run = list(&netns, &["--role", "listener"]);
        let holders = run.listener(7310).0["holders"].as_array().expect("holders").clone();
        let mut pids: Vec<_> = holders.iter().map(|holder| holder["pid"].as_u64()).collect();
        pids.sort_unstable();
        pids
    };
    let both = [manager.pid(), service.pid()].map(|pid| Some(u64::from(pid)));
    manager.tell("l = listen('127.0.0.1', 7310)");
    assert_eq!(holders(), [both[0]]);
    // As systemd does for a service that it activates.
    let name = format!("\\0sockwatch-{}", manager.pid());
    service.tell(&format!("u = socket(AF_UNIX); u.bind('{name}'); u.listen()"));
    manager.tell(&format!("u = socket(AF_UNIX); u.connect('{name}'); send_fds(u, [b'x'], [l.fileno()])"));
    service.tell("p, _ = u.accept(); got = socket(fileno=recv_fds(p, 1, 1)[1][0])");
    let mut shared = both;
    shared.sort_unstable();
    assert_eq!(holders(), shared);
    manager.tell("l.close()");
    assert_eq!(holders(), [both[1]]);
}
