//! Python with what the tests of exports read them with, below `target/`.

use std::process::{Command, Stdio};

use anyhow::Result;

use crate::command::{find, run};
use crate::{apt, repo};

/// Fixed, so that a test does not fail because somebody else published something.
const DUCKDB: &str = "duckdb==2.0.0";

/// Has `target/python/bin/python3` import duckdb.
pub(crate) fn duckdb() -> Result<()> {
    let home = repo::target("python");
    let python = home.join("bin/python3");
    let mut import = Command::new(&python);
    import.args(["-c", "import duckdb"]).stderr(Stdio::null());
    if import.status().is_ok_and(|status| status.success()) {
        return Ok(());
    }
    eprintln!("xtask: installing {DUCKDB} below {}", home.display());
    let system = find("python3").unwrap_or_else(|| "python3".into());
    let make = || run(Command::new(&system).args(["-m", "venv"]).arg(&home));
    // Debian has the module in a package of its own.
    if make().is_err() && apt::is_here() {
        apt::install(&["python3-venv"])?;
        make()?;
    }
    run(Command::new(&python).args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", DUCKDB]))
}
