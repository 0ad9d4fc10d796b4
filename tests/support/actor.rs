//! A program that does with its sockets what a test tells it to (tests/data/actor.py).

use std::{
    cell::{Cell, RefCell},
    io::Write,
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
};

use nix::libc;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Lines, Netns, data, wait_for};

thread_local! {
    /// Those of this test that are there.
    static HERE: RefCell<Vec<u32>> = const { RefCell::new(Vec::new()) };
}

/// A Python process.
pub(crate) struct Actor {
    child: Child,
    /// Apart from the child: `Child::wait` closes what it has.
    stdin: Option<ChildStdin>,
    answers: Lines,
    told: Cell<usize>,
}

impl Actor {
    pub(crate) fn start() -> Self {
        Self::run(Command::new(python()))
    }

    /// One in a network namespace.
    pub(crate) fn within(netns: &Netns) -> Self {
        Self::run(netns.command(python()))
    }

    /// One that `program`, such as setpriv, starts.
    pub(crate) fn through(program: &str, arguments: &[&str]) -> Self {
        let mut command = Command::new(program);
        command.args(arguments).arg(python());
        Self::run(command)
    }

    fn run(mut command: Command) -> Self {
        command.arg(data("actor.py")).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let answers = Lines::of(child.stdout.take().expect("stdout is a pipe"));
        let stdin = child.stdin.take();
        HERE.with_borrow_mut(|here| here.push(child.id()));
        Self { child, stdin, answers, told: Cell::new(0) }
    }

    /// The processes of all that this test has.
    pub(super) fn all_pids() -> Vec<u32> {
        HERE.with_borrow(Clone::clone)
    }

    /// Its process; that of the program it was started through, where that stays.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Does something that must succeed.
    pub(crate) fn tell(&self, code: &str) {
        self.begin(code);
        self.finish::<Value>();
    }

    /// Does something, and says what came of it.
    pub(crate) fn ask<T: DeserializeOwned>(&self, code: &str) -> T {
        self.begin(code);
        self.finish()
    }

    /// Does something that must fail; returns the errno's name.
    pub(crate) fn fail(&self, code: &str) -> String {
        self.begin(code);
        let answer = self.answer();
        answer["error"]
            .as_str()
            .unwrap_or_else(|| panic!("{code} was expected to fail, and answered {answer}"))
            .to_owned()
    }

    /// Begins something, and does not wait for the answer.
    pub(crate) fn begin(&self, code: &str) {
        let mut stdin = self.stdin.as_ref().expect("stdin is a pipe");
        let line = Value::from(code).to_string();
        writeln!(stdin, "{line}").unwrap_or_else(|error| panic!("the actor was to do {code}: {error}"));
    }

    /// Waits for the answer to what was begun.
    pub(crate) fn finish<T: DeserializeOwned>(&self) -> T {
        let mut answer = self.answer();
        let value = answer.get_mut("value").map(Value::take).unwrap_or_else(|| panic!("the actor answered {answer}"));
        serde_json::from_value(value.clone()).unwrap_or_else(|error| panic!("the actor answered {value}: {error}"))
    }

    fn answer(&self) -> Value {
        let nth = self.told.get();
        self.told.set(nth + 1);
        let line = self.answers.wait_for("an actor's answer", |lines| lines.get(nth).cloned());
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("an actor wrote {line}: {error}"))
    }

    /// Waits until its main thread sleeps in accept().
    pub(crate) fn wait_until_in_accept(&self) {
        self.wait_until_in("accept()", &[libc::SYS_accept, libc::SYS_accept4]);
    }

    /// Waits until it sleeps in connect().
    pub(crate) fn wait_until_in_connect(&self) {
        self.wait_until_in("connect()", &[libc::SYS_connect]);
    }

    fn wait_until_in(&self, name: &str, calls: &[libc::c_long]) {
        let calls: Vec<String> = calls.iter().map(|call| format!("{call} ")).collect();
        wait_for(&format!("a thread that sleeps in {name}"), || {
            let in_call = std::fs::read_to_string(format!("/proc/{}/syscall", self.pid())).ok()?;
            calls.iter().any(|call| in_call.starts_with(call)).then_some(())
        });
    }

    /// Ends it as SIGKILL does; its sockets are closed when this returns.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it is a child");
    }

    /// Waits until the process that was started is gone. What it forked may go on.
    pub(crate) fn wait_for_exit(&mut self) {
        self.child.wait().expect("it is a child");
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        // What a fork of it may still read from has ended with this.
        drop(self.stdin.take());
        let _ = self.child.kill();
        let _ = self.child.wait();
        HERE.with_borrow_mut(|here| here.retain(|&pid| pid != self.pid()));
    }
}

/// Debian's, where it is: a wrapper in front of it would have another name and start slowly.
pub(crate) fn python() -> &'static str {
    if Path::new("/usr/bin/python3").exists() { "/usr/bin/python3" } else { "python3" }
}
