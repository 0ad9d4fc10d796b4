//! connect(2).

use aya_ebpf::{macros::tracepoint, programs::TracePointContext};
use sockwatch_ebpf::{kind, runner};

use super::call::{self, Descriptors, Outcome};
use crate::{maps::leave, task::Thread};

/// `SS_UNCONNECTED` of `struct socket` (include/uapi/linux/net.h): a call in any other state asks after an earlier
/// connect, and its result is that one's.
const SS_UNCONNECTED: u32 = 1;

/// `int connect(int fd, struct sockaddr *address, int length)`.
#[tracepoint(category = "syscalls", name = "sys_enter_connect")]
pub(crate) fn sys_enter_connect(ctx: TracePointContext) -> u32 {
    entered(runner::FIRST, call::argument(&ctx, 0) as i32, call::argument(&ctx, 1));
    0
}

/// The call's result.
#[tracepoint(category = "syscalls", name = "sys_exit_connect")]
pub(crate) fn sys_exit_connect(ctx: TracePointContext) -> u32 {
    returned(runner::FIRST, call::returned(&ctx));
    0
}

/// With the address as the caller's memory has it.
#[inline(always)]
pub(super) fn entered(runner: u32, fd: i32, address: u64) {
    let descriptors = Descriptors::current();
    let Some(slot) = call::enter(runner, kind::CONNECT, fd) else { return };
    if let Some((sk, SS_UNCONNECTED)) = descriptors.sock(fd) {
        slot.addr = sk.0 as u64;
        call::read_address(slot, address);
    }
}

/// Told only where it failed before a SYN: else the change to SYN_SENT has told of the call, and what comes of it is not for
/// connect() to say.
#[inline(always)]
pub(super) fn returned(runner: u32, value: i64) {
    let (caller, descriptors) = (Thread::current(), Descriptors::current());
    let Some(slot) = leave(kind::CONNECT).filter(|slot| slot.addr != 0) else { return };
    let Err(error) = call::outcome(value) else { return };
    if slot.told != 0 || !call::is_failure(error) {
        return;
    }
    let Some((sk, _)) = descriptors.sock(slot.fd) else { return };
    let outcome = Outcome { kind: kind::CONNECT, fd: slot.fd, error, called: slot.called, asked: slot.asked_port };
    call::report(runner, &outcome, sk, caller, |record| {
        call::asked(&slot, record.sock.family, &mut record.sock.peer, &mut record.sock.peer_port);
    });
}
