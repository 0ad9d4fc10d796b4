//! Programs that are started for a while, and end with this one whatever happens to it.

use std::os::unix::process::CommandExt;
use std::process::Command;

/// Begins a command whose process the kernel kills when this one dies. A key on the terminal is for this one alone.
pub(crate) fn dies_with_us() -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).process_group(0);
    command
}

/// The same command in new namespaces.
pub(crate) fn alone(namespaces: &[&str], command: &Command) -> Command {
    let mut unshare = Command::new("unshare");
    unshare.args(namespaces).arg("--").arg(command.get_program()).args(command.get_args()).process_group(0);
    unshare
}
