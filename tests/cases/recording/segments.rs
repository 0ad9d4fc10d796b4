//! Recordings of more than one file.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Stdio,
};

use nix::sys::signal::Signal;

use crate::support::{
    Ending, Host, Load, Netns, Scratch, Trace, deadline,
    recording::{assert_refused, assert_same_lines, record, replay, run, verify_whole, word},
    sockwatch,
};

/// The files of a recording, as a shell finds them with `FILE*`.
fn files(file: &Path) -> Vec<PathBuf> {
    let directory = file.parent().expect("a directory");
    let mut files: Vec<PathBuf> =
        fs::read_dir(directory).expect("it is there").flatten().map(|entry| entry.path()).collect();
    files.retain(|path| word(path).starts_with(word(file)));
    files.sort_unstable();
    files
}

/// `replay --json FILE*`.
fn replay_all(files: &[PathBuf], arguments: &[&str]) -> crate::support::Ended {
    let others: Vec<&str> = files[1..].iter().map(|file| word(file)).collect();
    replay(&files[0], &[&others, arguments].concat())
}

/// Connections until a file of that name is there.
fn load_until_there(netns: &Netns, file: &Path) {
    let deadline = std::time::Instant::now() + deadline();
    while !file.exists() {
        assert!(std::time::Instant::now() < deadline, "there is no {}", file.display());
        Load { connections: 1_000, pairs: 1, ending: Ending::Fin }.run(netns);
    }
}

fn with_number(file: &Path, number: u32) -> PathBuf {
    format!("{}.{number}", word(file)).into()
}

#[test]
fn segments_are_replayed_as_one_to_the_lines_of_the_trace() {
    let Some(host) = Host::alone() else { return };
    let netns = host.netns();
    let path = netns.path().display().to_string();
    let scratch = Scratch::new("segments");
    let [file, lines] = ["a.sw", "lines"].map(|name| scratch.path().join(name));
    let mut command = sockwatch(&["trace", "--json", "--view", "closed", "--netns", &path, "-w", word(&file)]);
    let stdout = Stdio::from(File::create(&lines).expect("a file"));
    let trace = Trace::ready_into(command.args(["--max-size", "64KiB"]), stdout);
    load_until_there(&netns, &with_number(&file, 3));
    trace.signal(Signal::SIGINT);
    trace.end().expect_whole(&host);
    let files = files(&file);
    assert!(files.len() >= 4, "{files:?}");
    for file in &files {
        verify_whole(file);
    }
    let live = fs::read_to_string(&lines).expect("UTF-8");
    let replayed = replay_all(&files, &["--view", "closed"]).expect_whole(&host);
    let live: Vec<&str> = live.lines().skip(1).collect();
    assert_same_lines(replayed.lines(), &live, "FILE*");
}

#[test]
fn of_segments_as_many_are_kept_as_were_asked_for() {
    let Some(host) = Host::alone() else { return };
    let netns = host.netns();
    let scratch = Scratch::new("keep");
    let file = scratch.path().join("a.sw");
    let recorder = record(&file, &["--max-size", "64KiB", "--keep", "3"]);
    load_until_there(&netns, &with_number(&file, 5));
    assert!(files(&file).len() <= 4, "while one follows the other, too: {:?}", files(&file));
    recorder.signal(Signal::SIGINT);
    recorder.end().expect_whole(&host);
    let files = files(&file);
    assert_eq!(files.len(), 3, "{files:?}");
    for file in &files {
        verify_whole(file);
        assert!(fs::metadata(file).expect("it is there").len() < 1 << 20);
    }
    let replayed = replay_all(&files, &["--view", "closed"]).expect_whole(&host).run();
    assert!(replayed.sockets.len() > 100 && replayed.lost.is_empty(), "{:?}", replayed.lost);
    let alone = replay(&files[1], &["--view", "closed"]);
    assert!([0, 3].contains(&alone.code()), "{}", alone.said());
    alone.run();
}

#[test]
fn what_the_segments_of_a_recording_would_need_is_not_overwritten() {
    let Some(_host) = Host::shared() else { return };
    let scratch = Scratch::new("sibling");
    let file = scratch.path().join("a.sw");
    let sibling = with_number(&file, 1);
    fs::write(&sibling, "precious").expect("a file");
    for force in [&[][..], &["--force"]] {
        let refused = run(&[&["record", "-o", word(&file), "--max-size", "1MiB"], force].concat());
        assert_refused(&refused, &sibling, "exists");
    }
    assert_eq!(fs::read_to_string(&sibling).expect("it is there"), "precious");
    assert!(!file.exists());
}
