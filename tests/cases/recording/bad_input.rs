//! Files that are damaged, or never were recordings.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::Value;

use crate::support::{
    Ended, Ending, Host, Load, Scratch, Socket, Traffic,
    recording::{assert_refused, assert_same_lines, record, replay, run, verify, verify_whole, word},
    sockwatch,
};

/// What every block begins with: docs/recording-format.md.
const BLOCK: &[u8] = b"\x89SWB";

#[test]
fn what_is_no_recording_is_refused_by_name() {
    let scratch = Scratch::new("no-recording");
    let path = |name: &str| scratch.path().join(name);
    fs::write(path("empty"), "").expect("a file");
    fs::write(path("text"), "port 80\n".repeat(100_000)).expect("a file");
    fs::write(path("start"), BLOCK).expect("a file");
    let files: [(PathBuf, &str); 6] = [
        (path("empty"), "is empty"),
        (path("text"), "is not a recording"),
        (path("start"), "damaged at its beginning"),
        (path("missing"), "No such file or directory"),
        (scratch.path().to_owned(), "is not a file"),
        ("/dev/zero".into(), "is not a file"),
    ];
    let new = path("new.sw");
    for (file, why) in files {
        assert_refused(&replay(&file, &[]), &file, why);
        assert_refused(&run(&["replay", word(&file)]), &file, why);
        assert_refused(&run(&["verify", word(&file)]), &file, why);
        assert_refused(&run(&["verify", "--json", word(&file)]), &file, why);
        assert_refused(&run(&["repair", word(&file), "-o", word(&new)]), &file, why);
        assert!(!new.exists(), "nothing is created of {}", file.display());
    }
    for (bytes, why) in [(&b""[..], "stdin is empty"), (b"GET / HTTP/1.1\r\n", "stdin is not a recording")] {
        fs::write(path("stdin"), bytes).expect("a file");
        let stdin = fs::File::open(path("stdin")).expect("it is there");
        let output = sockwatch(&["replay", "--json", "-"]).stdin(stdin).output().expect("sockwatch runs");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{stderr}");
        assert!(stderr.contains(why), "{stderr}");
    }
}

/// A recording of some blocks: of a bit of everything, and of many connections.
fn recording(host: &Host, scratch: &Scratch) -> Option<PathBuf> {
    if !host.has(&["nginx", "curl"]) {
        return None;
    }
    let (netns, busy) = (host.netns(), host.netns());
    let paths = [&netns, &busy].map(|netns| netns.path().display().to_string());
    let file = scratch.path().join("whole.sw");
    let recorder = record(&file, &["--netns", &paths[0], "--netns", &paths[1]]);
    let traffic = Traffic::begin(&netns);
    traffic.run();
    Load { connections: 6_000, pairs: 1, ending: Ending::Fin }.run(&busy);
    traffic.end();
    recorder.signal(nix::sys::signal::Signal::SIGINT);
    recorder.end();
    verify_whole(&file);
    Some(file)
}

/// Where its blocks begin.
fn blocks(bytes: &[u8]) -> Vec<usize> {
    let starts: Vec<usize> = (0..bytes.len()).filter(|&at| bytes[at..].starts_with(BLOCK)).collect();
    assert!(starts.len() > 4, "{} blocks", starts.len());
    starts
}

/// Expects what holds of every damaged recording: it is read, said to be damaged, and every line of it is a line.
fn assert_damaged(file: &Path, what: &str) -> (Ended, Value) {
    let (code, findings) = verify(file);
    assert_eq!((code, &findings["whole"]), (3, &false.into()), "{what}: {findings}");
    let replayed = replay(file, &["--view", "closed"]).expect(3);
    assert!(replayed.said().contains(word(file)), "{what}: {}", replayed.said());
    replayed.run();
    (replayed, findings)
}

/// Repairs a damaged recording; what is left is in order, and tells the same.
fn assert_repaired(file: &Path, replayed: &Ended, findings: &Value, what: &str) {
    let new = file.with_extension("new");
    run(&["repair", word(file), "-o", word(&new), "--force"]).expect(3);
    let (code, repaired) = verify(&new);
    let damage = ["damaged_bytes", "missing_blocks", "foreign_blocks", "malformed_blocks"];
    assert!(damage.iter().all(|field| repaired[field] == 0) && repaired["closed"] == true, "{what}: {repaired}");
    for count in ["events", "missing_events"] {
        assert_eq!(repaired[count], findings[count], "{what}: {count}: {repaired}");
    }
    assert_eq!(code, if repaired["missing_events"] == 0 { 0 } else { 3 }, "{what}: {repaired}");
    let again = replay(&new, &["--view", "closed"]);
    assert_eq!(again.code(), if again.run().summary["complete"] == true { 0 } else { 3 }, "{what}: {}", again.said());
    assert_same_lines(again.lines(), replayed.lines(), what);
}

/// A recording, and what it tells.
struct Whole {
    scratch: Scratch,
    bytes: Vec<u8>,
    told: Ended,
}

impl Whole {
    fn record() -> Option<Self> {
        let host = Host::alone()?;
        let scratch = Scratch::new("damaged");
        let file = recording(&host, &scratch)?;
        let bytes = fs::read(&file).expect("it is there");
        Some(Self { scratch, bytes, told: replay(&file, &["--view", "closed"]) })
    }

    /// Expects that a damaged copy of it tells what is whole of it, nothing else, and can be repaired.
    fn assert_readable(&self, damaged: &[u8], what: &str) -> Value {
        let file = self.scratch.path().join("damaged.sw");
        fs::write(&file, damaged).expect("a file");
        let (replayed, findings) = assert_damaged(&file, what);
        assert_told(&replayed, &self.told, what);
        assert_repaired(&file, &replayed, &findings, what);
        findings
    }

    /// Flips bits here and there in a block, one place after the other.
    fn damage_block(&self, nth: usize) {
        let starts = blocks(&self.bytes);
        let (start, end) = (starts[nth], starts.get(nth + 1).copied().unwrap_or(self.bytes.len()));
        for at in [start, start + 20, (start + end) / 2, end - 1] {
            let mut damaged = self.bytes.clone();
            damaged[at] ^= 0x20;
            let what = format!("byte {at}, in block {nth} of {}", starts.len());
            let findings = self.assert_readable(&damaged, &what);
            assert!(findings["damaged_bytes"].as_u64() > Some(0), "{what}: {findings}");
        }
    }
}

#[test]
fn a_recording_that_was_cut_off_tells_what_is_left_of_it_and_can_be_repaired() {
    let Some(whole) = Whole::record() else { return };
    for tenth in 1..10 {
        let what = format!("{tenth} tenths");
        let findings = whole.assert_readable(&whole.bytes[..whole.bytes.len() * tenth / 10], &what);
        assert_eq!(findings["closed"], false, "{what}: {findings}");
    }
}

#[test]
fn a_recording_with_a_damaged_block_in_its_midst_tells_all_others_and_can_be_repaired() {
    let Some(whole) = Whole::record() else { return };
    (2..blocks(&whole.bytes).len() - 1).for_each(|nth| whole.damage_block(nth));
}

#[test]
fn where_the_block_with_what_existed_is_damaged_nothing_is_made_up() {
    let Some(whole) = Whole::record() else { return };
    whole.damage_block(1);
}

#[test]
fn a_recording_whose_last_block_is_damaged_is_not_taken_for_whole() {
    let Some(whole) = Whole::record() else { return };
    whole.damage_block(blocks(&whole.bytes).len() - 1);
}

#[test]
fn a_recording_whose_first_block_is_damaged_cannot_be_read() {
    let Some(_host) = Host::shared() else { return };
    let scratch = Scratch::new("headless");
    let file = scratch.path().join("a.sw");
    run(&["record", "-o", word(&file), "--duration", "100ms"]).expect(0);
    let bytes = fs::read(&file).expect("it is there");
    for (at, why) in [(0, "is not a recording"), (20, "damaged at its beginning"), (100, "damaged at its beginning")] {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x20;
        fs::write(&file, damaged).expect("a file");
        assert_refused(&replay(&file, &[]), &file, why);
        assert_refused(&run(&["verify", word(&file)]), &file, why);
    }
}

/// Nothing is told that the whole recording does not tell; but of sockets that say that they are not complete.
fn assert_told(replayed: &Ended, all: &Ended, what: &str) {
    let all = all.run();
    let all: HashMap<_, &Socket> = all.sockets.iter().map(|socket| (socket.cookie(), socket)).collect();
    for socket in &replayed.run().sockets {
        // One that is cut off in its life is still open.
        if socket.0["complete"] == false || socket.ending() == "open" {
            continue;
        }
        let whole = all.get(&socket.cookie()).unwrap_or_else(|| panic!("{what}: made up: {socket:?}"));
        assert_eq!(socket.anywhere(), whole.anywhere(), "{what}");
    }
}

#[test]
fn recordings_that_got_into_one_file_are_told_apart() {
    let Some(_host) = Host::shared() else { return };
    let scratch = Scratch::new("joined");
    let [first, second, joined] = ["1.sw", "2.sw", "joined.sw"].map(|name| scratch.path().join(name));
    for file in [&first, &second] {
        run(&["record", "-o", word(file), "--duration", "100ms"]).expect(0);
    }
    let [one, other] = [&first, &second].map(|file| fs::read(file).expect("it is there"));
    for (what, bytes) in [("two", [&one[..], &other].concat()), ("twice the same", [&one[..], &one].concat())] {
        fs::write(&joined, bytes).expect("a file");
        let (code, findings) = verify(&joined);
        assert_eq!((code, findings["foreign_blocks"].as_u64() > Some(1)), (3, true), "{what}: {findings}");
        let ended = replay(&joined, &[]).expect(3);
        assert!(ended.said().contains("do not belong there"), "{what}: {}", ended.said());
        let alone = replay(&first, &[]).expect(0);
        assert_eq!(ended.run().sockets.len(), alone.run().sockets.len(), "{what}");
    }
}

#[test]
fn a_file_that_is_named_twice_is_told_once() {
    let Some(_host) = Host::shared() else { return };
    let scratch = Scratch::new("twice");
    let file = scratch.path().join("a.sw");
    run(&["record", "-o", word(&file), "--duration", "100ms"]).expect(0);
    let once = replay(&file, &[]).expect(0);
    let twice = replay(&file, &[word(&file)]).expect(0);
    assert_eq!(once.stdout, twice.stdout);
    assert_eq!(run(&["verify", "--json", word(&file), word(&file)]).expect(0).stdout.len(), 2);
}

#[test]
fn one_bad_file_among_good_ones_is_named() {
    let Some(_host) = Host::shared() else { return };
    let scratch = Scratch::new("among");
    let [good, bad] = ["good.sw", "bad.sw"].map(|name| scratch.path().join(name));
    run(&["record", "-o", word(&good), "--duration", "100ms"]).expect(0);
    fs::write(&bad, "bad").expect("a file");
    assert_refused(&replay(&good, &[word(&bad)]), &bad, "is not a recording");
}

#[test]
fn repair_never_writes_over_what_it_reads_nor_over_what_exists() {
    let Some(_host) = Host::shared() else { return };
    let scratch = Scratch::new("repair");
    let [file, other] = ["a.sw", "b.sw"].map(|name| scratch.path().join(name));
    run(&["record", "-o", word(&file), "--duration", "100ms"]).expect(0);
    let before = fs::read(&file).expect("it is there");
    fs::write(&other, "precious").expect("a file");
    fs::hard_link(&file, scratch.path().join("same.sw")).expect("a second name");
    assert_refused(&run(&["repair", word(&file), "-o", word(&other)]), &other, "--force");
    assert_eq!(fs::read(&other).expect("it is there"), b"precious");
    for name in ["a.sw", "../{}/a.sw", "same.sw"] {
        let directory = scratch.path().file_name().and_then(|name| name.to_str()).expect("a name");
        let new = scratch.path().join(name.replace("{}", directory));
        let refused = run(&["repair", word(&file), "-o", word(&new), "--force"]);
        assert_eq!((refused.code(), refused.stdout.len()), (1, 0), "{name}: {}", refused.said());
        assert!(fs::read(&file).expect("it is there") == before, "{name}: it is as it was");
    }
    let repaired = run(&["repair", word(&file), "-o", word(&other), "--force"]).expect(0);
    assert!(repaired.said().contains("saved"), "{}", repaired.said());
    verify_whole(&other);
    assert_eq!(replay(&other, &[]).expect(0).lines(), replay(&file, &[]).expect(0).lines());
}

#[test]
fn a_recording_is_repaired_from_a_pipe_into_a_pipe() {
    let Some(_host) = Host::shared() else { return };
    let scratch = Scratch::new("repair-pipe");
    let [file, new] = ["a.sw", "b.sw"].map(|name| scratch.path().join(name));
    run(&["record", "-o", word(&file), "--duration", "100ms"]).expect(0);
    let mut shell = Command::new("sh");
    shell.args(["-c", "cat \"$1\" | \"$0\" repair - -o - | cat > \"$2\"", env!("CARGO_BIN_EXE_sockwatch")]);
    let output = shell.args([word(&file), word(&new)]).stdin(Stdio::null()).output().expect("sh runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    verify_whole(&new);
    assert_eq!(replay(&new, &[]).expect(0).lines(), replay(&file, &[]).expect(0).lines());
}
