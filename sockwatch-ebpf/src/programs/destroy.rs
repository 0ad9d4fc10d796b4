//! `tcp_destroy_sock`: the end of every TCP socket's life, once.

use core::ffi::c_void;

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};
use sockwatch_ebpf::kind;

/// `void tcp_destroy_sock(struct sock *sk)`. Fires for sockets of every history, also those that were only bound and have
/// no storage.
#[btf_tracepoint(function = "tcp_destroy_sock")]
pub(crate) fn tcp_destroy_sock(ctx: BtfTracePointContext) -> i32 {
    let sk: *const c_void = ctx.arg(0);
    super::signals::mark(kind::DESTROY, sk);
    0
}
