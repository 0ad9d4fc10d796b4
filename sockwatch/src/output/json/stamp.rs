//! Times as RFC 3339, UTC, nine digits.

use std::{cell::Cell, fmt};

use jiff::Timestamp;
use serde::{Serialize, Serializer};

use super::parts::Id;
use crate::{digits::Digits, event::Time, output::Scene};

/// Nanoseconds.
const SECOND: u64 = 1_000_000_000;
/// Seconds.
const DAY: u64 = 86_400;

/// The second of the last time written. Most that are written after it are of the same, or of the same day.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LastSecond {
    /// Since 1970.
    second: u64,
    /// As text, with the point behind it.
    text: [u8; 20],
}

impl Default for LastSecond {
    fn default() -> Self {
        Self { second: 0, text: *b"1970-01-01T00:00:00." }
    }
}

/// The wall clock.
#[derive(Clone, Copy)]
pub(crate) struct Wall<'a> {
    pub(crate) scene: &'a Scene,
    pub(crate) last: &'a Cell<LastSecond>,
}

impl<'a> Wall<'a> {
    pub(crate) fn at(self, time: Time) -> Stamp<'a> {
        Stamp { wall: self, time }
    }

    pub(super) fn id(self, number: u64) -> Id<'a> {
        Id { scene: self.scene, number }
    }

    fn second(self, second: u64) -> [u8; 20] {
        let LastSecond { second: last, mut text } = self.last.get();
        if second == last {
            return text;
        }
        if second / DAY != last / DAY {
            let time = i64::try_from(second).ok().and_then(|second| Timestamp::from_second(second).ok());
            text[..10].copy_from_slice(&time.unwrap_or_default().to_string().as_bytes()[..10]);
        }
        let time = Digits::new().padded(second % DAY / 3600, 2).text(":").padded(second / 60 % 60, 2);
        text[11..19].copy_from_slice(time.text(":").padded(second % 60, 2).as_str().as_bytes());
        self.last.set(LastSecond { second, text });
        text
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
        let second = self.wall.second(wall / SECOND);
        let text = Digits::new().text(str::from_utf8(&second).unwrap_or_default());
        Some(text.padded(wall % SECOND, 9).text("Z"))
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
