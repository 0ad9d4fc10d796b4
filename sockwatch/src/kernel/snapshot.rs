//! The sockets that exist: BPF iterators, read once over all processes and once in each network namespace.

use std::{
    fs::File,
    io::{self, Read},
    thread,
};

use aya::{
    Ebpf,
    programs::{Iter, ProgramError},
};
use sockwatch_ebpf::Snapshot;

use super::namespaces;

/// The iterator programs, loaded. Holds all the others too: dropping it takes everything out of the kernel.
pub struct Iterators {
    programs: Ebpf,
}

/// What an iteration found.
#[derive(Default)]
pub struct Found {
    /// Records of [`Snapshot`], in no order.
    pub records: Vec<Vec<u8>>,
    /// What could not be looked at: a network namespace that can't be entered, an iterator that failed.
    pub unseen: Vec<String>,
}

impl Iterators {
    pub(super) fn new(programs: Ebpf) -> Self {
        Self { programs }
    }

    /// Looks at all descriptors, if `holders` are asked for, and at all sockets of every network namespace that a process
    /// or a name in /run/netns leads to.
    pub fn run(&mut self, holders: bool) -> Found {
        let mut found = Found::default();
        if holders
            && let Some(held) = iterator(&mut self.programs, "held")
            && let Err(error) = open(held).and_then(|file| read(file, &mut found.records))
        {
            found.unseen.push(format!("iter/task_file: {error}"));
        }
        // One of the two is loaded.
        for name in ["exists", "still"] {
            if let Some(program) = iterator(&mut self.programs, name) {
                // setns changes the calling thread only: a thread of its own, that ends with it.
                let records = &mut found;
                let started = thread::scope(|scope| {
                    let each = || in_each_namespace(program, records);
                    thread::Builder::new().spawn_scoped(scope, each).map(drop)
                });
                if let Err(error) = started {
                    found.unseen.push(format!("iter/tcp: can't start a thread: {error}"));
                }
            }
        }
        found
    }
}

/// A loaded iterator; none if this kernel refused it.
fn iterator<'a>(programs: &'a mut Ebpf, name: &str) -> Option<&'a mut Iter> {
    let program: &mut Iter = programs.program_mut(name)?.try_into().ok()?;
    program.fd().is_ok().then_some(program)
}

fn in_each_namespace(exists: &mut Iter, found: &mut Found) {
    let Found { records, unseen } = found;
    unseen.extend(namespaces::in_each(|place| {
        let looked = open(exists).and_then(|file| read(file, records));
        looked.err().map(|error| format!("iter/tcp in {place}: {error}"))
    }));
}

fn open(program: &mut Iter) -> io::Result<File> {
    let other = |error: ProgramError| io::Error::other(error);
    let link = program.attach().map_err(other)?;
    let link = program.take_link(link).map_err(other)?;
    link.into_file().map_err(io::Error::other)
}

fn read(mut file: File, records: &mut Vec<Vec<u8>>) -> io::Result<()> {
    let mut bytes = Vec::new();
    let outcome = file.read_to_end(&mut bytes);
    records.extend(bytes.chunks_exact(size_of::<Snapshot>()).map(<[u8]>::to_vec));
    outcome.map(drop)
}
