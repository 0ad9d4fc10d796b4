//! The protocol buffers' wire format (protobuf.dev/programming-guides/encoding), as far as a trace needs it.

/// A message that is being written.
#[derive(Debug, Default)]
pub(super) struct Message(Vec<u8>);

/// How a value is laid out.
const VARINT: u64 = 0;
const FIXED64: u64 = 1;
const LENGTH: u64 = 2;

impl Message {
    /// What was written.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Begins anew.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    fn tag(&mut self, field: u32, layout: u64) {
        self.plain(u64::from(field) << 3 | layout);
    }

    /// Seven bits a byte, the lowest first; all but the last byte have the eighth set.
    fn plain(&mut self, mut value: u64) {
        while value > 0x7f {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    /// A field of type uint32, uint64, int64 or bool, or an enumeration.
    pub(super) fn varint(&mut self, field: u32, value: u64) {
        self.tag(field, VARINT);
        self.plain(value);
    }

    /// A field of type fixed64.
    pub(super) fn fixed64(&mut self, field: u32, value: u64) {
        self.tag(field, FIXED64);
        self.0.extend(value.to_le_bytes());
    }

    /// A field of type string.
    pub(super) fn text(&mut self, field: u32, text: &str) {
        self.tag(field, LENGTH);
        self.plain(text.len() as u64);
        self.0.extend(text.as_bytes());
    }

    /// A field that is a message.
    pub(super) fn message(&mut self, field: u32, build: impl FnOnce(&mut Self)) {
        self.tag(field, LENGTH);
        let start = self.0.len();
        build(self);
        // The length stands before what it is the length of.
        let end = self.0.len();
        self.plain((end - start) as u64);
        let length = self.0.len() - end;
        self.0[start..].rotate_right(length);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(build: impl FnOnce(&mut Message)) -> Vec<u8> {
        let mut message = Message::default();
        build(&mut message);
        message.bytes().to_vec()
    }

    #[test]
    fn the_examples_of_the_encoding_guide_come_out_as_printed_there() {
        assert_eq!(written(|message| message.varint(1, 150)), [0x08, 0x96, 0x01]);
        assert_eq!(written(|message| message.text(2, "testing")), *b"\x12\x07testing");
        assert_eq!(written(|message| message.message(3, |inner| inner.varint(1, 150))), [0x1a, 3, 0x08, 0x96, 0x01]);
    }

    #[test]
    fn the_largest_numbers_and_long_messages_are_whole() {
        assert_eq!(written(|message| message.varint(1, u64::MAX)).len(), 1 + 10);
        assert_eq!(written(|message| message.fixed64(47, 1)), [0xf9, 0x02, 1, 0, 0, 0, 0, 0, 0, 0]);
        let long = "x".repeat(300);
        let nested = written(|message| message.message(1, |inner| inner.text(2, &long)));
        assert_eq!(nested[..6], [0x0a, 0xaf, 0x02, 0x12, 0xac, 0x02]);
        assert_eq!(nested.len(), 6 + 300);
    }
}
