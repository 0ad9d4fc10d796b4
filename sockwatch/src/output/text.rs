//! Text for people at a terminal: a line for each thing that happened, in columns.
//!
//! `?` is what is not known, `-` what does not exist. PROCESS is who did it; in parentheses, what the kernel did by itself
//! to a socket of that process.

mod closed;
mod path;
mod table;
#[cfg(test)]
mod tests;
mod words;

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};
use jiff::{civil, tz::TimeZone};

use self::{
    table::{Cell, Column, Table},
    words::counted,
};
use super::{Format, Occurrence, Start, Summary, View};
use crate::{
    clock::Clock,
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

    fn wall(&self, clock: &Clock, time: Time) -> civil::DateTime {
        self.zone.to_datetime(clock.wall(time))
    }

    /// Writes a row; above the first one, and when another day begins, the titles.
    fn row(&mut self, out: &mut dyn Write, when: Option<civil::DateTime>, cells: &[Cell<'_>]) -> io::Result<()> {
        let date = when.map(civil::DateTime::date);
        if self.titled.is_none_or(|titled| date.is_some() && titled != date) {
            let first = date.map_or_else(|| "TIME".into(), |date| format!("TIME {date}"));
            self.table.titles(out, &first)?;
            self.titled = Some(date);
        }
        self.table.row(out, cells)
    }
}

impl Format for Text {
    fn start(&mut self, _: &mut dyn Write, _: &Start) -> io::Result<()> {
        Ok(())
    }

    fn event(&mut self, out: &mut dyn Write, clock: &Clock, life: &Life, what: Occurrence<'_>) -> io::Result<()> {
        match what {
            Occurrence::Milestone(milestone) => self.milestone(out, clock, life, milestone),
            Occurrence::Signal(signal) => self.signal(out, clock, life, signal),
        }
    }

    fn socket(&mut self, out: &mut dyn Write, clock: &Clock, life: &Life) -> io::Result<()> {
        match self.view {
            View::Path | View::States => self.rest(out, clock, life),
            View::Closed => self.whole(out, clock, life),
        }
    }

    fn lost(&mut self, out: &mut dyn Write, clock: &Clock, count: u64, since: u64, until: u64) -> io::Result<()> {
        let [since, until] = [since, until].map(|time| time_of_day(self.wall(clock, time)));
        let lost = counted(count, "event");
        let text = format!("— {lost} lost between {since} and {until}: sockets of this time may be incomplete —");
        self.table.remark(out, &text, WARNING)
    }

    fn summary(&mut self, _: &mut dyn Write, _: &Summary) -> io::Result<()> {
        Ok(())
    }
}

/// Microseconds: within a millisecond much can happen.
fn time_of_day(when: civil::DateTime) -> String {
    let (hour, minute, second, micro) = (when.hour(), when.minute(), when.second(), when.subsec_nanosecond() / 1000);
    format!("{hour:02}:{minute:02}:{second:02}.{micro:06}")
}

fn socket_cell(life: &Life) -> Cell<'static> {
    Cell::new(words::id(Some(life.number))).style(Style::new().bold())
}

fn owner_cell(owner: Option<&Actor>) -> Cell<'static> {
    owner
        .map_or_else(|| Cell::new("-"), |owner| Cell::new(format!("({})", words::process(&owner.process))).style(QUIET))
}

/// Who holds it, where that says more than its owner.
fn holders(life: &Life) -> Option<String> {
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
