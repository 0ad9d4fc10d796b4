//! Recordings: how one is made, and what the commands that read recordings say of it.

use std::{fs, path::Path, process::Stdio};

use serde_json::Value;

use super::{Host, Trace, sockwatch, trace::Ended};

/// A path, as an argument.
pub(crate) fn word(path: &Path) -> &str {
    path.to_str().expect("a test's paths are UTF-8")
}

/// `sockwatch record -o FILE`, ready.
pub(crate) fn record(file: &Path, arguments: &[&str]) -> Trace {
    Trace::ready(sockwatch(&["record", "-o", word(file)]).args(arguments))
}

/// A command that ends by itself.
pub(crate) fn run(arguments: &[&str]) -> Ended {
    Trace::start(&mut sockwatch(arguments)).end()
}

/// `sockwatch replay --json FILE`.
pub(crate) fn replay(file: &Path, arguments: &[&str]) -> Ended {
    run(&[&["replay", "--json", word(file)], arguments].concat())
}

/// `sockwatch replay --json FILE`, byte for byte; and its exit code.
pub(crate) fn replay_bytes(file: &Path, arguments: &[&str]) -> (Vec<u8>, Option<i32>) {
    let mut command = sockwatch(&["replay", "--json", word(file)]);
    let output = command.args(arguments).stderr(Stdio::inherit()).output().expect("sockwatch runs");
    (output.stdout, output.status.code())
}

/// `sockwatch verify --json FILE`: its exit code, and its line.
pub(crate) fn verify(file: &Path) -> (i32, Value) {
    let ended = run(&["verify", "--json", word(file)]);
    assert_eq!(ended.stdout.len(), 1, "one line: {:?}; {}", ended.stdout, ended.said());
    (ended.code(), serde_json::from_str(&ended.stdout[0]).expect("JSON"))
}

/// Expects that a recording is whole; returns how many events are in it.
pub(crate) fn verify_whole(file: &Path) -> u64 {
    let (code, findings) = verify(file);
    assert_eq!((code, &findings["whole"]), (0, &true.into()), "{findings}");
    findings["events"].as_u64().expect("a count")
}

/// Expects that a command could do nothing with a file: it fails, says one line that names the file, and shows nothing.
pub(crate) fn assert_refused(ended: &Ended, named: &Path, why: &str) {
    let said = ended.said();
    assert_eq!((ended.code(), ended.stdout.len(), ended.stderr.len()), (1, 0, 1), "{said}");
    assert!(said.starts_with("sockwatch: ") && said.contains(word(named)) && said.contains(why), "{why:?}: {said}");
}

/// Expects the same lines; says where they begin to differ.
pub(crate) fn assert_same_lines<A: AsRef<str>, B: AsRef<str>>(found: &[A], expected: &[B], what: &str) {
    let same = |(found, expected): &(&A, &B)| found.as_ref() == expected.as_ref();
    let place = found.iter().zip(expected).take_while(same).count();
    let differ = place < found.len().max(expected.len());
    assert!(
        !differ,
        "{what}: {} lines where {} are expected; line {} is\n{}\nand not\n{}",
        found.len(),
        expected.len(),
        place + 1,
        found.get(place).map_or("missing", AsRef::as_ref),
        expected.get(place).map_or("missing", AsRef::as_ref),
    );
}

/// Whether something was written to a file.
pub(crate) fn size(file: &Path) -> u64 {
    fs::metadata(file).map_or(0, |metadata| metadata.len())
}

impl Ended {
    /// All that it said.
    pub(crate) fn said(&self) -> String {
        self.stderr.join("\n")
    }

    /// Expects an exit code.
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(self.code(), code, "exit code; stderr:\n{}", self.said());
        assert!(!self.said().contains("panicked"), "{}", self.said());
        self
    }

    /// Expects that nothing is missing; of a load, but for what this host's kernel keeps from every BPF program.
    pub(crate) fn expect_whole(self, host: &Host) -> Self {
        // It counts none of that: what was counted, or is not known, is another loss.
        let uncounted = self.said().contains("some sockets are incomplete");
        let is_its_own = host.hides_a_process() && self.code() == 3 && uncounted;
        self.expect(if is_its_own { 3 } else { 0 })
    }

    /// Its lines, but for the first.
    pub(crate) fn lines(&self) -> &[String] {
        let (first, lines) = self.stdout.split_first().expect("a first line");
        assert!(first.starts_with("{\"type\":\"start\""), "{first}");
        lines
    }
}
