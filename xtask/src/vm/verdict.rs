//! What the run in a virtual machine amounts to. Pure: texts in, verdict out.

use std::collections::{BTreeMap, BTreeSet};

use super::qemu::End;

/// What the kernel says at the beginning of a line when something is wrong with it (lib/bug.c, kernel/panic.c,
/// mm/kasan/report.c, kernel/locking/lockdep.c, …).
const BEGINNINGS: [&str; 8] =
    ["WARNING: ", "BUG: ", "Oops", "Kernel panic", "KASAN", "UBSAN: ", "kernel BUG at", "general protection fault"];

/// And anywhere in it.
const WORDS: [&str; 7] = [
    "detected stall",
    "kthread starved",
    "soft lockup",
    "hard LOCKUP",
    "blocked for more than",
    "lock state",
    "cut here",
];

/// The bits of /proc/sys/kernel/tainted that the kernel sets when something is wrong with it: a bad page, an oops, a
/// warning, a processor that was stuck (Documentation/admin-guide/tainted-kernels.rst).
const TAINTS: u64 = 1 << 5 | 1 << 7 | 1 << 9 | 1 << 14;

/// How a run ended.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) passed: usize,
    pub(super) failed: Vec<String>,
    /// Tests that said that they can't run there, with why.
    pub(super) skipped: Vec<String>,
    /// Tests for which there was no time.
    pub(super) not_run: Vec<String>,
    /// What else is wrong, in words.
    pub(super) complaints: Vec<String>,
}

impl Verdict {
    /// Whether nothing went wrong, as far as there was time.
    pub(super) fn is_good(&self) -> bool {
        self.failed.is_empty() && self.complaints.is_empty() && self.passed > 0
    }

    /// Judges what tests of these names wrote, and the kernel's console.
    pub(super) fn of(names: &[String], results: &str, console: &str, end: End) -> Self {
        let told = told(results);
        let skipped: BTreeMap<&str, &str> =
            results.lines().filter_map(|line| line.strip_prefix("SKIPPED ")?.split_once(": ")).collect();
        let mut verdict = Self::default();
        let mut missing = Vec::new();
        for name in names {
            match (told.get(name.as_str()), skipped.get(name.as_str())) {
                (Some(&"ok"), Some(why)) => verdict.skipped.push(format!("{name}: {why}")),
                (Some(&"ok"), None) => verdict.passed += 1,
                (Some(_), _) => verdict.failed.push(name.clone()),
                (None, _) => missing.push(name.as_str()),
            }
        }
        let complaints = &mut verdict.complaints;
        if end == End::Hung {
            complaints.push("the machine hung: it said nothing any more".to_owned());
        }
        match ending(results) {
            None if end == End::Off => complaints.push("the machine ended before the tests did".to_owned()),
            Some((code, _)) if code != 0 && verdict.failed.is_empty() => {
                complaints.push(format!("no test failed, and the test program's exit code is {code}"));
            }
            _ => {}
        }
        if end == End::Cut {
            verdict.not_run = missing.drain(..).map(str::to_owned).collect();
        }
        if !missing.is_empty() {
            let few = missing.len().min(5);
            let more = if few < missing.len() { ", …" } else { "" };
            complaints.push(format!("{} tests have no result: {}{more}", missing.len(), missing[..few].join(", ")));
        }
        let known: BTreeSet<&str> = names.iter().map(String::as_str).collect();
        let unknown: Vec<_> = told.keys().filter(|name| !known.contains(**name)).copied().collect();
        if !unknown.is_empty() {
            complaints.push(format!("tests ran that were not to: {}", unknown.join(", ")));
        }
        let splats = splats(console);
        if let Some(first) = splats.first() {
            complaints.push(format!("the kernel complained, {} lines, first: {first}", splats.len()));
        }
        if let Some((_, taints)) = ending(results)
            && taints & TAINTS != 0
        {
            complaints.push(format!("the kernel is tainted: {taints}"));
        }
        verdict
    }
}

/// The tests that ended, and how, in what a test program writes.
fn told(results: &str) -> BTreeMap<&str, &str> {
    let lines = results.lines().filter_map(|line| line.strip_prefix("test ")?.split_once(" ... "));
    lines.filter(|(_, how)| !how.starts_with("ignored")).collect()
}

/// The exit code of the test program, and the kernel's taints: what init.sh writes last.
fn ending(results: &str) -> Option<(i32, u64)> {
    let line = results.lines().rev().find_map(|line| line.strip_prefix("vm: the tests ended with "))?;
    let (code, taints) = line.split_once("; the kernel is tainted ")?;
    Some((code.parse().ok()?, taints.parse().ok()?))
}

/// The lines in which a kernel says that something is wrong with it.
fn splats(console: &str) -> Vec<&str> {
    let is_splat = |line: &&str| {
        let text = message(line);
        BEGINNINGS.iter().any(|beginning| text.starts_with(beginning)) || WORDS.iter().any(|word| text.contains(word))
    };
    console.lines().filter(is_splat).collect()
}

/// Whether the first thing that went wrong is a breakpoint that the kernel knows nothing of. It puts some into its own code for a
/// moment when it changes that (`text_poke_bp_batch` in arch/x86/kernel/alternative.c), and waits until no processor may meet
/// them any more; an emulated processor was seen to meet one later.
pub(super) fn is_stale_breakpoint(console: &str) -> bool {
    splats(console).first().is_some_and(|line| message(line).starts_with("Oops: int3"))
}

/// A line of the console without its time.
fn message(line: &str) -> &str {
    line.strip_prefix('[').and_then(|rest| rest.split_once("] ")).map_or(line, |(_, message)| message)
}

#[cfg(test)]
mod tests {
    use super::{End, Verdict, is_stale_breakpoint, splats};

    const NAMES: [&str; 3] = ["a::one", "a::two", "b::three"];
    const GOOD: &str = "running 3 tests\ntest a::one ... ok\ntest a::two ... ok\ntest b::three ... ok\n\nsuccesses:\n\n\
                        ---- a::two stdout ----\nsomething\n\ntest result: ok. 3 passed; 0 failed\n\
                        vm: the tests ended with 0; the kernel is tainted 0\n";

    fn judge(results: &str, console: &str) -> Verdict {
        Verdict::of(&NAMES.map(str::to_owned), results, console, End::Off)
    }

    #[test]
    fn a_run_in_which_every_test_passed_is_good() {
        let verdict = judge(GOOD, "[    0.000000] Linux version 6.1\n");
        assert!(verdict.is_good() && verdict.passed == 3, "{verdict:?}");
    }

    #[test]
    fn a_test_that_failed_is_named() {
        let results = GOOD.replace("a::two ... ok", "a::two ... FAILED").replace("with 0", "with 101");
        let verdict = judge(&results, "");
        assert_eq!((verdict.passed, verdict.failed, verdict.complaints.len()), (2, vec!["a::two".to_owned()], 0));
    }

    #[test]
    fn a_test_that_said_it_cannot_run_has_not_passed() {
        let verdict = judge(&GOOD.replace("something", "SKIPPED a::two: no program"), "");
        assert_eq!((verdict.passed, verdict.skipped.as_slice()), (2, &["a::two: no program".to_owned()][..]));
        assert!(verdict.is_good());
        let all: String = NAMES.map(|name| format!("SKIPPED {name}: nothing works\n")).concat();
        assert!(!judge(&format!("{GOOD}{all}"), "").is_good(), "nothing ran");
    }

    #[test]
    fn a_test_without_a_result_is_missed() {
        let verdict = judge(&GOOD.replace("test b::three ... ok\n", ""), "");
        assert_eq!(verdict.complaints, ["1 tests have no result: b::three"]);
        assert!(!judge(&GOOD.replace("test b::three ... ok\n", "test b::three ... ignored, why\n"), "").is_good());
    }

    #[test]
    fn a_machine_that_ends_early_or_never_is_no_success() {
        let cut = GOOD.split("vm:").next().expect("the start");
        assert_eq!(judge(cut, "").complaints, ["the machine ended before the tests did"]);
        let verdict = Verdict::of(&NAMES.map(str::to_owned), cut, "", End::Hung);
        assert_eq!(verdict.complaints, ["the machine hung: it said nothing any more"]);
        assert!(!Verdict::of(&[], "", "", End::Off).is_good());
        assert!(!judge(&GOOD.replace("with 0", "with 1"), "").is_good());
    }

    #[test]
    fn tests_for_which_there_was_no_time_are_told_and_have_not_passed() {
        let cut = |results: &str, console| Verdict::of(&NAMES.map(str::to_owned), results, console, End::Cut);
        let begun = GOOD.split("test b::three").next().expect("the start");
        let verdict = cut(begun, "");
        assert_eq!((verdict.passed, verdict.not_run.as_slice()), (2, &["b::three".to_owned()][..]));
        assert!(verdict.is_good());
        assert!(!cut(&begun.replace("a::two ... ok", "a::two ... FAILED"), "").is_good());
        assert!(!cut(begun, "[    1.0] WARNING: net/ipv4/tcp.c:1234").is_good());
        assert!(!cut("running 3 tests\n", "").is_good(), "nothing ran");
    }

    #[test]
    fn what_the_kernel_complains_of_fails_the_run() {
        for splat in [
            "[   12.345678] WARNING: CPU: 1 PID: 77 at net/ipv4/tcp.c:1234 tcp_recvmsg+0x1/0x2",
            "[   12.345678] WARNING: net/ipv4/tcp.c:1234 at tcp_recvmsg+0x1/0x2, CPU#1: python3/77",
            "[   12.345678] BUG: kernel NULL pointer dereference, address: 0000000000000008",
            "[   12.345678] Oops: 0000 [#1] PREEMPT SMP PTI",
            "[   12.345678] rcu: INFO: rcu_preempt self-detected stall on CPU",
            "[   12.345678] watchdog: BUG: soft lockup - CPU#1 stuck for 134s! [e2e:99]",
            "[   12.345678] INFO: task e2e:99 blocked for more than 120 seconds.",
            "[   12.345678] Kernel panic - not syncing: Attempted to kill init!",
            "[   12.345678] ------------[ cut here ]------------",
        ] {
            let verdict = judge(GOOD, splat);
            assert!(!verdict.is_good() && verdict.complaints[0].contains(splat), "{splat}: {verdict:?}");
        }
        assert!(!judge(&GOOD.replace("tainted 0", "tainted 512"), "").is_good());
        assert!(is_stale_breakpoint("[  829.577559] Oops: int3: 0000 [#1] PREEMPT SMP NOPTI\n[  829.6] Oops: 0000\n"));
        assert!(!is_stale_breakpoint("[  829.5] Oops: 0000 [#1] SMP\n[  829.6] Oops: int3: 0000\n"));
        // An unsigned module, and one from outside of the kernel's sources.
        assert!(judge(&GOOD.replace("tainted 0", "tainted 12288"), "").is_good());
        let harmless = "[    0.1] Spectre V2 : WARNING: Unprivileged eBPF is enabled\n[    0.2] rcu: RCU restricting CPUs\n\
                        [    0.3] Debug: 1\n";
        assert!(splats(harmless).is_empty());
    }
}
