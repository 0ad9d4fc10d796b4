//! Following one port alone: which sockets have to do with it, and what is kept of those that may yet.
//!
//! A socket is followed from the first event at which one of its ports is the port until it is destroyed, whatever it
//! connects to next, so that the chain of its states stays whole: that it has storage says so. A listener's children have
//! a copy of its storage, and are followed with it. The tracepoints of system calls can't reach storage; the sockets that
//! they might not know by a port are in `NOTES`.
//!
//! What a socket did while its ports were not all known is kept there, too, and sent with its own time when the socket
//! turns out to be followed: a bind elsewhere before a connect to the port, a connect that may be given the port as its
//! own. When it turns out to be none, it is dropped. What would cost too much to keep (a whole connection of a socket that
//! may connect again) is noted as omitted: then the life begins with a step that leads nowhere, and is not whole.
//!
//! What goes through the notes of a socket is done by global functions. The verifier follows each of those once in a program, by
//! itself, and not again on each way that leads there (`do_check_subprogs` in kernel/bpf/verifier.c): that was most of what it had to do.

use core::ffi::c_void;

use sockwatch_ebpf::{ABSENT, Sock, Step, kind, protocol, runner, state};

use crate::{
    emit::{head, lose_for_memory, now, send, send_if},
    maps::{CONFIG, Kept, NOTES, Note, NoteKey, ROOM, identity, in_call},
    memory::{Memory, Raw, Typed, frozen, off, wipe},
    sock,
};

/// Most records that are kept of a socket.
const MOST: u64 = 8;
/// The places in `ROOM` of the system calls' programs, behind those of the runners: each has its own, for a trampoline's
/// program may be preempted, and another run on the same processor.
#[inline(always)]
fn room_of(call: u16, runner: u32) -> u32 {
    runner::COUNT * (1 + u32::from(call - kind::BIND)) + runner
}

/// The address of a `struct sock`, as global functions take it. They take numbers and memory, five at the most, and in a register it is
/// neither, to the verifier.
#[repr(C)]
pub(crate) struct Address {
    addr: u64,
}

/// Which program does something, of which kind what it tells or loses is, and for which note, as one number.
#[inline(always)]
fn by(runner: u32, kind: u16, nth: u64) -> u64 {
    nth << 32 | u64::from(runner) << 16 | u64::from(kind)
}

/// The three.
#[inline(always)]
fn of(by: u64) -> (u32, u16, u64) {
    ((by >> 16) as u32 & 0xffff, by as u16, by >> 32)
}

/// `BPF_NOEXIST`.
const NOEXIST: u64 = 1;
/// -ENOENT.
const NOT_THERE: i32 = -2;
/// -EEXIST.
const THERE: i32 = -17;

/// Whether one port is followed alone.
#[inline(always)]
pub(crate) fn is_on() -> bool {
    frozen(&CONFIG.port) != 0
}

/// Whether this is the port that is followed.
#[inline(always)]
fn is_port(port: u16) -> bool {
    u32::from(port) == frozen(&CONFIG.port)
}

/// Whether one of a socket's ports is the port. `inet_sport` is asked where `skc_num` was cleared (`inet_put_port`, before
/// the state changes to CLOSE).
#[inline(always)]
fn has_port<M: Memory>(sk: M, addr: u64) -> bool {
    let num: u16 = sk.read(off!(num));
    is_port(num)
        || is_port(u16::from_be(sk.read(off!(dport))))
        || num == 0 && is_port(u16::from_be(Raw(addr as *const c_void).read(off!(sport))))
}

/// Whether a socket has storage: its own, or a copy of its listener's.
#[inline(always)]
fn is_followed(sk: *const c_void) -> bool {
    identity(sk).is_some()
}

/// Whether the kernel may choose the port for a socket without one: `net.ipv4.ip_local_port_range` of its namespace,
/// within which `IP_LOCAL_PORT_RANGE` stays (`inet_sk_get_local_port_range` in net/ipv4/inet_connection_sock.c).
#[inline(always)]
fn may_be_given(addr: u64) -> bool {
    let range = off!(local_ports);
    if range == ABSENT {
        return true;
    }
    let net = Raw(addr as *const c_void).follow(off!(net));
    let first: u32 = net.read(range);
    // Two halves of a word since Linux 6.8, two words before.
    let (low, high) =
        if off!(local_ports_lock) == ABSENT { (first & 0xffff, first >> 16) } else { (first, net.read(range + 4)) };
    let port = frozen(&CONFIG.port);
    low <= port && port <= high
}

/// What is to be done with a change of state.
pub(crate) enum Fate {
    /// It is of a socket that is followed. The system calls may not know a strange one, see [`note_strange`].
    Send { strange: bool },
    /// Its socket may turn out to be followed.
    Keep,
    /// Neither.
    Drop,
}

/// A change of state.
#[inline(always)]
pub(crate) fn change(sk: *const c_void, from: u8, to: u8, transport: u16, runner: u32) -> Fate {
    let addr = sk as u64;
    let sock = Typed(sk);
    let has_port = has_port(sock, addr);
    if has_port || is_followed(sk) {
        return Fate::Send { strange: !has_port || to == state::CLOSE && is_held(sock) };
    }
    match to {
        state::SYN_SENT => {
            let call = in_call().filter(|call| call.call == kind::CONNECT && call.addr == addr);
            let asked = call.map_or(0, |call| {
                call.told = 1;
                call.asked_port
            });
            // Of MPTCP and SCTP the socket gets its ports later.
            let peer: u16 = sock.read(off!(dport));
            if peer == 0 && is_port(asked) || note_says_followed(sk) {
                return Fate::Send { strange: false };
            }
            keep_if(is_open(sock, to), addr)
        }
        // listen() without a bind chooses the port after this. Its children must find its storage, so that nothing can
        // wait: it is followed, whatever port it is given.
        state::LISTEN if is_open(sock, to) || note_says_followed(sk) => Fate::Send { strange: false },
        // Of a new child there is nothing to forget. Some kernels set its ports after this: then it is kept.
        state::SYN_RECV if from == state::LISTEN && !is_open(sock, to) => Fate::Drop,
        // Nothing was kept of a client that could not be given the port.
        state::ESTABLISHED if from == state::SYN_SENT && transport == protocol::TCP && !may_be_given(addr) => {
            Fate::Drop
        }
        state::LISTEN | state::SYN_RECV | state::ESTABLISHED => keep_if(is_open(sock, to), addr),
        state::CLOSE if from != state::CLOSE && is_held(sock) => {
            // It may connect or listen again.
            remember(runner, runner, kind::CLOSE, addr, inode(sk), Past::Omitted);
            Fate::Drop
        }
        // The end of a TCP socket is told, see `end`.
        _ if transport != protocol::TCP => keep_if(false, addr),
        _ => Fate::Drop,
    }
}

/// Notes that a socket is followed which can't be known by its ports, or not for long. To be called when it was told of.
#[inline(always)]
pub(crate) fn note_strange(sk: *const c_void, runner: u32) {
    if !note_says_followed(sk) {
        remember(runner, runner, kind::TRANSITION, sk as u64, inode(sk), Past::Followed);
    }
}

/// Whether a port is not known yet that may be the one.
#[inline(always)]
fn is_open(sock: Typed, to: u8) -> bool {
    match to {
        state::LISTEN => sock.read::<u16>(off!(num)) == 0 && may_be_given(sock.0 as u64),
        state::SYN_SENT | state::SYN_RECV | state::ESTABLISHED => {
            sock.read::<u16>(off!(dport)) == 0 || sock.read::<u16>(off!(num)) == 0 && may_be_given(sock.0 as u64)
        }
        _ => false,
    }
}

/// Keeps the change if it is open whether its socket is followed. If it is not, what was kept before goes.
#[inline(always)]
fn keep_if(open: bool, addr: u64) -> Fate {
    if open {
        return Fate::Keep;
    }
    forget(addr);
    Fate::Drop
}

/// Whether a process has the socket: it can start again.
#[inline(always)]
fn is_held(sock: Typed) -> bool {
    sock.read::<u64>(off!(flags)) & sock::SOCK_DEAD == 0 && Raw(sock.0).read::<u64>(off!(socket)) != 0
}

/// A signal, before it is sent: whether its socket is followed. It may be the first that tells so.
#[inline(always)]
pub(crate) fn signal(runner: u32, kind: u16, sk: *const c_void) -> bool {
    let passes = is_followed(sk) || has_port(Typed(sk), sk as u64);
    if passes {
        sock::identify(sk, runner, kind);
    }
    passes
}

/// The end of a socket: whether it was followed. What was noted of it goes.
#[inline(always)]
pub(crate) fn end(sk: *const c_void) -> bool {
    let addr = sk as u64;
    let noted = first(addr).map(|note| note.followed != 0);
    if noted.is_some() {
        forget(addr);
    }
    noted == Some(true) || has_port(Typed(sk), addr) || is_followed(sk)
}

/// A socket that exists, as its record tells: whether it is followed.
#[inline(always)]
pub(crate) fn exists(sk: *const c_void, record: &Sock, kind: u16) -> bool {
    if is_port(record.local_port) || is_port(record.peer_port) || is_followed(sk) {
        return true;
    }
    let inode = inode(sk);
    if record.state == u32::from(state::CLOSE) && first(record.addr).is_none_or(|note| note.inode != inode) {
        // It was bound before the trace.
        remember(runner::ITERATOR, runner::ITERATOR, kind, record.addr, inode, Past::Omitted);
    }
    false
}

/// A system call, with the port that it asked for: whether its socket is followed. What was kept of it is sent first.
#[inline(always)]
pub(crate) fn call(runner: u32, sk: Raw, call: u16, asked: u16) -> bool {
    let addr = sk.0 as u64;
    let bound = is_port(sk.read(off!(num)));
    let passes = bound || is_port(asked) || has_port(sk, addr) || note_says_followed(sk.0);
    if passes && call != kind::ACCEPT {
        let inode = inode(sk.0);
        release(runner, call, addr, inode, (0, 0));
        if !bound {
            // Nothing else would tell those that see it next.
            remember(room_of(call, runner), runner, call, addr, inode, Past::Followed);
        }
    }
    passes
}

/// Whether a call on a socket that is not followed is to be kept: on one that is none yet. Of any other it is known, or
/// it passes CLOSE before it starts again, where the past is noted as omitted.
#[inline(always)]
pub(crate) fn keeps_call(sk: Raw, call: u16) -> bool {
    call != kind::ACCEPT && sk.read::<u8>(off!(state)) == state::CLOSE
}

/// Number of the inode behind a socket, which no other has (but after four billion others); 0 where no file is for it. Of typed
/// sockets, too, it is read through the helper, for the reason that is given at [`Thread`](crate::task::Thread).
#[inline(always)]
pub(crate) fn inode(sk: *const c_void) -> u64 {
    let socket = Raw(sk).follow(off!(socket));
    if socket.0.is_null() { 0 } else { socket.read(off!(socket_inode)) }
}

#[inline(always)]
fn first(addr: u64) -> Option<&'static mut Note> {
    // SAFETY: a value lives as long as the program runs; what is read of one that another processor removed meanwhile is
    // not believed, see `release`.
    NOTES.get_ptr_mut(NoteKey { addr, nth: 0 }).map(|note| unsafe { &mut *note })
}

#[inline(always)]
fn note_says_followed(sk: *const c_void) -> bool {
    // A child that was not accepted yet had no inode.
    first(sk as u64).is_some_and(|note| note.followed != 0 && (note.inode == 0 || note.inode == inode(sk)))
}

/// What is noted of a socket without a record.
#[derive(Clone, Copy, PartialEq)]
enum Past {
    /// It is followed.
    Followed,
    /// It did something that was not kept.
    Omitted,
}

/// Notes this in place of all that was.
#[inline(always)]
fn remember(room: u32, runner: u32, kind: u16, addr: u64, inode: u64, past: Past) {
    forget(addr);
    let Some(note) = blank(room, inode) else { return };
    note.followed = u32::from(past == Past::Followed);
    note.omitted = u32::from(past == Past::Omitted);
    if NOTES.insert(NoteKey { addr, nth: 0 }, &*note, NOEXIST).is_err() {
        lose_for_memory(runner, kind);
    }
}

/// A note without a record, but with the time.
#[inline(always)]
fn blank(room: u32, inode: u64) -> Option<&'static mut Note> {
    // SAFETY: this processor's own place, of the one program that runs in this room.
    let note = unsafe { &mut *ROOM.get_ptr_mut(room)? };
    note.inode = inode;
    note.followed = 0;
    note.omitted = 0;
    note.record.head = head(0, 0, now());
    Some(note)
}

/// Keeps the record of a call. `fill` must write every field.
#[inline(always)]
pub(crate) fn keep_call<T>(runner: u32, call: u16, addr: u64, inode: u64, fill: impl FnOnce(&mut T, u64)) {
    keep(room_of(call, runner), runner, call, addr, inode, fill);
}

/// Keeps a record. `fill` must write every field.
#[inline(always)]
pub(crate) fn keep<T>(room: u32, runner: u32, kind: u16, addr: u64, inode: u64, fill: impl FnOnce(&mut T, u64)) {
    const { assert!(size_of::<T>() == size_of::<Kept>() && align_of::<T>() == align_of::<Kept>()) };
    let Some(note) = blank(room, inode) else { return };
    // SAFETY: of the same size, and integers all.
    fill(unsafe { &mut *(&raw mut note.record).cast() }, note.record.head.time);
    filter_add(&Address { addr }, by(runner, kind, room.into()));
}

/// Puts the note in this room behind those of its socket. Returns 0, for a global function has to return a number.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn filter_add(of_whom: *const Address, by: u64) -> u64 {
    // SAFETY: null or whole, and the verifier checks that.
    let Some(&Address { addr }) = (unsafe { of_whom.as_ref() }).filter(|_| is_on()) else { return 0 };
    let (runner, kind, room) = of(by);
    let Some(note) = ROOM.get_ptr(room as u32) else { return 0 };
    // SAFETY: as in `blank`.
    let note = unsafe { &*note };
    if first(addr).is_some_and(|first| first.inode != note.inode) {
        // Of another socket, whose end was missed.
        forget(addr);
    }
    for nth in 0..MOST {
        match NOTES.insert(NoteKey { addr, nth }, note, NOEXIST) {
            Ok(()) => return 0,
            Err(THERE) => {}
            Err(_) => {
                lose_for_memory(runner, kind);
                return 0;
            }
        }
    }
    match first(addr) {
        Some(first) => first.omitted = 1,
        None => lose_for_memory(runner, kind),
    }
    0
}

/// Sends what was kept of a socket, with these ids, now that it is followed.
#[inline(always)]
pub(crate) fn release(runner: u32, kind: u16, addr: u64, inode: u64, (id, parent): (u64, u64)) {
    filter_release(&Address { addr }, inode, id, parent, by(runner, kind, 0));
}

/// As above, as a global function.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn filter_release(of_whom: *const Address, inode: u64, id: u64, parent: u64, by: u64) -> u64 {
    // SAFETY: as above.
    let Some(&Address { addr }) = (unsafe { of_whom.as_ref() }).filter(|_| is_on()) else { return 0 };
    let (runner, kind, _) = of(by);
    let Some(note) = first(addr) else { return 0 };
    if note.followed != 0 && (note.inode == 0 || note.inode == inode) {
        // Nothing is kept of it, and the system calls still have to know it.
        return 0;
    }
    if note.inode == inode && note.omitted != 0 {
        let time = note.record.head.time;
        // SAFETY: every field is written.
        unsafe {
            send(runner, kind, |record: &mut Step, _| {
                record.head = head(kind::STEP, 0, time);
                record.id = id;
                record.addr = addr;
                record.parent = parent;
                record.from = u16::from(state::CLOSE);
                record.to = u16::from(state::CLOSE);
                record.reserved = 0;
                wipe(&mut record.task);
            });
        }
    }
    for nth in 0..MOST {
        if filter_send(addr, inode, id, parent, by | nth << 32) == 0 {
            break;
        }
    }
    filter_forget(of_whom);
    0
}

/// Sends one of them. Returns whether it was there, as a number.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn filter_send(addr: u64, inode: u64, id: u64, parent: u64, by: u64) -> u64 {
    if !is_on() {
        return 0;
    }
    let (runner, kind, nth) = of(by);
    let key = NoteKey { addr, nth };
    let Some(note) = NOTES.get_ptr(key) else { return 0 };
    // SAFETY: as in `first`.
    let note = unsafe { &*note };
    if note.inode != inode || note.record.head.kind == 0 {
        return 1;
    }
    // SAFETY: every field is written.
    unsafe {
        send_if(runner, kind, |record: &mut Kept, _| {
            copy(&note.record, record);
            record.sock.id = id;
            record.sock.parent = parent;
            // Whoever removes it has read it while it was there.
            NOTES.remove(key).is_ok()
        });
    }
    1
}

/// A word at a time, so that no `memcpy` comes of it.
#[inline(always)]
fn copy(from: &Kept, to: &mut Kept) {
    let (from, to): (*const u64, *mut u64) = (core::ptr::from_ref(from).cast(), core::ptr::from_mut(to).cast());
    for word in 0..size_of::<Kept>() / 8 {
        // SAFETY: within both, which are aligned to words.
        unsafe { to.add(word).write_volatile(from.add(word).read_volatile()) };
    }
}

/// Removes all notes of a socket. Most have none.
#[inline(always)]
fn forget(addr: u64) {
    filter_forget(&Address { addr });
}

/// As above, as a global function.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn filter_forget(of_whom: *const Address) -> u64 {
    // SAFETY: as above.
    let Some(&Address { addr }) = (unsafe { of_whom.as_ref() }).filter(|_| is_on()) else { return 0 };
    if first(addr).is_none() {
        return 0;
    }
    for nth in 0..MOST {
        if NOTES.remove(NoteKey { addr, nth }) == Err(NOT_THERE) {
            break;
        }
    }
    0
}
