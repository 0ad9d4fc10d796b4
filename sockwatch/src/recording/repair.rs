//! What is whole of a damaged recording, as a new one. Nothing is made up: what is missing stays missing, and the new recording
//! says so.

use std::io;

use super::{
    block::{BlockHeader, BlockKind, Label, Packer, relabel},
    disk::{OpenError, Target, open},
    index::Index,
    reader::{Checkpoint, Damage, Input, Problem, Recording},
    record::Encoder,
};
use crate::{
    event::{Event, What},
    source::Step,
};

/// Why nothing could be saved.
#[derive(Debug, thiserror::Error)]
pub enum RepairError {
    /// The damaged one can't be read.
    #[error(transparent)]
    Problem(#[from] Problem),
    /// The new one can't be created.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The new one can't be written.
    #[error("can't write the new recording: {0}")]
    Io(#[from] io::Error),
}

/// What was saved.
#[derive(Clone, Debug)]
pub struct Repaired {
    /// The damaged one's name.
    pub name: String,
    /// Blocks that were saved.
    pub blocks: u64,
    /// Events in them.
    pub events: u64,
    /// Events that are missing, as far as it can be known.
    pub missing: u64,
    /// What was wrong.
    pub damage: Damage,
}

/// Writes every block that is whole, and of those that can't be understood what can, to a new recording.
///
/// # Errors
/// If there is nothing that can be read, or nothing to write to.
pub fn repair(input: Input, target: &Target) -> Result<Repaired, RepairError> {
    let recording = Recording::open(input)?;
    let mut out = open(target, false)?;
    let repaired = salvage(recording, &mut |bytes| out.append(bytes))?;
    out.close()?;
    Ok(repaired)
}

/// As above: of a recording that is at its beginning, to wherever `append` writes.
///
/// # Errors
/// If it can't be read on, or not be written.
pub fn salvage(recording: Recording, append: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> Result<Repaired, RepairError> {
    let mut recording = recording.thoroughly();
    let mut out = New { append, length: 0, number: recording.first_number() };
    out.add(recording.first_block())?;
    let (id, segment) = recording.segment();
    let mut packer = Packer::new(1)?;
    let mut index = Index::default();
    // A checkpoint is of use only as a whole.
    let mut pieces: Vec<Vec<u8>> = Vec::new();
    while let Some(header) = recording.advance()? {
        if header.kind != Some(BlockKind::CheckpointRest) {
            pieces.clear();
        }
        match header.kind {
            Some(BlockKind::Steps) => {
                if let Some((payload, events)) = recording.examine(&header) {
                    let BlockHeader { first, last, before, .. } = header;
                    let kind = BlockKind::Steps;
                    let label = Label { kind, segment, recording: id, number: out.number, first, last, before, events };
                    out.add(&packer.pack(&label, &payload)?)?;
                    continue;
                }
            }
            // Its places are those of the damaged one.
            Some(BlockKind::Index) => continue,
            Some(BlockKind::Checkpoint | BlockKind::CheckpointRest) => {
                let checkpoint = recording.open_piece(&header);
                pieces.push(recording.frame().to_vec());
                match checkpoint {
                    Checkpoint::Unfinished => {}
                    Checkpoint::Void => pieces.clear(),
                    Checkpoint::Whole => {
                        index.add(out.length, out.number, header.first);
                        for piece in pieces.drain(..) {
                            out.add(&relabel(&piece, out.number))?;
                        }
                    }
                }
                continue;
            }
            None | Some(BlockKind::Header) => {}
        }
        out.add(&relabel(recording.frame(), out.number))?;
    }
    let (damage, counts) = (recording.damage(), recording.counts());
    let (time, before) = (recording.time(), recording.before());
    let label =
        |kind, number| Label { kind, segment, recording: id, number, first: time, last: time, before, events: 0 };
    if damage.unclosed {
        // That something may be missing at the end must not be forgotten.
        let mut encoder = Encoder::new();
        encoder.step(&Step::Event(Event { time, what: What::Lost { count: None, since: time } }));
        out.add(&packer.pack(&label(BlockKind::Steps, out.number), &encoder.take().payload)?)?;
    }
    out.add(&packer.pack(&label(BlockKind::Index, out.number), &index.write())?)?;
    Ok(Repaired {
        name: recording.name().to_owned(),
        blocks: counts.blocks,
        events: counts.events,
        missing: counts.missing,
        damage,
    })
}

/// What is written.
struct New<'a> {
    append: &'a mut dyn FnMut(&[u8]) -> io::Result<()>,
    length: u64,
    /// Of the next block.
    number: u64,
}

impl New<'_> {
    fn add(&mut self, block: &[u8]) -> io::Result<()> {
        (self.append)(block)?;
        self.length += block.len() as u64;
        // A stranger's first block may say that it is the last that can be.
        self.number = self.number.saturating_add(1);
        Ok(())
    }
}
