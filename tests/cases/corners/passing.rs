//! Sockets that go from hand to hand: who did what is told of the one who did it.

use std::fs;

use crate::support::{Actor, Seen, Stage, data, wait_for};

#[test]
fn a_process_accepts_after_it_became_another_program() {
    let Some(stage) = Stage::new() else { return };
    let Stage { server, client, .. } = &stage;
    server.tell("os.set_inheritable(l.fileno(), True)");
    let fd: i32 = server.ask("l.fileno()");
    let actor = data("actor.py");
    server.begin(&format!("os.execv(sys.executable, ['another', '{}'])", actor.display()));
    let path = format!("/proc/{}/cmdline", server.pid());
    wait_for("another program", || fs::read(&path).is_ok_and(|line| line.starts_with(b"another")).then_some(()));
    server.tell(&format!("import ctypes; ctypes.CDLL(None).prctl(15, b'another', 0, 0, 0); l = socket(fileno={fd})"));
    client.tell("c = connect('127.0.0.1', 8000)");
    let port: u16 = client.ask("port(c)");
    server.tell("s, _ = l.accept()");
    let Seen { run, server: pid, .. } = stage.stop();

    let (listener, served) = (run.listener(8000), run.server(port));
    assert_eq!((listener.pid(), &listener.0["process"]["name"]), (Some(pid), &"python3".into()));
    assert_eq!((served.pid(), &served.0["process"]["name"]), (Some(pid), &"another".into()));
    assert_eq!(served.0["listener"], listener.0["socket"]);
}

#[test]
fn a_duplicate_of_a_descriptor_keeps_the_socket_open() {
    let Some(stage) = Stage::new() else { return };
    let port = stage.connect();
    let Stage { server, client, .. } = &stage;
    let fd: i64 = server.ask("s.fileno()");
    server.tell("d = os.dup(s.fileno()); s.close(); s = socket(fileno=d); s.sendall(b'still here')");
    client.tell("read(c, 10)");
    // close_range(2)
    server.tell("import ctypes; assert ctypes.CDLL(None).syscall(436, d, d, 0) == 0; s.detach()");
    client.tell("assert c.recv(1) == b''; c.close()");
    let seen = stage.stop();

    let served = seen.run.server(port);
    assert_eq!(served.path(), format!("syn_received, established, accept by {}, close", seen.server));
    assert_eq!(served.fd(), Some(fd), "as it was accepted");
    assert_eq!((served.ending(), served.bytes()), ("by local, fin, then time_wait".into(), Some((0, 10))));
    assert_eq!(seen.who(served, "fin_wait_1"), Some(seen.server));
}

#[test]
fn a_listener_that_is_passed_on_is_credited_with_what_its_new_holder_accepts() {
    let Some(stage) = Stage::new() else { return };
    let Stage { server: giver, client, netns, .. } = &stage;
    let taker = Actor::within(netns);
    let path = format!("@sockwatch-{}", crate::support::unique());
    taker.tell(&format!("u = socket(AF_UNIX); u.bind('\\0{path}'); u.listen()"));
    giver.tell(&format!("v = socket(AF_UNIX); v.connect('\\0{path}'); send_fds(v, [b'x'], [l.fileno()]); l.close()"));
    taker.tell("w, _ = u.accept(); _, fds, _, _ = recv_fds(w, 1, 1); l = socket(fileno=fds[0])");
    client.tell("c = connect('127.0.0.1', 8000)");
    let port: u16 = client.ask("port(c)");
    taker.tell("s, _ = l.accept()");
    let taker_pid = taker.pid();
    taker.tell("l.close()");
    let seen = stage.stop();

    let (listener, served) = (seen.run.listener(8000), seen.run.server(port));
    assert_eq!(listener.path(), format!("bind by {0}, listen by {0}, close", seen.server));
    assert_eq!((listener.pid(), seen.who(listener, "closed")), (Some(seen.server), Some(taker_pid)));
    assert_eq!((served.pid(), listener.number("accepted")), (Some(taker_pid), Some(1)));
    assert_eq!(served.0["listener"], listener.0["socket"]);
}

#[test]
fn a_connection_that_another_process_takes_is_closed_by_that_one() {
    let Some(stage) = Stage::new() else { return };
    let port = stage.connect();
    let Stage { server, client, netns, .. } = &stage;
    let taker = Actor::within(netns);
    let fd: i32 = server.ask("s.fileno()");
    // pidfd_getfd(2)
    taker.tell(&format!("import ctypes; there = os.pidfd_open({})", server.pid()));
    taker.tell(&format!("s = socket(fileno=ctypes.CDLL(None, use_errno=True).syscall(438, there, {fd}, 0))"));
    server.tell("s.close()");
    taker.tell("s.sendall(b'taken')");
    client.tell("read(c, 5)");
    taker.tell("s.close()");
    client.tell("assert c.recv(1) == b''; c.close()");
    let taker_pid = taker.pid();
    let seen = stage.stop();

    let served = seen.run.server(port);
    assert_eq!(served.path(), format!("syn_received, established, accept by {}, close", seen.server));
    assert_eq!(served.pid(), Some(seen.server), "who accepted it");
    assert_eq!(seen.who(served, "fin_wait_1"), Some(taker_pid), "who closed it");
    assert_eq!((served.ending(), served.bytes()), ("by local, fin, then time_wait".into(), Some((0, 5))));
}
