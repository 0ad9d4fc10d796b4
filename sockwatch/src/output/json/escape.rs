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
        let mut written = 0;
        for (at, character) in fragment.char_indices() {
            if !shows(character) {
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
fn shows(character: char) -> bool {
    if character.is_ascii() {
        return character != '\x7f';
    }
    let mut buffer = [0; 4];
    let alone: &str = character.encode_utf8(&mut buffer);
    Untrusted::new(alone.as_bytes()).to_string() == alone
}

/// Whether all of it is ASCII in which nothing is to be escaped, eight bytes at a time: almost every text is.
pub(super) fn is_plain(bytes: &[u8]) -> bool {
    let (eights, rest) = bytes.as_chunks::<8>();
    let mut last = [b' '; 8];
    last[..rest.len()].copy_from_slice(rest);
    eights.iter().chain([&last]).fold(0, |any, eight| any | odd(u64::from_ne_bytes(*eight))) == 0
}

/// Not 0 if one of eight bytes is no ASCII, or is to be escaped.
fn odd(eight: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHEST: u64 = 0x8080_8080_8080_8080;
    // The highest bit of a byte is set if the byte was less than that, or if something was borrowed from it: then so is one below it.
    let less = |eight: u64, than: u8| eight.wrapping_sub(ONES * u64::from(than)) & !eight;
    let is = |byte: u8| less(eight ^ (ONES * u64::from(byte)), 1);
    // DEL and one more has the highest bit. Of ASCII nothing is carried.
    (eight | eight.wrapping_add(ONES) | less(eight, b' ') | is(b'"') | is(b'\\')) & HIGHEST
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_byte_that_is_to_be_escaped_is_found_wherever_it_stands() {
        for length in 0..40 {
            for plain in [b'~', b' ', b'!'] {
                let text = vec![plain; length];
                assert!(is_plain(&text));
                for at in 0..length {
                    for byte in 0..=u8::MAX {
                        let mut text = text.clone();
                        text[at] = byte;
                        let expected = matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\';
                        assert_eq!(is_plain(&text), expected, "{byte:#x} at {at} of {length}");
                    }
                }
            }
        }
    }
}
