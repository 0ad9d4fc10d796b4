//! Times as RFC 3339, UTC, nine digits.

use std::{cell::Cell, fmt};

use jiff::Timestamp;
use serde::{Serialize, Serializer};

use super::parts::Id;
use crate::{digits::Digits, event::Time, output::Scene};

const SECOND: u64 = 1_000_000_000;
const DAY: u64 = 86_400 * SECOND;

/// The date of the last time written. Most lines are of the same day as the line before.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Today {
    /// Days since 1970.
    day: u64,
    date: [u8; 10],
}

impl Default for Today {
    fn default() -> Self {
        Self { day: 0, date: *b"1970-01-01" }
    }
}

/// The wall clock.
#[derive(Clone, Copy)]
pub(crate) struct Wall<'a> {
    pub(crate) scene: &'a Scene,
    pub(crate) today: &'a Cell<Today>,
}

impl<'a> Wall<'a> {
    pub(crate) fn at(self, time: Time) -> Stamp<'a> {
        Stamp { wall: self, time }
    }

    pub(super) fn id(self, number: u64) -> Id<'a> {
        Id { scene: self.scene, number }
    }

    fn date(self, day: u64) -> [u8; 10] {
        let Today { day: cached, date } = self.today.get();
        if cached == day {
            return date;
        }
        let midnight = i64::try_from(day * 86_400).ok().and_then(|second| Timestamp::from_second(second).ok());
        let mut date = [0; 10];
        date.copy_from_slice(&midnight.unwrap_or_default().to_string().as_bytes()[..10]);
        self.today.set(Today { day, date });
        date
    }
}

/// One time.
pub(crate) struct Stamp<'a> {
    wall: Wall<'a>,
    time: Time,
}

impl Stamp<'_> {
    /// As text; none of a time before 1970 or after 2554.
    fn text(&self) -> Option<Digits> {
        let wall = u64::try_from(self.wall.scene.clock.nanoseconds(self.time)).ok()?;
        let date = self.wall.date(wall / DAY);
        let second = wall % DAY / SECOND;
        let text = Digits::new().text(str::from_utf8(&date).unwrap_or_default()).text("T").padded(second / 3600, 2);
        let text = text.text(":").padded(second / 60 % 60, 2).text(":").padded(second % 60, 2);
        Some(text.text(".").padded(wall % SECOND, 9).text("Z"))
    }
}

impl fmt::Display for Stamp<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.text() {
            Some(text) => f.write_str(text.as_str()),
            None => write!(f, "{:.9}", self.wall.scene.clock.wall(self.time)),
        }
    }
}

impl Serialize for Stamp<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.text() {
            Some(text) => serializer.serialize_str(text.as_str()),
            None => serializer.collect_str(self),
        }
    }
}
