//! `bench`: what sockwatch costs, measured beside others of its kind.

mod command;
mod costs;
mod empty;
mod figures;
mod interrupt;
pub(crate) mod load;
mod machine;
mod niceness;
mod offline;
mod process;
mod programs;
mod report;
mod rounds;
mod running;
mod said;
mod stats;
mod tools;

use std::fs;
use std::path::PathBuf;
use std::thread::available_parallelism;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use self::figures::{Figures, KernelCost, changes};
use self::interrupt::Interrupt;
use self::load::{Load, Mix};
use self::machine::Machine;
use self::niceness::Niceness;
use self::report::Report;
use self::rounds::Bench;
use self::tools::{Places, Tool};
use crate::command::{cargo, run};
use crate::{privilege, repo};

/// Arguments of `bench`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// How many rounds of each load.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    rounds: Option<u16>,
    /// How long each tool runs under the load in a round.
    #[arg(long, value_name = "S")]
    seconds: Option<f64>,
    /// Three short rounds of short connections alone. What is committed stays as it is: the page goes to target/bench.
    #[arg(long)]
    quick: bool,
    /// These loads only.
    #[arg(long, value_name = "LOAD")]
    load: Vec<Mix>,
    /// These tools only, and nothing attached: trace, record, follow, tcpstates, tcplife, strace.
    #[arg(long, value_name = "NAME")]
    tool: Vec<String>,
    /// Only what can be measured without a kernel and without root; the page is not written.
    #[arg(long, conflicts_with_all = ["load", "tool"])]
    offline: bool,
    /// Measure this binary of sockwatch, and build none.
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
    /// Run the load and the tools with this niceness: where others are at work too, a negative one keeps them out.
    #[arg(long, value_name = "N", default_value_t = 0, allow_negative_numbers = true, value_parser = clap::value_parser!(i8).range(-20..=19))]
    nice: i8,
    /// Where the page and the JSON go.
    #[arg(long, value_name = "DIRECTORY")]
    output: Option<PathBuf>,
}

/// Measures, and writes the page.
pub(crate) fn bench(options: &Options) -> Result<()> {
    let Options { rounds, seconds, quick, load: mixes, tool: names, offline, binary, nice, output } = options;
    if *offline {
        let measured = offline::offline()?;
        print!("{}", report::offline(&measured));
        return Ok(());
    }
    ensure!(privilege::is_root(), "root is needed to load programs into the kernel: run this as root");
    let rounds = usize::from(rounds.unwrap_or(if *quick { 3 } else { 8 }));
    let seconds = seconds.unwrap_or(if *quick { 1.0 } else { 2.0 });
    ensure!((0.1..=600.0).contains(&seconds), "--seconds: from 0.1 to 600");
    let mixes = match mixes.as_slice() {
        [] if *quick => vec![Mix::Short],
        [] => vec![Mix::Short, Mix::Mixed],
        chosen => chosen.to_vec(),
    };
    for name in names {
        ensure!(Tool::ALL.iter().any(|tool| tool.name() == name), "--tool {name}: there is no such tool");
    }
    let asked = |tool: &Tool| tool.is_bare() || names.is_empty() || names.iter().any(|name| name == tool.name());
    let tools: Vec<Tool> = Tool::ALL.into_iter().filter(asked).collect();
    // What all of them are compared with runs between them.
    let compared: Vec<Tool> = tools.iter().copied().filter(|&tool| tool != Tool::Bare).collect();

    tools::install_peers()?;
    let sockwatch = match binary {
        Some(binary) => fs::canonicalize(binary).with_context(|| format!("cannot find {}", binary.display()))?,
        None => build()?,
    };
    let _niceness = if *nice == 0 { None } else { Some(Niceness::set(*nice)?) };
    let interrupt = Interrupt::watch()?;
    let directory = repo::target("bench");
    fs::create_dir_all(&directory)?;
    let places = Places { sockwatch, directory: directory.clone(), peers: Places::peers() };
    let machine = Machine::gather(&places, &tools);

    let processors = available_parallelism()?.get();
    let mut load = Load::start(processors)?;
    let length = Duration::from_secs_f64(seconds);
    let mut bench = Bench { places: &places, load: &mut load, interrupt: &interrupt };
    let (mut all, mut costs) = (Vec::new(), Vec::new());
    for &mix in &mixes {
        // The first seconds are others than those that follow: caches fill, and timewait sockets become as many as they will.
        bench.load.run(mix, length)?.check()?;
        for number in 0..rounds {
            eprintln!("xtask: {} connections, round {} of {rounds}", mix.name(), number + 1);
            all.push(bench.round(mix, &compared, number, length)?);
        }
    }
    let counted: Vec<Tool> = tools.iter().copied().filter(|tool| tool.has_programs()).collect();
    for &mix in &mixes {
        for number in 0..rounds.min(5) {
            eprintln!("xtask: {} connections, the kernel's own count, round {}", mix.name(), number + 1);
            costs.extend(bench.costs(mix, &counted, number, length / 2)?);
        }
    }
    drop(load);

    let each = |of: &[Tool]| -> Vec<(Mix, Tool)> {
        mixes.iter().flat_map(|&mix| of.iter().map(move |&tool| (mix, tool))).collect()
    };
    let kernel: Vec<KernelCost> =
        each(&counted).into_iter().map(|(mix, tool)| KernelCost::of(tool, mix, &costs)).collect();
    let figures =
        each(&tools).into_iter().map(|(mix, tool)| Figures::of(tool, mix, &all, changes(mix, &kernel))).collect();
    // A short run has no time for it.
    let offline = if *quick { None } else { Some(offline::offline()?) };
    let report = Report { machine, offline, seconds, nice: *nice, figures, kernel, rounds: all, costs };
    let output = match output {
        Some(output) => output.clone(),
        None if *quick => directory,
        None => repo::root().join("docs"),
    };
    fs::create_dir_all(&output)?;
    let page = report.page();
    fs::write(output.join("benchmarks.md"), &page)?;
    fs::write(output.join("benchmarks.json"), serde_json::to_string_pretty(&report)? + "\n")?;
    println!("{page}");
    eprintln!("xtask: {} and benchmarks.json are written", output.join("benchmarks.md").display());
    Ok(())
}

/// Builds what is measured.
fn build() -> Result<PathBuf> {
    run(cargo().args(["build", "--release", "--locked", "--package", "sockwatch"]))?;
    Ok(offline::target().join("release/sockwatch"))
}
