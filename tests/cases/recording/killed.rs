//! A recorder that is killed leaves what it had written.

use std::{
    collections::{HashMap, HashSet},
    hash::{BuildHasher, RandomState},
    path::Path,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::support::{
    Actor, Ending, Host, Load, Netns, Scratch, Socket, Trace, deadline,
    recording::{assert_refused, record, replay, run, size, verify, word},
    sockwatch,
};

/// A while of at most this length.
fn any_while(longest: Duration, nth: u32) -> Duration {
    longest.mul_f64(f64::from(RandomState::new().hash_one(nth) as u32) / f64::from(u32::MAX))
}

/// Records while the host is busy, and is killed at some moment: while it starts, or while it records.
fn record_and_kill(file: &Path, nth: u32) {
    let recorder = Trace::start(&mut sockwatch(&["record", "-o", word(file)]));
    if nth.is_multiple_of(5) {
        thread::sleep(any_while(Duration::from_millis(1500), nth));
    } else {
        recorder.stderr().wait_for("sockwatch: ready", |lines| {
            lines.iter().any(|line| line.starts_with("sockwatch: ready")).then_some(())
        });
        thread::sleep(any_while(Duration::from_millis(1500), nth));
    }
    recorder.signal(Signal::SIGKILL);
    assert_eq!(recorder.end().code(), -9);
}

/// Whatever the moment was: what is there can be read, and it is said that it was not closed. Returns how many events.
fn check(file: &Path) -> Option<u64> {
    if size(file) == 0 {
        let why = if file.exists() { "is empty" } else { "No such file or directory" };
        assert_refused(&run(&["verify", word(file)]), file, why);
        assert_refused(&replay(file, &[]), file, why);
        return None;
    }
    let (code, findings) = verify(file);
    assert_eq!((code, &findings["whole"], &findings["closed"]), (3, &false.into(), &false.into()), "{findings}");
    let replayed = replay(file, &["--view", "closed"]).expect(3);
    assert!(replayed.said().contains(word(file)) && replayed.said().contains("not closed"), "{}", replayed.said());
    let run = replayed.run();
    let open_end = run.lost.last().expect("that something may be missing is said");
    assert_eq!(open_end["count"], Value::Null, "{:?}", run.lost);
    Some(findings["events"].as_u64().expect("a count"))
}

#[test]
fn what_a_recorder_wrote_before_it_was_killed_can_be_read_whenever_that_was() {
    const TIMES: u32 = 100;
    let Some(host) = Host::alone() else { return };
    let netns = host.netns();
    let scratch = Scratch::new("killed");
    let over = AtomicBool::new(false);
    let next = AtomicUsize::new(0);
    let found: Vec<Option<u64>> = thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                Load { connections: 500, pairs: 1, ending: Ending::Reset }.run(&netns);
            }
        });
        let kill = || {
            let mut found = Vec::new();
            while let Some(nth) = u32::try_from(next.fetch_add(1, Ordering::Relaxed)).ok().filter(|&nth| nth < TIMES) {
                let file = scratch.path().join(format!("{nth}.sw"));
                record_and_kill(&file, nth);
                found.push(check(&file));
                let _ = std::fs::remove_file(file);
            }
            found
        };
        let killers: Vec<_> = (0..4).map(|_| scope.spawn(kill)).collect();
        let found: Vec<_> = killers.into_iter().map(|killer| killer.join()).collect();
        over.store(true, Ordering::Relaxed);
        found.into_iter().flat_map(|found| found.expect("every file can be read")).collect()
    });
    assert_eq!(found.len(), TIMES as usize);
    let with_events = found.iter().flatten().filter(|&&events| events > 0).count();
    eprintln!("{} files, {with_events} of them with events", found.iter().flatten().count());
    assert!(with_events > 0, "the moments were such that there is something to read");
}

/// Connections one after another in a namespace, each written down with the moment when both its ends were closed.
fn connect_for(netns: &Netns, length: Duration) -> HashMap<u16, Instant> {
    let (server, client) = (Actor::within(netns), Actor::within(netns));
    server.tell("l = listen('127.0.0.1', 7600)");
    let began = Instant::now();
    let mut closed = HashMap::new();
    while began.elapsed() < length {
        client.tell("c = connect('127.0.0.1', 7600)");
        let port = client.ask("port(c)");
        server.tell("s, _ = l.accept()");
        client.tell("c.close()");
        server.tell("s.close()");
        closed.insert(port, Instant::now());
    }
    closed
}

#[test]
fn no_more_is_lost_with_a_kill_than_the_last_moments() {
    /// A block is closed after a second; the rest is for a machine that is busy.
    const LAST_MOMENTS: Duration = Duration::from_secs(4);
    let Some(host) = Host::shared() else { return };
    let netns = host.netns();
    let scratch = Scratch::new("moments");
    let file = scratch.path().join("a.sw");
    let recorder = record(&file, &[]);
    let closed = connect_for(&netns, LAST_MOMENTS * 3 / 2);
    let killed = Instant::now();
    recorder.signal(Signal::SIGKILL);
    assert!(recorder.end().code() == -9 && killed.elapsed() < deadline());

    let run = replay(&file, &["--port", "7600"]).expect(3).run();
    let told: HashSet<_> =
        run.sockets_where(|socket| socket.ending() != "open").into_iter().filter_map(Socket::peer_port).collect();
    let due: Vec<_> = closed.iter().filter(|(_, at)| **at + LAST_MOMENTS < killed).map(|(port, _)| *port).collect();
    assert!(due.len() > 3, "{} connections in all", closed.len());
    let missing: Vec<_> = due.iter().filter(|port| !told.contains(port)).collect();
    assert!(missing.is_empty(), "of {} connections {} are missing: {missing:?}", due.len(), missing.len());
}
