//! The report as text.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};
use jiff::tz::TimeZone;

use super::{
    findings::Findings,
    sections::{self, Cell, Section},
};
use crate::output::text::{
    table::{self, Column, Table},
    words::{Duration, grouped},
};

const BAD: Style = AnsiColor::Red.on_default();
const BOLD: Style = Style::new().bold();
const QUIET: Style = Style::new().dimmed();

/// How wide a bar is, and the graph of the rates, in characters.
const BAR: usize = 40;
const GRAPH: usize = 60;

/// How text is laid out.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Whether to use colors.
    pub color: bool,
    /// Times in UTC rather than local.
    pub utc: bool,
    /// The terminal's columns, if it is one.
    pub width: Option<u16>,
}

impl Options {
    /// The zone of the times.
    #[must_use]
    pub fn zone(&self) -> TimeZone {
        if self.utc { TimeZone::UTC } else { TimeZone::system() }
    }
}

/// Writes it.
///
/// # Errors
/// If it can't be written.
pub fn write(out: &mut dyn Write, findings: &Findings, options: Options) -> io::Result<()> {
    let Options { color, utc: _, width } = options;
    let zone = options.zone();
    let mut head = Table::new(vec![Column::new("", 11), Column::new("", 0)], color, width);
    for (what, said) in sections::head(findings, &zone) {
        let style = if what == "recorded" && !findings.complete { BAD } else { Style::new() };
        said_of(out, &mut head, what, &said, style)?;
    }
    rates(out, &mut head, findings)?;
    let (full, empty): (Vec<Section>, Vec<Section>) =
        sections::sections(findings, &zone).into_iter().partition(|section| !section.rows.is_empty());
    for section in &full {
        write_section(out, &mut head, section, options)?;
    }
    if !empty.is_empty() {
        let titles: Vec<&str> = empty.iter().map(|section| section.title).collect();
        writeln!(out)?;
        head.remark(out, &format!("None: {}", titles.join(table::SEPARATOR)), QUIET)?;
    }
    Ok(())
}

fn said_of(out: &mut dyn Write, head: &mut Table, what: &str, said: &str, style: Style) -> io::Result<()> {
    head.add_text(what, QUIET);
    head.add_text(said, style);
    head.end_row(out)
}

/// A graph in characters for each rate.
fn rates(out: &mut dyn Write, head: &mut Table, findings: &Findings) -> io::Result<()> {
    const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let Some(rates) = &findings.rates else { return Ok(()) };
    let series = &rates.series;
    let together = series.opened.len().div_ceil(GRAPH).max(1);
    let interval = Duration(series.interval_ns.saturating_mul(together as u64));
    for (what, counts) in [("opened", &series.opened), ("closed", &series.closed), ("failed", &series.failed)] {
        let sums: Vec<u64> = counts.chunks(together).map(|counts| counts.iter().sum()).collect();
        let most = sums.iter().copied().max().unwrap_or(0);
        if most == 0 {
            continue;
        }
        let graph: String = sums
            .iter()
            .map(|&sum| if sum == 0 { '.' } else { LEVELS[((sum * 8).div_ceil(most) as usize).clamp(1, 8) - 1] })
            .collect();
        let said = format!("{graph}  most in {interval}: {}", grouped(most));
        said_of(out, head, what, &said, Style::new())?;
    }
    Ok(())
}

fn write_section(out: &mut dyn Write, head: &mut Table, section: &Section, options: Options) -> io::Result<()> {
    let Options { color, utc: _, width } = options;
    let Section { anchor: _, title, note, columns, rows } = section;
    // The table does not lay out its last column: numbers, which end at one edge, can't be last.
    let filler = section.columns.last().is_some_and(|column| column.right);
    let laid = columns.iter().enumerate().map(|(at, column)| {
        let longest = rows.iter().map(|row| shown(&row[at]).chars().count()).max().unwrap_or(0);
        let laid = Column::new(column.title, longest);
        if column.right { laid.right() } else { laid }
    });
    let mut table = Table::new(laid.chain(filler.then(|| Column::new("", 0))).collect(), color, width);
    writeln!(out)?;
    let note = note.as_ref().map_or_else(String::new, |note| format!(" ({note})"));
    head.remark(out, &format!("{title}{note}"), BOLD)?;
    for column in columns {
        table.add_text(column.title, QUIET);
    }
    table.end_row(out)?;
    for cells in rows {
        for cell in cells {
            let style = match cell {
                Cell::Bad(_) => BAD,
                Cell::Socket(_) => BOLD,
                Cell::Text(_) | Cell::Bar(_) => Style::new(),
            };
            table.add_text(&shown(cell), style);
        }
        table.end_row(out)?;
    }
    Ok(())
}

fn shown(cell: &Cell) -> String {
    match cell {
        Cell::Text(text) | Cell::Bad(text) | Cell::Socket(text) => text.clone(),
        Cell::Bar(share) => "█".repeat((share * BAR as f64).ceil() as usize),
    }
}
