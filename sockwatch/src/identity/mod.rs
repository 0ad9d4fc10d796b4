//! Processes: who was behind an event. Read once, remembered.
//!
//! The kernel tells pid, thread, name, user and control group with the event. The executable and the container come from
//! what the kernel told when the process became a program, or from /proc, if the process is still the same one there.

mod container;

use std::{collections::HashMap, fs, os::unix::ffi::OsStrExt, sync::Arc};

use container::{Groups, id_in};
use foldhash::fast::RandomState;

use crate::{
    event::{Actor, Event, Process, Raw, RawTask, Time, What},
    untrusted::Untrusted,
};

/// How many processes one generation of the cache holds; there are two.
const GENERATION: usize = 8_192;

/// Clock ticks a second of /proc (`USER_HZ`), which is 100 on every architecture.
const TICK: u64 = 1_000_000_000 / 100;

/// What names a process for good: its id and its start.
type ProcessKey = (u32, Time);

/// What is known of a process.
#[derive(Debug, Clone, Default)]
struct Known {
    /// As the last event had it. A process changes its name and its user.
    process: Option<Arc<Process>>,
    executable: Option<Untrusted>,
    container: Option<Box<str>>,
    /// Whether /proc was asked.
    read: bool,
}

/// Gives events the processes behind them.
#[derive(Debug, Default)]
pub struct Identities {
    young: HashMap<ProcessKey, Known, RandomState>,
    old: HashMap<ProcessKey, Known, RandomState>,
    groups: Groups,
}

impl Identities {
    /// Nobody is known.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An event with its process known.
    pub fn resolve(&mut self, event: Raw) -> Event {
        let Event { time, what } = event;
        let mut by = |task: Option<RawTask>| task.map(|task| self.actor(&task));
        let what = match what {
            What::Transition { sock, to, by: task, call, srtt, backlog } => {
                What::Transition { sock, to, by: by(task), call, srtt, backlog }
            }
            What::Step { key, parent, from, to, by: task } => What::Step { key, parent, from, to, by: by(task) },
            What::Close { sock, by: task, stats, in_call } => What::Close { sock, by: by(task), stats, in_call },
            What::Mark { key, mptcp, state, mark } => What::Mark { key, mptcp, state, mark },
            What::Call { call, sock, by: task, called, fd, error, backlog } => {
                What::Call { call, sock, by: by(task), called, fd, error, backlog }
            }
            What::Exec { by: task, path } => {
                if let Some(task) = &task {
                    self.became(task, path.clone());
                }
                // Only identities need it: nobody is asked about until a socket is theirs.
                What::Exec { by: None, path }
            }
            What::Exists { sock, stats, holder } => {
                let holder = holder.map(|(task, fd)| (self.holder(&task), fd));
                What::Exists { sock, stats, holder }
            }
            What::Surveyed => What::Surveyed,
            What::Lost { count, since } => What::Lost { count, since },
        };
        Event { time, what }
    }

    /// A process became another program.
    fn became(&mut self, task: &RawTask, path: Option<Untrusted>) {
        let known = self.known((task.pid, task.start));
        known.read = known.read && path.is_some();
        known.process = None;
        known.executable = path;
    }

    fn actor(&mut self, task: &RawTask) -> Actor {
        self.actor_of(task, Some(task.uid))
    }

    fn actor_of(&mut self, task: &RawTask, uid: Option<u32>) -> Actor {
        let key = (task.pid, task.start);
        let tid = (task.tid != 0).then_some(task.tid);
        let descendant = task.descendant;
        let known = self.known(key);
        // Almost always.
        if let Some(process) =
            known.process.as_ref().filter(|process| process.name.is(&task.name) && process.uid == uid)
        {
            return Actor { process: process.clone(), tid, descendant };
        }
        if !known.read && task.pid != 0 {
            let found = read(task.pid, task.start);
            let known = self.known(key);
            known.read = true;
            if let Some((executable, container)) = found {
                known.executable = known.executable.take().or(executable);
                known.container.clone_from(&container);
                self.groups.learn(task.cgroup, container.as_deref());
            } else if task.cgroup > 1 {
                let container = self.groups.container(task.cgroup);
                self.known(key).container = container;
            }
        }
        let known = self.known(key);
        let process = Arc::new(Process {
            pid: (task.pid != 0).then_some(task.pid),
            start: task.start,
            name: Untrusted::new(&task.name),
            uid,
            executable: known.executable.clone(),
            container: known.container.clone(),
        });
        known.process = Some(process.clone());
        Actor { process, tid, descendant }
    }

    /// A process that holds a socket: its user is in /proc.
    fn holder(&mut self, task: &RawTask) -> Actor {
        let mut task = task.clone();
        task.tid = 0;
        let known = self.known((task.pid, task.start)).process.clone();
        if let Some(process) = known.filter(|process| process.name.is(&task.name)) {
            // One that holds many is looked up once.
            return Actor { process, tid: None, descendant: task.descendant };
        }
        self.actor_of(&task, uid(task.pid))
    }

    fn known(&mut self, key: ProcessKey) -> &mut Known {
        let Self { young, old, groups: _ } = self;
        if young.len() >= GENERATION && !young.contains_key(&key) {
            *old = std::mem::take(young);
        }
        young.entry(key).or_insert_with(|| old.remove(&key).unwrap_or_default())
    }
}

/// Executable and container from /proc, if the process there is the one that is meant.
fn read(pid: u32, start: Time) -> Option<(Option<Untrusted>, Option<Box<str>>)> {
    let executable =
        fs::read_link(format!("/proc/{pid}/exe")).ok().map(|path| Untrusted::new(path.as_os_str().as_bytes()));
    let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    let container = groups.lines().find_map(|line| id_in(line.splitn(3, ':').nth(2)?)).map(Into::into);
    // Last, so that what was read before is this process's.
    (started(pid)? == start / TICK).then_some((executable, container))
}

/// When a process started, in ticks: field 22 of /proc/PID/stat, behind the name, which may hold anything.
fn started(pid: u32) -> Option<u64> {
    let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
    let rest = &stat[stat.iter().rposition(|&byte| byte == b')')? + 1..];
    std::str::from_utf8(rest).ok()?.split_ascii_whitespace().nth(19)?.parse().ok()
}

/// The effective user of a process.
fn uid(pid: u32) -> Option<u32> {
    let status = fs::read(format!("/proc/{pid}/status")).ok()?;
    let line = status.split(|&byte| byte == b'\n').find_map(|line| line.strip_prefix(b"Uid:"))?;
    std::str::from_utf8(line).ok()?.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(pid: u32, start: Time, name: &[u8]) -> RawTask {
        let mut padded = [0; 16];
        padded[..name.len()].copy_from_slice(name);
        RawTask { start, cgroup: 0, pid, tid: pid, uid: 0, descendant: false, name: padded }
    }

    #[test]
    fn a_pid_that_was_given_again_is_another_process() {
        let mut identities = Identities::new();
        let own = std::process::id();
        let first = identities.actor(&task(own, 1, b"old"));
        assert_eq!(first.process.executable, None, "this process started at another time");
        let start = started(own).unwrap() * TICK;
        let second = identities.actor(&task(own, start, b"new"));
        assert!(second.process.executable.is_some());
    }

    #[test]
    fn the_program_a_process_became_is_known_after_it_is_gone() {
        let mut identities = Identities::new();
        let gone = u32::MAX - 1;
        identities.became(&task(gone, 7, b"curl"), Some(Untrusted::new(b"/usr/bin/curl")));
        let actor = identities.actor(&task(gone, 7, b"curl"));
        assert_eq!(actor.process.executable, Some(Untrusted::new(b"/usr/bin/curl")));
    }

    #[test]
    fn a_process_that_changes_its_name_is_shown_with_the_new_one() {
        let mut identities = Identities::new();
        let before = identities.actor(&task(u32::MAX - 2, 7, b"a"));
        let after = identities.actor(&task(u32::MAX - 2, 7, b"b"));
        assert_eq!((before.process.name.as_bytes(), after.process.name.as_bytes()), (&b"a"[..], &b"b"[..]));
    }

    #[test]
    fn the_cache_is_bounded() {
        let mut identities = Identities::new();
        for pid in 0..(GENERATION as u32 * 4) {
            identities.became(&task(pid, 7, b"x"), None);
        }
        assert!(identities.young.len() + identities.old.len() <= 2 * GENERATION);
    }
}
