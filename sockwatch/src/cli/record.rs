//! `sockwatch record`: write the kernel's events to a file; and what `trace -w` has in common with it.

use std::{
    io::{self, IsTerminal, Write},
    path::Path,
    time::{Duration, Instant},
};

use super::{
    args::{Record, RecordingArgs},
    live::{self, Follower},
    status,
};
use crate::{
    lane::Lane,
    lifecycle::{Life, Report},
    output::{Format, Occurrence, Scene, Show, Sink, Start, Summary},
    recording::{Facts, RecordError, Recorder, RecorderOptions, Target},
    select::Filter,
    source::Step,
    untrusted::Untrusted,
};

/// How often the status line is written anew.
const STATUS: Duration = Duration::from_millis(500);

/// Runs the command; returns the exit code.
///
/// # Errors
/// If the programs can't be loaded, the command can't be run, or there is nothing to write to.
pub fn run(args: &Record, mut filter: Filter) -> anyhow::Result<u8> {
    filter.descendants = !args.tracing.command.is_empty();
    let recorder = Recording::create(&args.output, &args.recording, &filter)?;
    let show = Show::new(io::sink(), Box::new(Silent), crate::output::View::Closed, filter).limit(args.tracing.count);
    let line = io::stderr().is_terminal().then(StatusLine::new);
    let mut recording = Recorded { show, recorder, line, events: 0 };
    let outcome = live::follow(&args.tracing, None, &mut recording);
    let Recorded { mut show, recorder, line, events: _ } = recording;
    if let Some(line) = line {
        line.end();
    }
    let unread = recorder.recorder.progress().unread;
    let finished = recorder.recorder.finish();
    if unread {
        return Ok(0);
    }
    let sent = outcome?;
    let summary = show.finish(sent.events)?;
    status::summary(&summary, &sent.lost);
    Ok(if status::recorded(&finished) && summary.complete { 0 } else { 3 })
}

/// A recorder, and what it was told last.
pub(super) struct Recording {
    pub(super) recorder: Recorder,
    filter: Filter,
    failing: bool,
}

impl Recording {
    /// Opens what is to be written to.
    pub(super) fn create(path: &Path, args: &RecordingArgs, filter: &Filter) -> Result<Self, RecordError> {
        let RecordingArgs { force, max_size, keep, sync } = args;
        let target = if path.as_os_str() == "-" {
            Target::Stdout
        } else {
            Target::File { path: path.to_owned(), force: *force }
        };
        let options = RecorderOptions { target, sync: *sync, max_size: *max_size, keep: *keep };
        Ok(Self { recorder: Recorder::create(&options)?, filter: filter.clone(), failing: false })
    }

    pub(super) fn begin(&mut self, start: &Start, scene: &Scene) {
        self.recorder.begin(&Facts {
            start: start.clone(),
            tool: Untrusted::new(env!("CARGO_PKG_VERSION").as_bytes()),
            began: crate::clock::boot_time().unwrap_or(0),
            offset: i64::try_from(scene.clock.offset()).unwrap_or(0),
            filter: self.filter.words(),
            descendants: self.filter.descendants,
        });
    }

    /// Says when it fails, and when it goes on.
    pub(super) fn pause(&mut self, lane: &Lane) {
        self.recorder.look();
        if self.recorder.wants_checkpoint() {
            self.recorder.checkpoint(lane);
        }
        let progress = self.recorder.progress();
        if let Some(why) = progress.failing {
            if !self.failing && !progress.unread {
                status::not_recorded(&why);
            }
            self.failing = true;
        } else if self.failing {
            self.failing = false;
            status::recorded_again(progress.dropped);
        }
    }
}

struct Recorded {
    show: Show<io::Sink>,
    recorder: Recording,
    line: Option<StatusLine>,
    events: u64,
}

impl Sink for Recorded {
    fn report(&mut self, scene: &Scene, report: Report<'_>) -> io::Result<()> {
        self.show.report(scene, report)
    }

    fn is_done(&self) -> bool {
        self.show.is_done() || self.recorder.recorder.progress().unread
    }
}

impl Follower for Recorded {
    fn begin(&mut self, start: &Start, scene: &Scene) -> anyhow::Result<()> {
        self.recorder.begin(start, scene);
        Ok(())
    }

    fn step(&mut self, step: &Step) {
        if let Step::Settled { events, .. } = step {
            self.events = *events;
        }
        self.recorder.recorder.step(step);
    }

    fn pause(&mut self, lane: &Lane) -> anyhow::Result<()> {
        self.recorder.pause(lane);
        if let Some(line) = &mut self.line {
            let progress = self.recorder.recorder.progress();
            line.show(self.events, lane.sockets(), progress.written, self.show.lost() + progress.dropped);
        }
        Ok(())
    }
}

/// Writes nothing: what is shown is counted alone.
struct Silent;

impl Format for Silent {
    fn start(&mut self, _: &mut dyn Write, _: &Start) -> io::Result<()> {
        Ok(())
    }

    fn event(&mut self, _: &mut dyn Write, _: &Scene, _: &Life, _: Occurrence<'_>) -> io::Result<()> {
        Ok(())
    }

    fn socket(&mut self, _: &mut dyn Write, _: &Scene, _: &Life) -> io::Result<()> {
        Ok(())
    }

    fn lost(&mut self, _: &mut dyn Write, _: &Scene, _: Option<u64>, _: u64, _: u64) -> io::Result<()> {
        Ok(())
    }

    fn summary(&mut self, _: &mut dyn Write, _: &Summary) -> io::Result<()> {
        Ok(())
    }
}

/// The line at the bottom of a terminal.
struct StatusLine {
    began: Instant,
    shown: Option<Instant>,
}

impl StatusLine {
    fn new() -> Self {
        Self { began: Instant::now(), shown: None }
    }

    fn show(&mut self, events: u64, sockets: usize, bytes: u64, lost: u64) {
        if self.shown.is_some_and(|shown| shown.elapsed() < STATUS) {
            return;
        }
        self.shown = Some(Instant::now());
        let text = status::recording(self.began.elapsed(), events, sockets, bytes, lost);
        // Where that can't be written, nobody is there to be told.
        let _ = write!(io::stderr(), "\r\x1b[K{text}");
    }

    fn end(self) {
        if self.shown.is_some() {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}
