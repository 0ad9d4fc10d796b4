//! What is counted of a process, a peer, a failure.

use std::sync::Arc;

use super::{
    Id,
    bounded::{Bounded, Weigh},
    durations::Histogram,
    findings::{Only, Resets, SameProgram},
    path::Failure,
};
use crate::{
    event::Endpoint,
    lifecycle::{By, How, Life, Role, Verdict},
};

/// What sockets can come to: the names of [`How`], and what has none.
pub(super) const ENDS: [&str; 11] = [
    "open",
    "fin",
    "closed",
    "reset",
    "refused",
    "timeout",
    "unreachable",
    "failed",
    "aborted",
    "unaccepted",
    "unknown",
];

/// Distributions of all connections that pass.
#[derive(Debug, Default)]
pub(super) struct TimesOf {
    pub(super) handshake: Histogram,
    pub(super) queue: Histogram,
    pub(super) connect: Histogram,
    pub(super) lifetime: Histogram,
}

/// Connections of a process, with a peer, or all.
#[derive(Debug, Default)]
pub(super) struct Traffic {
    pub(super) servers: u64,
    pub(super) clients: u64,
    pub(super) failed: u64,
    pub(super) received: u64,
    pub(super) sent: u64,
    pub(super) uncounted: u64,
    pub(super) pid: Only<Option<u32>>,
    pub(super) port: Only<Option<u16>>,
}

impl Weigh for Traffic {
    fn weight(&self) -> u64 {
        self.servers + self.clients
    }
}

impl Traffic {
    pub(super) fn add(&mut self, life: &Life, failed: bool) {
        match life.role {
            Some(Role::Server) => self.servers += 1,
            _ => self.clients += 1,
        }
        self.failed += u64::from(failed);
        match life.bytes() {
            Some(bytes) => {
                self.received = self.received.saturating_add(bytes.received);
                self.sent = self.sent.saturating_add(bytes.sent);
            }
            None => self.uncounted += 1,
        }
    }

    /// Payload received and sent, if any was counted.
    pub(super) fn bytes(&self) -> Option<(u64, u64)> {
        (self.uncounted < self.weight()).then_some((self.received, self.sent))
    }
}

/// Failures that are alike.
#[derive(PartialEq, Eq, Hash, Debug)]
pub(super) struct Failing {
    pub(super) what: &'static str,
    pub(super) error: Option<i32>,
    pub(super) end: Option<Endpoint>,
    pub(super) by: Option<SameProgram>,
}

/// How often they were.
#[derive(Debug, Default)]
pub(super) struct Often {
    pub(super) count: u64,
    pub(super) pid: Only<Option<u32>>,
    pub(super) example: Option<Id>,
}

impl Weigh for Often {
    fn weight(&self) -> u64 {
        self.count
    }
}

/// Resets of connections with one peer.
#[derive(Debug, Default)]
pub(super) struct ResetsOf {
    pub(super) resets: Resets,
    pub(super) port: Only<Option<u16>>,
}

impl Weigh for ResetsOf {
    fn weight(&self) -> u64 {
        self.resets.total()
    }
}

impl Resets {
    pub(super) fn add(&mut self, verdict: Verdict) {
        *match verdict.by {
            Some(By::Local) => &mut self.local,
            Some(By::Peer) => &mut self.peer,
            Some(By::Kernel) => &mut self.kernel,
            None => &mut self.unknown,
        } += 1;
    }

    pub(super) fn total(&self) -> u64 {
        let Self { local, peer, kernel, unknown } = self;
        local + peer + kernel + unknown
    }
}

pub(super) fn count(failures: &mut Bounded<Failing, Often>, id: Id, failure: &Failure<'_>) {
    let Failure { what, error, end, by } = failure;
    let by = by.map(|process| SameProgram(Arc::clone(process)));
    let pid = by.as_ref().and_then(|by| by.0.pid);
    let row = failures.of(Failing { what, error: error.map(|error| error.0), end: *end, by });
    row.count += 1;
    row.pid.add(pid);
    row.example.get_or_insert(id);
}

/// Which of [`ENDS`] it came to.
pub(super) fn end_of(life: &Life) -> usize {
    let name = match life.verdict() {
        None => "open",
        Some(verdict) => verdict.how.map_or("unknown", How::name),
    };
    ENDS.iter().position(|&end| end == name).unwrap_or(ENDS.len() - 1)
}
