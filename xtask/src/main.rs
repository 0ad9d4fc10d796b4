//! Chores of the repository: `cargo xtask CHORE`. One file per chore.

mod apt;
mod bench;
mod build_ebpf;
mod check;
mod command;
mod digest;
mod flags;
mod fuzz;
mod object;
mod privilege;
mod python;
mod repo;
mod run;
mod setup;
mod test;
mod toolchain;
mod vm;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Chores of the sockwatch repository.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Build the kernel object, sockwatch/prebuilt/sockwatch.bpf.o, or check the committed one.
    BuildEbpf(build_ebpf::Options),
    /// Build sockwatch in release and run it, as root.
    Run(run::Options),
    /// Install the programs that the end-to-end tests drive, then run every test, as root.
    Test(test::Options),
    /// Run the end-to-end tests on other kernels, in virtual machines.
    Vm(vm::Options),
    /// Look for recordings that sockwatch's reader can't take, with libFuzzer.
    Fuzz(fuzz::Options),
    /// Measure what sockwatch costs, beside others of its kind, as root; writes docs/benchmarks.md.
    Bench(bench::Options),
    /// One of the processes that make the connections for `bench`.
    #[command(hide = true)]
    BenchLoad(bench::load::Options),
    /// What to run before pushing: formatting, lints, unit tests, and that the kernel object is not stale.
    Check,
}

fn main() -> ExitCode {
    let done = match Cli::parse().chore {
        Chore::BuildEbpf(options) => build_ebpf::build_ebpf(&options),
        Chore::Run(options) => run::run(&options),
        Chore::Test(options) => test::test(&options),
        Chore::Vm(options) => vm::vm(&options),
        Chore::Fuzz(options) => fuzz::fuzz(&options),
        Chore::Bench(options) => bench::bench(&options),
        Chore::BenchLoad(options) => bench::load::play(&options),
        Chore::Check => check::check(),
    };
    if let Err(error) = done {
        eprintln!("xtask: {error:#}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
