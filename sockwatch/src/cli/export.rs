//! `sockwatch export`: convert a recording for other programs.

use std::{
    io::{self, BufWriter, Write},
    path::PathBuf,
};

use clap::Args;

use super::{
    args::{FilterArgs, PartArgs, Refusal},
    replay, status,
    trace::is_closed_pipe,
};
use crate::{
    export::{self, Output, Progress, To, What},
    output::{Show, Sink, Start},
    select::Filter,
};

/// Examples for the help.
pub const EXAMPLES: &str = "\
Examples:
  sockwatch export web.sw --to parquet -o web.parquet           one row for each socket, for DuckDB and others
  sockwatch export web.sw --to csv -o - --failed                what failed, as CSV on stdout
  sockwatch export web.sw --to parquet --what events -o e.parquet   one row for each thing that happened
  sockwatch export web.sw --to perfetto -o web.pftrace          open it in Perfetto's trace viewer";

/// What `export` was asked for.
#[derive(Clone, Debug, Args)]
pub struct Export {
    /// The recordings; of several, ids begin with a number for each; - is stdin
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// How it is shown.
    #[command(flatten)]
    pub output: ExportArgs,
    /// Which part is converted.
    #[command(flatten)]
    pub part: PartArgs,
    /// Which sockets are shown.
    #[command(flatten)]
    pub filters: FilterArgs,
}

/// What is written, and where to.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Output")]
pub struct ExportArgs {
    /// The format
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub to: To,
    /// The file; - is stdout
    #[arg(short, long = "output", value_name = "OUT")]
    pub out: PathBuf,
    /// What is told: the default is sockets for csv and parquet, all that trace --json tells for jsonl
    #[arg(long, value_enum)]
    pub what: Option<What>,
    /// Replace OUT if it exists
    #[arg(long)]
    pub force: bool,
}

impl Export {
    /// The filter that is meant.
    ///
    /// # Errors
    /// If the options don't go together, or no socket can ever pass the filter.
    pub fn build(&self) -> Result<Filter, Refusal> {
        if self.output.to == To::Perfetto && self.output.what.is_some() {
            let why = "--what is for jsonl, csv and parquet; a Perfetto trace holds sockets and events";
            return Err(Refusal { message: format!("sockwatch: {why}"), code: 2 });
        }
        self.filters.build()
    }
}

/// Runs the command; returns the exit code.
///
/// # Errors
/// If the recordings can't be read, or the file can't be written. Then there is no file.
pub fn run(args: &Export, filter: Filter) -> anyhow::Result<u8> {
    let player = replay::open(&args.files, false)?;
    let play = replay::part(&args.part, &player)?;
    convert(&args.output, filter, |show, progress| {
        for start in player.starts() {
            show.begin(start)?;
        }
        let length = player.length();
        let played = player.play(&play, show, &mut |_, done| {
            progress.tell(done, length);
            Ok(true)
        })?;
        progress.clear();
        status::damage(&played.damage);
        Ok(Played { events: played.events, complete: played.complete })
    })
}

/// Takes recordings as they are read: their beginnings, then what happens.
trait Exporter: Sink {
    /// A recording begins.
    ///
    /// # Errors
    /// If it can't be written.
    fn begin(&mut self, start: &Start) -> io::Result<()>;
}

impl<W: Write> Exporter for Show<W> {
    fn begin(&mut self, start: &Start) -> io::Result<()> {
        self.start(start)
    }
}

/// What reading the recordings came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Played {
    /// Kernel events in them.
    events: u64,
    /// Whether all of them could be read to their ends.
    complete: bool,
}

/// Converts what `play` hands on; returns the exit code.
fn convert(
    args: &ExportArgs,
    filter: Filter,
    play: impl FnOnce(&mut dyn Exporter, &mut Progress) -> anyhow::Result<Played>,
) -> anyhow::Result<u8> {
    if args.out.as_os_str() == "-" {
        let outcome = write(args, filter, io::stdout().lock(), play);
        return match outcome {
            // Nobody reads any more.
            Err(error) if is_closed_pipe(&error) => Ok(0),
            outcome => outcome,
        };
    }
    let output = Output::create(&args.out, args.force)?;
    output.end_with_signals()?;
    let code = write(args, filter, &output, play)?;
    output.finish()?;
    Ok(code)
}

fn write(
    args: &ExportArgs,
    filter: Filter,
    out: impl Write,
    play: impl FnOnce(&mut dyn Exporter, &mut Progress) -> anyhow::Result<Played>,
) -> anyhow::Result<u8> {
    let mut show = export::show(BufWriter::with_capacity(1 << 18, out), args.to, args.what, filter)?;
    let mut progress = Progress::new();
    let Played { events, complete } = play(&mut show, &mut progress)?;
    progress.clear();
    let summary = show.finish(events)?;
    Ok(if complete && summary.complete { 0 } else { 3 })
}

#[cfg(test)]
mod tests;
