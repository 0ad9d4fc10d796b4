//! listen(2).

use aya_ebpf::{macros::tracepoint, programs::TracePointContext};
use sockwatch_ebpf::kind;

use super::call::{self, Outcome};
use crate::memory::{Memory, off};

/// `int listen(int fd, int backlog)`.
#[tracepoint(category = "syscalls", name = "sys_enter_listen")]
pub(crate) fn sys_enter_listen(ctx: TracePointContext) -> u32 {
    let fd = call::argument(&ctx, 0) as i32;
    if let Some((sk, _)) = call::sock_of(fd)
        && let Some(slot) = call::enter(kind::LISTEN, fd, sk.0 as u64)
    {
        slot.backlog = call::argument(&ctx, 1) as i32;
    }
    0
}

/// The call's result. Told here and not at the change of state, for only now the port is known (listen without bind
/// chooses one after the state, `inet_csk_listen_start`).
#[tracepoint(category = "syscalls", name = "sys_exit_listen")]
pub(crate) fn sys_exit_listen(ctx: TracePointContext) -> u32 {
    let Some(slot) = call::leave(kind::LISTEN) else { return 0 };
    let error = match call::returned(&ctx) {
        Ok(_) => 0,
        Err(errno) if call::is_failure(errno) => errno,
        Err(_) => return 0,
    };
    let Some((sk, _)) = call::sock_of(slot.fd) else { return 0 };
    let outcome = Outcome { kind: kind::LISTEN, fd: slot.fd, error, called: slot.called };
    call::report(&outcome, sk, |record| {
        record.backlog_given = slot.backlog;
        record.backlog = sk.read(off!(max_ack_backlog));
    });
    0
}
