//! What a million open sockets take: `cargo bench --bench scale`. `-- N`: another number of sockets.
//!
//! Prints one line of JSON for each thing measured, in this order: what is known of the sockets, alone, where both ends of each
//! connection are on the host and where one is; the same as it comes to be by replaying a recording of them; how many bytes the
//! parts have; how fast a recording of short connections is replayed, and sixteen that are merged; a week of recording.

mod host;

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use host::Host;
use sockwatch::{
    clock::Clock,
    event::{Actor, Endpoint, Event, Stats, Time},
    lane::Lane,
    lifecycle::{End, Life, Milestone, Report, Signal, Then, Verdict},
    output::{Format, Json, Scene, Show, Sink, Text, TextOptions, View},
    recording::{Facts, Input, Recorder, RecorderOptions, Sync, Target},
    replay::{Play, Player},
    select::Filter,
    source::Step,
};

/// Connections of the recording that is replayed for its speed.
const SHORT: u64 = 250_000;

/// How often it is replayed.
const TIMES: usize = 5;

/// What is measured, each in a process of its own: memory that one gave back would seem to be free for the next.
const MEASURED: [&str; 7] = ["here", "elsewhere", "replayed", "sizes", "speed", "merged", "week"];

/// How many recordings are merged.
const MERGED: u64 = 16;

/// A week, as clocks count it, and how many connections there are in it: one a second.
const WEEK: Time = 7 * 24 * 3_600 * 1_000_000_000;
const IN_A_WEEK: u64 = 604_800;

/// Of a week's recording, the newest segments are kept.
const SEGMENT: u64 = 4 << 20;
const SEGMENTS: u32 = 4;

fn main() {
    // cargo passes options of its own.
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let sockets: u64 = words.iter().find_map(|word| word.parse().ok()).unwrap_or(1_000_000);
    let Some(which) = MEASURED.into_iter().find(|which| words.iter().any(|word| word == which)) else {
        let own = std::env::current_exe().expect("this program is somewhere");
        for which in MEASURED {
            let done = Command::new(&own).args([which, &sockets.to_string()]).status().expect("it can be started");
            assert!(done.success(), "{which} failed");
        }
        return;
    };
    match which {
        "here" => known("both ends here", Host::new(true, false), sockets, sockets / 2),
        "elsewhere" => known("peers elsewhere", Host::new(true, true), sockets, sockets),
        "replayed" => replayed(sockets),
        "sizes" => sizes(),
        "speed" => speed(),
        "merged" => merged(),
        _ => week(),
    }
}

/// Memory of this process, bytes: now, or the most so far.
fn memory(key: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("there is a /proc");
    let line = status.lines().find_map(|line| line.strip_prefix(key)).expect("it has this line");
    1024 * line.trim_matches(|letter: char| !letter.is_ascii_digit()).parse::<u64>().expect("a number")
}

/// Connections that are open.
fn known(which: &str, host: Host, sockets: u64, connections: u64) {
    let mut lane = Lane::new(Scene::new(Clock::at(0)));
    lane.leave_out_signals();
    lane.let_lives_rest();
    let before = memory("VmRSS:");
    for step in host.steps(connections) {
        if step != Step::End && lane.take(step) {
            lane.tell(&mut Nothing).expect("nothing is written");
        }
    }
    assert!(lane.sockets() as u64 >= sockets, "all are known");
    let (known, held) = (lane.sockets() as u64, memory("VmRSS:").saturating_sub(before));
    println!(
        "{{\"measured\":\"known, {which}\",\"sockets\":{known},\"bytes_per_socket\":{},\"by_its_own_count\":{}}}",
        held / known,
        lane.weight() as u64 / known
    );
}

/// Replays a recording of the same: how much memory is taken at most.
fn replayed(sockets: u64) {
    let path = record(Host::new(true, false), sockets / 2);
    let before = memory("VmHWM:");
    let played = play(&path, &mut Nothing);
    println!(
        "{{\"measured\":\"replayed\",\"sockets\":{sockets},\"bytes_per_socket\":{},\"seconds\":{:.2}}}",
        memory("VmHWM:").saturating_sub(before) / sockets,
        played.as_secs_f64()
    );
    fs::remove_file(path).expect("it is there");
}

fn temporary(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("sockwatch-scale-{}-{name}.sw", std::process::id()))
}

fn record(host: Host, connections: u64) -> PathBuf {
    record_to(temporary("one"), host, connections)
}

fn record_to(path: PathBuf, host: Host, connections: u64) -> PathBuf {
    let target = Target::File { path: path.clone(), force: true };
    let options = RecorderOptions { target, sync: Sync::Never, max_size: None, keep: None };
    let mut recorder = Recorder::create(&options).expect("there is a place for temporary files");
    recorder.begin(&Facts::default());
    host.steps(connections).for_each(|step| recorder.step(&step));
    let finished = recorder.finish();
    assert_eq!((finished.dropped, finished.unclosed), (0, None), "all of it is written");
    path
}

fn play(path: &Path, sink: &mut dyn Sink) -> Duration {
    play_all(vec![path.to_owned()], sink)
}

fn play_all(paths: Vec<PathBuf>, sink: &mut dyn Sink) -> Duration {
    let inputs = paths.into_iter().map(Input::File).collect();
    let player = Player::open(inputs, |_| Some(Filter::default())).expect("they are recordings");
    let started = Instant::now();
    let played = player.play(&Play::default(), sink, &mut |_, _| Ok(true)).expect("nothing fails");
    assert!(played.complete, "all of it is there");
    started.elapsed()
}

fn sizes() {
    let sizes = [
        ("life", size_of::<Life>()),
        ("milestone", size_of::<Milestone>()),
        ("actor", size_of::<Option<Actor>>()),
        ("endpoint", size_of::<Option<Endpoint>>()),
        ("stats", size_of::<Option<Stats>>()),
        ("end", size_of::<End>()),
        ("then", size_of::<Then>()),
        ("verdict", size_of::<Option<Verdict>>()),
        ("signal", size_of::<Signal>()),
        ("event", size_of::<Event>()),
        ("step", size_of::<Step>()),
    ];
    let sizes: Vec<String> = sizes.into_iter().map(|(name, size)| format!("\"{name}\":{size}")).collect();
    println!("{{\"measured\":\"sizes\",{}}}", sizes.join(","));
}

/// Short connections, to lines of those that closed.
fn speed() {
    let path = record(Host::new(false, false), SHORT);
    let events = Host::new(false, false).steps(SHORT).filter(|step| matches!(step, Step::Event(_))).count();
    let text = || Text::new(TextOptions { view: View::Closed, color: false, utc: true, width: None });
    for (name, json) in [("replay, as text", false), ("replay, as JSON", true)] {
        let mut rates: Vec<f64> = (0..TIMES)
            .map(|_| {
                let format: Box<dyn Format> = if json { Box::new(Json::new()) } else { Box::new(text()) };
                let mut show = Show::new(io::sink(), format, View::Closed, Filter::default());
                events as f64 / play(&path, &mut show).as_secs_f64()
            })
            .collect();
        rates.sort_unstable_by(f64::total_cmp);
        println!(
            "{{\"measured\":\"{name}\",\"events\":{events},\"per_second\":{:.0},\"least\":{:.0},\"most\":{:.0}}}",
            rates[TIMES / 2],
            rates[0],
            rates[TIMES - 1]
        );
    }
    fs::remove_file(path).expect("it is there");
}

/// Recordings of as many hosts at the same time, merged: what a ring for each group of a large host's processors would be read as.
fn merged() {
    let connections = SHORT / MERGED;
    let host = |nth: u64| {
        let mut host = Host::new(false, false);
        host.now += nth;
        host
    };
    let paths: Vec<PathBuf> =
        (0..MERGED).map(|nth| record_to(temporary(&nth.to_string()), host(nth), connections)).collect();
    let events = MERGED as usize * host(0).steps(connections).filter(|step| matches!(step, Step::Event(_))).count();
    let mut rates: Vec<f64> =
        (0..TIMES).map(|_| events as f64 / play_all(paths.clone(), &mut Nothing).as_secs_f64()).collect();
    rates.sort_unstable_by(f64::total_cmp);
    println!(
        "{{\"measured\":\"merged\",\"recordings\":{MERGED},\"events\":{events},\"per_second\":{:.0},\"least\":{:.0},\"most\":{:.0}}}",
        rates[TIMES / 2],
        rates[0],
        rates[TIMES - 1]
    );
    paths.iter().for_each(|path| fs::remove_file(path).expect("it is there"));
}

/// A week of `trace -w`, in the time that it takes: what is recorded and what is known of the sockets must not grow.
fn week() {
    let directory = std::env::temp_dir().join(format!("sockwatch-scale-{}-week", std::process::id()));
    fs::create_dir(&directory).expect("there is a place for temporary files");
    let target = Target::File { path: directory.join("week.sw"), force: true };
    let options = RecorderOptions { target, sync: Sync::Never, max_size: Some(SEGMENT), keep: Some(SEGMENTS) };
    let mut recorder = Recorder::create(&options).expect("there is a place for temporary files");
    recorder.begin(&Facts::default());
    let mut lane = Lane::new(Scene::new(Clock::at(0)));

    let all = Host::new(false, false).steps(IN_A_WEEK).filter(|step| matches!(step, Step::Event(_))).count() as u64;
    let mut events = 0;
    let mut after_a_day = None;
    let started = Instant::now();
    let mut host = Host::new(false, false);
    host.apart = WEEK / all;
    for step in host.steps(IN_A_WEEK) {
        events += u64::from(matches!(step, Step::Event(_)));
        recorder.step(&step);
        if step != Step::End && lane.take(step) {
            lane.tell(&mut Nothing).expect("nothing is written");
            recorder.look();
            if recorder.wants_checkpoint() {
                recorder.checkpoint(&lane);
            }
        }
        if events == all / 7 && after_a_day.is_none() {
            after_a_day = Some(memory("VmRSS:"));
        }
    }
    let seconds = started.elapsed().as_secs_f64();
    let grew = memory("VmRSS:").saturating_sub(after_a_day.expect("a week has days"));
    let finished = recorder.finish();
    assert_eq!((finished.dropped, finished.unclosed), (0, None), "all of it is written");
    let mut kept: Vec<PathBuf> =
        fs::read_dir(&directory).expect("it is there").map(|entry| entry.expect("it is there").path()).collect();
    kept.sort_unstable();
    let bytes: u64 = kept.iter().map(|path| path.metadata().expect("it is there").len()).sum();
    let segments = kept.len();
    play_all(kept, &mut Nothing);
    println!(
        "{{\"measured\":\"a week, one connection a second\",\"events\":{events},\"seconds\":{seconds:.1},\"open_at_the_end\":{},\"grew_after_a_day\":{grew},\"segments_kept\":{segments},\"bytes_kept\":{bytes}}}",
        lane.sockets()
    );
    fs::remove_dir_all(directory).expect("it is there");
}

/// Takes everything, and shows nothing.
struct Nothing;

impl Sink for Nothing {
    fn report(&mut self, _: &Scene, report: Report<'_>) -> io::Result<()> {
        std::hint::black_box(report);
        Ok(())
    }

    fn wants_signals(&self) -> bool {
        false
    }
}
