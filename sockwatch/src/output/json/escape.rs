//! JSON that can't drive a terminal.

use std::io::{self, Write};

use serde_json::ser::Formatter;

use crate::untrusted::Untrusted;

/// Compact JSON in which nothing hides: JSON itself demands the escape of C0 controls, this adds all that text shows
/// escaped (DEL, C1 controls, bidirectional marks, invisible characters).
#[derive(Clone, Copy, Debug)]
pub(super) struct Visible;

impl Formatter for Visible {
    fn write_string_fragment<W: Write + ?Sized>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        if fragment.bytes().all(|byte| byte < 0x7f) {
            return writer.write_all(fragment.as_bytes());
        }
        let mut written = 0;
        for (at, character) in fragment.char_indices() {
            if !is_plain(character) {
                writer.write_all(&fragment.as_bytes()[written..at])?;
                for unit in character.encode_utf16(&mut [0; 2]) {
                    write!(writer, "\\u{unit:04x}")?;
                }
                written = at + character.len_utf8();
            }
        }
        writer.write_all(&fragment.as_bytes()[written..])
    }
}

/// Whether text shows this character, which JSON does not escape, as itself: one rule for both.
fn is_plain(character: char) -> bool {
    if character.is_ascii() {
        return character != '\x7f';
    }
    let mut buffer = [0; 4];
    let alone: &str = character.encode_utf8(&mut buffer);
    Untrusted::new(alone.as_bytes()).to_string() == alone
}
