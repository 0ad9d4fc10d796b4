//! What users read: text and JSON lines. Knows lives, not events.

mod json;
mod moment;
#[cfg(test)]
mod stories;
mod text;

use std::io::{self, Write};

pub use json::Json;
pub use text::{Text, TextOptions};

use crate::{
    clock::Clock,
    lifecycle::{Life, Milestone, Report, Signal},
    select::Filter,
    untrusted::Untrusted,
};

/// What is shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, clap::ValueEnum)]
pub enum View {
    /// The milestones of each socket, and its life when it ends.
    #[default]
    Path,
    /// Every change of state, retransmits and resets too.
    States,
    /// Lives that ended.
    Closed,
}

/// The first line: what this run can see.
#[derive(Clone, Debug)]
pub struct Start {
    /// Of the host.
    pub host: Untrusted,
    /// The kernel's release.
    pub kernel: Untrusted,
    /// `/proc/sys/kernel/random/boot_id`.
    pub boot_id: Untrusted,
    /// The probes that are attached.
    pub probes: Vec<String>,
    /// What could not be attached.
    pub degraded: Vec<Degraded>,
}

/// Something that this run does not see.
#[derive(Clone, Debug)]
pub struct Degraded {
    /// The probe, or what else is missing.
    pub probe: String,
    /// Why.
    pub why: String,
    /// What is lost by it.
    pub lost: String,
}

/// The last line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Kernel events received.
    pub events: u64,
    /// Sockets reported.
    pub sockets: u64,
    /// Events that fired but were not received.
    pub lost: u64,
    /// Whether nothing was lost, and nothing that was shown has a gap.
    pub complete: bool,
}

/// What one line tells of a socket.
#[derive(Clone, Copy, Debug)]
pub enum Occurrence<'a> {
    /// A milestone.
    Milestone(&'a Milestone),
    /// What the `states` view adds.
    Signal(&'a Signal),
}

/// A way to write.
pub trait Format {
    /// The first line.
    ///
    /// # Errors
    /// If it can't be written; so for all of them.
    fn start(&mut self, out: &mut dyn Write, start: &Start) -> io::Result<()>;
    /// Something happened to a socket.
    ///
    /// # Errors
    /// See [`Self::start`].
    fn event(&mut self, out: &mut dyn Write, clock: &Clock, life: &Life, what: Occurrence<'_>) -> io::Result<()>;
    /// A whole life.
    ///
    /// # Errors
    /// See [`Self::start`].
    fn socket(&mut self, out: &mut dyn Write, clock: &Clock, life: &Life) -> io::Result<()>;
    /// Events were lost.
    ///
    /// # Errors
    /// See [`Self::start`].
    fn lost(&mut self, out: &mut dyn Write, clock: &Clock, count: u64, since: u64, until: u64) -> io::Result<()>;
    /// The last line.
    ///
    /// # Errors
    /// See [`Self::start`].
    fn summary(&mut self, out: &mut dyn Write, summary: &Summary) -> io::Result<()>;
}

/// Chooses what is shown, and has it written.
pub struct Show<W: Write> {
    out: W,
    format: Box<dyn Format>,
    view: View,
    filter: Filter,
    clock: Clock,
    limit: Option<u64>,
    sockets: u64,
    closed: u64,
    lost: u64,
    incomplete: u64,
}

impl<W: Write> Show<W> {
    /// Shows what passes the filter.
    pub fn new(out: W, format: Box<dyn Format>, view: View, filter: Filter, clock: Clock) -> Self {
        Self { out, format, view, filter, clock, limit: None, sockets: 0, closed: 0, lost: 0, incomplete: 0 }
    }

    /// Shows no more than this many lives that ended, nor what happens after the last of them.
    #[must_use]
    pub fn limit(mut self, limit: Option<u64>) -> Self {
        self.limit = limit;
        self
    }

    /// Whether as many lives ended as were asked for.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.limit.is_some_and(|limit| self.closed >= limit)
    }

    /// Writes the first line.
    ///
    /// # Errors
    /// If it can't be written; so for all of them.
    pub fn start(&mut self, start: &Start) -> io::Result<()> {
        self.format.start(&mut self.out, start)
    }

    /// Shows a report, if it is asked for.
    ///
    /// # Errors
    /// See [`Self::start`].
    pub fn report(&mut self, report: Report<'_>) -> io::Result<()> {
        let after_the_end = match &report {
            Report::Milestone { .. } | Report::Signal { .. } => true,
            Report::Socket(life) => life.destroyed.is_some(),
            Report::Lost { .. } => false,
        };
        if after_the_end && self.is_done() {
            return Ok(());
        }
        match report {
            Report::Milestone { life, index } => {
                if self.view != View::Closed && self.filter.matches(life) {
                    self.milestones(life, index + 1)?;
                }
                Ok(())
            }
            Report::Signal { life, signal } => {
                if self.view == View::States && self.filter.matches(life) {
                    self.milestones(life, 0)?;
                    self.format.event(&mut self.out, &self.clock, life, Occurrence::Signal(signal))?;
                }
                Ok(())
            }
            Report::Socket(life) => {
                if self.filter.matches(life) {
                    if self.view != View::Closed {
                        self.milestones(life, life.path.len())?;
                    }
                    self.sockets += 1;
                    self.closed += u64::from(life.destroyed.is_some());
                    self.incomplete += u64::from(!life.complete);
                    self.format.socket(&mut self.out, &self.clock, life)?;
                }
                Ok(())
            }
            Report::Lost { count, since, until } => {
                self.lost += count;
                self.format.lost(&mut self.out, &self.clock, count, since, until)
            }
        }
    }

    /// Shows the milestones up to `end` that were not shown yet. A socket that passes the filter only now (a client has no
    /// local port before it is connected) is told from its beginning.
    fn milestones(&mut self, life: &mut Life, end: usize) -> io::Result<()> {
        while life.told < end {
            let milestone = &life.path[life.told];
            self.format.event(&mut self.out, &self.clock, life, Occurrence::Milestone(milestone))?;
            life.told += 1;
        }
        Ok(())
    }

    /// Writes the last line; returns it.
    ///
    /// # Errors
    /// See [`Self::start`].
    pub fn finish(&mut self, events: u64) -> io::Result<Summary> {
        let complete = self.lost == 0 && self.incomplete == 0;
        let summary = Summary { events, sockets: self.sockets, lost: self.lost, complete };
        self.format.summary(&mut self.out, &summary)?;
        self.out.flush()?;
        Ok(summary)
    }

    /// Hands on what is buffered.
    ///
    /// # Errors
    /// See [`Self::start`].
    pub fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
