//! Other namespaces, and MPTCP.

use crate::support::{Actor, Host, wait_for};

#[test]
fn sockets_of_another_network_namespace_are_told_with_its_inode() {
    let Some(host) = Host::shared() else { return };
    let netns = host.netns();
    let (server, client) = (Actor::within(&netns), Actor::within(&netns));
    server.tell("old = listen('127.0.0.1', 7000)");
    client.tell("older = connect('127.0.0.1', 7000)");
    let older_port: u16 = client.ask("port(older)");
    let trace = host.trace(&[]);
    server.tell("accepted, _ = old.accept(); l = listen('127.0.0.1', 7001)");
    client.tell("c = connect('127.0.0.1', 7001)");
    let client_port: u16 = client.ask("port(c)");
    server.tell("s, _ = l.accept()");
    let run = trace.stop();

    let here =
        |port| move |socket: &&crate::support::Socket| [socket.local_port(), socket.peer_port()].contains(&Some(port));
    let ours: Vec<_> = run.sockets.iter().filter(|socket| socket.0["netns"] == netns.inode()).collect();
    assert_eq!(ours.len(), 6, "{ours:?}");
    assert_eq!(ours.iter().copied().filter(here(7000)).filter(|socket| socket.0["origin"] == "snapshot").count(), 3);
    assert_eq!(ours.iter().copied().filter(here(7001)).filter(|socket| socket.0["origin"] == "traced").count(), 3);
    let find = |role: &str, peer: u16| {
        let found = ours.iter().find(|socket| socket.role() == role && socket.peer_port() == Some(peer));
        found.unwrap_or_else(|| panic!("no {role} of {peer} in {ours:?}"))
    };
    assert_eq!(find("server", client_port).path(), format!("syn_received, established, accept by {}", server.pid()));
    assert_eq!(find("server", older_port).path(), format!("accept by {}", server.pid()));
    assert_eq!(find("client", 7001).path(), format!("connect by {}, established", client.pid()));
}

#[test]
fn a_process_of_another_pid_namespace_is_named_by_its_pid_here() {
    let Some(host) = Host::shared() else { return };
    let trace = host.trace(&[]);
    let inside = Actor::through("unshare", &["--pid", "--fork", "--kill-child", "--mount-proc"]);
    inside.tell("l = listen('127.0.0.1')");
    let port: u16 = inside.ask("port(l)");
    assert_eq!(inside.ask::<u32>("os.getpid()"), 1, "its own view");
    let children = format!("/proc/{0}/task/{0}/children", inside.pid());
    let pid: u32 = wait_for("the child of unshare", || std::fs::read_to_string(&children).ok()?.trim().parse().ok());
    inside.tell("c = connect('127.0.0.1', port(l)); s, _ = l.accept()");
    let client_port: u16 = inside.ask("port(c)");
    let run = trace.stop();

    assert_eq!(run.listener(port).path(), format!("bind by {pid}, listen by {pid}"));
    assert_eq!(run.server(client_port).path(), format!("syn_received, established, accept by {pid}"));
    for socket in [run.listener(port), run.server(client_port), run.client(client_port)] {
        assert_eq!((socket.pid(), &socket.0["process"]["name"]), (Some(pid), &"python3".into()));
    }
}

#[test]
fn an_mptcp_listener_is_one_socket_with_plain_and_mptcp_clients() {
    let Some(host) = Host::shared() else { return };
    let netns = host.netns();
    let server = Actor::within(&netns);
    if server.ask::<bool>("not os.path.exists('/proc/sys/net/mptcp/enabled')") {
        eprintln!("SKIPPED: this kernel has no MPTCP");
        return;
    }
    netns.sysctl("net.mptcp.enabled", "1");
    let trace = host.trace(&["--netns", &netns.path().display().to_string()]);
    let (plain, multi) = (Actor::within(&netns), Actor::within(&netns));
    server.tell("l = listen('127.0.0.1', 8000, protocol=MPTCP)");
    let mut ports = Vec::new();
    for (client, protocol) in [(&plain, "0"), (&multi, "MPTCP")] {
        client.tell(&format!("c = connect('127.0.0.1', 8000, {protocol})"));
        ports.push(client.ask::<u16>("port(c)"));
        client.tell("c.sendall(b'question')");
        server.tell("s, _ = l.accept(); read(s, 8); s.sendall(b'answer')");
        client.tell("read(c, 6); c.close()");
        server.tell("assert s.recv(1) == b''; s.close()");
    }
    let counts_mptcp: bool = server.ask("counts_mptcp_bytes(l)");
    server.tell("l.close()");
    let run = trace.stop();

    let listener = run.listener(8000);
    assert_eq!(listener.0["transport"], "mptcp");
    assert_eq!(listener.path(), format!("bind by {0}, listen by {0}, close", server.pid()));
    assert_eq!(listener.number("accepted"), Some(2));
    for (port, client, transport) in [(ports[0], &plain, "tcp"), (ports[1], &multi, "mptcp")] {
        let (served, asked) = (run.server(port), run.client(port));
        assert_eq!(served.path(), format!("syn_received, established, accept by {}, close", server.pid()));
        assert_eq!(served.0["listener"], listener.0["socket"], "what the process holds, not a hidden subflow");
        let counted = |bytes| (transport == "tcp" || counts_mptcp).then_some(bytes);
        assert_eq!((served.bytes(), served.pid()), (counted((8, 6)), Some(server.pid())));
        assert_eq!(asked.path(), format!("connect by {}, established, close", client.pid()));
        assert_eq!((asked.bytes(), &asked.0["transport"]), (counted((6, 8)), &transport.into()));
        assert_eq!(served.0["transport"], transport);
        assert_eq!(served.0["close"]["by"], "peer");
        assert_eq!((&served.0["close"]["how"], &asked.0["close"]["how"]), (&"fin".into(), &"fin".into()));
    }
    assert_eq!(run.sockets.len(), 5, "no subflows: {:?}", run.sockets);
}
