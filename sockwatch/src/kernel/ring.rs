//! The ring buffer, and what was lost on the way into it.

use std::{
    fs,
    os::fd::{AsFd, AsRawFd, OwnedFd},
};

use aya::maps::{MapData, PerCpuArray, RingBuf};
use sockwatch_ebpf::{kind, runner};
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

/// Where a probe's skipped events are counted.
pub(super) struct Skipped {
    pub(super) programs: Vec<OwnedFd>,
    /// The place in `PAIRS`, where a second program takes what the first is skipped for.
    pub(super) pair: Option<u32>,
}

/// The counters of what was lost.
pub struct Losses {
    failed: PerCpuArray<MapData, u64>,
    /// `Pair` of the kernel side.
    pairs: PerCpuArray<MapData, [u64; 2]>,
    skipped: Vec<Skipped>,
}

impl Losses {
    pub(super) fn new(
        failed: PerCpuArray<MapData, u64>,
        pairs: PerCpuArray<MapData, [u64; 2]>,
        skipped: Vec<Skipped>,
    ) -> Self {
        Self { failed, pairs, skipped }
    }

    /// What was lost since the start, if it is more than `known`. An event that is being taken at this very moment is
    /// counted as skipped already: so what is new has to be there at a second look.
    #[must_use]
    pub fn beyond(&self, known: u64) -> u64 {
        let mut total = self.total();
        if total > known {
            total = total.min(self.total());
        }
        total.max(known)
    }

    /// All that was lost since the start: records that did not fit the ring, and events for which the kernel skipped a
    /// program because it was running already on that processor (`recursion_misses` of the program, which the kernel
    /// shows in the descriptor's fdinfo), less those that a second program took.
    fn total(&self) -> u64 {
        let failed: u64 = (0..u32::from(kind::COUNT) * runner::COUNT)
            .filter_map(|slot| self.failed.get(&slot, 0).ok())
            .map(|values| values.iter().sum::<u64>())
            .sum();
        failed + self.skipped.iter().map(|skipped| self.unseen(skipped)).sum::<u64>()
    }

    fn unseen(&self, skipped: &Skipped) -> u64 {
        // What was skipped before what was taken: an event between the two is found with the next look.
        let misses: u64 = skipped.programs.iter().map(misses).sum();
        let taken = skipped.pair.and_then(|pair| self.pairs.get(&pair, 0).ok());
        misses.saturating_sub(taken.map_or(0, |values| values.iter().map(|[_, taken]| taken).sum()))
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
