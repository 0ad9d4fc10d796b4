//! listen(2).

use aya_ebpf::{macros::tracepoint, programs::TracePointContext};
use sockwatch_ebpf::{kind, runner};

use super::call::{self, Descriptors, Outcome};
use crate::{
    maps::leave,
    memory::{Memory, off},
    task::Thread,
};

/// `int listen(int fd, int backlog)`.
#[tracepoint(category = "syscalls", name = "sys_enter_listen")]
pub(crate) fn sys_enter_listen(ctx: TracePointContext) -> u32 {
    entered(runner::FIRST, call::argument(&ctx, 0) as i32, call::argument(&ctx, 1) as i32);
    0
}

/// The call's result. Told here and not at the change of state, for only now the port is known (listen without bind
/// chooses one after the state, `inet_csk_listen_start`).
#[tracepoint(category = "syscalls", name = "sys_exit_listen")]
pub(crate) fn sys_exit_listen(ctx: TracePointContext) -> u32 {
    returned(runner::FIRST, call::returned(&ctx));
    0
}

#[inline(always)]
pub(super) fn entered(runner: u32, fd: i32, backlog: i32) {
    let descriptors = Descriptors::current();
    let Some(slot) = call::enter(runner, kind::LISTEN, fd) else { return };
    if let Some((sk, _)) = descriptors.sock(fd) {
        slot.addr = sk.0 as u64;
        slot.backlog = backlog;
    }
}

#[inline(always)]
pub(super) fn returned(runner: u32, value: i64) {
    let (caller, descriptors) = (Thread::current(), Descriptors::current());
    let Some(slot) = leave(kind::LISTEN).filter(|slot| slot.addr != 0) else { return };
    let error = match call::outcome(value) {
        Ok(_) => 0,
        Err(errno) if call::is_failure(errno) => errno,
        Err(_) => return,
    };
    let Some((sk, _)) = descriptors.sock(slot.fd) else { return };
    let outcome = Outcome { kind: kind::LISTEN, fd: slot.fd, error, called: slot.called, asked: 0 };
    call::report(runner, &outcome, sk, caller, |record| {
        record.backlog_given = slot.backlog;
        record.backlog = sk.read(off!(max_ack_backlog));
    });
}
