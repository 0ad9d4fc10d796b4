//! Two programs on one tracepoint, so that one may interrupt the other.
//!
//! The kernel does not enter a tracing program on a processor where it is running already (`__bpf_trace_run` in
//! kernel/trace/bpf_trace.c): a packet that arrives while a process is in the program would go unseen. So each of the
//! busy tracepoints has a second program behind the first, of the same code. It acts only where the first was skipped,
//! which it knows by the first being in the midst of something. A process and a packet are all that can nest.
//!
//! What remains are the few instructions before the first says that it is busy, and after it says that it is not. What
//! falls in there is lost, and counted: as skipped by the first and not taken by the second.

use sockwatch_ebpf::runner;
pub(crate) use sockwatch_ebpf::twin as tracepoint;

use crate::maps::counters;

/// The first program's work.
#[inline(always)]
pub(crate) fn first(tracepoint: usize, work: impl FnOnce(u32)) -> i32 {
    let Some(counters) = counters() else { return 0 };
    // SAFETY: this processor's own; the first program writes `busy` alone. Volatile, so that what is between the two writes
    // stays between them.
    unsafe {
        let busy = &raw mut (*counters).busy[tracepoint];
        busy.write_volatile(1);
        work(runner::FIRST);
        busy.write_volatile(0);
    }
    0
}

/// The second program's work.
#[inline(always)]
pub(crate) fn second(tracepoint: usize, work: impl FnOnce(u32)) -> i32 {
    let Some(counters) = counters() else { return 0 };
    // SAFETY: this processor's own; the second program writes `taken` alone.
    unsafe {
        if (*counters).busy[tracepoint] == 0 {
            return 0;
        }
        (*counters).taken[tracepoint] += 1;
    }
    work(runner::SECOND);
    0
}
