//! More than one program at a place, so that one may run while another is interrupted.
//!
//! The kernel does not enter a tracing program on a processor where it is running already (`__bpf_trace_run` in
//! kernel/trace/bpf_trace.c): a packet that arrives while a process is in the program would go unseen. So each of the
//! busy tracepoints has a second program behind the first, of the same code. It acts only on events that the first was
//! skipped for. A process and a packet are all that can nest, as long as programs are not preempted. Newer kernels (7.2 does)
//! preempt them, and others run there meanwhile, for milliseconds, and are preempted in turn: changes of state and exec have as many as five
//! programs there.
//!
//! A later program knows the first's event by the socket and by what happens to it: what the first noted last on this processor
//! says almost always that it was there. Where that is another, something came between the two, or the first was skipped;
//! then the socket itself remembers what was last seen of it. Nobody else changes that meanwhile: events of one socket do not
//! nest, for whoever changes its state has it locked.
//!
//! Where one port is followed alone most sockets have nothing to remember it by. There another program comes before the first: it
//! announces each change of state, and the first takes that back. So the second finds it announced just where the first was
//! skipped. (What interrupts the announcement is not announced itself, and the first is there for it.)

use core::ffi::c_void;

pub(crate) use sockwatch_ebpf::twin as tracepoint;
use sockwatch_ebpf::{Counters, runner, twin::FURTHER};

use crate::{
    filter,
    maps::{CONFIG, counters},
    memory::frozen,
};

/// Whether an earlier program saw an event, as the socket remembers.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Seen {
    Yes,
    No,
    /// The socket can't tell. It was not seen where the earlier programs are all in the midst of something else, or where it was
    /// announced and is still to be seen.
    Unknown,
}

/// Whether changes of state are announced.
#[inline(always)]
fn announces(tracepoint: usize) -> bool {
    tracepoint == tracepoint::STATE && filter::is_on() && frozen(&CONFIG.preemptible) == 0
}

/// The work of the program before the first.
#[inline(always)]
pub(crate) fn announce(sk: *const c_void, what: u64) -> i32 {
    let Some(counters) = counters() else { return 0 };
    // SAFETY: this processor's own; of what interrupts this between the two only an announcement of the very same could be taken
    // back, and nothing of one socket nests.
    unsafe {
        (&raw mut (*counters).announced).write_volatile(0);
        (&raw mut (*counters).announced_of).write_volatile(sk as u64);
        (&raw mut (*counters).announced).write_volatile(what);
    }
    0
}

/// The first program's work, at this event of a socket. `what` is not 0.
#[inline(always)]
pub(crate) fn first(tracepoint: usize, sk: *const c_void, what: u64, work: impl FnOnce(u32)) -> i32 {
    let Some(counters) = counters() else { return 0 };
    // SAFETY: this processor's own; the first program writes `busy` alone, and the last clears `told` only of an event that
    // the first is done with. Volatile, so that what is between the writes stays between them.
    unsafe {
        let busy = &raw mut (*counters).busy[0][tracepoint];
        busy.write_volatile(1);
        if announces(tracepoint) && is_announced(counters, sk, what) {
            (&raw mut (*counters).announced).write_volatile(0);
        }
        // The verifier does no arithmetic with pointers: the two can't be one word.
        (&raw mut (*counters).told_of[tracepoint]).write_volatile(sk as u64);
        (&raw mut (*counters).told[tracepoint]).write_volatile(what);
        work(runner::FIRST);
        busy.write_volatile(0);
    }
    0
}

/// Whether this event is the one that was announced.
///
/// # Safety
/// The pointer is to this processor's counters.
#[inline(always)]
unsafe fn is_announced(counters: *const Counters, sk: *const c_void, what: u64) -> bool {
    // SAFETY: the caller's promise.
    unsafe {
        (&raw const (*counters).announced).read_volatile() == what
            && (&raw const (*counters).announced_of).read_volatile() == sk as u64
    }
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
    let is_last = if frozen(&CONFIG.preemptible) == 0 { before == 1 } else { before == FURTHER };
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
    // SAFETY: this processor's own; each program writes its own fields alone, but for `told`, see above.
    unsafe {
        let told = &raw mut (*counters).told[tracepoint];
        if told.read_volatile() == what && (&raw const (*counters).told_of[tracepoint]).read_volatile() == sk as u64 {
            if is_last {
                // An event that comes later and is alike is another one.
                told.write_volatile(0);
            }
            return 0;
        }
        let is_busy = |nth: usize| (&raw const (*counters).busy[nth][tracepoint]).read_volatile() != 0;
        match seen() {
            Seen::Yes => return 0,
            Seen::Unknown if announces(tracepoint) => {
                if !is_announced(counters, sk, what) {
                    return 0;
                }
                (&raw mut (*counters).announced).write_volatile(0);
            }
            Seen::Unknown if !(0..before).all(is_busy) => return 0,
            Seen::Unknown | Seen::No => {}
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
