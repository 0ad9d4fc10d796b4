//! What makes a test a few lines long: the host and whose turn it is, actors that use sockets, the trace that watches
//! them, and the lines that it wrote.

mod actor;
mod backlog;
mod consistency;
mod host;
mod lines;
mod load;
mod memory_group;
mod netns;
mod nginx;
pub(crate) mod recording;
mod run;
mod small_disk;
mod socket;
mod stage;
mod tally;
mod terminal;
mod trace;
mod traffic;

use std::{
    path::{Path, PathBuf},
    sync::LazyLock,
    thread,
    time::{Duration, Instant},
};

pub(crate) use actor::{Actor, python};
pub(crate) use host::Host;
pub(crate) use lines::Lines;
pub(crate) use load::{Ending, Load, Opens};
pub(crate) use memory_group::MemoryGroup;
pub(crate) use netns::Netns;
pub(crate) use nginx::Nginx;
pub(crate) use run::Run;
pub(crate) use small_disk::SmallDisk;
pub(crate) use socket::{Event, Socket};
pub(crate) use stage::{Seen, Stage};
pub(crate) use tally::Tally;
pub(crate) use terminal::Terminal;
pub(crate) use trace::{Ended, Trace, sockwatch};
pub(crate) use traffic::Traffic;

/// How many times slower this machine is than those that the tests are made for: `cargo xtask vm` sets it where it
/// emulates the processor.
fn slowness() -> u32 {
    static SLOWNESS: LazyLock<u32> = LazyLock::new(|| {
        let value = std::env::var("SOCKWATCH_TEST_SLOWNESS").ok();
        value.map_or(1, |value| value.parse().ok().filter(|times| *times > 0).expect("a number of times"))
    });
    *SLOWNESS
}

/// How long a test waits for what must come. Long: a machine may be busy, and only a failing test waits for all of it.
pub(crate) fn deadline() -> Duration {
    Duration::from_secs(60) * slowness()
}

/// So many, or as many as a slow machine does in that time.
pub(crate) fn scaled(count: u32) -> u32 {
    count / slowness()
}

/// Waits until `look` finds something; panics with `what` at the deadline.
pub(crate) fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + deadline();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "waited {:?} in vain for {what}", deadline());
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
