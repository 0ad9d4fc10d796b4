//! A tool that runs: started, ready, ended.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::interrupt::Interrupt;
use super::load::Load;
use super::process::{self, Time};
use super::programs;
use super::tools::{Places, Ready, Tool};

/// Longest that a tool may take to be ready, and to end.
const MOST: Duration = Duration::from_secs(20);

/// A tool is done with what came when it was idle for this long.
const QUIET: Duration = Duration::from_millis(100);

/// What part of a processor a tool may take to be called idle.
const IDLE: f64 = 0.01;

/// Most lines of standard error that are kept.
const MOST_LINES: usize = 10_000;

/// A tool that runs. It is ended when this is dropped.
pub(crate) struct Running {
    tool: Tool,
    child: Child,
    stderr: Arc<Mutex<Vec<(Instant, String)>>>,
    reader: Option<JoinHandle<()>>,
    file: Option<PathBuf>,
    /// From its start until it was ready, where it says so itself.
    pub(crate) ready: Option<Duration>,
}

/// How it ended.
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) lines: Vec<String>,
    /// Bytes of the file that it wrote.
    pub(crate) bytes: Option<u64>,
}

impl Running {
    /// Starts a tool, and waits until it is ready; none if the tool is to be nothing.
    pub(crate) fn start(tool: Tool, places: &Places, load: &Load, interrupt: &Interrupt) -> Result<Option<Self>> {
        let Some((command, file)) = tool.command(places, load.pids()) else { return Ok(None) };
        let started = Instant::now();
        let mut running = Self::spawn(tool, command, file)?;
        let said = |running: &Self| {
            let lines = running.lines();
            lines.iter().find(|(_, line)| line.starts_with("sockwatch: ready")).map(|(time, _)| *time)
        };
        let pid = running.pid();
        let in_time = interrupt.wait(MOST, || {
            if let Some(status) = running.child.try_wait()? {
                bail!("{} ended before it was ready: {status}: {}", tool.name(), running.last_words());
            }
            Ok(match tool.ready() {
                Ready::Says => said(&running).is_some(),
                Ready::HasLinks => programs::has_links(pid),
                Ready::Traces => load.pids().all(process::is_traced),
            })
        })?;
        if !in_time {
            bail!("{} was not ready within {} s: {}", tool.name(), MOST.as_secs(), running.last_words());
        }
        running.ready = said(&running).map(|time| time - started);
        Ok(Some(running))
    }

    fn spawn(tool: Tool, mut command: Command, file: Option<PathBuf>) -> Result<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("cannot start {}", crate::command::shown(&command)))?;
        let stderr = Arc::new(Mutex::new(Vec::new()));
        let reader = child.stderr.take().map(|pipe| {
            let lines = Arc::clone(&stderr);
            thread::spawn(move || collect(pipe, &lines))
        });
        Ok(Self { tool, child, stderr, reader, file, ready: None })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    fn lines(&self) -> Vec<(Instant, String)> {
        self.stderr.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn last_words(&self) -> String {
        let lines = self.lines();
        let last: Vec<&str> = lines.iter().rev().take(3).rev().map(|(_, line)| line.as_str()).collect();
        if last.is_empty() { "it said nothing".to_owned() } else { last.join("; ") }
    }

    /// How busy it is for a while: 1 is one processor.
    pub(crate) fn busy(&self, length: Duration, interrupt: &Interrupt) -> Result<f64> {
        let time = || Time::of(self.pid()).unwrap_or_default();
        let (started, before) = (Instant::now(), time());
        interrupt.pause(length)?;
        Ok(time().since(before).total as f64 / started.elapsed().as_nanos() as f64)
    }

    /// Waits until it is done with what came: until it is about as busy as it was before that.
    pub(crate) fn settle(&self, resting: f64, interrupt: &Interrupt) -> Result<()> {
        let deadline = Instant::now() + MOST;
        while Instant::now() < deadline && self.busy(QUIET, interrupt)? > IDLE + 2.0 * resting {}
        Ok(())
    }

    /// Ends it as a user would, by Ctrl-C.
    pub(crate) fn end(mut self, interrupt: &Interrupt) -> Result<Ended> {
        self.signal(Signal::SIGINT);
        let mut status = None;
        let in_time = interrupt.wait(MOST, || {
            status = self.child.try_wait()?;
            Ok(status.is_some())
        })?;
        if !in_time {
            bail!("{} did not end within {} s of SIGINT", self.tool.name(), MOST.as_secs());
        }
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
        let lines = self.lines().into_iter().map(|(_, line)| line).collect();
        let bytes = self.file.as_ref().and_then(|file| Some(fs::metadata(file).ok()?.len()));
        Ok(Ended { code: status.and_then(|status| status.code()), lines, bytes })
    }

    fn signal(&self, signal: Signal) {
        // It may be gone already, and is not waited for yet: so nobody else has its id.
        let _ = kill(Pid::from_raw(self.pid().cast_signed()), signal);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.signal(Signal::SIGINT);
            let deadline = Instant::now() + Duration::from_secs(3);
            while matches!(self.child.try_wait(), Ok(None)) {
                if Instant::now() > deadline {
                    let _ = self.child.kill();
                    let _ = self.child.wait();
                }
                thread::sleep(Duration::from_millis(10));
            }
        }
        if let Some(file) = &self.file {
            let _ = fs::remove_file(file);
        }
    }
}

fn collect(pipe: impl Read, lines: &Mutex<Vec<(Instant, String)>>) {
    for line in BufReader::new(pipe).lines().map_while(Result::ok) {
        let mut lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() < MOST_LINES {
            lines.push((Instant::now(), line));
        }
    }
}
