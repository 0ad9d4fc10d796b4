//! Recordings, read. They may come from strangers: whatever is in them, what comes out is what was written, or a count of what
//! is missing.

mod again;
mod frames;
mod input;
mod pieces;
mod seek;
#[cfg(test)]
mod tests;

use std::{
    collections::VecDeque,
    fs::File,
    io::{self, Read},
    path::Path,
    sync::Arc,
};

use self::frames::{Frame, Frames};
pub use self::input::Input;
pub(super) use self::pieces::Checkpoint;
use self::{input::Opened, pieces::Restoring};
use super::{
    Facts,
    block::{BlockHeader, BlockKind, HEADER, MAGIC, NoBlock, Unpacker},
    header::{self, BadHeader},
    record::{Decoder, is_event},
};
use crate::{
    event::{Event, Time, What},
    lifecycle::Engine,
    source::Step,
};

/// Why a recording can't be read at all.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// It can't be opened or read.
    #[error("can't read {name}: {error}")]
    Io {
        /// Which.
        name: String,
        /// Why.
        error: io::Error,
    },
    /// It is a directory, a device.
    #[error("{0} is not a file")]
    NotAFile(String),
    /// There is nothing.
    #[error("{0} is empty")]
    Empty(String),
    /// It is something else.
    #[error("{0} is not a recording of sockwatch")]
    NoRecording(String),
    /// It begins like one, but its header is damaged.
    #[error("{0} is damaged at its beginning: what it is about can't be read")]
    Damaged(String),
    /// It was written by a later version.
    #[error("{name} was written by a newer sockwatch ({what}); this is {version}, which can't read it", version = env!("CARGO_PKG_VERSION"))]
    Newer {
        /// Which.
        name: String,
        /// What is newer.
        what: String,
    },
}

/// What is wrong with a recording.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Damage {
    /// Bytes that belong to no whole block.
    pub bytes: u64,
    /// Blocks that are missing, by their numbers.
    pub missing: u64,
    /// Blocks that belong to another recording, or are there twice.
    pub foreign: u64,
    /// Blocks that are whole, but say what can't be.
    pub malformed: u64,
    /// Whether it was not closed: it was cut, or the recorder was killed, or is still at it.
    pub unclosed: bool,
}

impl Damage {
    /// Whether it is as it was written.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// What is in a recording.
#[derive(Debug)]
pub enum Item {
    /// A step.
    Step(Step),
    /// All that is known here. To go on from where what came before is not known, or has a gap.
    State(Box<Engine>),
    /// What comes next is behind a gap: until a state is given, the ids of sockets that begin are not known.
    Gap,
    /// Nothing to tell of: a block that holds no steps, or a stretch of damage. There may be much of it, so that whoever reads
    /// is asked now and then whether to go on.
    Nothing,
}

/// A file of a recording.
pub struct Recording {
    name: String,
    /// If it is one that can be read anywhere.
    file: Option<Arc<File>>,
    facts: Facts,
    frames: Frames,
    unpacker: Unpacker,
    /// How many bytes it was asked for.
    unpacked: u64,
    decoder: Decoder,
    header: Vec<u8>,
    first: BlockHeader,
    place: Place,
    /// How many events of the block it came to last may still come.
    left: u32,
    /// What is missing before the next step.
    gap: Option<Gap>,
    ahead: VecDeque<Item>,
    damage: Damage,
    /// The checkpoint that is being read.
    restoring: Option<Restoring>,
    /// Checkpoints are read even where they tell nothing new.
    thorough: bool,
    /// Whether what came before is not all known.
    lacks_state: bool,
    /// Whether its last block, so far, is one that closes a file.
    closed: bool,
    ended: bool,
    counts: Counts,
}

/// What was read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// Whole blocks.
    pub blocks: u64,
    /// Events in them.
    pub events: u64,
    /// Events that should be there and are not, as far as it can be known.
    pub missing: u64,
}

/// How much may be unpacked in all: so much,
const ROOM: u64 = 256 << 20;

/// and so many times what was read. Steps pack to a quarter, seldom to a tenth, as times and ports follow no rule; of zeroes a
/// stranger could pack a gigabyte into each 200 kB.
const MOST_PACKED: u64 = 32;

/// Events that are missing.
#[derive(Clone, Copy, Debug)]
struct Gap {
    count: u64,
    since: Time,
}

/// What comes next in a file.
enum Found {
    Block(BlockHeader),
    /// Something that is none, or does not belong there.
    Nothing,
    End,
}

/// How far it is.
#[derive(Clone, Copy, Debug)]
struct Place {
    /// The number of the block that comes next.
    number: u64,
    /// How many events there were.
    before: u64,
    /// How many there were according to damaged blocks.
    claimed: u64,
    /// The latest time.
    time: Time,
}

impl Recording {
    /// Opens a file.
    ///
    /// # Errors
    /// If it is none that can be read.
    pub fn open(input: Input) -> Result<Self, Problem> {
        let Opened { name, bytes: reader, file } = input.open()?;
        Ok(Self { file: file.map(Arc::new), ..Self::read(name, reader)? })
    }

    /// Reads bytes from anywhere. `name`: theirs, for people.
    ///
    /// # Errors
    /// If they can't be read, or are no recording.
    pub fn read(name: String, reader: Box<dyn Read>) -> Result<Self, Problem> {
        let failed = |error| Problem::Io { name: name.clone(), error };
        let mut frames = Frames::new(reader, 0);
        let start = frames.peek(HEADER).map_err(failed)?;
        if start.is_empty() {
            return Err(Problem::Empty(name));
        }
        if !start.starts_with(&MAGIC) {
            return Err(Problem::NoRecording(name));
        }
        if let Err(NoBlock::Newer(version)) = BlockHeader::read(start) {
            return Err(Problem::Newer { name, what: format!("format {version}") });
        }
        let mut unpacker = Unpacker::new().map_err(failed)?;
        let found = match frames.next().map_err(failed)? {
            Frame::Block(header) if header.kind == Some(BlockKind::Header) => {
                unpacker.unpack(&header, frames.payload()).map(|payload| (header, payload))
            }
            _ => None,
        };
        let Some((first, payload)) = found else { return Err(Problem::Damaged(name)) };
        let facts = match header::read(&payload) {
            Ok(facts) => facts,
            Err(BadHeader::Malformed) => return Err(Problem::Damaged(name)),
            Err(BadHeader::Newer(version)) => {
                return Err(Problem::Newer { name, what: format!("format 1.{version}") });
            }
        };
        let header = frames.block().to_vec();
        let place = Place {
            number: first.number.saturating_add(1),
            before: first.before,
            claimed: first.before,
            time: facts.began,
        };
        Ok(Self {
            name,
            file: None,
            facts,
            frames,
            unpacker,
            unpacked: 0,
            decoder: Decoder::default(),
            header,
            first,
            place,
            left: 0,
            gap: None,
            ahead: VecDeque::new(),
            damage: Damage::default(),
            restoring: None,
            thorough: false,
            lacks_state: first.segment > 1,
            closed: false,
            ended: false,
            counts: Counts { blocks: 1, events: 0, missing: 0 },
        })
    }

    /// Everything in it is read, also what repeats what is known.
    #[must_use]
    pub fn thoroughly(self) -> Self {
        Self { thorough: true, ..self }
    }

    /// Its name, for people.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it is about.
    #[must_use]
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Which recording it belongs to, and which segment of it it is.
    #[must_use]
    pub fn segment(&self) -> (u64, u32) {
        (self.first.recording, self.first.segment)
    }

    /// What is wrong with it, as far as it was read.
    #[must_use]
    pub fn damage(&self) -> Damage {
        self.damage
    }

    /// How long the file is; none if it is none that can be read anywhere.
    #[must_use]
    pub fn length(&self) -> Option<u64> {
        Some(self.file.as_ref()?.metadata().ok()?.len())
    }

    /// How many bytes were read.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.frames.position()
    }

    /// What was read.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// This file goes on where that one, which was read to its end, stopped.
    pub fn follows(&mut self, earlier: &Self) {
        let own = self.place;
        self.lacks_state = earlier.lacks_state || self.first.number != earlier.place.number;
        self.place = earlier.place;
        self.arrive(own.before);
        self.place.number = own.number;
    }

    /// The block that it begins with.
    pub(super) fn first_block(&self) -> &[u8] {
        &self.header
    }

    /// That one's number.
    pub(super) fn first_number(&self) -> u64 {
        self.first.number
    }

    /// The block it came to last.
    pub(super) fn frame(&self) -> &[u8] {
        self.frames.block()
    }

    /// The latest time that was read.
    #[must_use]
    pub fn time(&self) -> Time {
        self.place.time
    }

    /// How many events there were, those that are missing too.
    pub(super) fn before(&self) -> u64 {
        self.place.before
    }

    /// Reads all steps of the block it came to last. If it says what can't be: what of its payload is good, and how many
    /// events that is.
    pub(super) fn examine(&mut self, header: &BlockHeader) -> Option<(Vec<u8>, u32)> {
        let malformed = self.damage.malformed;
        self.open_block(header);
        let mut good = 0;
        while self.step().is_some() {
            good = self.decoder.position();
        }
        if self.damage.malformed == malformed {
            return None;
        }
        let mut payload = self.decoder.close();
        payload.truncate(good);
        Some((payload, header.events - self.left))
    }

    /// What comes next; none at the end.
    ///
    /// # Errors
    /// If the file can't be read.
    #[expect(
        clippy::should_implement_trait,
        reason = "a for loop would leave out what it ends with: an error, or damage"
    )]
    pub fn next(&mut self) -> Result<Option<Item>, Problem> {
        if let Some(item) = self.ahead.pop_front() {
            return Ok(Some(item));
        }
        if let Some(step) = self.step() {
            return Ok(Some(Item::Step(step)));
        }
        if self.ended {
            return Ok(None);
        }
        if let Found::Block(header) = self.look()? {
            match header.kind {
                Some(BlockKind::Steps) => {
                    self.restoring = None;
                    self.open_block(&header);
                }
                Some(BlockKind::Checkpoint | BlockKind::CheckpointRest) => {
                    self.open_piece(&header);
                }
                _ => self.restoring = None,
            }
        }
        Ok(Some(Item::Nothing))
    }

    /// The payload of the block it came to last.
    fn unpack(&mut self, header: &BlockHeader) -> Option<Vec<u8>> {
        self.unpacked += u64::from(header.unpacked);
        let enough = self.unpacked > ROOM + MOST_PACKED * self.frames.position();
        if enough { None } else { self.unpacker.unpack(header, self.frames.payload()) }
    }

    /// Begins to read the steps of the block it came to last.
    fn open_block(&mut self, header: &BlockHeader) {
        self.tell_gap(header.first);
        let payload = self.unpack(header);
        self.damage.malformed += u64::from(payload.is_none());
        self.decoder.open(payload.unwrap_or_default());
        self.left = header.events;
    }

    /// The next step of that block; none at its end.
    fn step(&mut self) -> Option<Step> {
        let step = self.decoder.step()?;
        // One event more than its header knows of would be counted among those of the next block.
        let Some(step) = step.ok().filter(|step| self.left > 0 || !is_event(step)) else {
            self.damage.malformed += 1;
            self.lacks_state = true;
            self.decoder.stop();
            return None;
        };
        if is_event(&step) {
            self.left -= 1;
            self.place.before = self.place.before.saturating_add(1);
            self.counts.events += 1;
        }
        Some(step)
    }

    /// Comes to the next block that is whole and belongs there; none at the end.
    pub(super) fn advance(&mut self) -> Result<Option<BlockHeader>, Problem> {
        loop {
            match self.look()? {
                Found::Block(header) => return Ok(Some(header)),
                Found::Nothing => {}
                Found::End => return Ok(None),
            }
        }
    }

    /// Looks at what comes next.
    fn look(&mut self) -> Result<Found, Problem> {
        let frame = self.frames.next().map_err(|error| Problem::Io { name: self.name.clone(), error })?;
        let header = match frame {
            Frame::Block(header) => header,
            Frame::Damaged { bytes, header } => {
                self.damage.bytes += bytes;
                self.closed = false;
                self.restoring = None;
                if let Some(header) = header.filter(|header| header.recording == self.first.recording) {
                    self.claim(&header);
                }
                return Ok(Found::Nothing);
            }
            Frame::End => {
                self.end();
                return Ok(Found::End);
            }
        };
        if !self.belongs(&header) {
            self.damage.foreign += 1;
            return Ok(Found::Nothing);
        }
        self.counts.blocks += 1;
        if header.number > self.place.number {
            self.lacks_state = true;
            self.restoring = None;
        }
        self.damage.missing = self.damage.missing.saturating_add(header.number - self.place.number);
        self.closed = header.kind == Some(BlockKind::Index);
        self.arrive(header.before);
        self.place.number = header.number.saturating_add(1);
        if header.kind == Some(BlockKind::Steps) {
            self.place.time = self.place.time.max(header.last);
            self.claim(&header);
        }
        Ok(Found::Block(header))
    }

    /// So many events there were at the end of a block, by what its header says.
    fn claim(&mut self, header: &BlockHeader) {
        let claimed = header.before.saturating_add(header.events.into());
        self.place.claimed = self.place.claimed.max(claimed);
    }

    /// Whether a block may stand here.
    fn belongs(&self, header: &BlockHeader) -> bool {
        header.recording == self.first.recording
            && header.segment == self.first.segment
            && header.number >= self.place.number
            && header.before >= self.place.before
            && header.kind != Some(BlockKind::Header)
    }

    /// Comes to where so many events should have been.
    fn arrive(&mut self, before: u64) {
        let missing = before.saturating_sub(self.place.before);
        if missing > 0 {
            self.place.before = before;
            self.lacks_state = true;
            self.counts.missing = self.counts.missing.saturating_add(missing);
            let gap = self.gap.get_or_insert(Gap { count: 0, since: self.place.time });
            gap.count = gap.count.saturating_add(missing);
        }
    }

    /// Tells what is missing before the steps that begin at this time; 0 if that is not known.
    fn tell_gap(&mut self, next: Time) {
        if let Some(Gap { count, since }) = self.gap.take() {
            let next = if next == 0 { since } else { next };
            self.ahead.push_back(Item::Gap);
            self.lost(Some(count), since.min(next), since.max(next));
        }
    }

    fn lost(&mut self, count: Option<u64>, since: Time, until: Time) {
        let what = What::Lost { count, since };
        self.ahead.push_back(Item::Step(Step::Event(Event { time: until, what })));
    }

    fn end(&mut self) {
        self.ended = true;
        let time = self.place.time;
        self.arrive(self.place.claimed);
        self.tell_gap(time);
        if !self.closed {
            self.damage.unclosed = true;
            self.lost(None, time, time);
        }
    }
}

/// The name of a path, for people.
fn shown(path: &Path) -> String {
    path.display().to_string()
}
