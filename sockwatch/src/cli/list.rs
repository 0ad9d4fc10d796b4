//! `sockwatch list`: the sockets that exist now, and who holds them.

use std::{
    fs,
    io::{self, BufWriter, IsTerminal, Write},
    os::unix::fs::MetadataExt,
};

use anyhow::Context;

use super::{args::List, live, status, trace};
use crate::{
    clock::Clock,
    kernel::{self, Facts, STILL},
    lane::Lane,
    output::{self, Degraded, ListOptions, Scene, Start},
    select::Filter,
    source,
};

/// Runs the command; returns the exit code.
///
/// # Errors
/// If the sockets can't be looked at, or stdout can't be written.
pub fn run(args: &List, mut filter: Filter) -> anyhow::Result<u8> {
    let filtered = !filter.is_empty();
    filter.target = args.target;
    let clock = Clock::now().context("can't read the clock")?;
    let (mut iterators, missing) = kernel::load_iterators()?;
    let found = source::still(&mut iterators);
    let mut lane = Lane::new(Scene::new(clock));
    lane.leave_out_signals();
    for step in found.steps {
        lane.take(step);
    }
    let mut list = output::List::new(filter);
    lane.tell(&mut list)?;
    list.sort();
    let unseen = found.unseen.into_iter().map(|why| Degraded {
        probe: "existing sockets".to_owned(),
        why,
        lost: "the sockets there that no descriptor holds".to_owned(),
    });
    let start = Start {
        probes: STILL
            .iter()
            .filter(|probe| !missing.iter().any(|lacks| lacks.probe == **probe))
            .map(kernel::Probe::name)
            .collect(),
        degraded: missing.iter().map(live::degraded).chain(unseen).collect(),
        ..live::host(&Facts::gather())
    };
    status::degraded(&start.degraded);
    match print(args, &list, lane.scene(), &start, filtered) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(0),
        outcome => Ok(outcome.map(|()| 0)?),
    }
}

/// `filtered`: by more than the target.
fn print(args: &List, list: &output::List, scene: &Scene, start: &Start, filtered: bool) -> io::Result<()> {
    let mut out = BufWriter::with_capacity(1 << 16, io::stdout().lock());
    if args.json {
        list.json(&mut out, scene, start)?;
        return out.flush();
    }
    if list.is_empty() {
        status::nothing(args.target.as_ref(), filtered);
        return Ok(());
    }
    let terminal = io::stdout().is_terminal();
    let width = terminal_size::terminal_size_of(io::stdout()).map(|(terminal_size::Width(columns), _)| columns);
    let netns = fs::metadata("/proc/self/ns/net").ok().and_then(|namespace| u32::try_from(namespace.ino()).ok());
    let options = ListOptions { color: terminal && trace::wants_color(args.no_color), width, netns };
    list.text(&mut out, scene, options)?;
    out.flush()
}
