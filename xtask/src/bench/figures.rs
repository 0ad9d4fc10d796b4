//! What rounds come to.

use std::collections::BTreeMap;

use serde::Serialize;

use super::costs::{Cost, Taken};
use super::load::Mix;
use super::programs::Counts;
use super::rounds::{Cell, Entry, Round};
use super::stats::{Spread, per};
use super::tools::Tool;

/// Of one tool under one load.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Figures {
    pub(crate) tool: &'static str,
    pub(crate) mix: Mix,
    /// Why it did not run, where it did not: the first reason.
    pub(crate) did_not_run: Option<String>,
    /// Connections a second.
    pub(crate) rate: Option<Spread>,
    /// The same as a part of what was reached with nothing attached right before and after.
    pub(crate) of_bare: Option<Spread>,
    /// Processor time of the tool for a million changes of state, seconds.
    pub(crate) cpu_per_million_changes: Option<Spread>,
    /// Processor time of the tool for an event that it received, microseconds.
    pub(crate) cpu_us_per_event: Option<Spread>,
    /// What part of that was in user space.
    pub(crate) user_share: Option<Spread>,
    /// Events lost, in all rounds.
    pub(crate) lost: Option<u64>,
    /// Events received, in all rounds.
    pub(crate) events: Option<u64>,
    /// Peak memory, bytes.
    pub(crate) peak_memory: Option<Spread>,
    /// Bytes of the file, for an event.
    pub(crate) bytes_per_event: Option<Spread>,
    /// Start to ready, milliseconds.
    pub(crate) ready_ms: Option<Spread>,
}

/// What programs of one tool cost in the kernel.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct KernelCost {
    pub(crate) tool: &'static str,
    pub(crate) mix: Mix,
    pub(crate) did_not_run: Option<String>,
    /// Nanoseconds at a change of state, in the programs that run there.
    pub(crate) ns_per_change: Option<Spread>,
    /// As above, less what the counting takes.
    pub(crate) ns_per_change_uncounted: Option<Spread>,
    /// The same with everything else that its programs do, for a change of state.
    pub(crate) ns_per_change_in_all: Option<Spread>,
    /// For a connection.
    pub(crate) ns_per_connection: Option<Spread>,
    /// Changes of state for a connection.
    pub(crate) changes_per_connection: Option<Spread>,
    /// Nanoseconds a run, by program; and how often it ran for a connection.
    pub(crate) programs: BTreeMap<String, (Spread, Spread)>,
}

impl KernelCost {
    /// Of a tool.
    pub(crate) fn of(tool: Tool, mix: Mix, costs: &[Cost]) -> Self {
        let mine = || costs.iter().filter(move |cost| cost.tool == tool && cost.mix == mix);
        let taken: Vec<&Taken> = mine().filter_map(|cost| cost.measured.as_ref().ok()).collect();
        let spread = |of: &dyn Fn(&Taken) -> Option<f64>| Spread::of(taken.iter().filter_map(|taken| of(taken)));
        let connected = |taken: &Taken| taken.counted.connected as f64;
        let mut programs = BTreeMap::new();
        for name in taken.iter().flat_map(|taken| taken.programs.keys()) {
            let of = |figure: &dyn Fn(&Counts, &Taken) -> Option<f64>| {
                spread(&|taken| figure(taken.programs.get(name)?, taken))
            };
            let each = of(&|counts, _| per(counts.time_ns as f64, counts.runs as f64));
            let often = of(&|counts, taken| per(counts.runs as f64, connected(taken)));
            if let (Some(each), Some(often)) = (each, often) {
                programs.insert(name.clone(), (each, often));
            }
        }
        Self {
            tool: tool.name(),
            mix,
            did_not_run: mine().find_map(|cost| cost.measured.as_ref().err().cloned()).filter(|_| taken.is_empty()),
            ns_per_change: spread(&|taken| per(taken.state_ns as f64, taken.changes as f64)),
            ns_per_change_uncounted: spread(&|taken| {
                let counting = taken.empty.each()? * taken.state_runs as f64;
                per((taken.state_ns as f64 - counting).max(0.0), taken.changes as f64)
            }),
            ns_per_change_in_all: spread(&|taken| per(taken.all_ns as f64, taken.changes as f64)),
            ns_per_connection: spread(&|taken| per(taken.all_ns as f64, connected(taken))),
            changes_per_connection: spread(&|taken| per(taken.changes as f64, connected(taken))),
            programs,
        }
    }
}

impl Figures {
    /// Of a tool. `changes` is how many changes of state a connection of this load makes, if that is known.
    pub(crate) fn of(tool: Tool, mix: Mix, rounds: &[Round], changes: Option<f64>) -> Self {
        let rounds: Vec<&Round> = rounds.iter().filter(|round| round.mix == mix).collect();
        let entries: Vec<&Entry> = rounds.iter().flat_map(|round| round.of(tool)).collect();
        let cells: Vec<&Cell> = entries.iter().filter_map(|entry| entry.measured.as_ref().ok()).collect();
        let why = entries.iter().find_map(|entry| entry.measured.as_ref().err().cloned());
        let spread = |of: &dyn Fn(&Cell) -> Option<f64>| Spread::of(cells.iter().filter_map(|cell| of(cell)));
        let sum = |of: &dyn Fn(&Cell) -> Option<u64>| {
            if cells.is_empty() { None } else { cells.iter().map(|cell| of(cell)).sum::<Option<u64>>() }
        };
        let pair = |entry: &&Entry| Some((Some(entry.measured.as_ref().ok()?.counted.rate), entry.bare()));
        let cpu = |cell: &Cell| Some(cell.cpu_ns? as f64);
        Self {
            tool: tool.name(),
            mix,
            did_not_run: why,
            rate: spread(&|cell| Some(cell.counted.rate)),
            of_bare: Spread::of_ratios(entries.iter().filter_map(pair)),
            cpu_per_million_changes: spread(&|cell| {
                per(cpu(cell)? / 1e9, cell.counted.connected as f64 * changes? / 1e6)
            }),
            cpu_us_per_event: spread(&|cell| {
                // A port that is quiet has no events to speak of.
                let events = cell.events.filter(|&events| events > cell.counted.connected)?;
                per(cpu(cell)? / 1e3, events as f64)
            }),
            user_share: spread(&|cell| cell.user_share),
            lost: sum(&|cell| cell.lost),
            events: sum(&|cell| cell.events),
            peak_memory: spread(&|cell| Some(cell.peak_memory? as f64)),
            bytes_per_event: spread(&|cell| per(cell.bytes? as f64, cell.events? as f64)),
            ready_ms: spread(&|cell| cell.ready_ms),
        }
    }
}

/// How many changes of state a connection makes: as those tools see it that see them all.
pub(crate) fn changes(mix: Mix, costs: &[KernelCost]) -> Option<f64> {
    let seen = costs.iter().filter(|cost| cost.mix == mix).filter_map(|cost| cost.changes_per_connection);
    Some(Spread::of(seen.map(|spread| spread.median))?.median)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::load::{Counted, Counters};

    fn cell(rate: f64, events: Option<u64>, lost: Option<u64>) -> Cell {
        Cell {
            counted: Counted { connected: 1000, rate, ..Counted::default() },
            kernel: Counters::default(),
            cpu_ns: events.map(|events| events * 700),
            user_share: None,
            events,
            lost,
            peak_memory: None,
            bytes: None,
            ready_ms: None,
            idle: 0.0,
            others: 0.0,
            stolen: 0.0,
            attached: Vec::new(),
        }
    }

    fn round(bare: f64, record: Result<Cell, String>) -> Round {
        let entry = |tool, measured, beside| Entry { tool, measured, beside };
        let nothing = || entry(Tool::Bare, Ok(cell(bare, None, None)), (None, None));
        let beside = (Some(bare - 100.0), Some(bare + 100.0));
        let entries = vec![nothing(), entry(Tool::Record, record, beside), nothing()];
        Round { mix: Mix::Short, load_average: String::new(), entries }
    }

    #[test]
    fn a_tool_s_rate_is_compared_with_bare_right_before_and_after() {
        let rounds =
            [round(1000.0, Ok(cell(900.0, Some(5000), Some(0)))), round(500.0, Ok(cell(400.0, Some(5000), Some(3))))];
        let figures = Figures::of(Tool::Record, Mix::Short, &rounds, Some(10.0));
        let of_bare = figures.of_bare.unwrap();
        assert!((of_bare.median - 0.85).abs() < 1e-9 && of_bare.runs == 2);
        assert_eq!((figures.lost, figures.events), (Some(3), Some(10_000)));
        assert!((figures.cpu_us_per_event.unwrap().median - 0.7).abs() < 1e-9);
        // 3.5 ms for 1000 connections of ten changes each.
        assert!((figures.cpu_per_million_changes.unwrap().median - 0.35).abs() < 1e-9);
        assert_eq!(figures.did_not_run, None);
    }

    #[test]
    fn a_tool_that_did_not_run_has_no_number_and_a_reason() {
        let figures = Figures::of(Tool::Record, Mix::Short, &[round(1000.0, Err("no kernel".into()))], Some(10.0));
        assert_eq!(figures.did_not_run.as_deref(), Some("no kernel"));
        assert!(figures.rate.is_none() && figures.of_bare.is_none() && figures.lost.is_none());
        let other_load = Figures::of(Tool::Record, Mix::Mixed, &[round(1000.0, Err("no kernel".into()))], None);
        assert!(other_load.rate.is_none() && other_load.did_not_run.is_none());
    }

    #[test]
    fn what_one_round_does_not_know_is_not_known_of_all() {
        let rounds = [round(1000.0, Ok(cell(900.0, Some(5), Some(0)))), round(1000.0, Ok(cell(900.0, Some(5), None)))];
        assert_eq!(Figures::of(Tool::Record, Mix::Short, &rounds, None).lost, None);
    }

    #[test]
    fn the_kernel_s_cost_is_of_those_programs_that_run_at_a_change_of_state() {
        let counts = |time_ns, runs| Counts { time_ns, runs };
        let taken = Taken {
            counted: Counted { connected: 100, ..Counted::default() },
            programs: [("inet_sock_set_state".to_owned(), counts(500_000, 1000))].into(),
            changes: 1000,
            state_ns: 500_000,
            state_runs: 2000,
            all_ns: 800_000,
            empty: counts(40_000, 1000),
        };
        let cost = KernelCost::of(
            Tool::Record,
            Mix::Short,
            &[Cost { tool: Tool::Record, mix: Mix::Short, measured: Ok(taken) }],
        );
        let median = |spread: Option<Spread>| spread.unwrap().median;
        assert_eq!(median(cost.ns_per_change), 500.0);
        // Two programs, and the kernel counts each.
        assert_eq!(median(cost.ns_per_change_uncounted), 420.0);
        assert_eq!(median(cost.ns_per_change_in_all), 800.0);
        assert_eq!(median(cost.ns_per_connection), 8000.0);
        assert_eq!(median(cost.changes_per_connection), 10.0);
        assert_eq!(changes(Mix::Short, &[cost]), Some(10.0));
        assert_eq!(changes(Mix::Mixed, &[]), None);
    }
}
