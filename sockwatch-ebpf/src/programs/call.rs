//! What the programs on system calls share.
//!
//! A call is seen by tracepoints or by trampolines (`trampoline.rs`). The tracepoints' context (`trace_event_raw_sys_enter`, `trace_event_raw_sys_exit` of the `syscalls` group) is eight bytes of
//! common fields, the call's number as a long, then the arguments or the return value as longs.

use core::{ffi::c_void, mem::MaybeUninit};

use aya_ebpf::{
    EbpfContext,
    helpers::generated::{bpf_get_current_task_btf, bpf_probe_read_user},
    programs::TracePointContext,
};
use sockwatch_ebpf::{Call, family};

use crate::{
    emit::{head, lose_for_memory, now, send},
    filter,
    maps::{InCall, in_call, in_call_or_new},
    memory::{Memory, Raw, Typed, clear, off},
    sock::{self, Port},
    task::Thread,
};

/// Where the first argument, or the return value, is.
const FIRST: usize = 16;

/// Errors of calls that have not failed, or were not made on a socket (include/uapi/asm-generic/errno*.h; from 512 on
/// those that the kernel keeps to itself, restarts of a call).
const EINTR: i64 = 4;
const EBADF: i64 = 9;
const EAGAIN: i64 = 11;
const ENOTSOCK: i64 = 88;
const EISCONN: i64 = 106;
const EALREADY: i64 = 114;
const EINPROGRESS: i64 = 115;
const RESTART: i64 = 512;

/// Argument `n` of the call, from 0.
#[inline(always)]
pub(super) fn argument(ctx: &TracePointContext, n: usize) -> u64 {
    // SAFETY: the verifier checks the offset against the tracepoint's record.
    unsafe { ctx.as_ptr().byte_add(FIRST + 8 * n).cast::<u64>().read() }
}

/// What the call returned.
#[inline(always)]
pub(super) fn returned(ctx: &TracePointContext) -> i64 {
    argument(ctx, 0) as i64
}

/// As above: 0 or a descriptor, or the errno as a positive number.
#[inline(always)]
pub(super) fn outcome(returned: i64) -> Result<i32, i64> {
    if returned < 0 { Err(-returned) } else { Ok(returned as i32) }
}

/// Whether this errno is a failure of a call on a socket.
#[inline(always)]
pub(super) fn is_failure(errno: i64) -> bool {
    !matches!(errno, EINTR | EAGAIN | EALREADY | EINPROGRESS | EISCONN | EBADF | ENOTSOCK) && errno < RESTART
}

/// The current process's descriptors. To be asked for early in a program, like [`Thread`].
#[derive(Clone, Copy)]
pub(super) struct Descriptors(Typed);

impl Descriptors {
    #[inline(always)]
    pub(super) fn current() -> Self {
        // SAFETY: a helper without preconditions.
        let current = Typed(unsafe { bpf_get_current_task_btf() }.cast_const().cast());
        Self(current.follow(off!(task_files)).follow(off!(files_fdt)))
    }

    /// The file behind one of them. It may be no socket: the call's return value tells.
    #[inline(always)]
    fn file(self, fd: i32) -> Option<Raw> {
        let length: u32 = self.0.read(off!(fdt_max));
        if fd < 0 || fd as u32 >= length {
            return None;
        }
        let files: u64 = self.0.read(off!(fdt_fd));
        let file: u64 = Raw((files + 8 * u64::from(fd as u32)) as *const c_void).read(0);
        if file == 0 {
            return None;
        }
        Some(Raw(file as *const c_void))
    }

    /// The followed internet socket behind one of them, and the state of its `struct socket`.
    #[inline(always)]
    pub(super) fn sock(self, fd: i32) -> Option<(Raw, u32)> {
        sock_behind(self.file(fd)?)
    }
}

/// A followed internet socket behind a file, and the state of its `struct socket`.
#[inline(always)]
pub(super) fn sock_behind(file: Raw) -> Option<(Raw, u32)> {
    let socket = file.follow(off!(file_private));
    if socket.0.is_null() {
        return None;
    }
    let sk = socket.follow(off!(socket_sk));
    let state: u32 = socket.read(off!(socket_state));
    let family: u16 = sk.read(off!(family));
    if family != family::INET && family != family::INET6 {
        return None;
    }
    sock::followed(sk.read(off!(protocol))).then_some((sk, state))
}

/// Notes that the current thread entered a call, on whatever it is.
#[inline(always)]
pub(super) fn enter(runner: u32, call: u16, fd: i32) -> Option<&'static mut InCall> {
    let Some(slot) = in_call_or_new() else {
        lose_for_memory(runner, call);
        return None;
    };
    slot.called = now();
    slot.addr = 0;
    slot.call = call;
    slot.fd = fd;
    slot.told = 0;
    Some(slot)
}

/// This call, if the current thread is known to have entered it, and has its work still to do. Of one that it is not known to have
/// left, because its exit was skipped, most had told what they did.
#[inline(always)]
pub(super) fn at_work(call: u16) -> Option<&'static mut InCall> {
    in_call().filter(|slot| slot.call == call && slot.told == 0)
}

/// Whether the current thread is not known to have left this call.
#[inline(always)]
pub(super) fn is_in(call: u16) -> bool {
    in_call().is_some_and(|slot| slot.call == call)
}

/// Reads a `struct sockaddr_in` or `sockaddr_in6` of the caller into the slot.
#[inline(always)]
pub(super) fn read_address(slot: &mut InCall, user: u64) {
    // struct sockaddr_in6: family, port, flow, address. sockaddr_in: family, port, address.
    let mut room = MaybeUninit::<[u64; 3]>::uninit();
    let words = clear(&mut room);
    // SAFETY: the helper writes what it is told to, which fits, or zeros if it fails. A short address may be the last
    // thing before an unmapped page.
    unsafe {
        let to: *mut c_void = words.as_mut_ptr().cast();
        if bpf_probe_read_user(to, 24, user as *const c_void) != 0 {
            bpf_probe_read_user(to, 8, user as *const c_void);
        }
    }
    let [first, second, third] = *words;
    slot.asked_family = first as u16;
    slot.asked_port = u16::from_be((first >> 16) as u16);
    slot.asked = if slot.asked_family == family::INET6 { [second, third] } else { [first >> 32, 0] };
}

/// What a call's record says beside its socket.
pub(super) struct Outcome {
    pub(super) kind: u16,
    pub(super) fd: i32,
    pub(super) error: i64,
    pub(super) called: u64,
    /// The port that it asked for and did not get; 0: none.
    pub(super) asked: u16,
}

/// Sends a call. `also` sees the filled record before it goes.
#[inline(always)]
pub(super) fn report(runner: u32, outcome: &Outcome, sk: Raw, caller: Thread, also: impl FnOnce(&mut Call)) {
    let fill = |record: &mut Call, time| {
        let protocol: u16 = sk.read(off!(protocol));
        record.head = head(outcome.kind, 0, time);
        sock::fill(sk, sk.0 as u64, protocol == sockwatch_ebpf::protocol::TCP, Port::Bound, &mut record.sock);
        caller.fill_as_current(&mut record.task);
        record.called = outcome.called;
        record.fd = outcome.fd;
        record.error = outcome.error as i32;
        record.backlog_given = 0;
        record.backlog = 0;
        also(record);
    };
    if !filter::is_on() || filter::call(runner, sk, outcome.kind, outcome.asked) {
        // SAFETY: every field is written.
        unsafe { send(runner, outcome.kind, fill) };
    } else if filter::keeps_call(sk, outcome.kind) {
        filter::keep_call(runner, outcome.kind, sk.0 as u64, filter::inode(sk.0), fill);
    }
}

/// Puts the address that the caller gave in place of what the socket says, in the form of the socket's family: IPv4 on an
/// IPv6 socket as mapped. Zeros for an address of another family, or one that could not be read.
#[inline(always)]
pub(super) fn asked(slot: &InCall, family: u16, address: &mut [u8; 16], port: &mut u16) {
    let mapped = slot.asked_family == family::INET && family == family::INET6;
    let known = slot.asked_family == family || mapped;
    let (first, second) = match (known, mapped) {
        (false, _) => (0, 0),
        // ::ffff:a.b.c.d
        (true, true) => (0, (slot.asked[0] << 32) | u64::from(0xffff_0000_u32.to_le())),
        (true, false) => (slot.asked[0], slot.asked[1]),
    };
    let to: *mut u64 = address.as_mut_ptr().cast();
    // SAFETY: 16 bytes at a multiple of 8 in every record. One by one, so that no `memset` comes of it.
    unsafe {
        to.write_volatile(first);
        to.add(1).write_volatile(second);
    }
    *port = if known { slot.asked_port } else { 0 };
}
