//! Text for people at a terminal: a line for each thing that happened, in columns.
//!
//! `?` is what is not known, `-` what does not exist. PROCESS is who did it; in parentheses, what the kernel did by itself
//! to a socket of that process.

mod closed;
mod path;
pub(crate) mod table;
#[cfg(test)]
mod tests;
pub(crate) mod words;

use std::{
    fmt::{self, Display},
    io::{self, Write},
};

use anstyle::{AnsiColor, Style};
use jiff::{civil, tz::TimeZone};

use self::{
    table::{Column, Table},
    words::counted,
};
use super::{Format, Occurrence, Scene, Start, Summary, View};
use crate::{
    digits::Digits,
    event::{Actor, Time},
    lifecycle::Life,
};

const BAD: Style = AnsiColor::Red.on_default();
const WARNING: Style = AnsiColor::Yellow.on_default();
const GOOD: Style = AnsiColor::Green.on_default();
const SERVICE: Style = AnsiColor::Cyan.on_default();
const QUIET: Style = Style::new().dimmed();
const PLAIN: Style = Style::new();

/// How text is laid out.
#[derive(Clone, Copy, Debug, Default)]
pub struct TextOptions {
    /// Lines for what happens, or a line for each life.
    pub view: View,
    /// Whether to use colors.
    pub color: bool,
    /// Times in UTC rather than local.
    pub utc: bool,
    /// The terminal's columns, if it is one: details that have no room go on in the next line.
    pub width: Option<u16>,
}

/// See the module's documentation.
#[derive(Debug)]
pub struct Text {
    view: View,
    zone: TimeZone,
    table: Table,
    /// The titles were written, with this date.
    titled: Option<Option<civil::Date>>,
}

impl Text {
    /// Text in the zone of the host, or in UTC.
    #[must_use]
    pub fn new(options: TextOptions) -> Self {
        let TextOptions { view, color, utc, width } = options;
        let zone = if utc { TimeZone::UTC } else { TimeZone::system() };
        let columns = match view {
            View::Path | View::States => path::columns(view),
            View::Closed => closed::columns(),
        };
        Self { view, zone, table: Table::new(columns, color, width), titled: None }
    }

    fn wall(&self, scene: &Scene, time: Time) -> civil::DateTime {
        self.zone.to_datetime(scene.clock.wall(time))
    }

    /// Begins a row; above the first one, and when another day begins, are the titles.
    fn row(&mut self, out: &mut dyn Write, when: Option<civil::DateTime>) -> io::Result<&mut Table> {
        let date = when.map(civil::DateTime::date);
        if self.titled.is_none_or(|titled| date.is_some() && titled != date) {
            let first = date.map_or_else(|| "TIME".into(), |date| format!("TIME {date}"));
            self.table.titles(out, &first)?;
            self.titled = Some(date);
        }
        Ok(&mut self.table)
    }
}

impl Format for Text {
    fn start(&mut self, _: &mut dyn Write, _: &Start) -> io::Result<()> {
        Ok(())
    }

    fn event(&mut self, out: &mut dyn Write, scene: &Scene, life: &Life, what: Occurrence<'_>) -> io::Result<()> {
        match what {
            Occurrence::Milestone(milestone) => self.milestone(out, scene, life, milestone),
            Occurrence::Signal(signal) => self.signal(out, scene, life, signal),
        }
    }

    fn socket(&mut self, out: &mut dyn Write, scene: &Scene, life: &Life) -> io::Result<()> {
        match self.view {
            View::Path | View::States => self.rest(out, scene, life),
            View::Closed => self.whole(out, scene, life),
        }
    }

    fn lost(
        &mut self,
        out: &mut dyn Write,
        scene: &Scene,
        count: Option<u64>,
        since: u64,
        until: u64,
    ) -> io::Result<()> {
        let [since, until] = [since, until].map(|time| time_of_day(self.wall(scene, time)));
        let lost = count.map_or_else(|| "events were".into(), |count| counted(count, "event"));
        let text = format!("— {lost} lost between {since} and {until}: sockets of this time may be incomplete —");
        self.table.remark(out, &text, WARNING)
    }

    fn summary(&mut self, _: &mut dyn Write, _: &Summary) -> io::Result<()> {
        Ok(())
    }
}

/// Microseconds: within a millisecond much can happen.
pub(crate) fn time_of_day(when: civil::DateTime) -> impl Display {
    fmt::from_fn(move |f| {
        let [hour, minute, second] = [when.hour(), when.minute(), when.second()].map(i8::unsigned_abs).map(u64::from);
        let microsecond = u64::from(when.subsec_nanosecond().unsigned_abs() / 1000);
        let text = Digits::new().padded(hour, 2).text(":").padded(minute, 2).text(":").padded(second, 2);
        f.write_str(text.text(".").padded(microsecond, 6).as_str())
    })
}

/// The time at which a socket was destroyed, and the socket.
fn begin(row: &mut Table, scene: &Scene, life: &Life, when: Option<civil::DateTime>) {
    match when {
        Some(when) => row.add(time_of_day(when), PLAIN),
        None if life.vanished => row.add_text("?", PLAIN),
        None => row.add_text("-", PLAIN),
    }
    row.add(scene.id(life.number), Style::new().bold());
}

/// The process that did something; none: the kernel did it by itself, to a socket of its owner.
fn actor(row: &mut Table, actor: Option<&Actor>, owner: Option<&Actor>) {
    match (actor, owner) {
        (Some(actor), _) => row.add(words::process(&actor.process), PLAIN),
        (None, Some(owner)) => row.add(format_args!("({})", words::process(&owner.process)), QUIET),
        (None, None) => row.add_text("-", PLAIN),
    }
}

/// Who holds it, where that says more than its owner.
pub(crate) fn holders(life: &Life) -> Option<String> {
    let holders = life.holders.as_deref()?;
    match holders {
        [] => Some("held by no process".into()),
        [_] if life.owner.is_some() => None,
        _ => {
            let each = holders.iter().map(|holder| format!("{} as fd {}", words::process(&holder.process), holder.fd));
            Some(format!("held by {}", each.collect::<Vec<_>>().join(", ")))
        }
    }
}
