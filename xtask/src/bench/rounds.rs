//! Rounds: each tool once, in another order each time, with nothing attached before and after each.

use std::time::Duration;

use anyhow::Result;
use serde::Serialize;

use super::interrupt::Interrupt;
use super::load::{Counted, Counters, Load, Mix};
use super::process::{self, Processors, Time};
use super::programs;
use super::running::{Ended, Running};
use super::stats::per;
use super::tools::{Places, Tool};

/// Clock ticks a second, the unit of /proc/stat (USER_HZ, which is 100 wherever Linux runs).
const TICKS: f64 = 100.0;

/// How long the machine is left alone before each measurement.
const REST: Duration = Duration::from_millis(200);

/// All that measuring takes.
pub(crate) struct Bench<'a> {
    pub(crate) places: &'a Places,
    pub(crate) load: &'a mut Load,
    pub(crate) interrupt: &'a Interrupt,
}

/// What was measured with one tool in one round.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Cell {
    pub(crate) counted: Counted,
    pub(crate) kernel: Counters,
    /// Processor time of the tool, nanoseconds, from before the load until it was done with it.
    pub(crate) cpu_ns: Option<u64>,
    /// What part of it was in user space.
    pub(crate) user_share: Option<f64>,
    /// As it says.
    pub(crate) events: Option<u64>,
    pub(crate) lost: Option<u64>,
    /// The most memory that it had, bytes.
    pub(crate) peak_memory: Option<u64>,
    /// What it wrote to its file.
    pub(crate) bytes: Option<u64>,
    /// From its start to the line `sockwatch: ready`.
    pub(crate) ready_ms: Option<f64>,
    /// What part of the processors' time was idle under the load.
    pub(crate) idle: f64,
    /// What part of it others took: neither the load, nor the tool, nor the kernel's own threads.
    pub(crate) others: f64,
    /// What part of it the hypervisor took.
    pub(crate) stolen: f64,
    /// Other processes that had programs attached then.
    pub(crate) attached: Vec<String>,
}

/// One tool in one round.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Entry {
    #[serde(serialize_with = "by_name")]
    pub(crate) tool: Tool,
    /// What was measured, or why nothing was.
    pub(crate) measured: Result<Cell, String>,
    /// Connections a second with nothing attached, right before and right after.
    pub(crate) beside: (Option<f64>, Option<f64>),
}

impl Entry {
    /// What the tool's rate is to be compared with.
    pub(crate) fn bare(&self) -> Option<f64> {
        let (before, after) = self.beside;
        Some((before? + after?) / 2.0)
    }
}

/// One round.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Round {
    pub(crate) mix: Mix,
    /// Of the host, before it began.
    pub(crate) load_average: String,
    /// In the order in which they ran.
    pub(crate) entries: Vec<Entry>,
}

pub(crate) fn by_name<S: serde::Serializer>(tool: &Tool, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(tool.name())
}

impl Round {
    /// What became of a tool, each time that it ran.
    pub(crate) fn of(&self, tool: Tool) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(move |entry| entry.tool == tool)
    }
}

/// The order of a round: each tool comes first once, and has now one and now another before it.
pub(crate) fn order(tools: &[Tool], round: usize) -> Vec<Tool> {
    let mut order = tools.to_vec();
    if !order.is_empty() {
        let first = round % order.len();
        order.rotate_left(first);
    }
    if round % 2 == 1 {
        order.reverse();
    }
    order
}

impl Bench<'_> {
    /// One round. What fails is noted; only the user ends it early.
    pub(crate) fn round(&mut self, mix: Mix, tools: &[Tool], number: usize, length: Duration) -> Result<Round> {
        let mut round = Round { mix, load_average: process::load_average(), entries: Vec::new() };
        // Nothing attached before, between and after: what a tool is compared with was measured within seconds of it.
        let mut turns = vec![Tool::Bare];
        for tool in order(tools, number) {
            turns.extend([tool, Tool::Bare]);
        }
        for tool in turns {
            self.interrupt.pause(REST)?;
            let measured = self.cell(tool, mix, length);
            self.interrupt.check()?;
            self.load.check()?;
            let measured = measured.map_err(|error| format!("{error:#}"));
            match &measured {
                Ok(cell) => eprintln!(
                    "  {:<11} {:>8.0} connections/s, {:.0} % idle, {:.0} % others, {:.0} % stolen{}{}",
                    tool.name(),
                    cell.counted.rate,
                    cell.idle * 100.0,
                    cell.others * 100.0,
                    cell.stolen * 100.0,
                    cell.lost.filter(|&lost| lost > 0).map_or(String::new(), |lost| format!(", {lost} lost")),
                    if cell.attached.is_empty() { "" } else { ", others trace" }
                ),
                Err(why) => eprintln!("  {:<11} did not run: {why}", tool.name()),
            }
            round.entries.push(Entry { tool, measured, beside: (None, None) });
        }
        let rates: Vec<Option<f64>> =
            round.entries.iter().map(|entry| Some(entry.measured.as_ref().ok()?.counted.rate)).collect();
        for (entry, beside) in round.entries.iter_mut().skip(1).zip(rates.windows(3)) {
            entry.beside = (beside[0], beside[2]);
        }
        Ok(round)
    }

    /// One tool, under the load.
    fn cell(&mut self, tool: Tool, mix: Mix, length: Duration) -> Result<Cell> {
        let Self { places, load, interrupt } = self;
        let running = Running::start(tool, places, load, interrupt)?;
        let resting = running.as_ref().map_or(Ok(0.0), |running| running.busy(REST, interrupt))?;
        let time = |running: &Option<Running>| Time::of(running.as_ref()?.pid());
        let mut attached = programs::attached();
        let before = (time(&running), self.usage());
        let outcome = self.load.run(mix, length)?;
        let (own, after) = (time(&running), self.usage());
        attached.extend(programs::attached());
        attached.retain(|&pid, _| running.as_ref().is_none_or(|running| running.pid() != pid));
        let mut cell = self.account(before.1, after, own, before.0);
        cell.attached = attached.into_values().collect();
        outcome.check()?;
        (cell.counted, cell.kernel) = (outcome.counted, outcome.kernel);
        let Some(running) = running else { return Ok(cell) };
        running.settle(resting, self.interrupt)?;
        let pid = running.pid();
        if let (Some(before), Some(after)) = (before.0, Time::of(pid)) {
            let spent = after.since(before);
            (cell.cpu_ns, cell.user_share) = (Some(spent.total), spent.user_share());
        }
        cell.peak_memory = process::peak_memory(pid);
        cell.ready_ms = running.ready.map(|ready| ready.as_secs_f64() * 1e3);
        let Ended { code, lines, bytes } = running.end(self.interrupt)?;
        let said = tool.said(&lines, code);
        (cell.events, cell.lost, cell.bytes) = (said.events, said.lost, bytes);
        if code != Some(0) || said.lost.is_some_and(|lost| lost > 0) {
            let last = lines.last().map_or("nothing", String::as_str);
            eprintln!("  {} ended with {code:?}, and said: {last}", tool.name());
        }
        Ok(cell)
    }

    fn usage(&self) -> Usage {
        Usage {
            processors: Processors::now(),
            known: self.load.pids().filter_map(process::ticks_of).sum::<u64>() + process::kernel_threads(),
        }
    }

    /// What became of the processors' time.
    fn account(&self, before: Usage, after: Usage, own: Option<Time>, own_before: Option<Time>) -> Cell {
        let all = after.processors.since(before.processors);
        let own = own.zip(own_before).map_or(0, |(after, before)| after.since(before).total);
        let known = own as f64 / 1e9 * TICKS + after.known.saturating_sub(before.known) as f64;
        let whole = (all.busy + all.idle + all.stolen) as f64;
        let share = |ticks: f64| per(ticks.max(0.0), whole).unwrap_or(0.0);
        Cell {
            counted: Counted::default(),
            kernel: Counters::default(),
            cpu_ns: None,
            user_share: None,
            events: None,
            lost: None,
            peak_memory: None,
            bytes: None,
            ready_ms: None,
            idle: share(all.idle as f64),
            others: share(all.busy as f64 - known),
            stolen: share(all.stolen as f64),
            attached: Vec::new(),
        }
    }
}

/// Processor time so far.
#[derive(Clone, Copy)]
struct Usage {
    processors: Processors,
    /// Of the load and of the kernel's own threads, ticks.
    known: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tool_runs_once_a_round_and_each_comes_first_and_last_at_times() {
        let tools = Tool::ALL;
        let orders: Vec<Vec<Tool>> = (0..tools.len()).map(|round| order(&tools, round)).collect();
        for order in &orders {
            assert!(tools.iter().all(|tool| order.iter().filter(|other| *other == tool).count() == 1));
        }
        let firsts: std::collections::HashSet<Tool> = orders.iter().map(|order| order[0]).collect();
        let lasts: std::collections::HashSet<Tool> = orders.iter().map(|order| order[tools.len() - 1]).collect();
        assert!(firsts.len() >= tools.len() / 2 && lasts.len() >= tools.len() / 2, "{firsts:?} {lasts:?}");
        assert!(order(&[], 3).is_empty());
    }
}
