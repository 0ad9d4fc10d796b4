//! System calls seen by trampolines: at the entry of the functions that do their work, and at the exit.
//!
//! While a single system-call tracepoint is attached, every system call of every process takes the kernel's slow path. A
//! trampoline costs only the calls that pass it. The functions are those that the system calls of all kinds come to, those of
//! 32-bit programs too, with the descriptor (net/socket.c). Their programs may be preempted, and others' calls would go unseen
//! meanwhile: each place has a second one, which knows by what is noted of the thread whether the first was skipped.

use core::ffi::c_void;

use aya_ebpf::{
    macros::{fentry, fexit},
    programs::{FEntryContext, FExitContext},
};
use sockwatch_ebpf::{call as place, kind, runner, twin};

use super::{
    accept, bind,
    call::{self, Outcome},
    connect, listen,
};
use crate::{maps::counters, memory::Raw, task::Thread};

/// The largest errno (`MAX_ERRNO` in include/linux/err.h): pointers in its place are negative errnos.
const MAX_ERRNO: u64 = 4095;

/// Counts a call that the loader may have made.
#[inline(always)]
fn tried(call: usize, fd: i32) {
    if fd == -1
        && let Some(counters) = counters()
    {
        // SAFETY: this processor's own. Whether it is exact does not matter.
        unsafe { (*counters).tried[call] += 1 };
    }
}

/// The entry of a call, seen a second time: work only if the first program was skipped, and so nothing is noted.
#[inline(always)]
fn entered_again(place: usize, kind: u16, work: impl FnOnce(u32)) -> i32 {
    if call::at_work(kind).is_none() {
        take(place);
        work(runner::SECOND);
    }
    0
}

/// The exit of a call, seen a second time: work only if the first program was skipped, and so what was noted is still there. On a
/// function of its own where that can be: the exits of one function are skipped together (see `fd_installed`).
#[inline(always)]
fn left_again(place: usize, kind: u16, work: impl FnOnce(u32)) -> i32 {
    if call::is_in(kind) {
        take(place);
        work(runner::SECOND);
    }
    0
}

/// Counts what the second program took.
#[inline(always)]
fn take(place: usize) {
    if let Some(counters) = counters() {
        // SAFETY: this processor's own, and of each place one program's, which is not entered again where it runs.
        unsafe { (*counters).taken[0][place] += 1 };
    }
}

/// `int __sys_bind(int fd, struct sockaddr __user *umyaddr, int addrlen)`.
#[fentry(function = "__sys_bind")]
pub(crate) fn sys_bind_entered(ctx: FEntryContext) -> i32 {
    bind::entered(runner::FIRST, ctx.arg(0), ctx.arg(1));
    0
}

/// The second program there.
#[fentry(function = "__sys_bind")]
pub(crate) fn sys_bind_entered_2(ctx: FEntryContext) -> i32 {
    entered_again(twin::BIND_ENTERED, kind::BIND, |runner| bind::entered(runner, ctx.arg(0), ctx.arg(1)))
}

/// The same, left.
#[fexit(function = "__sys_bind")]
pub(crate) fn sys_bind_left(ctx: FExitContext) -> i32 {
    tried(place::BIND, ctx.arg(0));
    bind::returned(runner::FIRST, i64::from(ctx.arg::<i32>(3)));
    0
}

/// The system call itself, left.
#[fexit(function = "__x64_sys_bind")]
pub(crate) fn sys_bind_left_2(ctx: FExitContext) -> i32 {
    left_again(twin::BIND_LEFT, kind::BIND, |runner| bind::returned(runner, ctx.arg::<i64>(1)))
}

/// `int __sys_listen(int fd, int backlog)`.
#[fentry(function = "__sys_listen")]
pub(crate) fn sys_listen_entered(ctx: FEntryContext) -> i32 {
    listen::entered(runner::FIRST, ctx.arg(0), ctx.arg(1));
    0
}

/// The second program there.
#[fentry(function = "__sys_listen")]
pub(crate) fn sys_listen_entered_2(ctx: FEntryContext) -> i32 {
    entered_again(twin::LISTEN_ENTERED, kind::LISTEN, |runner| listen::entered(runner, ctx.arg(0), ctx.arg(1)))
}

/// The same, left.
#[fexit(function = "__sys_listen")]
pub(crate) fn sys_listen_left(ctx: FExitContext) -> i32 {
    tried(place::LISTEN, ctx.arg(0));
    listen::returned(runner::FIRST, i64::from(ctx.arg::<i32>(2)));
    0
}

/// The system call itself, left.
#[fexit(function = "__x64_sys_listen")]
pub(crate) fn sys_listen_left_2(ctx: FExitContext) -> i32 {
    left_again(twin::LISTEN_LEFT, kind::LISTEN, |runner| listen::returned(runner, ctx.arg::<i64>(1)))
}

/// `int __sys_connect(int fd, struct sockaddr __user *uservaddr, int addrlen)`.
#[fentry(function = "__sys_connect")]
pub(crate) fn sys_connect_entered(ctx: FEntryContext) -> i32 {
    connect::entered(runner::FIRST, ctx.arg(0), ctx.arg(1));
    0
}

/// The second program there.
#[fentry(function = "__sys_connect")]
pub(crate) fn sys_connect_entered_2(ctx: FEntryContext) -> i32 {
    entered_again(twin::CONNECT_ENTERED, kind::CONNECT, |runner| connect::entered(runner, ctx.arg(0), ctx.arg(1)))
}

/// The same, left.
#[fexit(function = "__sys_connect")]
pub(crate) fn sys_connect_left(ctx: FExitContext) -> i32 {
    tried(place::CONNECT, ctx.arg(0));
    connect::returned(runner::FIRST, i64::from(ctx.arg::<i32>(3)));
    0
}

/// The system call itself, left.
#[fexit(function = "__x64_sys_connect")]
pub(crate) fn sys_connect_left_2(ctx: FExitContext) -> i32 {
    left_again(twin::CONNECT_LEFT, kind::CONNECT, |runner| connect::returned(runner, ctx.arg::<i64>(1)))
}

/// `void fd_install(unsigned int fd, struct file *file)`: how a successful accept ends, if it is entered. The exit of a function
/// in which a thread sleeps is no place to see that: the kernel skips it when somebody else's trampoline comes to the function or
/// goes from it meanwhile (`bpf_tramp_image_put` in kernel/bpf/trampoline.c), and does not run it for those who slept before.
/// What it misses is told when accept is left.
#[fentry(function = "fd_install")]
pub(crate) fn fd_installed(ctx: FEntryContext) -> i32 {
    accept::installed(ctx.arg(0), Raw(ctx.arg(1)));
    0
}

/// `int __sys_accept4(int fd, struct sockaddr __user *upeer_sockaddr, int __user *upeer_addrlen, int flags)`.
#[fentry(function = "__sys_accept4")]
pub(crate) fn sys_accept_entered(ctx: FEntryContext) -> i32 {
    accept::entered(runner::FIRST, ctx.arg(0));
    0
}

/// The second program there.
#[fentry(function = "__sys_accept4")]
pub(crate) fn sys_accept_entered_2(ctx: FEntryContext) -> i32 {
    entered_again(twin::ACCEPT_ENTERED, kind::ACCEPT, |runner| accept::entered(runner, ctx.arg(0)))
}

/// The same, left, for those that failed.
#[fexit(function = "__sys_accept4")]
pub(crate) fn sys_accept_left(ctx: FExitContext) -> i32 {
    tried(place::ACCEPT, ctx.arg(0));
    accept::returned(runner::FIRST, i64::from(ctx.arg::<i32>(4)));
    0
}

/// The second program there.
#[fexit(function = "__sys_accept4")]
pub(crate) fn sys_accept_left_2(ctx: FExitContext) -> i32 {
    left_again(twin::ACCEPT_LEFT, kind::ACCEPT, |runner| accept::returned(runner, i64::from(ctx.arg::<i32>(4))))
}

/// `struct file *do_accept(struct file *file, …)`, five arguments on all kernels, left. The system calls come by here as well;
/// this is for io_uring's accept, which no other tells of. Its descriptor may be one of the ring's own: it is not known.
#[fexit(function = "do_accept")]
pub(crate) fn do_accept_left(ctx: FExitContext) -> i32 {
    if accept::is_current() {
        return 0;
    }
    let caller = Thread::current();
    let file: *const c_void = ctx.arg(5);
    if file as u64 >= MAX_ERRNO.wrapping_neg() {
        return 0;
    }
    if let Some((sk, _)) = call::sock_behind(Raw(file)) {
        let outcome = Outcome { kind: kind::ACCEPT, fd: -1, error: 0, called: 0, asked: 0 };
        call::report(runner::FIRST, &outcome, sk, caller, |_| ());
    }
    0
}
