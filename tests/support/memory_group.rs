//! A control group whose memory is at its limit.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use nix::mount::{MntFlags, MsFlags, mount, umount2};

use super::{Scratch, unique, wait_for};

/// Where the kernel's memory controller is.
enum Hierarchy {
    /// Of cgroup v1.
    Own(PathBuf),
    /// Of cgroup v2.
    Unified(PathBuf),
}

/// A control group of its own.
pub(crate) struct MemoryGroup {
    place: PathBuf,
    limit: &'static str,
    usage: &'static str,
    /// Where the hierarchy was mounted for this.
    _mounted: Option<Mounted>,
}

impl MemoryGroup {
    /// None where this kernel has no memory controller.
    pub(crate) fn new() -> Option<Self> {
        let (hierarchy, mounted) = match Hierarchy::mounted() {
            Some(hierarchy) => (hierarchy, None),
            None => {
                let mounted = Mounted::new()?;
                (Hierarchy::mounted()?, Some(mounted))
            }
        };
        let (root, limit, usage) = match &hierarchy {
            Hierarchy::Own(root) => (root, "memory.limit_in_bytes", "memory.usage_in_bytes"),
            Hierarchy::Unified(root) => {
                fs::write(root.join("cgroup.subtree_control"), "+memory").expect("root may");
                (root, "memory.max", "memory.current")
            }
        };
        let place = root.join(format!("sockwatch-{}", unique()));
        fs::create_dir(&place).expect("root may make a control group");
        Some(Self { place, limit, usage, _mounted: mounted })
    }

    /// A command that is run in it.
    pub(crate) fn within(&self, inner: &Command) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", "echo $$ > \"$0\" && exec \"$@\""]).arg(self.place.join("cgroup.procs"));
        command.arg(inner.get_program()).args(inner.get_args());
        command
    }

    /// Leaves it no more than it has, or hardly more. Its processes are stopped: they would be killed for want of memory.
    pub(crate) fn leave_nothing(&self) {
        // A page or another that the kernel had taken ahead may come back meanwhile; v1 refuses a limit below what is in use.
        wait_for("a limit at what is in use", || fs::write(self.place.join(self.limit), self.usage().to_string()).ok());
    }

    /// Takes back the limit.
    pub(crate) fn leave_everything(&self) {
        fs::write(self.place.join(self.limit), u64::from(u32::MAX).to_string()).expect("root may");
    }

    fn usage(&self) -> u64 {
        let usage = fs::read_to_string(self.place.join(self.usage)).expect("the group's usage");
        usage.trim().parse().expect("a number of bytes")
    }
}

impl Drop for MemoryGroup {
    fn drop(&mut self) {
        // A process that ended leaves its group a moment later.
        wait_for("an empty control group", || fs::remove_dir(&self.place).ok());
    }
}

impl Hierarchy {
    /// Where it is mounted, if it is.
    fn mounted() -> Option<Self> {
        let mounts = fs::read_to_string("/proc/self/mounts").expect("/proc is mounted");
        mounts.lines().find_map(|line| {
            let [_, place, kind, options, ..] = line.split(' ').collect::<Vec<_>>()[..] else { return None };
            match kind {
                "cgroup" if options.split(',').any(|option| option == "memory") => Some(Self::Own(place.into())),
                "cgroup2" if has_memory(Path::new(place)) => Some(Self::Unified(place.into())),
                _ => None,
            }
        })
    }
}

fn has_memory(root: &Path) -> bool {
    let controllers = fs::read_to_string(root.join("cgroup.controllers"));
    controllers.is_ok_and(|controllers| controllers.split_whitespace().any(|name| name == "memory"))
}

/// A mount of cgroup v2.
struct Mounted(Scratch);

impl Mounted {
    /// None where this kernel has none.
    fn new() -> Option<Self> {
        let scratch = Scratch::new("cgroup");
        let none: Option<&str> = None;
        mount(Some("cgroup2"), scratch.path(), Some("cgroup2"), MsFlags::empty(), none).ok()?;
        Some(Self(scratch))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = umount2(self.0.path(), MntFlags::MNT_DETACH);
    }
}
