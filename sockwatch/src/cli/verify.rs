//! `sockwatch verify`: whether a recording is as it was written.

use std::{
    io::{self, Write},
    path::Path,
};

use serde::Serialize;

use super::{args::Verify, status};
use crate::{
    output::write_line,
    recording::{Damage, Input, Problem, Recording},
    untrusted::Untrusted,
};

/// What was found. The fields of the JSON line.
#[derive(Serialize)]
struct Findings {
    r#type: &'static str,
    file: String,
    whole: bool,
    host: String,
    recorded_by: String,
    segment: u32,
    bytes: u64,
    blocks: u64,
    events: u64,
    missing_events: u64,
    damaged_bytes: u64,
    missing_blocks: u64,
    foreign_blocks: u64,
    malformed_blocks: u64,
    closed: bool,
}

impl Findings {
    /// Whether all that it holds can be read: what is missing was never written, or a repair left it out.
    fn is_sound(&self) -> bool {
        self.closed && [self.damaged_bytes, self.missing_blocks, self.foreign_blocks, self.malformed_blocks] == [0; 4]
    }
}

/// Runs the command; returns the exit code: 0 if all are whole, 3 if one is not.
///
/// # Errors
/// If one can't be read at all, or stdout can't be written.
pub fn run(args: &Verify) -> anyhow::Result<u8> {
    let mut whole = true;
    for file in &args.files {
        let findings = examine(file)?;
        whole &= findings.whole;
        let mut out = io::stdout().lock();
        let written =
            if args.json { write_line(&mut Vec::new(), &mut out, &findings) } else { print(&mut out, &findings) };
        match written {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(0),
            outcome => outcome?,
        }
    }
    Ok(if whole { 0 } else { 3 })
}

fn examine(file: &Path) -> Result<Findings, Problem> {
    let input = if file.as_os_str() == "-" { Input::Stdin } else { Input::File(file.to_owned()) };
    let mut recording = Recording::open(input)?.thoroughly();
    while recording.next()?.is_some() {}
    let damage = recording.damage();
    let Damage { bytes, missing, foreign, malformed, unclosed } = damage;
    let text = |text: &Untrusted| text.to_text().into_owned();
    let counts = recording.counts();
    Ok(Findings {
        r#type: "verify",
        file: recording.name().to_owned(),
        whole: damage.is_none() && counts.missing == 0,
        host: text(&recording.facts().start.host),
        recorded_by: text(&recording.facts().tool),
        segment: recording.segment().1,
        bytes: recording.position(),
        blocks: counts.blocks,
        events: counts.events,
        missing_events: counts.missing,
        damaged_bytes: bytes,
        missing_blocks: missing,
        foreign_blocks: foreign,
        malformed_blocks: malformed,
        closed: !unclosed,
    })
}

fn print(out: &mut impl Write, findings: &Findings) -> io::Result<()> {
    let shown = |text: &str| Untrusted::new(text.as_bytes());
    let Findings { file, whole, host, recorded_by, segment, bytes, blocks, events, missing_events, .. } = findings;
    let verdict = match (whole, findings.is_sound()) {
        (true, _) => "whole",
        (false, true) => "sound, but not complete",
        (false, false) => "damaged",
    };
    writeln!(out, "{}: {verdict}", shown(file))?;
    writeln!(out, "  of {} by sockwatch {}, segment {segment}", shown(host), shown(recorded_by))?;
    writeln!(out, "  {events} events in {blocks} blocks, {}", status::Bytes(*bytes))?;
    if *missing_events > 0 {
        writeln!(out, "  {missing_events} events are missing")?;
    }
    let damage = Damage {
        bytes: findings.damaged_bytes,
        missing: findings.missing_blocks,
        foreign: findings.foreign_blocks,
        malformed: findings.malformed_blocks,
        unclosed: !findings.closed,
    };
    for wrong in status::wrong(&damage) {
        writeln!(out, "  {wrong}")?;
    }
    Ok(())
}
