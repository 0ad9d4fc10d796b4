//! What was shown live is what a replay shows.

use std::{
    fs::{self, File},
    path::PathBuf,
    process::Stdio,
};

use nix::sys::signal::Signal;

use crate::support::{
    Ended, Ending, Host, Load, Scratch, Trace, Traffic, python,
    recording::{replay_bytes, run, word},
    scaled, sockwatch,
};

/// A trace that also records. Its lines go to a file.
struct Written {
    trace: Trace,
    lines: PathBuf,
    recording: PathBuf,
}

impl Written {
    /// `sockwatch trace -w FILE`.
    fn start(scratch: &Scratch, name: &str, arguments: &[&str]) -> Self {
        let [lines, recording] = ["lines", "sw"].map(|suffix| scratch.path().join(format!("{name}.{suffix}")));
        let mut command = sockwatch(&["trace", "-w", word(&recording)]);
        let stdout = Stdio::from(File::create(&lines).expect("a file"));
        Self { trace: Trace::ready_into(command.args(arguments), stdout), lines, recording }
    }

    fn stop(self) -> Shown {
        self.trace.signal(Signal::SIGINT);
        self.end()
    }

    fn end(self) -> Shown {
        let ended = self.trace.end();
        Shown { lines: fs::read(&self.lines).expect("its lines"), recording: self.recording, ended }
    }
}

/// What it left.
struct Shown {
    lines: Vec<u8>,
    recording: PathBuf,
    ended: Ended,
}

impl Shown {
    /// Replays it; expects the same lines, but for the first, and the same exit code.
    fn assert_replayed(&self, arguments: &[&str]) {
        let (replayed, code) = replay_bytes(&self.recording, arguments);
        assert_same(rest(&self.lines), rest(&replayed), &format!("{} {arguments:?}", self.recording.display()));
        assert_eq!(code, Some(self.ended.code()), "{}", self.ended.said());
    }

    fn count(&self, part: &str) -> usize {
        String::from_utf8_lossy(&self.lines).lines().filter(|line| line.contains(part)).count()
    }
}

/// Without the first line.
fn rest(lines: &[u8]) -> &[u8] {
    let first = lines.iter().position(|&byte| byte == b'\n').expect("a first line");
    assert!(lines.starts_with(b"{\"type\":\"start\""));
    &lines[first + 1..]
}

/// Compares byte for byte; says where they differ.
fn assert_same(live: &[u8], replayed: &[u8], what: &str) {
    if live == replayed {
        return;
    }
    let [live, replayed] = [live, replayed].map(|bytes| bytes.split(|&byte| byte == b'\n').collect::<Vec<_>>());
    let place = live.iter().zip(&replayed).take_while(|(live, replayed)| live == replayed).count();
    let at = |lines: &[&[u8]]| lines.get(place).map_or("nothing".into(), |line| String::from_utf8_lossy(line).into());
    let [shown_live, shown_again]: [String; 2] = [at(&live), at(&replayed)];
    let (before, after) = (live.len(), replayed.len());
    panic!("{what}: {before} lines live, {after} replayed; line {} differs:\n{shown_live}\n{shown_again}", place + 1);
}

/// How a trace is asked for, and what a replay has to be asked for to show the same: the recording keeps the filters.
const ASKED: [(&str, &str); 9] = [
    ("--view path", ""),
    ("--view states", "--view states"),
    ("--view closed", "--view closed"),
    ("--port 7502 --view states", "--view states"),
    ("--process curl --process nginx", ""),
    ("--failed", ""),
    ("--role server --view closed", "--view closed"),
    ("--family 6 --role client --view states", "--view states"),
    ("--address 127.0.0.0/8 --uid 0", ""),
];

fn words(text: &str) -> Vec<&str> {
    text.split_whitespace().collect()
}

#[test]
fn a_replay_prints_the_lines_of_the_trace_byte_for_byte_in_every_view_and_for_every_filter() {
    let Some(host) = Host::shared() else { return };
    if !host.has(&["nginx", "curl"]) {
        return;
    }
    let netns = host.netns();
    let scratch = Scratch::new("same");
    let traffic = Traffic::begin(&netns);
    let traces = ASKED.map(|(asked, _)| {
        let name = asked.replace([' ', '/'], "");
        Written::start(&scratch, &name, &[&["--json"], &words(asked)[..]].concat())
    });
    traffic.run();
    for (trace, (asked, again)) in traces.into_iter().zip(ASKED) {
        let shown = trace.stop();
        assert_eq!(shown.ended.code(), 0, "{asked}: {}", shown.ended.said());
        assert!(shown.count("\"type\":\"socket\"") >= 2, "{asked}: {}", String::from_utf8_lossy(&shown.lines));
        shown.assert_replayed(&words(again));
    }
    traffic.end();
}

#[test]
fn a_replay_for_people_is_the_trace_for_people() {
    let Some(host) = Host::shared() else { return };
    if !host.has(&["nginx", "curl"]) {
        return;
    }
    let netns = host.netns();
    let scratch = Scratch::new("same-text");
    let traffic = Traffic::begin(&netns);
    let views = ["path", "states", "closed"];
    let traces = views.map(|view| Written::start(&scratch, view, &["--view", view, "--utc"]));
    traffic.run();
    for (trace, view) in traces.into_iter().zip(views) {
        let shown = trace.stop();
        let again = run(&["replay", "--view", view, "--utc", word(&shown.recording)]).expect(0);
        let replayed: String = again.stdout.iter().map(|line| format!("{line}\n")).collect();
        assert!(shown.count("127.0.0.1:7502") > 0);
        assert_same(&shown.lines, replayed.as_bytes(), view);
        let last = shown.ended.stderr.iter().find(|line| line.contains("sockets, none lost"));
        assert_eq!(again.stderr, Vec::from_iter(last.cloned()), "the same summary: {}", shown.ended.said());
    }
    traffic.end();
}

/// Listens, and has a child connect; a grandchild of the trace closes last.
const FAMILY: &str = "
import os, socket
l = socket.create_server(('127.0.0.1', 0))
if os.fork() == 0:
    c = socket.create_connection(l.getsockname())
    c.sendall(b'.')
    os._exit(0)
s, _ = l.accept()
os.wait()
assert s.recv(2) == b'.'
";

#[test]
fn what_a_command_and_its_children_did_is_replayed_without_anyone_else() {
    let Some(host) = Host::shared() else { return };
    let netns = host.netns();
    let scratch = Scratch::new("same-command");
    let traffic = Traffic::begin(&netns);
    for view in ["path", "states", "closed"] {
        let trace = Written::start(&scratch, view, &["--json", "--view", view, "--", python(), "-c", FAMILY]);
        let shown = trace.end();
        assert_eq!(shown.ended.code(), 0, "{}", shown.ended.said());
        assert_eq!(shown.count("\"type\":\"socket\""), 3, "{}", String::from_utf8_lossy(&shown.lines));
        shown.assert_replayed(&["--view", view]);
    }
    traffic.end();
}

#[test]
fn of_20_000_connections_every_line_is_replayed() {
    let Some(host) = Host::alone() else { return };
    let scratch = Scratch::new("same-load");
    let connections = scaled(20_000);
    for view in ["closed", "path"] {
        let netns = host.netns();
        let path = netns.path().display().to_string();
        let trace = Written::start(&scratch, view, &["--json", "--view", view, "--netns", &path]);
        let opens = Load { connections, pairs: 1, ending: Ending::Fin }.run(&netns);
        let shown = trace.stop();
        assert_eq!((opens.active, opens.passive), (connections.into(), connections.into()));
        assert!(shown.count("\"type\":\"socket\"") > connections as usize * 3 / 2, "{}", shown.ended.said());
        shown.assert_replayed(&["--view", view]);
    }
}
