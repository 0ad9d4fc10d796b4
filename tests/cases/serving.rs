//! A server binds, listens, accepts, and serves a client.

use std::fs;

use jiff::Timestamp;

use crate::support::{Actor, Host, Run, Socket};

/// How the two ends are written down.
struct Address {
    listen: &'static str,
    connect: &'static str,
    /// As shown for the listener, and for both ends of the connection.
    shown: (&'static str, &'static str),
    /// Of the server's sockets, and of the client's.
    families: (&'static str, &'static str),
}

#[test]
fn a_server_and_a_client_over_ipv4() {
    serves_a_client(&Address {
        listen: "127.0.0.1",
        connect: "127.0.0.1",
        shown: ("127.0.0.1", "127.0.0.1"),
        families: ("ipv4", "ipv4"),
    });
}

#[test]
fn a_server_and_a_client_over_ipv6() {
    serves_a_client(&Address { listen: "::1", connect: "::1", shown: ("[::1]", "[::1]"), families: ("ipv6", "ipv6") });
}

#[test]
fn an_ipv6_server_that_an_ipv4_client_comes_to() {
    serves_a_client(&Address {
        listen: "::",
        connect: "127.0.0.1",
        shown: ("[::]", "127.0.0.1"),
        families: ("ipv6", "ipv4"),
    });
}

#[test]
fn an_ipv4_server_that_an_ipv6_client_comes_to() {
    serves_a_client(&Address {
        listen: "127.0.0.1",
        connect: "::ffff:127.0.0.1",
        shown: ("127.0.0.1", "127.0.0.1"),
        families: ("ipv4", "ipv6"),
    });
}

/// The whole story: the client asks with 5 bytes, is answered with 8, and closes first.
fn serves_a_client(address: &Address) {
    let Some(host) = Host::shared() else { return };
    let netns = host.netns();
    let trace = host.trace(&["--netns", &netns.path().display().to_string()]);
    let began = Timestamp::now();
    let (server, client) = (Actor::within(&netns), Actor::within(&netns));
    server.tell(&format!("l = listen({:?}, backlog=7)", address.listen));
    let port: u16 = server.ask("port(l)");
    client.tell(&format!("c = connect({:?}, {port})", address.connect));
    server.tell("s, _ = l.accept()");
    client.tell("c.sendall(b'hello')");
    server.tell("read(s, 5); s.sendall(b'welcome!')");
    client.tell("read(c, 8)");
    let client_port: u16 = client.ask("port(c)");
    let (listening_fd, fd): (i64, i64) = (server.ask("l.fileno()"), server.ask("s.fileno()"));
    let client_fd: i64 = client.ask("c.fileno()");
    client.tell("c.close()");
    server.tell("s.close(); l.close()");
    let (serving, asking) = (server.pid(), client.pid());
    let executable = fs::read_link(format!("/proc/{serving}/exe")).expect("it runs");
    let ended = Timestamp::now();
    let run = trace.stop();

    let listener = run.listener(port);
    assert_eq!(listener.path(), format!("bind by {serving}, listen by {serving}, close"));
    let [bound, closed] = ["bind", "close"].map(|phase| listener.time_of(phase).parse::<Timestamp>().expect("a time"));
    assert!(began < bound && bound < closed && closed < ended, "{began} {bound} {closed} {ended}");
    assert_eq!(listener.ends(), format!("{}:{port} to -", address.shown.0));
    assert_eq!(listener.ending(), "by local, closed");
    assert_eq!((listener.pid(), listener.fd()), (Some(serving), Some(listening_fd)));
    assert_eq!(listener.0["process"]["name"], "python3");
    assert_eq!(listener.0["process"]["uid"], 0);
    assert_eq!(listener.0["process"]["executable"], executable.to_str().expect("UTF-8"));
    assert_eq!((listener.number("backlog"), listener.number("backlog_given")), (Some(7), Some(7)));
    assert_eq!((listener.number("accepted"), listener.number("queue")), (Some(1), Some(0)));
    assert_eq!(listener.number("dropped"), Some(0));

    let served = run.server(client_port);
    assert_eq!(served.path(), format!("syn_received, established, accept by {serving}, close"));
    assert_eq!(served.ends(), format!("{0}:{port} to {0}:{client_port}", address.shown.1));
    assert_eq!(served.0["listener"], listener.0["socket"]);
    assert_eq!((served.pid(), served.fd()), (Some(serving), Some(fd)));
    assert_eq!(served.ending(), "by peer, fin");
    assert_eq!(served.bytes(), Some((5, 8)));
    assert!(served.number("handshake_ns") > Some(0), "{served:?}");
    assert!(served.number("accept_queue_ns") > Some(0), "{served:?}");
    assert!(served.number("accept_queue_ns") < served.number("lifetime_ns"), "{served:?}");
    assert!(served.number("rtt_us") > Some(0), "{served:?}");

    let asked = run.client(client_port);
    assert_eq!(asked.path(), format!("connect by {asking}, established, close"));
    assert_eq!(asked.ends(), format!("{0}:{client_port} to {0}:{port}", address.shown.1));
    assert_eq!((asked.pid(), asked.fd()), (Some(asking), Some(client_fd)));
    assert_eq!(asked.ending(), "by local, fin, then time_wait");
    assert_eq!(asked.bytes(), Some((8, 5)));
    assert!(asked.number("connect_ns") > Some(0), "{asked:?}");
    assert!(asked.number("connect_ns") < asked.number("lifetime_ns"), "{asked:?}");

    for socket in [listener, served, asked] {
        assert_eq!(socket.0["transport"], "tcp", "{socket:?}");
        assert_eq!(socket.0["complete"], true, "{socket:?}");
        assert_eq!(socket.0["origin"], "traced", "{socket:?}");
        assert_eq!(socket.number("retransmits"), if socket.role() == "listener" { None } else { Some(0) });
        assert_eq!(socket.0["netns"], netns_of(serving), "{socket:?}");
    }
    assert_eq!([&listener.0["family"], &served.0["family"]], [address.families.0; 2]);
    assert_eq!(asked.0["family"], address.families.1);
    assert_eq!(served.0["peer_socket"], asked.0["socket"]);
    assert_eq!(asked.0["peer_socket"], served.0["socket"]);
    tells_the_same_in_events(&run, listener, served, asked);
}

/// What the events add to the path: descriptors, ends, and the listener.
fn tells_the_same_in_events(run: &Run, listener: &Socket, served: &Socket, asked: &Socket) {
    let bind = run.event(listener, "bind");
    assert_eq!((&bind.0["local"], bind.fd()), (&listener.0["local"], listener.fd()));
    assert_eq!(run.event(listener, "listen").fd(), listener.fd());
    for name in ["syn_received", "established", "accept"] {
        assert_eq!(run.event(served, name).0["listener"], listener.0["socket"]);
    }
    let accept = run.event(served, "accept");
    assert_eq!((accept.fd(), accept.pid()), (served.fd(), served.pid()));
    assert_eq!((&accept.0["local"], &accept.0["peer"]), (&served.0["local"], &served.0["peer"]));
    let connect = run.event(asked, "connect");
    assert_eq!((connect.fd(), connect.pid(), &connect.0["peer"]), (asked.fd(), asked.pid(), &asked.0["peer"]));
    assert!(asked.time_of("connect") < asked.time_of("established"));
    assert!(asked.time_of("connect") < served.time_of("syn_received"));
    assert!(served.time_of("established") < served.time_of("accept"));
    assert!(served.time_of("accept") < served.time_of("close"));
}

fn netns_of(pid: u32) -> u64 {
    use std::os::unix::fs::MetadataExt;
    fs::metadata(format!("/proc/{pid}/ns/net")).expect("it runs").ino()
}

#[test]
fn a_listener_whose_backlog_is_beyond_the_limit_shows_the_limit_in_force() {
    let Some(host) = Host::shared() else { return };
    let netns = host.netns();
    let trace = host.trace(&["--netns", &netns.path().display().to_string()]);
    let server = Actor::within(&netns);
    server.tell("l = listen('127.0.0.1', backlog=1 << 30)");
    let port: u16 = server.ask("port(l)");
    server.tell("l.listen(3); l.close()");
    let run = trace.stop();

    let pid = server.pid();
    let listener = run.listener(port);
    assert_eq!(listener.path(), format!("bind by {pid}, listen by {pid}, listen by {pid}, close"));
    assert_eq!((listener.number("backlog"), listener.number("backlog_given")), (Some(3), Some(3)));
}

#[test]
fn connections_wait_in_the_accept_queue_of_a_listener_until_it_is_full() {
    let Some(host) = Host::shared() else { return };
    let netns = host.netns();
    let trace = host.trace(&["--netns", &netns.path().display().to_string()]);
    let (server, client) = (Actor::within(&netns), Actor::within(&netns));
    let somaxconn: u64 = server.ask("int(open('/proc/sys/net/core/somaxconn').read())");
    server.tell("l = listen('127.0.0.1', backlog=1 << 30)");
    let port: u16 = server.ask("port(l)");
    client.tell(&format!("cs = [connect('127.0.0.1', {port}) for _ in range(3)]"));
    let run = trace.stop();

    let listener = run.listener(port);
    assert_eq!(listener.ending(), "open");
    assert_eq!(listener.0["state"], "listen");
    assert_eq!((listener.number("backlog"), listener.number("backlog_given")), (Some(somaxconn), Some(1 << 30)));
    assert_eq!((listener.number("queue"), listener.number("accepted")), (Some(3), Some(0)));
    let waiting = run.sockets_where(|socket| socket.role() == "server" && socket.local_port() == Some(port));
    assert_eq!(waiting.len(), 3);
    for socket in waiting {
        assert_eq!((socket.path().as_str(), socket.pid()), ("syn_received, established", None));
        assert_eq!((&socket.0["state"], &socket.0["accept_queue_ns"]), (&"established".into(), &().into()));
    }
}
