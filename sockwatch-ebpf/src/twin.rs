//! More than one program at a place, so that one may run while another is interrupted.
//!
//! The kernel does not enter a tracing program on a processor where it is running already (`__bpf_trace_run` in
//! kernel/trace/bpf_trace.c): a packet that arrives while a process is in the program would go unseen. So each of the
//! busy tracepoints has a second program behind the first, of the same code. It acts only on events that the first was
//! skipped for. A process and a packet are all that can nest, as long as programs are not preempted. Newer kernels (7.2 does)
//! preempt them, and others run there meanwhile, for milliseconds, and are preempted in turn: changes of state and exec have as many as five
//! programs there.
//!
//! A later program knows the first's event by the socket and by what happens to it. The first notes both on its processor, on a stack,
//! from which the last takes it, with all that is above: what interrupts in between is done with when it goes on. (Above is what
//! came while the last had begun, and was skipped itself.) An event that is not there is one that the first was skipped for. Where
//! programs may be preempted, they do not nest, and the socket itself remembers what was last seen of it. Nobody else changes that
//! meanwhile: events of one socket do not nest, for whoever changes its state has it locked.

use core::ffi::c_void;

pub(crate) use sockwatch_ebpf::twin as tracepoint;
use sockwatch_ebpf::{Counters, TOLD, runner, twin::FURTHER};

use crate::{
    maps::{CONFIG, counters},
    memory::frozen,
};

/// How far down the stack an event is looked for: what is above it was skipped by the program that looks, within nanoseconds.
const DEPTH: usize = 16;

/// Whether an earlier program saw an event, as the socket remembers.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Seen {
    Yes,
    No,
    /// The socket can't tell. It was not seen where the earlier programs are all in the midst of something else.
    Unknown,
}

/// Whether the programs of tracepoints may be preempted.
#[inline(always)]
pub(crate) fn is_preemptible() -> bool {
    frozen(&CONFIG.preemptible) != 0
}

/// The first program's work, at this event of a socket. `what` is not 0.
#[inline(always)]
pub(crate) fn first(tracepoint: usize, sk: *const c_void, what: u64, work: impl FnOnce(u32)) -> i32 {
    let Some(counters) = counters() else { return 0 };
    // SAFETY: this processor's own; the first program writes `busy` alone. Volatile, so that what is between the writes stays between
    // them.
    unsafe {
        let busy = &raw mut (*counters).busy[0][tracepoint];
        busy.write_volatile(1);
        if tracepoint != tracepoint::EXEC || is_preemptible() {
            // Else it has no second.
            tell(counters, sk, what);
        }
        work(runner::FIRST);
        busy.write_volatile(0);
    }
    0
}

/// Notes an event for the programs behind this one.
///
/// # Safety
/// The pointer is to this processor's counters.
#[inline(always)]
unsafe fn tell(counters: *mut Counters, sk: *const c_void, what: u64) {
    // SAFETY: the caller's promise. The place is taken before it is written to: another first program that interrupts this has the same
    // place, and is done with it when this goes on, or has one above it. (Where it is preempted, what goes wrong is that a note is
    // overwritten.)
    unsafe {
        let tellings = &raw mut (*counters).tellings;
        let nth = tellings.read_volatile();
        tellings.write_volatile(nth.wrapping_add(1));
        let told = &raw mut (*counters).told[nth as usize % TOLD];
        // The verifier does no arithmetic with pointers: the two can't be one word.
        (&raw mut (*told).of).write_volatile(sk as u64);
        (&raw mut (*told).what).write_volatile(what);
    }
}

/// Whether an event is among so many of the last notes. The last program takes it from the stack.
///
/// # Safety
/// The pointer is to this processor's counters.
#[inline(always)]
unsafe fn was_told(counters: *mut Counters, sk: *const c_void, what: u64, depth: usize, is_last: bool) -> bool {
    // SAFETY: the caller's promise.
    unsafe {
        let tellings = &raw mut (*counters).tellings;
        let top = tellings.read_volatile();
        for down in 1..=depth as u64 {
            let place = top.wrapping_sub(down);
            let told = &raw const (*counters).told[place as usize % TOLD];
            if (&raw const (*told).what).read_volatile() == what && (&raw const (*told).of).read_volatile() == sk as u64
            {
                if is_last {
                    // An event that comes later and is alike is another one.
                    tellings.write_volatile(place);
                }
                return true;
            }
        }
    }
    false
}

/// The second program's work, where it is the last.
#[inline(always)]
pub(crate) fn second(
    tracepoint: usize,
    sk: *const c_void,
    what: u64,
    seen: impl FnOnce() -> Seen,
    work: impl FnOnce(u32),
) -> i32 {
    further(1, true, tracepoint, sk, what, seen, work)
}

/// The work of the program that so many are before, where there are more of them if they may be preempted.
#[inline(always)]
pub(crate) fn nth(
    before: usize,
    tracepoint: usize,
    sk: *const c_void,
    what: u64,
    seen: impl FnOnce() -> Seen,
    work: impl FnOnce(u32),
) -> i32 {
    let is_last = if is_preemptible() { before == FURTHER } else { before == 1 };
    further(before, is_last, tracepoint, sk, what, seen, work)
}

/// The work of the program that so many are before.
#[inline(always)]
fn further(
    before: usize,
    is_last: bool,
    tracepoint: usize,
    sk: *const c_void,
    what: u64,
    seen: impl FnOnce() -> Seen,
    work: impl FnOnce(u32),
) -> i32 {
    let Some(counters) = counters() else { return 0 };
    // SAFETY: this processor's own; each program writes its own fields alone, but for the stack, see above.
    unsafe {
        let is_busy = |nth: usize| (&raw const (*counters).busy[nth][tracepoint]).read_volatile() != 0;
        if is_preemptible() {
            if was_told(counters, sk, what, 1, is_last) {
                return 0;
            }
            match seen() {
                Seen::Yes => return 0,
                Seen::Unknown if !(0..before).all(is_busy) => return 0,
                Seen::Unknown | Seen::No => {}
            }
        } else if !is_busy(0) && was_told(counters, sk, what, DEPTH, is_last) {
            // While the first is in the midst of something it was skipped for this.
            return 0;
        }
        (*counters).taken[before - 1][tracepoint] += 1;
        let runner = runner::SECOND + before as u32 - 1;
        if before == FURTHER {
            work(runner);
        } else {
            let busy = &raw mut (*counters).busy[before][tracepoint];
            busy.write_volatile(1);
            work(runner);
            busy.write_volatile(0);
        }
    }
    0
}
