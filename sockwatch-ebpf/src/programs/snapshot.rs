//! The sockets that exist already: iterators, read by user space once the other programs run.

use core::{ffi::c_void, mem::MaybeUninit};

use aya_ebpf::helpers::generated::{bpf_seq_write, bpf_sock_from_file};
use sockwatch_ebpf::{Snapshot, flag, kind, protocol, runner, state};

use crate::{
    emit::{head, lose_for_memory, now},
    filter,
    memory::{Memory, Raw, Typed, clear, off},
    sock::{self, Port},
    task::Thread,
};

/// `struct bpf_iter_meta`: its first member.
#[repr(C)]
pub(crate) struct Meta {
    pub(super) seq: *mut c_void,
}

/// `struct bpf_iter__task_file`.
#[repr(C)]
pub(crate) struct TaskFile {
    meta: *const Meta,
    task: *const c_void,
    fd: u32,
    file: *const c_void,
}

/// `struct bpf_iter__tcp`.
#[repr(C)]
pub(crate) struct Tcp {
    meta: *const Meta,
    sk_common: *const c_void,
}

/// Every descriptor of every process in the reader's pid namespace, in every network namespace.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task_file")]
pub(crate) extern "C" fn held(ctx: *const TaskFile) -> i32 {
    // SAFETY: the kernel calls with a whole context; its last call has null members.
    let file = unsafe { (*ctx).file };
    if file.is_null() {
        return 0;
    }
    // SAFETY: the verifier checks the pointer.
    let socket = unsafe { bpf_sock_from_file(file.cast_mut().cast()) };
    if socket.is_null() {
        return 0;
    }
    let sk: *const c_void = Typed(socket.cast_const().cast()).read(off!(socket_sk));
    if sk.is_null() {
        return 0;
    }
    let family: u16 = Typed(sk).read(off!(family));
    if family != sockwatch_ebpf::family::INET && family != sockwatch_ebpf::family::INET6 {
        return 0;
    }
    let mut room = MaybeUninit::uninit();
    let record = blank(kind::HELD, &mut room);
    if describe(kind::HELD, sk, record) {
        // Not before: the stack is short, and older kernels count it in steps of 32 bytes, for all functions that are called from here.
        // SAFETY: as above.
        let task = unsafe { (&raw const (*ctx).task).read_volatile() };
        if task.is_null() {
            return 0;
        }
        Thread::of(task).fill(&mut record.task);
        // SAFETY: as above.
        let (meta, fd) = unsafe { ((&raw const (*ctx).meta).read_volatile(), (&raw const (*ctx).fd).read_volatile()) };
        record.fd = fd as i32;
        write(kind::HELD, meta, record);
    }
    0
}

/// Every TCP socket of the network namespace of the thread that opened the iterator.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/tcp")]
pub(crate) extern "C" fn exists(ctx: *const Tcp) -> i32 {
    // SAFETY: as above.
    let (meta, common) = unsafe { ((*ctx).meta, (*ctx).sk_common) };
    if !common.is_null() {
        whole(meta, common);
    }
    0
}

/// As above, and what is no socket that anyone could hold: connections that are half open (request sockets), and what is
/// left of those that ended (timewait sockets). In one pass, so that what goes from one to the other is met once.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/tcp")]
pub(crate) extern "C" fn still(ctx: *const Tcp) -> i32 {
    // SAFETY: as above.
    let (meta, common) = unsafe { ((*ctx).meta, (*ctx).sk_common) };
    if !common.is_null() && !whole(meta, common) {
        rest(meta, common);
    }
    0
}

/// False for half-open and timewait sockets.
#[inline(always)]
fn whole(meta: *const Meta, common: *const c_void) -> bool {
    let sk = sock::as_tcp(common);
    if sk.is_null() {
        return false;
    }
    let mut room = MaybeUninit::uninit();
    let record = blank(kind::EXISTS, &mut room);
    if describe(kind::EXISTS, sk, record) {
        write(kind::EXISTS, meta, record);
    }
    true
}

#[inline(always)]
fn rest(meta: *const Meta, common: *const c_void) {
    // Both begin with a `struct sock_common`, and are smaller than a `struct sock`.
    let raw = Raw(common);
    let found: u8 = raw.read(off!(state));
    let stands_for = match found {
        state::NEW_SYN_RECV => state::SYN_RECV,
        state::TIME_WAIT => raw.read(off!(tw_substate)),
        _ => return,
    };
    let mut room = MaybeUninit::uninit();
    let record = blank(kind::EXISTS, &mut room);
    sock::fill(raw, common as u64, false, Port::Bound, &mut record.sock);
    record.sock.protocol = protocol::TCP;
    record.sock.state = u32::from(stands_for);
    // 0 where nobody asked for it yet: only a whole socket can be given one from here.
    record.sock.cookie = raw.read(off!(cookie));
    record.head.flags = flag::UNHELD;
    write(kind::EXISTS, meta, record);
}

#[inline(always)]
fn blank(kind: u16, room: &mut MaybeUninit<Snapshot>) -> &mut Snapshot {
    let record = clear(room);
    record.head = head(kind, 0, now());
    record.fd = -1;
    record
}

/// Fills socket and counts; false for what has no life to tell: another transport, a socket never used, or one that is
/// gone already (iter/tcp may still meet it). Its kind is given, and not read from the record, so that the verifier knows it where
/// it counts.
#[inline(always)]
fn describe(kind: u16, sk: *const c_void, record: &mut Snapshot) -> bool {
    let transport: u16 = Typed(sk).read(off!(protocol));
    if !sock::followed(transport) {
        return false;
    }
    let addr = sk as u64;
    let tcp = sock::as_tcp(sk);
    record.head.flags = if tcp.is_null() {
        sock::fill(Raw(sk), addr, false, Port::Last, &mut record.sock);
        sock::fill_other_stats(sk, transport, &mut record.stats)
    } else {
        sock::fill(Typed(tcp), addr, true, Port::Last, &mut record.sock);
        sock::fill_tcp_stats(Typed(tcp), &mut record.stats)
    };
    if record.sock.state == u32::from(state::CLOSE) && (kind == kind::EXISTS || record.sock.local_port == 0) {
        return false;
    }
    if filter::is_on() && !filter::exists(sk, &record.sock, kind) {
        return false;
    }
    let (id, parent) = sock::identify(sk, runner::ITERATOR, kind);
    record.sock.id = id;
    record.sock.parent = parent;
    record.sock.cookie = sock::cookie(sk);
    true
}

#[inline(always)]
fn write(kind: u16, meta: *const Meta, record: &Snapshot) {
    // SAFETY: the verifier checks both pointers. A full buffer makes the kernel call again for the same socket.
    unsafe {
        let wrote = bpf_seq_write((*meta).seq.cast(), core::ptr::from_ref(record).cast(), size_of::<Snapshot>() as u32);
        // -EOVERFLOW: seq_file grows its buffer and comes back.
        if wrote != 0 && wrote != -75 {
            lose_for_memory(runner::ITERATOR, kind);
        }
    }
}
