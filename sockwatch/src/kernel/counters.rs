//! The kernel side's counters, as they stand in memory that both sides share.

use std::{fs, io, mem::offset_of, num::NonZeroUsize, ptr::NonNull};

use aya::maps::MapData;
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};
use sockwatch_ebpf::{self as abi, kind, runner, twin};

/// Numbers of the processors that this kernel may ever have, as ranges.
const POSSIBLE: &str = "/sys/devices/system/cpu/possible";

/// How many rows the counters need: one more than the highest number of a processor.
///
/// # Errors
/// If the kernel does not tell.
pub(super) fn processors() -> io::Result<u32> {
    let text = fs::read_to_string(POSSIBLE)?;
    highest(&text)
        .and_then(|number| number.checked_add(1))
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, format!("{POSSIBLE} can't be understood")))
}

/// The highest of numbers like `0-3,8`.
fn highest(ranges: &str) -> Option<u32> {
    ranges
        .trim_end()
        .split([',', '-'])
        .map(|number| number.parse().ok())
        .try_fold(0, |highest, number: Option<u32>| Some(number?.max(highest)))
}

/// The map `COUNTERS` in this process's memory, to be read.
pub(super) struct Counters {
    rows: NonNull<abi::Counters>,
    count: usize,
    /// Programs that are loaded later look for it by its descriptor.
    _map: MapData,
}

// SAFETY: the memory belongs to no thread, and is only read here.
unsafe impl Send for Counters {}
// SAFETY: as above.
unsafe impl Sync for Counters {}

impl Counters {
    /// Of so many processors.
    ///
    /// # Errors
    /// If the kernel does not share it.
    pub(super) fn share(map: MapData, processors: u32) -> io::Result<Self> {
        let count = processors as usize;
        let bytes = NonZeroUsize::new(count * size_of::<abi::Counters>()).ok_or(io::ErrorKind::InvalidInput)?;
        // SAFETY: new memory, at a place that the kernel chooses.
        let rows = unsafe { mmap(None, bytes, ProtFlags::PROT_READ, MapFlags::MAP_SHARED, map.fd(), 0) }?;
        Ok(Self { rows: rows.cast(), count, _map: map })
    }

    /// Records that could not be sent for this [`abi::loss`], on all processors.
    pub(super) fn lost(&self, why: u32) -> u64 {
        let counts = runner::COUNT as usize * usize::from(kind::COUNT);
        let first = why as usize * counts;
        (first..first + counts).map(|nth| self.sum(offset_of!(abi::Counters, lost), nth)).sum()
    }

    /// How often the programs behind the first at this [`abi::twin`] took what it was skipped for, on all processors.
    pub(super) fn taken(&self, twin: usize) -> u64 {
        let of = |program: usize| self.sum(offset_of!(abi::Counters, taken), program * twin::COUNT + twin);
        (0..twin::FURTHER).map(of).sum()
    }

    /// How often a trampoline of this [`abi::call`] saw a call on descriptor -1.
    pub(super) fn tried(&self, call: usize) -> u64 {
        self.sum(offset_of!(abi::Counters, tried), call)
    }

    /// How often a trampoline saw accept give a file a descriptor.
    pub(super) fn installed(&self) -> u64 {
        self.sum(offset_of!(abi::Counters, installed), 0)
    }

    /// Over all processors, the `nth` word behind an offset into a row.
    fn sum(&self, offset: usize, nth: usize) -> u64 {
        let word = offset / size_of::<u64>() + nth;
        assert!(word < size_of::<abi::Counters>() / size_of::<u64>());
        let rows = (0..self.count).map(|row| {
            // SAFETY: within what was mapped, and aligned. The kernel writes there at any time: volatile, and no reference is
            // made.
            unsafe { self.rows.as_ptr().add(row).cast::<u64>().add(word).read_volatile() }
        });
        rows.sum()
    }
}

impl Drop for Counters {
    fn drop(&mut self) {
        // SAFETY: mapped by `share`, with this size; nothing refers to it any more. There is nothing to do if it fails.
        let _ = unsafe { munmap(self.rows.cast(), self.count * size_of::<abi::Counters>()) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_processor_is_found_in_any_list_of_ranges() {
        for (text, number) in [("0\n", 0), ("0-1\n", 1), ("0-3,8-11\n", 11), ("0,2,64\n", 64)] {
            assert_eq!(highest(text), Some(number), "{text:?}");
        }
        assert_eq!((highest(""), highest("0-x\n")), (None, None));
    }
}
