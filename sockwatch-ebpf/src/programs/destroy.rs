//! `tcp_destroy_sock`: the end of every TCP socket's life, once.

use core::ffi::c_void;

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};
use sockwatch_ebpf::kind;

use super::signals::mark;
use crate::{
    filter,
    twin::{self, tracepoint},
};

/// `void tcp_destroy_sock(struct sock *sk)`. Fires for sockets of every history, also those that were only bound and have
/// no storage.
#[btf_tracepoint(function = "tcp_destroy_sock")]
pub(crate) fn tcp_destroy_sock(ctx: BtfTracePointContext) -> i32 {
    twin::first(tracepoint::DESTROY, |runner| destroyed(runner, ctx.arg(0)))
}

/// Takes what interrupts the first.
#[btf_tracepoint(function = "tcp_destroy_sock")]
pub(crate) fn tcp_destroy_sock_2(ctx: BtfTracePointContext) -> i32 {
    twin::second(tracepoint::DESTROY, |runner| destroyed(runner, ctx.arg(0)))
}

#[inline(always)]
fn destroyed(runner: u32, sk: *const c_void) {
    if !filter::is_on() || filter::end(sk) {
        mark(runner, kind::DESTROY, sk);
    }
}
