//! Recordings: what the kernel said, in a file.
//!
//! A file is a row of blocks, each with checksums of its own; the first says what the recording is about, the others hold
//! steps. The format is described in docs/recording-format.md, for who wants to read one with other means.

mod block;
mod disk;
mod header;
mod index;
mod reader;
mod record;
mod recorder;
mod repair;
mod veil;
mod wire;

pub use disk::{Sync, Target};
pub use reader::{Counts, Damage, Input, Item, Problem, Recording};
pub use recorder::{Finished, RecordError, Recorder, RecorderOptions, RecorderProgress};
pub use repair::{RepairError, Repaired, repair, salvage};

use crate::{
    clock::Clock,
    event::Time,
    output::{Scene, Start},
    untrusted::Untrusted,
};

/// What a recording is about.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// What the run could see.
    pub start: Start,
    /// The version of sockwatch that wrote it.
    pub tool: Untrusted,
    /// When it began.
    pub began: Time,
    /// How far the wall clock was ahead of the kernel's then, nanoseconds.
    pub offset: i64,
    /// Which sockets were asked for: options as on the command line. No others are promised to be whole.
    pub filter: Vec<String>,
    /// Whether only the sockets of a command and its descendants were asked for.
    pub descendants: bool,
}

impl Facts {
    /// Where the sockets of this recording lived. (Later the clock may have been set: there is a step for that.)
    #[must_use]
    pub fn scene(&self, prefix: String) -> Scene {
        Scene { clock: Clock::at(self.offset.into()), prefix }
    }
}
