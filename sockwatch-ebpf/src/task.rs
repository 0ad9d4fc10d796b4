//! The process that runs now.

use core::ffi::c_void;

use aya_ebpf::helpers::generated::{bpf_get_current_cgroup_id, bpf_get_current_task_btf, bpf_get_current_uid_gid};
use sockwatch_ebpf::Task;

use crate::{
    maps::CONFIG,
    memory::{Memory, Raw, Typed, frozen, off},
};

/// How deep pid namespaces nest (`MAX_PID_NS_LEVEL` in include/linux/pid_namespace.h).
const DEEPEST: u32 = 32;
/// `sizeof(struct upid)`: an int and a pointer.
const UPID: u32 = 16;

/// A thread, and the first of its process.
///
/// To be asked for once, early in a program: each time that newer kernels' verifiers come by a load of a pointer from a pointer that
/// they trust, as a task is, they look through the names of all the kernel's types, some of them four times
/// (`btf_nested_type_is_trusted` in kernel/bpf/verifier.c). Half a program's loading was that, on ways that had long parted.
#[derive(Clone, Copy)]
pub(crate) struct Thread {
    thread: Typed,
    leader: Typed,
}

impl Thread {
    /// The current one. Only right where a process caused the event.
    #[inline(always)]
    pub(crate) fn current() -> Self {
        // SAFETY: a helper without preconditions.
        Self::of(unsafe { bpf_get_current_task_btf() }.cast_const().cast())
    }

    /// A given one.
    #[inline(always)]
    pub(crate) fn of(task: *const c_void) -> Self {
        let thread = Typed(task);
        Self { thread, leader: thread.follow(off!(task_leader)) }
    }

    /// Tells of it as the current one.
    #[inline(always)]
    pub(crate) fn fill_as_current(self, out: &mut Task) {
        // SAFETY: helpers without preconditions.
        let (ids, cgroup) = unsafe { (bpf_get_current_uid_gid(), bpf_get_current_cgroup_id()) };
        self.fill(out);
        out.cgroup = cgroup;
        out.uid = ids as u32;
    }

    /// Tells of it; its cgroup and uid are left 0.
    #[inline(always)]
    pub(crate) fn fill(self, out: &mut Task) {
        let Self { thread, leader } = self;
        out.start = leader.read(off!(task_start));
        out.cgroup = 0;
        out.uid = 0;
        out.descendant = u32::from(descends(leader));
        out.pid = number(leader);
        out.tid = number(thread);
        let comm = off!(task_comm);
        let name: *mut u64 = out.name.as_mut_ptr().cast();
        // SAFETY: `name` is 16 bytes at an address that is a multiple of 8 in every record.
        unsafe {
            name.write(leader.read(comm));
            name.add(1).write(leader.read(comm + 8));
        }
    }
}

/// How many generations of parents are looked at.
const GENERATIONS: u32 = 24;

/// Whether a process descends from the one that the loader named. That one takes over the orphans among its descendants
/// (`PR_SET_CHILD_SUBREAPER`), so the line to it is never broken.
#[inline(always)]
fn descends(leader: Typed) -> bool {
    // Read wherever it is needed, for it would take a place of a stack that is short.
    let root = || frozen(&CONFIG.root);
    if root() == 0 {
        return false;
    }
    let mut ancestor = Raw(leader.0);
    for _ in 0..GENERATIONS {
        ancestor = ancestor.follow(off!(task_parent)).follow(off!(task_leader));
        let nr = number(ancestor);
        if nr == root() {
            return true;
        }
        if ancestor.0.is_null() || nr == 0 {
            return false;
        }
    }
    false
}

/// The task's id in sockwatch's pid namespace; 0 where that namespace does not know it.
#[inline(always)]
fn number<M: Memory>(task: M) -> u32 {
    let namespace = frozen(&CONFIG.pid_namespace);
    if namespace == 0 {
        return task.read(off!(task_nr));
    }
    let pid = Raw(task.read::<*const c_void>(off!(task_pid)));
    let deepest: u32 = pid.read(off!(pid_level));
    let mut level = 1;
    while level < DEEPEST && level <= deepest {
        let upid = off!(pid_numbers) + level * UPID;
        let ns = Raw(pid.read::<*const c_void>(upid + off!(upid_ns)));
        if ns.read::<u32>(off!(pidns_inum)) == namespace {
            return pid.read(upid + off!(upid_nr));
        }
        level += 1;
    }
    0
}
