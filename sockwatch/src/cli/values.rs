//! What can stand behind an option. Each function reads one value; its error says what is accepted.

use std::{fs, str::FromStr, time::Duration};

use clap::builder::{PossibleValuesParser, TypedValueParser};
use jiff::{SignedDuration, Timestamp, civil, tz::TimeZone};
use nix::{
    sys::statfs::{NSFS_MAGIC, statfs},
    unistd::User,
};

use super::args::Speed;
use crate::{event::Family, lifecycle::Role, recording::Sync};

/// The smallest ring buffer: one page. It is for the kernel's loader to round up where pages are larger.
const SMALLEST_BUFFER: u64 = 4096;
/// The largest ring buffer.
const LARGEST_BUFFER: u64 = 1 << 30;
/// The highest process id (`PID_MAX_LIMIT` in include/linux/threads.h is the first that is none).
const LAST_PID: u32 = (1 << 22) - 1;
/// The smallest segment of a recording: a quarter of a block.
const SMALLEST_FILE: u64 = 64 << 10;
/// So that a deadline can be computed without thought.
const LONGEST_DURATION: Duration = Duration::from_secs(365 * 24 * 60 * 60);
/// The length of a container's id.
const CONTAINER_ID: usize = 64;

/// Digits and nothing else: `parse` alone would take a plus sign.
fn number<T: FromStr>(text: &str) -> Option<T> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

pub(super) fn port(text: &str) -> Result<u16, &'static str> {
    number(text).filter(|&port| port != 0).ok_or("a port is a number from 1 to 65535")
}

pub(super) fn pid(text: &str) -> Result<u32, &'static str> {
    number(text).filter(|pid| (1..=LAST_PID).contains(pid)).ok_or("a process id is a number from 1 to 4194303")
}

pub(super) fn count(text: &str) -> Result<u64, &'static str> {
    number(text).filter(|&count| count != 0).ok_or("a count is a number, at least 1")
}

/// Rows of a list: so many that each can be kept in memory.
pub(super) fn rows(text: &str) -> Result<usize, &'static str> {
    number(text).filter(|rows| (1..=10_000).contains(rows)).ok_or("a number of rows is from 1 to 10000")
}

/// A number, or the name of a user of this host.
pub(super) fn uid(text: &str) -> Result<u32, String> {
    if let Some(uid) = number(text) {
        return Ok(uid);
    }
    match User::from_name(text) {
        Ok(Some(user)) => Ok(user.uid.as_raw()),
        Ok(None) => Err("neither a user id nor the name of a user of this host".to_owned()),
        Err(error) => Err(format!("not a user id, and users' names can't be looked up ({})", error.desc())),
    }
}

/// An inode number, or the path of a network namespace.
pub(super) fn netns(text: &str) -> Result<u32, String> {
    if let Some(inode) = number(text).filter(|&inode| inode != 0) {
        return Ok(inode);
    }
    let refusal = |why: &str| format!("neither an inode number nor the path of a network namespace ({why})");
    let filesystem = statfs(text).map_err(|error| refusal(error.desc()))?;
    if filesystem.filesystem_type() != NSFS_MAGIC {
        return Err(refusal("that file is no namespace"));
    }
    let metadata = fs::metadata(text).map_err(|error| refusal(&error.to_string()))?;
    u32::try_from(std::os::unix::fs::MetadataExt::ino(&metadata)).map_err(|_| refusal("its inode number is too large"))
}

/// The first digits of a container's id, or all of them.
pub(super) fn container(text: &str) -> Result<String, &'static str> {
    let fits = (1..=CONTAINER_ID).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if fits { Ok(text.to_owned()) } else { Err("a container id begins with 1 to 64 hexadecimal digits") }
}

/// `listener`, `server` or `client`.
pub(super) fn role() -> impl TypedValueParser<Value = Role> {
    const LISTENER: &str = "listener";
    const SERVER: &str = "server";
    PossibleValuesParser::new([LISTENER, SERVER, "client"]).map(|text| match text.as_str() {
        LISTENER => Role::Listener,
        SERVER => Role::Server,
        _ => Role::Client,
    })
}

/// `4` or `6`.
pub(super) fn family() -> impl TypedValueParser<Value = Family> {
    PossibleValuesParser::new(["4", "6"]).map(|text| if text == "4" { Family::Ipv4 } else { Family::Ipv6 })
}

/// Bytes, rounded up to a power of two that a ring buffer can have.
pub(super) fn buffer(text: &str) -> Result<u32, &'static str> {
    const ACCEPTED: &str = "a size is a number of bytes, KiB, MiB or GiB (16MiB, or 16M), more than 0, at most 1GiB";
    let bytes = size(text).filter(|bytes| (1..=LARGEST_BUFFER).contains(bytes)).ok_or(ACCEPTED)?;
    u32::try_from(bytes.max(SMALLEST_BUFFER).next_power_of_two()).map_err(|_| ACCEPTED)
}

/// Bytes of a file that is to hold something.
pub(super) fn file_size(text: &str) -> Result<u64, &'static str> {
    const ACCEPTED: &str = "a size is a number of bytes, KiB, MiB, GiB or TiB (100MiB, or 100M), at least 64KiB";
    size(text).filter(|&bytes| bytes >= SMALLEST_FILE).ok_or(ACCEPTED)
}

fn size(text: &str) -> Option<u64> {
    let (digits, unit) = split_digits(text);
    let unit: u64 = match unit.to_ascii_lowercase().as_str() {
        "" => 1,
        "k" | "kb" | "kib" => 1 << 10,
        "m" | "mb" | "mib" => 1 << 20,
        "g" | "gb" | "gib" => 1 << 30,
        "t" | "tb" | "tib" => 1 << 40,
        _ => return None,
    };
    number::<u64>(digits)?.checked_mul(unit)
}

pub(super) fn keep(text: &str) -> Result<u32, &'static str> {
    number(text).filter(|&count| count != 0).ok_or("it is a number of files, at least 1")
}

/// `always`, `never`, or a time.
pub(super) fn sync(text: &str) -> Result<Sync, &'static str> {
    match text {
        "always" => Ok(Sync::Always),
        "never" => Ok(Sync::Never),
        other => duration(other).map(Sync::Every).map_err(|_| "it is always, never, or a time like 5s"),
    }
}

/// `max`, or a number.
pub(super) fn speed(text: &str) -> Result<Speed, &'static str> {
    match text {
        "max" => Ok(Speed::Max),
        other => number(other)
            .filter(|speed| (1..=1_000_000).contains(speed))
            .map(Speed::Times)
            .ok_or("it is max, or a number: 1 is as fast as it happened, 10 ten times as fast"),
    }
}

/// A moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum When {
    /// This one.
    At(Timestamp),
    /// In the zone of this host.
    Local(civil::DateTime),
    /// On the day that the recording began, in the zone of this host.
    Time(civil::Time),
}

impl When {
    /// When it is, given when the recording began.
    #[must_use]
    pub fn after(self, began: Timestamp) -> Timestamp {
        let zone = TimeZone::system();
        let at = |local: civil::DateTime| zone.to_timestamp(local).unwrap_or(began);
        match self {
            Self::At(timestamp) => timestamp,
            Self::Local(local) => at(local),
            Self::Time(time) => {
                let day = zone.to_datetime(began).date();
                let first = at(day.to_datetime(time));
                // A recording of a night ends on the next day.
                let last_second = began - SignedDuration::from_secs(1);
                if first >= last_second { first } else { at(day.tomorrow().unwrap_or(day).to_datetime(time)) }
            }
        }
    }
}

/// A moment: RFC 3339, or a local date and time, or a time of day.
pub(super) fn when(text: &str) -> Result<When, &'static str> {
    if let Ok(timestamp) = text.parse() {
        return Ok(When::At(timestamp));
    }
    if text.len() > 8 && text.contains('-') {
        if let Ok(local) = text.parse() {
            return Ok(When::Local(local));
        }
    } else if text.contains(':')
        && let Ok(time) = text.parse()
    {
        return Ok(When::Time(time));
    }
    Err("a time is like 2026-11-22T18:04:11Z, '2026-11-22 18:04:11' or 18:04 (local)")
}

/// A number of seconds, or numbers with units, the longest first.
pub(super) fn duration(text: &str) -> Result<Duration, &'static str> {
    const ACCEPTED: &str =
        "a duration is a number of seconds, or like 500ms, 10s, 2m or 1h30m; more than 0, at most 8760h";
    let mut nanoseconds: u128 = 0;
    let mut shortest = u64::MAX;
    let mut rest = text;
    while !rest.is_empty() {
        let (whole, after) = split_digits(rest);
        let (fraction, after) = after.strip_prefix('.').map_or(("0", after), split_digits);
        let (unit, next) = after.split_at(after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len()));
        let length: u64 = match unit {
            "h" => 3_600_000_000_000,
            "m" => 60_000_000_000,
            "s" => 1_000_000_000,
            "ms" => 1_000_000,
            // Alone, it is seconds.
            "" if rest.len() == text.len() => 1_000_000_000,
            _ => return Err(ACCEPTED),
        };
        if length >= shortest {
            return Err(ACCEPTED);
        }
        shortest = length;
        // What is beyond is less than a nanosecond.
        let fraction = &fraction[..fraction.len().min(15)];
        let (Some(whole), Some(part)) = (number::<u64>(whole), number::<u64>(fraction)) else { return Err(ACCEPTED) };
        nanoseconds += u128::from(whole) * u128::from(length);
        nanoseconds += u128::from(part) * u128::from(length) / 10_u128.pow(fraction.len() as u32);
        rest = next;
    }
    let nanoseconds = u64::try_from(nanoseconds).map_err(|_| ACCEPTED)?;
    let duration = Duration::from_nanos(nanoseconds);
    if duration.is_zero() || duration > LONGEST_DURATION { Err(ACCEPTED) } else { Ok(duration) }
}

fn split_digits(text: &str) -> (&str, &str) {
    text.split_at(text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn ports_pids_and_counts_are_numbers_in_their_range() {
        for (text, expected) in [("1", Some(1)), ("80", Some(80)), ("0080", Some(80)), ("65535", Some(65535))] {
            assert_eq!(port(text).ok(), expected, "{text}");
        }
        for text in ["", "0", "65536", "70000", "-1", "+80", " 80", "80 ", "0x50", "8_0", "http", "८०", "99999999999"]
        {
            assert!(port(text).is_err(), "{text}");
        }
        for (text, expected) in
            [("1", Some(1)), ("4194303", Some(LAST_PID)), ("4194304", None), ("0", None), ("-1", None)]
        {
            assert_eq!(pid(text).ok(), expected, "{text}");
        }
        for (text, expected) in
            [("1", Some(1)), ("18446744073709551615", Some(u64::MAX)), ("18446744073709551616", None), ("0", None)]
        {
            assert_eq!(count(text).ok(), expected, "{text}");
        }
    }

    #[test]
    fn a_user_is_an_id_or_a_name_that_this_host_knows() {
        for (text, expected) in [("0", 0), ("root", 0), ("1000", 1000), ("4294967295", u32::MAX)] {
            assert_eq!(uid(text), Ok(expected), "{text}");
        }
        for text in ["", "no-such-user", "-1", "+0", "4294967296"] {
            assert_eq!(uid(text).unwrap_err(), "neither a user id nor the name of a user of this host", "{text}");
        }
    }

    #[test]
    fn a_network_namespace_is_an_inode_number_or_a_path() {
        assert_eq!(netns("4026531840"), Ok(4_026_531_840));
        let here = fs::metadata("/proc/self/ns/net").unwrap().ino();
        assert_eq!(netns("/proc/self/ns/net").map(u64::from), Ok(here));
    }

    #[test]
    fn a_path_that_is_no_network_namespace_is_refused_with_the_reason() {
        for (text, why) in [
            ("/no/such/file", "No such file or directory"),
            ("", "No such file or directory"),
            ("0", "No such file or directory"),
            ("4294967296", "No such file or directory"),
            ("/proc/self/status", "that file is no namespace"),
            ("/", "that file is no namespace"),
        ] {
            let message = netns(text).unwrap_err();
            assert!(message.ends_with(&format!("({why})")), "{text}: {message}");
        }
    }

    #[test]
    fn a_container_is_named_by_the_first_digits_of_its_id() {
        for (text, good) in [
            ("a", true),
            ("0123456789abcdef", true),
            ("DEADBEEF", true),
            (&*"f".repeat(64), true),
            (&*"f".repeat(65), false),
            ("", false),
            ("nginx", false),
            ("12 ", false),
            ("é", false),
        ] {
            assert_eq!(container(text).is_ok(), good, "{text}");
        }
    }

    #[test]
    fn a_buffer_is_rounded_up_to_what_the_kernel_takes() {
        for (text, bytes) in [
            ("1", 4096),
            ("4096", 4096),
            ("4097", 8192),
            ("1k", 4096),
            ("5K", 8192),
            ("64kb", 65536),
            ("64KiB", 65536),
            ("16MiB", 16 << 20),
            ("16M", 16 << 20),
            ("17mb", 32 << 20),
            ("1G", 1 << 30),
            ("1GiB", 1 << 30),
            ("1gb", 1 << 30),
            ("1073741824", 1 << 30),
        ] {
            assert_eq!(buffer(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn what_is_no_size_or_too_large_is_refused() {
        for text in [
            "",
            "0",
            "0M",
            "M",
            "-1",
            "+1",
            "1.5M",
            "16 M",
            "16T",
            "16MiBs",
            "0x10",
            "1073741825",
            "2G",
            "1025M",
            "99999999999999999999",
            "18446744073709551615G",
            "1é",
        ] {
            assert!(buffer(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_duration_is_seconds_or_has_units() {
        for (text, milliseconds) in [
            ("10", 10_000),
            ("1.5", 1_500),
            ("10s", 10_000),
            ("500ms", 500),
            ("0.5ms", 0),
            ("2m", 120_000),
            ("1h", 3_600_000),
            ("1h30m", 5_400_000),
            ("1h0m1s5ms", 3_601_005),
            ("1.5h30s", 5_430_000),
            ("1.5s", 1_500),
            ("0.001", 1),
            ("1.0009999999999999999999999", 1_000),
            ("90m", 5_400_000),
            ("8760h", 31_536_000_000),
        ] {
            assert_eq!(duration(text).map(|found| found.as_millis()), Ok(milliseconds), "{text}");
        }
        assert_eq!(duration("0.5ms"), Ok(Duration::from_micros(500)));
        assert_eq!(duration("0.000000001"), Ok(Duration::from_nanos(1)));
    }

    #[test]
    fn what_is_no_duration_or_endless_or_none_at_all_is_refused() {
        for text in [
            "",
            "0",
            "0s",
            "0h0m",
            "0.0000000001",
            "-1",
            "-1s",
            "+1",
            "s",
            ".5",
            "5.",
            "1.s",
            "1..5",
            "1h30",
            "30m1h",
            "1s1s",
            "10 s",
            "10S",
            "10sec",
            "1d",
            "1e3",
            "inf",
            "8760h1ms",
            "18446744073709551615h",
            "99999999999999999999",
            "1é",
            "٣s",
        ] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
