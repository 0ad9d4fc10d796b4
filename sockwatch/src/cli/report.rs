//! `sockwatch report`: what recordings come to, on one page.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufWriter, IsTerminal, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use anyhow::Context;

use super::{args, interrupt::Interrupt, replay, status, trace::is_closed_pipe};
use crate::{
    output::Sink,
    report::{Aggregate, Facts, Findings, Options, Timeline, html, json, text},
    select::Filter,
};

/// Most sockets that the timeline of a page shows: with them a page has about 30 MB.
const TIMELINE: usize = 200_000;

/// Runs the command; returns the exit code.
///
/// # Errors
/// If a recording can't be read, or the report can't be written.
pub fn run(args: &args::Report, filter: Filter) -> anyhow::Result<u8> {
    let timeline = args.html.is_some().then_some(TIMELINE);
    let mut aggregate = Aggregate::new(filter, Options { top: args.top, timeline });
    let facts = play(args, &mut aggregate)?;
    let (findings, timeline) = aggregate.finish(&facts);
    let laid_out = text_options(args);
    if let (Some(path), Some(timeline)) = (&args.html, timeline) {
        page(path, &findings, timeline, laid_out)?;
    }
    if args.json || args.html.is_none() {
        let written = print(args.json, &findings, laid_out);
        match written {
            Err(error) if is_closed_pipe(&error) => return Ok(0),
            written => written?,
        }
    }
    Ok(if findings.complete { 0 } else { 3 })
}

/// Has the sink told what the recordings hold.
fn play(args: &args::Report, sink: &mut dyn Sink) -> anyhow::Result<Facts> {
    let player = replay::open(&args.files, false)?;
    let play = replay::part(&args.part, &player)?;
    let starts = player.starts().cloned().collect();
    let interrupt = Interrupt::watch()?;
    let mut stopped = false;
    let played = player.play(&play, sink, &mut |_, _| {
        stopped = interrupt.came();
        Ok(!stopped)
    })?;
    status::damage(&played.damage);
    let unreadable = played.damage.len() as u64;
    Ok(Facts { starts, events: played.events, lost: played.lost, unreadable, complete: played.complete && !stopped })
}

fn text_options(args: &args::Report) -> text::Options {
    let terminal = io::stdout().is_terminal();
    let color = terminal && !args.no_color && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let width = terminal_size::terminal_size_of(io::stdout()).map(|(terminal_size::Width(columns), _)| columns);
    text::Options { color, utc: args.utc, width }
}

fn print(as_json: bool, findings: &Findings, options: text::Options) -> anyhow::Result<()> {
    let mut out = BufWriter::new(io::stdout());
    if as_json {
        json::write(&mut out, findings)?;
    } else {
        text::write(&mut out, findings, options)?;
    }
    Ok(out.flush()?)
}

fn page(path: &Path, findings: &Findings, timeline: Timeline, options: text::Options) -> anyhow::Result<()> {
    save(path, &mut |out| html::write(out, findings, &timeline, &options.zone()))
        .with_context(|| format!("can't write {}", path.display()))
}

/// Writes a file that appears whole or not at all. It tells about a host, so it is its owner's alone (mode 0600). What is
/// no regular file (`/dev/stdout`, a pipe) is written as it is.
fn save(path: &Path, write: &mut dyn FnMut(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let fill = |file: File, write: &mut dyn FnMut(&mut dyn Write) -> io::Result<()>| {
        let mut out = BufWriter::with_capacity(1 << 16, file);
        write(&mut out)?;
        out.into_inner().map_err(io::IntoInnerError::into_error)
    };
    // A link stays one: what it leads to is replaced.
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    if fs::metadata(&path).is_ok_and(|metadata| !metadata.is_file()) {
        return fill(OpenOptions::new().write(true).open(&path)?, write).map(drop);
    }
    let name = path.file_name().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidFilename))?;
    let mut beside = std::ffi::OsString::from(".");
    beside.push(name);
    beside.push(format!(".{}", std::process::id()));
    let beside = path.with_file_name(beside);
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
    let written = fill(file, write).and_then(|file| file.sync_all()).and_then(|()| fs::rename(&beside, &path));
    if written.is_err() {
        // It may not even be there.
        let _ = fs::remove_file(&beside);
    }
    written
}

#[cfg(test)]
mod tests {
    use std::{os::unix::fs::PermissionsExt, path::PathBuf};

    use super::*;

    /// A directory of this test's own.
    fn directory(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("sockwatch-report-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        path
    }

    fn say<'a>(text: &'a str) -> impl FnMut(&mut dyn Write) -> io::Result<()> + 'a {
        move |out| out.write_all(text.as_bytes())
    }

    #[test]
    fn a_page_replaces_the_one_before_and_is_its_owners_alone() {
        let directory = directory("replaces");
        let path = directory.join("page.html");
        fs::write(&path, "before").unwrap();
        save(&path, &mut say("after")).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "after");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 1);
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn a_page_that_fails_leaves_the_one_before_and_nothing_beside_it() {
        let directory = directory("fails");
        let path = directory.join("page.html");
        fs::write(&path, "before").unwrap();
        let failing = &mut |out: &mut dyn Write| {
            out.write_all(b"half")?;
            Err(io::Error::other("no more"))
        };
        assert!(save(&path, failing).is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "before");
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 1);
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn a_link_and_a_device_stay_what_they_are() {
        let directory = directory("stays");
        let (path, link) = (directory.join("page.html"), directory.join("latest.html"));
        fs::write(&path, "before").unwrap();
        std::os::unix::fs::symlink(&path, &link).unwrap();
        save(&link, &mut say("after")).unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_to_string(&path).unwrap(), "after");
        save(Path::new("/dev/null"), &mut say("nothing")).unwrap();
        assert!(!fs::metadata("/dev/null").unwrap().is_file());
        fs::remove_dir_all(directory).unwrap();
    }
}
