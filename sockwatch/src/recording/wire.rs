//! The bytes of a record: numbers that take as much room as they need.

/// Writes the fields of records.
#[derive(Debug, Default)]
pub(super) struct Writer {
    pub(super) bytes: Vec<u8>,
}

impl Writer {
    pub(super) fn byte(&mut self, value: u8) {
        self.bytes.push(value);
    }

    /// Seven bits in each byte, the lowest first; the highest bit says that more follow (LEB128).
    pub(super) fn number(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.bytes.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.bytes.push(value as u8);
    }

    /// As above, with the sign in the lowest bit.
    pub(super) fn signed(&mut self, value: i64) {
        self.number(((value << 1) ^ (value >> 63)).cast_unsigned());
    }

    /// From one number to the next, whichever is larger.
    pub(super) fn delta(&mut self, from: u64, to: u64) {
        self.signed(to.wrapping_sub(from).cast_signed());
    }

    /// One more than the value; 0 for none.
    pub(super) fn optional(&mut self, value: Option<u32>) {
        self.number(value.map_or(0, |value| u64::from(value) + 1));
    }

    /// Its length, and the bytes.
    pub(super) fn text(&mut self, text: &[u8]) {
        self.number(text.len() as u64);
        self.bytes.extend_from_slice(text);
    }

    /// One more than its length, and the bytes; 0 for none.
    pub(super) fn optional_text(&mut self, text: Option<&[u8]>) {
        self.number(text.map_or(0, |text| text.len() as u64 + 1));
        self.bytes.extend_from_slice(text.unwrap_or_default());
    }

    /// Writes a record: its length, its kind, and what `fields` writes.
    pub(super) fn record(&mut self, kind: u8, fields: impl FnOnce(&mut Self)) {
        let start = self.begin(kind);
        fields(self);
        self.end(start);
    }

    /// Begins a record, for [`Self::end`].
    pub(super) fn begin(&mut self, kind: u8) -> usize {
        self.bytes.extend_from_slice(&[0, kind]);
        self.bytes.len() - 2
    }

    /// Ends the record that began there: now its length is known.
    pub(super) fn end(&mut self, start: usize) {
        let mut length = self.bytes.len() - start - 1;
        if length < 0x80 {
            self.bytes[start] = length as u8;
            return;
        }
        // It needs more room than was left for it.
        self.bytes[start] = length as u8 | 0x80;
        length >>= 7;
        let mut at = start + 1;
        while length > 0 {
            let more = if length >= 0x80 { 0x80 } else { 0 };
            self.bytes.insert(at, length as u8 & 0x7f | more);
            length >>= 7;
            at += 1;
        }
    }
}

/// What can't be read: the bytes end too early, or say what can't be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// Reads the fields of a record. Every length is checked before anything is made of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(super) fn byte(&mut self) -> Result<u8, Malformed> {
        let (&first, rest) = self.bytes.split_first().ok_or(Malformed)?;
        self.bytes = rest;
        Ok(first)
    }

    pub(super) fn number(&mut self) -> Result<u64, Malformed> {
        let first = self.byte()?;
        if first < 0x80 {
            return Ok(first.into());
        }
        let mut value = u64::from(first & 0x7f);
        for shift in (7..64).step_by(7) {
            let byte = self.byte()?;
            let part = u64::from(byte & 0x7f);
            if shift == 63 && part > 1 {
                return Err(Malformed);
            }
            value |= part << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Malformed)
    }

    pub(super) fn small<T: TryFrom<u64>>(&mut self) -> Result<T, Malformed> {
        T::try_from(self.number()?).map_err(|_| Malformed)
    }

    pub(super) fn signed(&mut self) -> Result<i64, Malformed> {
        let value = self.number()?;
        Ok((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
    }

    pub(super) fn int(&mut self) -> Result<i32, Malformed> {
        i32::try_from(self.signed()?).map_err(|_| Malformed)
    }

    pub(super) fn delta(&mut self, from: u64) -> Result<u64, Malformed> {
        Ok(from.wrapping_add(self.signed()?.cast_unsigned()))
    }

    pub(super) fn optional(&mut self) -> Result<Option<u32>, Malformed> {
        match self.number()? {
            0 => Ok(None),
            value => u32::try_from(value - 1).map(Some).map_err(|_| Malformed),
        }
    }

    pub(super) fn take(&mut self, length: u64) -> Result<&'a [u8], Malformed> {
        let length = usize::try_from(length).map_err(|_| Malformed)?;
        let (taken, rest) = self.bytes.split_at_checked(length).ok_or(Malformed)?;
        self.bytes = rest;
        Ok(taken)
    }

    pub(super) fn text(&mut self) -> Result<&'a [u8], Malformed> {
        let length = self.number()?;
        self.take(length)
    }

    pub(super) fn optional_text(&mut self) -> Result<Option<&'a [u8]>, Malformed> {
        match self.number()? {
            0 => Ok(None),
            length => self.take(length - 1).map(Some),
        }
    }

    /// The next record: its kind, and its fields. What is behind the fields that are known is of a later version.
    pub(super) fn record(&mut self) -> Result<(u8, Self), Malformed> {
        let mut fields = Self { bytes: self.text()? };
        Ok((fields.byte()?, fields))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(numbers: Vec<u64>, signed: Vec<i64>, text: Vec<u8>, optional: Option<u32>) {
            let mut writer = Writer::default();
            writer.record(7, |out| {
                for &number in &numbers {
                    out.number(number);
                    out.delta(5, number);
                }
                for &number in &signed {
                    out.signed(number);
                }
                out.text(&text);
                out.optional(optional);
                out.optional_text(optional.map(|_| &*text));
            });
            writer.record(8, |_| {});
            let mut reader = Reader::new(&writer.bytes);
            let (kind, mut fields) = reader.record().unwrap();
            prop_assert_eq!(kind, 7);
            for &number in &numbers {
                prop_assert_eq!(fields.number(), Ok(number));
                prop_assert_eq!(fields.delta(5), Ok(number));
            }
            for &number in &signed {
                prop_assert_eq!(fields.signed(), Ok(number));
            }
            prop_assert_eq!(fields.text(), Ok(&*text));
            prop_assert_eq!(fields.optional(), Ok(optional));
            prop_assert_eq!(fields.optional_text(), Ok(optional.map(|_| &*text)));
            prop_assert!(fields.is_empty());
            prop_assert_eq!(reader.record().unwrap().0, 8);
            prop_assert!(reader.is_empty());
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            let mut reader = Reader::new(&bytes);
            while let Ok((_, mut fields)) = reader.record() {
                while fields.number().is_ok() {}
            }
        }
    }

    #[test]
    fn a_number_of_more_than_64_bits_is_refused() {
        assert_eq!(Reader::new(&[0xff; 9]).number(), Err(Malformed));
        assert_eq!(Reader::new(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]).number(), Ok(u64::MAX));
        assert_eq!(Reader::new(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2]).number(), Err(Malformed));
    }
}
