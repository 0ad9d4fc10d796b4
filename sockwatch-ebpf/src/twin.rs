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

use crate::maps::{PAIRS, Pair};

/// The tracepoints with two programs.
#[derive(Clone, Copy)]
pub(crate) enum Tracepoint {
    State,
    Destroy,
    ResetSent,
    ResetReceived,
}

#[inline(always)]
fn pair(tracepoint: Tracepoint) -> Option<&'static mut Pair> {
    // SAFETY: this processor's own slot; the first program writes `busy` alone, the second `taken`.
    PAIRS.get_ptr_mut(tracepoint as u32).map(|pair| unsafe { &mut *pair })
}

/// The first program's work.
#[inline(always)]
pub(crate) fn first(tracepoint: Tracepoint, work: impl FnOnce(u32)) -> i32 {
    let Some(pair) = pair(tracepoint) else { return 0 };
    let busy = &raw mut pair.busy;
    // SAFETY: as above. Volatile, so that what is between the two stays between them.
    unsafe { busy.write_volatile(1) };
    work(runner::FIRST);
    // SAFETY: as above.
    unsafe { busy.write_volatile(0) };
    0
}

/// The second program's work.
#[inline(always)]
pub(crate) fn second(tracepoint: Tracepoint, work: impl FnOnce(u32)) -> i32 {
    let Some(pair) = pair(tracepoint) else { return 0 };
    if pair.busy != 0 {
        pair.taken += 1;
        work(runner::SECOND);
    }
    0
}
