//! What stands on the screen while real programs use a port.

use crate::support::{Actor, Host, Terminal, sockwatch};

/// Follows a target in a terminal; what exists is on the screen when this returns.
fn follow(target: &str, columns: u16, rows: u16) -> Terminal {
    let terminal = Terminal::run(&sockwatch(&["follow", target]), columns, rows);
    terminal.wait_until("the header", |text| text.starts_with("follow "));
    terminal
}

/// A port that nobody listens on, which the actor knows as `number`.
fn free_port(actor: &Actor) -> u16 {
    actor.tell("free = listen('127.0.0.1'); number = port(free); free.close()");
    actor.ask("number")
}

/// A server that listens as `l`, a client that does nothing yet, the port, and a terminal in which it is followed.
fn followed_server() -> (Actor, Actor, u16, Terminal) {
    let (server, client) = (Actor::start(), Actor::start());
    server.tell("l = listen('127.0.0.1')");
    let port: u16 = server.ask("port(l)");
    let terminal = follow(&port.to_string(), 100, 30);
    terminal.wait_for(&format!("▾ 127.0.0.1:{port}"));
    (server, client, port, terminal)
}

#[test]
fn a_server_that_appears_is_shown_with_its_holders_its_connections_and_their_end() {
    let Some(_host) = Host::shared() else { return };
    let (server, client) = (Actor::start(), Actor::start());
    let port = free_port(&server);
    let mut terminal = follow(&port.to_string(), 100, 30);
    terminal.wait_for(&format!("Nobody listens on :{port} or is connected to it; waiting."));

    server.tell("l = listen('127.0.0.1', number)");
    terminal.wait_for(&format!("▾ 127.0.0.1:{port}"));
    let (fd, pid): (i32, u32) = (server.ask("l.fileno()"), server.pid());
    terminal.wait_for(&format!("held by python3 {pid} as fd {fd}"));
    client.tell(&format!("c = connect('127.0.0.1', {port}); c.sendall(b'hello')"));
    terminal.wait_for("queue 1 of");
    server.tell("s, _ = l.accept(); read(s, 5); s.sendall(b'welcome!')");
    client.tell("read(c, 8)");
    let peer: u16 = client.ask("port(c)");
    // Its bytes are those of a look at the socket as it is.
    let is_row = |line: &str, words: &[&str]| {
        line.contains(&format!("127.0.0.1:{peer}")) && words.iter().all(|word| line.contains(word))
    };
    let accepted = format!(" {pid} ");
    terminal.wait_until("the connection, its owner and its bytes", |text| {
        text.lines().any(|line| is_row(line, &[&accepted, "established", "5 B", "8 B"]))
    });
    client.tell("c.close()");
    server.tell("s.close()");
    terminal.wait_until("its end", |text| text.lines().any(|line| is_row(line, &["×", "fin by peer"])));
    server.tell("l.close()");
    terminal.wait_for(&format!("× 127.0.0.1:{port} · closed"));
    terminal.keys("q");
    assert_eq!(terminal.end(), 0);
}

#[test]
fn clients_of_a_port_that_refuses_them_are_shown_with_why() {
    let Some(_host) = Host::shared() else { return };
    let client = Actor::start();
    let port = free_port(&client);
    let mut terminal = follow(&format!("127.0.0.1:{port}"), 80, 24);
    assert_eq!(client.fail("connect('127.0.0.1', number)"), "ECONNREFUSED");
    terminal.wait_for("refused");
    let text = terminal.wait_for("1 failed");
    assert!(text.contains(&format!("clients that connect to 127.0.0.1:{port}")), "{text}");
    terminal.keys("\x03");
    assert_eq!(terminal.end(), 0);
}

#[test]
fn a_terminal_that_is_resized_while_connections_come_and_go_is_drawn_as_large_as_it_is() {
    let Some(_host) = Host::shared() else { return };
    let (server, client, port, mut terminal) = followed_server();
    for (columns, rows) in [(40, 10), (200, 60), (20, 3), (80, 24)] {
        client.tell(&format!("c = connect('127.0.0.1', {port})"));
        terminal.resize(columns, rows);
        server.tell("s, _ = l.accept(); s.close()");
        client.tell("c.close()");
    }
    let text = terminal.wait_until("the last line of the last size", |text| {
        text.lines().count() == 24 && text.lines().last().is_some_and(|last| last.starts_with("q quit"))
    });
    assert!(text.starts_with("follow "), "{text}");
    terminal.wait_for("4 accepted");
    terminal.keys("q");
    assert_eq!(terminal.end(), 0);
}

#[test]
fn while_it_is_paused_nothing_moves_and_then_it_has_seen_everything() {
    let Some(_host) = Host::shared() else { return };
    let (server, client, port, mut terminal) = followed_server();
    terminal.keys(" ");
    terminal.wait_for("PAUSED");
    client.tell(&format!("c = connect('127.0.0.1', {port})"));
    server.tell("s, _ = l.accept()");
    // The help shows that keys are still obeyed, and that it is drawn.
    terminal.keys("?");
    terminal.wait_for("Keys and signs");
    terminal.keys("\x1b");
    let text = terminal.wait_until("the rows again", |text| !text.contains("Keys and signs"));
    assert!(text.contains("0 open") && text.contains("PAUSED"), "{text}");
    terminal.keys(" ");
    terminal.wait_for("1 open");
    terminal.keys("q");
    assert_eq!(terminal.end(), 0);
}

#[test]
fn a_listener_that_is_passed_on_is_shown_with_who_bound_it_and_who_holds_it_now() {
    let Some(_host) = Host::shared() else { return };
    let (manager, service, client) = (Actor::start(), Actor::start(), Actor::start());
    let port = free_port(&manager);
    let mut terminal = follow(&port.to_string(), 120, 30);
    manager.tell("l = listen('127.0.0.1', number)");
    terminal.wait_for(&format!("bound by python3 {}", manager.pid()));
    // As systemd does for a service that it activates.
    let name = format!("\\0sockwatch-follow-{}", manager.pid());
    service.tell(&format!("u = socket(AF_UNIX); u.bind('{name}'); u.listen()"));
    manager.tell(&format!("u = socket(AF_UNIX); u.connect('{name}'); send_fds(u, [b'x'], [l.fileno()]); l.close()"));
    service.tell("p, _ = u.accept(); got = socket(fileno=recv_fds(p, 1, 1)[1][0])");
    let fd: i32 = service.ask("got.fileno()");
    terminal.wait_for(&format!("held by python3 {} as fd {fd}", service.pid()));
    client.tell(&format!("c = connect('127.0.0.1', {port})"));
    service.tell("s, _ = got.accept()");
    let accepts = format!("python3 {}", service.pid());
    let text = terminal.wait_until("who accepts", |text| {
        text.lines().any(|line| line.contains("1 so far") && line.contains(&accepts))
    });
    assert!(text.contains(&format!("bound by python3 {}", manager.pid())), "{text}");
    terminal.keys("q");
    assert_eq!(terminal.end(), 0);
}
