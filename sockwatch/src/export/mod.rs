//! Sockets' lives for other programs: spreadsheets, databases, Perfetto.
//!
//! Each of them is a [`Format`]; what is shown of a run, and how sockets are chosen, is [`Show`]'s business here as
//! everywhere.

mod column;
mod csv;
mod events;
mod file;
mod parquet;
mod perfetto;
mod progress;
mod sockets;
#[cfg(test)]
mod tests;

use std::io::{self, Write};

use self::{csv::Csv, events::Events, parquet::Parquet, perfetto::Perfetto, sockets::Sockets};
pub use self::{file::Output, progress::Progress};
use crate::{
    output::{Format, Json, Show, View},
    select::Filter,
};

/// What to write.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum To {
    /// The lines of trace --json
    Jsonl,
    /// A row for each socket or event, for spreadsheets
    Csv,
    /// The same with types, for databases
    Parquet,
    /// A track for each socket, for Perfetto's trace viewer
    Perfetto,
}

/// What there is a row for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum What {
    /// The life of each socket
    Sockets,
    /// Everything that happened to it
    Events,
}

/// What takes a run's reports and writes them, up to the summary with which a file is whole.
///
/// # Errors
/// If what was asked for can't be set up.
pub fn show<W: Write>(out: W, to: To, what: Option<What>, filter: Filter) -> io::Result<Show<W>> {
    let (format, view): (Box<dyn Format>, View) = match (to, what) {
        (To::Jsonl, None) => (Box::new(Json::new()), View::Path),
        (To::Jsonl, Some(What::Sockets)) => (Box::new(Json::new()), View::Closed),
        (To::Jsonl, Some(What::Events)) => (Box::new(Json::new()), View::States),
        (To::Csv, Some(What::Events)) => (Box::new(Csv::<Events>::new()), View::States),
        (To::Csv, _) => (Box::new(Csv::<Sockets>::new()), View::Closed),
        (To::Parquet, Some(What::Events)) => (Box::new(Parquet::<Events>::new()?), View::States),
        (To::Parquet, _) => (Box::new(Parquet::<Sockets>::new()?), View::Closed),
        (To::Perfetto, _) => (Box::new(Perfetto::new()), View::States),
    };
    Ok(Show::new(out, format, view, filter))
}
