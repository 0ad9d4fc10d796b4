//! Sending records to user space, and counting those that can't be sent.

use core::ffi::c_void;

use aya_ebpf::{
    bindings::{BPF_RB_AVAIL_DATA, BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP},
    helpers::generated::{
        bpf_get_smp_processor_id, bpf_ktime_get_boot_ns, bpf_loop, bpf_ringbuf_discard, bpf_ringbuf_output,
        bpf_ringbuf_query, bpf_ringbuf_reserve, bpf_ringbuf_submit,
    },
};
use sockwatch_ebpf::{Head, kind, loss, runner};

use crate::{
    maps::{CONFIG, RING, counters},
    memory::frozen,
};

/// As many bytes as hundreds of records take.
const LARGE: u64 = 64 << 10;

/// Nanoseconds, after which the ring's lock is waited for no longer.
const PATIENCE: u64 = 250_000_000;

/// And the most often that it is asked for.
const TRIES: u32 = 64;

/// Nanoseconds of `CLOCK_BOOTTIME`.
#[inline(always)]
pub(crate) fn now() -> u64 {
    // SAFETY: the helper has no preconditions.
    unsafe { bpf_ktime_get_boot_ns() }
}

/// The processor this runs on.
#[inline(always)]
pub(crate) fn cpu() -> u32 {
    // SAFETY: the helper has no preconditions.
    unsafe { bpf_get_smp_processor_id() }
}

/// The head of a record of what happened then.
#[inline(always)]
pub(crate) fn head(kind: u16, flags: u32, time: u64) -> Head {
    Head { kind, cpu: cpu() as u16, flags, time }
}

/// Counts a record of this kind as lost.
#[inline(always)]
fn lose(why: u32, runner: u32, kind: u16) {
    // SAFETY: this processor's own. Each is counted by one program (accept's by two that never nest), and a program that is
    // running on a processor is not entered there again, so no addition is torn by another.
    let lost = counters().map(|counters| unsafe { (*counters).lost.as_flattened_mut().as_flattened_mut() });
    // One place, and so one check: older verifiers forget what they learnt of several numbers before they are added.
    let place =
        (u64::from(why) * u64::from(runner::COUNT) + u64::from(runner)) * u64::from(kind::COUNT) + u64::from(kind);
    if let Some(count) = lost.and_then(|lost| lost.get_mut(place as usize)) {
        *count += 1;
    }
}

/// A record of this kind is lost, for there is no memory for what is noted of whatever it is about.
#[inline(always)]
pub(crate) fn lose_for_memory(runner: u32, kind: u16) {
    lose(loss::MEMORY, runner, kind);
}

/// A record of this kind is lost, for the ring took it not.
#[inline(always)]
fn lose_at_ring(runner: u32, kind: u16) {
    lose(if is_full() { loss::FULL } else { loss::REFUSED }, runner, kind);
}

fn ring() -> *mut c_void {
    core::ptr::from_ref(&RING).cast_mut().cast()
}

/// Reserves a record, lets `fill` write every byte of it, and sends it; `fill` is told the time. Where the ring is full, counts it
/// as lost.
///
/// # Safety
/// `fill` must write every field of `T`.
#[inline(always)]
pub(crate) unsafe fn send<T>(runner: u32, kind: u16, fill: impl FnOnce(&mut T, u64)) {
    // SAFETY: the caller's promise.
    unsafe {
        send_if(runner, kind, |fields, time| {
            fill(fields, time);
            true
        });
    }
}

/// As above, but sends it only if `fill` says so.
///
/// # Safety
/// `fill` must write every field of `T`.
#[inline(always)]
pub(crate) unsafe fn send_if<T>(runner: u32, kind: u16, fill: impl FnOnce(&mut T, u64) -> bool) {
    // What happens is earlier than its place in the ring: to get one keeps interrupts off for a moment, and what waited for that,
    // another thread perhaps, comes at its end.
    let time = now();
    // SAFETY: the helpers are used as their contract asks: what is reserved is submitted or discarded once, on every path.
    unsafe {
        let mut record = bpf_ringbuf_reserve(ring(), size_of::<T>() as u64, 0).cast::<T>();
        if record.is_null() && frozen(&CONFIG.resilient) != 0 {
            record = reserve_again(size_of::<T>() as u64).cast();
        }
        match record.as_mut() {
            None => lose_at_ring(runner, kind),
            Some(fields) => {
                if fill(fields, time) {
                    bpf_ringbuf_submit(record.cast(), wakeup_at(time));
                } else {
                    bpf_ringbuf_discard(record.cast(), u64::from(BPF_RB_NO_WAKEUP));
                }
            }
        }
    }
}

/// Sends a copy of a record that is too large for the stack.
#[inline(always)]
pub(crate) fn send_copy<T>(runner: u32, kind: u16, record: &mut T) {
    let mut copy = || {
        // SAFETY: the helper copies the record.
        unsafe { bpf_ringbuf_output(ring(), core::ptr::from_mut(record).cast(), size_of::<T>() as u64, wakeup()) }
    };
    if copy() != 0 && (frozen(&CONFIG.resilient) == 0 || !wait_for_ring() || copy() != 0) {
        lose_at_ring(runner, kind);
    }
}

/// A place in the ring that was refused once.
#[inline(never)]
fn reserve_again(size: u64) -> *mut c_void {
    if !wait_for_ring() {
        return core::ptr::null_mut();
    }
    // SAFETY: the helper is used as its contract asks, and the caller submits or discards what it gives.
    unsafe { bpf_ringbuf_reserve(ring(), size, 0) }
}

/// Waits until the ring's lock can be had; false if the ring has no room. From Linux 6.15 on that lock gives up
/// (kernel/bpf/rqspinlock.c) where it could not be had for a quarter of a second, or where a wait of a millisecond is taken for a
/// deadlock, as kernels without 82f3b142c99c do in virtual machines, where the processor that holds it may not be running. No
/// program here waits for a lock that it holds itself.
#[inline(always)]
fn wait_for_ring() -> bool {
    if is_full() {
        return false;
    }
    let mut until = now() + PATIENCE;
    // SAFETY: the function is one that the helper may call with this context.
    unsafe { bpf_loop(TRIES, try_ring as *mut c_void, core::ptr::from_mut(&mut until).cast(), 0) };
    true
}

/// 1 if the ring's lock can be had, or is not to be waited for any longer.
#[inline(never)]
extern "C" fn try_ring(_nth: u32, until: *const u64) -> i64 {
    // SAFETY: the helpers are used as their contract asks; the pointer is to the context that was given to the loop.
    unsafe {
        let place = bpf_ringbuf_reserve(ring(), 8, 0);
        if !place.is_null() {
            bpf_ringbuf_discard(place, u64::from(BPF_RB_NO_WAKEUP));
            return 1;
        }
        i64::from(now() > *until)
    }
}

/// In a large ring it is enough to ask now and then whether to wake the reader: for one record in eight, as the clock has it.
#[inline(always)]
fn wakeup_at(time: u64) -> u64 {
    if frozen(&CONFIG.wake_bytes) >= LARGE && time & 0x700 != 0 { u64::from(BPF_RB_NO_WAKEUP) } else { wakeup() }
}

/// Waking the reader costs more than the record. It looks by itself many times a second; wake it only when the ring
/// fills faster than that.
#[inline(always)]
fn wakeup() -> u64 {
    u64::from(if waiting() >= frozen(&CONFIG.wake_bytes) { BPF_RB_FORCE_WAKEUP } else { BPF_RB_NO_WAKEUP })
}

/// Whether the ring has no room, as far as one record is concerned that was just refused: one that is half empty has some.
#[inline(always)]
fn is_full() -> bool {
    waiting() >= 2 * frozen(&CONFIG.wake_bytes)
}

/// How many bytes of the ring are taken.
#[inline(always)]
fn waiting() -> u64 {
    // SAFETY: the query has no preconditions.
    unsafe { bpf_ringbuf_query(ring(), u64::from(BPF_RB_AVAIL_DATA)) }
}
