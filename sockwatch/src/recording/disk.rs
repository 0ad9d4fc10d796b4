//! The end of the recorder that writes. It has a thread of its own: a disk that is slow or full must not keep the kernel's
//! events waiting.

mod file;

use std::{
    io,
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::{Duration, Instant},
};

use self::file::Out;
pub(super) use self::file::{OpenError, open};
use super::{
    block::{BlockKind, Label, Packer},
    index::Index,
    record::Filled,
};
use crate::event::Time;

/// How hard zstd tries: at this level it is faster than the kernel's events come.
const LEVEL: i32 = 1;

/// How long the thread waits at most before it looks whether to sync.
const TURN: Duration = Duration::from_millis(250);

/// A checkpoint is due after so many bytes at least,
const BETWEEN_CHECKPOINTS: u64 = 64 << 20;

/// and after so many times the size of the last one.
const CHECKPOINT_SHARE: u64 = 4;

/// Where a recording goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// To a file.
    File {
        /// Which.
        path: PathBuf,
        /// Over one that exists.
        force: bool,
    },
    /// To stdout.
    Stdout,
}

/// When what was written is made to survive a loss of power.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sync {
    /// After every block.
    Always,
    /// After this time at most.
    Every(Duration),
    /// When the kernel thinks fit.
    Never,
}

/// What there is to write.
#[derive(Debug)]
pub(super) enum Job {
    /// The first: what the header says.
    Header(Vec<u8>),
    /// Steps, and how many events there were before them.
    Steps { filled: Filled, before: u64 },
    /// The state that all before it led to, in parts that each fit a block, for a new segment if that is wanted.
    Checkpoint { parts: Vec<Vec<u8>>, time: Time, before: u64, segment: bool },
    /// No more; how many events there were.
    End { before: u64 },
}

impl Job {
    /// How much memory it takes, roughly.
    pub(super) fn weight(&self) -> usize {
        match self {
            Self::Header(bytes) => bytes.len(),
            Self::Steps { filled, before: _ } => filled.payload.len(),
            Self::Checkpoint { parts, .. } => parts.iter().map(Vec::len).sum(),
            Self::End { .. } => 0,
        }
    }
}

/// What both threads know.
#[derive(Debug, Default)]
pub(super) struct Shared(Mutex<Progress>);

/// How far the writing is.
#[derive(Clone, Debug, Default)]
pub(super) struct Progress {
    /// Bytes that wait to be written.
    pub(super) queued: usize,
    /// Bytes in files.
    pub(super) written: u64,
    /// Events that could not be written.
    pub(super) dropped: u64,
    /// Why not, while that is so.
    pub(super) failing: Option<String>,
    /// Whether nobody reads stdout any more.
    pub(super) unread: bool,
    /// A checkpoint is wanted.
    pub(super) checkpoint: bool,
    /// And a new segment with it.
    pub(super) segment: bool,
}

impl Shared {
    pub(super) fn lock(&self) -> MutexGuard<'_, Progress> {
        // Nothing can be half done while it is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How the disk is used.
#[derive(Clone, Copy, Debug)]
pub(super) struct Habits {
    pub(super) sync: Sync,
    /// A segment ends with the block that reaches this size.
    pub(super) max_size: Option<u64>,
    /// How many segments are kept.
    pub(super) keep: Option<u32>,
}

/// The thread.
pub(super) struct Disk {
    out: Out,
    habits: Habits,
    shared: Arc<Shared>,
    packer: Packer,
    header: Vec<u8>,
    recording: u64,
    segment: u32,
    number: u64,
    index: Index,
    last_checkpoint: (u64, u64),
    dirty: bool,
    synced: Instant,
}

impl Disk {
    pub(super) fn new(out: Out, habits: Habits, shared: Arc<Shared>, recording: u64) -> io::Result<Self> {
        Ok(Self {
            out,
            habits,
            shared,
            packer: Packer::new(LEVEL)?,
            header: Vec::new(),
            recording,
            segment: 1,
            number: 0,
            index: Index::default(),
            last_checkpoint: (0, 0),
            dirty: false,
            synced: Instant::now(),
        })
    }

    /// Writes what comes until the end. What could not be written is told by then; an error if it could not be closed.
    pub(super) fn run(mut self, jobs: &Receiver<Job>) -> io::Result<()> {
        loop {
            match jobs.recv_timeout(TURN) {
                Ok(job) => {
                    let weight = job.weight();
                    let last = matches!(job, Job::End { .. });
                    let outcome = self.job(job);
                    self.shared.lock().queued -= weight;
                    if last {
                        return outcome;
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                // The recorder is gone without an end: as if it had been killed.
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
            self.sync_if_due();
        }
    }

    fn job(&mut self, job: Job) -> io::Result<()> {
        match job {
            Job::Header(header) => {
                self.header = header;
                let outcome = self.write_header(0);
                self.note(outcome, 0);
            }
            Job::Steps { filled, before } => {
                let events = filled.events;
                let outcome = self.steps(filled, before);
                self.note(outcome, events);
            }
            Job::Checkpoint { parts, time, before, segment } => {
                let outcome = if segment { self.next_segment(before) } else { Ok(()) };
                let outcome = outcome.and_then(|()| self.checkpoint(&parts, time, before));
                let done = outcome.is_ok();
                {
                    // What was wanted while this one was on its way is what it is.
                    let mut shared = self.shared.lock();
                    shared.checkpoint &= !done;
                    shared.segment &= !done;
                }
                self.note(outcome, 0);
            }
            // Nothing was to be recorded after all.
            Job::End { .. } if self.header.is_empty() => return self.out.discard(),
            Job::End { before } => {
                self.write_index(before)?;
                return self.out.close();
            }
        }
        Ok(())
    }

    /// What came of a job that had so many events.
    fn note(&mut self, outcome: io::Result<()>, events: u32) {
        let (bytes, since) = (self.out.bytes(), self.out.length() - self.last_checkpoint.0.min(self.out.length()));
        let mut shared = self.shared.lock();
        shared.written = bytes;
        match outcome {
            Ok(()) => {
                // What was not written led to a state that nothing in the file tells of.
                shared.checkpoint |= shared.failing.take().is_some();
                shared.checkpoint |= since >= BETWEEN_CHECKPOINTS.max(CHECKPOINT_SHARE * self.last_checkpoint.1);
                shared.segment |= self.habits.max_size.is_some_and(|size| self.out.length() >= size);
            }
            Err(error) => {
                shared.dropped += u64::from(events);
                shared.unread |= self.out.is_pipe() && error.kind() == io::ErrorKind::BrokenPipe;
                shared.failing = Some(error.to_string());
            }
        }
    }

    fn label(&self, kind: BlockKind, before: u64) -> Label {
        Label {
            kind,
            segment: self.segment,
            recording: self.recording,
            number: self.number,
            first: 0,
            last: 0,
            before,
            events: 0,
        }
    }

    fn write(&mut self, label: &Label, payload: &[u8]) -> io::Result<()> {
        let block = self.packer.pack(label, payload)?;
        self.out.append(&block)?;
        self.number += 1;
        self.dirty = true;
        if self.habits.sync == Sync::Always { self.sync() } else { Ok(()) }
    }

    /// `before`: how many events there were in earlier segments.
    fn write_header(&mut self, before: u64) -> io::Result<()> {
        let label = self.label(BlockKind::Header, before);
        let header = std::mem::take(&mut self.header);
        let outcome = self.write(&label, &header);
        self.header = header;
        outcome
    }

    fn steps(&mut self, filled: Filled, before: u64) -> io::Result<()> {
        if self.out.length() == 0 {
            // It could not be written at first.
            self.write_header(0)?;
        }
        let Filled { payload, first, last, events } = filled;
        let label = Label { first, last, events, ..self.label(BlockKind::Steps, before) };
        self.write(&label, &payload)
    }

    fn checkpoint(&mut self, parts: &[Vec<u8>], time: Time, before: u64) -> io::Result<()> {
        let offset = self.out.length();
        self.index.add(offset, self.number, time);
        for (place, part) in parts.iter().enumerate() {
            let kind = if place == 0 { BlockKind::Checkpoint } else { BlockKind::CheckpointRest };
            let label = Label { first: time, last: time, ..self.label(kind, before) };
            self.write(&label, part)?;
        }
        self.last_checkpoint = (self.out.length(), self.out.length() - offset);
        Ok(())
    }

    fn write_index(&mut self, before: u64) -> io::Result<()> {
        let label = self.label(BlockKind::Index, before);
        let index = self.index.write();
        self.write(&label, &index)
    }

    /// Closes this segment and begins another. Where that fails, this one goes on.
    fn next_segment(&mut self, before: u64) -> io::Result<()> {
        self.write_index(before)?;
        self.out.next(self.segment, self.habits.keep)?;
        self.segment += 1;
        self.index = Index::default();
        self.last_checkpoint = (0, 0);
        self.write_header(before)
    }

    fn sync_if_due(&mut self) {
        let due = match self.habits.sync {
            Sync::Every(interval) => self.dirty && self.synced.elapsed() >= interval,
            Sync::Always | Sync::Never => false,
        };
        if due && let Err(error) = self.sync() {
            self.shared.lock().failing = Some(error.to_string());
        }
    }

    fn sync(&mut self) -> io::Result<()> {
        self.dirty = false;
        self.synced = Instant::now();
        self.out.sync()
    }
}
