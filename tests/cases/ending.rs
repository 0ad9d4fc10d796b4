//! How connections end, and who ended them.

use nix::sys::signal::Signal;

use crate::support::{Actor, Host, Netns, Run, Socket, Trace};

/// A connection that was accepted, as `c` of the client and `s` of the server, whose listener is `l`.
struct Connection {
    trace: Trace,
    server: Actor,
    client: Actor,
    port: u16,
    client_port: u16,
    netns: Netns,
    _host: Host,
}

/// What was seen of it.
struct Seen {
    run: Run,
    port: u16,
    client_port: u16,
}

impl Connection {
    fn new() -> Option<Self> {
        let mut connection = Self::unaccepted()?;
        connection.server.tell("s, _ = l.accept()");
        connection.client_port = connection.client.ask("port(c)");
        Some(connection)
    }

    /// One that waits in the accept queue.
    fn unaccepted() -> Option<Self> {
        let host = Host::shared()?;
        let netns = host.netns();
        let trace = host.trace(&["--view", "states", "--netns", &netns.path().display().to_string()]);
        let (server, client) = (Actor::within(&netns), Actor::within(&netns));
        server.tell("l = listen('127.0.0.1')");
        let port: u16 = server.ask("port(l)");
        client.tell(&format!("c = connect('127.0.0.1', {port})"));
        let client_port = client.ask("port(c)");
        Some(Self { trace, server, client, port, client_port, netns, _host: host })
    }

    fn end(self) -> (Seen, Actor, Actor) {
        let Self { trace, server, client, port, client_port, netns: _netns, _host } = self;
        (Seen { run: trace.stop(), port, client_port }, server, client)
    }
}

impl Seen {
    fn client(&self) -> &Socket {
        self.run.client(self.client_port)
    }

    fn server(&self) -> &Socket {
        self.run.server(self.client_port)
    }

    /// How the client's end ended, and how the server's.
    fn endings(&self) -> [String; 2] {
        [self.client().ending(), self.server().ending()]
    }

    /// Who changed a socket's state.
    fn who(&self, socket: &Socket, to: &str) -> Option<u32> {
        let events = self.run.events_of(socket);
        let event = events.iter().find(|event| event.name() == "state" && event.0["to"] == to);
        event.unwrap_or_else(|| panic!("no way to {to} of {socket:?}")).pid()
    }
}

#[test]
fn the_client_closes_first() {
    let Some(connection) = Connection::new() else { return };
    connection.client.tell("c.close()");
    connection.server.tell("s.close()");
    let (seen, server, client) = connection.end();

    assert_eq!(seen.endings(), ["by local, fin, then time_wait", "by peer, fin"]);
    assert_eq!(seen.who(seen.client(), "fin_wait_1"), Some(client.pid()));
    assert_eq!(seen.who(seen.server(), "last_ack"), Some(server.pid()));
    let states = ["listen to syn_received", "syn_received to established", "established to close_wait"];
    let states = [&states[..], &["close_wait to last_ack", "last_ack to closed"]].concat();
    assert_eq!(seen.run.states(seen.server()), states);
}

#[test]
fn the_server_closes_first() {
    let Some(connection) = Connection::new() else { return };
    connection.server.tell("s.sendall(b'that is all'); s.close()");
    connection.client.tell("read(c, 11); assert c.recv(1) == b''; c.close()");
    let (seen, server, _client) = connection.end();

    assert_eq!(seen.endings(), ["by peer, fin", "by local, fin, then time_wait"]);
    assert_eq!(seen.who(seen.server(), "fin_wait_1"), Some(server.pid()));
    assert_eq!((seen.client().bytes(), seen.server().bytes()), (Some((11, 0)), Some((0, 11))));
}

#[test]
fn both_shut_down_their_side_before_they_close() {
    let Some(connection) = Connection::new() else { return };
    connection.server.tell("s.shutdown(SHUT_WR)");
    connection.client.tell("c.sendall(b'last words'); c.close()");
    connection.server.tell("read(s, 10); assert s.recv(1) == b''; s.close()");
    let (seen, _server, _client) = connection.end();

    assert_eq!(seen.endings(), ["by peer, fin", "by local, fin, then time_wait"]);
    assert_eq!((seen.client().bytes(), seen.server().bytes()), (Some((0, 10)), Some((10, 0))));
}

#[test]
fn the_client_resets() {
    let Some(connection) = Connection::new() else { return };
    connection.client.tell("c.sendall(b'1234')");
    connection.server.tell("read(s, 4)");
    connection.client.tell("reset(c)");
    assert_eq!(connection.server.fail("s.recv(1)"), "ECONNRESET");
    connection.server.tell("s.close()");
    let (seen, _server, client) = connection.end();

    assert_eq!(seen.endings(), ["by local, reset", "by peer, reset: ECONNRESET"]);
    assert_eq!(seen.run.event(seen.client(), "reset_sent").pid(), Some(client.pid()));
    seen.run.event(seen.server(), "reset_received");
    assert_eq!((seen.client().bytes(), seen.server().bytes()), (Some((0, 4)), Some((4, 0))));
}

#[test]
fn both_reset_and_the_first_is_the_one_that_ended_it() {
    let Some(connection) = Connection::new() else { return };
    connection.server.tell("reset(s)");
    connection.client.tell("reset(c)");
    let (seen, _server, _client) = connection.end();

    assert_eq!(seen.endings(), ["by peer, reset: ECONNRESET", "by local, reset"]);
}

#[test]
fn a_close_that_leaves_data_unread_is_a_reset() {
    let Some(connection) = Connection::new() else { return };
    connection.client.tell("c.sendall(b'unheard')");
    connection.server.tell("s.recv(1, MSG_PEEK); s.close()");
    assert_eq!(connection.client.fail("c.recv(1)"), "ECONNRESET");
    connection.client.tell("c.close()");
    let (seen, _server, _client) = connection.end();

    assert_eq!(seen.endings(), ["by peer, reset: ECONNRESET", "by local, reset"]);
    assert_eq!(seen.server().bytes(), Some((7, 0)), "received, though nobody read it");
}

#[test]
fn a_listener_is_closed_with_connections_that_nobody_accepted() {
    let Some(connection) = Connection::unaccepted() else { return };
    connection.server.tell("l.close()");
    assert_eq!(connection.client.fail("c.recv(1)"), "ECONNRESET");
    connection.client.tell("c.close()");
    let (seen, server, _client) = connection.end();

    assert_eq!(seen.endings(), ["by peer, reset: ECONNRESET", "by local, unaccepted"]);
    assert_eq!(seen.server().path(), "syn_received, established, close");
    assert_eq!((seen.server().pid(), seen.server().number("accept_queue_ns")), (None, None));
    let listener = seen.run.listener(seen.port);
    assert_eq!(seen.server().0["listener"], listener.0["socket"]);
    assert_eq!((listener.number("accepted"), listener.ending().as_str()), (Some(0), "by local, closed"));
    assert_eq!(seen.who(listener, "closed"), Some(server.pid()));
}

#[test]
fn a_connection_is_accepted_after_its_peer_reset_it() {
    let Some(connection) = Connection::unaccepted() else { return };
    connection.client.tell("reset(c)");
    connection.server.tell("s, _ = l.accept()");
    assert_eq!(connection.server.fail("s.recv(1)"), "ECONNRESET");
    connection.server.tell("s.close()");
    let (seen, server, _client) = connection.end();

    assert_eq!(seen.server().path(), format!("syn_received, established, close, accept by {}", server.pid()));
    assert_eq!(seen.endings(), ["by local, reset", "by peer, reset: ECONNRESET"]);
    assert!(seen.server().number("accept_queue_ns") > Some(0));
    assert_eq!(seen.server().pid(), Some(server.pid()));
}

#[test]
fn a_connection_is_accepted_after_its_peer_closed_it() {
    let Some(connection) = Connection::unaccepted() else { return };
    connection.client.tell("c.sendall(b'bye'); c.close()");
    connection.server.tell("s, _ = l.accept(); read(s, 3); s.close()");
    let (seen, server, _client) = connection.end();

    assert_eq!(seen.server().path(), format!("syn_received, established, accept by {}, close", server.pid()));
    assert_eq!(seen.endings(), ["by local, fin, then time_wait", "by peer, fin"]);
    assert_eq!(seen.server().bytes(), Some((3, 0)));
}

#[test]
fn a_process_is_killed_and_the_kernel_closes_what_it_held() {
    let Some(mut connection) = Connection::new() else { return };
    let pid = connection.server.pid();
    let server = std::mem::replace(&mut connection.server, Actor::within(&connection.netns));
    server.kill();
    connection.client.tell("assert c.recv(1) == b''; c.close()");
    let (seen, _other, _client) = connection.end();

    assert_eq!(seen.endings(), ["by peer, fin", "by local, fin, then time_wait"]);
    let listener = seen.run.listener(seen.port);
    assert_eq!(listener.path(), format!("bind by {pid}, listen by {pid}, close"));
    assert_eq!((listener.pid(), seen.server().pid()), (Some(pid), Some(pid)));
    assert_eq!(listener.0["process"]["name"], "python3");
    assert_eq!(listener.ending(), "by local, closed");
}

#[test]
fn a_child_inherits_a_connection_and_closes_it_after_its_parent_ended() {
    let Some(mut connection) = Connection::new() else { return };
    let parent = connection.server.pid();
    // The parent ends; its child answers in its place.
    connection.server.tell("l.close()\nif os.fork(): os._exit(0)");
    connection.server.wait_for_exit();
    let child: u32 = connection.server.ask("os.getpid()");
    connection.server.tell("s.sendall(b'from your heir')");
    connection.client.tell("read(c, 14)");
    connection.server.tell("s.close()");
    connection.client.tell("assert c.recv(1) == b''; c.close()");
    let (seen, _server, _client) = connection.end();

    assert_ne!(child, parent);
    assert_eq!(seen.endings(), ["by peer, fin", "by local, fin, then time_wait"]);
    assert_eq!(seen.server().path(), format!("syn_received, established, accept by {parent}, close"));
    assert_eq!(seen.server().pid(), Some(parent), "who accepted it");
    assert_eq!(seen.who(seen.server(), "fin_wait_1"), Some(child), "who closed it");
    assert_eq!(seen.server().bytes(), Some((0, 14)));
}

#[test]
fn what_is_still_open_when_the_trace_ends_is_told_as_open() {
    let Some(connection) = Connection::new() else { return };
    connection.trace.signal(Signal::SIGTERM);
    let Connection { trace, server: _server, client: _client, client_port, _host, .. } = connection;
    let run = trace.end_with(0);

    let (client, server) = (run.client(client_port), run.server(client_port));
    assert_eq!([client.ending(), server.ending()], ["open", "open"]);
    assert_eq!((&client.0["state"], client.number("lifetime_ns")), (&"established".into(), None));
    assert_eq!(client.0["peer_socket"], server.0["socket"]);
}
