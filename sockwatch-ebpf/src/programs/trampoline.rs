//! System calls seen by trampolines: at the entry of the functions that do their work, and at the exit.
//!
//! While a single system-call tracepoint is attached, every system call of every process takes the kernel's slow path. A
//! trampoline costs only the calls that pass it. The functions are those that the system calls of all kinds come to, those of
//! 32-bit programs too, with the descriptor (net/socket.c). Their programs may be preempted, which tracepoints' may not.

use core::ffi::c_void;

use aya_ebpf::{
    macros::{fentry, fexit},
    programs::{FEntryContext, FExitContext},
};
use sockwatch_ebpf::{call as place, kind};

use super::{
    accept, bind,
    call::{self, Outcome},
    connect, listen,
};
use crate::{maps::counters, memory::Raw};

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

/// `int __sys_bind(int fd, struct sockaddr __user *umyaddr, int addrlen)`.
#[fentry(function = "__sys_bind")]
pub(crate) fn sys_bind_entered(ctx: FEntryContext) -> i32 {
    bind::entered(ctx.arg(0), ctx.arg(1));
    0
}

/// The same, left.
#[fexit(function = "__sys_bind")]
pub(crate) fn sys_bind_left(ctx: FExitContext) -> i32 {
    tried(place::BIND, ctx.arg(0));
    bind::returned(i64::from(ctx.arg::<i32>(3)));
    0
}

/// `int __sys_listen(int fd, int backlog)`.
#[fentry(function = "__sys_listen")]
pub(crate) fn sys_listen_entered(ctx: FEntryContext) -> i32 {
    listen::entered(ctx.arg(0), ctx.arg(1));
    0
}

/// The same, left.
#[fexit(function = "__sys_listen")]
pub(crate) fn sys_listen_left(ctx: FExitContext) -> i32 {
    tried(place::LISTEN, ctx.arg(0));
    listen::returned(i64::from(ctx.arg::<i32>(2)));
    0
}

/// `int __sys_connect(int fd, struct sockaddr __user *uservaddr, int addrlen)`.
#[fentry(function = "__sys_connect")]
pub(crate) fn sys_connect_entered(ctx: FEntryContext) -> i32 {
    connect::entered(ctx.arg(0), ctx.arg(1));
    0
}

/// The same, left.
#[fexit(function = "__sys_connect")]
pub(crate) fn sys_connect_left(ctx: FExitContext) -> i32 {
    tried(place::CONNECT, ctx.arg(0));
    connect::returned(i64::from(ctx.arg::<i32>(3)));
    0
}

/// `int __sys_accept4(int fd, struct sockaddr __user *upeer_sockaddr, int __user *upeer_addrlen, int flags)`.
#[fentry(function = "__sys_accept4")]
pub(crate) fn sys_accept_entered(ctx: FEntryContext) -> i32 {
    accept::entered(ctx.arg(0));
    0
}

/// `void fd_install(unsigned int fd, struct file *file)`: how a successful accept ends, if it is entered. The exit of a function
/// in which a thread sleeps is no place to see that: the kernel skips it when somebody else's trampoline comes to the function or
/// goes from it meanwhile (`bpf_tramp_image_put` in kernel/bpf/trampoline.c), and does not run it for those who slept before.
#[fentry(function = "fd_install")]
pub(crate) fn fd_installed(ctx: FEntryContext) -> i32 {
    accept::installed(ctx.arg(0), Raw(ctx.arg(1)));
    0
}

/// `__sys_accept4` left, for those that failed.
#[fexit(function = "__sys_accept4")]
pub(crate) fn sys_accept_left(ctx: FExitContext) -> i32 {
    tried(place::ACCEPT, ctx.arg(0));
    accept::returned(i64::from(ctx.arg::<i32>(4)));
    0
}

/// `struct file *do_accept(struct file *file, …)`, five arguments on all kernels, left. The system calls come by here as well;
/// this is for io_uring's accept, which no other tells of. Its descriptor may be one of the ring's own: it is not known.
#[fexit(function = "do_accept")]
pub(crate) fn do_accept_left(ctx: FExitContext) -> i32 {
    if accept::is_current() {
        return 0;
    }
    let file: *const c_void = ctx.arg(5);
    if file as u64 >= MAX_ERRNO.wrapping_neg() {
        return 0;
    }
    if let Some((sk, _)) = call::sock_behind(Raw(file)) {
        call::report(&Outcome { kind: kind::ACCEPT, fd: -1, error: 0, called: 0, asked: 0 }, sk, |_| ());
    }
    0
}
