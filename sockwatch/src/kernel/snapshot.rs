//! The sockets that exist: BPF iterators, read once over all processes and once in each network namespace.

use std::{
    collections::HashSet,
    fs::{self, File},
    io::{self, Read},
    os::{fd::AsFd, unix::fs::MetadataExt},
    path::{Path, PathBuf},
    thread,
};

use aya::{
    Ebpf,
    programs::{Iter, ProgramError},
};
use nix::{
    errno::Errno,
    sched::{CloneFlags, setns},
    sys::statfs::{NSFS_MAGIC, fstatfs},
};
use sockwatch_ebpf::Snapshot;

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
    let own = fs::metadata("/proc/thread-self/ns/net").map(|namespace| namespace.ino()).unwrap_or(0);
    let mut look = |found: &mut Found, place: &str| {
        if let Err(error) = open(exists).and_then(|file| read(file, &mut found.records)) {
            found.unseen.push(format!("iter/tcp in {place}: {error}"));
        }
    };
    look(found, "sockwatch's own network namespace");
    let mut met = HashSet::from([own]);
    let mut views: HashSet<u64> = view(Path::new("/proc/thread-self")).into_iter().collect();
    let mut hidden = HashSet::new();
    for path in paths_to_namespaces() {
        match enter(&path, &mut met) {
            Ok(None) => {}
            Ok(Some(inode)) => {
                views.extend(view(Path::new("/proc/thread-self")));
                look(found, &format!("network namespace {inode} ({})", path.display()));
            }
            Err(Refusal::Unknown(error)) if error.kind() == io::ErrorKind::PermissionDenied => {
                hidden.extend(path.ancestors().nth(2).and_then(view));
            }
            Err(Refusal::Unknown(_)) => {}
            Err(Refusal::Namespace(inode, error)) => found.unseen.push(format!(
                "network namespace {inode} ({}) can't be entered (it takes CAP_SYS_ADMIN): {error}",
                path.display()
            )),
        }
    }
    let hidden = hidden.difference(&views).count();
    if hidden > 0 {
        found.unseen.push(format!(
            "network namespaces of other users' processes that can't be looked up (it takes CAP_SYS_PTRACE): {hidden}"
        ));
    }
}

/// What tells the network namespace of a process, or a thread, from others, also where its own inode may not be asked for: the inode
/// of a file in /proc that each namespace has for itself (`get_proc_task_net` in fs/proc/proc_net.c, `proc_get_inode`). None if the
/// process has ended.
fn view(process: &Path) -> Option<u64> {
    fs::metadata(process.join("net/dev")).map(|file| file.ino()).ok()
}

/// Why a namespace was not entered.
enum Refusal {
    /// The path leads nowhere: whoever held the namespace ended, its name was taken away, or it may not be looked at.
    Unknown(io::Error),
    /// This one does not let us in.
    Namespace(u64, io::Error),
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        Self::Unknown(error)
    }
}

impl From<Errno> for Refusal {
    fn from(error: Errno) -> Self {
        Self::Unknown(error.into())
    }
}

/// Takes this thread to the namespace that a path leads to, unless it was met before. Returns its inode.
fn enter(path: &Path, met: &mut HashSet<u64>) -> Result<Option<u64>, Refusal> {
    let seen = fs::metadata(path)?;
    if !seen.is_file() || met.contains(&seen.ino()) {
        return Ok(None);
    }
    let namespace = File::open(path)?;
    // `ip netns` makes a file first, and then mounts the namespace on it; where it was taken off, the file may be left.
    if fstatfs(&namespace)?.filesystem_type() != NSFS_MAGIC {
        return Ok(None);
    }
    let inode = namespace.metadata()?.ino();
    if !met.insert(inode) {
        return Ok(None);
    }
    match setns(namespace.as_fd(), CloneFlags::CLONE_NEWNET) {
        Ok(()) => Ok(Some(inode)),
        Err(error) => Err(Refusal::Namespace(inode, error.into())),
    }
}

/// Whatever may lead to a network namespace: processes, and names.
fn paths_to_namespaces() -> impl Iterator<Item = PathBuf> {
    let entries = |directory: &str| fs::read_dir(directory).into_iter().flatten().flatten();
    let processes = entries("/proc").filter_map(|entry| {
        let name = entry.file_name();
        name.to_str()?.parse::<u32>().ok()?;
        Some(entry.path().join("ns/net"))
    });
    let named = ["/run/netns", "/run/docker/netns"].into_iter().flat_map(entries).map(|entry| entry.path());
    processes.chain(named)
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
