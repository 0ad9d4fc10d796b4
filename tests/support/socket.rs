//! A line, in words that a test can compare.

use std::fmt;

use serde_json::Value;

use super::run::{pid, port};

/// A `socket` line.
pub(crate) struct Socket(pub(crate) Value);

/// An `event` line.
pub(crate) struct Event(pub(crate) Value);

impl Socket {
    pub(crate) fn id(&self) -> &str {
        self.0["socket"].as_str().expect("an id")
    }

    /// Its role; empty for null.
    pub(crate) fn role(&self) -> &str {
        self.0["role"].as_str().unwrap_or_default()
    }

    pub(crate) fn local_port(&self) -> Option<u16> {
        port(&self.0["local"])
    }

    pub(crate) fn peer_port(&self) -> Option<u16> {
        port(&self.0["peer"])
    }

    /// Both its ends: "127.0.0.1:80 to 127.0.0.1:40000", "- " for one that it has not.
    pub(crate) fn ends(&self) -> String {
        format!("{} to {}", end(&self.0["local"]), end(&self.0["peer"]))
    }

    /// Who owns it.
    pub(crate) fn pid(&self) -> Option<u32> {
        pid(&self.0["process"])
    }

    pub(crate) fn fd(&self) -> Option<i64> {
        self.0["fd"].as_i64()
    }

    /// Its milestones: "bind by 12, listen by 12, close". Who closed is told by the states.
    pub(crate) fn path(&self) -> String {
        let steps = self.0["path"].as_array().expect("a path").iter().map(|step| {
            let phase = step["phase"].as_str().expect("a phase");
            let by =
                step["pid"].as_u64().filter(|_| phase != "close").map(|pid| format!(" by {pid}")).unwrap_or_default();
            let error = step["error"].as_str().map(|error| format!(": {error}")).unwrap_or_default();
            format!("{phase}{by}{error}")
        });
        steps.collect::<Vec<_>>().join(", ")
    }

    /// How it ended: "by peer, reset: ECONNRESET", "by local, fin, then time_wait", "open".
    pub(crate) fn ending(&self) -> String {
        let close = &self.0["close"];
        if close.is_null() {
            return "open".to_owned();
        }
        let word = |field: &str| close[field].as_str().unwrap_or("unknown");
        let then = match &close["time_wait"] {
            Value::Bool(true) => ", then time_wait",
            Value::Bool(false) => "",
            _ => ", then perhaps time_wait",
        };
        let error = close["error"].as_str().map(|error| format!(": {error}")).unwrap_or_default();
        format!("by {}, {}{then}{error}", word("by"), word("how"))
    }

    /// Payload received and sent.
    pub(crate) fn bytes(&self) -> Option<(u64, u64)> {
        let bytes = &self.0["bytes"];
        Some((bytes["received"].as_u64()?, bytes["sent"].as_u64()?))
    }

    /// A duration or count; none for null.
    pub(crate) fn number(&self, field: &str) -> Option<u64> {
        let value = self.0.get(field).unwrap_or_else(|| panic!("{self:?} has no {field}"));
        (!value.is_null()).then(|| value.as_u64().unwrap_or_else(|| panic!("{field} is no count in {self:?}")))
    }

    /// The kernel's name for it.
    pub(crate) fn cookie(&self) -> Option<u64> {
        self.0["cookie"].as_u64()
    }

    /// What any run tells of it: its cookie names it, if it has one, and nothing is timed.
    pub(crate) fn anywhere(&self) -> Value {
        let mut line = self.0.clone();
        let fields = line.as_object_mut().expect("an object");
        let own = ["socket", "listener", "peer_socket", "destroyed"];
        fields.retain(|name, _| !name.ends_with("_ns") && !own.contains(&name.as_str()));
        for step in fields["path"].as_array_mut().expect("a path") {
            step.as_object_mut().expect("an object").remove("time");
        }
        // Who is quick enough finds the executable of a process that ends at once in /proc, who is not does not.
        if let Some(process) = fields["process"].as_object_mut() {
            process.remove("executable");
        }
        line
    }

    /// When its first milestone of that name was.
    pub(crate) fn time_of(&self, phase: &str) -> &str {
        let mut path = self.0["path"].as_array().expect("a path").iter();
        let step = path.find(|step| step["phase"] == phase).unwrap_or_else(|| panic!("no {phase} in {self:?}"));
        step["time"].as_str().expect("a time")
    }
}

impl Event {
    pub(crate) fn name(&self) -> &str {
        self.0["event"].as_str().expect("an event's name")
    }

    pub(crate) fn pid(&self) -> Option<u32> {
        pid(&self.0["process"])
    }

    pub(crate) fn fd(&self) -> Option<i64> {
        self.0["fd"].as_i64()
    }
}

fn end(value: &Value) -> String {
    match (value["address"].as_str(), port(value)) {
        (Some(address), Some(port)) if address.contains(':') => format!("[{address}]:{port}"),
        (Some(address), Some(port)) => format!("{address}:{port}"),
        _ => "-".to_owned(),
    }
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}
