//! A disk that is full costs events, which are counted; never the recording.

use std::{collections::HashMap, path::Path};

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::support::{
    Actor, Ending, Host, Load, Netns, Run, SmallDisk, Socket, Trace,
    recording::{record, replay, run, size, verify, word},
    sockwatch,
};

const FAILS: &str = "sockwatch: can't write the recording: No space left on device";
const NONE_MISSING: &str = "sockwatch: recording again; 0 events are missing";
const AGAIN: &str = "sockwatch: recording again; ";

fn said(trace: &Trace, start: &str) -> usize {
    trace.stderr().wait_for("stderr", |lines| Some(lines.iter().filter(|line| line.starts_with(start)).count()))
}

fn load(netns: &Netns) {
    Load { connections: 500, pairs: 1, ending: Ending::Fin }.run(netns);
}

/// Connections until it says so once more.
fn load_until(trace: &Trace, netns: &Netns, start: &str) {
    let before = said(trace, start);
    let deadline = std::time::Instant::now() + crate::support::deadline();
    while said(trace, start) == before {
        assert!(std::time::Instant::now() < deadline, "it never said: {start}");
        load(netns);
    }
}

/// Whatever a recording with gaps claims to know wholly is what a trace saw. Returns how many sockets that are. (Of one
/// that was bound in a gap: see below.)
fn assert_nothing_is_made_up(run: &Run, live: &Run) -> usize {
    let live: HashMap<_, Value> = live.sockets.iter().map(|socket| (socket.cookie(), socket.anywhere())).collect();
    let whole = run.sockets_where(|socket| socket.0["complete"] == true);
    for socket in whole.iter().filter(|socket| socket.role() != "listener") {
        assert_eq!(Some(&socket.anywhere()), live.get(&socket.cookie()), "{socket:?}");
    }
    whole.len()
}

#[test]
fn a_full_disk_is_told_and_what_could_not_be_written_is_counted_until_there_is_room_again() {
    let Some(host) = Host::alone() else { return };
    let netns = host.netns();
    let path = netns.path().display().to_string();
    let disk = SmallDisk::new(2 << 20);
    let file = disk.path().join("a.sw");
    let beside = host.trace(&["--view", "closed", "--netns", &path]);
    disk.fill(200 << 10);
    let recorder = record(&file, &[]);
    load_until(&recorder, &netns, FAILS);
    load(&netns);
    disk.make_room();
    load_until(&recorder, &netns, AGAIN);
    load(&netns);
    recorder.signal(Signal::SIGINT);
    let ended = recorder.end().expect(3);
    let live = beside.stop();

    let (recorded, missing) = last_word(&ended.stderr);
    let (code, findings) = verify(&file);
    assert!(missing > 0 && recorded > 0, "{}", ended.said());
    assert_eq!((&findings["events"], &findings["missing_events"]), (&recorded.into(), &missing.into()), "{findings}");
    let damage = ["damaged_bytes", "missing_blocks", "foreign_blocks", "malformed_blocks"];
    assert!(damage.iter().all(|field| findings[field] == 0) && findings["closed"] == true, "{findings}");
    assert_eq!(code, 3, "{findings}");
    let replayed = replay(&file, &["--view", "closed", "--netns", &path]).expect(3).run();
    assert_eq!(replayed.summary["lost"], missing, "{:?}", replayed.lost);
    let whole = assert_nothing_is_made_up(&replayed, &live);
    assert!(whole > 500, "{whole} of {}", replayed.sockets.len());
}

/// `recorded N events in B; M could not be written`.
fn last_word(stderr: &[String]) -> (u64, u64) {
    let line = stderr.iter().find_map(|line| line.strip_prefix("sockwatch: recorded ")).expect("a last word");
    let number = |text: &str| text.split(' ').next().and_then(|count| count.parse().ok()).expect("a number");
    let missing = line.split_once("; ").map_or(0, |(_, missing)| number(missing));
    (number(line), missing)
}

/// One connection, both ends of it closed.
fn converse(netns: &Netns) {
    let actor = Actor::within(netns);
    actor.tell("l = listen('127.0.0.1', 7700); c = connect('127.0.0.1', 7700); s, _ = l.accept()");
    actor.tell("c.close(); s.close(); l.close()");
}

#[test]
fn a_listener_that_was_bound_while_the_disk_was_full_is_not_called_complete() {
    let Some(host) = Host::alone() else { return };
    let netns = host.netns();
    let path = netns.path().display().to_string();
    let disk = SmallDisk::new(2 << 20);
    let file = disk.path().join("a.sw");
    let recorder = record(&file, &[]);
    let server = Actor::within(&netns);
    // What waits to be written when there is room again is not missing: until something is.
    let mut ports = 7702..;
    loop {
        disk.fill(0);
        load_until(&recorder, &netns, FAILS);
        let port = ports.next().expect("a port");
        server.tell(&format!("l = tcp('127.0.0.1'); l.bind(('127.0.0.1', {port}))"));
        load(&netns);
        disk.make_room();
        load_until(&recorder, &netns, AGAIN);
        server.tell("l.listen()");
        if said(&recorder, AGAIN) > said(&recorder, NONE_MISSING) {
            break;
        }
        // The next load waits until no socket is left.
        server.tell("l.close()");
    }
    recorder.signal(Signal::SIGINT);
    recorder.end().expect(3);
    let run = replay(&file, &["--netns", &path]).expect(3).run();
    assert_eq!(run.listener(ports.start - 1).role(), "listener", "it listens behind the last gap");
    // Clients of the load may have been given such a port, too.
    let is_ours = |port: u16| (7702..ports.start).contains(&port);
    let served = |socket: &Socket| matches!(socket.role(), "listener" | "") && socket.local_port().is_some_and(is_ours);
    for socket in run.sockets_where(served) {
        assert!(socket.0["complete"] == false || socket.path().starts_with("bind"), "{socket:?}");
    }
}

#[test]
fn a_trace_goes_on_showing_when_it_can_no_longer_be_recorded() {
    let Some(host) = Host::shared() else { return };
    let netns = host.netns();
    let path = netns.path().display().to_string();
    let disk = SmallDisk::new(1 << 20);
    let file = disk.path().join("a.sw");
    disk.fill(0);
    let trace = Trace::ready(&mut sockwatch(&["trace", "--json", "-w", word(&file), "--netns", &path]));
    trace
        .stderr()
        .wait_for("a word about the disk", |lines| lines.iter().any(|line| line.starts_with(FAILS)).then_some(()));
    converse(&netns);
    trace.signal(Signal::SIGINT);
    let ended = trace.end().expect(3);
    assert_eq!(ended.run().sockets.len(), 3, "{:?}", ended.stdout);
    assert!(ended.said().contains("could not be written"), "{}", ended.said());
    assert_unreadable(&file);
}

/// Nothing could be written, so there is nothing to read.
fn assert_unreadable(file: &Path) {
    assert_eq!(size(file), 0);
    crate::support::recording::assert_refused(&run(&["replay", word(file)]), file, "is empty");
}
