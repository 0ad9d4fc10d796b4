//! Where no screen is wanted, or there is none: the lines of `trace`, for that port.

use std::process::Command;

use nix::sys::signal::Signal;

use crate::support::{Actor, Host, Terminal, Trace, sockwatch};

#[test]
fn piped_it_is_json_lines_or_text_about_the_target_alone() {
    let Some(_host) = Host::shared() else { return };
    let (server, client) = (Actor::start(), Actor::start());
    server.tell("free = listen('127.0.0.1'); number = port(free); free.close()");
    let port: u16 = server.ask("number");
    let json = Trace::ready(&mut sockwatch(&["follow", "--json", &format!("tcp/{port}")]));
    let text = Trace::ready(&mut sockwatch(&["follow", &format!("127.0.0.1:{port}")]));
    server.tell("other = listen('127.0.0.1'); l = listen('127.0.0.1', number)");
    let other: u16 = server.ask("port(other)");
    client.tell(&format!("elsewhere = connect('127.0.0.1', {other}); c = connect('127.0.0.1', {port})"));
    server.tell("s, _ = l.accept()");
    client.tell("c.close(); elsewhere.close()");
    server.tell("s.close(); l.close(); other.close()");

    let run = json.stop();
    assert!(run.sockets.iter().all(|socket| [socket.local_port(), socket.peer_port()].contains(&Some(port))));
    let mut roles: Vec<&str> = run.sockets.iter().map(|socket| socket.role()).collect();
    roles.sort_unstable();
    assert_eq!(roles, ["client", "listener", "server"]);
    text.signal(Signal::SIGINT);
    let ended = text.end();
    assert_eq!(ended.code(), 0, "{:?}", ended.stderr);
    assert!(ended.stdout[0].starts_with("TIME"), "{:?}", ended.stdout);
    assert!(ended.stdout.iter().skip(1).all(|line| line.contains(&format!("127.0.0.1:{port}"))), "{:#?}", ended.stdout);
    for event in ["bind", "listen", "connect", "accept", "close"] {
        assert!(ended.stdout.iter().any(|line| line.contains(event)), "{event} in {:#?}", ended.stdout);
    }
}

#[test]
fn a_terminal_gets_lines_if_it_is_asked_to_or_can_do_no_more() {
    let Some(_host) = Host::shared() else { return };
    let plain = sockwatch(&["follow", "--plain", "--duration", "100ms", "1"]);
    let mut dumb = sockwatch(&["follow", "--duration", "100ms", "1"]);
    dumb.env("TERM", "dumb");
    let mut command = Command::new(env!("CARGO_BIN_EXE_sockwatch"));
    command.args(["follow", "1", "--", "true"]);
    for command in [plain, dumb, command] {
        let mut terminal = Terminal::run(&command, 80, 24);
        assert_eq!(terminal.end(), 0, "{command:?}");
        let text = terminal.wait_for("none lost");
        assert!(text.contains("sockwatch: ready (") && !terminal.is_taken(), "{command:?}: {text}");
    }
}
