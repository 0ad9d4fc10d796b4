//! How text says things.

use std::fmt::{self, Display, Write as _};

use super::table::Facts;
use crate::{
    digits::Digits,
    event::{Endpoint, Errno, Process},
    lifecycle::{By, How, Life, Role, Verdict},
    output::Scene,
};

/// A socket's id.
pub(crate) fn id(scene: &Scene, number: Option<u64>) -> impl Display {
    fmt::from_fn(move |f| match number {
        Some(number) => scene.id(number).fmt(f),
        None => f.write_str("?"),
    })
}

/// `nginx 812`.
pub(crate) fn process(process: &Process) -> impl Display {
    fmt::from_fn(|f| {
        process.name.fmt(f)?;
        match process.pid {
            Some(pid) => f.write_str(Digits::new().text(" ").number(pid.into()).as_str()),
            None => f.write_str(" ?"),
        }
    })
}

/// An address and port; what is missing is either not known or does not exist.
pub(crate) fn end(end: Option<Endpoint>, exists: bool) -> impl Display {
    fmt::from_fn(move |f| match end {
        Some(end) => end.fmt(f),
        None if exists => f.write_str("?"),
        None => f.write_str("-"),
    })
}

/// `EADDRINUSE (address already in use)`.
pub(crate) fn error(error: Errno) -> String {
    let name = error.name();
    let meaning = nix::errno::Errno::from_raw(error.0);
    if meaning == nix::errno::Errno::UnknownErrno {
        return name;
    }
    let meaning = meaning.desc();
    let mut characters = meaning.chars();
    match (characters.next(), characters.next()) {
        // "I/O error" and "RFS specific error" keep their capitals.
        (Some(first), Some(second)) if second.is_lowercase() => {
            format!("{name} ({}{})", first.to_lowercase(), &meaning[first.len_utf8()..])
        }
        _ => format!("{name} ({meaning})"),
    }
}

/// How a life ended, for someone who reads what happened.
pub(crate) fn ending(life: &Life, verdict: &Verdict) -> String {
    let Verdict { by, how, time_wait: _, error } = *verdict;
    let mut text = String::from(match (how, by) {
        (Some(How::Fin), Some(By::Local)) => "closed here first",
        (Some(How::Fin), Some(By::Peer)) => "peer closed first",
        (Some(How::Fin), _) => "closed",
        // Who is first is told by the first FIN or reset: a FIN may have come before the reset.
        (Some(How::Reset), Some(By::Local)) if error.is_some() => "closed here first, then reset by peer",
        (Some(How::Reset), Some(By::Local)) => "reset here",
        (Some(How::Reset), Some(By::Peer)) if life.stats.is_some_and(|stats| stats.fin_received) => {
            "peer closed first, then reset"
        }
        (Some(How::Reset), Some(By::Peer)) => "reset by peer",
        (Some(How::Reset), _) => "ended by the kernel",
        (Some(How::Timeout), Some(By::Local)) => "closed here first, then timed out",
        (Some(How::Timeout), Some(By::Peer)) => "peer closed first, then timed out",
        (Some(How::Timeout), _) => "timed out",
        (Some(How::Refused), _) => "refused by peer",
        (Some(How::Unreachable), _) => "unreachable",
        (Some(How::Failed), _) => "connect failed",
        (Some(How::Aborted), Some(By::Kernel)) => "ended by the kernel while connecting",
        (Some(How::Aborted), _) => "given up while connecting",
        (Some(How::Unaccepted), _) => "never accepted: its listener closed",
        (Some(How::Closed), _) if life.role.is_none() => "closed, never used",
        (Some(How::Closed), _) => "closed",
        (None, Some(By::Local)) => "closed here first; the rest is not known",
        (None, Some(By::Peer)) => "peer closed first; the rest is not known",
        (None, _) => "closed; how is not known",
    });
    if let Some(error) = error.filter(|_| names_its_error(how, by)) {
        let _ = write!(text, " ({})", error.name());
    }
    text
}

/// Whether the errno adds to what the words say.
fn names_its_error(how: Option<How>, by: Option<By>) -> bool {
    !matches!(
        (how, by),
        (Some(How::Refused | How::Fin | How::Closed), _) | (Some(How::Reset), Some(By::Local | By::Peer))
    )
}

/// How a life ended, for a column: the contract's words.
pub(crate) fn short_ending(verdict: &Verdict) -> &'static str {
    match (verdict.how, verdict.by) {
        (Some(How::Fin), Some(By::Local)) => "fin by local",
        (Some(How::Fin), Some(By::Peer)) => "fin by peer",
        (Some(How::Fin), Some(By::Kernel)) => "fin by kernel",
        (Some(How::Reset), Some(By::Local)) => "reset by local",
        (Some(How::Reset), Some(By::Peer)) => "reset by peer",
        (Some(How::Reset), Some(By::Kernel)) => "reset by kernel",
        (Some(how), _) => how.name(),
        (None, _) => "?",
    }
}

/// Whether someone who looks for trouble should see it.
pub(crate) fn is_trouble(verdict: &Verdict) -> bool {
    !matches!(verdict.how, Some(How::Fin | How::Closed) | None)
}

/// What a connection counted.
pub(crate) fn counts(facts: &mut Facts<'_>, life: &Life) {
    if life.role != Some(Role::Listener)
        && let Some(stats) = life.stats
    {
        if let Some(rtt) = life.rtt_us() {
            facts.add(format_args!("rtt {}", Duration(u64::from(rtt) * 1000)));
        }
        if stats.counted && stats.retransmits > 0 {
            facts.add(counted(stats.retransmits.into(), "retransmit"));
        }
    }
}

/// `1 retransmit`, `1,234 retransmits`.
pub(crate) fn counted(count: u64, what: &str) -> String {
    format!("{} {what}{}", grouped(count), if count == 1 { "" } else { "s" })
}

/// `1,234`.
pub(crate) fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Nanoseconds: `0.021 ms`, `12.9 ms`, `1.24 s`, `2 min 03 s`, `1 h 02 min`, `3 d 04 h`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Duration(pub(crate) u64);

impl Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MICROSECOND: u64 = 1_000;
        const SECOND: u64 = 1_000_000_000;
        // Rounds to this many nanoseconds.
        let to = |step: u64| (self.0 + step / 2) / step;
        let two = |first: u64, unit: &str, second: u64, smaller: &str| {
            Digits::new().number(first).text(unit).padded(second, 2).text(smaller)
        };
        let text = match self.0 {
            0 => Digits::new().text("0 ms"),
            1..500 => Digits::new().text("<0.001 ms"),
            // The limits are where rounding would add a digit.
            500..99_500 => decimals(to(MICROSECOND), 1000, 3).text(" ms"),
            99_500..9_995_000 => decimals(to(10 * MICROSECOND), 100, 2).text(" ms"),
            9_995_000..99_950_000 => decimals(to(100 * MICROSECOND), 10, 1).text(" ms"),
            99_950_000..999_500_000 => Digits::new().number(to(1000 * MICROSECOND)).text(" ms"),
            999_500_000..9_995_000_000 => decimals(to(SECOND / 100), 100, 2).text(" s"),
            9_995_000_000..59_950_000_000 => decimals(to(SECOND / 10), 10, 1).text(" s"),
            _ => match self.0 / SECOND + u64::from(self.0 % SECOND >= SECOND / 2) {
                seconds @ ..3_600 => two(seconds / 60, " min ", seconds % 60, " s"),
                seconds @ ..86_400 => two(seconds / 3_600, " h ", seconds / 60 % 60, " min"),
                seconds => two(seconds / 86_400, " d ", seconds / 3_600 % 24, " h"),
            },
        };
        f.pad(text.as_str())
    }
}

/// A number in units of which `one` are 1.
fn decimals(number: u64, one: u64, digits: usize) -> Digits {
    Digits::new().number(number / one).text(".").padded(number % one, digits)
}

/// Bytes: `78 B`, `1.20 kB`, `612 kB`, `3.40 MB`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size(pub(crate) u64);

impl Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 < 1000 {
            return f.pad(Digits::new().number(self.0).text(" B").as_str());
        }
        // A thousandth of the unit, so that three digits can be rounded.
        let (mut thousandths, mut units) = (self.0, [" kB", " MB", " GB", " TB", " PB", " EB"].iter());
        let mut unit = units.next();
        while thousandths >= 999_500 {
            thousandths = thousandths / 1000 + u64::from(thousandths % 1000 >= 500);
            unit = units.next();
        }
        let text = match thousandths {
            ..9_995 => decimals((thousandths + 5) / 10, 100, 2),
            9_995..99_950 => decimals((thousandths + 50) / 100, 10, 1),
            _ => Digits::new().number((thousandths + 500) / 1000),
        };
        f.pad(text.text(unit.unwrap_or(&" EB")).as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_has_three_digits_and_the_unit_a_person_would_say() {
        for (nanoseconds, said) in [
            (0, "0 ms"),
            (499, "<0.001 ms"),
            (21_400, "0.021 ms"),
            (99_499, "0.099 ms"),
            (99_500, "0.10 ms"),
            (210_000, "0.21 ms"),
            (9_994_999, "9.99 ms"),
            (9_995_000, "10.0 ms"),
            (12_900_000, "12.9 ms"),
            (999_499_999, "999 ms"),
            (999_500_000, "1.00 s"),
            (1_240_000_000, "1.24 s"),
            (59_949_999_999, "59.9 s"),
            (59_950_000_000, "1 min 00 s"),
            (123_000_000_000, "2 min 03 s"),
            (3_599_500_000_000, "1 h 00 min"),
            (3_720_000_000_000, "1 h 02 min"),
            (273_600_000_000_000, "3 d 04 h"),
            (u64::MAX, "213503 d 23 h"),
        ] {
            assert_eq!(Duration(nanoseconds).to_string(), said);
        }
    }

    #[test]
    fn a_size_has_three_digits() {
        for (bytes, said) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.00 kB"),
            (1204, "1.20 kB"),
            (9_995, "10.0 kB"),
            (612_400, "612 kB"),
            (999_499, "999 kB"),
            (999_500, "1.00 MB"),
            (3_400_000_000, "3.40 GB"),
            (u64::MAX, "18.4 EB"),
        ] {
            assert_eq!(Size(bytes).to_string(), said);
        }
    }

    #[test]
    fn an_errno_is_named_and_explained() {
        assert_eq!(error(Errno(98)), "EADDRINUSE (address already in use)");
        assert_eq!(error(Errno(5)), "EIO (I/O error)");
        assert_eq!(error(Errno(4000)), "E4000");
    }
}
