//! What a trace showed.

use std::collections::HashMap;

use serde_json::Value;

use super::{
    consistency,
    socket::{Event, Socket},
};

/// The lines of one trace, each of them checked against the contract, and against each other.
pub(crate) struct Run {
    pub(crate) start: Value,
    pub(crate) summary: Value,
    pub(crate) events: Vec<Event>,
    pub(crate) sockets: Vec<Socket>,
    pub(crate) lost: Vec<Value>,
}

impl Run {
    pub(super) fn read(lines: &[String]) -> Self {
        let mut values = lines.iter().map(|line| {
            assert!(line.starts_with("{\"type\":\""), "type comes first: {line}");
            serde_json::from_str::<Value>(line).unwrap_or_else(|error| panic!("no JSON ({error}): {line}"))
        });
        let start = values.next().expect("a first line");
        assert_eq!(start["type"], "start", "the first line: {start}");
        let mut run = Self { start, summary: Value::Null, events: Vec::new(), sockets: Vec::new(), lost: Vec::new() };
        for value in values {
            assert_eq!(run.summary, Value::Null, "a line after the summary: {value}");
            match value["type"].as_str() {
                Some("event") => run.events.push(Event(value)),
                Some("socket") => run.sockets.push(Socket(value)),
                Some("lost") => run.lost.push(value),
                Some("summary") => run.summary = value,
                _ => panic!("a line of an unknown type: {value}"),
            }
        }
        consistency::check(&run);
        run
    }

    /// The sockets that are so.
    pub(crate) fn sockets_where(&self, is: impl Fn(&Socket) -> bool) -> Vec<&Socket> {
        self.sockets.iter().filter(|socket| is(socket)).collect()
    }

    /// The one socket that is so. If there is none, or more, what is shown of `near` explains it.
    pub(crate) fn only(&self, what: &str, near: u16, is: impl Fn(&Socket) -> bool) -> &Socket {
        match self.sockets_where(is)[..] {
            [socket] => socket,
            ref others => panic!("{} sockets are {what}; about port {near}:\n{}", others.len(), self.about(near)),
        }
    }

    /// The listener of a port.
    pub(crate) fn listener(&self, port: u16) -> &Socket {
        self.only(&format!("the listener of port {port}"), port, |socket| {
            socket.role() == "listener" && socket.local_port() == Some(port)
        })
    }

    /// The client that a port was given to.
    pub(crate) fn client(&self, port: u16) -> &Socket {
        self.only(&format!("the client on port {port}"), port, |socket| {
            socket.role() == "client" && socket.local_port() == Some(port)
        })
    }

    /// The server's end of the connection that comes from a port.
    pub(crate) fn server(&self, peer: u16) -> &Socket {
        self.only(&format!("the server of the client on port {peer}"), peer, |socket| {
            socket.role() == "server" && socket.peer_port() == Some(peer)
        })
    }

    /// The events of a socket, in the order in which they were shown.
    pub(crate) fn events_of(&self, socket: &Socket) -> Vec<&Event> {
        self.events.iter().filter(|event| event.0["socket"] == socket.0["socket"]).collect()
    }

    /// The one event of a socket of that name.
    pub(crate) fn event(&self, socket: &Socket, name: &str) -> &Event {
        let events: Vec<_> = self.events_of(socket).into_iter().filter(|event| event.name() == name).collect();
        match events[..] {
            [event] => event,
            _ => panic!("{} events {name} of {socket:?}", events.len()),
        }
    }

    /// The changes of state of a socket: "syn_sent to established by 12".
    pub(crate) fn states(&self, socket: &Socket) -> Vec<String> {
        let name = |state: &Value| state.as_str().map(str::to_owned).expect("a state's name");
        self.events_of(socket)
            .iter()
            .filter(|event| event.name() == "state")
            .map(|event| format!("{} to {}", name(&event.0["from"]), name(&event.0["to"])))
            .collect()
    }

    /// What any run that saw the same tells of these sockets, in the order of their cookies.
    pub(crate) fn anywhere(&self) -> Vec<String> {
        let by_id: HashMap<_, _> = self.sockets.iter().map(|socket| (socket.id(), socket)).collect();
        let mut lines = self
            .sockets
            .iter()
            .map(|socket| {
                let mut line = socket.anywhere();
                for other in ["listener", "peer_socket"] {
                    let other_end = socket.0[other].as_str().and_then(|id| by_id.get(id)?.cookie());
                    line[other] = other_end.into();
                }
                (socket.cookie(), line.to_string())
            })
            .collect::<Vec<_>>();
        lines.sort_unstable();
        lines.into_iter().map(|(_, line)| line).collect()
    }

    /// Every line about a port, for a test that fails.
    pub(crate) fn about(&self, wanted: u16) -> String {
        let concerns = |line: &&Value| [&line["local"], &line["peer"]].iter().any(|end| port(end) == Some(wanted));
        let events = self.events.iter().map(|event| &event.0);
        let lines: Vec<_> = events.chain(self.sockets.iter().map(|socket| &socket.0)).filter(concerns).collect();
        lines.iter().map(|line| format!("{line}\n")).collect()
    }
}

/// The port of an end.
pub(crate) fn port(end: &Value) -> Option<u16> {
    end["port"].as_u64().and_then(|port| u16::try_from(port).ok())
}

/// The id of a process.
pub(crate) fn pid(process: &Value) -> Option<u32> {
    process["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok())
}
