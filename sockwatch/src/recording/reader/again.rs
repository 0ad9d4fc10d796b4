//! Reading again what was read.

use std::{
    collections::VecDeque,
    fs::File,
    io::{self, Read},
    os::unix::fs::FileExt,
    sync::Arc,
};

use super::{Frames, Recording, Unpacker, seek::header_at};
use crate::event::Time;

/// A file from some place on, whoever else reads it.
pub(super) struct At {
    file: Arc<File>,
    offset: u64,
}

impl At {
    pub(super) fn new(file: Arc<File>, offset: u64) -> Self {
        Self { file, offset }
    }
}

impl Read for At {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(into, self.offset)?;
        self.offset += read as u64;
        Ok(read)
    }
}

impl Recording {
    /// Another reader, which goes on where this one is. None if the file is one that can't be read anywhere; or if this one is
    /// in the midst of something that is not read twice: then there can be one after the next step.
    #[must_use]
    pub fn copy(&self) -> Option<Self> {
        let Self {
            name,
            file,
            facts,
            frames,
            unpacker: _,
            unpacked,
            decoder,
            header,
            first,
            place,
            left,
            gap,
            ahead,
            damage,
            restoring,
            thorough,
            lacks_state,
            closed,
            ended,
            counts,
        } = self;
        if restoring.is_some() || !ahead.is_empty() {
            return None;
        }
        let file = file.clone()?;
        let position = frames.position();
        let mut again = Frames::new(Box::new(At::new(file.clone(), position)), position);
        again.wasted = frames.wasted;
        Some(Self {
            name: name.clone(),
            file: Some(file),
            facts: facts.clone(),
            frames: again,
            unpacker: Unpacker::new().ok()?,
            unpacked: *unpacked,
            decoder: decoder.clone(),
            header: header.clone(),
            first: *first,
            place: *place,
            left: *left,
            gap: *gap,
            ahead: VecDeque::new(),
            damage: *damage,
            restoring: None,
            thorough: *thorough,
            lacks_state: *lacks_state,
            closed: *closed,
            ended: *ended,
            counts: *counts,
        })
    }

    /// The latest time in it, as far as the headers of its blocks tell one after another; none if it can't be read anywhere.
    #[must_use]
    pub fn latest(&self) -> Option<Time> {
        let file = self.file.as_deref()?;
        let length = file.metadata().ok()?.len();
        let (mut offset, mut latest) = (0, self.facts.began);
        while offset < length
            && let Ok(Some(header)) = header_at(file, offset)
        {
            if header.recording == self.first.recording {
                latest = latest.max(header.last);
            }
            offset += header.length as u64 + u64::from(header.stored);
        }
        Some(latest)
    }
}
