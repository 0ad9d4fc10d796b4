//! The network namespaces of this host, as far as a process or a name leads to them.

use std::{
    collections::HashSet,
    fs::{self, File},
    io,
    os::{fd::AsFd, unix::fs::MetadataExt},
    path::{Path, PathBuf},
};

use nix::{
    errno::Errno,
    sched::{CloneFlags, setns},
    sys::statfs::{NSFS_MAGIC, fstatfs},
};

use super::facts;

/// Directories of names (ip-netns(8), and what containers' engines do alike).
const NAMED: [&str; 2] = ["/run/netns", "/run/docker/netns"];

/// Takes the calling thread, which should be one made for it, to each network namespace, its own first, and calls `look` there
/// with what the place is called. Returns what could not be looked at: that, and what `look` says.
pub(super) fn in_each(mut look: impl FnMut(&str) -> Option<String>) -> Vec<String> {
    let mut walk = Walk::default();
    let own = fs::metadata("/proc/thread-self/ns/net").map(|namespace| namespace.ino()).unwrap_or(0);
    walk.met.insert(own);
    walk.views.extend(view(Path::new("/proc/thread-self")));
    walk.unseen.extend(look("sockwatch's own network namespace"));
    for way in walk.ways() {
        if let Some(inode) = walk.enter(&way) {
            let place = format!("network namespace {inode} ({})", way.path.display());
            walk.unseen.extend(look(&place));
        }
    }
    walk.finish()
}

/// Where a network namespace may be found.
struct Way {
    path: PathBuf,
    /// The directory of the process that is in it; none if it is found by a name.
    process: Option<PathBuf>,
}

/// Why a namespace was not entered.
enum Refusal {
    /// It can't be said which it is: whoever was in it ended, its name was taken away, or it may not be looked at.
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

/// What was met so far.
#[derive(Default)]
struct Walk {
    /// Inodes.
    met: HashSet<u64>,
    /// See [`view`]: of those that were met.
    views: HashSet<u64>,
    /// Of those that may not be looked at; some of them may be met by another way.
    hidden: HashSet<u64>,
    /// How many processes may be in any.
    unknown: usize,
    unseen: Vec<String>,
}

impl Walk {
    /// All that may lead to one: processes, and names.
    fn ways(&mut self) -> Vec<Way> {
        let mut ways = Vec::new();
        for process in self.entries("/proc") {
            if process.file_name().and_then(|name| name.to_str()?.parse::<u32>().ok()).is_some() {
                ways.push(Way { path: process.join("ns/net"), process: Some(process) });
            }
        }
        for directory in NAMED {
            ways.extend(self.entries(directory).into_iter().map(|path| Way { path, process: None }));
        }
        ways
    }

    fn entries(&mut self, directory: &str) -> Vec<PathBuf> {
        match fs::read_dir(directory) {
            Ok(entries) => entries.flatten().map(|entry| entry.path()).collect(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => {
                self.unseen.push(format!("{directory} can't be read: {error}"));
                Vec::new()
            }
        }
    }

    /// Takes this thread to the namespace that a way leads to, and returns its inode; none if it was met before, or can't be entered.
    fn enter(&mut self, way: &Way) -> Option<u64> {
        let view_of = || way.process.as_deref().map(view);
        match self.go(&way.path) {
            Ok(None) => {}
            Ok(Some(inode)) => {
                self.views.extend(view(Path::new("/proc/thread-self")));
                return Some(inode);
            }
            Err(Refusal::Namespace(inode, error)) => {
                self.views.extend(view_of().and_then(Result::ok));
                let needs = if is_refused(&error) { needs("CAP_SYS_ADMIN") } else { String::new() };
                let path = way.path.display();
                self.unseen.push(format!("network namespace {inode} ({path}) can't be entered{needs}: {error}"));
            }
            Err(Refusal::Unknown(error)) if is_refused(&error) => match view_of() {
                Some(Ok(view)) => drop(self.hidden.insert(view)),
                Some(Err(error)) if is_refused(&error) => self.unknown += 1,
                // It ended meanwhile: then it is refused, too, and there is nothing of it.
                _ => {}
            },
            Err(Refusal::Unknown(_)) => {}
        }
        None
    }

    fn go(&mut self, path: &Path) -> Result<Option<u64>, Refusal> {
        let seen = fs::metadata(path)?;
        if !seen.is_file() || self.met.contains(&seen.ino()) {
            return Ok(None);
        }
        let namespace = File::open(path)?;
        // `ip netns` makes a file first, and then mounts the namespace on it; where it was taken off, the file may be left.
        if fstatfs(&namespace)?.filesystem_type() != NSFS_MAGIC {
            return Ok(None);
        }
        let inode = namespace.metadata()?.ino();
        if !self.met.insert(inode) {
            return Ok(None);
        }
        match setns(namespace.as_fd(), CloneFlags::CLONE_NEWNET) {
            Ok(()) => Ok(Some(inode)),
            Err(error) => Err(Refusal::Namespace(inode, error.into())),
        }
    }

    fn finish(mut self) -> Vec<String> {
        let hidden = self.hidden.difference(&self.views).count();
        for (count, what) in [
            (hidden, "network namespaces of processes that may not be looked at"),
            (self.unknown, "processes whose network namespaces may not be looked up"),
        ] {
            if count > 0 {
                self.unseen.push(format!("{what}{}: {count}", needs("CAP_SYS_PTRACE")));
            }
        }
        self.unseen
    }
}

/// What tells the network namespace of a process, or a thread, from others, also where its own inode may not be asked for: the inode
/// of a file in /proc that each namespace has for itself (`get_proc_task_net` in fs/proc/proc_net.c, `proc_get_inode`).
fn view(process: &Path) -> io::Result<u64> {
    fs::metadata(process.join("net/dev")).map(|file| file.ino())
}

/// Which capability it takes, where it is not had.
fn needs(capability: &str) -> String {
    if facts::has(capability) { String::new() } else { format!(" (it takes {capability})") }
}

fn is_refused(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::PermissionDenied
}
