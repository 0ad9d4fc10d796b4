//! `vm`: the end-to-end tests on other kernels, each in a virtual machine.

mod archive;
mod debian;
mod guest;
mod kernels;
mod qemu;
mod tests;
mod tools;
mod verdict;

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use self::guest::Guest;
use self::kernels::{Can, LINES, Line};
use self::tests::Tests;
use self::tools::Tools;
use self::verdict::Verdict;
use crate::repo;

/// Arguments of `vm`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Run on this line of kernels alone: 5.10, 6.1, 6.12 or 7. May be repeated.
    #[arg(long, value_name = "VERSION", value_parser = LINES.map(|line| line.name))]
    kernel: Vec<String>,
    /// Look for newer kernels, also where one is there already.
    #[arg(long)]
    update: bool,
    /// Have the processor run the machines, where that works; by default they are emulated.
    #[arg(long)]
    kvm: bool,
    /// Take no longer than this for all kernels together. Each gets its share of what is left; tests for which there is no time are
    /// told, and have not passed.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    minutes: Option<u64>,
    /// Run the tests whose name contains one of these, rather than all that depend on the kernel.
    #[arg(last = true, value_name = "NAME")]
    names: Vec<String>,
}

/// A row of the table at the end.
struct Row {
    kernel: String,
    /// None if it did not run, and then why.
    verdict: Result<Verdict, String>,
    left_out: usize,
    took: Duration,
}

/// Boots the kernels one after another, and tells what came of it. What ran has to be good, and one kernel at least has
/// to have run: a kernel that could not be fetched is told as not run, and fails the run only if it was asked for by name.
pub(crate) fn vm(options: &Options) -> Result<()> {
    ensure!(cfg!(target_arch = "x86_64"), "the virtual machines are x86-64 alone, and so are the tests in them");
    let started = Instant::now();
    crate::test::install_programs()?;
    let tools = Tools::ready()?;
    let tests = Tests::build()?;
    let is_asked_for = |line: &&Line| match &options.kernel[..] {
        [] => true,
        asked => asked.iter().any(|name| name == line.name),
    };
    let lines: Vec<&Line> = LINES.iter().filter(is_asked_for).collect();
    let guest = Guest::new(&tests, &tools)?;
    let over = options.minutes.map(|minutes| started + Duration::from_mins(minutes));
    let mut rows = Vec::new();
    for (nth, line) in lines.iter().enumerate() {
        let deadline = || over.map(|over| Instant::now() + share(over, &lines[nth..]));
        rows.push(row(line, &tests, &guest, &tools, options, deadline));
    }
    print(&rows);

    let ran = || rows.iter().filter_map(|row| row.verdict.as_ref().ok());
    ensure!(ran().all(Verdict::is_good), "not all is well on these kernels");
    ensure!(ran().count() > 0, "no kernel ran");
    ensure!(options.kernel.is_empty() || ran().count() == rows.len(), "a kernel that was asked for did not run");
    Ok(())
}

/// What a kernel that refuses takes: it is booted, and one test run.
const REFUSAL: Duration = Duration::from_mins(1);

/// How long the first of these kernels may take.
fn share(over: Instant, lines: &[&Line]) -> Duration {
    let (refusing, tracing) = lines.iter().fold((0, 0), |(refusing, tracing), line| match line.can {
        Can::Refuse => (refusing + 1, tracing),
        Can::Trace => (refusing, tracing + 1),
    });
    match over.saturating_duration_since(Instant::now()).saturating_sub(REFUSAL * refusing) {
        left if tracing > 0 => left / tracing,
        left => left + REFUSAL * refusing,
    }
}

/// Runs the tests on one kernel, for as long as it may take once it is there.
fn row(
    line: &Line,
    tests: &Tests,
    guest: &Guest<'_>,
    tools: &Tools,
    options: &Options,
    deadline: impl Fn() -> Option<Instant>,
) -> Row {
    let kernel = match line.kernel(options.update, tools) {
        Ok(kernel) => kernel,
        Err(error) => {
            let verdict = Err(format!("{error:#}"));
            return Row { kernel: line.name.to_owned(), verdict, left_out: 0, took: Duration::ZERO };
        }
    };
    let mut row =
        Row { kernel: kernel.release.clone(), verdict: Ok(Verdict::default()), left_out: 0, took: Duration::ZERO };
    let mut run = || -> Result<Verdict> {
        let selection = tests.select(line.can, &options.names)?;
        row.left_out = selection.left_out;
        let kept = repo::target("vm").join("runs").join(line.name);
        fs::create_dir_all(&kept)?;
        let initramfs = kept.join("initramfs");
        fs::write(&initramfs, guest.clone().finish(&kernel, &tests.script(&selection))?)?;
        eprintln!("xtask: Linux {}: {} tests", kernel.release, selection.names.len());
        let deadline = deadline();
        let boot = || qemu::run(tools, &kernel, &initramfs, &kept, options.kvm, deadline);
        let mut ended = boot()?;
        if verdict::is_stale_breakpoint(&ended.console) {
            eprintln!("xtask: the emulation hit a breakpoint that Linux {} had removed: once more", kernel.release);
            ended = boot()?;
        }
        row.took = ended.took;
        let verdict = Verdict::of(&selection.names, &ended.results, &ended.console, ended.end);
        if !verdict.is_good() {
            eprintln!("{}", ended.results);
            eprintln!("xtask: all that Linux {} and the tests said is in {}", kernel.release, ended.kept.display());
        }
        Ok(verdict)
    };
    // That QEMU or the tests are not there is no property of a kernel: it fails the run.
    row.verdict =
        Ok(run().unwrap_or_else(|error| Verdict { complaints: vec![format!("{error:#}")], ..Verdict::default() }));
    row
}

fn print(rows: &[Row]) {
    println!(
        "{:32} {:>5} {:>6} {:>6} {:>7} {:>7} {:>8} {:>7}  ",
        "kernel", "run", "passed", "failed", "skipped", "not run", "left out", "seconds"
    );
    for row in rows {
        match &row.verdict {
            Ok(verdict) => {
                let (passed, failed, skipped) = (verdict.passed, verdict.failed.len(), verdict.skipped.len());
                let not_run = verdict.not_run.len();
                let word = match verdict.is_good() {
                    true if not_run == 0 => "good",
                    true => "good as far as there was time",
                    false => "BAD",
                };
                println!(
                    "{:32} {:>5} {passed:>6} {failed:>6} {skipped:>7} {not_run:>7} {:>8} {:>7}  {word}",
                    row.kernel,
                    passed + failed,
                    row.left_out,
                    row.took.as_secs()
                );
                let failures = verdict.failed.iter().map(|name| format!("FAILED {name}"));
                let skips = verdict.skipped.iter().map(|name| format!("skipped {name}"));
                let not_run = verdict.not_run.iter().map(|name| format!("NOT RUN, for want of time: {name}"));
                failures
                    .chain(skips)
                    .chain(not_run)
                    .chain(verdict.complaints.iter().cloned())
                    .for_each(|line| println!("  {line}"));
            }
            Err(why) => println!("{:32} NOT RUN: {why}", row.kernel),
        }
    }
    if rows.iter().any(|row| row.left_out > 0) {
        println!("left out, because no kernel has a say in it:\n{}", tests::left_out());
    }
}
