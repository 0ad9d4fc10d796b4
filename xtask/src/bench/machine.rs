//! The machine that was measured on.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;
use std::thread::available_parallelism;

use serde::Serialize;

use super::tools::{Places, Tool};
use crate::command::stdout_of;

/// Its facts.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Machine {
    pub(crate) date: String,
    pub(crate) processor: String,
    pub(crate) processors: usize,
    pub(crate) virtual_machine: bool,
    pub(crate) memory_bytes: u64,
    pub(crate) kernel: String,
    pub(crate) distribution: String,
    /// What the kernel does about the processor's weaknesses, those that it is affected by.
    pub(crate) mitigations: BTreeMap<String, String>,
    pub(crate) clocksource: String,
    pub(crate) rustc: String,
    /// The commit of what was measured; `+` behind it: with changes.
    pub(crate) commit: String,
    /// The tools, with their versions; why they can't run otherwise.
    pub(crate) tools: BTreeMap<&'static str, Result<String, String>>,
}

impl Machine {
    /// This one.
    pub(crate) fn gather(places: &Places, tools: &[Tool]) -> Self {
        let cpuinfo = read("/proc/cpuinfo");
        let memory = read("/proc/meminfo");
        let said = |command: &mut Command| stdout_of(command).map_or_else(|_| unknown(), |text| text.trim().to_owned());
        Self {
            date: said(Command::new("date").args(["-u", "+%Y-%m-%d"])),
            processor: field(&cpuinfo, "model name").unwrap_or_else(unknown),
            processors: available_parallelism().map_or(1, usize::from),
            virtual_machine: cpuinfo.split_whitespace().any(|flag| flag == "hypervisor"),
            memory_bytes: field(&memory, "MemTotal")
                .and_then(|text| text.split_whitespace().next()?.parse::<u64>().ok())
                .map_or(0, |kilobytes| kilobytes * 1024),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            distribution: distribution(&read("/etc/os-release")),
            mitigations: mitigations(),
            clocksource: read("/sys/devices/system/clocksource/clocksource0/current_clocksource").trim().to_owned(),
            rustc: said(Command::new("rustc").arg("-V")),
            commit: said(
                Command::new("git")
                    .args(["describe", "--always", "--exclude=*", "--dirty=+"])
                    .current_dir(crate::repo::root()),
            ),
            tools: tools.iter().map(|tool| (tool.name(), tool.version(places))).collect(),
        }
    }
}

fn unknown() -> String {
    "unknown".to_owned()
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// The value of a line `KEY : VALUE`.
fn field(text: &str, key: &str) -> Option<String> {
    text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        (name.trim() == key).then(|| value.trim().to_owned())
    })
}

fn distribution(os_release: &str) -> String {
    let name = os_release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    name.map_or_else(unknown, |name| name.trim_matches('"').to_owned())
}

fn mitigations() -> BTreeMap<String, String> {
    let directory = fs::read_dir("/sys/devices/system/cpu/vulnerabilities").into_iter().flatten().flatten();
    let one = |entry: fs::DirEntry| {
        let said = fs::read_to_string(entry.path()).ok()?.trim().to_owned();
        (said != "Not affected").then(|| Some((entry.file_name().into_string().ok()?, said)))?
    };
    directory.filter_map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_are_read_where_the_kernel_and_the_distribution_write_them() {
        let cpuinfo = "processor\t: 0\nmodel name\t: Some CPU @ 3 GHz\nflags\t\t: fpu hypervisor\n";
        assert_eq!(field(cpuinfo, "model name").as_deref(), Some("Some CPU @ 3 GHz"));
        assert_eq!(field(cpuinfo, "model"), None);
        assert_eq!(distribution("NAME=\"X\"\nPRETTY_NAME=\"Debian GNU/Linux 12\"\n"), "Debian GNU/Linux 12");
        assert_eq!(distribution(""), "unknown");
    }
}
