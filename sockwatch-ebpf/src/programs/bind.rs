//! bind(2).

use aya_ebpf::{macros::tracepoint, programs::TracePointContext};
use sockwatch_ebpf::{kind, runner};

use super::call::{self, Descriptors, Outcome};
use crate::{maps::leave, task::Thread};

/// `int bind(int fd, struct sockaddr *address, int length)`.
#[tracepoint(category = "syscalls", name = "sys_enter_bind")]
pub(crate) fn sys_enter_bind(ctx: TracePointContext) -> u32 {
    entered(runner::FIRST, call::argument(&ctx, 0) as i32, call::argument(&ctx, 1));
    0
}

/// The call's result.
#[tracepoint(category = "syscalls", name = "sys_exit_bind")]
pub(crate) fn sys_exit_bind(ctx: TracePointContext) -> u32 {
    returned(runner::FIRST, call::returned(&ctx));
    0
}

/// With the address as the caller's memory has it.
#[inline(always)]
pub(super) fn entered(runner: u32, fd: i32, address: u64) {
    let descriptors = Descriptors::current();
    let Some(slot) = call::enter(runner, kind::BIND, fd) else { return };
    if let Some((sk, _)) = descriptors.sock(fd) {
        slot.addr = sk.0 as u64;
        call::read_address(slot, address);
    }
}

#[inline(always)]
pub(super) fn returned(runner: u32, value: i64) {
    let (caller, descriptors) = (Thread::current(), Descriptors::current());
    let Some(slot) = leave(kind::BIND).filter(|slot| slot.addr != 0) else { return };
    let error = match call::outcome(value) {
        Ok(_) => 0,
        Err(errno) if call::is_failure(errno) => errno,
        Err(_) => return,
    };
    let Some((sk, _)) = descriptors.sock(slot.fd) else { return };
    let asked = if error != 0 { slot.asked_port } else { 0 };
    let outcome = Outcome { kind: kind::BIND, fd: slot.fd, error, called: slot.called, asked };
    call::report(runner, &outcome, sk, caller, |record| {
        if error != 0 {
            call::asked(&slot, record.sock.family, &mut record.sock.local, &mut record.sock.local_port);
        }
    });
}
