//! `tcp_destroy_sock`: the end of every TCP socket's life, once.

use core::ffi::c_void;

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};
use sockwatch_ebpf::kind;

use super::signals::{DESTROYED, mark};
use crate::{
    filter,
    maps::identity,
    sock,
    twin::{self, Seen, tracepoint},
};

/// `void tcp_destroy_sock(struct sock *sk)`. Fires for sockets of every history, also those that were only bound and have
/// no storage.
#[btf_tracepoint(function = "tcp_destroy_sock")]
pub(crate) fn tcp_destroy_sock(ctx: BtfTracePointContext) -> i32 {
    let sk: *const c_void = ctx.arg(0);
    twin::first(tracepoint::DESTROY, sk, DESTROYED, |runner| destroyed(runner, sk))
}

/// Takes what interrupts the first.
#[btf_tracepoint(function = "tcp_destroy_sock")]
pub(crate) fn tcp_destroy_sock_2(ctx: BtfTracePointContext) -> i32 {
    let sk: *const c_void = ctx.arg(0);
    // One without storage can't remember.
    let seen = || if identity(sk).is_none() { Seen::Unknown } else { sock::was_seen(sk, DESTROYED) };
    twin::second(tracepoint::DESTROY, sk, DESTROYED, seen, |runner| destroyed(runner, sk))
}

#[inline(always)]
fn destroyed(runner: u32, sk: *const c_void) {
    if !filter::is_on() || filter::end(sk) {
        mark(runner, kind::DESTROY, sk);
    }
}
