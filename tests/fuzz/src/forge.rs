//! Files from blocks with right checksums, whatever else is in them. Written from the description of the format, not with
//! sockwatch's own code: two that agree are better than one.

use crate::dice::Dice;

pub(crate) const HEADER: u8 = 1;
pub(crate) const STEPS: u8 = 2;
pub(crate) const INDEX: u8 = 5;

/// Makes no file larger than this.
pub(crate) const LARGEST: usize = 1 << 18;

/// What a header says.
#[derive(Clone)]
pub(crate) struct Block {
    pub(crate) version: u8,
    pub(crate) kind: u8,
    pub(crate) segment: u32,
    pub(crate) recording: u64,
    pub(crate) number: u64,
    pub(crate) times: (u64, u64),
    pub(crate) before: u64,
    pub(crate) events: u32,
    /// Further bytes of the header.
    pub(crate) more: usize,
    /// Its payload as it is in the file.
    pub(crate) stored: Vec<u8>,
    pub(crate) unpacked: u32,
    /// Length of the payload, if it is not what it is.
    pub(crate) claimed: Option<u32>,
}

impl Block {
    pub(crate) fn new(kind: u8, number: u64, payload: &[u8]) -> Self {
        Self {
            version: 1,
            kind,
            segment: 1,
            recording: 7,
            number,
            times: (0, 0),
            before: 0,
            events: 0,
            more: 0,
            stored: zstd::bulk::compress(payload, 1).unwrap_or_default(),
            unpacked: payload.len() as u32,
            claimed: None,
        }
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(b"\x89SWB");
        out.extend_from_slice(&[self.version, self.kind, 0, 0]);
        out.extend_from_slice(&(76 + self.more as u16).to_le_bytes());
        out.extend_from_slice(&[0, 0]);
        out.extend_from_slice(&self.segment.to_le_bytes());
        for field in [self.recording, self.number, self.times.0, self.times.1, self.before] {
            out.extend_from_slice(&field.to_le_bytes());
        }
        let stored = self.claimed.unwrap_or(self.stored.len() as u32);
        for field in [self.events, stored, self.unpacked, crc32fast::hash(&self.stored)] {
            out.extend_from_slice(&field.to_le_bytes());
        }
        out.resize(out.len() + self.more, 42);
        let checksum = crc32fast::hash(&out[start..]);
        out.extend_from_slice(&checksum.to_le_bytes());
        out.extend_from_slice(&self.stored);
    }
}

/// What a recording is about.
pub(crate) fn about() -> Vec<u8> {
    let mut payload = vec![3, 1, 0, 0];
    for (kind, text) in [(2, "0.1.0"), (3, "web1"), (4, "6.18"), (5, "0-1"), (7, "tp/state")] {
        payload.extend_from_slice(&[text.len() as u8 + 2, kind, text.len() as u8]);
        payload.extend_from_slice(text.as_bytes());
    }
    // It began at 1 s, and the wall clock was ahead by 4e18 ns: the year 2096.
    payload.extend_from_slice(&[15, 6, 128, 148, 235, 220, 3, 128, 128, 128, 217, 211, 179, 237, 130, 111]);
    payload
}

/// A file of blocks whose payloads are the fuzzer's.
pub(crate) fn blocks(dice: &mut Dice<'_>) -> Vec<u8> {
    let mut file = Vec::new();
    let (mut number, mut before) = (0_u64, 0_u64);
    if dice.byte() & 1 == 0 {
        Block::new(HEADER, 0, &about()).write(&mut file);
        number = 1;
    }
    while !dice.is_empty() && file.len() < LARGEST {
        let wrong = dice.byte();
        let has = |bit: u32| wrong >> bit & 1 == 1;
        let kind = if wrong & 0x0f == 0 { STEPS } else { dice.below(8) };
        let length = dice.short() as usize % 4096;
        let payload = dice.take(length);
        let mut block = Block::new(kind, number, payload);
        block.before = before;
        block.events = dice.byte().into();
        block.times = (number, number.wrapping_add(1));
        if has(4) {
            block.number = number.wrapping_add(dice.number());
            block.before = before.wrapping_add(dice.number());
        }
        if has(5) {
            block.times = (dice.number(), dice.number());
            block.events = dice.number() as u32;
        }
        if has(6) {
            match dice.below(6) {
                0 => block.recording = dice.number(),
                1 => block.segment = dice.number() as u32,
                2 => block.version = dice.byte(),
                3 => block.more = usize::from(dice.short() % 500),
                4 => block.stored = payload.to_vec(),
                _ => block.unpacked = dice.number() as u32,
            }
        }
        if has(7) {
            block.claimed = Some(dice.number() as u32);
        }
        number = block.number.wrapping_add(1);
        before = block.before.wrapping_add(block.events.into());
        block.write(&mut file);
    }
    file
}
