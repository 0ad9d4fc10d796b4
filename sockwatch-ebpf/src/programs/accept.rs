//! accept(2) and accept4(2).

use aya_ebpf::{
    helpers::generated::{bpf_get_current_task_btf, bpf_task_pt_regs},
    macros::tracepoint,
    programs::TracePointContext,
};
use sockwatch_ebpf::{ABSENT, kind, runner};

use super::call::{self, Descriptors, Outcome};
use crate::{
    maps::{InCall, counters, leave},
    memory::{Memory, Raw, Typed, off},
    task::Thread,
};

/// `SS_CONNECTED` (include/uapi/linux/net.h): what accept makes of the state of the new `struct socket`.
const CONNECTED: u32 = 3;

/// `int accept(int fd, …)`.
#[tracepoint(category = "syscalls", name = "sys_enter_accept4")]
pub(crate) fn sys_enter_accept(ctx: TracePointContext) -> u32 {
    entered(runner::FIRST, call::argument(&ctx, 0) as i32);
    0
}

/// The call's result: the new socket. A thread that was asleep in the call since before the trace has no entry, and
/// needs none.
#[tracepoint(category = "syscalls", name = "sys_exit_accept4")]
pub(crate) fn sys_exit_accept(ctx: TracePointContext) -> u32 {
    let caller = (Thread::current(), Descriptors::current());
    told(runner::FIRST, caller, leave(kind::ACCEPT), call::returned(&ctx));
    0
}

/// Noted without a look at the socket: only a failure asks which it was.
#[inline(always)]
pub(super) fn entered(runner: u32, fd: i32) {
    call::enter(runner, kind::ACCEPT, fd);
}

#[inline(always)]
pub(super) fn returned(runner: u32, value: i64) {
    let caller = (Thread::current(), Descriptors::current());
    if let Some(slot) = leave(kind::ACCEPT).filter(|slot| slot.told == 0) {
        told(runner, caller, Some(slot), value);
    }
}

/// A file gets a descriptor of the current process: where that is in accept, it is the new socket.
#[inline(always)]
pub(super) fn installed(fd: i32, file: Raw) {
    if !is_current() {
        return;
    }
    if let Some(counters) = counters() {
        // SAFETY: this processor's own. Whether it is exact does not matter.
        unsafe { (*counters).installed += 1 };
    }
    let caller = Thread::current();
    let Some((sk, CONNECTED)) = call::sock_behind(file) else { return };
    let called = call::at_work(kind::ACCEPT).map_or(0, |slot| {
        slot.told = 1;
        slot.called
    });
    call::report(runner::FIRST, &Outcome { kind: kind::ACCEPT, fd, error: 0, called, asked: 0 }, sk, caller, |_| ());
}

/// Whether the current thread is in accept, whenever it entered: the number of its system call, for programs of both widths
/// (arch/x86/entry/syscalls, include/uapi/asm-generic/unistd.h, arch/arm64/tools/syscall_32.tbl; `socketcall` of 32-bit x86
/// may be one). Where the number is not known, its entry must have been seen.
#[inline(always)]
pub(super) fn is_current() -> bool {
    let (x86, arm) = (off!(regs_call), off!(regs_call_arm));
    // SAFETY: helpers without preconditions; the second takes the task that the first returns.
    let regs = Typed(unsafe { bpf_task_pt_regs(bpf_get_current_task_btf()) } as *const core::ffi::c_void);
    if x86 != ABSENT {
        matches!(regs.read::<u64>(x86), 43 | 288 | 102 | 364)
    } else if arm != ABSENT {
        matches!(regs.read::<u32>(arm), 202 | 242 | 285 | 366)
    } else {
        call::at_work(kind::ACCEPT).is_some()
    }
}

#[inline(always)]
fn told(runner: u32, (caller, descriptors): (Thread, Descriptors), slot: Option<InCall>, value: i64) {
    let (fd, error) = match (call::outcome(value), &slot) {
        (Ok(fd), _) => (fd, 0),
        (Err(errno), Some(slot)) if call::is_failure(errno) => (slot.fd, errno),
        (Err(_), _) => return,
    };
    let Some((sk, _)) = descriptors.sock(fd) else { return };
    let called = slot.map_or(0, |slot| slot.called);
    call::report(runner, &Outcome { kind: kind::ACCEPT, fd, error, called, asked: 0 }, sk, caller, |_| ());
}
