//! Calls that no system-call tracepoint tells of: io_uring's, and those of 32-bit programs. What they do to sockets is seen
//! all the same.

use serde_json::Value;

use crate::support::{Actor, Host, Netns, Run, Socket, Trace};

/// How a program calls the kernel.
struct Caller {
    /// Makes an actor ready for it.
    begin: &'static str,
    /// Of a socket `s`, a `backlog`, an `address`, a `port`.
    bind: &'static str,
    listen: &'static str,
    connect: &'static str,
    /// Leaves the new descriptor in `fd`.
    accept: &'static str,
}

const URING: Caller = Caller {
    begin: "import uring; ring = uring.Ring()",
    bind: "ring.bind(s.fileno(), address, port)",
    listen: "ring.listen(s.fileno(), backlog)",
    connect: "ring.connect(s.fileno(), address, port)",
    accept: "fd = ring.accept(s.fileno())",
};

/// Its calls are made by threads of the kernel's, which belong to the process.
const URING_POLLED: Caller = Caller { begin: "import uring; ring = uring.Ring(uring.SETUP_SQPOLL)", ..URING };
const URING_WORKERS: Caller = Caller { begin: "import uring; ring = uring.Ring(sqe_flags=uring.ASYNC)", ..URING };

const I386: Caller = Caller {
    begin: "import i386",
    bind: "i386.bind(s.fileno(), address, port)",
    listen: "i386.listen(s.fileno(), backlog)",
    connect: "i386.connect(s.fileno(), address, port)",
    accept: "fd = i386.accept(s.fileno())",
};

const SOCKETCALL: Caller = Caller {
    bind: "to = i386.sockaddr(address, port); i386.page[4000:4000 + len(to)] = to; \
           i386.socketcall(i386.SYS_BIND, s.fileno(), i386.base + 4000, len(to))",
    listen: "i386.socketcall(i386.SYS_LISTEN, s.fileno(), backlog)",
    connect: "to = i386.sockaddr(address, port); i386.page[4000:4000 + len(to)] = to; \
              i386.socketcall(i386.SYS_CONNECT, s.fileno(), i386.base + 4000, len(to))",
    accept: "fd = i386.socketcall(i386.SYS_ACCEPT, s.fileno(), 0, 0)",
    ..I386
};

fn has_uring(host: &Host, netns: &Netns) -> bool {
    let probe = Actor::within(netns);
    let has = probe.ask(
        "os.path.exists('/proc/sys/kernel/io_uring_disabled') and \
                         open('/proc/sys/kernel/io_uring_disabled').read().strip() == '2'",
    );
    let disabled: bool = has;
    host.kernel_has("io_uring, or has it disabled", !disabled)
}

fn has_i386(host: &Host, netns: &Netns) -> bool {
    let probe = Actor::within(netns);
    // Without CONFIG_IA32_EMULATION the instruction kills its process.
    probe.tell("child = os.fork()\nif child == 0:\n  import i386\n  i386.call(20)\n  os._exit(0)");
    host.kernel_has(
        "system calls of 32-bit programs",
        cfg!(target_arch = "x86_64") && probe.ask("os.waitpid(child, 0)[1] == 0"),
    )
}

/// To be run alone: where programs are preempted, the tracepoints of system calls are skipped for what others do meanwhile.
fn trace(host: &Host, netns: &Netns) -> Trace {
    // Trampolines would see some of them.
    host.trace(&["--view", "states", "--probes", "tracepoints", "--netns", &netns.path().display().to_string()])
}

fn who(run: &Run, socket: &Socket, to: &str) -> Option<u32> {
    process(run, socket, to)["pid"].as_u64().and_then(|pid| pid.try_into().ok())
}

/// The process that was told to bring a socket to a state.
fn process<'a>(run: &'a Run, socket: &Socket, to: &str) -> &'a Value {
    let mut events = run.events.iter().filter(|event| event.0["socket"] == socket.0["socket"]);
    let event = events.find(|event| event.name() == "state" && event.0["to"] == to);
    &event.unwrap_or_else(|| panic!("no way to {to} of {socket:?}")).0["process"]
}

/// A server and a client that make all their calls that way. `knows_all` says whether the kernel has a way for bind and listen,
/// too.
fn serves_a_client(host: &Host, netns: &Netns, caller: &Caller, knows_all: bool) {
    let trace = trace(host, netns);
    let (server, client) = (Actor::within(netns), Actor::within(netns));
    for actor in [&server, &client] {
        actor.tell(caller.begin);
        actor.tell("s = tcp('127.0.0.1'); address, port, backlog = '127.0.0.1', 8000, 7");
    }
    if knows_all {
        server.tell(caller.bind);
        server.tell(caller.listen);
        server.tell("backlog = 5");
        server.tell(caller.listen);
    } else {
        server.tell("s.bind((address, port)); s.listen(5)");
    }
    client.tell(caller.connect);
    server.tell(caller.accept);
    client.tell("s.sendall(b'question')");
    server.tell("accepted = socket(fileno=fd); read(accepted, 8); accepted.sendall(b'answer')");
    client.tell("read(s, 6); here = s.getsockname()[1]; s.close()");
    server.tell("accepted.close(); s.close()");
    let here: u16 = client.ask("here");
    client.tell("s = tcp('127.0.0.1'); port = 8001");
    assert_eq!(client.fail(caller.connect), "ECONNREFUSED");
    client.tell("s.close()");
    let run = trace.stop();

    let (pid, listener, served, asked) = (server.pid(), run.listener(8000), run.server(here), run.client(here));
    if knows_all {
        assert_eq!(listener.path(), format!("listen by {pid}, close"), "the change of state tells of listen()");
        assert_eq!(listener.fd(), None);
    } else {
        assert_eq!(listener.path(), format!("bind by {pid}, listen by {pid}, close"));
    }
    assert_eq!(listener.ends(), "127.0.0.1:8000 to -");
    assert_eq!(listener.pid(), Some(pid));
    assert_eq!(listener.number("backlog"), Some(5), "of the last listen()");
    assert_eq!(listener.number("backlog_given"), (!knows_all).then_some(5));
    assert_eq!(listener.number("accepted"), Some(1), "somebody closed it, so somebody had it");
    assert_eq!(served.path(), "syn_received, established, close", "the accept was not seen");
    assert_eq!((served.pid(), served.fd(), served.number("accept_queue_ns")), (None, None, None), "nobody is guessed");
    assert_eq!(served.0["listener"], listener.0["socket"]);
    assert_eq!((served.ending().as_str(), served.bytes()), ("by peer, fin", Some((8, 6))));
    assert_eq!(who(&run, served, "last_ack"), Some(pid));
    assert_eq!(asked.path(), format!("connect by {}, established, close", client.pid()));
    assert_eq!((asked.pid(), asked.fd()), (Some(client.pid()), None));
    assert_eq!((asked.ending().as_str(), asked.bytes()), ("by local, fin, then time_wait", Some((6, 8))));
    let refused = run.only("refused", 8001, |socket| socket.peer_port() == Some(8001));
    assert_eq!(refused.path(), format!("connect by {}, close", client.pid()));
    assert_eq!(refused.ending(), "by peer, refused: ECONNREFUSED");
    assert_eq!(run.sockets.len(), 4, "{:?}", run.sockets);
}

#[test]
fn a_server_and_a_client_of_io_uring_are_told_by_what_they_do() {
    let Some(host) = Host::alone() else { return };
    let netns = host.netns();
    if !has_uring(&host, &netns) {
        return;
    }
    let probe = Actor::within(&netns);
    probe.tell(URING.begin);
    let knows_all: bool = probe.ask("ring.knows(uring.BIND) and ring.knows(uring.LISTEN)");
    for caller in [URING, URING_POLLED, URING_WORKERS] {
        serves_a_client(&host, &host.netns(), &caller, knows_all);
    }
}

#[test]
fn a_server_and_a_client_that_are_32_bit_programs_are_told_by_what_they_do() {
    let Some(host) = Host::alone() else { return };
    let netns = host.netns();
    if !has_i386(&host, &netns) {
        return;
    }
    for caller in [I386, SOCKETCALL] {
        serves_a_client(&host, &host.netns(), &caller, true);
    }
}

#[test]
fn sockets_that_no_descriptor_table_holds_are_told_as_others_are() {
    let Some(host) = Host::alone() else { return };
    let netns = host.netns();
    if !has_uring(&host, &netns) {
        return;
    }
    let trace = trace(&host, &netns);
    let (server, client) = (Actor::within(&netns), Actor::within(&netns));
    for actor in [&server, &client] {
        actor.tell(URING.begin);
    }
    server.tell("s = listen('127.0.0.1', 8000)");
    client.tell("ring.socket(place=3); ring.connect(3, '127.0.0.1', 8000, flags=uring.FIXED_FILE)");
    server.tell("ring.accept(s.fileno(), place=5)");
    client.tell("ring.send(3, b'question', flags=uring.FIXED_FILE)");
    server.tell("assert ring.recv(5, 8, flags=uring.FIXED_FILE) == b'question'; ring.close(place=5)");
    client.tell("assert ring.recv(3, 1, flags=uring.FIXED_FILE) == b''; ring.close(place=3)");
    // Until Linux 6.10 the kernel closes it later, up to a second.
    trace.stdout().wait_for("the ends of both", |lines| {
        (lines.iter().filter(|line| line.starts_with("{\"type\":\"socket\"")).count() >= 2).then_some(())
    });
    // Held by the ring alone when both processes end.
    client.tell("ring.socket(place=3); ring.connect(3, '127.0.0.1', 8000, flags=uring.FIXED_FILE)");
    server.tell("ring.accept(s.fileno(), place=5)");
    let (server_pid, client_pid) = (server.pid(), client.pid());
    let run = trace.stop();

    let listener = run.listener(8000);
    assert_eq!(listener.path(), format!("bind by {server_pid}, listen by {server_pid}"));
    let ended = |socket: &Socket| !socket.0["close"].is_null();
    let of = |role: &'static str, closed: bool| {
        run.only(role, 8000, |socket| socket.role() == role && ended(socket) == closed)
    };
    let (served, asked) = (of("server", true), of("client", true));
    assert_eq!(served.path(), "syn_received, established, close");
    assert_eq!((served.ending().as_str(), served.bytes()), ("by local, fin, then time_wait", Some((8, 0))));
    let closed_by = process(&run, served, "fin_wait_1");
    let is_kernels = closed_by["name"].as_str().is_some_and(|name| name.starts_with("kworker/"));
    assert!(closed_by["pid"] == server_pid || is_kernels, "{closed_by}");
    assert_eq!(served.pid(), None);
    assert_eq!(asked.path(), format!("connect by {client_pid}, established, close"));
    assert_eq!((asked.pid(), asked.fd(), asked.ending().as_str()), (Some(client_pid), None, "by peer, fin"));
    for socket in [of("server", false), of("client", false)] {
        assert_eq!((&socket.0["state"], socket.fd()), (&Value::from("established"), None));
    }
    assert_eq!(run.sockets.len(), 5, "{:?}", run.sockets);
}

#[test]
fn a_connection_that_io_uring_accepted_is_not_taken_for_one_that_nobody_accepted() {
    let Some(host) = Host::alone() else { return };
    let netns = host.netns();
    if !has_uring(&host, &netns) {
        return;
    }
    let trace = trace(&host, &netns);
    let (server, client) = (Actor::within(&netns), Actor::within(&netns));
    server.tell(URING.begin);
    server.tell("s = listen('127.0.0.1', 8000)");
    client.tell("cs = [connect('127.0.0.1', 8000) for _ in range(4)]");
    let ports: Vec<u16> = client.ask("[port(c) for c in cs]");
    server.tell("kept = [socket(fileno=ring.accept(s.fileno())) for _ in range(3)]");
    // With its listener already gone: it resets, its peer resets it, it goes on. And one that nobody accepted.
    server.tell("s.close(); reset(kept[0])");
    client.tell("reset(cs[1])");
    let run = trace.stop();

    let endings = [0, 1, 2, 3].map(|nth| run.server(ports[nth]).ending());
    assert_eq!(endings, ["by local, reset", "by peer, reset: ECONNRESET", "open", "by local, unaccepted"]);
    let listener = run.listener(8000);
    assert_eq!(listener.number("accepted"), Some(3), "what outlived it: {:?}", run.sockets);
}
