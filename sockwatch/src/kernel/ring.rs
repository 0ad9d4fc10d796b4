//! The ring buffer, and what was lost on the way into it.

use std::{
    fs,
    os::fd::{AsFd, AsRawFd, OwnedFd},
};

use aya::maps::{MapData, PerCpuArray, RingBuf};
use tokio::io::{Interest, unix::AsyncFd};

use super::load::LoadError;

/// The kernel's end of the street.
pub struct Ring {
    ring: AsyncFd<RingBuf<MapData>>,
}

impl Ring {
    pub(super) fn new(ring: RingBuf<MapData>) -> Result<Self, LoadError> {
        // SAFETY: the ring's descriptor is its map's, the same one for as long as the ring lives.
        let ring = unsafe { AsyncFd::register_with_interest(ring, Interest::READABLE) }
            .map_err(|error| LoadError::Poll(error.into()))?;
        Ok(Self { ring })
    }

    /// Hands every waiting record to `take`, which may stop it by returning false.
    pub fn drain(&mut self, mut take: impl FnMut(&[u8]) -> bool) {
        let ring = self.ring.get_mut();
        while let Some(record) = ring.next() {
            if !take(&record) {
                break;
            }
        }
    }

    /// Waits until the kernel asks to be read; it does so only when the ring fills quickly.
    ///
    /// # Errors
    /// If the descriptor can't be waited on.
    pub async fn readable(&mut self) -> std::io::Result<()> {
        self.ring.readable_mut().await?.clear_ready();
        Ok(())
    }
}

/// The counters of what was lost.
pub struct Losses {
    failed: PerCpuArray<MapData, u64>,
    programs: Vec<OwnedFd>,
}

impl Losses {
    pub(super) fn new(failed: PerCpuArray<MapData, u64>, programs: Vec<OwnedFd>) -> Self {
        Self { failed, programs }
    }

    /// All that was lost since the start: records that did not fit the ring, and events for which the kernel skipped a
    /// program because it was running already on that processor (`recursion_misses` of the program, which the kernel
    /// shows in the descriptor's fdinfo).
    #[must_use]
    pub fn total(&self) -> u64 {
        let failed: u64 = (0..u32::from(sockwatch_ebpf::kind::COUNT))
            .filter_map(|kind| self.failed.get(&kind, 0).ok())
            .map(|values| values.iter().sum::<u64>())
            .sum();
        failed + self.programs.iter().map(|program| misses(program)).sum::<u64>()
    }
}

fn misses(program: &impl AsFd) -> u64 {
    fs::read_to_string(format!("/proc/thread-self/fdinfo/{}", program.as_fd().as_raw_fd()))
        .ok()
        .and_then(|text| {
            let line = text.lines().find_map(|line| line.strip_prefix("recursion_misses:"))?;
            line.trim().parse().ok()
        })
        .unwrap_or(0)
}
