//! What goes to stderr while a command runs. Where that can't be written, nobody is there to be told.

use std::{
    io::{self, Write},
    time::Duration,
};

use crate::output::{Degraded, Summary};

/// Everything is attached and the existing sockets are read: scripts wait for this line.
pub(super) fn ready(probes: usize, sockets: usize, took: Duration) {
    line(&format!("ready ({probes} probes, {sockets} existing sockets, {} ms)", took.as_millis()));
}

/// What this run does not see.
pub(super) fn degraded(all: &[Degraded]) {
    // System-call probes come in pairs and fail for the same reason: one line for each reason.
    let mut told: Vec<(&str, &str)> = Vec::new();
    for Degraded { probe, why, lost } in all {
        if told.contains(&(why, lost)) {
            continue;
        }
        told.push((why, lost));
        line(&format!("without {probe}: {lost} can't be shown ({why})"));
    }
}

/// How it went.
pub(super) fn summary(summary: &Summary) {
    let Summary { events, sockets, lost, complete: _ } = summary;
    line(&match lost {
        0 => format!("{events} events, {sockets} sockets, none lost"),
        lost => format!("{events} events, {sockets} sockets; {lost} events lost (a larger --buffer may help)"),
    });
}

fn line(text: &str) {
    let _ = writeln!(io::stderr(), "sockwatch: {text}");
}
