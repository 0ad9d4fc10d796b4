//! Other programs: started, waited for, and named in the error when they fail.

use std::env;
use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

/// The cargo that started this program, in the root of the repository.
pub(crate) fn cargo() -> Command {
    let mut cargo = cargo_in_place();
    cargo.current_dir(crate::repo::root());
    cargo
}

/// The cargo that started this program, in the directory where the user is.
pub(crate) fn cargo_in_place() -> Command {
    Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// Takes from `command` every variable that could change what cargo or rustc build.
pub(crate) fn forget_build_environment(command: &mut Command) -> &mut Command {
    const KEPT: [&str; 5] = ["CARGO_HOME", "CARGO_HTTP_", "CARGO_NET_", "CARGO_REGISTR", "RUSTUP_"];
    for (name, _) in env::vars_os() {
        let Some(name) = name.to_str() else { continue };
        let shapes_builds = ["CARGO", "RUST", "AYA_"].iter().any(|prefix| name.starts_with(prefix));
        let kept = KEPT.iter().any(|prefix| name.starts_with(prefix)) && name != "RUSTUP_TOOLCHAIN";
        if shapes_builds && !kept {
            command.env_remove(name);
        }
    }
    // Wrappers may also come from a user's cargo configuration: an empty variable overrides that.
    command.env("RUSTC_WRAPPER", "").env("RUSTC_WORKSPACE_WRAPPER", "")
}

/// Runs `command` to its end; its output goes where ours goes.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot start {}", shown(command)))?;
    ensure!(status.success(), "{} failed: {status}", shown(command));
    Ok(())
}

/// Runs `command` to its end, and returns what it wrote to stdout.
pub(crate) fn stdout_of(command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot start {}", shown(command)))?;
    ensure!(output.status.success(), "{} failed: {}", shown(command), output.status);
    String::from_utf8(output.stdout).with_context(|| format!("{} wrote text that is not UTF-8", shown(command)))
}

/// The program called `name` in PATH, and in the directories of the administrator's programs.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|directory| directory.join(name))
        .find(|program| program.is_file())
}

/// `command` as one would type it.
pub(crate) fn shown(command: &Command) -> String {
    let words: Vec<_> =
        [command.get_program()].into_iter().chain(command.get_args()).map(OsStr::to_string_lossy).collect();
    words.join(" ")
}
