//! `sockwatch trace`: follow every socket on the host, live.

use std::{
    io::{self, BufWriter, IsTerminal, Stdout},
    os::fd::AsFd,
};

use anyhow::bail;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::{
    args::{OutputArgs, Trace, Tracing},
    live::{self, Follower},
    record::Recording,
    status,
};
use crate::{
    lane::Lane,
    lifecycle::Report,
    output::{Format, Json, Scene, Show, Sink, Start, Text, TextOptions},
    replay::PlayError,
    select::Filter,
    source::Step,
};

/// Runs the command; returns the exit code.
///
/// # Errors
/// If the programs can't be loaded, the command can't be run, or output can't be written.
pub fn run(args: &Trace, mut filter: Filter) -> anyhow::Result<u8> {
    filter.descendants = !args.tracing.command.is_empty();
    let recording = match &args.write {
        Some(path) if path.as_os_str() == "-" => {
            bail!("-w -: stdout has the lines; `sockwatch record -o -` writes a recording there")
        }
        Some(path) => Some(Recording::create(path, &args.recording, &filter)?),
        None => None,
    };
    lines(&args.output, &args.tracing, None, filter, recording)
}

/// Shows what passes as lines, of one port alone if one is given, and records it if that is wanted; returns the exit code.
pub(super) fn lines(
    output: &OutputArgs,
    tracing: &Tracing,
    port: Option<u16>,
    filter: Filter,
    recording: Option<Recording>,
) -> anyhow::Result<u8> {
    let mut shown = Shown { show: show(output, filter).limit(tracing.count), recording };
    let outcome =
        live::follow(tracing, port, &mut shown).and_then(|sent| Ok((shown.show.finish(sent.events)?, sent.lost)));
    let finished = shown.recording.map(|recording| recording.recorder.finish());
    match outcome {
        Ok((summary, lost)) => {
            if output.json {
                status::losses(&summary, &lost);
            } else {
                status::summary(&summary, &lost);
            }
            let recorded = finished.is_none_or(|finished| status::recorded(&finished));
            Ok(if summary.complete && recorded { 0 } else { 3 })
        }
        // Nobody reads any more.
        Err(error) if is_closed_pipe(&error) => Ok(0),
        Err(error) => Err(error),
    }
}

/// What is shown on stdout, as the options want it.
pub(super) fn show(args: &OutputArgs, filter: Filter) -> Show<BufWriter<Stdout>> {
    Show::new(BufWriter::with_capacity(1 << 16, io::stdout()), format(args), args.view, filter)
}

struct Shown {
    show: Show<BufWriter<Stdout>>,
    recording: Option<Recording>,
}

impl Sink for Shown {
    fn report(&mut self, scene: &Scene, report: Report<'_>) -> io::Result<()> {
        self.show.report(scene, report)
    }

    fn is_done(&self) -> bool {
        self.show.is_done()
    }

    fn wants_signals(&self) -> bool {
        // A checkpoint has all that waits.
        self.show.wants_signals() || self.recording.is_some()
    }
}

impl Follower for Shown {
    fn begin(&mut self, start: &Start, scene: &Scene) -> anyhow::Result<()> {
        if let Some(recording) = &mut self.recording {
            recording.begin(start, scene);
        }
        self.show.start(start)?;
        Ok(self.show.flush()?)
    }

    fn step(&mut self, step: &Step) {
        if let Some(recording) = &mut self.recording {
            recording.recorder.step(step);
        }
    }

    fn pause(&mut self, lane: &Lane) -> anyhow::Result<()> {
        if let Some(recording) = &mut self.recording {
            recording.pause(lane);
        }
        self.show.flush()?;
        if !has_reader() {
            return Err(io::Error::from(io::ErrorKind::BrokenPipe).into());
        }
        Ok(())
    }
}

fn format(args: &OutputArgs) -> Box<dyn Format> {
    if args.json {
        return Box::new(Json::new());
    }
    let terminal = io::stdout().is_terminal();
    let color = terminal && wants_color(args.no_color);
    let width = terminal_size::terminal_size_of(io::stdout()).map(|(terminal_size::Width(columns), _)| columns);
    Box::new(Text::new(TextOptions { color, utc: args.utc, view: args.view, width }))
}

/// Whether a terminal is to be shown colors: <https://no-color.org>.
pub(super) fn wants_color(no_color: bool) -> bool {
    !no_color && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Whether the other end of stdout is still open: with nothing to write, writing does not tell.
pub(super) fn has_reader() -> bool {
    let stdout = io::stdout();
    let mut stdout = [PollFd::new(stdout.as_fd(), PollFlags::empty())];
    let ready = poll(&mut stdout, PollTimeout::ZERO);
    !(ready.is_ok_and(|ready| ready > 0)
        && stdout[0].revents().is_some_and(|events| events.contains(PollFlags::POLLERR)))
}

/// Whether nobody reads any more what a run, live or recorded, is written to.
pub(super) fn is_closed_pipe(error: &anyhow::Error) -> bool {
    let failed = match error.downcast_ref::<PlayError>() {
        Some(PlayError::Sink(failed)) => Some(failed),
        _ => error.downcast_ref::<io::Error>(),
    };
    failed.is_some_and(|failed| failed.kind() == io::ErrorKind::BrokenPipe)
}
