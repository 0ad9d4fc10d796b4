//! bind(2).

use aya_ebpf::{macros::tracepoint, programs::TracePointContext};
use sockwatch_ebpf::kind;

use super::call::{self, Outcome};

/// `int bind(int fd, struct sockaddr *address, int length)`.
#[tracepoint(category = "syscalls", name = "sys_enter_bind")]
pub(crate) fn sys_enter_bind(ctx: TracePointContext) -> u32 {
    let fd = call::argument(&ctx, 0) as i32;
    if let Some((sk, _)) = call::sock_of(fd)
        && let Some(slot) = call::enter(kind::BIND, fd, sk.0 as u64)
    {
        call::read_address(slot, call::argument(&ctx, 1));
    }
    0
}

/// The call's result.
#[tracepoint(category = "syscalls", name = "sys_exit_bind")]
pub(crate) fn sys_exit_bind(ctx: TracePointContext) -> u32 {
    let Some(slot) = call::leave(kind::BIND) else { return 0 };
    let error = match call::returned(&ctx) {
        Ok(_) => 0,
        Err(errno) if call::is_failure(errno) => errno,
        Err(_) => return 0,
    };
    let Some((sk, _)) = call::sock_of(slot.fd) else { return 0 };
    let outcome = Outcome { kind: kind::BIND, fd: slot.fd, error, called: slot.called };
    call::report(&outcome, sk, |record| {
        if error != 0 {
            call::asked(slot, record.sock.family, &mut record.sock.local, &mut record.sock.local_port);
        }
    });
    0
}
