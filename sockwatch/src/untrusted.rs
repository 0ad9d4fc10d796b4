//! Text from outside: process names, paths, whatever a file says.

use std::{borrow::Cow, fmt};

/// Longest text that is kept, in bytes. A path in the kernel is at most `PATH_MAX`; what is longer is cut.
const LONGEST: usize = 4096;

/// Bytes that someone else chose. Shown only escaped, so that they can't drive a terminal or pass for something else.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Untrusted(Box<[u8]>);

/// The bytes up to the first zero, at most [`LONGEST`] of them.
fn kept(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len()).min(LONGEST);
    &bytes[..end]
}

impl Untrusted {
    /// Keeps the bytes up to the first zero, at most 4,096 of them.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Self {
        Self(kept(bytes).into())
    }

    /// Whether [`Self::new`] would keep of these bytes what is kept here.
    #[must_use]
    pub fn is(&self, bytes: &[u8]) -> bool {
        kept(bytes) == &*self.0
    }

    /// The bytes as they came.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether there is nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The text, bytes that are no UTF-8 replaced by U+FFFD, control characters kept: for formats that escape by
    /// themselves, and for comparisons.
    #[must_use]
    pub fn to_text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.0)
    }
}

impl fmt::Display for Untrusted {
    /// Writes printable characters as they are and all others as `\xNN` or `\u{N}`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Almost always.
        if self.0.iter().all(|&byte| matches!(byte, b' '..=b'~') && byte != b'\\')
            && let Ok(text) = str::from_utf8(&self.0)
        {
            return f.pad(text);
        }
        let mut out = String::with_capacity(self.0.len());
        for chunk in self.0.utf8_chunks() {
            for character in chunk.valid().chars() {
                if is_plain(character) {
                    out.push(character);
                } else if character.is_ascii() {
                    out.push_str(&format!("\\x{:02x}", character as u32));
                } else {
                    out.push_str(&format!("\\u{{{:x}}}", character as u32));
                }
            }
            for byte in chunk.invalid() {
                out.push_str(&format!("\\x{byte:02x}"));
            }
        }
        f.pad(&out)
    }
}

impl fmt::Debug for Untrusted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

/// Whether a character shows as itself and moves nothing: no controls, no bidirectional marks, no zero-width or
/// formatting characters, no line separators, no private use, no tags.
fn is_plain(character: char) -> bool {
    let hidden = matches!(character as u32,
        0x00ad | 0x034f | 0x061c | 0x115f..=0x1160 | 0x17b4..=0x17b5 | 0x180b..=0x180f | 0x200b..=0x200f
        | 0x2028..=0x202e | 0x2060..=0x206f | 0x3164 | 0xd800..=0xf8ff | 0xfe00..=0xfe0f | 0xfeff | 0xffa0
        | 0xfff0..=0xfffb | 0x1bca0..=0x1bca3 | 0x1d173..=0x1d17a | 0xe0000..=0x10ffff);
    character != '\\' && !character.is_control() && !hidden
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_text_shows_as_itself() {
        assert_eq!(Untrusted::new("nginx: é 漢字".as_bytes()).to_string(), "nginx: é 漢字");
    }

    #[test]
    fn escape_sequences_bad_utf8_bidi_and_backslashes_are_escaped() {
        let text = Untrusted::new(b"\x1b[31m\xff\xc3\\\xe2\x80\xae\r\n\x7f\xc2\x9b");
        assert_eq!(text.to_string(), r"\x1b[31m\xff\xc3\x5c\u{202e}\x0d\x0a\x7f\u{9b}");
    }

    #[test]
    fn it_ends_at_the_first_zero_and_is_bounded() {
        assert_eq!(Untrusted::new(b"a\0b").as_bytes(), b"a");
        assert_eq!(Untrusted::new(&[b'x'; 10_000]).as_bytes().len(), LONGEST);
    }
}
