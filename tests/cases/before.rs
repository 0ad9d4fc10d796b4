//! What existed before the trace.

use serde_json::json;

use crate::support::{Actor, Host};

#[test]
fn a_listener_and_a_connection_that_existed_are_told_with_who_holds_them() {
    let Some(host) = Host::shared() else { return };
    let netns = host.netns();
    let (server, client) = (Actor::within(&netns), Actor::within(&netns));
    server.tell("l = listen('127.0.0.1')");
    let port: u16 = server.ask("port(l)");
    client.tell(&format!("c = connect('127.0.0.1', {port}); c.sendall(b'before')"));
    server.tell("s, _ = l.accept(); read(s, 6)");
    let client_port: u16 = client.ask("port(c)");
    let fds: [i64; 2] = server.ask("[l.fileno(), s.fileno()]");
    let client_fd: i64 = client.ask("c.fileno()");
    let trace = host.trace(&["--netns", &netns.path().display().to_string()]);
    client.tell("c.sendall(b' and after'); c.close()");
    server.tell("read(s, 10); s.close()");
    let run = trace.stop();

    let (listener, served, asked) = (run.listener(port), run.server(client_port), run.client(client_port));
    for (socket, actor, fd) in [(listener, &server, fds[0]), (served, &server, fds[1]), (asked, &client, client_fd)] {
        assert_eq!(socket.0["origin"], "snapshot");
        assert_eq!(socket.0["holders"], json!([{"pid": actor.pid(), "name": "python3", "fd": fd}]));
        assert_eq!((socket.pid(), socket.0["complete"].as_bool()), (Some(actor.pid()), Some(true)));
        assert_eq!(socket.number("lifetime_ns"), None, "its beginning is not known");
    }
    assert_eq!((listener.ending().as_str(), listener.path().as_str()), ("open", ""));
    assert_eq!((listener.number("backlog"), listener.number("backlog_given")), (Some(16), None));
    assert_eq!((served.path().as_str(), asked.path().as_str()), ("close", "close"));
    assert_eq!(served.0["listener"], listener.0["socket"]);
    assert_eq!((served.ending().as_str(), served.bytes()), ("by peer, fin", Some((16, 0))));
    assert_eq!((asked.ending().as_str(), asked.bytes()), ("by local, fin, then time_wait", Some((0, 16))));
    assert_eq!(served.0["peer_socket"], asked.0["socket"]);
}

#[test]
fn a_connection_that_waited_in_the_accept_queue_before_the_trace_is_accepted() {
    let Some(host) = Host::shared() else { return };
    let netns = host.netns();
    let (server, client) = (Actor::within(&netns), Actor::within(&netns));
    server.tell("l = listen('127.0.0.1')");
    let port: u16 = server.ask("port(l)");
    client.tell(&format!("c = connect('127.0.0.1', {port})"));
    let client_port: u16 = client.ask("port(c)");
    let trace = host.trace(&["--netns", &netns.path().display().to_string()]);
    server.tell("s, _ = l.accept()");
    let fd: i64 = server.ask("s.fileno()");
    let run = trace.stop();

    let (listener, served) = (run.listener(port), run.server(client_port));
    assert_eq!(served.0["origin"], "snapshot");
    assert_eq!(served.path(), format!("accept by {}", server.pid()));
    assert_eq!((served.pid(), served.fd()), (Some(server.pid()), Some(fd)));
    assert_eq!(served.0["listener"], listener.0["socket"]);
    assert_eq!(served.number("accept_queue_ns"), None, "since when it waited is not known");
    assert_eq!((listener.number("accepted"), listener.number("queue")), (Some(1), Some(0)));
}

#[test]
fn a_connection_that_nobody_accepts_is_known_to_be_held_by_nobody() {
    let Some(host) = Host::shared() else { return };
    let netns = host.netns();
    let (server, client) = (Actor::within(&netns), Actor::within(&netns));
    server.tell("l = listen('127.0.0.1')");
    let port: u16 = server.ask("port(l)");
    client.tell(&format!("c = connect('127.0.0.1', {port})"));
    let client_port: u16 = client.ask("port(c)");
    let run = host.trace(&["--netns", &netns.path().display().to_string()]).stop();

    let served = run.server(client_port);
    assert!(served.0["holders"] == json!([]) || served.0["holders"].is_null(), "{served:?}");
    assert_eq!((served.pid(), &served.0["state"]), (None, &"established".into()));
    assert_eq!(run.listener(port).number("queue"), Some(1));
}

#[test]
fn a_thread_that_slept_in_accept_since_before_the_trace_is_credited() {
    let Some(host) = Host::shared() else { return };
    let netns = host.netns();
    let (server, client) = (Actor::within(&netns), Actor::within(&netns));
    server.tell("l = listen('127.0.0.1')");
    let port: u16 = server.ask("port(l)");
    server.begin("s, _ = l.accept()");
    server.wait_until_in_accept();
    let trace = host.trace(&["--netns", &netns.path().display().to_string()]);
    client.tell(&format!("c = connect('127.0.0.1', {port})"));
    server.finish::<()>();
    let client_port: u16 = client.ask("port(c)");
    let fd: i64 = server.ask("s.fileno()");
    let run = trace.stop();

    let (listener, served) = (run.listener(port), run.server(client_port));
    assert_eq!(served.path(), format!("syn_received, established, accept by {}", server.pid()));
    assert_eq!((served.pid(), served.fd()), (Some(server.pid()), Some(fd)));
    assert_eq!((&served.0["listener"], &served.0["origin"]), (&listener.0["socket"], &"traced".into()));
    assert_eq!(listener.0["origin"], "snapshot");
    assert!(served.number("accept_queue_ns") > Some(0));
}

#[test]
fn two_processes_that_hold_one_listener_are_both_named_and_neither_owns_it() {
    let Some(host) = Host::shared() else { return };
    let netns = host.netns();
    let parent = Actor::within(&netns);
    parent.tell("l = listen('127.0.0.1'); child = Child(globals())");
    let (port, child): (u16, u32) = parent.ask("[port(l), child.pid]");
    let run = host.trace(&["--netns", &netns.path().display().to_string()]).stop();

    let listener = run.listener(port);
    let mut holders: Vec<_> =
        listener.0["holders"].as_array().expect("holders").iter().map(|holder| holder["pid"].clone()).collect();
    holders.sort_by_key(serde_json::Value::as_u64);
    let mut expected = [parent.pid(), child];
    expected.sort_unstable();
    assert_eq!(holders, expected);
    assert!(listener.0["process"].is_null(), "{listener:?}");
}
