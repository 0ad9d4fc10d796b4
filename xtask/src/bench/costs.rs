//! What programs in the kernel cost, as the kernel counts it. Counting costs time too: so it is measured apart from rates.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, ensure};
use serde::Serialize;

use super::empty::Empty;
use super::load::{Counted, Mix};
use super::programs::{Counting, Counts, Programs};
use super::rounds::{Bench, by_name, order};
use super::running::Running;
use super::tools::Tool;

/// What the programs of one tool took, once.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Cost {
    #[serde(serialize_with = "by_name")]
    pub(crate) tool: Tool,
    pub(crate) mix: Mix,
    pub(crate) measured: Result<Taken, String>,
}

/// See [`Cost`].
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Taken {
    pub(crate) counted: Counted,
    /// By program, those that ran.
    pub(crate) programs: BTreeMap<String, Counts>,
    /// Changes of sockets' states.
    pub(crate) changes: u64,
    /// What the programs took that run at those.
    pub(crate) state_ns: u64,
    /// How often one of these ran.
    pub(crate) state_runs: u64,
    /// What all of them took.
    pub(crate) all_ns: u64,
    /// What a program that does nothing took at those changes: what is counted is the counting.
    pub(crate) empty: Counts,
}

impl Bench<'_> {
    /// Each of the tools once.
    pub(crate) fn costs(&mut self, mix: Mix, tools: &[Tool], number: usize, length: Duration) -> Result<Vec<Cost>> {
        let _counting = Counting::start()?;
        let mut costs = Vec::new();
        for tool in order(tools, number) {
            let measured = self.cost(tool, mix, length).map_err(|error| format!("{error:#}"));
            self.interrupt.check()?;
            self.load.check()?;
            match &measured {
                Ok(Taken { changes, state_ns, all_ns, empty, .. }) => eprintln!(
                    "  {:<11} {:>6.0} ns a change of state, {:>6.0} ns with all its programs; {:.0} ns an empty one",
                    tool.name(),
                    *state_ns as f64 / *changes as f64,
                    *all_ns as f64 / *changes as f64,
                    empty.each().unwrap_or(f64::NAN)
                ),
                Err(why) => eprintln!("  {:<11} did not run: {why}", tool.name()),
            }
            costs.push(Cost { tool, mix, measured });
        }
        Ok(costs)
    }

    fn cost(&mut self, tool: Tool, mix: Mix, length: Duration) -> Result<Taken> {
        let running = Running::start(tool, self.places, self.load, self.interrupt)?;
        let running = running.ok_or_else(|| anyhow::anyhow!("it is nothing"))?;
        let empty = Empty::attach()?;
        let before = Programs::of(running.pid());
        let outcome = self.load.run(mix, length)?;
        let mut programs = Programs::of(running.pid()).since(&before);
        let empty = empty.counts();
        running.end(self.interrupt)?;
        outcome.check()?;
        let at_states = tool.at_states();
        let changes = at_states.first().and_then(|first| programs.0.get(*first)).map_or(0, |counts| counts.runs);
        ensure!(changes > 0, "its programs never ran");
        let (state, all) = (programs.sum(|name| at_states.contains(&name)), programs.sum(|_| true));
        programs.0.retain(|_, counts| counts.runs > 0);
        Ok(Taken {
            counted: outcome.counted,
            programs: programs.0,
            changes,
            state_ns: state.time_ns,
            state_runs: state.runs,
            all_ns: all.time_ns,
            empty,
        })
    }
}
