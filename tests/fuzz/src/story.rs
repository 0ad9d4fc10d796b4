//! Files that are in order, and tell what no kernel would; and what becomes of them.

use crate::{
    dice::Dice,
    forge::{Block, HEADER, INDEX, LARGEST, STEPS, about},
};

/// Sockets, processes and actors that each block begins with.
const SOCKETS: u8 = 5;
const PROCESSES: u8 = 2;
const ACTORS: u8 = 3;

/// The records of a block.
#[derive(Default)]
struct Records {
    bytes: Vec<u8>,
    events: u32,
    /// The ids given so far, less their givers.
    ids: [u64; 2],
}

/// The fields of one record.
struct Record<'a, 'b> {
    bytes: Vec<u8>,
    dice: &'a mut Dice<'b>,
    ids: &'a mut [u64; 2],
}

pub(crate) fn file(dice: &mut Dice<'_>) -> Vec<u8> {
    let mut blocks = vec![Block::new(HEADER, 0, &about())];
    let (mut before, mut size) = (0, 0);
    while !dice.is_empty() && size < LARGEST {
        let mut records = Records::new();
        for _ in 0..512 {
            if dice.is_empty() || !records.add(dice) {
                break;
            }
        }
        let mut block = Block::new(STEPS, blocks.len() as u64, &records.bytes);
        (block.before, block.events) = (before, records.events);
        block.times = (blocks.len() as u64 * 1_000_000_000, (blocks.len() as u64 + 1) * 1_000_000_000);
        before += u64::from(records.events);
        size += block.stored.len() + 76;
        let fate = dice.below(32);
        let copy = block.clone();
        match fate {
            1 => block.stored[0] ^= 1,
            2 => blocks.push(copy),
            3 => block.claimed = Some(dice.number() as u32),
            _ => {}
        }
        // Some are lost.
        if fate != 4 {
            blocks.push(block);
        }
    }
    let mut index = Block::new(INDEX, blocks.len() as u64, &[]);
    index.before = before;
    blocks.push(index);
    let mut file = Vec::new();
    for block in &blocks {
        block.write(&mut file);
    }
    file
}

impl Records {
    fn new() -> Self {
        let mut records = Self::default();
        for socket in 1..=SOCKETS {
            records.bytes.extend_from_slice(&[2, 3, socket]);
        }
        for process in 1..=PROCESSES {
            // pid, start, name, user, no executable, no container.
            records.bytes.extend_from_slice(&[10, 1, process + 1, process, 3, b'p', 0x1b, b'0' + process, 1, 0, 0]);
        }
        for actor in 0..ACTORS {
            records.bytes.extend_from_slice(&[4, 2, actor % PROCESSES, actor + 1, actor & 1]);
        }
        records
    }

    /// False at the end of the block.
    fn add(&mut self, dice: &mut Dice<'_>) -> bool {
        let mut record = Record { bytes: Vec::new(), dice, ids: &mut self.ids };
        let kind = match record.dice.byte() {
            0..120 => 16 + record.dice.below(12),
            120..160 => 16,
            160..180 => 18,
            180..200 => 19,
            200..205 => 28,
            205..215 => 29,
            215..238 => 32,
            238..243 => 33,
            243..246 => 34,
            246..249 => 1,
            249..254 => record.dice.byte(),
            _ => return false,
        };
        record.bytes.push(kind);
        record.fields(kind);
        self.events += u32::from((16..28).contains(&kind));
        let length = record.bytes.len();
        if length < 0x80 {
            self.bytes.push(length as u8);
        } else {
            self.bytes.extend_from_slice(&[length as u8 | 0x80, (length >> 7) as u8]);
        }
        self.bytes.append(&mut record.bytes);
        true
    }
}

impl Record<'_, '_> {
    fn number(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.bytes.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.bytes.push(value as u8);
    }

    fn signed(&mut self, value: i64) {
        self.number(((value << 1) ^ (value >> 63)) as u64);
    }

    fn any(&mut self) -> u64 {
        let value = self.dice.number();
        self.number(value);
        value
    }

    fn small(&mut self) {
        let value = self.dice.number() & u64::from(u32::MAX);
        self.number(value);
    }

    fn int(&mut self) {
        let value = self.dice.number() as u32;
        self.signed(i64::from(value as i32));
    }

    fn byte(&mut self, below: u8) -> u8 {
        let byte = self.dice.below(below);
        self.bytes.push(byte);
        byte
    }

    /// How much later.
    fn time(&mut self) {
        let unit =
            [1, 1_000, 1_000_000, 30_000_000, 1_000_000_000, -500_000, -50_000_000][usize::from(self.dice.below(7))];
        let count = self.dice.number();
        let elapsed = if count < 0x10000 { unit * count as i64 } else { count as i64 };
        self.signed(elapsed);
    }

    fn state(&mut self) {
        let state = 1 + self.dice.below(12);
        self.bytes.push(state);
    }

    fn actor(&mut self) -> u8 {
        self.byte(ACTORS + 1)
    }

    fn place(&mut self, known: u64) -> u64 {
        self.byte(SOCKETS);
        let bits = u64::from(self.dice.short()) & known;
        self.number(bits);
        if bits & 2 != 0 {
            let giver = usize::from(self.byte(2));
            let step = i64::from(self.dice.below(4)) - 1;
            let id = self.ids[giver].saturating_add_signed(step);
            self.signed(id as i64 - self.ids[giver] as i64);
            self.ids[giver] = id;
        }
        bits
    }

    fn id(&mut self) {
        let (giver, id) = (self.dice.below(2), self.dice.below(6));
        self.number(u64::from(giver) << 46 | u64::from(id));
    }

    fn sock(&mut self) {
        let bits = self.place(0x7ff);
        let has = |bit: u32| bits >> bit & 1 == 1;
        if has(2) {
            self.int();
        }
        for bit in [3, 4] {
            if has(bit) {
                let port = u64::from(self.dice.below(4));
                self.number(port);
            }
        }
        for bit in [5, 6] {
            if has(bit) {
                match self.dice.below(4) {
                    0 => {
                        self.bytes.push(6);
                        self.bytes.extend_from_slice(&[0; 15]);
                        self.byte(3);
                    }
                    _ => {
                        self.bytes.extend_from_slice(&[4, 10, 0, 0]);
                        self.byte(3);
                    }
                }
            }
        }
        if has(7) {
            self.id();
        }
        if has(8) {
            self.small();
        }
        if has(9) {
            let family = if self.dice.byte() & 1 == 0 { 4 } else { 6 };
            let transport = self.dice.below(3);
            self.bytes.push(family | transport << 4);
        }
        if has(10) {
            self.byte(SOCKETS + 1);
        }
        self.state();
    }

    fn stats(&mut self) {
        self.byte(32);
        let bits = u64::from(self.dice.short()) & 0x3ff;
        self.number(bits);
        for bit in 0..10 {
            match bit {
                _ if bits >> bit & 1 == 0 => {}
                0 | 1 => drop(self.any()),
                6 => {
                    let error = self.dice.number() & 0x7fff_ffff;
                    self.number(error);
                }
                _ => self.small(),
            }
        }
    }

    fn fields(&mut self, kind: u8) {
        if (16..=33).contains(&kind) {
            self.time();
        }
        match kind {
            1 => {
                self.number(5);
                self.number(6);
                let length = usize::from(self.dice.below(20));
                let text = self.dice.take(length);
                self.number(text.len() as u64);
                self.bytes.extend_from_slice(text);
                self.bytes.extend_from_slice(&[1, 0, 0]);
            }
            16 => {
                self.sock();
                self.state();
                self.actor();
                self.small();
                self.small();
                if self.byte(2) == 1 {
                    self.time();
                    self.int();
                }
            }
            17 => {
                let bits = self.place(0x82 | 1);
                if bits & 0x80 != 0 {
                    self.id();
                }
                let states = (1 + self.dice.below(12)) << 4 | (1 + self.dice.below(12));
                self.bytes.push(states);
                self.actor();
            }
            18 => {
                self.sock();
                self.actor();
                self.stats();
                self.byte(2);
            }
            19..=22 => {
                let bits = self.place(0x403);
                if bits & 0x400 != 0 {
                    self.byte(SOCKETS + 1);
                }
                self.state();
            }
            23..=26 => {
                self.sock();
                self.actor();
                let bits = self.byte(4);
                if bits & 1 != 0 {
                    self.time();
                }
                if bits & 2 != 0 {
                    self.int();
                }
                self.byte(120);
                self.int();
                self.small();
            }
            27 => {
                self.sock();
                self.stats();
                if self.actor() != 0 {
                    self.int();
                }
            }
            29 => {
                self.time();
                self.byte(2);
                self.any();
            }
            32 => drop(self.any()),
            33 => {
                let offset = self.dice.number() as i64;
                self.signed(offset);
            }
            _ => {}
        }
    }
}
