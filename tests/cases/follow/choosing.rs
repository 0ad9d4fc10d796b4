//! A filter is typed.

use crate::support::{Actor, Host, Terminal, sockwatch};

/// A server with a connection of each of two clients, and a terminal in which it is followed.
fn followed() -> (Actor, [Actor; 2], [u16; 2], Terminal) {
    let server = Actor::start();
    server.tell("l = listen('127.0.0.1')");
    let port: u16 = server.ask("port(l)");
    let clients = [Actor::start(), Actor::start()];
    for client in &clients {
        client.tell(&format!("c = connect('127.0.0.1', {port})"));
        server.tell("s, _ = l.accept(); kept = globals().get('kept', []) + [s]");
    }
    let peers = [clients[0].ask("port(c)"), clients[1].ask("port(c)")];
    let terminal = Terminal::run(&sockwatch(&["follow", &port.to_string()]), 100, 30);
    terminal.wait_until("both connections", |text| peers.iter().all(|peer| shows(text, *peer)));
    (server, clients, peers, terminal)
}

fn shows(text: &str, peer: u16) -> bool {
    text.lines().any(|line| line.contains(&format!("127.0.0.1:{peer} ")))
}

#[test]
fn what_is_typed_chooses_the_rows_and_escape_shows_all_again() {
    let Some(_host) = Host::shared() else { return };
    let (server, _clients, [one, other], mut terminal) = followed();
    terminal.keys(&format!("/127.0.0.1:{one}"));
    terminal.wait_for(&format!("/127.0.0.1:{one}█"));
    terminal.keys("\r");
    let text = terminal.wait_for("1 of 2 open");
    assert!(
        text.starts_with("follow ")
            && text.lines().next().is_some_and(|header| header.contains(&format!(" · /127.0.0.1:{one} · "))),
        "{text}"
    );
    assert!(shows(&text, one) && !shows(&text, other), "{text}");
    // Typed anew: what was there is there to be changed.
    terminal.keys("/");
    terminal.wait_for(&format!("/127.0.0.1:{one}█"));
    terminal.keys(&format!("\x15{other} established python*\r"));
    let text = terminal.wait_until("the other one", |text| shows(text, other));
    assert!(!shows(&text, one), "{text}");
    server.tell("kept[1].close()");
    terminal.wait_until("that it is no longer established", |text| !shows(text, other) && text.contains("0 of 1 open"));
    terminal.keys("\x1b");
    let text = terminal.wait_until("both again", |text| shows(text, one) && shows(text, other));
    assert!(text.contains("1 open") && !text.contains(" of 1 open"), "{text}");
    terminal.keys("q");
    assert_eq!(terminal.end(), 0);
}

#[test]
fn what_is_not_understood_is_said_and_can_be_mended() {
    let Some(_host) = Host::shared() else { return };
    let (_server, _clients, [one, other], mut terminal) = followed();
    terminal.keys("/127.0.0.0/33\r");
    let text = terminal.wait_for("127.0.0.0/33: a prefix length is a number from 0 to 32 for this address");
    assert!(shows(&text, one) && shows(&text, other), "{text}");
    // One too many, and a process that does not exist.
    terminal.keys("\x7f nobody\r");
    let text = terminal.wait_until("that there is nothing", |text| text.contains("0 of 2 open"));
    assert!(text.contains(" · /127.0.0.0/3 nobody · "), "{text}");
    // Left with nothing changed; keys are keys again.
    terminal.keys("/q");
    terminal.wait_for("/127.0.0.0/3 nobodyq█");
    terminal.keys("\x1b");
    terminal.wait_until("the keys", |text| text.contains("q quit") && text.contains("0 of 2 open"));
    terminal.keys("q");
    assert_eq!(terminal.end(), 0);
}
