//! `check`: what is quick and needs neither root nor the kernel.

use anyhow::Result;

use crate::command::{cargo, run};

/// Runs each check in turn, and stops at the first that fails.
pub(crate) fn check() -> Result<()> {
    const CHECKS: [&[&str]; 3] = [
        &["fmt", "--all", "--check"],
        &["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"],
        // Among them the one that compares the committed kernel object with its sources: digest.rs.
        &["test", "--workspace", "--lib", "--bins", "--locked"],
    ];
    for check in CHECKS {
        let mut cargo = cargo();
        cargo.args(check);
        eprintln!("xtask: cargo {}", check.join(" "));
        run(&mut cargo)?;
    }
    Ok(())
}
