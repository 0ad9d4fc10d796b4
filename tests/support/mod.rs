//! What makes a test a few lines long: the host and whose turn it is, actors that use sockets, the trace that watches
//! them, and the lines that it wrote.

mod actor;
mod consistency;
mod host;
mod lines;
mod load;
mod netns;
mod run;
mod socket;
mod tally;
mod trace;

use std::{
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

pub(crate) use actor::{Actor, python};
pub(crate) use host::Host;
pub(crate) use lines::Lines;
pub(crate) use load::{Ending, Load, Opens};
pub(crate) use netns::Netns;
pub(crate) use run::Run;
pub(crate) use socket::Socket;
pub(crate) use tally::Tally;
pub(crate) use trace::{Trace, sockwatch};

/// How long a test waits for what must come. Long: a machine may be busy, and only a failing test waits for all of it.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// Waits until `look` finds something; panics with `what` at the deadline.
pub(crate) fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited {DEADLINE:?} in vain for {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// A file of `tests/data`.
pub(crate) fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data").join(name)
}

/// A directory that is removed with it.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new(purpose: &str) -> Self {
        let path = std::env::temp_dir().join(format!("sockwatch-{purpose}-{}", unique()));
        std::fs::create_dir_all(&path).expect("a scratch directory");
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A name that no other test of this machine uses at the same time.
pub(crate) fn unique() -> String {
    use std::sync::atomic::{AtomicU32, Ordering};
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    format!("{}-{}", std::process::id(), COUNTER.fetch_add(1, Ordering::Relaxed))
}
