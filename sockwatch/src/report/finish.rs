//! From counts to findings.

use std::{cmp::Reverse, net::IpAddr};

use super::{
    Aggregate, Facts, Id, Run,
    bounded::{Bounded, Weigh},
    counts::{ENDS, Failing, Often, ResetsOf, Traffic},
    durations::Histogram,
    findings::{
        Band, Example, Failed, Findings, Host, List, Named, Only, Program, Rates, Recording, ResetPeer, SameProgram,
        Text, Times, Traffic as TrafficRow, Wall,
    },
    timeline::Timeline,
    top::Top,
};
use crate::event::Errno;

/// Most intervals of the rates.
const INTERVALS: usize = 240;

impl Aggregate {
    /// Everything was told. Returns the report, and what its timeline shows.
    #[must_use]
    pub fn finish(self, facts: &Facts) -> (Findings, Option<Timeline>) {
        let Self {
            filter: _,
            options,
            runs,
            span,
            gaps,
            sockets,
            incomplete,
            omitted,
            roles,
            ends,
            all,
            times,
            lifetimes,
            rates,
            listeners,
            processes,
            peers,
            failed_connects,
            failed_calls,
            resets,
            reset_peers,
            retransmits,
            slowest_handshakes,
            slowest_connects,
            longest_queued,
            most_retransmits,
            longest,
            timeline,
        } = self;
        let Facts { starts, events, lost, unreadable, complete } = facts;
        let top = options.top;
        let bytes = all.bytes();
        let named = |names: &[&'static str], counts: &[u64]| {
            names.iter().zip(counts).map(|(&name, &count)| Named { name, count }).collect()
        };
        let findings = Findings {
            version: env!("CARGO_PKG_VERSION"),
            recordings: starts
                .iter()
                .map(|start| Recording {
                    host: Text(start.host.clone()),
                    kernel: Text(start.kernel.clone()),
                    boot_id: Text(start.boot_id.clone()),
                })
                .collect(),
            first: span.map(|(first, _)| Wall::new(first)),
            last: span.map(|(_, last)| Wall::new(last)),
            duration_ns: span.map(|(first, last)| u64::try_from(last - first).unwrap_or(u64::MAX)),
            events: *events,
            lost: *lost,
            unreadable: *unreadable,
            complete: *complete && *lost == 0 && gaps == 0 && *unreadable == 0 && incomplete == 0,
            sockets,
            incomplete_sockets: incomplete,
            omitted_steps: omitted,
            roles: named(&["listener", "server", "client", "none"], &roles),
            ends: named(&ENDS, &ends),
            connections: all.weight(),
            failed_connections: all.failed,
            received: bytes.map(|(received, _)| received),
            sent: bytes.map(|(_, sent)| sent),
            uncounted: all.uncounted,
            rates: span
                .and_then(|span| rates.series(INTERVALS, span))
                .map(|series| Rates { since: Wall::new(series.since), series }),
            times: vec![
                quantiles("handshake", &times.handshake),
                quantiles("accept_queue", &times.queue),
                quantiles("connect", &times.connect),
                quantiles("lifetime", &times.lifetime),
            ],
            lifetimes: lifetimes.rows().map(|(below_ns, count)| Band { below_ns, count }).collect(),
            listeners: listeners.finish(top, |id| name(&runs, id)),
            processes: list(processes, top, |key, traffic| {
                let program = key.map_or_else(Program::unknown, |SameProgram(process)| Program::of(&process));
                traffic.row(several(program, traffic.pid))
            }),
            peers: list(peers, top, |address, traffic| {
                traffic.row(Host { address, port: traffic.port.one().flatten() })
            }),
            failed_connects: list(failed_connects, top, |key, often| failed(&runs, key, &often)),
            failed_calls: list(failed_calls, top, |key, often| failed(&runs, key, &often)),
            slowest_handshakes: examples(slowest_handshakes),
            slowest_connects: examples(slowest_connects),
            longest_queued: examples(longest_queued),
            resets,
            reset_peers: list(reset_peers, top, |address, of: ResetsOf| ResetPeer {
                host: Host { address, port: of.port.one().flatten() },
                resets: of.resets,
            }),
            retransmits,
            most_retransmits: examples(most_retransmits),
            longest: examples(longest),
        };
        (findings, timeline)
    }
}

impl Traffic {
    fn row<T>(&self, whose: T) -> TrafficRow<T> {
        let bytes = self.bytes();
        TrafficRow {
            whose,
            connections: self.weight(),
            servers: self.servers,
            clients: self.clients,
            failed: self.failed,
            received: bytes.map(|(received, _)| received),
            sent: bytes.map(|(_, sent)| sent),
            uncounted: self.uncounted,
        }
    }
}

/// What orders rows of the same weight, so that a report is the same each time it is made.
trait Order {
    type By: Ord;
    fn order(&self) -> Self::By;
}

impl Order for Option<SameProgram> {
    type By = Option<(Vec<u8>, Option<Box<str>>)>;

    fn order(&self) -> Self::By {
        self.as_ref().map(|SameProgram(process)| (process.name.as_bytes().to_vec(), process.container.clone()))
    }
}

impl Order for Option<IpAddr> {
    type By = Self;

    fn order(&self) -> Self {
        *self
    }
}

impl Order for Failing {
    type By = (&'static str, Option<i32>, Option<(IpAddr, u16)>, <Option<SameProgram> as Order>::By);

    fn order(&self) -> Self::By {
        (self.what, self.error, self.end.map(|end| (end.address, end.port)), self.by.order())
    }
}

/// The heaviest rows.
fn list<K, V, T>(counts: Bounded<K, V>, top: usize, mut row: impl FnMut(K, V) -> T) -> List<T>
where
    K: Order + std::hash::Hash + Eq,
    V: Weigh,
{
    let lower_bound = counts.is_lower_bound();
    let mut rows: Vec<(K, V)> = counts.into_rows().collect();
    let total = rows.len() as u64;
    rows.sort_by_cached_key(|(key, value)| (Reverse(value.weight()), key.order()));
    rows.truncate(top);
    List { total, lower_bound, rows: rows.into_iter().map(|(key, value)| row(key, value)).collect() }
}

fn examples(top: Top<Example>) -> List<Example> {
    let total = top.offered();
    List { total, lower_bound: false, rows: top.into_rows().into_iter().map(|(_, example)| example).collect() }
}

fn failed(runs: &[Run], key: Failing, often: &Often) -> Failed {
    let Failing { what, error, end, by } = key;
    Failed {
        what,
        error: error.map(Errno),
        address: end,
        process: by.map(|SameProgram(process)| several(Program::of(&process), often.pid)),
        count: often.count,
        socket: often.example.map_or_else(String::new, |id| name(runs, id)),
    }
}

/// Several processes of one name have no pid.
fn several(program: Program, pid: Only<Option<u32>>) -> Program {
    Program { pid: pid.one().flatten(), several: pid == Only::Several, ..program }
}

fn name(runs: &[Run], id: Id) -> String {
    runs[id.run].scene.id(id.number).to_string()
}

fn quantiles(name: &'static str, of: &Histogram) -> Times {
    let at = |share| of.quantile(share);
    Times { name, count: of.count(), p50_ns: at(0.5), p90_ns: at(0.9), p99_ns: at(0.99), max_ns: of.max() }
}
