//! Short texts of numbers, put together without a formatter: several stand in every line, and a formatter for each number takes
//! longer than all the rest of the line.

/// Room for one. Longer ones than any that is made here are a mistake, and panic.
pub(crate) struct Digits {
    bytes: [u8; 48],
    length: usize,
}

impl Digits {
    /// Nothing yet.
    pub(crate) fn new() -> Self {
        Self { bytes: [0; 48], length: 0 }
    }

    /// Adds text.
    #[must_use]
    pub(crate) fn text(mut self, text: &str) -> Self {
        let end = self.length + text.len();
        self.bytes[self.length..end].copy_from_slice(text.as_bytes());
        self.length = end;
        self
    }

    /// Adds a number.
    #[must_use]
    pub(crate) fn number(self, number: u64) -> Self {
        self.padded(number, number.checked_ilog10().map_or(1, |log| log as usize + 1))
    }

    /// Adds the last digits of a number, with zeroes before it where it has fewer.
    #[must_use]
    pub(crate) fn padded(mut self, mut number: u64, digits: usize) -> Self {
        let end = self.length + digits;
        for place in self.bytes[self.length..end].iter_mut().rev() {
            *place = b'0' + (number % 10) as u8;
            number /= 10;
        }
        self.length = end;
        self
    }

    /// The text.
    pub(crate) fn as_str(&self) -> &str {
        // It is made of texts.
        str::from_utf8(&self.bytes[..self.length]).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_the_digits_that_a_formatter_gives_them() {
        for number in [0, 1, 9, 10, 99, 100, 65_535, 1_000_000, u64::MAX] {
            assert_eq!(Digits::new().text("s").number(number).text("·").as_str(), format!("s{number}·"));
        }
        assert_eq!(Digits::new().padded(7, 3).text(" ").padded(1234, 3).as_str(), "007 234");
    }
}
