//! The threads that a trampoline can't see come back from accept(): those that were asleep in it before it was there.

use core::ffi::c_void;

use aya_ebpf::helpers::generated::{bpf_seq_write, bpf_task_pt_regs};
use sockwatch_ebpf::{ABSENT, Asleep};

use super::snapshot::Meta;
use crate::{
    maps::was_in_call,
    memory::{Memory, Typed, off},
};

/// `TASK_INTERRUPTIBLE` (include/linux/sched.h): how accept sleeps (`inet_csk_wait_for_connect` in
/// net/ipv4/inet_connection_sock.c).
const INTERRUPTIBLE: u32 = 1;

/// `struct bpf_iter__task`.
#[repr(C)]
pub(crate) struct Task {
    meta: *const Meta,
    task: *const c_void,
}

/// Every thread that sleeps in accept and has not entered it, or another traced call, since the trampolines are there.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task")]
pub(crate) extern "C" fn asleep(ctx: *const Task) -> i32 {
    // SAFETY: the kernel calls with a whole context; its last call has a null task.
    let (meta, task) = unsafe { ((*ctx).meta, (*ctx).task) };
    if task.is_null() {
        return 0;
    }
    let thread = Typed(task);
    let state = off!(task_state);
    // A thread of the kernel is in no call.
    if thread.read::<u64>(off!(task_mm)) == 0 || state != ABSENT && thread.read::<u32>(state) & INTERRUPTIBLE == 0 {
        return 0;
    }
    if !may_accept(task) || was_in_call(task) {
        return 0;
    }
    let record = Asleep { tid: thread.read(off!(task_nr)), reserved: 0 };
    // SAFETY: the verifier checks both pointers. A full buffer makes the kernel come back.
    unsafe {
        bpf_seq_write((*meta).seq.cast(), (&raw const record).cast(), size_of::<Asleep>() as u32);
    }
    0
}

/// Whether the system call that a sleeping thread is in may be an accept: its number there, for programs of both widths
/// (arch/x86/entry/syscalls, include/uapi/asm-generic/unistd.h, arch/arm64/tools/syscall_32.tbl; `socketcall` of 32-bit x86
/// may be one). Where the number is not known, it may.
#[inline(always)]
fn may_accept(task: *const c_void) -> bool {
    let (x86, arm) = (off!(regs_call), off!(regs_call_arm));
    // SAFETY: the helper takes a task that the verifier knows.
    let regs = Typed(unsafe { bpf_task_pt_regs(task.cast_mut().cast()) } as *const c_void);
    if x86 != ABSENT {
        matches!(regs.read::<u64>(x86), 43 | 288 | 102 | 364)
    } else if arm != ABSENT {
        matches!(regs.read::<u32>(arm), 202 | 242 | 285 | 366)
    } else {
        true
    }
}
