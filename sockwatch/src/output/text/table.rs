//! Columns that grow with what they must hold, so that lines stay aligned from then on.

use std::{
    borrow::Cow,
    fmt::Write as _,
    io::{self, Write},
};

use anstyle::Style;

/// Between two columns.
const GAP: usize = 2;

/// Between two parts of the last column.
pub(super) const SEPARATOR: &str = " · ";

/// Least room that the last column needs to be folded into; in less the terminal wraps better.
const LEAST_ROOM: usize = 24;

/// A column.
#[derive(Debug)]
pub(super) struct Column {
    title: &'static str,
    width: usize,
    /// It grows up to this; longer cells stand out, and leave it as it is.
    most: usize,
    right: bool,
}

impl Column {
    /// A column at least this wide.
    pub(super) fn new(title: &'static str, width: usize) -> Self {
        Self { title, width: width.max(title.len()), most: usize::MAX, right: false }
    }

    pub(super) fn at_most(self, most: usize) -> Self {
        Self { most, ..self }
    }

    pub(super) fn right(self) -> Self {
        Self { right: true, ..self }
    }
}

/// What stands in a column.
#[derive(Debug)]
pub(super) struct Cell<'a> {
    pub(super) text: Cow<'a, str>,
    pub(super) style: Style,
}

impl<'a> Cell<'a> {
    pub(super) fn new(text: impl Into<Cow<'a, str>>) -> Self {
        Self { text: text.into(), style: Style::new() }
    }

    pub(super) fn style(self, style: Style) -> Self {
        Self { style, ..self }
    }
}

/// Rows of cells. The last column is not padded; with a terminal's width it is folded.
#[derive(Debug)]
pub(super) struct Table {
    columns: Vec<Column>,
    color: bool,
    room: Option<usize>,
    /// The line being written: it reaches the output whole.
    line: String,
}

impl Table {
    pub(super) fn new(columns: Vec<Column>, color: bool, room: Option<u16>) -> Self {
        Self { columns, color, room: room.map(usize::from), line: String::new() }
    }

    /// Writes the titles; the first column's is given.
    pub(super) fn titles(&mut self, out: &mut dyn Write, first: &str) -> io::Result<()> {
        let titles: Vec<&'static str> = self.columns.iter().map(|column| column.title).collect();
        let bold = Style::new().bold();
        let cells: Vec<Cell<'_>> = titles
            .iter()
            .enumerate()
            .map(|(at, title)| Cell::new(if at == 0 { first } else { title }).style(bold))
            .collect();
        self.row(out, &cells)
    }

    /// Writes a line of its own.
    pub(super) fn remark(&mut self, out: &mut dyn Write, text: &str, style: Style) -> io::Result<()> {
        self.line.clear();
        self.put(text, style);
        self.line.push('\n');
        out.write_all(self.line.as_bytes())
    }

    /// Writes one row.
    pub(super) fn row(&mut self, out: &mut dyn Write, cells: &[Cell<'_>]) -> io::Result<()> {
        self.line.clear();
        let mut indent = 0;
        let last = cells.len() - 1;
        // Blanks are written when something follows them: no line ends with any.
        let mut blanks = 0;
        for (at, cell) in cells[..last].iter().enumerate() {
            let column = &mut self.columns[at];
            let length = cell.text.chars().count();
            column.width = column.width.max(length.min(column.most));
            let padding = column.width.saturating_sub(length);
            indent += length + padding + GAP;
            let (before, after) = if column.right { (padding, 0) } else { (0, padding) };
            self.blank(blanks + before);
            self.put(&cell.text, cell.style);
            blanks = after + GAP;
        }
        let detail = &cells[last];
        let room = self.room.and_then(|room| room.checked_sub(indent)).filter(|&room| room >= LEAST_ROOM);
        for (number, part) in fold(&detail.text, room).enumerate() {
            if number > 0 {
                self.line.push('\n');
                blanks = indent;
            }
            self.blank(blanks);
            self.put(part, detail.style);
        }
        self.line.push('\n');
        out.write_all(self.line.as_bytes())
    }

    fn blank(&mut self, count: usize) {
        self.line.extend(std::iter::repeat_n(' ', count));
    }

    fn put(&mut self, text: &str, style: Style) {
        if self.color && style != Style::new() {
            let _ = write!(self.line, "{style}{text}{style:#}");
        } else {
            self.line.push_str(text);
        }
    }
}

/// Splits at separators what has not room on one line. Nothing of nothing.
fn fold(text: &str, room: Option<usize>) -> impl Iterator<Item = &str> {
    let room = room.unwrap_or(usize::MAX);
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        if rest.chars().count() <= room {
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
