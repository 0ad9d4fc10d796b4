//! Recordings under the control of whoever looks at them: played as far as is wanted, event by event, and back again.
//!
//! What is known at a position follows from the events up to there alone, in whatever way it was reached: an event is taken when
//! its time has come, and what is settled is told before each event. To go back is to go on from a copy that was kept on
//! the way.

use std::time::Instant;

use super::{Play, PlayError, Played, Player, Track, ahead::Ahead};
use crate::{
    event::Time,
    lane::Lane,
    lifecycle::Life,
    output::{Sink, Start},
};

/// A moment of several recordings: nanoseconds since 1970, by what the wall clock of each was when it began.
pub type Position = i128;

/// Who watches one run. A copy is kept with every copy of the run.
pub trait Watch: Sink + Clone {
    /// Whether it shows this socket.
    fn watches(&self, life: &Life) -> bool;
}

/// What a watcher saw happen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Seen {
    /// In which run.
    pub run: usize,
    /// Number of the life.
    pub life: u64,
    /// The call, the new state, or what else it was.
    pub what: &'static str,
}

/// Events between two copies that are kept, at first: to go back takes a tenth of a second.
const APART: u64 = 1 << 16;

/// Most copies that are kept; and most bytes in them, about. Of more, every second goes.
const MOST_KEPT: usize = 48;
const MOST_BYTES: usize = 256 << 20;

/// What a copy takes beside what its lane holds, about: a block, and what names its processes.
const COPY: usize = 512 << 10;

/// How many events are taken before the time is looked at.
const TURN: usize = 256;

/// See the module's documentation.
pub struct Tape<W> {
    play: Play,
    reels: Vec<Reel<W>>,
    at: Position,
    start: Position,
    /// Where it ends; none if that is not known before it is there.
    end: Option<Position>,
    over: bool,
    /// The event that it was stopped at.
    seen: Option<Seen>,
    /// In order.
    kept: Vec<Kept<W>>,
    /// Events since the last copy, and how many there are to be until the next.
    since_kept: u64,
    apart: u64,
}

/// A run, and who watches it.
struct Reel<W> {
    track: Track,
    watcher: W,
}

/// A state that can be gone back to.
struct Kept<W> {
    at: Position,
    reels: Vec<Reel<W>>,
}

impl<W: Watch> Reel<W> {
    fn copy(&self) -> Option<Self> {
        Some(Self { track: self.track.copy()?, watcher: self.watcher.clone() })
    }
}

impl<W: Watch> Tape<W> {
    /// At the beginning of what is to be played: where the sockets are known that existed then. `watcher_of`: who watches a run
    /// that begins at this time.
    ///
    /// # Errors
    /// If a file can't be read.
    pub fn new(player: Player, play: Play, mut watcher_of: impl FnMut(Time) -> W) -> Result<Self, PlayError> {
        let mut reels = Vec::new();
        let mut end = Some(Position::MIN);
        for mut track in player.tracks {
            // Before it begins to read in the midst of it.
            let latest = track.later.back().unwrap_or(&track.current).latest();
            end = end.zip(latest).map(|(end, latest)| end.max(track.position(latest)));
            track.seek(&play)?;
            let since = play.since.map_or(Position::MIN, jiff::Timestamp::as_nanosecond);
            let watcher = watcher_of(track.time_at(track.position(track.facts.began).max(since)));
            if !watcher.wants_signals() {
                track.lane.leave_out_signals();
            }
            reels.push(Reel { track, watcher });
        }
        let mut starts = Vec::new();
        for Reel { track, watcher } in &reels {
            starts.push(track.beginning(&play, watcher.clone())?);
        }
        let [since, until] = [play.since, play.until].map(|when| when.map(jiff::Timestamp::as_nanosecond));
        let start = starts.into_iter().min().into_iter().chain(since).max().unwrap_or_default();
        let end = end.into_iter().chain(until).min().map(|end| end.max(start));
        let mut tape = Self {
            play,
            reels,
            at: start,
            start,
            end,
            over: false,
            seen: None,
            kept: Vec::new(),
            since_kept: 0,
            apart: APART,
        };
        // Later, if it begins in the midst of something.
        tape.keep();
        Ok(tape)
    }

    /// Keeps copies this close together.
    #[cfg(test)]
    pub(crate) fn keep_every(self, events: u64) -> Self {
        Self { apart: events, ..self }
    }

    /// How many copies are kept.
    #[cfg(test)]
    pub(crate) fn kept(&self) -> usize {
        self.kept.len()
    }

    /// Where it is.
    #[must_use]
    pub fn at(&self) -> Position {
        self.at
    }

    /// Where it begins.
    #[must_use]
    pub fn start(&self) -> Position {
        self.start
    }

    /// Where it ends, if that is known.
    #[must_use]
    pub fn end(&self) -> Option<Position> {
        self.end
    }

    /// Whether it is at its end.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.over
    }

    /// The event that it was stopped at, if it was by one.
    #[must_use]
    pub fn seen(&self) -> Option<Seen> {
        self.seen
    }

    /// How many runs there are.
    #[must_use]
    pub fn runs(&self) -> usize {
        self.reels.len()
    }

    /// A run as it is here, what it could see, the time that it is there, and who watches it.
    #[must_use]
    pub fn run(&self, nth: usize) -> Option<(&Lane, &Start, Time, &W)> {
        let Reel { track, watcher } = self.reels.get(nth)?;
        Some((&track.lane, &track.facts.start, track.time_at(self.at), watcher))
    }

    /// Goes to where there is less to be played to come to a position; false if it can't go back that far.
    pub fn seek(&mut self, to: Position) -> bool {
        self.seen = None;
        let to = to.max(self.start);
        // The first may be a little behind the beginning.
        let nearest = self.kept.partition_point(|kept| kept.at <= to).saturating_sub(1);
        let Some(kept) = self.kept.get(nearest) else { return to >= self.at };
        if to >= self.at && kept.at <= self.at {
            return true;
        }
        let Some(reels) = kept.reels.iter().map(Reel::copy).collect() else { return false };
        (self.reels, self.at, self.over, self.since_kept) = (reels, kept.at, false, 0);
        true
    }

    /// Plays on to a position, or the end. Returns whether it is there; false if it took longer than until then.
    ///
    /// # Errors
    /// If a file can't be read.
    pub fn play_to(&mut self, to: Position, until: Instant) -> Result<bool, PlayError> {
        self.seen = None;
        loop {
            for _ in 0..TURN {
                match self.ahead()? {
                    (_, Ahead::Later) => break,
                    (place, Ahead::Event(position)) if position <= to => {
                        self.take(place);
                        self.at = self.at.max(position);
                        self.kept_in_time();
                        if self.over {
                            return Ok(true);
                        }
                    }
                    (_, Ahead::Event(_)) => {
                        self.at = self.at.max(to);
                        return Ok(true);
                    }
                    (_, Ahead::Nothing) => {
                        let end = self.end.unwrap_or(self.at).max(self.at);
                        self.at = to.clamp(self.at, end);
                        self.over = self.at == end;
                        return Ok(true);
                    }
                }
            }
            if Instant::now() >= until {
                return Ok(false);
            }
        }
    }

    /// Plays on to the next event that a watcher sees, or the end. Returns as above.
    ///
    /// # Errors
    /// If a file can't be read.
    pub fn play_event(&mut self, until: Instant) -> Result<bool, PlayError> {
        self.seen = None;
        loop {
            for _ in 0..TURN {
                match self.ahead()? {
                    (_, Ahead::Later) => break,
                    (place, Ahead::Event(position)) => {
                        let seen = self.take(place);
                        self.at = self.at.max(position);
                        self.kept_in_time();
                        self.seen = seen;
                        if seen.is_some() || self.over {
                            return Ok(true);
                        }
                    }
                    (_, Ahead::Nothing) => {
                        self.at = self.end.unwrap_or(self.at).max(self.at);
                        self.over = true;
                        return Ok(true);
                    }
                }
            }
            if Instant::now() >= until {
                return Ok(false);
            }
        }
    }

    /// The earliest of what comes next, and where that is.
    fn ahead(&mut self) -> Result<(usize, Ahead), PlayError> {
        let mut first = (0, Ahead::Nothing);
        for (place, Reel { track, watcher }) in self.reels.iter_mut().enumerate() {
            match (track.ahead(&self.play, watcher)?, &first.1) {
                (Ahead::Later, _) => return Ok((place, Ahead::Later)),
                (Ahead::Event(position), Ahead::Event(earliest)) if position >= *earliest => {}
                (Ahead::Event(position), _) => first = (place, Ahead::Event(position)),
                (Ahead::Nothing, _) => {}
            }
        }
        Ok(first)
    }

    /// Takes the event that comes next there. Returns it if its watcher sees it.
    fn take(&mut self, place: usize) -> Option<Seen> {
        let Reel { track, watcher } = &mut self.reels[place];
        let event = track.held.take()?;
        let seen = track.take_seen(event, watcher);
        self.since_kept += 1;
        self.over = watcher.is_done();
        seen.map(|(life, what)| Seen { run: place, life, what })
    }

    /// Keeps a copy if it is time for one.
    fn kept_in_time(&mut self) {
        if self.since_kept >= self.apart || self.kept.is_empty() {
            self.keep();
        }
    }

    /// Keeps a copy of what is known here, if that can be, and there is none from here on.
    fn keep(&mut self) {
        if self.kept.last().is_some_and(|last| last.at >= self.at) {
            return;
        }
        let Some(reels) = self.reels.iter().map(Reel::copy).collect() else { return };
        self.kept.push(Kept { at: self.at, reels });
        self.since_kept = 0;
        let weight = |kept: &Kept<W>| kept.reels.iter().map(|reel| reel.track.lane.weight() + COPY).sum::<usize>();
        while self.kept.len() > MOST_KEPT
            || self.kept.len() > 2 && self.kept.iter().map(weight).sum::<usize>() > MOST_BYTES
        {
            let mut nth = 0;
            self.kept.retain(|_| {
                nth += 1;
                nth % 2 == 1
            });
            self.apart *= 2;
        }
    }

    /// Ends it here: tells what is still open. Returns what was played, and who watched.
    ///
    /// # Errors
    /// If a watcher fails.
    pub fn finish(self) -> Result<(Played, Vec<W>), PlayError> {
        let Self { play, reels, .. } = self;
        let mut played = Played { complete: true, ..Played::default() };
        let mut watchers = Vec::new();
        for Reel { mut track, mut watcher } in reels {
            track.finish(&play, &mut watcher)?;
            played.add(track);
            watchers.push(watcher);
        }
        Ok((played, watchers))
    }
}
