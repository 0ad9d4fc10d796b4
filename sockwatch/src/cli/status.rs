//! What goes to stderr while a command runs. Where that can't be written, nobody is there to be told.

use std::{
    fmt,
    io::{self, Write},
    time::Duration,
};

use super::live::Ready;
use crate::{
    follow::board::{Board, Happens},
    kernel::Causes,
    output::{Degraded, Summary, text::words::grouped},
    recording::{Damage, Finished},
    select::Target,
    untrusted::Untrusted,
};

/// Everything is attached and the existing sockets are read: scripts wait for this line.
pub(super) fn ready(ready: &Ready) {
    let Ready { probes, sockets, took } = ready;
    line(&format!("ready ({probes} probes, {sockets} existing sockets, {} ms)", took.as_millis()));
}

/// What this run does not see. What fails for the same reason is told in one line.
pub(super) fn degraded(all: &[Degraded]) {
    let mut reasons: Vec<&str> = all.iter().map(|degraded| degraded.why.as_str()).collect();
    reasons.sort_unstable();
    reasons.dedup();
    for reason in reasons {
        let same = all.iter().filter(|degraded| degraded.why == reason);
        let (probes, lost): (Vec<&str>, Vec<&str>) =
            same.map(|degraded| (degraded.probe.as_str(), degraded.lost.as_str())).unzip();
        line(&format!("without {}: {reason}. Not shown: {}", probes.join(", "), lost.join("; ")));
    }
}

/// Where events were lost on their way from the kernel, and what may help.
fn remedy(causes: &Causes) -> String {
    let Causes { unfit, refused, unnoted, skipped } = causes;
    let places: Vec<String> = skipped.iter().map(|(probe, count)| format!("{count} at {probe}")).collect();
    let skips: u64 = skipped.iter().map(|(_, count)| count).sum();
    let all = [
        (*unfit, "a larger --buffer may help".to_owned()),
        (
            *unnoted,
            "the kernel had no memory for them: the control group that sockwatch runs in may be at its limit"
                .to_owned(),
        ),
        (*refused, "the kernel gave them no place in the buffer, though it had room".to_owned()),
        (skips, format!("the kernel skipped sockwatch's programs: {}", places.join(", "))),
    ];
    let told: Vec<&(u64, String)> = all.iter().filter(|(count, _)| *count > 0).collect();
    match told[..] {
        [] => String::new(),
        [(_, why)] => format!(" ({why})"),
        _ => {
            let each: Vec<String> = told.iter().map(|(count, why)| format!("{count}: {why}")).collect();
            format!(" ({})", each.join("; "))
        }
    }
}

/// Why the run was not complete, where stdout tells all else.
pub(super) fn losses(summary: &Summary, causes: &Causes) {
    if let Some(missing) = missing_of(summary, |lost| events_lost(lost, causes)) {
        line(&missing);
    }
}

fn events_lost(lost: u64, causes: &Causes) -> String {
    format!("{lost} events lost{}", remedy(causes))
}

fn events_missing(lost: u64) -> String {
    format!("{lost} events are missing")
}

/// What is missing; of events that were counted as lost, in these words.
fn missing_of(summary: &Summary, counted: impl FnOnce(u64) -> String) -> Option<String> {
    match *summary {
        Summary { lost: 0, complete: true, .. } => None,
        Summary { lost: 0, gaps, .. } => Some(uncounted(gaps).to_owned()),
        Summary { lost, .. } => Some(counted(lost)),
    }
}

/// How much was seen, and what is missing of it.
fn seen(summary: &Summary, counted: impl FnOnce(u64) -> String) {
    let Summary { events, sockets, .. } = summary;
    let missing = missing_of(summary, counted).map_or(", none lost".to_owned(), |missing| format!("; {missing}"));
    line(&format!("{events} events, {sockets} sockets{missing}"));
}

/// Why a run was not complete of which nothing was counted as lost.
fn uncounted(gaps: u64) -> &'static str {
    if gaps > 0 {
        "events were lost, it is not known how many"
    } else {
        "some sockets are incomplete: events about them are missing"
    }
}

/// How it went.
pub(super) fn summary(summary: &Summary, causes: &Causes) {
    seen(summary, |lost| events_lost(lost, causes));
}

/// There is no socket to list.
pub(super) fn nothing(target: Option<&Target>, filtered: bool) {
    line(&match target {
        Some(target) if !filtered => format!("nobody listens on {target} or is connected to it"),
        _ if filtered => "no socket passes the filters".to_owned(),
        _ => "no socket exists".to_owned(),
    });
}

/// What was seen of a target.
pub(super) fn followed(elapsed: Duration, board: &Board, events: u64, causes: &Causes) {
    let count = |happens: &Happens, what: &str| format!("{} {what}", grouped(happens.total));
    let seen = [
        count(&board.connected, "established"),
        count(&board.accepted, "accepted"),
        count(&board.closed, "closed"),
        count(&board.failed, "failed"),
    ];
    let lost = match board.lost {
        0 if board.gaps == 0 && board.incomplete == 0 => "none lost".to_owned(),
        0 => uncounted(board.gaps).to_owned(),
        lost => format!("{lost} lost{}", remedy(causes)),
    };
    let seconds = elapsed.as_secs_f64();
    line(&format!("followed for {seconds:.1} s; connections: {}; {events} events, {lost}", seen.join(", ")));
}

/// How a replay went. What was lost is not the reader's fault.
pub(super) fn replayed(summary: &Summary) {
    seen(summary, events_missing);
}

/// What is missing from a replay, where stdout tells all else.
pub(super) fn missing(summary: &Summary) {
    if let Some(missing) = missing_of(summary, events_missing) {
        line(&missing);
    }
}

/// Nothing can be written.
pub(super) fn not_recorded(why: &str) {
    line(&format!(
        "can't write the recording: {why}. It goes on: what happens meanwhile is missing from it, and counted"
    ));
}

/// It can again.
pub(super) fn recorded_again(dropped: u64) {
    line(&format!("recording again; {dropped} events are missing so far"));
}

/// What became of a recording. Returns whether it is complete.
pub(super) fn recorded(finished: &Finished) -> bool {
    let Finished { written, events, dropped, unclosed } = finished;
    let mut text = format!("recorded {events} events about sockets in {}", Bytes(*written));
    if *dropped > 0 {
        text.push_str(&format!("; {dropped} could not be written"));
    }
    if let Some(why) = unclosed {
        text.push_str(&format!("; it could not be closed in order: {why}"));
    }
    line(&text);
    *dropped == 0 && unclosed.is_none()
}

/// The line at the bottom while it records.
pub(super) fn recording(elapsed: Duration, events: u64, sockets: usize, bytes: u64, lost: u64) -> String {
    let seconds = elapsed.as_secs();
    let lost = if lost == 0 { "none lost".to_owned() } else { format!("{lost} lost") };
    format!(
        "recording {}:{:02}:{:02} · {events} events · {sockets} sockets open · {} · {lost}",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60,
        Bytes(bytes)
    )
}

/// What was saved.
pub(super) fn repaired(blocks: u64, events: u64, missing: u64) {
    let missing = if missing == 0 { String::new() } else { format!("; {missing} events are missing") };
    line(&format!("saved {events} events in {blocks} blocks{missing}"));
}

/// What is wrong with recordings. Returns whether nothing is.
pub(super) fn damage(all: &[(String, Damage)]) -> bool {
    for (name, damage) in all {
        line(&format!("{name}: {}", wrong(damage).join("; ")));
    }
    all.is_empty()
}

/// What is wrong with a recording, in words.
pub(super) fn wrong(damage: &Damage) -> Vec<String> {
    let Damage { bytes, missing, foreign, malformed, unclosed } = damage;
    let mut words = Vec::new();
    if *bytes > 0 {
        words.push(format!("{bytes} bytes are damaged"));
    }
    if *missing > 0 {
        words.push(format!("{missing} blocks are missing"));
    }
    if *foreign > 0 {
        words.push(format!("{foreign} blocks do not belong there"));
    }
    if *malformed > 0 {
        words.push(format!("{malformed} blocks can't be understood"));
    }
    if *unclosed {
        words.push(
            "it was not closed: the recorder was killed, or is still at it; up to a second may be missing".into(),
        );
    }
    words
}

/// `78 bytes`, `1.2 MB`.
pub(super) struct Bytes(pub(super) u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            bytes @ 0..1_000 => write!(f, "{bytes} bytes"),
            bytes @ 1_000..1_000_000 => write!(f, "{:.1} kB", bytes as f64 / 1e3),
            bytes @ 1_000_000..1_000_000_000 => write!(f, "{:.1} MB", bytes as f64 / 1e6),
            bytes => write!(f, "{:.2} GB", bytes as f64 / 1e9),
        }
    }
}

fn line(text: &str) {
    let _ = writeln!(io::stderr(), "sockwatch: {}", Untrusted::new(text.as_bytes()));
}

#[cfg(test)]
mod tests {
    use super::{Causes, remedy};

    #[test]
    fn a_larger_buffer_is_advised_only_where_the_buffer_was_full() {
        let skipped = || vec![("syscalls/accept".to_owned(), 2), ("tp_btf/tcp_send_reset".to_owned(), 1)];
        for (causes, told) in [
            (Causes::default(), ""),
            (Causes { unfit: 3, ..Causes::default() }, " (a larger --buffer may help)"),
            (
                Causes { unnoted: 3, ..Causes::default() },
                " (the kernel had no memory for them: the control group that sockwatch runs in may be at its limit)",
            ),
            (
                Causes { refused: 1, ..Causes::default() },
                " (the kernel gave them no place in the buffer, though it had room)",
            ),
            (
                Causes { skipped: skipped(), ..Causes::default() },
                " (the kernel skipped sockwatch's programs: 2 at syscalls/accept, 1 at tp_btf/tcp_send_reset)",
            ),
            (
                Causes { unfit: 4, skipped: skipped(), ..Causes::default() },
                " (4: a larger --buffer may help; 3: the kernel skipped sockwatch's programs: 2 at syscalls/accept, \
                 1 at tp_btf/tcp_send_reset)",
            ),
        ] {
            assert_eq!(remedy(&causes), told);
        }
    }
}
