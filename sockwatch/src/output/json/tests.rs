use serde_json::Value;

use super::*;
use crate::{
    clock::Clock,
    event::{CallKind, Errno, Event, Stats, What},
    output::{
        View,
        stories::{MS, Story, client, counted, hopeless, process, shown, web_server},
    },
    untrusted::Untrusted,
};

fn lines(view: View, events: Vec<Event>) -> Vec<String> {
    shown(&mut Json::new(), view, events).lines().map(String::from).collect()
}

fn parsed(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

#[test]
fn an_accepted_connection_is_told_step_by_step_and_whole() {
    let lines = lines(View::Path, web_server());
    let about: Vec<&String> = lines.iter().filter(|line| line.contains(r#""socket":"s2""#)).collect();
    assert_eq!(
        about[2],
        concat!(
            r#"{"type":"event","time":"2026-11-22T18:04:15.880060000Z","socket":"s2""#,
            r#","event":"accept","transport":"tcp","netns":4026531840"#,
            r#","local":{"address":"10.0.0.4","port":80},"peer":{"address":"10.0.0.5","port":55715}"#,
            r#","process":{"pid":814,"tid":814,"name":"nginx","uid":33}"#,
            r#","fd":9,"error":null,"listener":"s1","accept_queue_ns":50000}"#,
        )
    );
    assert_eq!(
        about[3],
        concat!(
            r#"{"type":"event","time":"2026-11-22T18:04:15.892910000Z","socket":"s2""#,
            r#","event":"close","transport":"tcp","netns":4026531840"#,
            r#","local":{"address":"10.0.0.4","port":80},"peer":{"address":"10.0.0.5","port":55715}"#,
            r#","process":null,"fd":null,"error":null"#,
            r#","close":{"by":"peer","how":"fin","time_wait":false,"error":null}}"#,
        )
    );
    assert_eq!(
        about[4],
        concat!(
            r#"{"type":"socket","socket":"s2","cookie":4098,"netns":4026531840,"transport":"tcp""#,
            r#","family":"ipv4","role":"server""#,
            r#","local":{"address":"10.0.0.4","port":80},"peer":{"address":"10.0.0.5","port":55715},"listener":"s1""#,
            r#","process":{"pid":814,"tid":814,"name":"nginx","uid":33"#,
            r#","executable":"/usr/sbin/nginx","container":null},"fd":9"#,
            r#","path":[{"phase":"syn_received","time":"2026-11-22T18:04:15.880000000Z","pid":null,"error":null}"#,
            r#",{"phase":"established","time":"2026-11-22T18:04:15.880010000Z","pid":null,"error":null}"#,
            r#",{"phase":"accept","time":"2026-11-22T18:04:15.880060000Z","pid":814,"error":null}"#,
            r#",{"phase":"close","time":"2026-11-22T18:04:15.892910000Z","pid":null,"error":null}]"#,
            r#","state":"closed","destroyed":"2026-11-22T18:04:15.893000000Z""#,
            r#","handshake_ns":210000,"accept_queue_ns":50000,"connect_ns":null,"lifetime_ns":13000000"#,
            r#","bytes":{"received":78,"sent":612},"rtt_us":210,"retransmits":0"#,
            r#","accepted":null,"backlog":null,"backlog_given":null,"queue":null,"dropped":null"#,
            r#","close":{"by":"peer","how":"fin","time_wait":false,"error":null}"#,
            r#","peer_socket":null,"origin":"traced","complete":true}"#,
        )
    );
}

#[test]
fn every_line_parses_and_begins_with_its_type() {
    for view in [View::Path, View::States, View::Closed] {
        let refused = hopeless(111, 70_000);
        for line in lines(view, [web_server(), refused].concat()) {
            let value = parsed(&line);
            let kind = value["type"].as_str().unwrap();
            assert!(line.starts_with(&format!(r#"{{"type":"{kind}","#)), "{line}");
        }
    }
}

#[test]
fn what_is_not_known_is_null() {
    let events = hopeless(111, 3);
    let socket = parsed(lines(View::Closed, events).last().unwrap());
    for field in ["handshake_ns", "accept_queue_ns", "bytes", "rtt_us", "retransmits", "accepted", "queue", "listener"]
    {
        assert_eq!(socket.get(field), Some(&Value::Null), "{field}");
    }
    assert_eq!(socket["close"], parsed(r#"{"by":"peer","how":"refused","time_wait":false,"error":"ECONNREFUSED"}"#));
    assert_eq!(socket["connect_ns"], 3_000_000);
}

#[test]
fn a_failed_bind_tells_the_address_asked_for() {
    let events = Story::new(1, process("nginx", 812), "[::1]:80", "").call(0, CallKind::Bind, 3, 98).events;
    let lines = lines(View::Path, events);
    let event = parsed(&lines[0]);
    assert_eq!(event["local"], parsed(r#"{"address":"::1","port":80}"#));
    assert_eq!((&event["error"], &event["fd"]), (&Value::from("EADDRINUSE"), &Value::from(3)));
    let socket = parsed(&lines[1]);
    assert_eq!((&socket["local"], &socket["close"], &socket["role"]), (&Value::Null, &Value::Null, &Value::Null));
    assert_eq!(socket["path"][0]["error"], "EADDRINUSE");
}

#[test]
fn a_listener_counts_and_others_do_not() {
    let lines = lines(View::Closed, web_server());
    let [child, listener] = [0, 1].map(|at| parsed(&lines[at]));
    assert_eq!(listener["accepted"], 1);
    assert_eq!([&listener["backlog"], &listener["backlog_given"], &listener["dropped"]], [511, 4096, 3]);
    assert_eq!(listener["bytes"], Value::Null);
    assert_eq!([&child["accepted"], &child["backlog"]], [&Value::Null, &Value::Null]);
    assert_eq!(child.get("holders"), None);
}

#[test]
fn holders_are_given_of_what_was_there_before() {
    let story = || Story::new(1, process("sshd", 7), "10.0.0.4:22", "10.0.0.5:1024");
    let state = crate::event::State::Established;
    let survey = Event { time: 1, what: What::Surveyed };
    for (held, unheld, expected) in
        [(true, false, r#"[{"pid":7,"name":"sshd","fd":6}]"#), (false, true, "[]"), (false, false, "null")]
    {
        let mut events = story().exists(0, state, held, Stats { unheld, ..counted(1, 1) }).events;
        events.push(survey.clone());
        let socket = parsed(&lines(View::Closed, events)[0]);
        assert_eq!(socket["holders"], parsed(expected));
        assert_eq!(socket["origin"], "snapshot");
    }
}

#[test]
fn a_name_from_outside_hides_nothing_and_parses_back() {
    let hostile = "\x1b[31m\u{202e}\x7f\u{9b}\"\\é";
    let events = client(hostile.as_bytes(), "10.0.0.4:40000", "10.0.0.9:81").events;
    let line = &lines(View::Closed, events)[0];
    assert!(line.contains(r#""name":"\u001b[31m\u202e\u007f\u009b\"\\é""#), "{line}");
    assert!(!line.chars().any(char::is_control), "{line:?}");
    assert_eq!(parsed(line)["process"]["name"], hostile);
    let tag = client("\u{e0001}a".as_bytes(), "10.0.0.4:40000", "10.0.0.9:81").events;
    assert!(lines(View::Closed, tag)[0].contains(r#""name":"\udb40\udc01a""#));
    let broken = client(b"a\xffb", "10.0.0.4:40000", "10.0.0.9:81").events;
    assert!(lines(View::Closed, broken)[0].contains("\"name\":\"a\u{fffd}b\""));
}

#[test]
fn times_are_utc_with_nine_digits_on_every_day() {
    let last = Cell::default();
    for (offset, time, expected) in [
        (0, 0, "1970-01-01T00:00:00.000000000Z"),
        (1_709_164_799_000_000_000, 999_999_999, "2024-02-28T23:59:59.999999999Z"),
        (1_709_164_799_000_000_000, 1_000_000_000, "2024-02-29T00:00:00.000000000Z"),
        (1_709_164_799_000_000_000, 1_000_000_001, "2024-02-29T00:00:00.000000001Z"),
        (1_709_164_799_000_000_000, 84_070_000_000_000, "2024-02-29T23:21:09.000000000Z"),
        (1_709_164_799_000_000_000, 3_662_000_000_000, "2024-02-29T01:01:01.000000000Z"),
        (1_709_164_799_000_000_000, 0, "2024-02-28T23:59:59.000000000Z"),
        (0, u64::MAX, "2554-07-21T23:34:33.709551615Z"),
        (-1, 0, "1969-12-31T23:59:59.999999999Z"),
    ] {
        let scene = Scene::new(Clock::at(offset));
        let stamp = Wall { scene: &scene, last: &last }.at(time);
        assert_eq!(serde_json::to_string(&stamp).unwrap(), format!("\"{expected}\""));
    }
}

#[test]
fn the_first_and_the_last_line_and_losses_are_what_the_contract_says() {
    let (mut json, mut out) = (Json::new(), Vec::new());
    let start = Start {
        host: Untrusted::new(b"web1"),
        kernel: Untrusted::new(b"6.12.0"),
        boot_id: Untrusted::new(b"b-1"),
        probes: vec!["inet_sock_set_state".into()],
        degraded: vec![Degraded { probe: "accept".into(), why: "no BTF".into(), lost: "descriptors".into() }],
    };
    json.start(&mut out, &start).unwrap();
    json.lost(&mut out, &Scene::new(Clock::at(0)), Some(3), 1, 2).unwrap();
    json.summary(&mut out, &Summary { events: 9, sockets: 2, lost: 3, gaps: 1, complete: false }).unwrap();
    let version = env!("CARGO_PKG_VERSION");
    let expected = [
        format!(r#"{{"type":"start","version":"{version}","host":"web1","kernel":"6.12.0","boot_id":"b-1","#)
            + r#""probes":["inet_sock_set_state"],"#
            + r#""degraded":[{"probe":"accept","why":"no BTF","lost":"descriptors"}]}"#,
        r#"{"type":"lost","count":3,"since":"1970-01-01T00:00:00.000000001Z","until":"1970-01-01T00:00:00.000000002Z"}"#
            .into(),
        r#"{"type":"summary","events":9,"sockets":2,"lost":3,"complete":false}"#.into(),
    ];
    assert_eq!(String::from_utf8(out).unwrap().lines().collect::<Vec<_>>(), expected);
}

#[test]
fn a_second_connect_does_not_change_what_is_told_of_the_first() {
    let state = |state| move |story: Story, time| story.to(time, state, 1680);
    let (syn, up) = (state(crate::event::State::SynSent), state(crate::event::State::Established));
    let story = syn(Story::new(1, process("retry", 5), "10.0.0.4:1024", "10.0.0.9:81"), 0);
    let story = story.close(MS / 10, false, Stats { error: Errno::new(111), ..Stats::default() });
    let lines = lines(View::Path, up(syn(story, MS / 5), MS / 4).events);
    assert_eq!(parsed(&lines[0])["peer"]["port"], 81);
    assert_eq!(parsed(&lines[1])["close"]["how"], "refused");
    assert_eq!(parsed(&lines[2])["peer"]["port"], 81);
}
