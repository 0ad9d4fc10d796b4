//! What happens on a host, and what the files then hold.

mod csv;
mod docs;
mod parquet;
mod perfetto;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;

use super::{To, What, show};
use crate::{
    clock::Clock,
    event::{CallKind, Event, Mark, State, Stats},
    lane::Lane,
    output::{
        Scene,
        stories::{MS, Story, client, counted, hopeless, process, together, web_server},
    },
    select::Filter,
    source::Step,
};

/// A run whose events begin at 18:04:11 UTC.
fn scene(prefix: &str) -> Scene {
    let start: Timestamp = "2026-11-22T18:04:11Z".parse().unwrap();
    Scene { prefix: prefix.into(), ..Scene::new(Clock::at(start.as_nanosecond())) }
}

/// What is written of these runs.
fn exported(to: To, what: Option<What>, filter: Filter, runs: Vec<(Scene, Vec<Event>)>) -> Vec<u8> {
    let mut out = Vec::new();
    let mut show = show(&mut out, to, what, filter).unwrap();
    let mut events = 0;
    for (scene, run) in runs {
        let mut lane = Lane::new(scene);
        for event in run {
            let now = event.time;
            events += 1;
            lane.take(Step::Event(event));
            lane.take(Step::Settled { now, events });
            lane.tell(&mut show).unwrap();
        }
        lane.take(Step::End);
        lane.tell(&mut show).unwrap();
    }
    show.finish(events).unwrap();
    drop(show);
    out
}

fn one_run(to: To, what: What, events: Vec<Event>) -> Vec<u8> {
    exported(to, Some(what), Filter::default(), vec![(scene(""), events)])
}

/// A bit of everything: servers, clients, failures, IPv6, sockets of before, sockets that stay.
fn busy_host() -> Vec<Event> {
    let spaced = |id: u64, events: Vec<Event>| -> Vec<Event> {
        let mut events = events;
        for event in &mut events {
            event.time += id;
        }
        events
    };
    let taken = Story::new(11, process("nginx", 812), "[::1]:80", "").call(0, CallKind::Bind, 3, 98);
    let open = Story::new(12, process("sshd", 7), "[fd00::1]:22", "[fd00::2]:1024")
        .to(MS, State::SynSent, 0)
        .to(2 * MS, State::Established, 1680)
        .mark(3 * MS, Mark::Retransmit);
    let old = Story::new(13, process("redis", 9), "10.0.0.4:6379", "10.0.0.9:5000").exists(
        1,
        State::Established,
        true,
        counted(5, 6),
    );
    let reset = Story::new(14, process("curl", 77), "10.0.0.4:40001", "10.0.0.9:443")
        .to(MS, State::SynSent, 0)
        .to(2 * MS, State::Established, 1680)
        .mark(3 * MS, Mark::Retransmit)
        .mark(4 * MS, Mark::ResetReceived)
        .close(4 * MS, false, Stats { retransmits: 1, ..counted(10, 20) })
        .destroyed(5 * MS);
    let twice = Story::new(15, process("retry", 5), "10.0.0.4:1025", "10.0.0.9:81")
        .to(MS, State::SynSent, 0)
        .close(2 * MS, false, Stats { error: crate::event::Errno::new(111), ..Stats::default() })
        .to(3 * MS, State::SynSent, 0)
        .to(4 * MS, State::Established, 1680);
    let mut events = together([taken, open, old, reset, twice, client(b"curl", "10.0.0.4:40000", "10.0.0.9:80")]);
    events.push(Event { time: 2, what: crate::event::What::Surveyed });
    events.extend(spaced(0, web_server()));
    events.extend(spaced(7, hopeless(110, 70_000)));
    events.sort_by_key(|event| event.time);
    events
}

/// A JSON object as columns: `{"local":{"port":80}}` is `local_port`.
fn flattened(line: &str) -> BTreeMap<String, String> {
    fn add(columns: &mut BTreeMap<String, String>, name: String, value: &Value) {
        match value {
            Value::Object(fields) => {
                for (field, value) in fields {
                    let name = if name.is_empty() { field.clone() } else { format!("{name}_{field}") };
                    add(columns, name, value);
                }
            }
            Value::Null => {}
            Value::String(text) => drop(columns.insert(name, text.clone())),
            other => drop(columns.insert(name, other.to_string())),
        }
    }
    let mut columns = BTreeMap::new();
    add(&mut columns, String::new(), &serde_json::from_str(line).unwrap());
    columns
}
