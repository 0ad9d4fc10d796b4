//! What holds for every line of every trace, whatever happened on the host.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

use super::{
    run::{Run, pid},
    socket::{Event, Socket},
};

const MILESTONES: [&str; 7] = ["bind", "listen", "connect", "syn_received", "established", "accept", "close"];
const SIGNALS: [&str; 4] = ["state", "retransmit", "reset_sent", "reset_received"];

const START: [&str; 6] = ["version", "host", "kernel", "boot_id", "probes", "degraded"];
const EVENT: [&str; 8] = ["time", "socket", "event", "local", "peer", "process", "fd", "error"];
const SOCKET: [&str; 23] = [
    "socket",
    "cookie",
    "netns",
    "transport",
    "family",
    "role",
    "local",
    "peer",
    "listener",
    "process",
    "fd",
    "path",
    "state",
    "handshake_ns",
    "accept_queue_ns",
    "connect_ns",
    "lifetime_ns",
    "bytes",
    "rtt_us",
    "retransmits",
    "close",
    "peer_socket",
    "complete",
];
const LISTENER: [&str; 5] = ["accepted", "backlog", "backlog_given", "queue", "dropped"];
const SUMMARY: [&str; 4] = ["events", "sockets", "lost", "complete"];

/// A milestone, as both kinds of lines tell it.
type Step<'a> = (&'a str, &'a str, Option<u32>, Option<&'a str>);

pub(super) fn check(run: &Run) {
    has(&run.start, &START);
    assert_ne!(run.summary, Value::Null, "the last line is the summary");
    has(&run.summary, &SUMMARY);
    // Of what a recording may have lack at its end, nobody knows how much it is.
    let lost: u64 = run.lost.iter().map(|line| line["count"].as_u64().unwrap_or(0)).sum();
    assert!(run.lost.iter().all(|line| line["count"].is_u64() || line["count"].is_null()), "{:?}", run.lost);
    assert_eq!(run.summary["lost"], lost, "the lost lines add up to the summary's");
    // A change of state may be missing without having been counted: then its socket says so.
    let whole = run.lost.is_empty() && run.sockets.iter().all(|socket| socket.0["complete"] == true);
    assert_eq!(run.summary["complete"], whole, "{}", run.summary);
    assert_eq!(run.summary["sockets"], run.sockets.len(), "{}", run.summary);

    let mut told: HashMap<&str, Vec<Step<'_>>> = HashMap::new();
    for event in &run.events {
        check_event(event);
        if MILESTONES.contains(&event.name()) {
            let id = event.0["socket"].as_str().expect("an id");
            let time = event.0["time"].as_str().expect("a time");
            told.entry(id).or_default().push((event.name(), time, event.pid(), event.0["error"].as_str()));
        }
    }
    let mut ids = HashSet::new();
    for socket in &run.sockets {
        check_socket(socket);
        assert!(ids.insert(socket.id()), "a second line for {socket:?}");
        if !run.events.is_empty() {
            let told = told.remove(socket.id()).unwrap_or_default();
            assert_eq!(told, path(socket), "the events tell the path of {socket:?}");
        }
    }
    assert!(told.is_empty(), "events of sockets that have no line: {told:?}");
    check_pairs(run);
}

fn check_event(event: &Event) {
    has(&event.0, &EVENT);
    assert!(MILESTONES.contains(&event.name()) || SIGNALS.contains(&event.name()), "{event:?}");
    check_time(&event.0["time"]);
    check_process(&event.0["process"]);
    check_end(&event.0["local"]);
    check_end(&event.0["peer"]);
    if event.name() == "state" {
        has(&event.0, &["from", "to"]);
    }
}

fn check_socket(socket: &Socket) {
    let value = &socket.0;
    has(value, &SOCKET);
    if socket.role() == "listener" {
        has(value, &LISTENER);
    }
    check_process(&value["process"]);
    check_end(&value["local"]);
    check_end(&value["peer"]);
    assert!(["traced", "snapshot"].contains(&value["origin"].as_str().unwrap_or_default()), "{socket:?}");
    assert!(["listener", "server", "client", ""].contains(&socket.role()), "{socket:?}");
    let path = path(socket);
    assert!(path.is_sorted_by_key(|step| step.1), "times don't go back: {socket:?}");
    for step in value["path"].as_array().expect("a path") {
        check_time(&step["time"]);
    }
    let ended = !value["close"].is_null();
    if ended {
        has(&value["close"], &["by", "how", "time_wait", "error"]);
    }
    if value["complete"] == true && value["origin"] == "traced" {
        let phases: Vec<_> = path.iter().map(|step| step.0).collect();
        assert!(is_whole(socket.role(), &phases, ended), "complete, but not whole: {socket:?}");
        // One that is closed may still be held.
        let is_gone = value["destroyed"].is_string();
        assert_eq!(socket.number("lifetime_ns").is_some(), is_gone, "{socket:?}");
        assert!(ended || !is_gone, "{socket:?}");
        // A reset that tells how it ended may be still to come when the trace ends.
        assert!(!is_gone || value["close"]["how"].is_string(), "{socket:?}");
    }
}

/// Whether nothing that must have happened is missing in a path.
fn is_whole(role: &str, phases: &[&str], ended: bool) -> bool {
    let has = |phase| phases.contains(&phase);
    match role {
        // One whose connect failed before a SYN is never closed.
        "client" => has("connect"),
        "server" => has("syn_received") && (!ended || has("close")),
        "listener" => has("listen") && (!ended || has("close")),
        _ => true,
    }
}

/// The two ends of a connection name each other.
fn check_pairs(run: &Run) {
    let by_id: HashMap<_, _> = run.sockets.iter().map(|socket| (socket.id(), socket)).collect();
    for socket in &run.sockets {
        let Some(peer) = socket.0["peer_socket"].as_str().and_then(|peer| by_id.get(peer)) else { continue };
        if started(peer) > 1 && peer.0["peer_socket"] != socket.0["socket"] {
            // It has been something else since.
            continue;
        }
        assert_eq!((&socket.0["local"], &socket.0["peer"]), (&peer.0["peer"], &peer.0["local"]), "{socket:?} {peer:?}");
        assert_eq!(peer.0["peer_socket"], socket.0["socket"], "{socket:?} {peer:?}");
    }
}

/// How often it connected or listened.
fn started(socket: &Socket) -> usize {
    path(socket).iter().filter(|step| ["connect", "listen"].contains(&step.0)).count()
}

fn path(socket: &Socket) -> Vec<Step<'_>> {
    let steps = socket.0["path"].as_array().expect("a path").iter();
    steps
        .map(|step| {
            let word = |field: &str| step[field].as_str().unwrap_or_else(|| panic!("no {field} in {socket:?}"));
            (word("phase"), word("time"), pid(step), step["error"].as_str())
        })
        .collect()
}

fn has(line: &Value, fields: &[&str]) {
    for field in fields {
        assert!(line.get(field).is_some(), "{field} is missing in {line}");
    }
}

/// RFC 3339, UTC, nine digits.
fn check_time(time: &Value) {
    let shape = "0000-00-00T00:00:00.000000000Z";
    let time = time.as_str().unwrap_or_default();
    let same = |(a, b): (char, char)| if a == '0' { b.is_ascii_digit() } else { a == b };
    assert!(time.len() == shape.len() && shape.chars().zip(time.chars()).all(same), "{time:?} is no time");
}

fn check_process(process: &Value) {
    if !process.is_null() {
        has(process, &["pid", "tid", "name", "uid"]);
    }
}

fn check_end(end: &Value) {
    if !end.is_null() {
        assert!(end["address"].as_str().is_some_and(|address| address.parse::<std::net::IpAddr>().is_ok()), "{end}");
        assert!(end["port"].as_u64().is_some_and(|port| port <= 65535), "{end}");
    }
}
