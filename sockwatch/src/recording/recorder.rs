//! The end of the recorder that is on the street: takes steps, and hands them on in blocks.

use std::{
    collections::hash_map::RandomState,
    hash::BuildHasher,
    io,
    sync::{
        Arc,
        mpsc::{Sender, channel},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use super::{
    Facts,
    disk::{Disk, Habits, Job, OpenError, Progress, Shared, Sync, Target, open},
    header,
    record::{Encoder, Filled},
};
use crate::{event::Time, lane::Lane, source::Step};

/// A block is closed when it holds so many bytes,
const FULL: usize = 256 << 10;

/// or when it is so old.
const OLD: Duration = Duration::from_secs(1);

/// What may wait to be written. Beyond it blocks are dropped, and counted.
const MOST_QUEUED: usize = 64 << 20;

/// After an event, times up to this much later still tell something: the engine waits for what explains it.
const LINGER: Time = 200_000_000;

/// Where nothing happens, a sign of life so often.
const SIGN_OF_LIFE: Time = 10_000_000_000;

/// Why a recording can't be made.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// There is nothing to write to.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The thread that writes can't be started.
    #[error("can't start the thread that writes the recording: {0}")]
    Thread(io::Error),
}

/// How to record.
#[derive(Clone, Debug)]
pub struct RecorderOptions {
    /// Where to.
    pub target: Target,
    /// When it has to be safe.
    pub sync: Sync,
    /// A segment ends with the block that reaches this size.
    pub max_size: Option<u64>,
    /// How many segments are kept.
    pub keep: Option<u32>,
}

/// How far it is.
#[derive(Clone, Debug, Default)]
pub struct RecorderProgress {
    /// Bytes written.
    pub written: u64,
    /// Events that could not be written.
    pub dropped: u64,
    /// Why nothing can be written now.
    pub failing: Option<String>,
    /// Whether nobody reads what is written.
    pub unread: bool,
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finished {
    /// Bytes written.
    pub written: u64,
    /// Events written.
    pub events: u64,
    /// Events that could not be written.
    pub dropped: u64,
    /// Why it could not be closed in order. What was written before is whole.
    pub unclosed: Option<String>,
}

/// Writes a recording.
pub struct Recorder {
    encoder: Encoder,
    jobs: Sender<Job>,
    thread: JoinHandle<io::Result<()>>,
    shared: Arc<Shared>,
    opened: Option<Instant>,
    /// Events in blocks that were closed.
    before: u64,
    dropped: u64,
    last_event: Time,
    last_settled: Time,
    full: bool,
}

impl Recorder {
    /// Opens what is to be written to.
    ///
    /// # Errors
    /// If that can't be done.
    pub fn create(options: &RecorderOptions) -> Result<Self, RecordError> {
        let RecorderOptions { target, sync, max_size, keep } = options;
        let out = open(target, max_size.is_some())?;
        let shared = Arc::new(Shared::default());
        let habits = Habits { sync: *sync, max_size: *max_size, keep: *keep };
        let recording = RandomState::new().hash_one(Instant::now());
        let disk = Disk::new(out, habits, shared.clone(), recording).map_err(RecordError::Thread)?;
        let (jobs, work) = channel();
        let thread = std::thread::Builder::new()
            .name("sockwatch-disk".into())
            .spawn(move || disk.run(&work))
            .map_err(RecordError::Thread)?;
        Ok(Self {
            encoder: Encoder::new(),
            jobs,
            thread,
            shared,
            opened: None,
            before: 0,
            dropped: 0,
            last_event: 0,
            last_settled: 0,
            full: false,
        })
    }

    /// The run begins: what it is about.
    pub fn begin(&mut self, facts: &Facts) {
        self.send(Job::Header(header::write(facts)));
    }

    /// Takes a step.
    pub fn step(&mut self, step: &Step) {
        match step {
            Step::Event(event) => self.last_event = self.last_event.max(event.time),
            Step::Settled { now, .. } => {
                let nothing_new = self.last_settled > self.last_event + LINGER;
                if nothing_new && *now < self.last_settled + SIGN_OF_LIFE {
                    return;
                }
                self.last_settled = *now;
            }
            Step::Clock { .. } | Step::End => {}
        }
        self.encoder.step(step);
        if self.encoder.len() >= FULL {
            self.close_block();
        }
    }

    /// Closes a block that is old. To be called now and then.
    pub fn look(&mut self) {
        match self.opened {
            None if self.encoder.len() > 0 => self.opened = Some(Instant::now()),
            Some(opened) if opened.elapsed() >= OLD => self.close_block(),
            _ => {}
        }
    }

    /// Whether the state of everything is wanted, so that the recording can be read from here on: see
    /// [`Self::checkpoint`].
    #[must_use]
    pub fn wants_checkpoint(&self) -> bool {
        let shared = self.shared.lock();
        shared.checkpoint || shared.segment
    }

    /// Writes the state that all steps so far have led to. `lane` has taken them, and told what follows.
    pub fn checkpoint(&mut self, lane: &Lane) {
        self.close_block();
        let segment = {
            let mut shared = self.shared.lock();
            shared.checkpoint = false;
            std::mem::take(&mut shared.segment)
        };
        let Self { encoder, before, .. } = self;
        let (mut parts, mut count) = (Vec::new(), 0);
        if let Some((since, offset)) = lane.scene().clock.last_step() {
            encoder.step(&Step::Clock { since, offset });
        }
        lane.checkpoint(&mut |part| {
            encoder.part(&part);
            count += 1;
            if encoder.len() >= FULL {
                parts.push(encoder.take().payload);
            }
        });
        encoder.whole(count);
        parts.push(encoder.take().payload);
        let job = Job::Checkpoint { parts, time: lane.settled(), before: *before, segment };
        self.send(job);
    }

    /// How far it is.
    #[must_use]
    pub fn progress(&self) -> RecorderProgress {
        let Progress { written, dropped, failing, unread, .. } = self.shared.lock().clone();
        let failing = failing.or_else(|| self.full.then(|| "the disk is too slow".to_owned()));
        RecorderProgress { written, dropped: dropped + self.dropped, failing, unread }
    }

    /// Ends it in order.
    #[must_use]
    pub fn finish(mut self) -> Finished {
        self.close_block();
        let before = self.before;
        self.send(Job::End { before });
        let Self { jobs, thread, shared, dropped, .. } = self;
        drop(jobs);
        let closed = thread.join().unwrap_or_else(|_| Err(io::Error::other("the thread that writes it failed")));
        let Progress { written, dropped: unwritten, unread, .. } = shared.lock().clone();
        let dropped = dropped + unwritten;
        let unclosed = closed.err().filter(|_| !unread).map(|error| error.to_string());
        Finished { written, events: before.saturating_sub(dropped), dropped, unclosed }
    }

    fn close_block(&mut self) {
        self.opened = None;
        if self.encoder.len() == 0 {
            return;
        }
        let filled = self.encoder.take();
        let before = self.before;
        self.before += u64::from(filled.events);
        self.queue(filled, before);
    }

    fn queue(&mut self, filled: Filled, before: u64) {
        let events = u64::from(filled.events);
        let job = Job::Steps { filled, before };
        let full = self.shared.lock().queued + job.weight() > MOST_QUEUED;
        if full {
            self.dropped += events;
        } else {
            if self.full {
                self.shared.lock().checkpoint = true;
            }
            self.send(job);
        }
        self.full = full;
    }

    fn send(&self, job: Job) {
        self.shared.lock().queued += job.weight();
        // If the thread is gone, finish tells why.
        let _ = self.jobs.send(job);
    }
}
