//! Root, or the way to it.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::Command;

use anyhow::{Result, ensure};

use crate::command::find;

/// Whether this process runs as root.
pub(crate) fn is_root() -> bool {
    // proc(5): the files of /proc/self belong to the effective user.
    fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

/// A command that runs `program` as root: directly, or through sudo. `purpose` completes the refusal "root is needed
/// to …".
pub(crate) fn as_root(program: impl AsRef<OsStr>, purpose: &str) -> Result<Command> {
    if is_root() {
        return Ok(Command::new(program));
    }
    need_sudo(purpose)?;
    let mut sudo = Command::new("sudo");
    sudo.arg(program);
    Ok(sudo)
}

/// Options for cargo, so that the programs which `cargo run` and `cargo test` start run as root, in this environment.
pub(crate) fn runner(purpose: &str) -> Result<&'static [&'static str]> {
    if is_root() {
        return Ok(&[]);
    }
    need_sudo(purpose)?;
    Ok(&["--config", "target.'cfg(unix)'.runner = ['sudo', '-E']"])
}

/// Refuses where there is no sudo.
fn need_sudo(purpose: &str) -> Result<()> {
    ensure!(find("sudo").is_some(), "root is needed to {purpose}, and there is no sudo here: run this as root");
    Ok(())
}
