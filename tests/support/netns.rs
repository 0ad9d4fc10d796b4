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

    /// Ties it to another one: this has the address 10.77.0.1 then, the other 10.77.0.2.
    pub(crate) fn tie(&self, other: &Self) {
        let (one, two) = (&self.name, &other.name);
        run(Command::new("ip")
            .args(["-n", one, "link", "add", "tie", "type", "veth", "peer", "name", "tie", "netns", two]));
        for (name, address) in [(one, "10.77.0.1/24"), (two, "10.77.0.2/24")] {
            run(Command::new("ip").args(["-n", name, "address", "add", address, "dev", "tie"]));
            run(Command::new("ip").args(["-n", name, "link", "set", "tie", "up"]));
        }
    }

    /// Sets one of its sysctls.
    pub(crate) fn sysctl(&self, name: &str, value: &str) {
        self.write(&file_of(name), value);
    }

    /// Whether this kernel has a sysctl.
    pub(crate) fn has_sysctl(&self, name: &str) -> bool {
        let mut test = self.command("test");
        test.args(["-e", &file_of(name)]).status().expect("test runs").success()
    }

    /// Writes to a file of its /proc/sys or /sys.
    pub(crate) fn write(&self, file: &str, value: &str) {
        run(self.command("sh").args(["-c", "printf %s \"$1\" > \"$2\"", "sh", value, file]));
    }

    /// Runs `ip` in it.
    pub(crate) fn ip(&self, arguments: &[&str]) {
        run(Command::new("ip").args(["-n", &self.name]).args(arguments));
    }

    /// A counter of the kernel's (`ListenDrops`), of this namespace; 0 if this kernel has it not.
    pub(crate) fn counter(&self, name: &str) -> u64 {
        let files = ["/proc/net/netstat", "/proc/net/snmp"];
        let output = self.command("cat").args(files).output().expect("cat runs");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let lines: Vec<&str> = text.lines().collect();
        let places = lines.chunks_exact(2).flat_map(|pair| pair[0].split(' ').zip(pair[1].split(' ')));
        places.filter(|(found, _)| *found == name).find_map(|(_, count)| count.parse().ok()).unwrap_or(0)
    }

    /// Adds a rule for what comes in to one address: `DROP`, or `REJECT` with a reason.
    pub(crate) fn on_input_to(&self, address: &str, action: &[&str]) {
        run(self.command("iptables").args(["-w", "-A", "INPUT", "-d", address, "-j"]).args(action));
    }

    /// Takes all such rules away.
    pub(crate) fn let_in(&self) {
        run(self.command("iptables").args(["-w", "-F", "INPUT"]));
    }
}

/// Where a sysctl is.
fn file_of(sysctl: &str) -> String {
    format!("/proc/sys/{}", sysctl.replace('.', "/"))
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
