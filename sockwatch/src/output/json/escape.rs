//! JSON that can't drive a terminal.

use std::io::{self, Write};

use serde_json::ser::Formatter;

use crate::untrusted::Untrusted;

/// Compact JSON in which nothing hides: JSON itself demands the escape of C0 controls, this adds all that text shows
/// escaped (DEL, C1 controls, bidirectional marks, invisible characters).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Visible;

impl Formatter for Visible {
    fn write_string_fragment<W: Write + ?Sized>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        if is_printable(fragment.as_bytes()) {
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

/// Whether all of it is ASCII without DEL, eight bytes at a time: almost every fragment is, and there are a hundred in a line.
/// What is below a space JSON escapes by itself.
fn is_printable(bytes: &[u8]) -> bool {
    let (eights, rest) = bytes.as_chunks::<8>();
    // The highest bit of a byte is set if it is no ASCII, or if it is DEL and one more. Of ASCII nothing is carried.
    let odd = |eight: &[u8; 8]| {
        let eight = u64::from_ne_bytes(*eight);
        (eight | eight.wrapping_add(0x0101_0101_0101_0101)) & 0x8080_8080_8080_8080
    };
    eights.iter().fold(0, |any, eight| any | odd(eight)) == 0 && rest.iter().all(|&byte| byte < 0x7f)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_byte_that_is_not_printable_is_found_wherever_it_stands() {
        for length in 0..40 {
            let plain = vec![b'~'; length];
            assert!(is_printable(&plain));
            for at in 0..length {
                for byte in 0..=u8::MAX {
                    let mut bytes = plain.clone();
                    bytes[at] = byte;
                    assert_eq!(is_printable(&bytes), byte < 0x7f, "{byte:#x} at {at} of {length}");
                }
            }
        }
    }
}
