//! What was lost on the way into the ring.

use std::{
    fs::File,
    io,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::fs::FileExt,
    },
};

use sockwatch_ebpf::loss;

use super::counters::Counters;

/// Where a probe's skipped events are counted.
pub(super) struct Skipped {
    /// Its name.
    pub(super) probe: String,
    /// What the kernel tells of its programs.
    pub(super) programs: Vec<ProgramFacts>,
    /// Their places in [`sockwatch_ebpf::twin`], where others take what they are skipped for.
    pub(super) twins: Vec<usize>,
}

/// What the kernel tells of a program, held open: `fdinfo` of its descriptor.
pub(super) struct ProgramFacts {
    file: File,
    /// The file is about this descriptor.
    _program: OwnedFd,
}

impl ProgramFacts {
    pub(super) fn of(program: OwnedFd) -> io::Result<Self> {
        let file = File::open(format!("/proc/self/fdinfo/{}", program.as_raw_fd()))?;
        Ok(Self { file, _program: program })
    }

    /// For how many events the kernel skipped it, because it was running already on that processor.
    fn misses(&self) -> u64 {
        let mut room = [0; 1024];
        let length = self.file.read_at(&mut room, 0).unwrap_or(0);
        misses_in(&room[..length]).unwrap_or(0)
    }
}

/// From lines like `recursion_misses: 0` (`bpf_prog_show_fdinfo` in kernel/bpf/syscall.c).
fn misses_in(fdinfo: &[u8]) -> Option<u64> {
    let line = fdinfo.split(|&byte| byte == b'\n').find_map(|line| line.strip_prefix(b"recursion_misses:"))?;
    std::str::from_utf8(line).ok()?.trim().parse().ok()
}

/// Where events were lost.
#[derive(Clone, Debug, Default)]
pub struct Causes {
    /// Records that did not fit into the buffer.
    pub unfit: u64,
    /// Records that would have fitted, and that the kernel refused a place.
    pub refused: u64,
    /// Records about what the kernel had no memory to keep anything of.
    pub unnoted: u64,
    /// Events for which the kernel did not run the programs of a probe: its name, and how many.
    pub skipped: Vec<(String, u64)>,
}

/// The counters of what was lost.
pub struct Losses {
    counters: Counters,
    /// Each with what other programs took at the start that the first was not skipped for, as it was not there yet.
    skipped: Vec<(Skipped, u64)>,
}

impl Losses {
    /// Once all are attached.
    pub(super) fn new(counters: Counters, skipped: Vec<Skipped>) -> Self {
        let with_before = |skipped: Skipped| {
            let before = skipped.taken(&counters).saturating_sub(skipped.misses());
            (skipped, before)
        };
        Self { skipped: skipped.into_iter().map(with_before).collect(), counters }
    }

    /// Events since the start for which the kernel skipped a program, less those that a later one took, where that is more than
    /// `known`. One that is being taken at this very moment is counted as skipped already: so what is new has to be there at a second
    /// look.
    #[must_use]
    pub fn skipped_beyond(&self, known: u64) -> u64 {
        let skipped = self.skipped();
        if skipped > known { skipped.min(self.skipped()) } else { skipped }
    }

    /// Where all that was lost since the start was lost.
    #[must_use]
    pub fn causes(&self) -> Causes {
        let skipped = self.skipped.iter().map(|one| (one.0.probe.clone(), self.unseen(one)));
        Causes {
            unfit: self.counters.lost(loss::FULL),
            refused: self.counters.lost(loss::REFUSED),
            unnoted: self.counters.lost(loss::MEMORY),
            skipped: skipped.filter(|&(_, count)| count > 0).collect(),
        }
    }

    /// Records since the start that the programs could not send.
    #[must_use]
    pub fn unsent(&self) -> u64 {
        (0..loss::COUNT).map(|why| self.counters.lost(why)).sum()
    }

    fn skipped(&self) -> u64 {
        self.skipped.iter().map(|one| self.unseen(one)).sum()
    }

    fn unseen(&self, (skipped, before): &(Skipped, u64)) -> u64 {
        // What was skipped before what was taken: an event between the two is found with the next look.
        let misses = skipped.misses();
        (misses + before).saturating_sub(skipped.taken(&self.counters))
    }
}

impl Skipped {
    fn misses(&self) -> u64 {
        self.programs.iter().map(ProgramFacts::misses).sum()
    }

    fn taken(&self, counters: &Counters) -> u64 {
        self.twins.iter().map(|twin| counters.taken(*twin)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn misses_are_found_among_what_the_kernel_tells_of_a_program() {
        let fdinfo = b"pos:\t0\nprog_type:\t26\nrun_cnt:\t0\nrecursion_misses:\t17\nverified_insns:\t90\n";
        assert_eq!((misses_in(fdinfo), misses_in(b"pos:\t0\n")), (Some(17), None));
    }
}
