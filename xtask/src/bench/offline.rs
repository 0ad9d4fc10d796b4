//! What can be measured without a kernel: the benchmarks of the crate, and what many open sockets take.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::command::{cargo, run, stdout_of};
use crate::repo;

/// All of it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Offline {
    pub(crate) speed: Vec<Speed>,
    /// What benches/scale.rs printed.
    pub(crate) scale: Vec<Value>,
}

/// One benchmark.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Speed {
    pub(crate) name: String,
    /// Nanoseconds for an event: the median, and within what it lies at 95 % confidence.
    pub(crate) ns: f64,
    pub(crate) from: f64,
    pub(crate) to: f64,
}

/// Runs the benchmarks.
pub(crate) fn offline() -> Result<Offline> {
    let results = target().join("criterion");
    if results.exists() {
        fs::remove_dir_all(&results)?;
    }
    let bench = |name| {
        let mut cargo = cargo();
        cargo.args(["bench", "--locked", "--package", "sockwatch", "--bench", name]);
        cargo
    };
    run(&mut bench("speed"))?;
    let scale = stdout_of(&mut bench("scale"))?;
    Ok(Offline { speed: read(&results)?, scale: scale.lines().map(serde_json::from_str).collect::<Result<_, _>>()? })
}

/// Where cargo builds.
pub(super) fn target() -> std::path::PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| repo::target(""), Into::into)
}

/// What criterion wrote: of each benchmark two files, in directories named after it.
fn read(results: &Path) -> Result<Vec<Speed>> {
    let mut found = Vec::new();
    for group in fs::read_dir(results).context("criterion wrote nothing")? {
        let group = group?.path();
        for benchmark in fs::read_dir(&group).into_iter().flatten() {
            let new = benchmark?.path().join("new");
            let text = |name| fs::read_to_string(new.join(name));
            if let (Ok(benchmark), Ok(estimates)) = (text("benchmark.json"), text("estimates.json")) {
                found.push(speed(&benchmark, &estimates)?);
            }
        }
    }
    found.sort_unstable_by(|one: &Speed, other| one.name.cmp(&other.name));
    Ok(found)
}

#[derive(Deserialize)]
struct Benchmark {
    full_id: String,
    throughput: Option<Throughput>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Throughput {
    elements: f64,
}

#[derive(Deserialize)]
struct Estimates {
    median: Estimate,
}

#[derive(Deserialize)]
struct Estimate {
    point_estimate: f64,
    confidence_interval: Interval,
}

#[derive(Deserialize)]
struct Interval {
    lower_bound: f64,
    upper_bound: f64,
}

/// From an iteration's time to an event's.
fn speed(benchmark: &str, estimates: &str) -> Result<Speed> {
    let Benchmark { full_id, throughput } = serde_json::from_str(benchmark)?;
    let Estimates { median: Estimate { point_estimate, confidence_interval } } = serde_json::from_str(estimates)?;
    let events = throughput.map_or(1.0, |throughput| throughput.elements);
    let each = |nanoseconds: f64| nanoseconds / events;
    Ok(Speed {
        name: full_id,
        ns: each(point_estimate),
        from: each(confidence_interval.lower_bound),
        to: each(confidence_interval.upper_bound),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_benchmark_s_time_is_that_of_one_event() {
        let benchmark =
            r#"{"group_id":"replay","function_id":"closed","full_id":"replay/closed","throughput":{"Elements":1000}}"#;
        let estimates = r#"{"mean":{"point_estimate":9.0},"median":{"confidence_interval":{"confidence_level":0.95,
            "lower_bound":190000.0,"upper_bound":220000.0},"point_estimate":200000.0,"standard_error":1.0}}"#;
        let expected = Speed { name: "replay/closed".to_owned(), ns: 200.0, from: 190.0, to: 220.0 };
        assert_eq!(speed(benchmark, estimates).unwrap(), expected);
    }
}
