//! What a `struct sock` tells.

use core::ffi::c_void;

use aya_ebpf::helpers::generated::{bpf_get_socket_cookie, bpf_skc_to_tcp_sock};
use sockwatch_ebpf::{ABSENT, Sock, Stats, family, flag, protocol, state};

use crate::{
    emit::{cpu, lose_for_memory},
    filter,
    maps::{Identity, counters, identity, identity_or},
    memory::{Memory, Raw, Typed, off, wipe},
    twin::{self, Seen},
};

/// Bit of `SOCK_DEAD` in `sk_flags` (`enum sock_flags` in include/net/sock.h; the first ones never moved).
pub(crate) const SOCK_DEAD: u64 = 1;
/// Bit of `SOCK_DONE`.
const SOCK_DONE: u64 = 1 << 1;

/// Whether sockwatch follows this transport.
#[inline(always)]
pub(crate) fn followed(protocol: u16) -> bool {
    matches!(protocol, protocol::TCP | protocol::MPTCP | protocol::SCTP)
}

/// A typed socket as its TCP self, null if it is none: only then may TCP's own members be loaded directly.
#[inline(always)]
pub(crate) fn as_tcp(sk: *const c_void) -> *const c_void {
    // SAFETY: the verifier checks the pointer.
    unsafe { bpf_skc_to_tcp_sock(sk.cast_mut()).cast_const().cast() }
}

/// What names a socket, and its listener, if that is known. Where storage can't be had that it needs, the loss is counted under `kind`.
///
/// Most have a name that the kernel gives: the cookie, which is given once (`sock_gen_cookie` in net/core/sock_diag.c). A child has none
/// yet, or its listener's, when its first event comes (`inet_csk_clone_lock` in net/ipv4/inet_connection_sock.c), and of MPTCP it
/// keeps that: so each child has an id in its storage.
#[inline(always)]
pub(crate) fn identify(sk: *const c_void, runner: u32, kind: u16) -> (u64, u64) {
    let is_listener = Typed(sk).read::<u8>(off!(state)) == state::LISTEN;
    named(sk, runner, kind, is_listener, false, None)
}

/// As above, at a change of state; notes what is seen of it.
#[inline(always)]
pub(crate) fn identify_at(sk: *const c_void, runner: u32, kind: u16, (from, to): (u8, u8), seen: u64) -> (u64, u64) {
    let from_listener = from == state::LISTEN && to != state::CLOSE && to != state::LISTEN;
    let is_child = from_listener || to == state::SYN_RECV && from != state::SYN_SENT;
    named(sk, runner, kind, to == state::LISTEN, is_child, Some(seen))
}

#[inline(always)]
fn named(
    sk: *const c_void,
    runner: u32,
    kind: u16,
    is_listener: bool,
    is_child: bool,
    seen: Option<u64>,
) -> (u64, u64) {
    let addr = sk as u64;
    let remember = |identity: &mut Identity| {
        if let Some(seen) = seen.filter(|_| twin::is_preemptible()) {
            identity.seen = seen;
        }
        (identity.id, identity.parent)
    };
    match identity(sk) {
        Some(identity) if identity.addr == addr => remember(identity),
        Some(copy) => {
            // Of its listener's; nobody else knows the socket yet.
            copy.parent = copy.id;
            copy.id = next_id(runner);
            copy.addr = addr;
            copy.seen = 0;
            release(sk, runner, kind, copy);
            remember(copy)
        }
        None if !is_listener && !is_child && !filter::is_on() && !twin::is_preemptible() => (cookie(sk), 0),
        None => {
            // Where one port is followed alone, each socket that is has an id of its own: whose that is tells who made the storage.
            let id = if is_child || filter::is_on() { next_id(runner) } else { cookie(sk) };
            // Whole from the first: iter/task_file comes to a socket while another has it locked. Whoever makes a storage at the same
            // time, here or in another sockwatch, may leave us without one (`bpf_local_storage_update` in
            // kernel/bpf/bpf_local_storage.c): then there is one to be found, or to be added to.
            let mut first = Identity { id, addr, parent: 0, seen: 0 };
            let Some(made) = identity_or(sk, &mut first).or_else(|| identity_or(sk, &mut first)) else {
                lose_for_memory(runner, kind);
                return if is_child || filter::is_on() { (0, 0) } else { (id, 0) };
            };
            if made.id == id {
                release(sk, runner, kind, made);
            }
            remember(made)
        }
    }
}

/// Sends what was kept of a socket that has just got an id.
#[inline(always)]
fn release(sk: *const c_void, runner: u32, kind: u16, identity: &Identity) {
    if filter::is_on() {
        // What was kept of it comes first.
        filter::release(runner, kind, sk as u64, filter::inode(sk), (identity.id, identity.parent));
    }
}

/// Whether this was the last that was seen of a socket.
#[inline(always)]
pub(crate) fn was_seen(sk: *const c_void, what: u64) -> Seen {
    match identity(sk).filter(|identity| identity.addr == sk as u64) {
        Some(identity) if identity.seen == what => Seen::Yes,
        Some(_) => Seen::No,
        // Where one port is followed alone, most have no storage.
        None if filter::is_on() => Seen::Unknown,
        None => Seen::No,
    }
}

/// Unique on this host while the programs are loaded: the processor and one, the runner, and a count. No cookie: of those each
/// processor has some thousands at a time, from 1 on, and from the largest number down where it was interrupted
/// (include/linux/cookie.h).
#[inline(always)]
fn next_id(runner: u32) -> u64 {
    let cpu = u64::from(cpu());
    let Some(counters) = counters() else { return 0 };
    // SAFETY: this processor's own; a program is not entered again on a processor where it runs.
    let count = unsafe {
        let last = &mut (*counters).last_id[runner as usize];
        *last += 1;
        *last
    };
    (cpu + 1) << 48 | u64::from(runner) << 45 | count
}

/// Which of the two places of the local port to believe.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Port {
    /// `skc_num` alone: on a second connect `inet_sport` is that of the first.
    Bound,
    /// `inet_sport` where `skc_num` was cleared already (`inet_put_port`, before the state changes to CLOSE).
    Last,
}

/// Fills everything but `id`, `parent` and `cookie`, which are left 0.
#[inline(always)]
pub(crate) fn fill<M: Memory>(memory: M, addr: u64, tcp: bool, port: Port, out: &mut Sock) {
    // One by one, so that no `memset` comes of it.
    for field in [&raw mut out.id, &raw mut out.parent, &raw mut out.cookie] {
        // SAFETY: fields of `out`.
        unsafe { field.write_volatile(0) };
    }
    out.addr = addr;
    let kind: u16 = memory.read(off!(family));
    out.family = kind;
    out.protocol = memory.read(off!(protocol));
    out.state = u32::from(memory.read::<u8>(off!(state)));
    let local: *mut u64 = out.local.as_mut_ptr().cast();
    let peer: *mut u64 = out.peer.as_mut_ptr().cast();
    let (v6_local, v6_peer) = (off!(v6_rcv_saddr), off!(v6_daddr));
    // SAFETY: both are 16 bytes at addresses that are multiples of 8 in every record.
    unsafe {
        if kind == family::INET6 && v6_local != ABSENT && v6_peer != ABSENT {
            local.write(memory.read(v6_local));
            local.add(1).write(memory.read(v6_local + 8));
            peer.write(memory.read(v6_peer));
            peer.add(1).write(memory.read(v6_peer + 8));
        } else {
            local.write(u64::from(memory.read::<u32>(off!(rcv_saddr))));
            local.add(1).write(0);
            peer.write(u64::from(memory.read::<u32>(off!(daddr))));
            peer.add(1).write(0);
        }
    }
    let mut number: u16 = memory.read(off!(num));
    if number == 0 && port == Port::Last {
        number = u16::from_be(memory.read(off!(sport)));
    }
    out.local_port = number;
    out.peer_port = u16::from_be(memory.read(off!(dport)));
    out.netns = memory.follow(off!(net)).read(off!(net_inum));
    out.mptcp = if tcp { mptcp_of(memory) } else { 0 };
}

/// The MPTCP socket that a TCP socket is a subflow of; 0 if it is none.
#[inline(always)]
pub(crate) fn mptcp_of<M: Memory>(tcp: M) -> u64 {
    let (is_mptcp, conn) = (off!(is_mptcp), off!(subflow_conn));
    if is_mptcp == ABSENT || conn == ABSENT || tcp.read::<u8>(is_mptcp) & 1 == 0 {
        return 0;
    }
    let subflow: u64 = tcp.read(off!(ulp_data));
    if subflow == 0 { 0 } else { Raw(subflow as *const c_void).read(conn) }
}

/// The kernel's cookie of a typed socket, made if it has none.
#[inline(always)]
pub(crate) fn cookie(sk: *const c_void) -> u64 {
    match Typed(sk).read(off!(cookie)) {
        // SAFETY: the verifier checks the pointer.
        0 => unsafe { bpf_get_socket_cookie(sk.cast_mut()) },
        cookie => cookie,
    }
}

/// Reads a TCP socket's counts; returns flags for the record's head.
#[inline(always)]
pub(crate) fn fill_tcp_stats(tcp: Typed, out: &mut Stats) -> u32 {
    out.received = tcp.read(off!(bytes_received));
    out.acked = tcp.read(off!(bytes_acked));
    out.srtt = tcp.read(off!(srtt));
    out.retransmits = tcp.read(off!(total_retrans));
    out.unread = tcp.read::<u32>(off!(rcv_nxt)).wrapping_sub(tcp.read(off!(copied_seq)));
    out.unacked = tcp.read::<u32>(off!(write_seq)).wrapping_sub(tcp.read(off!(snd_una)));
    let sent: u32 = tcp.read(off!(segs_out));
    let nothing = if sent == 0 { flag::NOTHING_SENT } else { 0 };
    fill_sock_stats(tcp, out) | nothing | flag::HAS_STATS
}

/// Reads what every socket counts; returns flags for the record's head.
#[inline(always)]
pub(crate) fn fill_sock_stats<M: Memory>(sock: M, out: &mut Stats) -> u32 {
    out.queue = sock.read(off!(ack_backlog));
    out.backlog = sock.read(off!(max_ack_backlog));
    let drops = off!(drops);
    out.drops = if drops == ABSENT { 0 } else { sock.read(drops) };
    out.error = sock.read(off!(err));
    let bits: u64 = sock.read(off!(flags));
    let mut flags = 0;
    if bits & SOCK_DONE != 0 {
        flags |= flag::FIN_RECEIVED;
    }
    if bits & SOCK_DEAD != 0 {
        flags |= flag::ORPHAN;
    }
    if sock.read::<u64>(off!(socket)) == 0 {
        flags |= flag::UNHELD;
    }
    flags
}

/// Fills the counts of a transport other than TCP.
#[inline(always)]
pub(crate) fn fill_other_stats(sk: *const c_void, protocol: u16, out: &mut Stats) -> u32 {
    wipe(out);
    let raw = Raw(sk);
    let flags = fill_sock_stats(raw, out);
    let (received, acked) = (off!(mptcp_received), off!(mptcp_acked));
    if protocol != protocol::MPTCP || received == ABSENT || acked == ABSENT {
        return flags;
    }
    out.received = raw.read(received);
    out.acked = raw.read(acked);
    flags | flag::HAS_STATS
}

/// Whether a typed socket is a whole `struct sock`; request and timewait sockets are smaller.
#[inline(always)]
pub(crate) fn is_full(sk: *const c_void) -> bool {
    !matches!(Typed(sk).read::<u8>(off!(state)), state::TIME_WAIT | state::NEW_SYN_RECV)
}
