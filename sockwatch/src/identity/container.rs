//! Which container a control group is.

use std::{
    collections::HashMap,
    fs,
    os::unix::fs::DirEntryExt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// The length of the ids that container runtimes give: 64 hexadecimal digits.
const ID: usize = 64;

/// How often the hierarchy is looked through at most, when a group is met that is not known.
const PAUSE: Duration = Duration::from_secs(1);

/// Most groups that are remembered.
const MOST: usize = 65_536;

/// How deep the hierarchy is looked through.
const DEEPEST: usize = 12;

/// The container id in a control group's path: its last run of 64 hexadecimal digits (`docker-ID.scope`,
/// `cri-containerd-ID.scope`, `libpod-ID.scope`, `/docker/ID`, `/kubepods/…/ID`).
pub(super) fn id_in(path: &str) -> Option<&str> {
    path.split(|character: char| !character.is_ascii_hexdigit()).rfind(|run| run.len() == ID)
}

/// Containers by the ids of control groups in the version 2 hierarchy.
#[derive(Debug, Default)]
pub(super) struct Groups {
    root: Option<PathBuf>,
    known: HashMap<u64, Option<Box<str>>>,
    looked: Option<Instant>,
}

impl Groups {
    /// The container of a group; none if it is none, or gone.
    pub(super) fn container(&mut self, group: u64) -> Option<Box<str>> {
        if !self.known.contains_key(&group) && self.looked.is_none_or(|looked| looked.elapsed() >= PAUSE) {
            self.look();
            // One that is gone is not looked for again.
            self.known.entry(group).or_insert(None);
        }
        self.known.get(&group).cloned().flatten()
    }

    /// Remembers what /proc said of a group.
    pub(super) fn learn(&mut self, group: u64, container: Option<&str>) {
        // Group 1 is the root: where version 1 is in use, all processes are there.
        if group > 1 && self.known.len() < MOST {
            self.known.insert(group, container.map(Into::into));
        }
    }

    fn look(&mut self) {
        self.looked = Some(Instant::now());
        if self.known.len() >= MOST {
            self.known.clear();
        }
        if self.root.is_none() {
            self.root = hierarchy();
        }
        if let Some(root) = self.root.clone() {
            self.descend(&root, None, 0);
        }
    }

    fn descend(&mut self, directory: &Path, container: Option<&str>, depth: usize) {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            if self.known.len() >= MOST || !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                continue;
            }
            let name = entry.file_name().to_string_lossy().into_owned();
            let container = id_in(&name).or(container);
            // The id of a group is the inode of its directory (`cgroup_id`, `kernfs_ino`).
            self.known.insert(entry.ino(), container.map(Into::into));
            if depth < DEEPEST {
                self.descend(&entry.path(), container, depth + 1);
            }
        }
    }
}

/// Where the version 2 hierarchy is mounted.
fn hierarchy() -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    mounts.lines().find_map(|line| {
        let (mount, source) = line.split_once(" - ")?;
        source.starts_with("cgroup2 ").then(|| PathBuf::from(mount.split(' ').nth(4).unwrap_or_default()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_is_the_last_run_of_64_hexadecimal_digits() {
        let id = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
        for path in [
            format!("/system.slice/docker-{id}.scope"),
            format!("/docker/{id}"),
            format!("/kubepods.slice/kubepods-pod12_34.slice/cri-containerd-{id}.scope"),
            format!("/machine.slice/libpod-{id}.scope/container"),
        ] {
            assert_eq!(id_in(&path), Some(id), "{path}");
        }
        for path in ["/", "/user.slice/user-0.slice", &format!("/docker/{id}0"), &format!("/docker/{}", &id[1..])] {
            assert_eq!(id_in(path), None, "{path}");
        }
    }
}
