//! A part of a recording: by filters, by time, by count; and in any pace.

use std::{collections::HashSet, path::PathBuf};

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::support::{
    Ended, Host, Netns, Scratch, Trace, Traffic,
    recording::{assert_refused, assert_same_lines, record, replay, run, word},
    sockwatch,
};

/// Filters, each given to a trace and to the replay of a recording that was made beside it.
const FILTERS: [&str; 9] = [
    "",
    "--port 7502",
    "--local-port 7500 --local-port 7503",
    "--process curl --process nginx",
    "--failed",
    "--role client",
    "--role server --family 6",
    "--address ::1",
    "--uid 0 --role listener",
];

#[test]
fn a_recording_beside_traces_tells_what_each_of_them_tells() {
    let Some(host) = Host::shared() else { return };
    if !host.has(&["nginx", "curl"]) {
        return;
    }
    let netns = host.netns();
    let path = netns.path().display().to_string();
    let scratch = Scratch::new("beside");
    let file = scratch.path().join("a.sw");
    let traffic = Traffic::begin(&netns);
    let with =
        |filter: &'static str| [&["--netns", &path], &filter.split_whitespace().collect::<Vec<_>>()[..]].concat();
    let recorder = record(&file, &[]);
    let traces = FILTERS.map(|filter| host.trace(&with(filter)));
    traffic.run();
    traffic.end();
    recorder.signal(Signal::SIGINT);
    recorder.end().expect(0);
    for (trace, filter) in traces.into_iter().zip(FILTERS) {
        let live = trace.stop().anywhere();
        let replayed = replay(&file, &with(filter)).expect(0).run().anywhere();
        assert!(!live.is_empty(), "{filter}");
        assert_same_lines(&replayed, &live, filter);
    }
}

/// A recording of what happens in a namespace, where some sockets are older and some stay.
fn recording(netns: &Netns, scratch: &Scratch) -> PathBuf {
    let file = scratch.path().join("a.sw");
    let traffic = Traffic::begin(netns);
    let recorder = record(&file, &["--netns", &netns.path().display().to_string()]);
    traffic.run();
    recorder.signal(Signal::SIGINT);
    recorder.end().expect(0);
    traffic.end();
    file
}

/// The lines of one type.
fn of_type<'a>(ended: &'a Ended, name: &str) -> Vec<&'a str> {
    let start = format!("{{\"type\":\"{name}\"");
    ended.stdout.iter().map(String::as_str).filter(|line| line.starts_with(&start)).collect()
}

fn time_of(line: &str, field: &str) -> Option<String> {
    let value: Value = serde_json::from_str(line).expect("JSON");
    value[field].as_str().map(str::to_owned)
}

#[test]
fn the_parts_before_and_after_a_moment_tell_everything_and_each_what_is_its_own() {
    let Some(host) = Host::shared() else { return };
    if !host.has(&["nginx", "curl"]) {
        return;
    }
    let scratch = Scratch::new("part");
    let file = recording(&host.netns(), &scratch);
    let whole = replay(&file, &["--view", "states"]).expect(0);
    let (events, sockets) = (of_type(&whole, "event"), of_type(&whole, "socket"));
    let times: Vec<String> = events.iter().filter_map(|line| time_of(line, "time")).collect();
    let mut order = times.clone();
    order.sort_unstable();
    order.dedup();
    assert!(order.len() > 50, "{}", order.len());
    for cut in (1..10).map(|tenth| order.len() * tenth / 10) {
        let cut = &order[cut];
        let before = replay(&file, &["--view", "states", "--until", cut]).expect(0);
        let after = replay(&file, &["--view", "states", "--since", cut]).expect(0);
        let expected = |told: &dyn Fn(&String) -> bool| -> Vec<&str> {
            events.iter().zip(&times).filter(|(_, time)| told(time)).map(|(line, _)| *line).collect()
        };
        let [told_before, told_after] = [&before, &after].map(|part| of_type(part, "event"));
        assert_same_lines(&told_before, &expected(&|time| time <= cut), &format!("--until {cut}"));
        assert_same_lines(&told_after, &expected(&|time| time >= cut), &format!("--since {cut}"));
        // What ended before is told by the one, all else by the other; what was open at the cut by both.
        let ended = |line: &str| time_of(line, "destroyed").is_some_and(|time| time <= *cut);
        let (past, rest): (Vec<&str>, Vec<&str>) = sockets.iter().partition(|line| ended(line));
        assert_same_lines(&of_type(&after, "socket"), &rest, &format!("--since {cut}"));
        let early = of_type(&before, "socket");
        let (closed, open): (Vec<&str>, Vec<&str>) = early.iter().partition(|line| ended(line));
        assert_same_lines(&closed, &past, &format!("--until {cut}"));
        let later: HashSet<_> = rest.iter().map(|line| time_of(line, "socket")).collect();
        assert!(!open.is_empty() && open.iter().all(|line| later.contains(&time_of(line, "socket"))), "{open:?}");
        assert!(open.iter().all(|line| time_of(line, "destroyed").is_none()), "{open:?}");
    }
}

#[test]
fn a_part_outside_of_the_recording_is_empty_or_everything() {
    let Some(host) = Host::shared() else { return };
    if !host.has(&["nginx", "curl"]) {
        return;
    }
    let scratch = Scratch::new("outside");
    let file = recording(&host.netns(), &scratch);
    let whole = replay(&file, &[]).expect(0);
    let everything = replay(&file, &["--since", "2001-01-01T00:00:00Z", "--until", "2101-01-01T00:00:00Z"]).expect(0);
    assert_eq!(everything.lines(), whole.lines());
    for part in [["--until", "2001-01-01T00:00:00Z"], ["--since", "2101-01-01T00:00:00Z"]] {
        let nothing = replay(&file, &part).expect(0);
        assert_eq!(of_type(&nothing, "event"), Vec::<&str>::new(), "{part:?}");
        assert!(of_type(&nothing, "socket").iter().all(|line| time_of(line, "destroyed").is_none()), "{part:?}");
    }
    let contrary = run(&["replay", word(&file), "--since", "2026-11-22 10:00", "--until", "2026-11-22 09:00"]);
    assert!([1, 2].contains(&contrary.code()) && contrary.stdout.is_empty(), "{}", contrary.said());
    assert!(contrary.said().contains("--until is before --since"), "{}", contrary.said());
}

#[test]
fn a_moment_can_be_given_in_local_time_or_as_a_time_of_that_day() {
    let Some(host) = Host::shared() else { return };
    if !host.has(&["nginx", "curl"]) {
        return;
    }
    let scratch = Scratch::new("moments");
    let file = recording(&host.netns(), &scratch);
    let whole = replay(&file, &[]).expect(0);
    let events = of_type(&whole, "event");
    let moment = time_of(events[events.len() / 2], "time").expect("a time");
    let expected = replay(&file, &["--since", &moment]).expect(0);
    let (day, time) = moment.trim_end_matches('Z').split_once('T').expect("RFC 3339");
    for given in [format!("{day} {time}"), format!("{day}T{time}"), time.to_owned(), moment.replace('Z', "+00:00")] {
        let mut command = sockwatch(&["replay", "--json", word(&file), "--since", &given]);
        let ended = Trace::start(command.env("TZ", "UTC")).end().expect(0);
        assert_eq!(ended.lines(), expected.lines(), "--since {given}");
    }
}

#[test]
fn times_are_local_or_utc_as_asked() {
    let Some(_host) = Host::shared() else { return };
    let scratch = Scratch::new("zones");
    let file = scratch.path().join("a.sw");
    run(&["record", "-o", word(&file), "--", "curl", "--silent", "http://127.0.0.1:1/"]).expect(0);
    let shown = |zone: &str, arguments: &[&str]| {
        let mut command = sockwatch(&["replay", word(&file)]);
        Trace::start(command.args(arguments).env("TZ", zone)).end().expect(0).stdout
    };
    let utc = shown("UTC", &[]);
    assert!(utc.len() > 2, "{utc:?}");
    assert_eq!(shown("Asia/Tokyo", &["--utc"]), utc);
    assert_ne!(shown("Asia/Tokyo", &[]), utc);
}

#[test]
fn a_slow_replay_tells_the_same() {
    let Some(host) = Host::shared() else { return };
    if !host.has(&["nginx", "curl"]) {
        return;
    }
    let scratch = Scratch::new("speed");
    let file = recording(&host.netns(), &scratch);
    let whole = replay(&file, &["--view", "states"]).expect(0);
    for speed in ["1", "10", "max"] {
        let slow = replay(&file, &["--view", "states", "--speed", speed]).expect(0);
        assert_eq!(slow.stdout, whole.stdout, "--speed {speed}");
    }
}

#[test]
fn a_replay_of_so_many_closed_sockets_ends_with_the_last_of_them() {
    let Some(host) = Host::shared() else { return };
    if !host.has(&["nginx", "curl"]) {
        return;
    }
    let scratch = Scratch::new("count");
    let file = recording(&host.netns(), &scratch);
    let whole = replay(&file, &["--view", "closed"]).expect(0);
    let closed = |ended: &Ended| -> Vec<String> {
        let sockets = of_type(ended, "socket");
        sockets.into_iter().filter(|line| time_of(line, "destroyed").is_some()).map(str::to_owned).collect()
    };
    let all = closed(&whole);
    for count in [1, 3, all.len()] {
        let counted = replay(&file, &["--view", "closed", "--count", &count.to_string()]).expect(0);
        assert_eq!(closed(&counted), all[..count], "--count {count}");
    }
    let more = replay(&file, &["--view", "closed", "--count", "100000"]).expect(0);
    assert_eq!(more.lines(), whole.lines());
}

#[test]
fn how_to_replay_is_checked() {
    let scratch = Scratch::new("replay-usage");
    let file = scratch.path().join("a.sw");
    let refused: [(&[&str], &str); 8] = [
        (&["replay"], "FILE"),
        (&["replay", word(&file), "--since", "yesterday"], "yesterday"),
        (&["replay", word(&file), "--until", "25:00"], "25:00"),
        (&["replay", word(&file), "--speed", "0"], "0"),
        (&["replay", word(&file), "--count", "0"], "0"),
        (&["replay", word(&file), "--view", "sideways"], "closed"),
        (&["replay", word(&file), "--role", "listener", "--peer-port", "80"], "--peer-port"),
        (&["replay", word(&file), "--duration", "10"], "--duration"),
    ];
    for (arguments, named) in refused {
        let output = sockwatch(arguments).output().expect("sockwatch runs");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{arguments:?}: {stderr}");
        assert!(stderr.lines().count() == 1 && stderr.contains(named), "{arguments:?}: {stderr}");
    }
    assert_refused(&replay(&file, &[]), &file, "No such file");
}
