//! The report as one JSON object, on one line.

use std::io::{self, Write};

use serde::Serialize;

use super::findings::Findings;
use crate::output::json::escape::Visible;

/// Writes it.
///
/// # Errors
/// If it can't be written.
pub fn write(out: &mut dyn Write, findings: &Findings) -> io::Result<()> {
    let mut line = Vec::new();
    findings.serialize(&mut serde_json::Serializer::with_formatter(&mut line, Visible))?;
    line.push(b'\n');
    out.write_all(&line)
}
