//! Names of processes, and globs of them.

use std::{
    fmt,
    iter::Peekable,
    str::{Chars, FromStr},
};

use crate::untrusted::Untrusted;

/// Bytes that the kernel keeps of a process's name (`TASK_COMM_LEN` in include/linux/sched.h, less the zero at its end).
const KERNEL_KEEPS: usize = 15;

/// A whole name, or a glob.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NamePattern {
    kind: Kind,
    /// As it was written.
    text: Box<str>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Kind {
    /// The name as the kernel keeps it.
    Whole(Box<[u8]>),
    Glob(Box<[Step]>),
}

/// A part of a glob.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Step {
    /// `*`: any characters, or none.
    Any,
    /// One character: `?`, `[…]` or itself.
    One(Class),
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Class {
    All,
    Is(char),
    /// First and last of each range; whether it is one of these, or none of them, that is meant.
    In(Box<[(char, char)]>, bool),
}

/// Why a text is no [`NamePattern`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NameError {
    /// Nothing is there.
    #[error("a process name is at least one character")]
    Empty,
    /// A `[` has no `]`.
    #[error("a '[' needs its ']' (a '[' itself is written '[[]')")]
    Unclosed,
    /// `[z-a]`.
    #[error("a range in '[…]' goes from the lower to the higher character")]
    Backwards,
}

impl NamePattern {
    /// Whether a process's name is meant.
    #[must_use]
    pub fn matches(&self, name: &Untrusted) -> bool {
        match &self.kind {
            Kind::Whole(whole) => **whole == *name.as_bytes(),
            Kind::Glob(steps) => matches(steps, &name.to_text()),
        }
    }
}

impl fmt::Display for NamePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl FromStr for NamePattern {
    type Err = NameError;

    /// Reads a whole name or, where it has a `*`, `?` or `[`, a glob: `[a-z]` is one of these characters, `[!a-z]` one of
    /// the others. A whole name is cut as the kernel cuts it: `systemd-resolved` finds what the kernel calls
    /// `systemd-resolve`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        if !text.contains(['*', '?', '[']) {
            let name = text.as_bytes();
            let kind = Kind::Whole(name[..name.len().min(KERNEL_KEEPS)].into());
            return Ok(Self { kind, text: text.into() });
        }
        let mut steps = Vec::new();
        let mut rest = text.chars().peekable();
        while let Some(character) = rest.next() {
            match character {
                '*' if steps.last() == Some(&Step::Any) => {}
                '*' => steps.push(Step::Any),
                '?' => steps.push(Step::One(Class::All)),
                '[' => steps.push(Step::One(class(&mut rest)?)),
                other => steps.push(Step::One(Class::Is(other))),
            }
        }
        Ok(Self { kind: Kind::Glob(steps.into()), text: text.into() })
    }
}

/// Reads the rest of a `[…]`. A `]` that comes first stands for itself, so does a `-` that comes first or last.
fn class(rest: &mut Peekable<Chars<'_>>) -> Result<Class, NameError> {
    let meant = rest.next_if(|&character| character == '!' || character == '^').is_none();
    let mut ranges = Vec::new();
    loop {
        let first = match rest.next().ok_or(NameError::Unclosed)? {
            ']' if !ranges.is_empty() => return Ok(Class::In(ranges.into(), meant)),
            first => first,
        };
        let mut last = first;
        if rest.next_if_eq(&'-').is_some() {
            match rest.next_if(|&character| character != ']') {
                Some(character) => last = character,
                None => ranges.push(('-', '-')),
            }
        }
        if last < first {
            return Err(NameError::Backwards);
        }
        ranges.push((first, last));
    }
}

impl Class {
    fn takes(&self, character: char) -> bool {
        match self {
            Self::All => true,
            Self::Is(this) => *this == character,
            Self::In(ranges, meant) => {
                ranges.iter().any(|&(first, last)| (first..=last).contains(&character)) == *meant
            }
        }
    }
}

/// Goes back to the last `*` alone: what an earlier one could take instead, the last can take too. So a name costs at
/// most its length times the glob's.
fn matches(steps: &[Step], name: &str) -> bool {
    let mut rest = name.chars();
    let mut at = 0;
    let mut last_any = None;
    loop {
        match steps.get(at) {
            Some(Step::Any) => {
                at += 1;
                last_any = Some((at, rest.clone()));
                continue;
            }
            Some(Step::One(class)) => match rest.next() {
                Some(character) if class.takes(character) => {
                    at += 1;
                    continue;
                }
                Some(_) => {}
                None => return false,
            },
            None if rest.as_str().is_empty() => return true,
            None => {}
        }
        let Some((after, from)) = &mut last_any else { return false };
        if from.next().is_none() {
            return false;
        }
        at = *after;
        rest = from.clone();
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    fn found(pattern: &str, name: &[u8]) -> bool {
        pattern.parse::<NamePattern>().unwrap().matches(&Untrusted::new(name))
    }

    #[test]
    fn a_pattern_finds_the_names_that_are_meant() {
        for (pattern, name, expected) in [
            ("nginx", "nginx", true),
            ("nginx", "nginx2", false),
            ("ngin", "nginx", false),
            ("Nginx", "nginx", false),
            ("*", "", true),
            ("*", "anything", true),
            ("**", "x", true),
            ("ng*", "nginx", true),
            ("*nx", "nginx", true),
            ("*nx", "nginx2", false),
            ("n*n*x", "nginx", true),
            ("n*g*g*x", "nginx", false),
            ("*a*b", "xaxbxb", true),
            ("ngin?", "nginx", true),
            ("ngin?", "ngin", false),
            ("?", "é", true),
            ("??", "é", false),
            ("php[0-9]", "php8", true),
            ("php[0-9]", "phpx", false),
            ("php[!0-9]", "phpx", true),
            ("php[^0-9]", "php8", false),
            ("[]x]*", "]a", true),
            ("[!]]", "]", false),
            ("[a-]", "-", true),
            ("[-a]", "-", true),
            ("[a-]", "b", false),
            ("[[]kworker]", "[kworker]", true),
            ("[*]", "*", true),
            ("[*]", "x", false),
            (r"a\*", r"a\b", true),
        ] {
            assert_eq!(found(pattern, name.as_bytes()), expected, "{pattern:?} on {name:?}");
        }
    }

    #[test]
    fn a_name_longer_than_the_kernel_keeps_finds_the_cut_name() {
        assert!(found("systemd-resolved", b"systemd-resolve"));
        assert!(!found("systemd-resolve", b"systemd-resolv"));
        // Cut inside a character.
        assert!(found("fourteen-bytesé", b"fourteen-bytes\xc3"));
    }

    #[test]
    fn a_name_that_is_not_utf8_is_found_by_a_glob() {
        assert!(found("?x*", b"\xffx\xfe"));
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for (text, error) in [
            ("", NameError::Empty),
            ("[", NameError::Unclosed),
            ("x[", NameError::Unclosed),
            ("[]", NameError::Unclosed),
            ("[!]", NameError::Unclosed),
            ("[a", NameError::Unclosed),
            ("[a-", NameError::Unclosed),
            ("[z-a]", NameError::Backwards),
        ] {
            assert_eq!(text.parse::<NamePattern>(), Err(error), "{text}");
        }
    }

    #[test]
    fn a_glob_made_to_take_long_does_not() {
        let begun = Instant::now();
        assert!(!found(&"*a".repeat(500), &[b'b'; 4096]));
        assert!(!found(&format!("{}b", "*a".repeat(500)), &[b'a'; 4096]));
        assert!(!found(&format!("*{}b", "a".repeat(2000)), &[b'a'; 4096]));
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    }
}
