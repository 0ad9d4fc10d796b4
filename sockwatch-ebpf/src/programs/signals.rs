//! Resets and segments sent again.

use core::ffi::c_void;

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};
use sockwatch_ebpf::{Mark, kind, runner};

use crate::{
    emit::{head, send},
    filter,
    maps::identity,
    memory::{Memory, Typed, off},
    sock,
    twin::{self, Seen, tracepoint},
};

/// `void tcp_retransmit_skb(const struct sock *sk, const struct sk_buff *skb, …)`.
#[btf_tracepoint(function = "tcp_retransmit_skb")]
pub(crate) fn tcp_retransmit_skb(ctx: BtfTracePointContext) -> i32 {
    mark_full(runner::FIRST, kind::RETRANSMIT, ctx.arg(0));
    0
}

/// `void tcp_send_reset(const struct sock *sk, const struct sk_buff *skb, …)`; `sk` is null where a segment met no
/// socket.
#[btf_tracepoint(function = "tcp_send_reset")]
pub(crate) fn tcp_send_reset(ctx: BtfTracePointContext) -> i32 {
    let sk: *const c_void = ctx.arg(0);
    twin::first(tracepoint::RESET_SENT, sk, RESET_SENT, |runner| mark_full(runner, kind::RESET_SENT, sk))
}

/// Takes what interrupts the first.
#[btf_tracepoint(function = "tcp_send_reset")]
pub(crate) fn tcp_send_reset_2(ctx: BtfTracePointContext) -> i32 {
    let sk: *const c_void = ctx.arg(0);
    twin::second(
        tracepoint::RESET_SENT,
        sk,
        RESET_SENT,
        || was_seen(sk, RESET_SENT),
        |runner| mark_full(runner, kind::RESET_SENT, sk),
    )
}

/// `void tcp_receive_reset(struct sock *sk)`.
#[btf_tracepoint(function = "tcp_receive_reset")]
pub(crate) fn tcp_receive_reset(ctx: BtfTracePointContext) -> i32 {
    let sk: *const c_void = ctx.arg(0);
    twin::first(tracepoint::RESET_RECEIVED, sk, RESET_RECEIVED, |runner| mark_full(runner, kind::RESET_RECEIVED, sk))
}

/// Takes what interrupts the first.
#[btf_tracepoint(function = "tcp_receive_reset")]
pub(crate) fn tcp_receive_reset_2(ctx: BtfTracePointContext) -> i32 {
    let sk: *const c_void = ctx.arg(0);
    twin::second(
        tracepoint::RESET_RECEIVED,
        sk,
        RESET_RECEIVED,
        || was_seen(sk, RESET_RECEIVED),
        |runner| mark_full(runner, kind::RESET_RECEIVED, sk),
    )
}

#[inline(always)]
fn mark_full(runner: u32, kind: u16, sk: *const c_void) {
    if !sk.is_null() && sock::is_full(sk) && (!filter::is_on() || filter::signal(runner, kind, sk)) {
        mark(runner, kind, sk);
    }
}

/// What a socket remembers of its destruction: no change of state.
pub(super) const DESTROYED: u64 = u64::MAX;
/// Beside the last change of its state it remembers resets since.
const RESET_SENT: u64 = 1 << 32;
const RESET_RECEIVED: u64 = 1 << 33;

/// Whether the first program saw a reset. A socket may send one after the other.
#[inline(always)]
fn was_seen(sk: *const c_void, reset: u64) -> Seen {
    if sk.is_null() || !sock::is_full(sk) {
        return Seen::Unknown;
    }
    match identity(sk).filter(|identity| identity.addr == sk as u64) {
        Some(identity) if identity.seen & reset == 0 => Seen::No,
        _ => Seen::Unknown,
    }
}

/// Sends that something happened to a whole socket.
#[inline(always)]
pub(super) fn mark(runner: u32, kind: u16, sk: *const c_void) {
    let id = match identity(sk) {
        Some(identity) if identity.addr == sk as u64 => {
            match kind {
                kind::DESTROY => identity.seen = DESTROYED,
                kind::RESET_SENT => identity.seen |= RESET_SENT,
                kind::RESET_RECEIVED => identity.seen |= RESET_RECEIVED,
                _ => {}
            }
            identity.id
        }
        // A copy of its listener's, of whose end there is no record.
        Some(_) => 0,
        // Where one port is followed alone it has no other id than that in its storage.
        None if filter::is_on() => 0,
        // Not made for this: a socket that was only bound has none.
        None => Typed(sk).read(off!(cookie)),
    };
    // SAFETY: every field is written.
    unsafe {
        send(runner, kind, |record: &mut Mark, time| {
            record.head = head(kind, 0, time);
            record.id = id;
            record.addr = sk as u64;
            let tcp = sock::as_tcp(sk);
            record.mptcp = if tcp.is_null() { 0 } else { sock::mptcp_of(Typed(tcp)) };
            record.state = u32::from(Typed(sk).read::<u8>(off!(state)));
            record.reserved = 0;
        });
    }
}
