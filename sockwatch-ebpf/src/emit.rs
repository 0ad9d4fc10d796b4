//! Sending records to user space, and counting those that can't be sent.

use aya_ebpf::{
    bindings::{BPF_RB_AVAIL_DATA, BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP},
    helpers::generated::{
        bpf_get_smp_processor_id, bpf_ktime_get_boot_ns, bpf_ringbuf_discard, bpf_ringbuf_query, bpf_ringbuf_reserve,
        bpf_ringbuf_submit,
    },
};
use sockwatch_ebpf::Head;

use crate::{
    maps::{CONFIG, RING, counters},
    memory::frozen,
};

/// As many bytes as hundreds of records take.
const LARGE: u64 = 64 << 10;

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
pub(crate) fn lose(runner: u32, kind: u16) {
    // SAFETY: this processor's own. Each is counted by one program (accept's by two that never nest), and a program that is
    // running on a processor is not entered there again, so no addition is torn by another.
    let lost = counters().map(|counters| unsafe { &mut (*counters).lost });
    if let Some(count) = lost.and_then(|lost| lost.get_mut(runner as usize)?.get_mut(kind as usize)) {
        *count += 1;
    }
}

fn ring() -> *mut core::ffi::c_void {
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
        let record = bpf_ringbuf_reserve(ring(), size_of::<T>() as u64, 0).cast::<T>();
        match record.as_mut() {
            None => lose(runner, kind),
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

/// In a large ring it is enough to ask now and then whether to wake the reader: for one record in eight, as the clock has it.
#[inline(always)]
fn wakeup_at(time: u64) -> u64 {
    if frozen(&CONFIG.wake_bytes) >= LARGE && time & 0x700 != 0 { u64::from(BPF_RB_NO_WAKEUP) } else { wakeup() }
}

/// Waking the reader costs more than the record. It looks by itself many times a second; wake it only when the ring
/// fills faster than that.
#[inline(always)]
pub(crate) fn wakeup() -> u64 {
    // SAFETY: the query has no preconditions.
    let waiting = unsafe { bpf_ringbuf_query(ring(), u64::from(BPF_RB_AVAIL_DATA)) };
    u64::from(if waiting >= frozen(&CONFIG.wake_bytes) { BPF_RB_FORCE_WAKEUP } else { BPF_RB_NO_WAKEUP })
}
