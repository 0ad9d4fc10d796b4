//! `sockwatch replay`: a recording, through the same views, filters and formats as `trace`; and what the other commands that
//! read recordings have in common with it.

use std::{io, path::PathBuf};

use anyhow::bail;
use jiff::Timestamp;

use super::{
    args::{self, PartArgs, Replay, Speed},
    interrupt::Interrupt,
    recorded, status,
    trace::{has_reader, is_closed_pipe, show},
};
use crate::{
    follow::terminal,
    recording::{Facts, Input, Problem},
    replay::{Play, Player},
    select::Filter,
};

/// Runs the command; returns the exit code.
///
/// # Errors
/// If a file can't be read, or output can't be written.
pub fn run(args: &Replay, filter: Filter) -> anyhow::Result<u8> {
    let mut filter = filter;
    filter.target = args.follow;
    let player = open(&args.files, args.tail)?;
    let mut play = part(&args.part, &player)?;
    if let Some(target) = args.follow.filter(|_| !args.plain && !args.output.json && terminal::is_there()) {
        if args.tail {
            bail!(
                "--tail waits for the recorder, and time could not be controlled meanwhile; leave it out, or add --plain"
            );
        }
        return recorded::run(args, target, filter, player, play);
    }
    play.speed = match args.speed {
        None | Some(Speed::Max) => None,
        Some(Speed::Times(times)) => Some(times),
    };
    let mut shown = show(&args.output, filter).limit(args.count);
    let interrupt = Interrupt::watch()?;
    let outcome = (|| {
        for start in player.starts() {
            shown.start(start)?;
        }
        let played = player.play(&play, &mut shown, &mut |sink, _| {
            sink.flush()?;
            if !has_reader() {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            Ok(!interrupt.came())
        })?;
        let summary = shown.finish(played.events)?;
        anyhow::Ok((played, summary))
    })();
    match outcome {
        Ok((played, summary)) => {
            let whole = status::damage(&played.damage);
            if args.output.json {
                status::missing(&summary);
            } else {
                status::replayed(&summary);
            }
            Ok(if whole && summary.complete { 0 } else { 3 })
        }
        // Nobody reads any more.
        Err(error) if is_closed_pipe(&error) => Ok(0),
        Err(error) => Err(error),
    }
}

/// Opens the recordings that were named.
pub(super) fn open(files: &[PathBuf], tail: bool) -> Result<Player, Problem> {
    let input = |path: &PathBuf| match path {
        path if path.as_os_str() == "-" => Input::Stdin,
        path if tail => Input::Growing(path.clone()),
        path => Input::File(path.clone()),
    };
    Player::open(files.iter().map(input).collect(), filter_of)
}

/// The filter that a recording was made with.
fn filter_of(facts: &Facts) -> Option<Filter> {
    args::filter_of(&facts.filter).map(|filter| Filter { descendants: facts.descendants, ..filter })
}

/// Which part of it is meant.
pub(super) fn part(args: &PartArgs, player: &Player) -> anyhow::Result<Play> {
    let began = player.began().unwrap_or(Timestamp::UNIX_EPOCH);
    let [since, until] = [args.since, args.until].map(|when| when.map(|when| when.after(began)));
    if let (Some(since), Some(until)) = (since, until)
        && until < since
    {
        bail!("--until is before --since: nothing lies between");
    }
    Ok(Play { since, until, speed: None })
}
