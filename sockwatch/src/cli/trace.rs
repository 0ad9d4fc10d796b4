//! `sockwatch trace`: follow every socket on the host, live.

use std::{
    ffi::OsString,
    io::{self, BufWriter, IsTerminal, Stdout, Write},
    os::fd::AsFd,
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
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

use super::{
    args::{ProbeChoice, Trace},
    status,
};
use crate::{
    clock::Clock,
    event::Event,
    kernel::{self, Facts, Loaded, Missing},
    lifecycle::{Engine, Report},
    output::{Degraded, Format, Json, Show, Start, Summary, Text, TextOptions},
    select::Filter,
    source::Live,
};

/// How long the sockets of a command that ended are given to end too: their last segments are still on the way.
const LAST_SEGMENTS: Duration = Duration::from_millis(60);

/// How the run ended.
enum End {
    /// As it was meant to.
    Done(Summary),
    /// Nobody reads any more.
    Unread,
}

/// Runs the command; returns the exit code.
///
/// # Errors
/// If the programs can't be loaded, the command can't be run, or output can't be written.
pub fn run(args: &Trace, filter: Filter) -> anyhow::Result<u8> {
    if args.probes == ProbeChoice::Trampolines {
        bail!("--probes trampolines: this version has tracepoints only; leave the option out, or say tracepoints");
    }
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("can't start the event loop")?;
    match runtime.block_on(trace(args, filter))? {
        End::Unread => Ok(0),
        End::Done(summary) => {
            if !args.json {
                status::summary(&summary);
            }
            Ok(if summary.complete { 0 } else { 3 })
        }
    }
}

async fn trace(args: &Trace, mut filter: Filter) -> anyhow::Result<End> {
    let started = Instant::now();
    filter.descendants = !args.command.is_empty();
    // Before anything else: who is told that it is ready may end it at once.
    let signals = Signals::watch()?;
    let clock = Clock::now().context("can't read the clock")?;
    let root = if args.command.is_empty() { None } else { Some(adopt()?) };
    let loaded = kernel::load(kernel::Options { buffer: args.buffer, root })?;
    let probes = loaded.attached.len();
    let mut start = describe(&Facts::gather(), &loaded);
    let mut run = Run {
        live: Live::new(loaded),
        engine: Engine::new(),
        show: Show::new(BufWriter::with_capacity(1 << 16, io::stdout()), format(args), args.view, filter, clock)
            .limit(args.count),
    };
    let survey = run.live.survey(&mut |event| run.engine.event(event));
    start.degraded.extend(survey.unseen.into_iter().map(|why| Degraded {
        probe: "existing sockets".to_owned(),
        why,
        lost: "the sockets there that are older than this trace".to_owned(),
    }));
    status::degraded(&start.degraded);
    let outcome = async {
        run.show.start(&start)?;
        run.show.flush()?;
        status::ready(probes, survey.sockets, started.elapsed());
        run.follow(args, signals).await
    };
    match outcome.await {
        Ok(summary) => Ok(End::Done(summary)),
        Err(error) if is_closed_pipe(&error) => Ok(End::Unread),
        Err(error) => Err(error),
    }
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
struct Run {
    live: Live,
    engine: Engine,
    show: Show<BufWriter<Stdout>>,
}

impl Run {
    async fn follow(&mut self, args: &Trace, mut signals: Signals) -> anyhow::Result<Summary> {
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
            self.look()?;
            if self.show.is_done() {
                break;
            }
        }
        if let Some(pid) = child.as_ref().and_then(Child::id) {
            // The command ends with the trace. It may have ended by itself, from the same key.
            let _ = kill(Pid::from_raw(pid.cast_signed()), ended.unwrap_or(Signal::SIGTERM));
        }
        self.finish()
    }

    /// Takes what waits, and shows what is settled.
    fn look(&mut self) -> anyhow::Result<()> {
        let Self { live, engine, show } = self;
        let seen = live.read(&mut |event: Event| engine.event(event));
        let mut outcome = Ok(());
        engine.advance(seen, &mut |report| note(&mut outcome, show, report));
        outcome?;
        show.flush()?;
        if !has_reader() {
            return Err(io::Error::from(io::ErrorKind::BrokenPipe).into());
        }
        Ok(())
    }

    fn finish(&mut self) -> anyhow::Result<Summary> {
        let Self { live, engine, show } = self;
        live.read_last(&mut |event| engine.event(event));
        let mut outcome = Ok(());
        engine.finish(&mut |report| note(&mut outcome, show, report));
        outcome?;
        Ok(show.finish(live.events())?)
    }
}

/// Shows a report, unless an earlier one failed.
fn note<W: Write>(outcome: &mut io::Result<()>, show: &mut Show<W>, report: Report<'_>) {
    if outcome.is_ok() {
        *outcome = show.report(report);
    }
}

fn format(args: &Trace) -> Box<dyn Format> {
    if args.json {
        return Box::new(Json::new());
    }
    let terminal = io::stdout().is_terminal();
    let color = terminal && !args.no_color && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let width = terminal_size::terminal_size_of(io::stdout()).map(|(terminal_size::Width(columns), _)| columns);
    Box::new(Text::new(TextOptions { color, utc: args.utc, view: args.view, width }))
}

/// What the programs that are attached can tell.
fn describe(facts: &Facts, loaded: &Loaded) -> Start {
    Start {
        host: facts.host.clone(),
        kernel: facts.kernel.clone(),
        boot_id: facts.boot_id.clone(),
        probes: loaded.attached.iter().map(kernel::Probe::name).collect(),
        degraded: loaded.missing.iter().map(degraded).collect(),
    }
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
        .with_context(|| format!("can't run {}", crate::untrusted::Untrusted::new(program.as_encoded_bytes())))?;
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

/// Whether the other end of stdout is still open: with nothing to write, writing does not tell.
fn has_reader() -> bool {
    let stdout = io::stdout();
    let mut stdout = [PollFd::new(stdout.as_fd(), PollFlags::empty())];
    let ready = poll(&mut stdout, PollTimeout::ZERO);
    !(ready.is_ok_and(|ready| ready > 0)
        && stdout[0].revents().is_some_and(|events| events.contains(PollFlags::POLLERR)))
}

fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
