//! Network namespaces that a test makes, and that go with it.

use std::{ffi::OsStr, fs, os::unix::fs::MetadataExt, path::PathBuf, process::Command};

use super::unique;

/// A network namespace.
pub(crate) struct Netns {
    name: String,
}

impl Netns {
    pub(crate) fn new() -> Self {
        let name = format!("sockwatch-{}", unique());
        let netns = Self { name };
        run(Command::new("ip").args(["netns", "add", &netns.name]));
        run(Command::new("ip").args(["-n", &netns.name, "link", "set", "lo", "up"]));
        netns
    }

    /// Where it is mounted.
    pub(crate) fn path(&self) -> PathBuf {
        PathBuf::from("/run/netns").join(&self.name)
    }

    /// What it is called in output.
    pub(crate) fn inode(&self) -> u64 {
        fs::metadata(self.path()).expect("the namespace is mounted").ino()
    }

    /// A command that runs in it, with a sysfs of its own; the process is the program itself.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name]).arg(program);
        command
    }

    /// Sets one of its sysctls.
    pub(crate) fn sysctl(&self, name: &str, value: &str) {
        let file = format!("/proc/sys/{}", name.replace('.', "/"));
        self.write(&file, value);
    }

    /// Writes to a file of its /proc/sys or /sys.
    pub(crate) fn write(&self, file: &str, value: &str) {
        run(self.command("sh").args(["-c", "printf %s \"$1\" > \"$2\"", "sh", value, file]));
    }

    /// Adds a rule for what comes in to one address: `DROP`, or `REJECT` with a reason.
    pub(crate) fn on_input_to(&self, address: &str, action: &[&str]) {
        run(self.command("iptables").args(["-w", "-A", "INPUT", "-d", address, "-j"]).args(action));
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", &self.name]).status();
    }
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
