//! The ring buffer.

use std::{
    io,
    num::NonZeroUsize,
    os::fd::{AsFd, BorrowedFd},
    ptr::NonNull,
    sync::atomic::{AtomicU64, Ordering},
};

use aya::maps::{MapData, RingBuf};
use nix::{
    sys::mman::{MapFlags, ProtFlags, mmap, munmap},
    unistd::{SysconfVar, sysconf},
};
use tokio::io::{Interest, unix::AsyncFd};

use super::load::LoadError;

/// How often a record that is being written is looked at again: that takes no microsecond, unless its program is preempted or its
/// processor held up.
const LOOKS: u32 = 200;

/// The kernel's end of the street.
pub struct Ring {
    ring: AsyncFd<RingBuf<MapData>>,
    positions: Positions,
}

impl Ring {
    pub(super) fn new(ring: RingBuf<MapData>) -> Result<Self, LoadError> {
        let positions = Positions::of(ring.as_fd()).map_err(LoadError::Poll)?;
        // SAFETY: the ring's descriptor is its map's, the same one for as long as the ring lives.
        let ring = unsafe { AsyncFd::register_with_interest(ring, Interest::READABLE) }
            .map_err(|error| LoadError::Poll(error.into()))?;
        Ok(Self { ring, positions })
    }

    /// Hands every waiting record to `take`, which may stop it by returning false. Returns whether none is left: one that is still
    /// being written hides those behind it.
    pub fn drain(&mut self, mut take: impl FnMut(&[u8]) -> bool) -> bool {
        let mut looks = 0;
        loop {
            if let Some(record) = self.ring.get_mut().next() {
                if !take(&record) {
                    return false;
                }
            } else if self.positions.is_empty() {
                return true;
            } else if looks == LOOKS {
                return false;
            } else {
                looks += 1;
                std::hint::spin_loop();
            }
        }
    }

    /// Waits until the kernel asks to be read; it does so only when the ring fills quickly.
    ///
    /// # Errors
    /// If the descriptor can't be waited on.
    pub async fn readable(&mut self) -> io::Result<()> {
        self.ring.readable_mut().await?.clear_ready();
        Ok(())
    }
}

/// The positions of a ring's writers and of its reader, as they stand in memory that the kernel shares: the ring's first two pages
/// (kernel/bpf/ringbuf.c).
struct Positions {
    reader: NonNull<AtomicU64>,
    writers: NonNull<AtomicU64>,
    page: NonZeroUsize,
}

// SAFETY: the memory belongs to no thread.
unsafe impl Send for Positions {}
// SAFETY: as above; it is only read, as atomics.
unsafe impl Sync for Positions {}

impl Positions {
    fn of(ring: BorrowedFd<'_>) -> io::Result<Self> {
        let page = sysconf(SysconfVar::PAGE_SIZE)?.and_then(|size| NonZeroUsize::new(usize::try_from(size).ok()?));
        let page = page.ok_or(io::ErrorKind::Unsupported)?;
        // SAFETY: new memory, at a place that the kernel chooses.
        let map = |offset| unsafe { mmap(None, page, ProtFlags::PROT_READ, MapFlags::MAP_SHARED, ring, offset) };
        let reader = map(0)?;
        let writers = map(page.get() as i64).inspect_err(|_| {
            // SAFETY: just mapped, with this size.
            let _ = unsafe { munmap(reader, page.get()) };
        })?;
        Ok(Self { reader: reader.cast(), writers: writers.cast(), page })
    }

    /// Whether nothing was given a place that was not read.
    fn is_empty(&self) -> bool {
        // SAFETY: mapped for as long as this lives, and aligned to a page.
        let [reader, writers] = [self.reader, self.writers].map(|position| unsafe { position.as_ref() });
        writers.load(Ordering::Acquire) == reader.load(Ordering::Relaxed)
    }
}

impl Drop for Positions {
    fn drop(&mut self) {
        for position in [self.reader, self.writers] {
            // SAFETY: mapped by `of`, with this size; nothing refers to it any more. There is nothing to do if it fails.
            let _ = unsafe { munmap(position.cast(), self.page.get()) };
        }
    }
}
