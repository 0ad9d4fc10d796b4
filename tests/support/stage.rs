//! Two processes in a network namespace, and a trace that shows everything that happens there.

use super::{Actor, Host, Netns, Run, Socket, Trace};

/// A server that listens as `l` on port 8000 of 127.0.0.1, a client, and a trace of their network namespace.
pub(crate) struct Stage {
    pub(crate) trace: Trace,
    pub(crate) server: Actor,
    pub(crate) client: Actor,
    pub(crate) netns: Netns,
    pub(crate) host: Host,
}

/// What was seen of it.
pub(crate) struct Seen {
    pub(crate) run: Run,
    /// The server's process.
    pub(crate) server: u32,
    pub(crate) client: u32,
}

impl Stage {
    pub(crate) fn new() -> Option<Self> {
        Self::bare(|_| ()).inspect(|stage| stage.server.tell("l = listen('127.0.0.1', 8000)"))
    }

    /// One where no listener is there, and the namespace was prepared.
    pub(crate) fn bare(prepare: impl FnOnce(&Netns)) -> Option<Self> {
        let host = Host::shared()?;
        let netns = host.netns();
        prepare(&netns);
        let trace = host.trace(&["--view", "states", "--netns", &netns.path().display().to_string()]);
        let (server, client) = (Actor::within(&netns), Actor::within(&netns));
        Some(Self { trace, server, client, netns, host })
    }

    /// A connection, `c` and `s`. Returns the client's port.
    pub(crate) fn connect(&self) -> u16 {
        self.client.tell("c = connect('127.0.0.1', 8000)");
        self.server.tell("s, _ = l.accept()");
        self.client.ask("port(c)")
    }

    /// Waits until the trace showed a line with all these pieces: what happens in the kernel's own time has happened.
    pub(crate) fn shows(&self, pieces: &[&str]) {
        self.trace.stdout().wait_for(&format!("a line with {pieces:?}"), |lines| {
            lines.iter().any(|line| pieces.iter().all(|piece| line.contains(piece))).then_some(())
        });
    }

    /// Waits until so many sockets are closed and gone.
    pub(crate) fn shows_ends(&self, count: usize) {
        self.trace.stdout().wait_for(&format!("the ends of {count} sockets"), |lines| {
            (lines.iter().filter(|line| line.starts_with("{\"type\":\"socket\"")).count() >= count).then_some(())
        });
    }

    pub(crate) fn stop(self) -> Seen {
        let Self { trace, server, client, netns: _netns, host: _host } = self;
        Seen { run: trace.stop(), server: server.pid(), client: client.pid() }
    }
}

impl Seen {
    /// How the client's end of a connection ended, and how the server's.
    pub(crate) fn endings(&self, port: u16) -> [String; 2] {
        [self.run.client(port).ending(), self.run.server(port).ending()]
    }

    /// Who changed a socket's state.
    pub(crate) fn who(&self, socket: &Socket, to: &str) -> Option<u32> {
        let events = self.run.events_of(socket);
        let event = events.iter().find(|event| event.name() == "state" && event.0["to"] == to);
        event.unwrap_or_else(|| panic!("no way to {to} of {socket:?}")).pid()
    }
}
