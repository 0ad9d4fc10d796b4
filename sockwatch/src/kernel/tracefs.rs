//! tracefs, from which the kernel tells the numbers of its system-call tracepoints.

use std::{fs, io, path::Path, thread};

use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
};

/// Where tracefs is mounted on most hosts.
const USUAL: &str = "/sys/kernel/tracing";

/// Where it may be.
const PLACES: [&str; 2] = [USUAL, "/sys/kernel/debug/tracing"];

/// Why tracefs can't be had.
#[derive(Clone, Debug, thiserror::Error)]
pub enum TracefsError {
    /// It is mounted, and closed to this process.
    #[error("tracefs is mounted, and this process may not read it: give it CAP_DAC_READ_SEARCH, or run it as root")]
    Forbidden,
    /// No mount namespace of our own.
    #[error(
        "tracefs is not mounted, and mounting it for sockwatch alone failed (unshare: {0}): run `mount -t tracefs \
         tracefs {USUAL}` as root, or give sockwatch CAP_SYS_ADMIN"
    )]
    Namespace(nix::Error),
    /// It does not mount.
    #[error(
        "tracefs is not mounted, and mounting it for sockwatch alone failed (mount: {0}): run `mount -t tracefs \
         tracefs {USUAL}` as root; a kernel without CONFIG_FTRACE_SYSCALLS has none"
    )]
    Mount(nix::Error),
}

/// Whether tracefs is mounted where it can be found.
#[must_use]
pub fn is_mounted() -> bool {
    PLACES.iter().any(|place| !matches!(look(place), Err(error) if error.kind() == io::ErrorKind::NotFound))
}

fn look(place: &str) -> io::Result<fs::Metadata> {
    fs::metadata(Path::new(place).join("events"))
}

/// Runs `work` where tracefs can be read, or tells it why it can't. Where the host has it not mounted, that is a thread
/// with a mount namespace of its own: nobody else sees the mount, and it goes with the thread.
pub fn with<T: Send>(work: impl FnOnce(&Result<(), TracefsError>) -> T + Send) -> T {
    if PLACES.iter().any(|place| look(place).is_ok()) {
        return work(&Ok(()));
    }
    if is_mounted() {
        return work(&Err(TracefsError::Forbidden));
    }
    thread::scope(|scope| {
        let worker = scope.spawn(|| work(&mount_privately()));
        worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn mount_privately() -> Result<(), TracefsError> {
    let none: Option<&str> = None;
    // Unsharing the mount namespace also unshares this thread's root and working directory (CLONE_FS).
    unshare(CloneFlags::CLONE_NEWNS).map_err(TracefsError::Namespace)?;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_SLAVE, none).map_err(TracefsError::Mount)?;
    mount(Some("tracefs"), USUAL, Some("tracefs"), MsFlags::empty(), none).map_err(TracefsError::Mount)
}
