//! The programs that a tool has in the kernel, and what the kernel counts of them.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Serialize;

/// What the kernel counted of one program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Counts {
    /// Nanoseconds that it ran, what it had done by others included: an interrupt that it raised, say.
    pub(crate) time_ns: u64,
    /// How often.
    pub(crate) runs: u64,
}

impl Counts {
    /// Nanoseconds a run.
    pub(crate) fn each(self) -> Option<f64> {
        (self.runs > 0).then(|| self.time_ns as f64 / self.runs as f64)
    }

    fn since(self, before: Self) -> Self {
        Self { time_ns: self.time_ns.saturating_sub(before.time_ns), runs: self.runs.saturating_sub(before.runs) }
    }
}

/// A program as a descriptor of it shows it (`bpf_prog_show_fdinfo` in kernel/bpf/syscall.c).
#[derive(Clone, Debug, PartialEq, Eq)]
struct Shown {
    id: u32,
    tag: String,
    counts: Counts,
}

/// Programs by their names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Programs(pub(crate) BTreeMap<String, Counts>);

impl Programs {
    /// Those that a process has descriptors of.
    pub(crate) fn of(pid: u32) -> Self {
        let names = names(&fs::read_to_string("/proc/kallsyms").unwrap_or_default());
        let mut by_id = BTreeMap::new();
        for text in descriptors(pid) {
            if let Some(shown) = program(&text) {
                by_id.insert(shown.id, shown);
            }
        }
        let mut programs = BTreeMap::new();
        for Shown { tag, counts, .. } in by_id.into_values() {
            let name = names.get(&tag).cloned().unwrap_or(tag);
            let sum: &mut Counts = programs.entry(name).or_default();
            sum.time_ns += counts.time_ns;
            sum.runs += counts.runs;
        }
        Self(programs)
    }

    /// What was counted since then.
    pub(crate) fn since(self, before: &Self) -> Self {
        let counted = |name: &String| before.0.get(name).copied().unwrap_or_default();
        Self(self.0.into_iter().map(|(name, counts)| (name.clone(), counts.since(counted(&name)))).collect())
    }

    /// Together, those whose names pass.
    pub(crate) fn sum(&self, is: impl Fn(&str) -> bool) -> Counts {
        let chosen = self.0.iter().filter(|(name, _)| is(name));
        chosen.fold(Counts::default(), |sum, (_, counts)| Counts {
            time_ns: sum.time_ns + counts.time_ns,
            runs: sum.runs + counts.runs,
        })
    }
}

/// Whether a process has attached a program to something.
pub(crate) fn has_links(pid: u32) -> bool {
    descriptors(pid).any(|text| value(&text, "link_id").is_some())
}

/// Processes that have attached programs, with the names of their files.
pub(crate) fn attached() -> BTreeMap<u32, String> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = processes.filter_map(|process| process.file_name().to_str()?.parse::<u32>().ok());
    let name = |pid| fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim().to_owned();
    pids.filter(|&pid| has_links(pid)).map(|pid| (pid, name(pid))).collect()
}

fn descriptors(pid: u32) -> impl Iterator<Item = String> {
    let directory = Path::new("/proc").join(pid.to_string()).join("fdinfo");
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.filter_map(|entry| fs::read_to_string(entry.path()).ok())
}

fn value<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':')).map(str::trim)
}

fn program(text: &str) -> Option<Shown> {
    let number = |key| value(text, key)?.parse::<u64>().ok();
    Some(Shown {
        id: u32::try_from(number("prog_id")?).ok()?,
        tag: value(text, "prog_tag")?.to_owned(),
        counts: Counts { time_ns: number("run_time_ns")?, runs: number("run_cnt")? },
    })
}

/// Names of programs by their tags, from the kernel's symbols: `bpf_prog_TAG_NAME` (`bpf_get_prog_name` in
/// kernel/bpf/core.c).
fn names(symbols: &str) -> HashMap<String, String> {
    let name = |line: &str| {
        let symbol = line.split_whitespace().nth(2)?.strip_prefix("bpf_prog_")?;
        let (tag, name) = symbol.split_once('_')?;
        let is_tag = tag.len() == 16 && tag.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_tag.then(|| (tag.to_owned(), name.to_owned()))
    };
    symbols.lines().filter_map(name).collect()
}

/// The kernel counts how long programs run while this is there.
pub(crate) struct Counting {
    setting: PathBuf,
    before: String,
}

impl Counting {
    /// From now on.
    pub(crate) fn start() -> Result<Self> {
        let setting = PathBuf::from("/proc/sys/kernel/bpf_stats_enabled");
        let before = fs::read_to_string(&setting).with_context(|| format!("can't read {}", setting.display()))?;
        fs::write(&setting, "1").with_context(|| format!("can't write {}", setting.display()))?;
        Ok(Self { setting, before })
    }
}

impl Drop for Counting {
    fn drop(&mut self) {
        if let Err(error) = fs::write(&self.setting, &self.before) {
            eprintln!("xtask: {} could not be put back to {}: {error}", self.setting.display(), self.before.trim());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DESCRIPTOR: &str = "pos:\t0\nflags:\t02000002\nprog_type:\t26\nprog_jited:\t1\nprog_tag:\t66dab514eba19f65\n\
                              memlock:\t4096\nprog_id:\t230\nrun_time_ns:\t4200\nrun_cnt:\t12\nrecursion_misses:\t0\n";

    #[test]
    fn a_program_is_read_from_what_the_kernel_shows_of_its_descriptor() {
        let counts = Counts { time_ns: 4200, runs: 12 };
        assert_eq!(program(DESCRIPTOR), Some(Shown { id: 230, tag: "66dab514eba19f65".to_owned(), counts }));
        // That of a link has a tag and an id too, and no counts.
        assert_eq!(program("link_type:\ttracing\nlink_id:\t201\nprog_tag:\t66dab514eba19f65\nprog_id:\t230\n"), None);
        assert_eq!(value("link_type:\ttracing\nlink_id:\t201\n", "link_id"), Some("201"));
    }

    #[test]
    fn a_program_has_the_name_that_the_kernel_s_symbols_give_it() {
        let symbols = "ffffffffc0a1 t bpf_prog_66dab514eba19f65_tcp_destroy_sock\t[bpf]\n\
                       ffffffffc0a2 t bpf_prog_alloc\nffffffffc0a3 T tcp_v4_rcv\n";
        let names = names(symbols);
        assert_eq!(names.len(), 1);
        assert_eq!(names["66dab514eba19f65"], "tcp_destroy_sock");
    }

    #[test]
    fn what_is_counted_is_what_came_since() {
        let programs = |time_ns, runs| Programs([("state".to_owned(), Counts { time_ns, runs })].into());
        let since = programs(900, 9).since(&programs(400, 4));
        assert_eq!(since.sum(|name| name == "state"), Counts { time_ns: 500, runs: 5 });
        assert_eq!(since.sum(|name| name == "other"), Counts::default());
    }
}
