//! Columns that grow with what they must hold, so that lines stay aligned from then on.

use std::{
    fmt::{Display, Write as _},
    io::{self, Write},
};

use anstyle::Style;

/// Between two columns.
const GAP: usize = 2;

/// Between two parts of the last column.
pub(crate) const SEPARATOR: &str = " · ";

/// Least room that the last column needs to be folded into; in less the terminal wraps better.
const LEAST_ROOM: usize = 24;

const BLANKS: &str = "                                                                ";

/// A column.
#[derive(Debug)]
pub(crate) struct Column {
    title: &'static str,
    width: usize,
    /// It grows up to this; longer cells stand out, and leave it as it is.
    most: usize,
    right: bool,
}

impl Column {
    /// A column at least this wide.
    pub(crate) fn new(title: &'static str, width: usize) -> Self {
        Self { title, width: width.max(title.len()), most: usize::MAX, right: false }
    }

    pub(crate) fn at_most(self, most: usize) -> Self {
        Self { most, ..self }
    }

    pub(crate) fn right(self) -> Self {
        Self { right: true, ..self }
    }
}

/// Facts about one thing, side by side.
#[derive(Debug)]
pub(crate) struct Facts<'a> {
    text: &'a mut String,
    start: usize,
}

impl Facts<'_> {
    pub(crate) fn add(&mut self, fact: impl Display) {
        if self.text.len() > self.start {
            self.text.push_str(SEPARATOR);
        }
        let _ = write!(self.text, "{fact}");
    }

    /// As above; none adds nothing.
    pub(crate) fn add_some(&mut self, fact: Option<impl Display>) {
        if let Some(fact) = fact {
            self.add(fact);
        }
    }
}

/// Rows, put together cell by cell. The last column is not padded; with a terminal's width it is folded.
#[derive(Debug)]
pub(crate) struct Table {
    columns: Vec<Column>,
    color: bool,
    room: Option<usize>,
    /// The line being written: it reaches the output whole.
    line: String,
    /// The column that comes next.
    next: usize,
    /// Blanks before it: written when something follows them, so that no line ends with any.
    blanks: usize,
    /// How far to the right it begins.
    indent: usize,
}

impl Table {
    pub(crate) fn new(columns: Vec<Column>, color: bool, room: Option<u16>) -> Self {
        let room = room.map(usize::from);
        Self { columns, color, room, line: String::new(), next: 0, blanks: 0, indent: 0 }
    }

    /// Writes the titles; the first column's is given.
    pub(crate) fn titles(&mut self, out: &mut dyn Write, first: &str) -> io::Result<()> {
        let bold = Style::new().bold();
        self.add_text(first, bold);
        for at in 1..self.columns.len() {
            self.add_text(self.columns[at].title, bold);
        }
        self.end_row(out)
    }

    /// Writes a line of its own.
    pub(crate) fn remark(&mut self, out: &mut dyn Write, text: &str, style: Style) -> io::Result<()> {
        self.put(text, style);
        self.end_row(out)
    }

    /// Adds a cell.
    pub(crate) fn add(&mut self, content: impl Display, style: Style) {
        self.cell(style, |line| {
            let _ = write!(line, "{content}");
        });
    }

    /// Adds a cell of text that is there already.
    pub(crate) fn add_text(&mut self, text: &str, style: Style) {
        self.cell(style, |line| line.push_str(text));
    }

    /// Adds a cell of several facts about one thing.
    pub(crate) fn add_facts(&mut self, style: Style, tell: impl FnOnce(&mut Facts<'_>)) {
        self.cell(style, |text| {
            let start = text.len();
            tell(&mut Facts { text, start });
        });
    }

    /// Writes the row.
    pub(crate) fn end_row(&mut self, out: &mut dyn Write) -> io::Result<()> {
        self.line.push('\n');
        let written = out.write_all(self.line.as_bytes());
        self.line.clear();
        (self.next, self.blanks, self.indent) = (0, 0, 0);
        written
    }

    fn cell(&mut self, style: Style, write: impl FnOnce(&mut String)) {
        let end_before = self.line.len();
        self.blank(self.blanks);
        let start = self.line.len();
        let styled = self.color && style != Style::new();
        if styled {
            let _ = write!(self.line, "{style}");
        }
        let text_start = self.line.len();
        write(&mut self.line);
        let text = &self.line[text_start..];
        let length = if text.is_ascii() { text.len() } else { text.chars().count() };
        let (at, last) = (self.next, self.columns.len() - 1);
        self.next += 1;
        if at == last {
            let room = self.room.and_then(|room| room.checked_sub(self.indent)).filter(|&room| room >= LEAST_ROOM);
            if let Some(room) = room.filter(|&room| length > room) {
                let text = self.line.split_off(text_start);
                self.line.truncate(start);
                self.fold(&text, room, style);
                return;
            }
        }
        let column = &mut self.columns[at];
        let mut padding = 0;
        if at < last {
            column.width = column.width.max(length.min(column.most));
            padding = column.width.saturating_sub(length);
            self.indent += length + padding + GAP;
        }
        if length == 0 {
            self.line.truncate(end_before);
            self.blanks += padding + GAP;
            return;
        }
        if styled {
            let _ = write!(self.line, "{style:#}");
        }
        if column.right {
            self.line.insert_str(start, &BLANKS[..padding.min(BLANKS.len())]);
            padding = 0;
        }
        self.blanks = padding + GAP;
    }

    /// The last column on several lines.
    fn fold(&mut self, text: &str, room: usize, style: Style) {
        for (number, part) in parts(text, room).enumerate() {
            if number > 0 {
                self.line.push('\n');
                self.blank(self.indent);
            }
            self.put(part, style);
        }
    }

    fn blank(&mut self, mut count: usize) {
        while count > 0 {
            let some = count.min(BLANKS.len());
            self.line.push_str(&BLANKS[..some]);
            count -= some;
        }
    }

    fn put(&mut self, text: &str, style: Style) {
        if self.color && style != Style::new() {
            let _ = write!(self.line, "{style}{text}{style:#}");
        } else {
            self.line.push_str(text);
        }
    }
}

/// Splits at separators what has not room on one line.
fn parts(text: &str, room: usize) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        if rest.len() <= room || rest.chars().count() <= room {
            return Some(std::mem::take(&mut rest));
        }
        let breaks = || rest.match_indices(SEPARATOR).map(|(at, _)| at);
        let fits = |&at: &usize| rest[..at].chars().count() <= room;
        let Some(at) = breaks().take_while(fits).last().or_else(|| breaks().next()) else {
            return Some(std::mem::take(&mut rest));
        };
        let part = &rest[..at];
        rest = &rest[at + SEPARATOR.len()..];
        Some(part)
    })
}
