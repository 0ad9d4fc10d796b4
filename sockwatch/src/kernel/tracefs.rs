//! tracefs, from which the kernel tells the numbers of its system-call tracepoints.

use std::{path::Path, thread};

use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
};

/// Where tracefs is mounted on most hosts.
const USUAL: &str = "/sys/kernel/tracing";

/// Why tracefs can't be had.
#[derive(Clone, Debug, thiserror::Error)]
pub enum TracefsError {
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
    [USUAL, "/sys/kernel/debug/tracing"].iter().any(|place| Path::new(place).join("events").is_dir())
}

/// Runs `work` where tracefs can be read, or tells it why it can't. Where the host has it not mounted, that is a thread
/// with a mount namespace of its own: nobody else sees the mount, and it goes with the thread.
pub fn with<T: Send>(work: impl FnOnce(&Result<(), TracefsError>) -> T + Send) -> T {
    if is_mounted() {
        return work(&Ok(()));
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
