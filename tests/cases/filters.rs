//! Each filter shows what it should, whole, and nothing else.

use std::collections::BTreeSet;

use crate::support::{Actor, Host, Netns, Run, Socket, Trace};

/// What the host does: a server (root) listens on 7100 and on `[::1]:7101`; a client (nobody, from 127.0.0.5) connects to
/// both, and is refused on 7199.
struct Story {
    server: Actor,
    client: Actor,
}

const EVERYTHING: [&str; 7] = [
    "client of 7100",
    "client of 7101",
    "client of 7199",
    "listener of 7100",
    "listener of 7101",
    "server of 7100",
    "server of 7101",
];

impl Story {
    fn begin(netns: &Netns) -> Self {
        // So that a client's port can be told beforehand.
        netns.sysctl("net.ipv4.ip_local_port_range", "30000 30009");
        let (server, client) = (Actor::within(netns), Actor::within(netns));
        client.tell("import ctypes; ctypes.CDLL(None).prctl(15, b'sw-client', 0, 0, 0)");
        client.tell("os.setresuid(65534, 65534, 65534)");
        Self { server, client }
    }

    fn tell(&self) {
        let Self { server, client } = self;
        server.tell("l4, l6 = listen('127.0.0.1', 7100), listen('::1', 7101)");
        client.tell("c4 = tcp('127.0.0.1'); c4.bind(('127.0.0.5', 0)); c4.connect(('127.0.0.1', 7100))");
        client.tell("c6 = connect('::1', 7101)");
        client.tell("lost = tcp('127.0.0.1')");
        assert_eq!(client.fail("lost.connect(('127.0.0.1', 7199))"), "ECONNREFUSED");
        client.tell("lost.close()");
        server.tell("s4, s6 = l4.accept()[0], l6.accept()[0]");
        client.tell("c4.close(); c6.close()");
        server.tell("s4.close(); s6.close(); l4.close(); l6.close()");
    }
}

fn shown(run: &Run) -> Vec<String> {
    let port = |socket: &Socket| {
        let ports = [socket.local_port(), socket.peer_port()];
        ports.into_iter().flatten().find(|port| (7100..7200).contains(port)).expect("a port of the story")
    };
    let shown: BTreeSet<_> =
        run.sockets.iter().map(|socket| format!("{} of {}", socket.role(), port(socket))).collect();
    shown.into_iter().collect()
}

#[test]
fn each_filter_shows_the_sockets_that_it_names_with_their_whole_path() {
    // So many traces read their counters so often that more beside them would have the kernel skip a call's program now and
    // then (`bpf_disable_instrumentation` in include/linux/bpf.h), which is counted as lost.
    let Some(host) = Host::alone() else { return };
    let netns = host.netns();
    let story = Story::begin(&netns);
    let (of_server, of_client) = (format!("--pid {}", story.server.pid()), format!("--pid {}", story.client.pid()));
    let ephemeral: String = (30000..30010).map(|port| format!("--local-port {port} ")).collect();
    let (clients, servers) = (&EVERYTHING[..3], &EVERYTHING[3..]);
    let filters: &[(&str, &[&str])] = &[
        ("", &EVERYTHING),
        ("--port 7100", &["client of 7100", "listener of 7100", "server of 7100"]),
        ("-p 7100 -p 7199", &["client of 7100", "client of 7199", "listener of 7100", "server of 7100"]),
        ("--local-port 7100", &["listener of 7100", "server of 7100"]),
        (&ephemeral, clients),
        ("--peer-port 7101", &["client of 7101"]),
        (&of_server, servers),
        (&of_client, clients),
        ("--process sw-client", clients),
        ("--process sw-*nt", clients),
        ("--process sw", &[]),
        ("--role listener", &EVERYTHING[3..5]),
        ("--role server", &EVERYTHING[5..]),
        ("--role client --role listener", &EVERYTHING[..5]),
        ("--failed", &["client of 7199"]),
        ("--address 127.0.0.5", &["client of 7100", "server of 7100"]),
        ("--address 127.0.0.4/30", &["client of 7100", "server of 7100"]),
        ("--address ::1", &["client of 7101", "listener of 7101", "server of 7101"]),
        ("--family 6", &["client of 7101", "listener of 7101", "server of 7101"]),
        ("--uid 65534", clients),
        ("--uid nobody", clients),
        ("--uid 0 --port 7100", &["listener of 7100", "server of 7100"]),
    ];
    let path = netns.path().display().to_string();
    let inode = netns.inode().to_string();
    // All of them watch the same story. What else runs on this host is in other namespaces.
    let traces: Vec<Trace> = filters
        .iter()
        .enumerate()
        .map(|(nth, (filter, _))| {
            let netns = if nth % 2 == 0 { &path } else { &inode };
            let filter: Vec<&str> = filter.split_whitespace().collect();
            host.trace(&[&["--netns", netns], &filter[..]].concat())
        })
        .collect();
    story.tell();
    for (trace, (filter, expected)) in traces.into_iter().zip(filters) {
        let run = trace.stop();
        assert_eq!(shown(&run), *expected, "{filter}");
        for socket in &run.sockets {
            check_path(socket, &story, &format!("{filter}: of {:?}", run.sockets));
        }
    }
}

/// A filter breaks no path: the connect of a client that had no port yet, and the bind of what was to be a listener,
/// are there. (That the events tell the same as the path is checked of every run.)
fn check_path(socket: &Socket, story: &Story, filter: &str) {
    let (server, client) = (story.server.pid(), story.client.pid());
    let expected = match (socket.role(), socket.peer_port()) {
        ("listener", _) => format!("bind by {server}, listen by {server}, close"),
        ("server", _) => format!("syn_received, established, accept by {server}, close"),
        (_, Some(7100)) => format!("bind by {client}, connect by {client}, established, close"),
        (_, Some(7101)) => format!("connect by {client}, established, close"),
        _ => format!("connect by {client}, close"),
    };
    assert_eq!(socket.path(), expected, "{filter}");
}

#[test]
fn a_bind_that_failed_is_found_by_the_port_that_it_asked_for() {
    let Some(host) = Host::shared() else { return };
    let netns = host.netns();
    let path = netns.path().display().to_string();
    let server = Actor::within(&netns);
    server.tell("l = listen('127.0.0.1', 7100)");
    let by_port = host.trace(&["--netns", &path, "--port", "7100"]);
    let failed = host.trace(&["--netns", &path, "--failed"]);
    assert_eq!(server.fail("listen('127.0.0.1', 7100)"), "EADDRINUSE");
    server.tell("import gc; gc.collect()");

    let expected = format!("bind by {}: EADDRINUSE", server.pid());
    let run = by_port.stop();
    assert_eq!(run.sockets.iter().map(Socket::path).collect::<BTreeSet<_>>(), [String::new(), expected.clone()].into());
    let run = failed.stop();
    assert_eq!(run.sockets.iter().map(Socket::path).collect::<Vec<_>>(), [expected]);
}
