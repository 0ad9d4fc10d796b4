//! `inet_sock_set_state`: every change of a socket's state.

use core::ffi::c_void;

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};
use sockwatch_ebpf::{Close, Step, Transition, flag, kind, protocol, state};

use crate::{
    emit::{head, send},
    filter::{self, Fate},
    log::debug,
    maps::in_call,
    memory::{Memory, Raw, Typed, off, wipe},
    sock::{self, Port},
    task::Thread,
    twin::{self, Seen, tracepoint},
};

/// `void inet_sock_set_state(const struct sock *sk, const int oldstate, const int newstate)`, called before the new
/// state is stored.
#[btf_tracepoint(function = "inet_sock_set_state")]
pub(crate) fn inet_sock_set_state(ctx: BtfTracePointContext) -> i32 {
    let change = Change::of(&ctx);
    twin::first(tracepoint::STATE, change.sk, change.mark(), |runner| changed(&ctx, runner))
}

/// Takes what interrupts the first.
#[btf_tracepoint(function = "inet_sock_set_state")]
pub(crate) fn inet_sock_set_state_2(ctx: BtfTracePointContext) -> i32 {
    behind(1, &ctx)
}

/// Takes what comes while both are preempted.
#[btf_tracepoint(function = "inet_sock_set_state")]
pub(crate) fn inet_sock_set_state_3(ctx: BtfTracePointContext) -> i32 {
    behind(2, &ctx)
}

/// As above, of three.
#[btf_tracepoint(function = "inet_sock_set_state")]
pub(crate) fn inet_sock_set_state_4(ctx: BtfTracePointContext) -> i32 {
    behind(3, &ctx)
}

/// As above, of four.
#[btf_tracepoint(function = "inet_sock_set_state")]
pub(crate) fn inet_sock_set_state_5(ctx: BtfTracePointContext) -> i32 {
    behind(4, &ctx)
}

/// The program that so many are before.
#[inline(always)]
fn behind(before: usize, ctx: &BtfTracePointContext) -> i32 {
    let change = Change::of(ctx);
    let seen = || change.was_seen();
    twin::nth(before, tracepoint::STATE, change.sk, change.mark(), seen, |runner| changed(ctx, runner))
}

/// What the tracepoint tells.
#[derive(Clone, Copy)]
struct Change {
    sk: *const c_void,
    from: u8,
    to: u8,
}

impl Change {
    #[inline(always)]
    fn of(ctx: &BtfTracePointContext) -> Self {
        Self { sk: ctx.arg(0), from: ctx.arg::<i32>(1) as u8, to: ctx.arg::<i32>(2) as u8 }
    }

    /// What the socket remembers of it. Not 0: no state is.
    #[inline(always)]
    fn mark(self) -> u64 {
        u64::from(self.from) << 8 | u64::from(self.to)
    }

    #[inline(always)]
    fn was_seen(self) -> Seen {
        // The second of two that lead nowhere is like the first.
        if self.from == self.to { Seen::Unknown } else { sock::was_seen(self.sk, self.mark()) }
    }
}

#[inline(always)]
fn changed(ctx: &BtfTracePointContext, runner: u32) {
    let change = Change::of(ctx);
    let Change { sk, from, to } = change;
    let thread = Thread::current();
    let protocol: u16 = Typed(sk).read(off!(protocol));
    if !sock::followed(protocol) {
        return;
    }
    debug!(
        ctx,
        "runner {}, protocol {}, port {} to {}: state {} to {}",
        runner,
        protocol,
        u16::from_be(Raw(sk).read(off!(sport))),
        u16::from_be(Typed(sk).read(off!(dport))),
        from,
        to
    );
    let kind = match to {
        state::CLOSE => kind::CLOSE,
        state::LISTEN | state::SYN_SENT | state::SYN_RECV | state::ESTABLISHED => kind::TRANSITION,
        _ => kind::STEP,
    };
    let mut is_strange = false;
    if filter::is_on() {
        match filter::change(sk, from, to, protocol, runner) {
            Fate::Send { strange } => is_strange = strange,
            Fate::Keep => {
                let (addr, inode) = (sk as u64, filter::inode(sk));
                return filter::keep(runner, runner, kind::TRANSITION, addr, inode, |record, time| {
                    tell_transition(record, time, sk, to, (0, 0), thread);
                });
            }
            Fate::Drop => return,
        }
    }
    let ids = sock::identify_at(sk, runner, kind, (from, to), change.mark());
    match kind {
        kind::CLOSE => close(runner, sk, ids, from, protocol, thread),
        kind::TRANSITION => transition(runner, sk, ids, to, thread),
        _ => step(runner, sk, ids, from, to, thread),
    }
    if is_strange {
        filter::note_strange(sk, runner);
    }
}

#[inline(always)]
fn transition(runner: u32, sk: *const c_void, ids: (u64, u64), to: u8, thread: Thread) {
    // SAFETY: every field is written.
    unsafe { send(runner, kind::TRANSITION, |record, time| tell_transition(record, time, sk, to, ids, thread)) };
}

/// Writes every field.
#[inline(always)]
fn tell_transition(
    record: &mut Transition,
    time: u64,
    sk: *const c_void,
    to: u8,
    (id, parent): (u64, u64),
    thread: Thread,
) {
    record.head = head(kind::TRANSITION, 0, time);
    let tcp = sock::as_tcp(sk);
    if tcp.is_null() {
        sock::fill(Raw(sk), sk as u64, false, Port::Bound, &mut record.sock);
        record.srtt = 0;
    } else {
        sock::fill(Typed(tcp), sk as u64, true, Port::Bound, &mut record.sock);
        record.srtt = Typed(tcp).read(off!(srtt));
    }
    record.sock.id = id;
    record.sock.parent = parent;
    // At SYN_RECV some kernels still have the listener's cookie there.
    record.sock.cookie = if to == state::SYN_RECV { 0 } else { sock::cookie(sk) };
    record.to = u32::from(to);
    record.fd = -1;
    record.called = 0;
    record.backlog = Typed(sk).read(off!(max_ack_backlog));
    if to == state::LISTEN || to == state::SYN_SENT {
        thread.fill_as_current(&mut record.task);
        if let Some(call) = in_call().filter(|call| call.call != 0 && call.addr == sk as u64) {
            record.head.flags |= flag::IN_CALL;
            record.called = call.called;
            record.fd = call.fd;
            if to == state::SYN_SENT {
                call.told = 1;
            }
        }
    } else {
        wipe(&mut record.task);
    }
}

#[inline(always)]
fn step(runner: u32, sk: *const c_void, (id, parent): (u64, u64), from: u8, to: u8, thread: Thread) {
    // SAFETY: every field is written.
    unsafe {
        send(runner, kind::STEP, |record: &mut Step, time| {
            record.head = head(kind::STEP, 0, time);
            record.id = id;
            record.addr = sk as u64;
            record.parent = parent;
            record.from = u16::from(from);
            record.to = u16::from(to);
            record.reserved = 0;
            // These two only come of close, shutdown or the end of a process (tcp_close_state in net/ipv4/tcp.c).
            if to == state::FIN_WAIT1 || to == state::LAST_ACK {
                thread.fill_as_current(&mut record.task);
            } else {
                wipe(&mut record.task);
            }
        });
    }
}

#[inline(always)]
fn close(runner: u32, sk: *const c_void, (id, parent): (u64, u64), from: u8, protocol: u16, thread: Thread) {
    // SAFETY: every field is written.
    unsafe {
        send(runner, kind::CLOSE, |record: &mut Close, time| {
            record.head = head(kind::CLOSE, 0, time);
            let tcp = sock::as_tcp(sk);
            let flags = if tcp.is_null() {
                sock::fill(Raw(sk), sk as u64, false, Port::Last, &mut record.sock);
                sock::fill_other_stats(sk, protocol, &mut record.stats)
            } else {
                sock::fill(Typed(tcp), sk as u64, true, Port::Last, &mut record.sock);
                sock::fill_tcp_stats(Typed(tcp), &mut record.stats)
            };
            record.sock.id = id;
            record.sock.parent = parent;
            record.sock.cookie = sock::cookie(sk);
            record.head.flags = flags;
            if by_process(from, protocol, record.stats.error, flags) {
                thread.fill_as_current(&mut record.task);
                // Only a listener is closed by listen(), and only what sent nothing by connect().
                if (from == state::LISTEN || flags & flag::NOTHING_SENT != 0)
                    && let Some(call) = in_call().filter(|call| call.call != 0 && call.addr == sk as u64)
                {
                    record.head.flags |= flag::IN_CALL;
                    if flags & flag::NOTHING_SENT != 0 {
                        // The connect failed before its SYN: its return value is the outcome.
                        call.told = 0;
                    }
                }
            } else {
                wipe(&mut record.task);
            }
        });
    }
}

/// Whether the current task did it. Packets and timers leave an error (`tcp_reset`, `tcp_write_err`, `tcp_abort`), or
/// end an exchange of FINs, or find an orphan; what is left is close, shutdown or disconnect by the current task. A child
/// that is still in SYN_RECV may be dropped by either.
#[inline(always)]
fn by_process(from: u8, protocol: u16, error: u32, flags: u32) -> bool {
    if error != 0 || flags & flag::ORPHAN != 0 || protocol != protocol::TCP {
        return from == state::LISTEN;
    }
    match from {
        state::LISTEN | state::SYN_SENT | state::ESTABLISHED | state::CLOSE_WAIT | state::FIN_WAIT1 => true,
        state::FIN_WAIT2 => flags & flag::FIN_RECEIVED == 0,
        _ => false,
    }
}
