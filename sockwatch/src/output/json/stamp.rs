//! Times as RFC 3339, UTC, nine digits.

use std::cell::Cell;

use jiff::Timestamp;
use serde::{Serialize, Serializer};

use crate::{clock::Clock, event::Time};

const SECOND: u64 = 1_000_000_000;
const DAY: u64 = 86_400 * SECOND;

/// The date of the last time written. Most lines are of the same day as the line before.
#[derive(Clone, Copy, Debug)]
pub(super) struct Today {
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
pub(super) struct Wall<'a> {
    pub(super) clock: &'a Clock,
    pub(super) today: &'a Cell<Today>,
}

impl<'a> Wall<'a> {
    pub(super) fn at(self, time: Time) -> Stamp<'a> {
        Stamp { wall: self, time }
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
pub(super) struct Stamp<'a> {
    wall: Wall<'a>,
    time: Time,
}

impl Serialize for Stamp<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Ok(wall) = u64::try_from(self.wall.clock.offset + i128::from(self.time)) else {
            // Before 1970 or after 2554.
            return serializer.collect_str(&format_args!("{:.9}", self.wall.clock.wall(self.time)));
        };
        let mut text = *b"0000-00-00T00:00:00.000000000Z";
        text[..10].copy_from_slice(&self.wall.date(wall / DAY));
        let second = wall % DAY / SECOND;
        digits(&mut text[11..13], second / 3600);
        digits(&mut text[14..16], second / 60 % 60);
        digits(&mut text[17..19], second % 60);
        digits(&mut text[20..29], wall % SECOND);
        serializer.serialize_str(str::from_utf8(&text).unwrap_or_default())
    }
}

fn digits(places: &mut [u8], mut number: u64) {
    for place in places.iter_mut().rev() {
        *place = b'0' + (number % 10) as u8;
        number /= 10;
    }
}
