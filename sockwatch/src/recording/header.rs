//! What a recording is about: the first block of every file.

use super::{
    Facts,
    wire::{Malformed, Reader, Writer},
};
use crate::{
    output::{Degraded, Start},
    untrusted::Untrusted,
};

/// The format's version within the framing's. It goes up when something is added.
pub(super) const VERSION: u64 = 0;

/// The oldest reader that understands what this writer writes, by the version it knows.
const OLDEST_READER: u64 = 0;

mod field {
    pub(super) const VERSION: u8 = 1;
    pub(super) const TOOL: u8 = 2;
    pub(super) const HOST: u8 = 3;
    pub(super) const KERNEL: u8 = 4;
    pub(super) const BOOT_ID: u8 = 5;
    pub(super) const CLOCK: u8 = 6;
    pub(super) const PROBE: u8 = 7;
    pub(super) const DEGRADED: u8 = 8;
    pub(super) const FILTER: u8 = 9;
    pub(super) const DESCENDANTS: u8 = 10;
}

/// Most probes, missing probes, and words of a filter.
const MOST: usize = 4096;

/// Why a header can't be used.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum BadHeader {
    /// It says what can't be.
    Malformed,
    /// It needs a reader of this version.
    Newer(u64),
}

impl From<Malformed> for BadHeader {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

pub(super) fn write(facts: &Facts) -> Vec<u8> {
    let Facts { start, tool, began, offset, filter, descendants } = facts;
    let Start { host, kernel, boot_id, probes, degraded } = start;
    let mut out = Writer::default();
    out.record(field::VERSION, |out| {
        out.number(VERSION);
        out.number(OLDEST_READER);
    });
    for (kind, text) in [(field::TOOL, tool), (field::HOST, host), (field::KERNEL, kernel), (field::BOOT_ID, boot_id)] {
        out.record(kind, |out| out.text(text.as_bytes()));
    }
    out.record(field::CLOCK, |out| {
        out.number(*began);
        out.signed(*offset);
    });
    for probe in probes {
        out.record(field::PROBE, |out| out.text(probe.as_bytes()));
    }
    for Degraded { probe, why, lost } in degraded {
        out.record(field::DEGRADED, |out| {
            for text in [probe, why, lost] {
                out.text(text.as_bytes());
            }
        });
    }
    for word in filter {
        out.record(field::FILTER, |out| out.text(word.as_bytes()));
    }
    if *descendants {
        out.record(field::DESCENDANTS, |_| {});
    }
    out.bytes
}

pub(super) fn read(payload: &[u8]) -> Result<Facts, BadHeader> {
    let mut facts = Facts::default();
    let mut records = Reader::new(payload);
    let mut known = false;
    while !records.is_empty() {
        let (kind, mut fields) = records.record()?;
        match kind {
            field::VERSION => {
                let (_, oldest) = (fields.number()?, fields.number()?);
                if oldest > VERSION {
                    return Err(BadHeader::Newer(oldest));
                }
                known = true;
            }
            field::TOOL => facts.tool = Untrusted::new(fields.text()?),
            field::HOST => facts.start.host = Untrusted::new(fields.text()?),
            field::KERNEL => facts.start.kernel = Untrusted::new(fields.text()?),
            field::BOOT_ID => facts.start.boot_id = Untrusted::new(fields.text()?),
            field::CLOCK => (facts.began, facts.offset) = (fields.number()?, fields.signed()?),
            field::PROBE if facts.start.probes.len() < MOST => facts.start.probes.push(text(&mut fields)?),
            field::DEGRADED if facts.start.degraded.len() < MOST => {
                let (probe, why, lost) = (text(&mut fields)?, text(&mut fields)?, text(&mut fields)?);
                facts.start.degraded.push(Degraded { probe, why, lost });
            }
            field::FILTER if facts.filter.len() < MOST => facts.filter.push(text(&mut fields)?),
            field::DESCENDANTS => facts.descendants = true,
            _ => {}
        }
    }
    if known { Ok(facts) } else { Err(BadHeader::Malformed) }
}

/// Text that is read as options, or shown by who escapes it.
fn text(fields: &mut Reader<'_>) -> Result<String, Malformed> {
    Ok(Untrusted::new(fields.text()?).to_text().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> Facts {
        let degraded = Degraded { probe: "tp/accept".into(), why: "no".into(), lost: "descriptors".into() };
        Facts {
            start: Start {
                host: Untrusted::new(b"web1"),
                kernel: Untrusted::new(b"6.18.0"),
                boot_id: Untrusted::new(b"0-1"),
                probes: vec!["a".into(), "b".into()],
                degraded: vec![degraded],
            },
            tool: Untrusted::new(b"0.1.0"),
            began: 5,
            offset: -7,
            filter: vec!["--port".into(), "80".into()],
            descendants: true,
        }
    }

    #[test]
    fn what_is_written_is_read() {
        assert_eq!(format!("{:?}", read(&write(&facts())).unwrap()), format!("{:?}", facts()));
    }

    #[test]
    fn a_recording_that_needs_a_newer_reader_is_refused() {
        let mut out = Writer::default();
        out.record(field::VERSION, |out| {
            out.number(9);
            out.number(VERSION + 1);
        });
        assert_eq!(read(&out.bytes).unwrap_err(), BadHeader::Newer(VERSION + 1));
    }

    #[test]
    fn a_newer_recording_that_an_old_reader_understands_is_read() {
        let mut out = Writer::default();
        out.record(field::VERSION, |out| {
            out.number(VERSION + 1);
            out.number(VERSION);
            out.number(1);
        });
        out.record(200, |out| out.text(b"news"));
        assert!(read(&out.bytes).is_ok());
    }

    #[test]
    fn what_has_no_version_is_no_header() {
        assert_eq!(read(&[]).unwrap_err(), BadHeader::Malformed);
        assert_eq!(read(&[9]).unwrap_err(), BadHeader::Malformed);
    }
}
