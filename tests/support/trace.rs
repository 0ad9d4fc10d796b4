//! `sockwatch trace`, run as a user runs it.

use std::{
    os::unix::process::ExitStatusExt,
    process::{Child, Command, ExitStatus, Stdio},
    time::Instant,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::{Actor, Lines, Run, backlog, deadline, wait_for};

/// The real binary.
pub(crate) fn sockwatch(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sockwatch"));
    command.args(arguments).stdin(Stdio::null());
    command
}

/// One that runs.
pub(crate) struct Trace {
    child: Child,
    stdout: Option<Lines>,
    stderr: Option<Lines>,
}

/// What it left.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: Vec<String>,
    pub(crate) stderr: Vec<String>,
}

impl Ended {
    /// Its exit code; -N if signal N ended it.
    pub(crate) fn code(&self) -> i32 {
        self.status.code().unwrap_or_else(|| -self.status.signal().unwrap_or(0))
    }

    /// Whether it said that something is missing. (`verify` does so on stdout.)
    fn says_why(&self) -> bool {
        if self.stdout.first().is_some_and(|line| !line.starts_with("{\"type\":\"start\"")) {
            return true;
        }
        let words = [" lost", "incomplete", "missing", "could not be", "do not belong"];
        let says = |line: &String| !line.ends_with("none lost") && words.iter().any(|word| line.contains(word));
        self.stderr.iter().rev().take_while(|line| !line.starts_with("sockwatch: ready")).any(says)
    }

    /// Its JSON lines.
    pub(crate) fn run(&self) -> Run {
        Run::read(&self.stdout)
    }
}

impl Trace {
    /// `sockwatch trace --json`, ready.
    pub(super) fn json(arguments: &[&str]) -> Self {
        Self::ready(sockwatch(&["trace", "--json"]).args(arguments))
    }

    /// `sockwatch trace` for people, ready.
    pub(crate) fn text(arguments: &[&str]) -> Self {
        Self::ready(sockwatch(&["trace"]).args(arguments))
    }

    /// Starts a command, and waits until it says that it is ready.
    pub(crate) fn ready(command: &mut Command) -> Self {
        Self::start(command).when_ready()
    }

    fn when_ready(self) -> Self {
        self.stderr().wait_for("sockwatch: ready", |lines| {
            lines.iter().any(|line| line.starts_with("sockwatch: ready")).then_some(())
        });
        self
    }

    /// As above, with its output elsewhere.
    pub(crate) fn ready_into(command: &mut Command, stdout: Stdio) -> Self {
        Self::spawn(command.stdout(stdout)).when_ready()
    }

    /// Starts a command that may end at once.
    pub(crate) fn start(command: &mut Command) -> Self {
        Self::spawn(command.stdout(Stdio::piped()))
    }

    fn spawn(command: &mut Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let stdout = child.stdout.take().map(Lines::of);
        let stderr = Some(Lines::of(child.stderr.take().expect("stderr is a pipe")));
        Self { child, stdout, stderr }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it showed so far.
    pub(crate) fn stdout(&self) -> &Lines {
        self.stdout.as_ref().expect("stdout is a pipe, and it has not ended")
    }

    /// What it said so far.
    pub(crate) fn stderr(&self) -> &Lines {
        self.stderr.as_ref().expect("it has not ended")
    }

    /// Ends it as Ctrl-C does, and expects that it saw everything.
    pub(crate) fn stop(self) -> Run {
        self.stop_with(0)
    }

    /// Ends it when what was sent has arrived and what was closed is closed, and expects an exit code.
    pub(crate) fn stop_with(self, code: i32) -> Run {
        backlog::drain();
        backlog::closed_connections_end(&Actor::all_pids());
        self.signal(Signal::SIGINT);
        self.end_with(code)
    }

    /// Waits until it ends by itself, and expects an exit code.
    pub(crate) fn end_with(self, code: i32) -> Run {
        let ended = self.end();
        let lines = if ended.stdout.len() > 12 { &ended.stdout[ended.stdout.len() - 12..] } else { &ended.stdout };
        assert_eq!(
            ended.code(),
            code,
            "exit code; stderr:\n{}\nstdout:\n{}",
            ended.stderr.join("\n"),
            lines.join("\n")
        );
        Run::read(&ended.stdout)
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid().cast_signed()), signal).expect("sockwatch runs");
    }

    /// Waits until it ends. What is not complete says why.
    pub(crate) fn end(mut self) -> Ended {
        let started = Instant::now();
        let status = wait_for("the end of sockwatch", || self.child.try_wait().expect("it is a child"));
        assert!(started.elapsed() < deadline());
        let stdout = self.stdout.take().map(Lines::all).unwrap_or_default();
        let stderr = self.stderr.take().expect("it has not ended").all();
        let ended = Ended { status, stdout, stderr };
        assert!(ended.code() != 3 || ended.says_why(), "exit code 3, and nothing says why: {:?}", ended.stderr);
        ended
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
