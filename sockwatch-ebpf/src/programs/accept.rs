//! accept(2) and accept4(2).

use aya_ebpf::{macros::tracepoint, programs::TracePointContext};
use sockwatch_ebpf::kind;

use super::call::{self, Outcome};
use crate::maps::{InCall, in_call};

/// `int accept(int fd, …)`.
#[tracepoint(category = "syscalls", name = "sys_enter_accept4")]
pub(crate) fn sys_enter_accept(ctx: TracePointContext) -> u32 {
    entered(call::argument(&ctx, 0) as i32);
    0
}

/// The call's result: the new socket. A thread that was asleep in the call since before the trace has no entry, and
/// needs none.
#[tracepoint(category = "syscalls", name = "sys_exit_accept4")]
pub(crate) fn sys_exit_accept(ctx: TracePointContext) -> u32 {
    told(call::leave(kind::ACCEPT), call::returned(&ctx));
    0
}

/// The same, beside trampolines, of the threads that were asleep in the call before those were there: that have never entered
/// one since.
#[tracepoint(category = "syscalls", name = "sys_exit_accept4")]
pub(crate) fn sys_exit_accept_asleep(ctx: TracePointContext) -> u32 {
    if in_call().is_none() {
        told(None, call::returned(&ctx));
    }
    0
}

/// Noted without a look at the socket: only a failure asks which it was.
#[inline(always)]
pub(super) fn entered(fd: i32) {
    call::enter(kind::ACCEPT, fd, 0);
}

#[inline(always)]
pub(super) fn returned(value: i64) {
    if let Some(slot) = call::leave(kind::ACCEPT) {
        told(Some(slot), value);
    }
}

#[inline(always)]
fn told(slot: Option<&'static mut InCall>, value: i64) {
    let (fd, error) = match (call::outcome(value), &slot) {
        (Ok(fd), _) => (fd, 0),
        (Err(errno), Some(slot)) if call::is_failure(errno) => (slot.fd, errno),
        (Err(_), _) => return,
    };
    let Some((sk, _)) = call::sock_of(fd) else { return };
    let called = slot.map_or(0, |slot| slot.called);
    call::report(&Outcome { kind: kind::ACCEPT, fd, error, called, asked: 0 }, sk, |_| ());
}
