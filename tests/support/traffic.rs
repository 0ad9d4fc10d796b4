//! A bit of everything that happens to sockets, done by real programs.

use super::{Actor, Netns, Nginx};

/// A server and a client in a network namespace. Some of their sockets are there from the beginning, some to the end.
pub(crate) struct Traffic<'a> {
    netns: &'a Netns,
    server: Actor,
    client: Actor,
}

impl<'a> Traffic<'a> {
    /// The sockets that are older than the trace: a listener, a connection that was accepted, and one that waits for it.
    pub(crate) fn begin(netns: &'a Netns) -> Self {
        let (server, client) = (Actor::within(netns), Actor::within(netns));
        server.tell("old = listen('127.0.0.1', 7500)");
        client.tell("older = connect('127.0.0.1', 7500)");
        server.tell("oldest, _ = old.accept()");
        client.tell("waiting = connect('127.0.0.1', 7500)");
        Self { netns, server, client }
    }

    /// nginx serves curl on both families; connections are closed by either side, reset, refused, aborted, never accepted;
    /// a bind fails; old sockets end, and some go on.
    pub(crate) fn run(&self) {
        let Self { netns, server, client } = self;
        let nginx = Nginx::within(netns, 7501);
        assert!(nginx.answers("[::1]"), "over IPv6");
        drop(nginx);
        server.tell("l4, l6 = listen('127.0.0.1', 7502), listen('::1', 7503)");
        assert_eq!(server.fail("listen('127.0.0.1', 7502)"), "EADDRINUSE");
        server.tell("import gc; gc.collect()");
        for (address, port, listener) in [("127.0.0.1", 7502, "l4"), ("::1", 7503, "l6")] {
            let connect = format!("c = connect('{address}', {port}); c.sendall(b'question')");
            let accept = format!("s, _ = {listener}.accept(); read(s, 8); s.sendall(b'answer')");
            // The client closes; the server closes; the client resets.
            for (first, second) in [("c.close()", ""), ("", "s.close()"), ("reset(c)", "")] {
                client.tell(&connect);
                server.tell(&accept);
                client.tell(&format!("read(c, 6); {first}"));
                server.tell(second);
                client.tell("c.close()");
                server.tell("s.close()");
            }
            client.tell(&format!("refused = tcp('{address}')"));
            assert_eq!(client.fail(&format!("refused.connect(('{address}', 7599))")), "ECONNREFUSED");
            client.tell("refused.close()");
        }
        client.tell("unaccepted = connect('127.0.0.1', 7502)");
        server.tell("l4.close()");
        client.tell("unaccepted.close()");
        client.tell("older.close()");
        server.tell("oldest.close(); late, _ = old.accept()");
        client.tell("lasting = connect('::1', 7503)");
    }

    /// Everything that goes on ends.
    pub(crate) fn end(self) {
        let Self { netns: _, server, client } = self;
        client.kill();
        server.kill();
    }
}
