//! What happens on a host, and what the report then says.

mod page;

use jiff::Timestamp;
use serde_json::Value;

use super::*;
use crate::{
    clock::Clock,
    event::{CallKind, Errno, Event, Mark, State, Stats},
    lane::Lane,
    output::stories::{MS, Story, client, counted, hopeless, named, process, together, web_server},
    source::Step as SourceStep,
    untrusted::Untrusted,
};

const OPTIONS: Options = Options { top: 10, timeline: None };

fn facts() -> Facts {
    let text = |text: &str| Untrusted::new(text.as_bytes());
    let start = Start {
        host: text("web-1"),
        kernel: text("6.12.1"),
        boot_id: text("3f0e6f7e"),
        probes: Vec::new(),
        degraded: Vec::new(),
    };
    Facts { starts: vec![start], events: 17, lost: 0, unreadable: 0, complete: true }
}

/// Has a run lived through that begins at 18:04:11 UTC.
fn play(aggregate: &mut Aggregate, prefix: &str, events: Vec<Event>) {
    let start: Timestamp = "2026-11-22T18:04:11Z".parse().unwrap();
    let mut lane = Lane::new(Scene { clock: Clock::at(start.as_nanosecond()), prefix: prefix.to_owned() });
    for event in events {
        let now = event.time;
        lane.take(SourceStep::Event(event));
        lane.take(SourceStep::Settled { now, events: 0 });
        lane.tell(aggregate).unwrap();
    }
    lane.take(SourceStep::End);
    lane.tell(aggregate).unwrap();
}

fn found_with(filter: Filter, events: Vec<Event>) -> Findings {
    let mut aggregate = Aggregate::new(filter, OPTIONS);
    play(&mut aggregate, "", events);
    aggregate.finish(&facts()).0
}

fn found(events: Vec<Event>) -> Findings {
    found_with(Filter::default(), events)
}

fn object(findings: &Findings) -> Value {
    let mut line = Vec::new();
    json::write(&mut line, findings).unwrap();
    assert_eq!(line.iter().filter(|&&byte| byte == b'\n').count(), 1);
    serde_json::from_slice(&line).unwrap()
}

fn told(findings: &Findings) -> String {
    let mut out = Vec::new();
    text::write(&mut out, findings, text::Options { utc: true, ..text::Options::default() }).unwrap();
    String::from_utf8(out).unwrap()
}

/// A listener with three connections: one accepted, one reset in the queue, one still waiting.
fn shop() -> Vec<Event> {
    let listener = Story::new(1, process("nginx", 812), "0.0.0.0:80", "").listen(MS, 6, 4096, 511);
    let child = |id: u64, peer: &str, at: Time| {
        Story::new(id, process("nginx", 814), "10.0.0.4:80", peer).child_of(1).to(at, State::SynReceived, 0).to(
            at + 10_000,
            State::Established,
            1680,
        )
    };
    let accepted = child(2, "10.0.0.5:55715", 100 * MS)
        .call(100 * MS + 60_000, CallKind::Accept, 9, 0)
        .step(200 * MS, State::CloseWait)
        .step(201 * MS, State::LastAck)
        .close(202 * MS, false, Stats { fin_received: true, retransmits: 3, ..counted(79, 613) })
        .destroyed(203 * MS);
    let reset = child(3, "10.0.0.6:1024", 300 * MS)
        .mark(310 * MS, Mark::ResetReceived)
        .close(310 * MS, false, Stats { error: Errno::new(104), unheld: true, ..counted(0, 0) })
        .destroyed(311 * MS);
    let waiting = child(4, "10.0.0.5:55716", 400 * MS);
    together([listener, accepted, reset, waiting])
}

#[test]
fn a_web_servers_morning_fits_on_a_page() {
    let page = told(&found([web_server(), client(b"curl", "10.0.0.4:40000", "10.0.0.9:443").events].concat()));
    assert_eq!(page, include_str!("tests/morning.txt"));
}

#[test]
fn a_listener_tells_what_came_and_what_was_not_accepted() {
    let findings = found(shop());
    let [listener] = &findings.listeners.rows[..] else { panic!("{:?}", findings.listeners) };
    assert_eq!(listener.socket.as_deref(), Some("s1"));
    assert_eq!((listener.accepted, listener.not_accepted, listener.waiting, listener.older), (1, 1, 1, 0));
    assert_eq!([listener.queue_p50_ns, listener.queue_p99_ns, listener.queue_max_ns], [Some(50_000); 3]);
    assert_eq!((listener.backlog, listener.dropped), (Some(511), None));
    assert!(!listener.dropped_lower_bound);
}

#[test]
fn listeners_that_share_an_address_are_one_row() {
    let worker = |id: u64, drops: Option<u32>| {
        let story = Story::new(id, process("nginx", 800 + id as u32), "0.0.0.0:80", "").listen(id * MS, 6, 128, 128);
        let child = Story::new(10 + id, process("nginx", 800 + id as u32), "10.0.0.4:80", "10.0.0.5:1000")
            .child_of(id)
            .to(100 * MS, State::SynReceived, 0)
            .to(101 * MS, State::Established, 1680)
            .call(102 * MS, CallKind::Accept, 9, 0);
        let story = match drops {
            Some(drops) => story.close(500 * MS, true, Stats { drops, ..Stats::default() }).destroyed(501 * MS),
            None => story,
        };
        [story, child]
    };
    let findings = found(together([worker(1, Some(4)), worker(2, None), worker(3, Some(5))].into_iter().flatten()));
    let [listener] = &findings.listeners.rows[..] else { panic!("{:?}", findings.listeners) };
    assert_eq!((listener.sockets, listener.accepted, &listener.socket), (3, 3, &None));
    assert!(listener.process.as_ref().unwrap().several);
    // One of them is open, and has not told.
    assert_eq!((listener.dropped, listener.dropped_lower_bound), (Some(9), true));
}

#[test]
fn what_a_listener_dropped_before_it_was_found_is_a_lower_bound() {
    let stats = Stats { drops: 3, backlog: 128, ..Stats::default() };
    let mut events = Story::new(1, process("sshd", 7), "0.0.0.0:22", "").exists(0, State::Listen, true, stats).events;
    events.push(Event { time: 1, what: crate::event::What::Surveyed });
    let listener = &found(events).listeners.rows[0];
    assert_eq!((listener.dropped, listener.dropped_lower_bound), (Some(3), true));
}

#[test]
fn processes_and_peers_are_counted_with_their_bytes() {
    let mut events = shop();
    events.extend(client(b"curl", "10.0.0.4:40000", "10.0.0.9:443").events);
    let findings = found(events);
    let rows: Vec<_> = findings
        .processes
        .rows
        .iter()
        .map(|row| (row.whose.name.as_ref().map(|name| name.0.to_string()), row.connections, row.servers, row.received))
        .collect();
    assert_eq!(
        rows,
        [
            // Nobody accepted them.
            (None, 2, 2, Some(0)),
            (Some("curl".into()), 1, 0, Some(1_204_000)),
            (Some("nginx".into()), 1, 1, Some(78)),
        ]
    );
    let peers: Vec<_> = findings
        .peers
        .rows
        .iter()
        .map(|row| (row.whose.address.unwrap().to_string(), row.whose.port, row.connections))
        .collect();
    assert_eq!(
        peers,
        [
            ("10.0.0.5".to_owned(), None, 2),
            ("10.0.0.6".to_owned(), Some(1024), 1),
            ("10.0.0.9".to_owned(), Some(443), 1)
        ]
    );
}

#[test]
fn failed_connects_are_counted_by_reason_target_and_process() {
    for (errno, what) in [(111, "refused"), (110, "timeout"), (113, "unreachable"), (0, "aborted")] {
        let findings = found(hopeless(errno, 3));
        let [row] = &findings.failed_connects.rows[..] else { panic!("{:?}", findings.failed_connects) };
        assert_eq!((row.what, row.count, row.socket.as_str()), (what, 1, "s1"));
        assert_eq!(row.address.unwrap().to_string(), "10.0.0.9:81");
        assert_eq!(row.process.as_ref().unwrap().pid, Some(99));
        assert_eq!(row.error, Errno::new(errno));
    }
}

#[test]
fn each_attempt_of_one_socket_counts() {
    let attempt = |story: Story, at: Time| {
        story.to(at * MS, State::SynSent, 0).close(
            (at + 1) * MS,
            false,
            Stats { error: Errno::new(111), ..Stats::default() },
        )
    };
    let story = Story::new(1, process("curl", 99), "10.0.0.4:40000", "10.0.0.9:81");
    let findings = found(attempt(attempt(attempt(story, 0), 100), 200).destroyed(900 * MS).events);
    assert_eq!((findings.sockets, findings.connections, findings.failed_connections), (1, 1, 1));
    assert_eq!(findings.failed_connects.rows[0].count, 3);
}

#[test]
fn a_connect_that_fails_before_a_syn_names_its_errno() {
    let events =
        Story::new(1, process("curl", 99), "", "10.0.0.9:81").call(0, CallKind::Connect, 3, 101).destroyed(MS).events;
    let findings = found(events);
    let [row] = &findings.failed_connects.rows[..] else { panic!("{:?}", findings.failed_connects) };
    assert_eq!((row.what, row.error.unwrap().name().as_str(), row.count), ("failed", "ENETUNREACH", 1));
}

#[test]
fn failed_binds_tell_the_address_asked_for() {
    let events = Story::new(1, process("nginx", 812), "[::1]:80", "").call(0, CallKind::Bind, 3, 98).events;
    let findings = found(events);
    let [row] = &findings.failed_calls.rows[..] else { panic!("{:?}", findings.failed_calls) };
    assert_eq!((row.what, row.error.unwrap().name().as_str()), ("bind", "EADDRINUSE"));
    assert_eq!(row.address.unwrap().to_string(), "[::1]:80");
}

#[test]
fn the_slowest_lead_their_lists() {
    let clients = (1..=20u64).map(|n| {
        Story::new(n, process("curl", 99), "10.0.0.4:40000", "10.0.0.9:81").to(n * 1000 * MS, State::SynSent, 0).to(
            n * 1000 * MS + n * MS,
            State::Established,
            1680,
        )
    });
    let findings = found(together(clients));
    let values: Vec<u64> = findings.slowest_connects.rows.iter().map(|row| row.value / MS).collect();
    assert_eq!(values, [20, 19, 18, 17, 16, 15, 14, 13, 12, 11]);
    assert_eq!((findings.slowest_connects.total, findings.slowest_connects.rows[0].socket.as_str()), (20, "s20"));
    let connect = findings.times.iter().find(|times| times.name == "connect").unwrap();
    assert_eq!((connect.count, connect.max_ns), (20, Some(20 * MS)));
}

#[test]
fn what_is_open_at_the_end_is_a_lower_bound() {
    let open = Story::new(1, process("ssh", 7), "10.0.0.4:40000", "10.0.0.9:22").to(0, State::SynSent, 0).to(
        MS,
        State::Established,
        1680,
    );
    let later = client(b"curl", "10.0.0.4:40001", "10.0.0.9:443");
    let findings = found(together([open, later]));
    let longest = &findings.longest.rows[0];
    assert_eq!((longest.socket.as_str(), longest.lower_bound, longest.open), ("s1", true, true));
    assert_eq!(longest.value, 23 * MS);
    let lifetimes: u64 = findings.lifetimes.iter().map(|band| band.count).sum();
    assert_eq!(lifetimes, 1, "one that is open has no lifetime yet");
    assert_eq!(findings.uncounted, 1);
}

#[test]
fn resets_and_retransmits_are_told_by_peer_and_socket() {
    let findings = found(shop());
    assert_eq!((findings.resets.peer, findings.resets.local), (1, 0));
    assert_eq!(findings.reset_peers.rows[0].host.address.unwrap().to_string(), "10.0.0.6");
    assert_eq!(findings.retransmits, Some(3));
    let [row] = &findings.most_retransmits.rows[..] else { panic!("{:?}", findings.most_retransmits) };
    assert_eq!((row.socket.as_str(), row.value), ("s2", 3));
}

#[test]
fn a_filter_chooses_what_is_counted() {
    let filter = Filter { peer_ports: vec![55715], ..Filter::default() };
    let findings = found_with(filter, shop());
    assert_eq!((findings.sockets, findings.connections), (1, 1));
    // The listener is not counted, but its connection is known by it.
    let listener = &findings.listeners.rows[0];
    assert_eq!((listener.sockets, listener.accepted, listener.not_accepted), (0, 1, 0));
    assert_eq!(listener.local.unwrap().to_string(), "0.0.0.0:80");
}

#[test]
fn sockets_of_several_recordings_are_told_apart() {
    let mut aggregate = Aggregate::new(Filter::default(), OPTIONS);
    play(&mut aggregate, "1.", shop());
    play(&mut aggregate, "2.", shop());
    let (findings, _) = aggregate.finish(&facts());
    assert_eq!(findings.sockets, 8);
    // The same address and process name: one row, of two sockets.
    let listener = &findings.listeners.rows[0];
    assert_eq!((listener.sockets, listener.accepted), (2, 2));
    let sockets: Vec<&str> = findings.most_retransmits.rows.iter().map(|row| row.socket.as_str()).collect();
    assert_eq!(sockets, ["1.s2", "2.s2"]);
}

#[test]
fn a_loss_makes_the_report_incomplete() {
    let complete = |facts: &Facts| Aggregate::new(Filter::default(), OPTIONS).finish(facts).0.complete;
    assert!(complete(&facts()));
    assert!(!complete(&Facts { lost: 1, ..facts() }));
    assert!(!complete(&Facts { unreadable: 1, ..facts() }));
    assert!(!complete(&Facts { complete: false, ..facts() }));
    let lost = Event { time: 5 * MS, what: crate::event::What::Lost { count: None, since: MS } };
    assert!(!found(vec![lost]).complete);
}

#[test]
fn the_json_says_null_where_nothing_is_known() {
    let object = object(&found(hopeless(111, 3)));
    assert_eq!(object["type"], "report");
    assert_eq!(object["first"], "2026-11-22T18:04:11.000000000Z");
    assert_eq!(object["duration_ns"], 4 * MS);
    assert_eq!([&object["received"], &object["retransmits"]], [&Value::Null, &Value::Null]);
    assert_eq!(object["times"][0]["p50_ns"], Value::Null);
    assert_eq!(object["failed_connects"]["rows"][0]["address"]["port"], 81);
    let failed = object["rates"]["failed"].as_array().unwrap();
    assert_eq!(failed.iter().filter_map(Value::as_u64).sum::<u64>(), 1);
    assert_eq!(object["recordings"][0]["host"], "web-1");
}

#[test]
fn no_name_can_drive_a_terminal() {
    let events = client("\x1b]0;x\x07\u{202e}".as_bytes(), "10.0.0.4:40000", "10.0.0.9:443").events;
    let findings = found(events);
    let mut line = Vec::new();
    json::write(&mut line, &findings).unwrap();
    for shown in [told(&findings), String::from_utf8(line).unwrap()] {
        assert!(!shown.contains(['\x1b', '\x07', '\u{202e}']), "{shown}");
    }
}

#[test]
fn nothing_is_a_report_too() {
    let findings = found(Vec::new());
    assert!(told(&findings).contains("no events"));
    assert_eq!(object(&findings)["first"], Value::Null);
}
