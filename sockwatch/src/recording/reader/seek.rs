//! Beginning in the midst of a file.

use std::{fs::File, io, os::unix::fs::FileExt};

use super::{Decoder, Frames, Place, Recording, Unpacker, again::At};
use crate::{
    event::Time,
    recording::{
        block::{BlockHeader, BlockKind, HEADER, LARGEST_STORED, LONGEST_HEADER, MAGIC},
        index::{Entry, Index},
        record::Piece,
    },
};

/// How far processors may be out of order, and what waits to be explained: a checkpoint has to be this much older than what
/// is looked for. A second.
const MARGIN: Time = 1_000_000_000;

impl Recording {
    /// Goes to the last checkpoint before a time, if there is one, and it is a file that can be read from there. What is
    /// damaged before is not looked at.
    ///
    /// # Errors
    /// If the file can't be read.
    pub fn seek(&mut self, time: Time) -> io::Result<bool> {
        let Some(file) = &self.file else { return Ok(false) };
        let length = file.metadata()?.len();
        let index = match self.index(file, length)? {
            Some(index) => index,
            None => self.scan(file, length)?,
        };
        let Some(entry) = index.before(time.saturating_sub(MARGIN)) else { return Ok(false) };
        // The index may lie.
        let Some(header) = header_at(file, entry.offset)? else { return Ok(false) };
        let fits = header.kind == Some(BlockKind::Checkpoint)
            && header.recording == self.first.recording
            && header.segment == self.first.segment
            && entry.is(&header);
        if !fits || self.was_set_before(file, &entry, &header)? {
            return Ok(false);
        }
        self.frames = Frames::new(Box::new(At::new(file.clone(), entry.offset)), entry.offset);
        self.place = Place { number: header.number, before: header.before, claimed: header.before, time: header.first };
        self.lacks_state = true;
        Ok(true)
    }

    /// Whether the wall clock was set before that checkpoint. Then times before it can't be told by the offset of the
    /// beginning, and what is looked for may be anywhere.
    fn was_set_before(&self, file: &File, entry: &Entry, header: &BlockHeader) -> io::Result<bool> {
        let mut stored = vec![0; header.stored as usize];
        file.read_exact_at(&mut stored, entry.offset.saturating_add(header.length as u64))?;
        let payload = if header.is_whole(&stored) { Unpacker::new()?.unpack(header, &stored) } else { None };
        let Some(payload) = payload else { return Ok(true) };
        let mut decoder = Decoder::default();
        decoder.open(payload);
        // It comes first.
        Ok(!matches!(decoder.next_piece(), Some(Ok(Piece::Part(_) | Piece::Whole(_)))))
    }

    /// The index at the end of the file, if it was closed.
    fn index(&self, file: &File, length: u64) -> io::Result<Option<Index>> {
        let most = (LARGEST_STORED + LONGEST_HEADER) as u64;
        let start = length.saturating_sub(most);
        let mut end = vec![0; (length - start) as usize];
        file.read_exact_at(&mut end, start)?;
        let places = (0..end.len().saturating_sub(HEADER - 1)).rev().filter(|&at| end[at..].starts_with(&MAGIC));
        for at in places {
            let Ok(header) = BlockHeader::read(&end[at..]) else { continue };
            let payload = &end[at + header.length..];
            let fits = header.kind == Some(BlockKind::Index) && header.recording == self.first.recording;
            if fits && header.is_whole(payload) {
                let unpacked = Unpacker::new()?.unpack(&header, payload);
                return Ok(unpacked.and_then(|payload| Index::read(&payload).ok()));
            }
            // The last block is another one.
            return Ok(None);
        }
        Ok(None)
    }

    /// The index of a file that was not closed, from the headers of its blocks.
    fn scan(&self, file: &File, length: u64) -> io::Result<Index> {
        let mut index = Index::default();
        let mut offset = 0;
        while offset < length
            && let Some(header) = header_at(file, offset)?
        {
            if header.kind == Some(BlockKind::Checkpoint) {
                index.add(offset, header.number, header.first);
            }
            offset += header.length as u64 + u64::from(header.stored);
        }
        Ok(index)
    }
}

/// The header of the block that begins there.
pub(super) fn header_at(file: &File, offset: u64) -> io::Result<Option<BlockHeader>> {
    let mut bytes = [0; LONGEST_HEADER];
    let mut filled = 0;
    while filled < bytes.len() {
        match file.read_at(&mut bytes[filled..], offset.saturating_add(filled as u64)) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(BlockHeader::read(&bytes[..filled]).ok())
}
