//! `test`: every test of the workspace, those against the real kernel among them.

use std::ffi::OsString;

use anyhow::{Result, bail};

use crate::apt;
use crate::command::{cargo, find, run};
use crate::privilege::runner;
use crate::python;

/// The programs that the end-to-end tests drive, and the Debian package of each.
const PROGRAMS: [(&str, &str); 7] = [
    ("cc", "gcc"),
    ("curl", "curl"),
    ("ip", "iproute2"),
    ("iptables", "iptables"),
    ("nginx", "nginx-light"),
    ("python3", "python3"),
    ("socat", "socat"),
];

/// Arguments of `test`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Arguments of the test programs, such as the name of a test.
    #[arg(last = true)]
    args: Vec<OsString>,
}

/// Runs every test, as root, with the programs and the DuckDB that they drive. SOCKWATCH_REQUIRE_BPF=1 makes a failure of those that this kernel would skip.
pub(crate) fn test(options: &Options) -> Result<()> {
    let Options { args } = options;
    install_programs()?;
    python::duckdb()?;
    let mut cargo = cargo();
    cargo.args(runner("trace sockets in tests")?).args(["test", "--workspace", "--locked", "--"]).args(args);
    run(&mut cargo)
}

/// Installs those of [`PROGRAMS`] that are missing.
pub(crate) fn install_programs() -> Result<()> {
    let missing: Vec<_> = PROGRAMS.into_iter().filter(|(program, _)| find(program).is_none()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let (programs, mut packages): (Vec<_>, Vec<_>) = missing.into_iter().unzip();
    if !apt::is_here() {
        bail!("the end-to-end tests drive programs that are not installed: {}", programs.join(", "));
    }
    if packages.contains(&"gcc") {
        packages.push("libc6-dev");
    }
    apt::install(&packages)
}
