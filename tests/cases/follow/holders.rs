//! Who holds what, and who only began it.

use std::{fs, os::unix::fs::PermissionsExt};

use crate::support::{Actor, Host, Netns, Scratch, Terminal, python, sockwatch};

/// A port that nobody listens on, which the actor knows as `number`.
fn free_port(actor: &Actor) -> u16 {
    actor.tell("free = listen('127.0.0.1'); number = port(free); free.close()");
    actor.ask("number")
}

fn follow(arguments: &[&str]) -> Terminal {
    let terminal = Terminal::run(&sockwatch(&[&["follow"], arguments].concat()), 140, 30);
    terminal.wait_until("the header", |text| text.starts_with("follow "));
    terminal
}

#[test]
fn a_service_that_is_activated_holds_the_listener_that_its_manager_bound() {
    let Some(_host) = Host::shared() else { return };
    let scratch = Scratch::new("activated");
    let program = scratch.path().join("activated");
    let service = format!(
        "#!{}
import os, socket, sys
assert (os.environ['LISTEN_FDS'], os.environ['LISTEN_PID']) == ('1', str(os.getpid()))
listener = socket.socket(fileno=3)
connection, _ = listener.accept()
connection.sendall(connection.recv(5))
sys.stdin.read()
",
        python()
    );
    fs::write(&program, service).expect("a script");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("it can be run");

    let (manager, client) = (Actor::start(), Actor::start());
    let port = free_port(&manager);
    let mut terminal = follow(&[&port.to_string()]);
    manager.tell("l = listen('127.0.0.1', number)");
    manager.tell(&format!("pid, life = activate(l, {:?}); l.close()", program.display().to_string()));
    let pid: u32 = manager.ask("pid");
    terminal.wait_for(&format!("held by activated {pid} as fd 3"));
    client.tell(&format!("c = connect('127.0.0.1', {port}); c.sendall(b'hello'); read(c, 5)"));
    let peer: u16 = client.ask("port(c)");
    let text = terminal.wait_until("the connection and who accepted it", |text| {
        let row =
            |line: &str| line.contains(&format!("127.0.0.1:{peer}")) && line.contains(&format!("activated {pid}"));
        text.contains(&format!("1 so far: activated {pid}")) && text.lines().any(row)
    });
    assert!(text.contains(&format!("bound by python3 {}", manager.pid())), "{text}");
    assert!(!text.contains(&format!("held by python3 {}", manager.pid())), "{text}");
    manager.tell("life.close(); os.waitpid(pid, 0)");
    terminal.wait_for(&format!("× 127.0.0.1:{port} · closed"));
    terminal.keys("q");
    assert_eq!(terminal.end(), 0);
}

#[test]
fn of_a_server_that_forks_all_who_hold_the_listener_are_told_and_who_of_them_accepts() {
    let Some(_host) = Host::shared() else { return };
    let (server, client) = (Actor::start(), Actor::start());
    let port = free_port(&server);
    let mut terminal = follow(&[&port.to_string()]);
    server.tell("l = listen('127.0.0.1', number); child = Child(globals())");
    let (parent, child, fd): (u32, u32, i32) = (server.pid(), server.ask("child.pid"), server.ask("l.fileno()"));
    let both = [parent, child].map(|pid| format!("python3 {pid} as fd {fd}"));
    terminal.wait_until("both of them", |text| both.iter().all(|held| text.contains(held.as_str())));
    client.tell(&format!("c = connect('127.0.0.1', {port})"));
    server.tell("child.ask('exec(\"s, _ = l.accept()\", globals())')");
    terminal.wait_for(&format!("1 so far: python3 {child}"));
    server.tell("l.close()");
    terminal.wait_for(&format!("held by python3 {child} as fd {fd}"));
    client.tell("d = connect('127.0.0.1', port_of)".replace("port_of", &port.to_string()).as_str());
    server.tell("child.ask('exec(\"t, _ = l.accept()\", globals())')");
    let text = terminal.wait_for(&format!("2 so far: python3 {child}"));
    assert!(text.contains(&format!("bound by python3 {parent}")), "{text}");
    terminal.keys("q");
    assert_eq!(terminal.end(), 0);
}

#[test]
fn of_a_port_of_another_host_the_clients_are_shown() {
    let Some(_host) = Host::shared() else { return };
    let (here, there) = (Netns::new(), Netns::new());
    here.tie(&there);
    let (server, client) = (Actor::within(&there), Actor::within(&here));
    server.tell("l = listen('10.77.0.2')");
    let port: u16 = server.ask("port(l)");
    // What is in the other namespace is not here.
    let mut terminal = follow(&[&format!("10.77.0.2:{port}"), "--netns", &here.path().display().to_string()]);
    client.tell(&format!("c = connect('10.77.0.2', {port}); c.sendall(b'hello')"));
    server.tell("s, _ = l.accept(); read(s, 5); s.sendall(b'welcome!')");
    client.tell("read(c, 8)");
    let pid = client.pid();
    let heading = format!("clients that connect to 10.77.0.2:{port} · 1 open · 0 ended");
    let text = terminal.wait_until("the client and its bytes", |text| {
        let row = |line: &str| ["8 B", "5 B", "established"].iter().all(|word| line.contains(word));
        text.contains(&heading) && text.lines().any(|line| row(line) && line.contains(&format!("python3 {pid}")))
    });
    assert!(text.contains("0 listeners · 1 open"), "{text}");
    assert!(text.contains("connected "), "{text}");
    server.tell("reset(s)");
    client.tell("c.close()");
    terminal.wait_until("how it ended", |text| {
        text.lines().any(|line| line.contains("!10.77.0.2") && line.contains("reset"))
    });
    terminal.keys("q");
    assert_eq!(terminal.end(), 0);
}
