//! Checkpoints, block by block.

use super::{Item, Recording};
use crate::{
    event::Time,
    lifecycle::Restore,
    recording::{
        block::{BlockHeader, BlockKind},
        record::Piece,
        wire::Malformed,
    },
    source::Step,
};

/// A checkpoint that is being read.
#[derive(Default)]
pub(super) struct Restoring {
    /// What it says so far; none if that is known already.
    restore: Option<Restore>,
    parts: u64,
    clock: Option<Step>,
}

/// What is known of a checkpoint after one of its blocks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::recording) enum Checkpoint {
    /// More of it must follow.
    Unfinished,
    /// It was the last.
    Whole,
    /// It can't be used, or its beginning is missing.
    Void,
}

impl Recording {
    /// Reads the block of a checkpoint that it came to last.
    pub(in crate::recording) fn open_piece(&mut self, header: &BlockHeader) -> Checkpoint {
        if header.kind == Some(BlockKind::Checkpoint) {
            let restore = self.lacks_state.then(Restore::default);
            self.restoring = (self.lacks_state || self.thorough).then(|| Restoring { restore, ..Restoring::default() });
        }
        let Some(restoring) = self.restoring.take() else { return Checkpoint::Void };
        match self.pieces(header, restoring) {
            Ok(None) => Checkpoint::Whole,
            Ok(unfinished) => {
                self.restoring = unfinished;
                Checkpoint::Unfinished
            }
            Err(Malformed) => {
                self.damage.malformed += 1;
                Checkpoint::Void
            }
        }
    }

    /// Takes what the block of a checkpoint says; none if that was the last of it.
    fn pieces(&mut self, header: &BlockHeader, mut restoring: Restoring) -> Result<Option<Restoring>, Malformed> {
        let payload = self.unpack(header).ok_or(Malformed)?;
        self.decoder.open(payload);
        while let Some(piece) = self.decoder.next_piece() {
            match piece? {
                Piece::Part(part) => {
                    restoring.parts += 1;
                    if let Some(restore) = &mut restoring.restore {
                        restore.take(part);
                    }
                }
                Piece::Clock { since, offset } => {
                    restoring.clock = Some(Step::Clock { since, offset: offset.into() });
                }
                Piece::Whole(parts) => {
                    self.decoder.stop();
                    let restored = if parts == restoring.parts { Ok(restoring) } else { Err(Malformed) };
                    self.restored(header.first, restored?);
                    return Ok(None);
                }
            }
        }
        Ok(Some(restoring))
    }

    /// All that a checkpoint says was read.
    fn restored(&mut self, time: Time, restoring: Restoring) {
        if let Some(restore) = restoring.restore {
            self.lacks_state = false;
            self.tell_gap(time);
            self.ahead.extend(restoring.clock.map(Item::Step));
            self.ahead.push_back(Item::State(Box::new(restore.finish())));
        }
    }
}
