//! CSV as RFC 4180 has it, except that lines end in a line feed alone, as tools on this side of the world expect.
//!
//! A value that is not known is an empty field; an empty text is `""`. Times are RFC 3339, UTC. Names are escaped as in
//! text, so that each row is one line. A name that a spreadsheet would take for a formula has an apostrophe before it:
//! whoever may start a process may choose its name.

use std::{
    cell::Cell,
    fmt::Write as _,
    io::{self, Write},
    marker::PhantomData,
};

use super::column::{Column, Table, Value};
use crate::{
    event::Time,
    lifecycle::Life,
    output::{
        Format, Occurrence, Scene, Start, Summary,
        json::stamp::{LastSecond, Wall},
    },
};

/// A table as CSV. See the module's documentation.
pub(super) struct Csv<T> {
    /// The line being written: it reaches the output whole.
    line: String,
    last_second: Cell<LastSecond>,
    titled: bool,
    table: PhantomData<T>,
}

impl<T: Table> Csv<T> {
    pub(super) fn new() -> Self {
        Self { line: String::new(), last_second: Cell::default(), titled: false, table: PhantomData }
    }

    /// The names of the columns, once.
    fn titles(&mut self, out: &mut dyn Write) -> io::Result<()> {
        if std::mem::replace(&mut self.titled, true) {
            return Ok(());
        }
        let names: Vec<&str> = T::COLUMNS.iter().map(|column| column.name).collect();
        writeln!(out, "{}", names.join(","))
    }

    fn row(&mut self, out: &mut dyn Write, scene: &Scene, row: Option<T::Row<'_>>) -> io::Result<()> {
        let Some(row) = row else { return Ok(()) };
        self.titles(out)?;
        let Self { line, last_second, .. } = self;
        let wall = Wall { scene, last: last_second };
        line.clear();
        for (nth, Column { get, .. }) in T::COLUMNS.iter().enumerate() {
            if nth > 0 {
                line.push(',');
            }
            field(line, &get(&row), wall);
        }
        line.push('\n');
        out.write_all(line.as_bytes())
    }
}

/// Adds a field to a line.
fn field(line: &mut String, value: &Value<'_>, wall: Wall<'_>) {
    let start = line.len();
    // A string takes whatever is written to it.
    let _ = match value {
        Value::Null => return,
        Value::Time(time) => write!(line, "{}", wall.at(*time)),
        value => value.write(line),
    };
    if !matches!(value, Value::Name(_) | Value::Container(_)) {
        // Of our own making: words, numbers, addresses.
        return;
    }
    let text = &line[start..];
    let formula = text.starts_with(['=', '+', '-', '@', '＝', '＋', '－', '＠']);
    if formula || text.is_empty() || text.contains(['"', ',']) {
        let mark = if formula { "'" } else { "" };
        let quoted = format!("\"{mark}{}\"", text.replace('"', "\"\""));
        line.replace_range(start.., &quoted);
    }
}

impl<T: Table> Format for Csv<T> {
    fn start(&mut self, out: &mut dyn Write, _: &Start) -> io::Result<()> {
        self.titles(out)
    }

    fn event(&mut self, out: &mut dyn Write, scene: &Scene, life: &Life, what: Occurrence<'_>) -> io::Result<()> {
        self.row(out, scene, T::event(scene, life, what))
    }

    fn socket(&mut self, out: &mut dyn Write, scene: &Scene, life: &Life) -> io::Result<()> {
        self.row(out, scene, T::socket(scene, life))
    }

    fn lost(
        &mut self,
        out: &mut dyn Write,
        scene: &Scene,
        count: Option<u64>,
        since: Time,
        until: Time,
    ) -> io::Result<()> {
        self.row(out, scene, T::lost(scene, count, (since, until)))
    }

    fn summary(&mut self, out: &mut dyn Write, _: &Summary) -> io::Result<()> {
        self.titles(out)
    }
}
