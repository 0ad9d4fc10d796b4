//! accept(2) and accept4(2).

use aya_ebpf::{macros::tracepoint, programs::TracePointContext};
use sockwatch_ebpf::kind;

use super::call::{self, Outcome};

/// `int accept(int fd, …)`. Noted without a look at the socket: only a failure asks which it was.
#[tracepoint(category = "syscalls", name = "sys_enter_accept4")]
pub(crate) fn sys_enter_accept(ctx: TracePointContext) -> u32 {
    call::enter(kind::ACCEPT, call::argument(&ctx, 0) as i32, 0);
    0
}

/// The call's result: the new socket. A thread that was asleep in the call since before the trace has no entry, and
/// needs none.
#[tracepoint(category = "syscalls", name = "sys_exit_accept4")]
pub(crate) fn sys_exit_accept(ctx: TracePointContext) -> u32 {
    let slot = call::leave(kind::ACCEPT);
    let (fd, error) = match (call::returned(&ctx), &slot) {
        (Ok(fd), _) => (fd, 0),
        (Err(errno), Some(slot)) if call::is_failure(errno) => (slot.fd, errno),
        (Err(_), _) => return 0,
    };
    let Some((sk, _)) = call::sock_of(fd) else { return 0 };
    let called = slot.map_or(0, |slot| slot.called);
    call::report(&Outcome { kind: kind::ACCEPT, fd, error, called }, sk, |_| ());
    0
}
