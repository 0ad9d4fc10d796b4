//! The frame around everything in a recording: a header with its own checksum, and a payload with its own.

use std::io;

use crate::event::Time;

/// What every block begins with. The first byte is no text, so that nobody takes a recording for one.
pub(super) const MAGIC: [u8; 4] = *b"\x89SWB";

/// The framing's version. One that differs can't be read at all.
pub(super) const MAJOR: u8 = 1;

/// Length of a header as this version writes it. Later ones may append fields before the checksum, which comes last.
pub(super) const HEADER: usize = 76;

/// The longest header that is accepted.
pub(super) const LONGEST_HEADER: usize = 512;

/// What a block may hold, before compression. The writer closes one at a quarter of it.
pub(super) const LARGEST: usize = 1 << 20;

/// What a block may take in the file: what zstd may make of incompressible bytes.
pub(super) const LARGEST_STORED: usize = LARGEST + LARGEST / 128 + 1024;

/// What a block is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum BlockKind {
    /// The first of a file: what the recording is about.
    Header,
    /// Steps.
    Steps,
    /// A part of the state that all steps before it led to; the first part.
    Checkpoint,
    /// A further part of it.
    CheckpointRest,
    /// Where the blocks are; the last of a file that was closed.
    Index,
}

impl BlockKind {
    fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => Self::Header,
            2 => Self::Steps,
            3 => Self::Checkpoint,
            4 => Self::CheckpointRest,
            5 => Self::Index,
            _ => return None,
        })
    }

    fn to_byte(self) -> u8 {
        match self {
            Self::Header => 1,
            Self::Steps => 2,
            Self::Checkpoint => 3,
            Self::CheckpointRest => 4,
            Self::Index => 5,
        }
    }
}

/// A block's header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct BlockHeader {
    /// What it is for; none if a later version made it up.
    pub(super) kind: Option<BlockKind>,
    /// Which segment of the recording, from 1.
    pub(super) segment: u32,
    /// Which recording: a random number.
    pub(super) recording: u64,
    /// Which block of the recording, counted from 0 over all segments.
    pub(super) number: u64,
    /// The earliest time in it; 0 if there is none.
    pub(super) first: Time,
    /// The latest.
    pub(super) last: Time,
    /// How many events the recording had before this block.
    pub(super) before: u64,
    /// How many events are in it.
    pub(super) events: u32,
    /// Length of the payload in the file.
    pub(super) stored: u32,
    /// Length of the payload unpacked.
    pub(super) unpacked: u32,
    /// CRC-32 of the payload as stored.
    checksum: u32,
    /// Length of this header.
    pub(super) length: usize,
}

/// Why there is no block where one should be.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NoBlock {
    /// These bytes don't begin one, or its header is damaged.
    Damaged,
    /// More bytes are needed: so many in all.
    Short(usize),
    /// It is of a version with another framing.
    Newer(u8),
}

impl NoBlock {
    /// What has the magic, and this version, and is no block of ours.
    fn of(version: u8) -> Self {
        if version > MAJOR { Self::Newer(version) } else { Self::Damaged }
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut field = [0; 4];
    field.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(field)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut field = [0; 8];
    field.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(field)
}

impl BlockHeader {
    /// Reads the header that these bytes begin with.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, NoBlock> {
        let start = bytes.len().min(MAGIC.len());
        if bytes[..start] != MAGIC[..start] {
            return Err(NoBlock::Damaged);
        }
        if bytes.len() < HEADER {
            return Err(NoBlock::Short(HEADER));
        }
        let length = usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
        if !(HEADER..=LONGEST_HEADER).contains(&length) {
            return Err(NoBlock::of(bytes[4]));
        }
        if bytes.len() < length {
            return Err(NoBlock::Short(length));
        }
        if crc32fast::hash(&bytes[..length - 4]) != u32_at(bytes, length - 4) {
            return Err(NoBlock::of(bytes[4]));
        }
        if bytes[4] != MAJOR {
            return Err(NoBlock::of(bytes[4]));
        }
        let header = Self {
            kind: BlockKind::from_byte(bytes[5]),
            segment: u32_at(bytes, 12),
            recording: u64_at(bytes, 16),
            number: u64_at(bytes, 24),
            first: u64_at(bytes, 32),
            last: u64_at(bytes, 40),
            before: u64_at(bytes, 48),
            events: u32_at(bytes, 56),
            stored: u32_at(bytes, 60),
            unpacked: u32_at(bytes, 64),
            checksum: u32_at(bytes, 68),
            length,
        };
        let fits = header.stored as usize <= LARGEST_STORED && header.unpacked as usize <= LARGEST;
        if fits { Ok(header) } else { Err(NoBlock::Damaged) }
    }

    /// Whether this is its payload, as it was written.
    pub(super) fn is_whole(&self, stored: &[u8]) -> bool {
        stored.len() == self.stored as usize && crc32fast::hash(stored) == self.checksum
    }
}

/// Unpacks payloads. Whatever they say, never more than there is room for.
pub(super) struct Unpacker(zstd::bulk::Decompressor<'static>);

impl Unpacker {
    pub(super) fn new() -> io::Result<Self> {
        zstd::bulk::Decompressor::new().map(Self)
    }

    /// The payload of a block; none if it is not what the header says.
    pub(super) fn unpack(&mut self, header: &BlockHeader, stored: &[u8]) -> Option<Vec<u8>> {
        let mut unpacked = Vec::with_capacity(header.unpacked as usize);
        let length = self.0.decompress_to_buffer(stored, &mut unpacked).ok()?;
        (length == header.unpacked as usize).then_some(unpacked)
    }
}

/// What a block is to say of itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Label {
    pub(super) kind: BlockKind,
    pub(super) segment: u32,
    pub(super) recording: u64,
    pub(super) number: u64,
    pub(super) first: Time,
    pub(super) last: Time,
    pub(super) before: u64,
    pub(super) events: u32,
}

/// Packs payloads.
pub(super) struct Packer(zstd::bulk::Compressor<'static>);

impl Packer {
    /// `level` as zstd means it.
    pub(super) fn new(level: i32) -> io::Result<Self> {
        let mut packer = zstd::bulk::Compressor::new(level)?;
        // The header has the length, and a checksum.
        packer.include_contentsize(true)?;
        packer.include_checksum(false)?;
        Ok(Self(packer))
    }

    /// A whole block.
    pub(super) fn pack(&mut self, label: &Label, payload: &[u8]) -> io::Result<Vec<u8>> {
        let Label { kind, segment, recording, number, first, last, before, events } = *label;
        let mut block = vec![0; HEADER + zstd::zstd_safe::compress_bound(payload.len())];
        let stored = self.0.compress_to_buffer(payload, &mut block[HEADER..])?;
        block.truncate(HEADER + stored);
        let checksum = crc32fast::hash(&block[HEADER..]);
        let mut header = Vec::with_capacity(HEADER);
        header.extend_from_slice(&MAGIC);
        header.extend_from_slice(&[MAJOR, kind.to_byte(), 0, 0]);
        header.extend_from_slice(&(HEADER as u16).to_le_bytes());
        header.extend_from_slice(&[0, 0]);
        header.extend_from_slice(&segment.to_le_bytes());
        for field in [recording, number, first, last, before] {
            header.extend_from_slice(&field.to_le_bytes());
        }
        for field in [events, stored as u32, payload.len() as u32, checksum] {
            header.extend_from_slice(&field.to_le_bytes());
        }
        let checksum = crc32fast::hash(&header);
        header.extend_from_slice(&checksum.to_le_bytes());
        block[..HEADER].copy_from_slice(&header);
        Ok(block)
    }
}

/// A whole block, with another number. Its header may be longer than those that this version writes.
pub(super) fn relabel(block: &[u8], number: u64) -> Vec<u8> {
    let mut block = block.to_vec();
    let length = usize::from(u16::from_le_bytes([block[8], block[9]]));
    block[24..32].copy_from_slice(&number.to_le_bytes());
    let checksum = crc32fast::hash(&block[..length - 4]);
    block[length - 4..length].copy_from_slice(&checksum.to_le_bytes());
    block
}
