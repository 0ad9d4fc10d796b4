//! This machine: whether it can be traced, and whose turn it is.

use std::{
    env, fs,
    io::{self, Write},
    panic,
    path::Path,
    process::Stdio,
    sync::{Once, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use super::{Netns, Trace, slowness, sockwatch};

/// A trace sees the whole host. So tests that flood it take turns with all others.
static TURNS: RwLock<()> = RwLock::new(());

enum Turn {
    Shared { _guard: RwLockReadGuard<'static, ()> },
    Alone { _guard: RwLockWriteGuard<'static, ()> },
}

/// This machine, for the time of one test.
pub(crate) struct Host {
    _turn: Turn,
}

impl Host {
    /// For a test that other tests may run beside. None, with a word about it, where nothing can be traced.
    pub(crate) fn shared() -> Option<Self> {
        can_trace()
            .then(|| Self { _turn: Turn::Shared { _guard: TURNS.read().unwrap_or_else(PoisonError::into_inner) } })
    }

    /// For a test that floods the machine.
    pub(crate) fn alone() -> Option<Self> {
        can_trace()
            .then(|| Self { _turn: Turn::Alone { _guard: TURNS.write().unwrap_or_else(PoisonError::into_inner) } })
    }

    /// Whether these programs are installed; says SKIPPED if not.
    pub(crate) fn has(&self, programs: &[&str]) -> bool {
        programs.iter().all(|program| {
            let path = env::var_os("PATH").unwrap_or_default();
            let found = env::split_paths(&path).any(|directory| directory.join(program).exists())
                || Path::new("/usr/sbin").join(program).exists();
            if !found {
                skip(&format!("{program} is not installed"));
            }
            found
        })
    }

    /// Whether this kernel has what a test is about; says SKIPPED if not.
    pub(crate) fn kernel_has(&self, what: &str, has: bool) -> bool {
        if !has {
            let test = std::thread::current();
            eprintln!("SKIPPED {}: this kernel has no {what}", test.name().unwrap_or("a test"));
        }
        has
    }

    /// Whether this kernel keeps process 1 to itself, so that not even root may look at it. Such a kernel was seen to run no BPF
    /// program, and to count nothing, for whatever interrupts that process (docs/limits.md).
    pub(crate) fn hides_a_process(&self) -> bool {
        fs::metadata("/proc/1/ns/net").is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
    }

    /// Traces until it is stopped. The sockets that exist are known when this returns.
    pub(crate) fn trace(&self, arguments: &[&str]) -> Trace {
        Trace::json(arguments)
    }

    /// A network namespace of its own, whose lo is up.
    pub(crate) fn netns(&self) -> Netns {
        Netns::new()
    }
}

/// Where there may be no end at which failures are told, each is told at once as well, past what captures a test's output.
fn tell_panics_at_once() {
    static TOLD: Once = Once::new();
    TOLD.call_once(|| {
        let tell = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            tell(panic);
            let test = std::thread::current();
            let _ = writeln!(io::stderr(), "{}: {panic}", test.name().unwrap_or("a thread"));
        }));
    });
}

fn can_trace() -> bool {
    if slowness() > 1 {
        tell_panics_at_once();
    }
    static REFUSAL: OnceLock<Option<String>> = OnceLock::new();
    let refusal = REFUSAL.get_or_init(|| {
        let doctor = sockwatch(&["doctor", "--json"]).stderr(Stdio::inherit()).output().expect("sockwatch runs");
        if !nix::unistd::geteuid().is_root() {
            return Some("root is needed to make the traffic that is traced".to_owned());
        }
        (!doctor.status.success()).then(|| format!("doctor says: {}", String::from_utf8_lossy(&doctor.stdout)))
    });
    if let Some(refusal) = refusal {
        skip(refusal);
    }
    refusal.is_none()
}

/// Says loudly that a test is not run; fails it where that is not wanted.
fn skip(why: &str) {
    let test = std::thread::current();
    let test = test.name().unwrap_or("a test");
    assert!(env::var_os("SOCKWATCH_REQUIRE_BPF").is_none_or(|value| value != "1"), "{test} cannot run here: {why}");
    eprintln!("SKIPPED {test}: {why}");
}
