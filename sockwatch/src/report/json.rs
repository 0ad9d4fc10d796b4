//! The report as one JSON object, on one line.

use std::io::{self, Write};

use super::findings::Findings;
use crate::output::json;

/// Writes it.
///
/// # Errors
/// If it can't be written.
pub fn write(out: &mut dyn Write, findings: &Findings) -> io::Result<()> {
    let mut line = Vec::new();
    json::write(&mut line, findings)?;
    line.push(b'\n');
    out.write_all(&line)
}
