//! `sockwatch repair`: what is whole of a damaged recording, as a new one.

use std::{fs, os::unix::fs::MetadataExt, path::Path};

use anyhow::bail;

use super::{args::Repair, status};
use crate::recording::{Input, Repaired, Target, repair};

/// Runs the command; returns the exit code: 0 if nothing was wrong, 3 if something is lost.
///
/// # Errors
/// If the recording can't be read at all, or the new one can't be written.
pub fn run(args: &Repair) -> anyhow::Result<u8> {
    let dash = |path: &std::path::PathBuf| path.as_os_str() == "-";
    let input = if dash(&args.file) { Input::Stdin } else { Input::File(args.file.clone()) };
    let target =
        if dash(&args.output) { Target::Stdout } else { Target::File { path: args.output.clone(), force: args.force } };
    if !dash(&args.output) && is_same(&args.file, &args.output) {
        bail!("the new recording would be written over the damaged one; choose another name");
    }
    let Repaired { name, blocks, events, missing, damage } = repair(input, &target)?;
    let whole = status::damage(&if damage.is_none() { Vec::new() } else { vec![(name, damage)] });
    status::repaired(blocks, events, missing);
    Ok(if whole && missing == 0 { 0 } else { 3 })
}

/// Whether two paths lead to one file.
fn is_same(one: &Path, other: &Path) -> bool {
    let place = |path| fs::metadata(path).ok().map(|file| (file.dev(), file.ino()));
    place(one).is_some_and(|place_of_one| Some(place_of_one) == place(other))
}
