//! `tcp_destroy_sock`: the end of every TCP socket's life, once.

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};
use sockwatch_ebpf::kind;

use crate::twin::{self, Tracepoint};

/// `void tcp_destroy_sock(struct sock *sk)`. Fires for sockets of every history, also those that were only bound and have
/// no storage.
#[btf_tracepoint(function = "tcp_destroy_sock")]
pub(crate) fn tcp_destroy_sock(ctx: BtfTracePointContext) -> i32 {
    twin::first(Tracepoint::Destroy, |runner| super::signals::mark(runner, kind::DESTROY, ctx.arg(0)))
}

/// Takes what interrupts the first.
#[btf_tracepoint(function = "tcp_destroy_sock")]
pub(crate) fn tcp_destroy_sock_2(ctx: BtfTracePointContext) -> i32 {
    twin::second(Tracepoint::Destroy, |runner| super::signals::mark(runner, kind::DESTROY, ctx.arg(0)))
}
