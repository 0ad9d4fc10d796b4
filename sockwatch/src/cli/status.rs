//! What goes to stderr while a command runs. Where that can't be written, nobody is there to be told.

use std::{
    io::{self, Write},
    time::Duration,
};

use crate::{
    output::{Degraded, Summary},
    untrusted::Untrusted,
};

/// Everything is attached and the existing sockets are read: scripts wait for this line.
pub(super) fn ready(probes: usize, sockets: usize, took: Duration) {
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

/// How it went.
pub(super) fn summary(summary: &Summary) {
    let Summary { events, sockets, lost, complete } = summary;
    line(&match lost {
        0 if !complete => {
            format!("{events} events, {sockets} sockets; some are incomplete: events about them are missing")
        }
        0 => format!("{events} events, {sockets} sockets, none lost"),
        lost => format!("{events} events, {sockets} sockets; {lost} events lost (a larger --buffer may help)"),
    });
}

fn line(text: &str) {
    let _ = writeln!(io::stderr(), "sockwatch: {}", Untrusted::new(text.as_bytes()));
}
