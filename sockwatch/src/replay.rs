//! Recordings, played through the street: the same lanes that a live run goes through, to the same sinks.

mod ahead;
mod asked;
mod pace;
mod tape;

use std::{
    collections::{BTreeMap, VecDeque},
    io,
    time::{Duration, Instant},
};

use jiff::Timestamp;

pub use self::tape::{Position, Seen, Tape, Watch};
use self::{
    asked::{Asked, Missing},
    pace::Pace,
};
use crate::{
    event::{Event, Time},
    lane::Lane,
    output::{Sink, Start},
    recording::{Damage, Facts, Input, Item, Problem, Recording},
    select::Filter,
    source::Step,
};

/// Which part of a recording is played, and how fast.
#[derive(Clone, Debug, Default)]
pub struct Play {
    /// Nothing that happened before is told.
    pub since: Option<Timestamp>,
    /// Nothing that happened after is told.
    pub until: Option<Timestamp>,
    /// How many times faster than it happened; none: as fast as can be.
    pub speed: Option<u32>,
}

/// Why it can't go on.
#[derive(Debug, thiserror::Error)]
pub enum PlayError {
    /// A file can't be read.
    #[error(transparent)]
    Problem(#[from] Problem),
    /// What is told can't be written, or a file can't be read.
    #[error(transparent)]
    Sink(#[from] io::Error),
    /// It asks for too much memory.
    #[error("{name} says that so much is going on at once that it would take more than {} GiB of memory; it may be forged", MOST_MEMORY >> 30)]
    TooMuch {
        /// Which.
        name: String,
    },
}

/// How much memory a recording may take, about: more than a million open sockets do.
const MOST_MEMORY: usize = 4 << 30;

/// So much is read in one go: where nothing is ever settled, the user must be heard all the same.
const LONGEST_TURN: usize = 4096;

/// Sockets that begin behind a gap have ids from this number on (and so many more behind the next one), until the recording
/// tells which they have: no other socket of the run comes to have such an id.
const BEHIND_A_GAP: u64 = 1 << 40;

/// How long what happened may wait to be explained, and how far processors may be out of order, nanoseconds.
const EXPLAINED: Time = 40_000_000;

/// Most events that are held back at the end of a part.
const MOST_BEYOND: usize = 1 << 20;

/// How often whoever plays is asked whether to go on.
const PAUSE: Duration = Duration::from_millis(100);

/// What was played.
#[derive(Clone, Debug, Default)]
pub struct Played {
    /// Records that the kernel sent, as far as they were played.
    pub events: u64,
    /// Events that are missing, as far as it can be known.
    pub lost: u64,
    /// Whether nothing is missing.
    pub complete: bool,
    /// What is wrong with which file.
    pub damage: Vec<(String, Damage)>,
}

impl Played {
    /// This was played too.
    fn add(&mut self, track: Track) {
        let Self { events, lost, complete, damage } = self;
        *events = events.saturating_add(track.lane.events().saturating_sub(track.events_before));
        *lost = lost.saturating_add(track.missing.events);
        *complete &= track.missing.gaps == 0 && track.damage.is_empty();
        damage.extend(track.damage);
    }
}

/// Recordings, ready to be played.
pub struct Player {
    tracks: Vec<Track>,
}

/// A recording: its segments, and its lane.
struct Track {
    facts: Facts,
    /// What the recorder was asked for; none: everything.
    filter: Option<Filter>,
    current: Recording,
    later: VecDeque<Recording>,
    lane: Lane,
    damage: Vec<(String, Damage)>,
    /// Whether its beginning is not there.
    begins_late: bool,
    /// Whether a step or a state was taken.
    begun: bool,
    /// Milestones before are in earlier segments: they were shown with those.
    shown_from: Option<Time>,
    missing: Missing,
    /// Bytes of segments that were played.
    passed: u64,
    /// Records that the kernel had sent before the part that is played.
    events_before: u64,
    gaps: u64,
    /// Events after the end of the part that is played.
    beyond: Vec<Step>,
    /// What was known at the end of the part.
    stopped: Option<Lane>,
    open_only: bool,
    /// The run is over; something may come behind it.
    over: bool,
    /// There may be something to tell.
    due: bool,
    /// Nothing more is read.
    ended: bool,
    /// All was told.
    told: bool,
    /// Read, but not yet taken.
    held: Option<Event>,
    /// Nothing more is taken.
    played_out: bool,
}

impl Player {
    /// Opens files. Segments of one recording are played as one, in their order.
    ///
    /// # Errors
    /// If one can't be read, or its filter is none that this version knows.
    pub fn open(inputs: Vec<Input>, filter_of: impl Fn(&Facts) -> Option<Filter>) -> Result<Self, Problem> {
        Self::of(inputs.into_iter().map(Recording::open).collect::<Result<_, _>>()?, filter_of)
    }

    /// As above: of recordings that are open.
    ///
    /// # Errors
    /// If the filter of one is none that this version knows.
    pub fn of(opened: Vec<Recording>, filter_of: impl Fn(&Facts) -> Option<Filter>) -> Result<Self, Problem> {
        let mut recordings: BTreeMap<(u64, u64), BTreeMap<u32, Recording>> = BTreeMap::new();
        let mut order = Vec::new();
        for recording in opened {
            let (id, segment) = recording.segment();
            let place = order.iter().position(|&known| known == id).unwrap_or_else(|| {
                order.push(id);
                order.len() - 1
            });
            // One that was given twice is played once.
            recordings.entry((place as u64, id)).or_default().entry(segment).or_insert(recording);
        }
        let several = recordings.len() > 1;
        let mut tracks = Vec::new();
        for (number, segments) in (1..).zip(recordings.into_values()) {
            let mut later: VecDeque<Recording> = segments.into_values().collect();
            let Some(current) = later.pop_front() else { continue };
            let facts = current.facts().clone();
            let Some(filter) = filter_of(&facts) else {
                return Err(Problem::Newer { name: current.name().to_owned(), what: "its filter".into() });
            };
            let scene = facts.scene(if several { format!("{number}.") } else { String::new() });
            tracks.push(Track {
                begins_late: current.segment().1 > 1,
                filter: Some(filter).filter(|filter| !filter.is_empty()),
                later,
                lane: Lane::new(scene),
                facts,
                current,
                damage: Vec::new(),
                begun: false,
                shown_from: None,
                missing: Missing::default(),
                passed: 0,
                events_before: 0,
                gaps: 0,
                beyond: Vec::new(),
                stopped: None,
                open_only: false,
                over: false,
                due: false,
                ended: false,
                told: false,
                held: None,
                played_out: false,
            });
        }
        Ok(Self { tracks })
    }

    /// What the recordings could see.
    pub fn starts(&self) -> impl Iterator<Item = &Start> {
        self.tracks.iter().map(|track| &track.facts.start)
    }

    /// How many bytes there are to read; none if that can't be known.
    #[must_use]
    pub fn length(&self) -> Option<u64> {
        self.tracks
            .iter()
            .map(|track| track.later.iter().try_fold(track.current.length()?, |sum, next| Some(sum + next.length()?)))
            .sum()
    }

    /// When the first of them began.
    #[must_use]
    pub fn began(&self) -> Option<Timestamp> {
        let began = self.tracks.iter().map(|track| track.wall(track.facts.began)).min()?;
        Timestamp::from_nanosecond(began).ok()
    }

    /// Plays it. How many bytes were read is told to `pause` now and then; it may stop everything by returning false.
    ///
    /// # Errors
    /// If a file can't be read, or the sink fails.
    pub fn play(
        mut self,
        play: &Play,
        sink: &mut dyn Sink,
        pause: &mut dyn FnMut(&mut dyn Sink, u64) -> io::Result<bool>,
    ) -> Result<Played, PlayError> {
        let mut pace = play.speed.map(Pace::new);
        let mut last = Instant::now();
        for track in &mut self.tracks {
            track.seek(play)?;
            if !sink.wants_signals() {
                track.lane.leave_out_signals();
            }
            if !sink.looks_at_lives() {
                track.lane.let_lives_rest();
            }
        }
        loop {
            let next = self.next(play, sink)?;
            let position = || self.tracks.iter().map(|track| track.passed + track.current.position()).sum();
            if let (Some(pace), Next::Told { wall, .. }) = (&mut pace, next) {
                let mut goes_on = pause(sink, position())?;
                while goes_on && pace.is_early(wall) {
                    goes_on = pause(sink, position())?;
                }
                if !goes_on {
                    break;
                }
            } else if last.elapsed() > PAUSE {
                last = Instant::now();
                if !pause(sink, position())? {
                    break;
                }
            }
            match next {
                Next::Told { place, .. } => {
                    let alone = self.tracks.len() == 1;
                    self.tracks[place].tell(play, alone, sink)?;
                    if sink.is_done() {
                        break;
                    }
                }
                Next::Later => {}
                Next::Nothing => break,
            }
        }
        let mut played = Played { complete: true, ..Played::default() };
        for mut track in self.tracks {
            track.finish(play, sink)?;
            played.add(track);
        }
        Ok(played)
    }

    /// What is told next: the earliest of what the tracks have to tell, by the wall clock.
    fn next(&mut self, play: &Play, sink: &mut dyn Sink) -> Result<Next, PlayError> {
        let mut first = Next::Nothing;
        for (place, track) in self.tracks.iter_mut().enumerate() {
            match (track.next(play, sink)?, first) {
                (Next::Later, _) => return Ok(Next::Later),
                (Next::Told { wall, .. }, Next::Told { wall: earliest, .. }) if wall >= earliest => {}
                (Next::Told { wall, .. }, _) => first = Next::Told { place, wall },
                (Next::Nothing, _) => {}
            }
        }
        Ok(first)
    }
}

/// What comes next.
#[derive(Clone, Copy)]
enum Next {
    /// This track has something to tell, of this time by the wall clock.
    Told { place: usize, wall: i128 },
    /// That is not known yet: there is more to read.
    Later,
    /// No more.
    Nothing,
}

/// What is next in the files.
#[expect(clippy::large_enum_variant, reason = "each is taken apart at once")]
enum Found {
    Step(Step),
    /// None for now.
    Nothing,
    /// No more.
    End,
}

impl Track {
    /// The wall clock.
    fn wall(&self, time: Time) -> i128 {
        self.lane.scene().clock.nanoseconds(time)
    }

    /// Goes to where it is of use to begin.
    fn seek(&mut self, play: &Play) -> Result<(), PlayError> {
        let Some(since) = play.since else { return Ok(()) };
        let time = since.as_nanosecond() - i128::from(self.facts.offset);
        let time = Time::try_from(time.max(0)).unwrap_or(Time::MAX);
        for place in (0..self.later.len()).rev() {
            if self.later[place].seek(time)? {
                self.current = self.later.drain(..=place).next_back().expect("it is there");
                return Ok(());
            }
        }
        self.current.seek(time)?;
        Ok(())
    }

    /// What it tells next. Reads on for a while until there is something.
    fn next(&mut self, play: &Play, sink: &mut dyn Sink) -> Result<Next, PlayError> {
        // Only where the live run told what it knew, too: so the same is told in the same order.
        if !self.ended && !self.due {
            self.due = self.read(play, sink)?;
        }
        let told = |wall| Next::Told { place: 0, wall };
        if !self.ended && !self.due {
            return Ok(Next::Later);
        }
        Ok(match self.lane.next_time() {
            Some(time) => told(self.wall(time)),
            None if !self.ended => {
                self.due = false;
                Next::Later
            }
            None if self.told => Next::Nothing,
            // What is still open is told now.
            None => told(self.wall(self.lane.settled())),
        })
    }

    /// Reads on to where something is settled, or the end, or for a while. Returns whether there may be something to tell.
    fn read(&mut self, play: &Play, sink: &mut dyn Sink) -> Result<bool, PlayError> {
        self.check_weight()?;
        for _ in 0..LONGEST_TURN {
            let step = match self.find(play, sink)? {
                Found::Step(step) => step,
                Found::Nothing => return Ok(false),
                Found::End => {
                    self.told_to_stop(play, sink)?;
                    self.end();
                    return Ok(true);
                }
            };
            match &step {
                Step::Event(event) if self.stopped.is_none() && self.is_after(event.time, play) => {
                    // What comes out of order may still belong before.
                    if self.beyond.len() < MOST_BEYOND {
                        self.beyond.push(step);
                        continue;
                    }
                    self.stop();
                }
                Step::Settled { now, events } => {
                    if self.stopped.is_none() && self.is_after(*now, play) {
                        self.stop();
                    }
                    if self.is_after(now.saturating_sub(EXPLAINED), play) {
                        self.lane.take(step);
                        self.told_to_stop(play, sink)?;
                        self.end();
                        return Ok(true);
                    }
                    self.note_before(*now, *events, play);
                }
                _ => {}
            }
            if self.lane.take(step) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The next step of the files. What is known behind a gap is taken on the way.
    fn find(&mut self, play: &Play, sink: &mut dyn Sink) -> Result<Found, PlayError> {
        loop {
            match self.current.next()? {
                // What does not belong behind the end is found all the same.
                Some(Item::Step(Step::End)) => self.over = true,
                Some(Item::Step(step)) if !self.over => {
                    self.begun = true;
                    return Ok(Found::Step(step));
                }
                Some(Item::Step(_)) => {}
                Some(Item::Nothing) => return Ok(Found::Nothing),
                Some(Item::Gap) => {
                    self.gaps += 1;
                    self.lane.number_from(self.gaps.saturating_mul(BEHIND_A_GAP));
                }
                None if self.next_segment() => return Ok(Found::Nothing),
                None => return Ok(Found::End),
                Some(Item::State(engine)) => {
                    let Self { lane, filter, missing, .. } = self;
                    if self.begins_late && !self.begun {
                        self.shown_from = Some(self.current.time());
                    }
                    let shown_from = self.shown_from;
                    lane.resume(
                        *engine,
                        &mut Asked { filter: filter.as_ref(), play, shown_from, open_only: false, missing, sink },
                    )?;
                    self.begun = true;
                }
            }
        }
    }

    fn check_weight(&self) -> Result<(), PlayError> {
        if self.lane.weight() > MOST_MEMORY {
            return Err(PlayError::TooMuch { name: self.current.name().to_owned() });
        }
        Ok(())
    }

    /// Notes how many records there were before the part that is played.
    fn note_before(&mut self, now: Time, events: u64, play: &Play) {
        let early = play.since.is_some_and(|since| self.wall(now) < since.as_nanosecond());
        if early || self.begins_late && self.lane.events() == 0 {
            self.events_before = events;
        }
    }

    /// Comes to the end of the part that is played: what is open now is what is told to be open.
    fn stop(&mut self) {
        self.stopped = Some(self.lane.copy());
        for step in std::mem::take(&mut self.beyond) {
            self.lane.take(step);
        }
    }

    /// Tells what happened up to there, as what came after explains it, and goes back.
    fn told_to_stop(&mut self, play: &Play, sink: &mut dyn Sink) -> Result<(), PlayError> {
        if let Some(stopped) = self.stopped.take() {
            self.lane.take(Step::Settled { now: Time::MAX, events: self.lane.events() });
            self.tell(play, true, sink)?;
            self.lane = stopped;
            self.open_only = true;
        }
        Ok(())
    }

    fn is_after(&self, time: Time, play: &Play) -> bool {
        play.until.is_some_and(|until| self.wall(time) > until.as_nanosecond())
    }

    /// Goes on with the next segment, if there is one.
    fn next_segment(&mut self) -> bool {
        let Some(mut next) = self.later.pop_front() else { return false };
        next.follows(&self.current);
        self.passed += self.current.position();
        self.note();
        self.current = next;
        true
    }

    /// Notes what is wrong with the file that was read, as far as it was.
    fn note(&mut self) {
        let damage = self.current.damage();
        if !damage.is_none() {
            self.damage.push((self.current.name().to_owned(), damage));
        }
    }

    fn end(&mut self) {
        if !self.ended {
            self.ended = true;
            self.lane.take(Step::End);
            self.note();
        }
    }

    /// Tells what comes next; if nobody else has something to tell, all that is settled.
    fn tell(&mut self, play: &Play, all: bool, sink: &mut dyn Sink) -> Result<(), PlayError> {
        let Self { lane, filter, shown_from, missing, open_only, .. } = self;
        let filter = filter.as_ref();
        let mut asked = Asked { filter, play, shown_from: *shown_from, open_only: *open_only, missing, sink };
        if all || lane.next_time().is_none() {
            self.told |= self.ended;
            lane.tell(&mut asked)?;
        } else {
            lane.tell_next(&mut asked)?;
        }
        Ok(())
    }

    /// Ends it, here or there.
    fn finish(&mut self, play: &Play, sink: &mut dyn Sink) -> Result<(), PlayError> {
        if !self.ended {
            self.told_to_stop(play, sink)?;
        }
        self.end();
        if self.told { Ok(()) } else { self.tell(play, true, sink) }
    }
}
