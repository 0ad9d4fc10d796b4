//! What /proc tells of processes and processors.

use std::fs;
use std::path::Path;

use serde::Serialize;

/// Processor time of a process, all its threads together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Time {
    /// All of it, nanoseconds.
    pub(crate) total: u64,
    /// Clock ticks in user space and in the kernel: what share each had.
    pub(crate) user: u64,
    pub(crate) system: u64,
}

impl Time {
    /// Of a process, so far; none if it is gone.
    pub(crate) fn of(pid: u32) -> Option<Self> {
        let process = Path::new("/proc").join(pid.to_string());
        let (user, system) = ticks(&fs::read_to_string(process.join("stat")).ok()?)?;
        let threads = fs::read_dir(process.join("task")).ok()?.flatten();
        let total = threads.filter_map(|thread| ran(&fs::read_to_string(thread.path().join("schedstat")).ok()?)).sum();
        Some(Self { total, user, system })
    }

    /// Since then.
    pub(crate) fn since(self, before: Self) -> Self {
        Self {
            total: self.total.saturating_sub(before.total),
            user: self.user.saturating_sub(before.user),
            system: self.system.saturating_sub(before.system),
        }
    }

    /// Which part of it was in user space.
    pub(crate) fn user_share(self) -> Option<f64> {
        super::stats::per(self.user as f64, (self.user + self.system) as f64)
    }
}

/// The fields `utime` and `stime` of /proc/PID/stat: the name before them may hold anything, spaces and parentheses too.
fn ticks(stat: &str) -> Option<(u64, u64)> {
    let (_, behind) = stat.rsplit_once(')')?;
    let mut fields = behind.split_whitespace().skip(11);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

/// The first field of a schedstat: nanoseconds on a processor.
fn ran(schedstat: &str) -> Option<u64> {
    schedstat.split_whitespace().next()?.parse().ok()
}

/// The value of a line `KEY: N kB` in /proc/PID/status.
fn kilobytes(status: &str, key: &str) -> Option<u64> {
    let value = status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
    value.split_whitespace().next()?.parse().ok()
}

/// The most memory that a process ever had, in bytes.
pub(crate) fn peak_memory(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    Some(kilobytes(&status, "VmHWM")? * 1024)
}

/// Whether some process traces this one by ptrace.
pub(crate) fn is_traced(pid: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    status.lines().find_map(|line| line.strip_prefix("TracerPid:")).is_some_and(|tracer| tracer.trim() != "0")
}

/// What all processors did so far, in clock ticks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Processors {
    /// At work for some process or interrupt.
    pub(crate) busy: u64,
    /// Idle.
    pub(crate) idle: u64,
    /// Taken away by the hypervisor.
    pub(crate) stolen: u64,
}

impl Processors {
    /// So far.
    pub(crate) fn now() -> Self {
        Self::read(&fs::read_to_string("/proc/stat").unwrap_or_default()).unwrap_or_default()
    }

    fn read(stat: &str) -> Option<Self> {
        let line = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
        let ticks: Vec<u64> = line.split_whitespace().map_while(|field| field.parse().ok()).collect();
        let [user, nice, system, idle, iowait, irq, softirq, stolen, ..] = ticks[..] else { return None };
        Some(Self { busy: user + nice + system + irq + softirq, idle: idle + iowait, stolen })
    }

    /// Since then.
    pub(crate) fn since(self, before: Self) -> Self {
        Self {
            busy: self.busy.saturating_sub(before.busy),
            idle: self.idle.saturating_sub(before.idle),
            stolen: self.stolen.saturating_sub(before.stolen),
        }
    }
}

/// Clock ticks that a process ran, with those of its threads that have ended.
pub(crate) fn ticks_of(pid: u32) -> Option<u64> {
    let (user, system) = ticks(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)?;
    Some(user + system)
}

/// Ticks that processes of the kernel ran, all together.
pub(crate) fn kernel_threads() -> u64 {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let stat = |process: fs::DirEntry| {
        process.file_name().to_str()?.parse::<u32>().ok()?;
        let stat = fs::read_to_string(process.path().join("stat")).ok()?;
        is_of_kernel(&stat)?.then(|| ticks(&stat)).flatten()
    };
    processes.filter_map(stat).map(|(user, system)| user + system).sum()
}

/// Whether its flags have PF_KTHREAD (include/linux/sched.h).
fn is_of_kernel(stat: &str) -> Option<bool> {
    let (_, behind) = stat.rsplit_once(')')?;
    let flags: u64 = behind.split_whitespace().nth(6)?.parse().ok()?;
    Some(flags & 0x0020_0000 != 0)
}

/// The load averages over 1, 5 and 15 minutes, as the kernel has them.
pub(crate) fn load_average() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().take(3).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str = "4242 (a) b (c) S 1 4242 4242 0 -1 4194560 1234 0 0 0 17 29 0 0 20 0 3 0 12345 1048576 256";

    #[test]
    fn a_name_with_spaces_and_parentheses_does_not_shift_the_fields() {
        assert_eq!(ticks(STAT), Some((17, 29)));
        assert_eq!(is_of_kernel(STAT), Some(false));
        assert_eq!(is_of_kernel("2 (kthreadd) S 0 0 0 0 -1 2129984 0 0 0 0 0 7 0 0"), Some(true));
        assert_eq!(ticks("4242 (cut"), None);
    }

    #[test]
    fn times_and_memory_are_read_as_the_kernel_writes_them() {
        assert_eq!(ran("1034140 2697989 2\n"), Some(1_034_140));
        assert_eq!(kilobytes("Name:\tx\nVmHWM:\t    5012 kB\nVmRSS:\t    4000 kB\n", "VmHWM"), Some(5012));
        assert_eq!(kilobytes("Name:\tx\n", "VmHWM"), None);
        let stat = "cpu  10 20 30 400 5 6 7 8 0 0\ncpu0 1 2 3 4 5 6 7 8 0 0\n";
        assert_eq!(Processors::read(stat), Some(Processors { busy: 73, idle: 405, stolen: 8 }));
    }

    #[test]
    fn this_process_has_used_processor_time_and_memory() {
        let own = std::process::id();
        assert!(Time::of(own).unwrap().total > 0);
        assert!(peak_memory(own).unwrap() > 100_000);
        assert!(!is_traced(own));
    }
}
