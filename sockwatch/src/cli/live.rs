//! What the commands that follow the running kernel have in common: they load, survey, look again and again, and end in
//! order.

use std::{
    ffi::OsString,
    io,
    os::fd::AsFd,
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::Context;
use nix::{
    sys::{
        prctl,
        signal::{Signal, kill},
    },
    unistd::Pid,
};
use tokio::{
    process::{Child, Command},
    signal::unix::{SignalKind, signal},
};

use super::{args::Tracing, status};
use crate::{
    clock::Clock,
    event::Sock,
    kernel::{self, Causes, Facts, Loaded, Missing},
    lane::Lane,
    output::{Degraded, Scene, Sink, Start},
    source::{Live, Picture, Step},
    untrusted::Untrusted,
};

/// How long the sockets of a command that ended are given to end too: their last segments are still on the way.
const LAST_SEGMENTS: Duration = Duration::from_millis(60);

/// How a run stands once it is told from now on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ready {
    /// How many probes are attached.
    pub(super) probes: usize,
    /// How many sockets exist.
    pub(super) sockets: usize,
    /// How long that took.
    pub(super) took: Duration,
}

/// What the kernel sent in a run.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    /// How many records.
    pub(super) events: u64,
    /// What was lost on the way.
    pub(super) lost: Causes,
}

/// Who follows a run.
pub(super) trait Follower: Sink {
    /// The run begins. What it found so far follows.
    fn begin(&mut self, start: &Start, scene: &Scene) -> anyhow::Result<()>;

    /// Looks at a step before what follows from it is reported.
    fn step(&mut self, step: &Step);

    /// Something is not seen in this run.
    fn degraded(&mut self, all: &[Degraded]) {
        status::degraded(all);
    }

    /// Everything is attached, and the sockets that exist are read.
    fn ready(&mut self, ready: Ready) -> anyhow::Result<()> {
        status::ready(&ready);
        Ok(())
    }

    /// What there was is reported.
    fn pause(&mut self, lane: &Lane) -> anyhow::Result<()>;

    /// It is time for a picture of the sockets as they are, if the follower wants any: of those that pass this.
    fn wants_picture(&self) -> Option<&dyn Fn(&Sock) -> bool> {
        None
    }

    /// The picture that was wanted.
    fn picture(&mut self, _: Picture, _took: Duration) {}
}

/// Follows the kernel until the run is over, one port alone if one is given. Returns what the kernel sent.
///
/// # Errors
/// If the programs can't be loaded, the command can't be run, or the follower fails.
pub(super) fn follow(args: &Tracing, port: Option<u16>, follower: &mut dyn Follower) -> anyhow::Result<Sent> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("can't start the event loop")?;
    runtime.block_on(run(args, port, follower))
}

async fn run(args: &Tracing, port: Option<u16>, follower: &mut dyn Follower) -> anyhow::Result<Sent> {
    let started = Instant::now();
    // Before anything else: who is told that it is ready may end it at once.
    let signals = Signals::watch()?;
    let clock = Clock::now().context("can't read the clock")?;
    let root = if args.command.is_empty() { None } else { Some(adopt()?) };
    let loaded = kernel::load(kernel::Options { buffer: args.buffer, root, port, calls: args.probes.into() })?;
    let probes = loaded.attached.len();
    let mut start = describe(&Facts::gather(), &loaded);
    let scene = Scene::new(clock.clone());
    let mut run = Run { live: Live::new(loaded, clock), lane: Lane::new(scene.clone()), follower };
    if !run.follower.wants_signals() {
        run.lane.leave_out_signals();
    }
    if !run.follower.looks_at_lives() {
        run.lane.let_lives_rest();
    }
    let mut found = Vec::new();
    let survey = run.live.survey(&mut |step| found.push(step));
    start.degraded.extend(survey.unseen.into_iter().map(|why| Degraded {
        probe: "existing sockets".to_owned(),
        why,
        lost: "the sockets there that are older than this trace and that no descriptor holds".to_owned(),
    }));
    run.follower.degraded(&start.degraded);
    run.follower.begin(&start, &scene)?;
    for step in found {
        run.follower.step(&step);
        run.lane.take(step);
    }
    run.follower.ready(Ready { probes, sockets: survey.sockets, took: started.elapsed() })?;
    run.follow(args, signals).await?;
    Ok(Sent { events: run.lane.events(), lost: run.live.causes() })
}

/// The signals that end a run in order.
struct Signals {
    interrupted: tokio::signal::unix::Signal,
    terminated: tokio::signal::unix::Signal,
}

impl Signals {
    fn watch() -> anyhow::Result<Self> {
        Ok(Self {
            interrupted: signal(SignalKind::interrupt()).context("can't watch for SIGINT")?,
            terminated: signal(SignalKind::terminate()).context("can't watch for SIGTERM")?,
        })
    }
}

/// The street, from the kernel to the reader.
struct Run<'a> {
    live: Live,
    lane: Lane,
    follower: &'a mut dyn Follower,
}

impl Run<'_> {
    async fn follow(&mut self, args: &Tracing, mut signals: Signals) -> anyhow::Result<()> {
        let mut child = command(&args.command)?;
        let deadline = args.duration.map(|duration| tokio::time::Instant::now() + duration);
        let mut ended = None;
        loop {
            tokio::select! {
                () = self.live.wait() => {}
                _ = signals.interrupted.recv() => ended = Some(Signal::SIGINT),
                _ = signals.terminated.recv() => ended = Some(Signal::SIGTERM),
                () = sleep_until(deadline) => ended = Some(Signal::SIGTERM),
                () = exited(&mut child) => {
                    child = None;
                    tokio::time::sleep(LAST_SEGMENTS).await;
                    break;
                }
            }
            if ended.is_some() {
                break;
            }
            self.look(Live::read)?;
            if self.follower.is_done() {
                break;
            }
        }
        if let Some(pid) = child.as_ref().and_then(Child::id) {
            // The command ends with the trace. It may have ended by itself, from the same key.
            let _ = kill(Pid::from_raw(pid.cast_signed()), ended.unwrap_or(Signal::SIGTERM));
        }
        self.look(Live::read_last)
    }

    /// Takes what waits, and tells what is settled.
    fn look(&mut self, read: impl FnOnce(&mut Live, &mut dyn FnMut(Step))) -> anyhow::Result<()> {
        let Self { live, lane, follower } = self;
        let mut outcome = Ok(());
        read(live, &mut |step| {
            follower.step(&step);
            if lane.take(step) && outcome.is_ok() {
                outcome = lane.tell(*follower);
            }
        });
        outcome?;
        follower.pause(lane)?;
        let started = Instant::now();
        if let Some(picture) = follower.wants_picture().map(|wanted| live.picture(wanted)) {
            follower.picture(picture, started.elapsed());
        }
        Ok(())
    }
}

/// What the programs that are attached can tell.
fn describe(facts: &Facts, loaded: &Loaded) -> Start {
    Start {
        probes: loaded.attached.iter().map(kernel::Attached::name).collect(),
        degraded: loaded.missing.iter().map(degraded).collect(),
        ..host(facts)
    }
}

/// What host this is.
pub(super) fn host(facts: &Facts) -> Start {
    Start { host: facts.host.clone(), kernel: facts.kernel.clone(), boot_id: facts.boot_id.clone(), ..Start::default() }
}

pub(super) fn degraded(missing: &Missing) -> Degraded {
    Degraded { probe: missing.probe.name(), why: missing.why.clone(), lost: missing.probe.without.to_owned() }
}

/// Makes this process the one that takes over orphans among its descendants, so that a command's children can be told
/// from others for as long as they live. Returns its id.
fn adopt() -> anyhow::Result<u32> {
    prctl::set_child_subreaper(true).context("can't take over the command's orphans (PR_SET_CHILD_SUBREAPER)")?;
    Ok(std::process::id())
}

/// Starts the command. What it prints goes to stderr: stdout is for the data.
fn command(command: &[OsString]) -> anyhow::Result<Option<Child>> {
    let Some((program, arguments)) = command.split_first() else { return Ok(None) };
    let stdout = io::stderr().as_fd().try_clone_to_owned().context("can't share stderr with the command")?;
    let child = Command::new(program)
        .args(arguments)
        .stdout(Stdio::from(stdout))
        .spawn()
        .with_context(|| format!("can't run {}", Untrusted::new(program.as_encoded_bytes())))?;
    Ok(Some(child))
}

/// Waits until a child ended; for ever if there is none.
async fn exited(child: &mut Option<Child>) {
    match child {
        Some(child) => drop(child.wait().await),
        None => std::future::pending().await,
    }
}

async fn sleep_until(deadline: Option<tokio::time::Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
