//! From bytes to blocks that are whole. Where something is damaged it looks for the next one.

use std::io::{self, Read};

use crate::recording::block::{BlockHeader, HEADER, MAGIC, NoBlock};

/// How much is read at once.
const CHUNK: usize = 256 << 10;

/// How much may be checked in vain, beyond what a damaged file would have it do: someone could write headers whose payloads
/// overlap.
const PATIENCE: u64 = 64 << 20;

/// So much damage is told of at once: whoever reads wants to hear something now and then.
const STRETCH: u64 = 1 << 20;

/// What is found next.
#[derive(Debug)]
pub(super) enum Frame {
    /// A block. Its payload waits in [`Frames::payload`].
    Block(BlockHeader),
    /// So many bytes are no block, or a damaged one; more may follow.
    Damaged {
        bytes: u64,
        /// The header that they begin with, if it is whole.
        header: Option<BlockHeader>,
    },
    /// The end.
    End,
}

/// Reads blocks from bytes that come one after another.
pub(super) struct Frames {
    input: Box<dyn Read>,
    buffer: Vec<u8>,
    /// How much of the buffer was read.
    filled: usize,
    /// How much of that was used.
    used: usize,
    /// Where in the input the buffer begins.
    offset: u64,
    ended: bool,
    /// How many bytes of payloads were checked in vain.
    pub(super) wasted: u64,
    /// Where in the buffer the block found last begins, and its payload, and where it ends.
    block: (usize, usize, usize),
}

impl Frames {
    /// `offset`: where in the file the input begins.
    pub(super) fn new(input: Box<dyn Read>, offset: u64) -> Self {
        Self { input, buffer: Vec::new(), filled: 0, used: 0, offset, ended: false, wasted: 0, block: (0, 0, 0) }
    }

    /// How far it has read.
    pub(super) fn position(&self) -> u64 {
        self.offset + self.used as u64
    }

    /// The payload of the block found last, as stored.
    pub(super) fn payload(&self) -> &[u8] {
        &self.buffer[self.block.1..self.block.2]
    }

    /// The block found last, all of it.
    pub(super) fn block(&self) -> &[u8] {
        &self.buffer[self.block.0..self.block.2]
    }

    /// What the input begins with, if it is not as long: all of it.
    pub(super) fn peek(&mut self, length: usize) -> io::Result<&[u8]> {
        self.fill(length)?;
        Ok(self.rest())
    }

    /// What was read and not used.
    fn rest(&self) -> &[u8] {
        &self.buffer[self.used..self.filled]
    }

    /// The next block, or what is there instead.
    ///
    /// # Errors
    /// If the input can't be read.
    pub(super) fn next(&mut self) -> io::Result<Frame> {
        let start = self.position();
        loop {
            self.fill(HEADER)?;
            let skipped = self.position() - start;
            if self.rest().is_empty() && skipped == 0 {
                return Ok(Frame::End);
            }
            if self.rest().is_empty() || skipped >= STRETCH {
                return Ok(Frame::Damaged { bytes: skipped, header: None });
            }
            let header = match BlockHeader::read(self.rest()) {
                Err(NoBlock::Short(length)) if self.fill(length)? => BlockHeader::read(self.rest()),
                outcome => outcome,
            };
            let Ok(header) = header else {
                self.skip();
                continue;
            };
            if skipped > 0 {
                // It comes next.
                return Ok(Frame::Damaged { bytes: skipped, header: None });
            }
            let (length, stored) = (header.length, header.stored as usize);
            let there = self.fill(length + stored)?;
            let end = self.used + length + stored;
            if there && header.is_whole(&self.buffer[self.used + length..end]) {
                self.block = (self.used, self.used + length, end);
                self.used = end;
                return Ok(Frame::Block(header));
            }
            self.wasted += if there { stored as u64 } else { 0 };
            if there && self.wasted > PATIENCE + 8 * self.position() {
                self.used = end;
            } else {
                // What is missing from it may have brought the next one nearer.
                self.skip();
            }
            return Ok(Frame::Damaged { bytes: self.position() - start, header: Some(header) });
        }
    }

    /// Passes over a byte that begins no block, and all behind it that can't begin one.
    fn skip(&mut self) {
        let rest = &self.rest()[1..];
        self.used += 1 + rest.iter().position(|&byte| byte == MAGIC[0]).unwrap_or(rest.len());
    }

    /// Has so many bytes in the buffer; false if there are no more.
    fn fill(&mut self, length: usize) -> io::Result<bool> {
        while self.rest().len() < length {
            if self.ended {
                return Ok(false);
            }
            // Not each time: it would take longer than to read, where a pipe gives little at once.
            if self.used >= CHUNK {
                self.buffer.copy_within(self.used..self.filled, 0);
                self.offset += self.used as u64;
                self.filled -= self.used;
                self.used = 0;
                self.block = (0, 0, 0);
            }
            if self.buffer.len() < self.filled + CHUNK {
                self.buffer.resize(self.filled + CHUNK, 0);
            }
            let read = loop {
                match self.input.read(&mut self.buffer[self.filled..]) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    outcome => break outcome?,
                }
            };
            self.filled += read;
            self.ended = read == 0;
        }
        Ok(true)
    }
}
