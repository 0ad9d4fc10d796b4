//! The maps, and nothing that acts on them but their look-ups.

use core::{ffi::c_void, mem::MaybeUninit, ptr};

use aya_ebpf::{
    bindings::bpf_map_type::{BPF_MAP_TYPE_SK_STORAGE, BPF_MAP_TYPE_TASK_STORAGE},
    btf_maps::{Array, HashMap, PerCpuArray, RingBuf},
    helpers::generated::{bpf_get_current_task_btf, bpf_sk_storage_get, bpf_task_storage_get},
    macros::btf_map,
};
use sockwatch_ebpf::{Call, Config, Counters, Head, Sock, Transition, call, runner};

use crate::{
    emit::cpu,
    memory::{Memory, Typed, clear, off},
};

/// `BPF_LOCAL_STORAGE_GET_F_CREATE`.
const CREATE: u64 = 1;
/// `BPF_F_NO_PREALLOC`, which local storage demands.
const NO_PREALLOC: usize = 1;
/// `BPF_F_MMAPABLE`.
const MMAPABLE: usize = 0x400;
/// `BPF_F_CLONE`: a socket cloned from a listener starts with a copy of the listener's storage.
const CLONE: usize = 0x200;

/// A local-storage map. aya-ebpf's own takes other contexts than ours and can't set `BPF_F_CLONE`.
#[repr(C)]
pub(crate) struct LocalStorage<T, const TYPE: usize, const FLAGS: usize> {
    r#type: *const [i32; TYPE],
    key: *const i32,
    value: *const T,
    max_entries: *const [i32; 0],
    map_flags: *const [i32; FLAGS],
}

// SAFETY: the pointers carry types for BTF only; nobody dereferences them.
unsafe impl<T, const TYPE: usize, const FLAGS: usize> Sync for LocalStorage<T, TYPE, FLAGS> {}

impl<T, const TYPE: usize, const FLAGS: usize> LocalStorage<T, TYPE, FLAGS> {
    const fn new() -> Self {
        Self {
            r#type: ptr::null(),
            key: ptr::null(),
            value: ptr::null(),
            max_entries: ptr::null(),
            map_flags: ptr::null(),
        }
    }

    fn as_ptr(&self) -> *mut c_void {
        ptr::from_ref(self).cast_mut().cast()
    }
}

/// What a socket's storage holds.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Identity {
    /// The socket's id.
    pub(crate) id: u64,
    /// Whose id it is: where this is not the socket's own address, the storage was cloned from its listener.
    pub(crate) addr: u64,
    /// The id of the listener it was cloned from.
    pub(crate) parent: u64,
    /// What was last seen of it, by the first or the second of two programs: see `twin`.
    pub(crate) seen: u64,
}

#[btf_map]
static IDENTITY: LocalStorage<Identity, { BPF_MAP_TYPE_SK_STORAGE as usize }, { NO_PREALLOC | CLONE }> =
    LocalStorage::new();

/// The traced system call that a thread is in. In task storage, so that it can't leak or overflow.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct InCall {
    /// When it was entered.
    pub(crate) called: u64,
    /// Address of the socket, 0 where the call is not on an internet socket.
    pub(crate) addr: u64,
    /// Address given to bind or connect, as in `Sock`.
    pub(crate) asked: [u64; 2],
    /// Port given, host order.
    pub(crate) asked_port: u16,
    /// Family given.
    pub(crate) asked_family: u16,
    /// `kind::BIND`, …; 0: in none.
    pub(crate) call: u16,
    /// Whether what this call did was told while it was under way: connect changed the state to SYN_SENT, accept gave its
    /// socket a descriptor.
    pub(crate) told: u16,
    /// The descriptor given.
    pub(crate) fd: i32,
    /// The backlog given.
    pub(crate) backlog: i32,
    /// The memory that the last exec which was seen gave the process, where exec may be seen by several programs.
    pub(crate) executed: u64,
}

#[btf_map]
static IN_CALL: LocalStorage<InCall, { BPF_MAP_TYPE_TASK_STORAGE as usize }, { NO_PREALLOC }> = LocalStorage::new();

/// A thread, not to be taken for a later one at its address.
#[repr(C)]
#[derive(Clone, Copy)]
struct Thread {
    addr: u64,
    start: u64,
}

/// The calls of threads that the kernel can't give a storage. It has no memory for one where the control group that sockwatch
/// runs in is at its limit (what it takes is charged there, and not waited for: `alloc_bulk` in kernel/bpf/memalloc.c), as it
/// may be for the recording alone that is written; and it makes none while another is being made on this processor
/// (`bpf_task_storage_trylock` in kernel/bpf/bpf_task_storage.c). This memory is had beforehand.
#[btf_map]
static SPARE: HashMap<Thread, InCall, 1024> = HashMap::new();

/// Everything that goes to user space. The loader sets its size.
#[btf_map]
pub(crate) static RING: RingBuf<u64, 4096> = RingBuf::new();

/// What the processors count. The loader sets its length, one more than the highest number of a processor.
#[btf_map]
static COUNTERS: Array<Counters, 1, MMAPABLE> = Array::new();

/// This processor's counters. Of each field there is one program at a time that writes it: see where it is written.
#[inline(always)]
pub(crate) fn counters() -> Option<*mut Counters> {
    COUNTERS.get_ptr_mut(cpu())
}

/// Room to build an [`Exec`](sockwatch_ebpf::Exec), which is too large for the stack: by runner.
#[btf_map]
pub(crate) static EXEC: PerCpuArray<sockwatch_ebpf::Exec, { runner::COUNT as usize }> = PerCpuArray::new();

/// A record that is kept: a [`Call`] or a [`Transition`], which begin alike and are of one size.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Kept {
    pub(crate) head: Head,
    pub(crate) sock: Sock,
    rest: [u64; 9],
}

const _: () = assert!(size_of::<Kept>() == size_of::<Call>() && size_of::<Kept>() == size_of::<Transition>());

/// Which note of which socket.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct NoteKey {
    /// Address of the `struct sock`.
    pub(crate) addr: u64,
    /// Which of its notes.
    pub(crate) nth: u64,
}

/// What is noted of a socket where one port is followed alone, see `filter`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Note {
    /// The inode, so that the note is not taken for one of another socket at this address.
    pub(crate) inode: u64,
    /// In the first note: the socket is followed, though it may not have the port now.
    pub(crate) followed: u32,
    /// In the first note: it did something that was not kept.
    pub(crate) omitted: u32,
    /// Of kind 0 where there is none.
    pub(crate) record: Kept,
}

/// The notes. The loader sets its size.
#[btf_map]
pub(crate) static NOTES: HashMap<NoteKey, Note, 1> = HashMap::new();

/// Room to build a [`Note`], which is too large for the stack: by runner, and for each system call one by runner.
#[btf_map]
pub(crate) static ROOM: PerCpuArray<Note, { runner::COUNT as usize * (1 + call::COUNT) }> = PerCpuArray::new();

/// What the loader says. Frozen like the offsets.
#[unsafe(no_mangle)]
pub(crate) static CONFIG: Config =
    Config { abi: 0, pid_namespace: 0, wake_bytes: 0, root: 0, port: 0, preemptible: 0, resilient: 0 };

/// The storage of a socket, if it has any.
#[inline(always)]
pub(crate) fn identity(sk: *const c_void) -> Option<&'static mut Identity> {
    // SAFETY: the helper returns null or the socket's value, which lives as long as the program runs.
    unsafe { bpf_sk_storage_get(IDENTITY.as_ptr(), sk.cast_mut(), ptr::null_mut(), 0).cast::<Identity>().as_mut() }
}

/// The storage of a socket, made with `first` if it has none; `None` if the kernel has no memory for it.
#[inline(always)]
pub(crate) fn identity_or(sk: *const c_void, first: &mut Identity) -> Option<&'static mut Identity> {
    // SAFETY: as above; the helper copies `first`.
    unsafe {
        bpf_sk_storage_get(IDENTITY.as_ptr(), sk.cast_mut(), ptr::from_mut(first).cast(), CREATE)
            .cast::<Identity>()
            .as_mut()
    }
}

/// The current thread's call, if it ever was in a traced one.
#[inline(always)]
pub(crate) fn in_call() -> Option<&'static mut InCall> {
    stored(0).or_else(spare)
}

/// The current thread's call, made if there is none; `None` if there is no room for it.
#[inline(always)]
pub(crate) fn in_call_or_new() -> Option<&'static mut InCall> {
    stored(CREATE).or_else(spare_or_new)
}

/// The current thread's call, if it is this one, which it is in no longer.
#[inline(always)]
pub(crate) fn leave(call: u16) -> Option<InCall> {
    let stored = stored(0);
    let is_spare = stored.is_none();
    let slot = stored.or_else(spare).filter(|slot| slot.call == call)?;
    slot.call = 0;
    let left = *slot;
    if is_spare {
        // There may be few, and many threads.
        let _ = SPARE.remove(&thread());
    }
    Some(left)
}

/// The current thread's call in its storage.
#[inline(always)]
fn stored(flags: u64) -> Option<&'static mut InCall> {
    // SAFETY: as above, for the current task; a null initial value means zeros.
    unsafe {
        bpf_task_storage_get(IN_CALL.as_ptr(), bpf_get_current_task_btf(), ptr::null_mut(), flags)
            .cast::<InCall>()
            .as_mut()
    }
}

#[inline(always)]
fn thread() -> Thread {
    // SAFETY: a helper without preconditions.
    let current = Typed(unsafe { bpf_get_current_task_btf() }.cast_const().cast());
    Thread { addr: current.0 as u64, start: current.read(off!(task_start)) }
}

/// The current thread's call, where it has no storage.
#[inline(always)]
fn spare() -> Option<&'static mut InCall> {
    // SAFETY: null, or a value, whose memory stays; nobody else removes it.
    unsafe { find_spare().as_mut() }
}

#[inline(never)]
fn find_spare() -> *mut InCall {
    SPARE.get_ptr_mut(&thread()).unwrap_or(ptr::null_mut())
}

#[inline(always)]
fn spare_or_new() -> Option<&'static mut InCall> {
    let mut room = MaybeUninit::<InCall>::uninit();
    // It may have one: a thread need not come back from its call.
    SPARE.insert(&thread(), &*clear(&mut room), 0).ok()?;
    spare()
}
