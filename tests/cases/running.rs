//! How a run is shown, and how it ends by itself.

use std::time::{Duration, Instant};

use crate::support::{Actor, Host, Netns, Run, Trace, python, sockwatch};

/// A server in a namespace, to whose port 7300 a client connects and closes. The client closes first.
fn converse(netns: &Netns, times: u32) -> (Actor, Actor) {
    let (server, client) = (Actor::within(netns), Actor::within(netns));
    server.tell("l = listen('127.0.0.1', 7300)");
    for _ in 0..times {
        client.tell("c = connect('127.0.0.1', 7300)");
        server.tell("s, _ = l.accept()");
        client.tell("c.close()");
        server.tell("assert s.recv(1) == b''; s.close()");
    }
    (server, client)
}

fn filter(netns: &Netns) -> [String; 2] {
    ["--netns".to_owned(), netns.path().display().to_string()]
}

fn trace_of(host: &Host, netns: &Netns, arguments: &[&str]) -> Trace {
    let [option, value] = filter(netns);
    host.trace(&[arguments, &[&option, &value]].concat())
}

#[test]
fn each_view_shows_what_it_is_for() {
    let Some(host) = Host::shared() else { return };
    let netns = host.netns();
    let [path, states, closed] = ["path", "states", "closed"].map(|view| trace_of(&host, &netns, &["--view", view]));
    let _actors = converse(&netns, 1);
    let names = |run: &Run| {
        let mut names: Vec<_> = run.events.iter().map(|event| event.name().to_owned()).collect();
        names.sort_unstable();
        names.dedup();
        names
    };

    let path = path.stop();
    let milestones = ["accept", "bind", "close", "connect", "established", "listen", "syn_received"];
    assert_eq!(names(&path), milestones);
    let states = states.stop();
    assert_eq!(names(&states), [&milestones[..6], &["state", "syn_received"]].concat());
    let client = states.only("a client", 7300, |socket| socket.role() == "client");
    assert_eq!(
        states.states(client),
        [
            "closed to syn_sent",
            "syn_sent to established",
            "established to fin_wait_1",
            "fin_wait_1 to fin_wait_2",
            "fin_wait_2 to closed"
        ]
    );
    let closed = closed.stop();
    assert_eq!(closed.events.len(), 0);
    let ids =
        |run: &Run| run.sockets.iter().map(|socket| (socket.role().to_owned(), socket.ending())).collect::<Vec<_>>();
    assert_eq!(ids(&path).len(), 3, "{:?}", path.sockets);
    assert_eq!(ids(&states), ids(&path));
    assert_eq!(ids(&closed), ids(&path), "the same lives, those still open at the end too");
}

#[test]
fn a_run_of_so_many_closed_sockets_ends_with_the_last_of_them() {
    let Some(host) = Host::shared() else { return };
    let netns = host.netns();
    let trace = trace_of(&host, &netns, &["--count", "2"]);
    let _actors = converse(&netns, 2);
    let run = trace.end_with(0);

    let closed = run.sockets_where(|socket| socket.number("lifetime_ns").is_some());
    assert_eq!(closed.len(), 2, "{:?}", run.sockets);
}

#[test]
fn a_run_of_so_long_ends_by_itself() {
    let Some(_host) = Host::shared() else { return };
    for (duration, least) in [("1", 1000), ("300ms", 300)] {
        let trace = Trace::ready(&mut sockwatch(&["trace", "--json", "--duration", duration]));
        let ready = Instant::now();
        // How long it may take at the most is a host's, not sockwatch's: whether it ends at all has a deadline of its own.
        trace.end_with(0);
        let took = ready.elapsed();
        assert!(took > Duration::from_millis(least - 100), "{took:?}");
    }
}

#[test]
fn sigterm_ends_a_run_like_sigint() {
    let Some(host) = Host::shared() else { return };
    let trace = host.trace(&[]);
    trace.signal(nix::sys::signal::Signal::SIGTERM);
    trace.end_with(0);
}

#[test]
fn a_traced_command_is_shown_with_its_children_and_without_anyone_else() {
    let Some(_host) = Host::shared() else { return };
    // It prints its port, waits for two connections, one of its own child and one from elsewhere, and ends.
    let command = "
import os, socket, sys
l = socket.create_server(('127.0.0.1', 0))
port = l.getsockname()[1]
if os.fork() == 0:
    socket.create_connection(('127.0.0.1', port)).close()
    os._exit(0)
os.wait()
print('port', port, flush=True)
for _ in range(2):
    s, _ = l.accept()
    assert s.recv(1) == b''
    s.close()
";
    let trace = Trace::start(&mut sockwatch(&[
        "trace",
        "--json",
        "--",
        "sh",
        "-c",
        "\"$@\"; exit 0",
        "sh",
        python(),
        "-c",
        command,
    ]));
    let port: u16 = trace.stderr().wait_for("the command's stdout, on stderr", |lines| {
        lines.iter().find_map(|line| line.strip_prefix("port ")?.parse().ok())
    });
    let stranger = Actor::start();
    stranger.tell(&format!("c = connect('127.0.0.1', {port})"));
    let stranger_port: u16 = stranger.ask("port(c)");
    stranger.tell("c.close()");
    let run = trace.end_with(0);

    let roles: Vec<_> = run.sockets.iter().map(|socket| socket.role()).collect();
    assert_eq!(run.sockets.len(), 4, "{roles:?}: {:?}", run.sockets);
    let owner = run.listener(port).pid();
    assert_eq!(run.server(stranger_port).pid(), owner);
    let child = run.only("the child's client", port, |socket| socket.role() == "client");
    assert_eq!((child.peer_port(), child.pid() == owner), (Some(port), false));
    assert_ne!(child.pid(), Some(stranger.pid()));
    assert!(run.sockets.iter().all(|socket| socket.0["complete"] == true && !socket.0["close"].is_null()));
}

/// A process whose name drives terminals, is no UTF-8, and turns the direction of text.
fn hostile(netns: &Netns) -> Actor {
    let actor = Actor::within(netns);
    actor.tell("import ctypes; ctypes.CDLL(None).prctl(15, b'\\x1b[31mx\\xff\\xe2\\x80\\xae', 0, 0, 0)");
    actor.tell("l = listen('127.0.0.1', 7301); l.close()");
    actor
}

#[test]
fn a_hostile_process_name_is_escaped() {
    let Some(host) = Host::shared() else { return };
    let netns = host.netns();
    let [option, value] = filter(&netns);
    let text = Trace::text(&[&option, &value]);
    let json = Trace::ready(&mut sockwatch(&["trace", "--json", &option, &value]));
    let _actor = hostile(&netns);

    text.signal(nix::sys::signal::Signal::SIGINT);
    let text = text.end().stdout.join("\n");
    assert!(text.contains("\\x1b[31mx\\xff"), "{text}");
    assert!(
        !text.chars().any(|character| (character.is_control() && character != '\n') || character == '\u{202e}'),
        "{text}"
    );

    json.signal(nix::sys::signal::Signal::SIGINT);
    let lines = json.end().stdout;
    let named: Vec<&String> = lines.iter().filter(|line| line.contains("7301")).collect();
    assert!(named.len() >= 4, "bind, listen, close, and the socket: {lines:?}");
    for line in named {
        assert!(!line.chars().any(char::is_control), "{line:?}");
        serde_json::from_str::<serde_json::Value>(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    }
}

#[test]
fn text_is_aligned_and_plain_where_it_is_not_a_terminal() {
    let Some(host) = Host::shared() else { return };
    let netns = host.netns();
    let [option, value] = filter(&netns);
    let views = ["path", "states", "closed"].map(|view| (view, Trace::text(&["--view", view, &option, &value])));
    let (server, client) = converse(&netns, 1);
    for (view, trace) in views {
        trace.signal(nix::sys::signal::Signal::SIGINT);
        let ended = trace.end();
        assert_eq!(ended.code(), 0);
        let lines = ended.stdout;
        let all = lines.join("\n");
        assert!(!all.contains('\x1b'), "{all}");
        assert!(lines.iter().all(|line| line.trim_end() == line), "no blanks at the ends of lines:\n{all}");
        let (header, rows) = lines.split_first().expect("a header");
        assert!(header.starts_with("TIME") && header.contains("SOCKET") && header.contains("PROCESS"), "{all}");
        assert!(rows.len() >= if view == "closed" { 2 } else { 10 }, "{view}:\n{all}");
        // Each column begins where its name does.
        for column in ["SOCKET", "PROCESS", "LOCAL", "PEER"] {
            let at = header.find(column).unwrap_or_else(|| panic!("no {column} in {header}"));
            for row in rows {
                let cell: Vec<char> = row.chars().skip(at - 1).take(2).collect();
                assert!(cell.len() == 2 && cell[0] == ' ' && cell[1] != ' ', "{column} of {row:?} in\n{all}");
            }
        }
        assert!(all.contains(&format!("python3 {}", client.pid())) && all.contains("127.0.0.1:7300"), "{all}");
        assert!(view == "closed" || all.contains(&format!("python3 {}", server.pid())), "{all}");
    }
    drop(host);
}
