//! What users read: text and JSON lines. Knows lives, not events.

pub(crate) mod json;
mod list;
pub(crate) mod moment;
#[cfg(test)]
pub(crate) mod stories;
pub(crate) mod text;

use std::{
    fmt,
    io::{self, Write},
};

pub use json::Json;
pub(crate) use json::write_line;
pub use list::{List, ListOptions};
pub use text::{Text, TextOptions};

use crate::{
    clock::Clock,
    digits::Digits,
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
#[derive(Clone, Debug, Default)]
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
    /// Events that fired but were not received, as far as they were counted.
    pub lost: u64,
    /// How often events were lost.
    pub gaps: u64,
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
    fn event(&mut self, out: &mut dyn Write, scene: &Scene, life: &Life, what: Occurrence<'_>) -> io::Result<()>;
    /// A whole life.
    ///
    /// # Errors
    /// See [`Self::start`].
    fn socket(&mut self, out: &mut dyn Write, scene: &Scene, life: &Life) -> io::Result<()>;
    /// Events were lost.
    ///
    /// # Errors
    /// See [`Self::start`].
    fn lost(
        &mut self,
        out: &mut dyn Write,
        scene: &Scene,
        count: Option<u64>,
        since: u64,
        until: u64,
    ) -> io::Result<()>;
    /// The last line.
    ///
    /// # Errors
    /// See [`Self::start`].
    fn summary(&mut self, out: &mut dyn Write, summary: &Summary) -> io::Result<()>;
}

/// Where a socket lived: what tells it from those of other runs that are shown beside.
#[derive(Clone, Debug)]
pub struct Scene {
    /// What the wall clock said.
    pub clock: Clock,
    /// What its sockets' ids begin with; nothing if there is one run.
    pub prefix: String,
}

impl Scene {
    /// The only one.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        Self { clock, prefix: String::new() }
    }

    /// The id that users see of the socket with this number.
    #[must_use]
    pub fn id(&self, number: u64) -> SocketId<'_> {
        SocketId { prefix: &self.prefix, number }
    }
}

/// A socket's id: `s12`; `2.s12` of the second of several recordings.
#[derive(Clone, Copy, Debug)]
pub struct SocketId<'a> {
    prefix: &'a str,
    number: u64,
}

impl fmt::Display for SocketId<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.prefix)?;
        f.write_str(self.bare().as_str())
    }
}

impl SocketId<'_> {
    fn bare(&self) -> Digits {
        Digits::new().text("s").number(self.number)
    }

    /// All of it, where only one recording is told of.
    pub(crate) fn alone(&self) -> Option<Digits> {
        self.prefix.is_empty().then(|| self.bare())
    }
}

/// Takes what runs tell of their sockets.
pub trait Sink {
    /// Something to tell.
    ///
    /// # Errors
    /// If it can't be written.
    fn report(&mut self, scene: &Scene, report: Report<'_>) -> io::Result<()>;

    /// Whether it wants no more.
    fn is_done(&self) -> bool {
        false
    }

    /// Whether it does something with signals: almost every event makes one.
    fn wants_signals(&self) -> bool {
        true
    }

    /// Whether it looks at the lives that are open, beside what is reported.
    fn looks_at_lives(&self) -> bool {
        false
    }

    /// Hands on what is buffered.
    ///
    /// # Errors
    /// If it can't be written.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Chooses what is shown, and has it written.
pub struct Show<W: Write> {
    out: W,
    format: Box<dyn Format>,
    view: View,
    /// None: everything passes.
    filter: Option<Filter>,
    limit: Option<u64>,
    sockets: u64,
    closed: u64,
    lost: u64,
    incomplete: u64,
    gaps: u64,
}

impl<W: Write> Show<W> {
    /// Shows what passes the filter.
    pub fn new(out: W, format: Box<dyn Format>, view: View, filter: Filter) -> Self {
        let filter = Some(filter).filter(|filter| !filter.is_empty());
        Self { out, format, view, filter, limit: None, sockets: 0, closed: 0, lost: 0, incomplete: 0, gaps: 0 }
    }

    /// Shows no more than this many lives that ended, nor what happens after the last of them.
    #[must_use]
    pub fn limit(mut self, limit: Option<u64>) -> Self {
        self.limit = limit;
        self
    }

    /// Writes the first line.
    ///
    /// # Errors
    /// If it can't be written; so for all of them.
    pub fn start(&mut self, start: &Start) -> io::Result<()> {
        self.format.start(&mut self.out, start)
    }

    fn passes(&self, life: &Life) -> bool {
        self.filter.as_ref().is_none_or(|filter| filter.matches(life))
    }

    /// Shows the milestones up to `end` that were not shown yet. A socket that passes the filter only now (a client has no
    /// local port before it is connected) is told from its beginning.
    fn milestones(&mut self, scene: &Scene, life: &mut Life, end: usize) -> io::Result<()> {
        while life.told < end {
            let milestone = &life.path[life.told];
            self.format.event(&mut self.out, scene, life, Occurrence::Milestone(milestone))?;
            life.told += 1;
        }
        Ok(())
    }

    /// Writes the last line; returns it.
    ///
    /// # Errors
    /// See [`Self::start`].
    pub fn finish(&mut self, events: u64) -> io::Result<Summary> {
        let complete = self.gaps == 0 && self.incomplete == 0;
        let summary = Summary { events, sockets: self.sockets, lost: self.lost, gaps: self.gaps, complete };
        self.format.summary(&mut self.out, &summary)?;
        self.out.flush()?;
        Ok(summary)
    }

    /// Events that were lost, as far as was told.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost
    }
}

impl<W: Write> Sink for Show<W> {
    fn wants_signals(&self) -> bool {
        self.view == View::States
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    fn is_done(&self) -> bool {
        self.limit.is_some_and(|limit| self.closed >= limit)
    }

    fn report(&mut self, scene: &Scene, report: Report<'_>) -> io::Result<()> {
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
                if self.view != View::Closed && self.passes(life) {
                    self.milestones(scene, life, index + 1)?;
                }
                Ok(())
            }
            Report::Signal { life, signal } => {
                if self.view == View::States && self.passes(life) {
                    self.milestones(scene, life, 0)?;
                    self.format.event(&mut self.out, scene, life, Occurrence::Signal(signal))?;
                }
                Ok(())
            }
            Report::Socket(life) => {
                if self.passes(life) {
                    if self.view != View::Closed {
                        self.milestones(scene, life, life.path.len())?;
                    }
                    self.sockets += 1;
                    self.closed += u64::from(life.destroyed.is_some());
                    self.incomplete += u64::from(!life.complete);
                    self.format.socket(&mut self.out, scene, life)?;
                }
                Ok(())
            }
            Report::Lost { count, since, until } => {
                self.gaps += 1;
                self.lost = self.lost.saturating_add(count.unwrap_or(0));
                self.format.lost(&mut self.out, scene, count, since, until)
            }
        }
    }
}
