//! `fuzz`: has libFuzzer look for recordings that sockwatch's reader can't take (tests/fuzz).

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::apt;
use crate::command::{cargo, find, forget_build_environment, run, shown, stdout_of};
use crate::repo;

/// What cargo-fuzz has a nightly compiler do; these flags are stable. Each edge is counted, and comparisons are watched.
const FLAGS: [&str; 5] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
];

/// Longest input, seconds that one may take, and MiB of memory.
const LIMITS: [&str; 3] = ["-max_len=16384", "-timeout=10", "-rss_limit_mb=2048"];

/// Most bytes that the seeds may take.
const MOST_SEEDS: usize = 80_000;

/// Arguments of `fuzz`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// How long to look.
    #[arg(long, default_value_t = 60, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
    /// Afterwards, make what covers most of the code the seeds to commit.
    #[arg(long)]
    keep: bool,
    /// Don't look: try these findings again.
    findings: Vec<PathBuf>,
}

/// Builds the fuzzer and runs it, from the committed seeds and what earlier runs found worth keeping.
pub(crate) fn fuzz(options: &Options) -> Result<()> {
    let Options { seconds, keep, findings } = options;
    if find("c++").is_none() {
        ensure!(apt::is_here(), "libFuzzer is written in C++, and there is no compiler of it (c++)");
        apt::install(&["g++"])?;
    }
    let findings: Vec<PathBuf> = findings.iter().map(fs::canonicalize).collect::<Result<_, _>>()?;
    let fuzzer = build()?;
    if !findings.is_empty() {
        return start(Command::new(fuzzer).args(LIMITS).args(findings));
    }
    let [corpus, seeds, found] = ["corpus", "seeds", "findings"].map(|name| repo::target("fuzz").join(name));
    fs::create_dir_all(&corpus)?;
    fs::create_dir_all(&found)?;
    unpack(&seeds)?;
    let mut look = Command::new(&fuzzer);
    look.args(LIMITS).arg(format!("-artifact_prefix={}/", found.display()));
    look.arg(format!("-max_total_time={seconds}")).arg("-print_final_stats=1").args([&corpus, &seeds]);
    start(&mut look)
        .with_context(|| format!("what was found is in {}; `cargo xtask fuzz FILE` tries it again", found.display()))?;
    if *keep {
        let least = repo::target("fuzz").join("least");
        empty(&least)?;
        // Which edges are reached, not how often: it would take ten times as many.
        let edges = ["-merge=1", "-use_counters=0", "-use_cmp=0"];
        start(Command::new(&fuzzer).args(LIMITS).args(edges).args([&least, &corpus, &seeds]))?;
        pack(&least)?;
    }
    Ok(())
}

fn start(fuzzer: &mut Command) -> Result<()> {
    eprintln!("xtask: {}", shown(fuzzer));
    run(fuzzer)
}

/// The committed seeds: each behind its length, two bytes.
fn packed() -> PathBuf {
    repo::root().join("tests/fuzz/seeds")
}

fn unpack(directory: &Path) -> Result<()> {
    empty(directory)?;
    let packed = fs::read(packed()).context("cannot read the seeds")?;
    let mut rest = &packed[..];
    for number in 0.. {
        let Some((length, behind)) = rest.split_first_chunk() else { break };
        let (seed, behind) = behind.split_at_checked(u16::from_le_bytes(*length).into()).context("a seed was cut")?;
        fs::write(directory.join(format!("{number}")), seed)?;
        rest = behind;
    }
    Ok(())
}

/// Makes what is in a directory the seeds to commit.
fn pack(directory: &Path) -> Result<()> {
    let mut seeds = fs::read_dir(directory)?.map(|entry| fs::read(entry?.path())).collect::<Result<Vec<_>, _>>()?;
    // The longest reach little that the others don't; without them the repository stays small.
    seeds.sort_unstable_by_key(|seed| (seed.len(), seed.clone()));
    let mut bytes = Vec::new();
    for seed in &seeds {
        if bytes.len() + seed.len() > MOST_SEEDS {
            break;
        }
        bytes.extend_from_slice(&u16::try_from(seed.len())?.to_le_bytes());
        bytes.extend_from_slice(seed);
    }
    fs::write(packed(), &bytes)?;
    eprintln!("xtask: seeds of {} bytes in all are in {}", bytes.len(), packed().display());
    Ok(())
}

/// Leaves a directory with nothing in it.
fn empty(directory: &Path) -> Result<()> {
    if directory.exists() {
        fs::remove_dir_all(directory)?;
    }
    fs::create_dir_all(directory).with_context(|| format!("cannot create {}", directory.display()))?;
    Ok(())
}

/// Builds the fuzzer; returns where it is.
fn build() -> Result<PathBuf> {
    let version = stdout_of(Command::new("rustc").arg("-vV"))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc names no host")?;
    let directory = repo::target("fuzz");
    let mut cargo = cargo();
    forget_build_environment(&mut cargo);
    // rustup would ask the directory of each dependency which toolchain it wants, and some name one that is not here.
    if let Some(toolchain) = env::var_os("RUSTUP_TOOLCHAIN") {
        cargo.env("RUSTUP_TOOLCHAIN", toolchain);
    }
    // With a target named, the flags are not for build scripts.
    cargo.env("CARGO_ENCODED_RUSTFLAGS", FLAGS.join("\x1f")).args(["build", "--release", "--target", host]);
    cargo.arg("--manifest-path").arg(repo::root().join("tests/fuzz/Cargo.toml"));
    cargo.arg("--target-dir").arg(&directory);
    eprintln!("xtask: {}", shown(&cargo));
    run(&mut cargo)?;
    let fuzzer = directory.join(host).join("release/sockwatch-fuzz");
    ensure!(fuzzer.is_file(), "cargo built no {}", fuzzer.display());
    Ok(fuzzer)
}
