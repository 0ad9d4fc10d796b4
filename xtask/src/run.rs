//! `run`: sockwatch itself, built in release and started as root.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;

use anyhow::{Context, Result};

use crate::command::cargo_in_place;
use crate::privilege::runner;

/// Arguments of `run`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Arguments of sockwatch.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, default_value = "trace")]
    args: Vec<OsString>,
}

/// Becomes sockwatch: this process is replaced, so that signals and the exit code are sockwatch's own.
pub(crate) fn run(options: &Options) -> Result<()> {
    let Options { args } = options;
    let mut cargo = cargo_in_place();
    cargo.args(runner("load programs into the kernel")?).args(["run", "--release", "--locked", "--quiet"]);
    let manifest = crate::repo::root().join("sockwatch/Cargo.toml");
    cargo.arg("--manifest-path").arg(manifest).arg("--").args(args);
    Err(cargo.exec()).context("cannot start cargo")
}
