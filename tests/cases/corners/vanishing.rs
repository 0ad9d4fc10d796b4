//! What goes away under sockets, and what is used again at once.

use std::{fs, path::Path, process::Command, time::SystemTime};

use crate::support::{Actor, Host, Seen, Stage, Trace, wait_for};

#[test]
fn a_network_namespace_goes_with_its_last_socket() {
    let Some(host) = Host::shared() else { return };
    let trace = host.trace(&["--view", "states"]);
    let netns = host.netns();
    let inode = netns.inode();
    let (server, client) = (Actor::within(&netns), Actor::within(&netns));
    server.tell("l = listen('127.0.0.1', 8000)");
    client.tell("c, waits = connect('127.0.0.1', 8000), connect('127.0.0.1', 8000)");
    server.tell("s, _ = l.accept()");
    // Its name goes first; what is in it goes on.
    drop(netns);
    client.tell("c.sendall(b'still')");
    server.tell("read(s, 5)");
    let (server_pid, client_pid) = (server.pid(), client.pid());
    server.kill();
    client.kill();
    trace.stdout().wait_for("the ends of all sockets", |lines| {
        let ends =
            lines.iter().filter(|line| line.starts_with("{\"type\":\"socket\"") && line.contains(&inode.to_string()));
        (ends.count() >= 5).then_some(())
    });
    let run = trace.stop();

    let here = run.sockets_where(|socket| socket.0["netns"] == inode);
    assert_eq!(here.len(), 5, "{here:?}");
    let of = |role: &str| here.iter().filter(|socket| socket.role() == role).copied().collect::<Vec<_>>();
    let ([listener], [_, _], [_, _]) = (&of("listener")[..], &of("server")[..], &of("client")[..]) else {
        panic!("{here:?}")
    };
    assert_eq!((listener.pid(), listener.number("accepted")), (Some(server_pid), Some(1)));
    for socket in here {
        assert!(socket.0["close"]["how"].is_string() && socket.0["complete"] == true, "{socket:?}");
        if socket.role() == "client" {
            assert_eq!(socket.pid(), Some(client_pid));
        }
    }
}

/// `ip netns` makes a name before it mounts the namespace on it, and takes it away after.
#[test]
fn a_name_that_leads_to_no_network_namespace_is_passed_over() {
    let Some(host) = Host::shared() else { return };
    let netns = host.netns();
    let file = netns.path().with_extension("empty");
    fs::write(&file, "").expect("root may write there");
    let run = host.trace(&["--netns", &netns.path().display().to_string()]).stop();
    fs::remove_file(&file).expect("it is ours");

    let degraded = run.start["degraded"].as_array().expect("a list");
    assert!(!degraded.iter().any(|missing| missing["probe"] == "existing sockets"), "{degraded:?}");
}

#[test]
fn one_address_pair_that_is_used_again_at_once_is_another_socket_each_time() {
    let Some(stage) = Stage::new() else { return };
    stage.client.tell(
        "
def again(times):
    for _ in range(times):
        c = tcp('127.0.0.1'); c.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
        c.bind(('127.0.0.1', 5000)); c.connect(('127.0.0.1', 8000)); c.sendall(b'x'); reset(c)",
    );
    stage.server.tell(
        "
def serve(times):
    for _ in range(times):
        s, _ = l.accept()
        try:
            while True: s.recv(1)
        except ConnectionResetError:
            s.close()",
    );
    stage.server.begin("serve(300)");
    stage.client.tell("again(300)");
    stage.server.finish::<()>();
    stage.shows_ends(600);
    let Seen { run, server, client } = stage.stop();

    let listener = run.listener(8000);
    assert_eq!(listener.number("accepted"), Some(300));
    let of = |role: &str| run.sockets_where(|socket| socket.role() == role);
    assert_eq!((of("client").len(), of("server").len()), (300, 300));
    for socket in of("client") {
        assert_eq!(socket.path(), format!("bind by {client}, connect by {client}, established, close"));
        assert_eq!(socket.ending(), "by local, reset");
        let peer = run.only("the other end", 5000, |other| other.0["socket"] == socket.0["peer_socket"]);
        assert_eq!((peer.pid(), &peer.0["peer_socket"]), (Some(server), &socket.0["socket"]));
        assert_eq!(peer.ending(), "by peer, reset: ECONNRESET");
        assert_eq!(peer.0["listener"], listener.0["socket"]);
    }
}

#[test]
fn a_pid_that_is_used_again_is_another_process() {
    let Some(host) = Host::shared() else { return };
    let trace = host.trace(&[]);
    // In a pid namespace of its own, the next pid can be chosen.
    let inside = Actor::through("unshare", &["--pid", "--fork", "--kill-child", "--mount-proc"]);
    inside.tell(
        "
import ctypes
def as_pid(pid, name, code):
    with open('/proc/sys/kernel/ns_last_pid', 'w') as last: last.write(str(pid - 1))
    child = Child(globals())
    child.ask(f\"import ctypes; ctypes.CDLL(None).prctl(15, {name!r}, 0, 0, 0)\")
    child.ask(code)
    ports.append(child.ask('port(l)'))
    child.lines.close(); os.waitpid(child.pid, 0)
    return child.pid
ports = []",
    );
    let pids: Vec<u32> =
        inside.ask("[as_pid(77, name, \"l = listen('127.0.0.1')\") for name in (b'first', b'second', b'third')]");
    let ports: Vec<u16> = inside.ask("ports");
    let run = trace.stop();

    assert_eq!(pids, [77, 77, 77]);
    for (port, name) in ports.into_iter().zip(["first", "second", "third"]) {
        let listener = run.listener(port);
        assert_eq!(listener.0["process"]["name"], name, "{listener:?}");
        assert_eq!(listener.ending(), "by local, closed");
    }
}

/// A processor that is taken offline, and back online with it.
struct Offline<'a>(&'a Path);

impl Drop for Offline<'_> {
    fn drop(&mut self) {
        fs::write(self.0, "1").expect("it comes back");
    }
}

#[test]
fn what_happens_while_a_processor_goes_and_comes_is_all_told() {
    let Some(host) = Host::alone() else { return };
    let online = Path::new("/sys/devices/system/cpu/cpu1/online");
    let can = fs::read_to_string(online).is_ok_and(|text| text.trim() == "1")
        && fs::OpenOptions::new().write(true).open(online).is_ok();
    if !host.kernel_has("second processor that can be taken offline", can) {
        return;
    }
    let netns = host.netns();
    let trace = host.trace(&["--netns", &netns.path().display().to_string()]);
    let (server, client) = (Actor::within(&netns), Actor::within(&netns));
    server.tell("l = listen('127.0.0.1', 8000)");
    let converse = || {
        server.begin("for _ in range(20): l.accept()[0].close()");
        client.tell("for _ in range(20): c = connect('127.0.0.1', 8000); assert c.recv(1) == b''; c.close()");
        server.finish::<()>();
    };
    converse();
    {
        if fs::write(online, "0").is_err() {
            host.kernel_has("processor that may be taken offline", false);
            return;
        }
        let _offline = Offline(online);
        converse();
    }
    wait_for("the processor", || fs::read_to_string(online).is_ok_and(|text| text.trim() == "1").then_some(()));
    converse();
    let run = trace.stop();

    assert_eq!(run.listener(8000).number("accepted"), Some(60));
    assert_eq!(run.sockets.len(), 121, "the listener and both ends of sixty connections");
    assert!(run.sockets.iter().all(|socket| socket.0["complete"] == true), "{:?}", run.summary);
}

#[test]
fn times_are_the_hosts_whatever_a_time_namespace_says() {
    let Some(host) = Host::shared() else { return };
    if !host.kernel_has("time namespaces", Path::new("/proc/self/ns/time").exists()) {
        return;
    }
    let trace = host.trace(&[]);
    let before = SystemTime::now();
    let elsewhen = Actor::through(
        "unshare",
        &["--time", "--boottime", "1000000", "--monotonic", "1000000", "--fork", "--kill-child"],
    );
    elsewhen.tell("l = listen('127.0.0.1')");
    let port: u16 = elsewhen.ask("port(l)");
    let after = SystemTime::now();
    let run = trace.stop();

    let listener = run.listener(port);
    assert_between(listener.time_of("listen"), before, after);
    assert_eq!(listener.0["process"]["name"], "python3", "a process is known by when it began");
}

#[test]
fn sockwatch_in_a_time_namespace_shows_the_hosts_times() {
    let Some(host) = Host::shared() else { return };
    if !host.kernel_has("time namespaces", Path::new("/proc/self/ns/time").exists()) {
        return;
    }
    let elsewhen = Actor::through(
        "unshare",
        &["--time", "--boottime", "1000000", "--monotonic", "1000000", "--fork", "--kill-child"],
    );
    let within: u32 = elsewhen.ask("os.getpid()");
    let mut command = Command::new("nsenter");
    command.arg(format!("--time=/proc/{within}/ns/time")).arg(env!("CARGO_BIN_EXE_sockwatch"));
    let trace = Trace::ready(command.args(["trace", "--json"]));
    let before = SystemTime::now();
    let server = Actor::start();
    server.tell("l = listen('127.0.0.1')");
    let port: u16 = server.ask("port(l)");
    let after = SystemTime::now();
    // Not only at its end.
    trace.stdout().wait_for("its listen", |lines| {
        let is_its = |line: &&String| line.contains("\"listen\"") && line.contains(&format!("\"port\":{port}}}"));
        lines.iter().find(is_its).map(|_| ())
    });
    let run = trace.stop();

    assert_between(run.listener(port).time_of("listen"), before, after);
}

/// To the second: the two clocks are not read at once.
fn assert_between(told: &str, before: SystemTime, after: SystemTime) {
    let told: jiff::Timestamp = told.parse().expect("a time");
    let second = jiff::SignedDuration::from_secs(1);
    let [before, after] = [before, after].map(|time| jiff::Timestamp::try_from(time).expect("a time"));
    assert!(before - second < told && told < after + second, "{told}, between {before} and {after}");
}
