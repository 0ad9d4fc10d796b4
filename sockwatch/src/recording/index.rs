//! Where the blocks of a file are, for who looks for a time: written when a file is closed, found again by reading the
//! headers of all blocks where that did not happen.

use super::{
    block::{BlockHeader, LARGEST},
    wire::{Malformed, Reader, Writer},
};
use crate::event::Time;

const ENTRY: u8 = 1;

/// The longest that an entry can get.
const LONGEST_ENTRY: usize = 48;

/// A place where reading can begin.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Entry {
    /// Of the block, from the start of the file.
    pub(super) offset: u64,
    /// Its number.
    pub(super) number: u64,
    /// No earlier than this is what is in the blocks from there on. Nearly: processors write a little out of order.
    pub(super) time: Time,
}

/// Where the checkpoints are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Index {
    pub(super) entries: Vec<Entry>,
}

impl Index {
    pub(super) fn add(&mut self, offset: u64, number: u64, time: Time) {
        self.entries.push(Entry { offset, number, time });
    }

    /// The payload of its block. Of too many every second is left out.
    pub(super) fn write(&self) -> Vec<u8> {
        let mut every = 1;
        while self.entries.len() / every * LONGEST_ENTRY > LARGEST {
            every *= 2;
        }
        let mut out = Writer::default();
        let (mut offset, mut number, mut time) = (0, 0, 0);
        for entry in self.entries.iter().step_by(every) {
            out.record(ENTRY, |out| {
                out.delta(offset, entry.offset);
                out.delta(number, entry.number);
                out.delta(time, entry.time);
            });
            (offset, number, time) = (entry.offset, entry.number, entry.time);
        }
        out.bytes
    }

    pub(super) fn read(payload: &[u8]) -> Result<Self, Malformed> {
        let mut index = Self::default();
        let (mut offset, mut number, mut time) = (0, 0, 0);
        let mut records = Reader::new(payload);
        while !records.is_empty() {
            let (kind, mut fields) = records.record()?;
            if kind == ENTRY {
                offset = fields.delta(offset)?;
                number = fields.delta(number)?;
                time = fields.delta(time)?;
                index.add(offset, number, time);
            }
        }
        Ok(index)
    }

    /// Where to begin to read in order to know all that holds at a time; none: at the start.
    pub(super) fn before(&self, time: Time) -> Option<Entry> {
        let after = self.entries.partition_point(|entry| entry.time <= time);
        after.checked_sub(1).map(|at| self.entries[at])
    }
}

impl Entry {
    /// Whether the block that was found there is the one that is meant.
    pub(super) fn is(&self, header: &BlockHeader) -> bool {
        self.number == header.number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_leads_to_the_last_checkpoint_before_a_time() {
        let mut index = Index::default();
        for place in 0..100 {
            index.add(1000 + place * 77, place * 3, 50 + place * 10);
        }
        assert_eq!(Index::read(&index.write()).as_ref(), Ok(&index));
        for (time, number) in [(49, None), (50, Some(0)), (69, Some(3)), (70, Some(6)), (9_999, Some(297))] {
            assert_eq!(index.before(time).map(|entry| entry.number), number, "{time}");
        }
    }

    #[test]
    fn an_index_of_any_length_fits_a_block() {
        let mut index = Index::default();
        for place in 0..200_000_u64 {
            index.add(place << 40, place, place << 40);
        }
        let written = index.write();
        assert!(written.len() <= LARGEST);
        assert!(Index::read(&written).unwrap().entries.len() > 10_000);
    }
}
