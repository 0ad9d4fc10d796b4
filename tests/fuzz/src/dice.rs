//! The fuzzer's bytes, as decisions. Where they are at an end all are 0.

/// What numbers like to fail at.
const LIMITS: [u64; 12] = [
    u64::MAX,
    u64::MAX - 1,
    1 << 63,
    (1 << 63) - 1,
    1 << 62,
    1 << 46,
    u32::MAX as u64,
    1 << 31,
    (1 << 31) - 1,
    1 << 20,
    u16::MAX as u64,
    0,
];

pub(crate) struct Dice<'a> {
    bytes: &'a [u8],
}

impl<'a> Dice<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(crate) fn byte(&mut self) -> u8 {
        let Some((&first, rest)) = self.bytes.split_first() else { return 0 };
        self.bytes = rest;
        first
    }

    pub(crate) fn below(&mut self, limit: u8) -> u8 {
        self.byte() % limit
    }

    pub(crate) fn short(&mut self) -> u16 {
        u16::from_le_bytes([self.byte(), self.byte()])
    }

    /// Mostly small, now and then any, or one of those that code fails at.
    pub(crate) fn number(&mut self) -> u64 {
        match self.byte() {
            small @ 0..0xc0 => small.into(),
            0xc0..0xe0 => self.short().into(),
            0xe0..0xf0 => u64::from_le_bytes(std::array::from_fn(|_| self.byte())),
            limit => LIMITS[usize::from(limit - 0xf0) % LIMITS.len()],
        }
    }

    pub(crate) fn take(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.bytes.split_at(length.min(self.bytes.len()));
        self.bytes = rest;
        taken
    }
}
