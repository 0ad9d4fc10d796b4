//! `sched_process_exec`: which program a process runs, for those that end before /proc can be read.

use core::ffi::c_void;

use aya_ebpf::{
    helpers::generated::{bpf_get_current_task_btf, bpf_probe_read_kernel_str},
    macros::btf_tracepoint,
    programs::BtfTracePointContext,
};
use sockwatch_ebpf::{COMPONENT, COMPONENTS, flag, kind};

use crate::{
    emit::{head, now, send_copy},
    maps::{EXEC, in_call, in_call_or_new},
    memory::{Memory, Raw, Typed, off},
    task::Thread,
    twin::{self, Seen, tracepoint},
};

/// `void sched_process_exec(struct task_struct *p, pid_t old_pid, struct linux_binprm *bprm)`, in the process, with its
/// new memory map in place.
#[btf_tracepoint(function = "sched_process_exec")]
pub(crate) fn sched_process_exec(ctx: BtfTracePointContext) -> i32 {
    let memory = memory();
    twin::first(tracepoint::EXEC, ctx.arg(0), memory.0 as u64, |runner| executed(runner, memory))
}

/// Takes what happens while the first is preempted: it is the longest of the programs, and many processes may begin at once.
#[btf_tracepoint(function = "sched_process_exec")]
pub(crate) fn sched_process_exec_2(ctx: BtfTracePointContext) -> i32 {
    behind(1, &ctx)
}

/// Takes what happens while both are.
#[btf_tracepoint(function = "sched_process_exec")]
pub(crate) fn sched_process_exec_3(ctx: BtfTracePointContext) -> i32 {
    behind(2, &ctx)
}

/// As above, of three.
#[btf_tracepoint(function = "sched_process_exec")]
pub(crate) fn sched_process_exec_4(ctx: BtfTracePointContext) -> i32 {
    behind(3, &ctx)
}

/// As above, of four.
#[btf_tracepoint(function = "sched_process_exec")]
pub(crate) fn sched_process_exec_5(ctx: BtfTracePointContext) -> i32 {
    behind(4, &ctx)
}

/// The program that so many are before.
#[inline(always)]
fn behind(before: usize, ctx: &BtfTracePointContext) -> i32 {
    let memory = memory();
    let what = memory.0 as u64;
    twin::nth(before, tracepoint::EXEC, ctx.arg(0), what, || was_seen(what), |runner| executed(runner, memory))
}

/// The process's memory, by which its last exec is known: the one before it was still there when this was made.
#[inline(always)]
fn memory() -> Typed {
    // SAFETY: a helper without preconditions.
    let current = Typed(unsafe { bpf_get_current_task_btf() }.cast_const().cast());
    current.follow(off!(task_mm))
}

/// Whether an earlier program saw this exec.
#[inline(always)]
fn was_seen(memory: u64) -> Seen {
    match in_call() {
        Some(slot) if slot.executed == memory => Seen::Yes,
        _ => Seen::No,
    }
}

#[inline(always)]
fn executed(runner: u32, memory: Typed) {
    let thread = Thread::current();
    if twin::is_preemptible()
        && let Some(slot) = in_call_or_new()
    {
        slot.executed = memory.0 as u64;
    }
    let file = memory.follow(off!(mm_exe));
    let Some(exec) = EXEC.get_ptr_mut(runner) else { return };
    // SAFETY: this processor's and this program's own room.
    let exec = unsafe { &mut *exec };
    exec.head = head(kind::EXEC, 0, now());
    thread.fill_as_current(&mut exec.task);
    exec.reserved = 0;
    let (used, whole) = path(Raw(file.0), &mut exec.path);
    exec.used = used;
    if !whole {
        exec.head.flags = flag::TRUNCATED;
    }
    send_copy(runner, kind::EXEC, exec);
}

/// Writes a file's path, last component first; returns how many places it took, and whether it is whole. Walks up the
/// directory entries, and at the root of a mount goes on from where it is mounted (as `prepend_path` in fs/d_path.c). Each
/// round has a place of its own, used or not: with a place that depended on the path, the verifier would follow every path
/// through all rounds.
#[inline(always)]
fn path(file: Raw, out: &mut [[u8; COMPONENT]; COMPONENTS]) -> (u32, bool) {
    let mut dentry = file.follow(off!(file_dentry));
    let mut mount = Raw(file.follow(off!(file_mnt)).0.wrapping_byte_sub(off!(mount_mnt) as usize));
    for (place, component) in out.iter_mut().enumerate() {
        let used = place as u32;
        let root = mount.follow(off!(mount_mnt).wrapping_add(off!(mnt_root)));
        if dentry.0 == root.0 {
            let above = mount.follow(off!(mount_parent));
            if above.0 == mount.0 || above.0.is_null() {
                return (used, true);
            }
            component[0] = 0;
            dentry = mount.follow(off!(mount_point));
            mount = above;
            continue;
        }
        let name = dentry.follow(off!(dentry_name));
        // SAFETY: the helper writes within the component, ends it with a zero byte, and returns its length.
        let read =
            unsafe { bpf_probe_read_kernel_str(component.as_mut_ptr().cast::<c_void>(), COMPONENT as u32, name.0) };
        // A name that fills the room may have been cut.
        if read <= 1 || read >= COMPONENT as i64 {
            return (used, false);
        }
        let above = dentry.follow(off!(dentry_parent));
        if above.0 == dentry.0 {
            return (used + 1, true);
        }
        dentry = above;
    }
    (COMPONENTS as u32, false)
}
