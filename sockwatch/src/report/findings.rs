//! What was found: the report, before it is written. It serialises as the one JSON object of `--json`.

use std::{hash::Hash, hash::Hasher, net::IpAddr, sync::Arc};

use jiff::Timestamp;
use serde::{Serialize, Serializer};

use super::rates::Series;
use crate::{
    event::{Endpoint, Errno, Process},
    untrusted::Untrusted,
};

/// The report.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "type", rename = "report")]
pub struct Findings {
    /// Of sockwatch, that made the report.
    pub version: &'static str,
    /// Where and on what each recording was made.
    pub recordings: Vec<Recording>,
    /// The first event; none if there was none.
    pub first: Option<Wall>,
    /// The last event.
    pub last: Option<Wall>,
    /// Between the two, nanoseconds.
    pub duration_ns: Option<u64>,
    /// Kernel events, whatever the filters.
    pub events: u64,
    /// Events that fired but were not recorded.
    pub lost: u64,
    /// Parts of the recordings that could not be read.
    pub unreadable: u64,
    /// Whether nothing was lost, everything could be read, and no socket has a gap.
    pub complete: bool,
    /// Sockets that are counted: those that pass the filters.
    pub sockets: u64,
    /// Those among them about which events are missing.
    pub incomplete_sockets: u64,
    /// Steps of sockets with very many, that are in no count by reason.
    pub omitted_steps: u64,
    /// Sockets by what they are for.
    pub roles: Vec<Named>,
    /// Sockets by how they ended, and those still open.
    pub ends: Vec<Named>,
    /// Connections: server and client sockets.
    pub connections: u64,
    /// Those of which a call failed, or that came to a bad end (see `--failed`).
    pub failed_connections: u64,
    /// Payload received by all of them, as far as it was counted; none if none was.
    pub received: Option<u64>,
    /// Payload that peers acknowledged.
    pub sent: Option<u64>,
    /// Connections without byte counts: still open, or not counted by this kernel.
    pub uncounted: u64,
    /// Connections and failures over time.
    pub rates: Option<Rates>,
    /// How long things took.
    pub times: Vec<Times>,
    /// Connections by how long they existed.
    pub lifetimes: Vec<Band>,
    /// Listeners, by connections that came.
    pub listeners: List<Listener>,
    /// Processes, by connections.
    pub processes: List<Traffic<Program>>,
    /// Peers, by connections.
    pub peers: List<Traffic<Host>>,
    /// Connects that came to nothing.
    pub failed_connects: List<Failed>,
    /// Binds, listens and accepts that failed.
    pub failed_calls: List<Failed>,
    /// Server sockets, by the time of their handshake.
    pub slowest_handshakes: List<Example>,
    /// Client sockets, by the time until they were connected.
    pub slowest_connects: List<Example>,
    /// Server sockets, by the time that they waited to be accepted.
    pub longest_queued: List<Example>,
    /// Resets, by who sent them.
    pub resets: Resets,
    /// Peers, by resets.
    pub reset_peers: List<ResetPeer>,
    /// Segments sent again, over all connections that were counted; none if none was.
    pub retransmits: Option<u64>,
    /// Connections, by segments sent again.
    pub most_retransmits: List<Example>,
    /// Connections, by how long they existed.
    pub longest: List<Example>,
}

/// Where and on what a recording was made.
#[derive(Clone, Debug, Serialize)]
pub struct Recording {
    /// The host's name.
    pub host: Text,
    /// The kernel's release.
    pub kernel: Text,
    /// Of the host's run.
    pub boot_id: Text,
}

/// The first rows of a list.
#[derive(Clone, Debug, Serialize)]
pub struct List<T> {
    /// How many rows there are in all.
    pub total: u64,
    /// There was not memory for all: `total` and the rows' counts are lower bounds.
    pub lower_bound: bool,
    /// The first.
    pub rows: Vec<T>,
}

/// How many sockets are so.
#[derive(Clone, Debug, Serialize)]
pub struct Named {
    /// What they are.
    pub name: &'static str,
    /// How many.
    pub count: u64,
}

/// See [`Series`].
#[derive(Clone, Debug, Serialize)]
pub struct Rates {
    /// When the first interval begins.
    pub since: Wall,
    /// The counts.
    #[serde(flatten)]
    pub series: Series,
}

/// How long something took. Quantiles are at most 1.6 % off, the rest is exact.
#[derive(Clone, Debug, Serialize)]
pub struct Times {
    /// What.
    pub name: &'static str,
    /// How often it was measured.
    pub count: u64,
    /// The median.
    pub p50_ns: Option<u64>,
    /// Nine of ten took no longer.
    pub p90_ns: Option<u64>,
    /// 99 of 100 took no longer.
    pub p99_ns: Option<u64>,
    /// The longest.
    pub max_ns: Option<u64>,
}

/// Connections that existed for less than this and not less than the band before.
#[derive(Clone, Debug, Serialize)]
pub struct Band {
    /// The bound; the last band has none.
    pub below_ns: Option<u64>,
    /// How many.
    pub count: u64,
}

/// The listeners at one address, of one process name.
#[derive(Clone, Debug, Serialize)]
pub struct Listener {
    /// The socket; none if they are several.
    pub socket: Option<String>,
    /// How many they are.
    pub sockets: u64,
    /// Where they listen.
    #[serde(serialize_with = "end")]
    pub local: Option<Endpoint>,
    /// Whose they are.
    pub process: Option<Program>,
    /// Network namespace.
    pub netns: Option<u32>,
    /// Connections that a process accepted.
    pub accepted: u64,
    /// Connections that ended before a process accepted them.
    pub not_accepted: u64,
    /// Connections that wait at the end.
    pub waiting: u64,
    /// Connections that were there before the recording.
    pub older: u64,
    /// Waits in the accept queue: the median.
    pub queue_p50_ns: Option<u64>,
    /// 99 of 100 waited no longer.
    pub queue_p99_ns: Option<u64>,
    /// The longest.
    pub queue_max_ns: Option<u64>,
    /// Connections that were dropped, mostly because the queue was full; none if none of them told.
    pub dropped: Option<u64>,
    /// Some of them did not tell: `dropped` is a lower bound.
    pub dropped_lower_bound: bool,
    /// The limit in force, of the last.
    pub backlog: Option<u32>,
}

/// The connections of a process, or with a peer.
#[derive(Clone, Debug, Serialize)]
pub struct Traffic<T> {
    /// Whose.
    #[serde(flatten)]
    pub whose: T,
    /// All of them.
    pub connections: u64,
    /// Those that came in.
    pub servers: u64,
    /// Those that went out.
    pub clients: u64,
    /// Those that failed.
    pub failed: u64,
    /// Payload received, as far as it was counted; none if none was.
    pub received: Option<u64>,
    /// Payload that the peer acknowledged.
    pub sent: Option<u64>,
    /// Those without byte counts.
    pub uncounted: u64,
}

/// Processes of one name, in one container.
#[derive(Clone, Debug, Serialize)]
pub struct Program {
    /// Their name.
    pub name: Option<Text>,
    /// The process; none if they are several, or it is not known.
    pub pid: Option<u32>,
    /// There are several.
    pub several: bool,
    /// The container's id.
    pub container: Option<Box<str>>,
}

/// A host at the other end.
#[derive(Clone, Debug, Serialize)]
pub struct Host {
    /// Its address.
    pub address: Option<IpAddr>,
    /// Its port; none if they are several, or it is not known.
    pub port: Option<u16>,
}

/// What failed in the same way.
#[derive(Clone, Debug, Serialize)]
pub struct Failed {
    /// Of a connect how it ended: `refused`, `timeout`, `unreachable`, `aborted`, `failed`. Otherwise the call.
    pub what: &'static str,
    /// Why.
    #[serde(serialize_with = "errno")]
    pub error: Option<Errno>,
    /// The address asked for.
    #[serde(serialize_with = "end")]
    pub address: Option<Endpoint>,
    /// Who asked.
    pub process: Option<Program>,
    /// How often.
    pub count: u64,
    /// One socket that did.
    pub socket: String,
}

/// Resets by who sent them.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Resets {
    /// This side was first to reset, or to close before the reset.
    pub local: u64,
    /// The other side was.
    pub peer: u64,
    /// An administrator, or a device that went.
    pub kernel: u64,
    /// Not known.
    pub unknown: u64,
}

/// A peer of connections that were reset.
#[derive(Clone, Debug, Serialize)]
pub struct ResetPeer {
    /// Who.
    #[serde(flatten)]
    pub host: Host,
    /// The resets.
    #[serde(flatten)]
    pub resets: Resets,
}

/// A socket that leads a list.
#[derive(Clone, Debug, Serialize)]
pub struct Example {
    /// Its id.
    pub socket: String,
    /// What puts it in the list: nanoseconds, or a count.
    pub value: u64,
    /// The true value is higher: it is still open, or older than the recording.
    pub lower_bound: bool,
    /// What it is for.
    pub role: Option<&'static str>,
    /// Its own end.
    #[serde(serialize_with = "end")]
    pub local: Option<Endpoint>,
    /// The other end.
    #[serde(serialize_with = "end")]
    pub peer: Option<Endpoint>,
    /// Its owner.
    pub process: Option<Program>,
    /// Its first event.
    pub first: Wall,
    /// How it ended; none while it is open, or if that is not known.
    pub how: Option<&'static str>,
    /// Whether it is open at the end.
    pub open: bool,
}

impl Program {
    /// This one process.
    pub(super) fn of(process: &Process) -> Self {
        let Process { pid, start: _, name, uid: _, executable: _, container } = process;
        Self { name: Some(Text(name.clone())), pid: *pid, several: false, container: container.clone() }
    }

    /// Nobody who is known.
    pub(super) fn unknown() -> Self {
        Self { name: None, pid: None, several: false, container: None }
    }
}

/// Text from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text(pub Untrusted);

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // The formatter escapes.
        serializer.serialize_str(&self.0.to_text())
    }
}

/// What the wall clock said, as RFC 3339, UTC, nine digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wall(pub Timestamp);

impl Wall {
    /// Of nanoseconds since 1970; what no calendar has is shown as 1970.
    pub(super) fn new(nanoseconds: i128) -> Self {
        Self(Timestamp::from_nanosecond(nanoseconds).unwrap_or(Timestamp::UNIX_EPOCH))
    }
}

impl Serialize for Wall {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:.9}", self.0))
    }
}

fn end<S: Serializer>(end: &Option<Endpoint>, serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct End {
        address: IpAddr,
        port: u16,
    }
    end.map(|Endpoint { address, port }| End { address, port }).serialize(serializer)
}

fn errno<S: Serializer>(error: &Option<Errno>, serializer: S) -> Result<S::Ok, S::Error> {
    error.map(Errno::name).serialize(serializer)
}

/// A process as a key: those of one name in one container are one.
#[derive(Clone, Debug)]
pub(super) struct SameProgram(pub(super) Arc<Process>);

impl PartialEq for SameProgram {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0.name == other.0.name && self.0.container == other.0.container
    }
}

impl Eq for SameProgram {}

impl Hash for SameProgram {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.name.hash(state);
        self.0.container.hash(state);
    }
}

/// One value, if there is one only.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum Only<T> {
    #[default]
    Nothing,
    One(T),
    Several,
}

impl<T: Copy + PartialEq> Only<T> {
    pub(super) fn add(&mut self, value: T) {
        *self = match *self {
            Self::Nothing => Self::One(value),
            Self::One(known) if known == value => Self::One(known),
            Self::One(_) | Self::Several => Self::Several,
        };
    }

    pub(super) fn one(self) -> Option<T> {
        if let Self::One(value) = self { Some(value) } else { None }
    }
}
