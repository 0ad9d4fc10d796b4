//! Two programs on one tracepoint, so that one may interrupt the other.
//!
//! The kernel does not enter a tracing program on a processor where it is running already (`__bpf_trace_run` in
//! kernel/trace/bpf_trace.c): a packet that arrives while a process is in the program would go unseen. So each of the
//! busy tracepoints has a second program behind the first, of the same code. It acts only on events that the first was
//! skipped for. A process and a packet are all that can nest.
//!
//! The second knows the first's event by the socket and by what happens to it: what the first noted last on this processor says
//! almost always that it was there. Where that is another, a packet was handled between the two, or the first was skipped;
//! then the socket itself remembers what the first saw last. Nobody else changes that meanwhile: events of one socket do not
//! nest, for whoever changes its state has it locked.

use core::ffi::c_void;

use sockwatch_ebpf::runner;
pub(crate) use sockwatch_ebpf::twin as tracepoint;

use crate::maps::counters;

/// Whether the first program saw an event, as the socket remembers.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Seen {
    Yes,
    No,
    /// The socket can't tell. It was not seen where the first program is in the midst of something else.
    Unknown,
}

/// The first program's work, at this event of a socket. `what` is not 0.
#[inline(always)]
pub(crate) fn first(tracepoint: usize, sk: *const c_void, what: u64, work: impl FnOnce(u32)) -> i32 {
    let Some(counters) = counters() else { return 0 };
    // SAFETY: this processor's own; the first program writes `busy` alone, and the second clears `told` only of an event that
    // the first is done with. Volatile, so that what is between the writes stays between them.
    unsafe {
        let busy = &raw mut (*counters).busy[tracepoint];
        busy.write_volatile(1);
        // The verifier does no arithmetic with pointers: the two can't be one word.
        (&raw mut (*counters).told_of[tracepoint]).write_volatile(sk as u64);
        (&raw mut (*counters).told[tracepoint]).write_volatile(what);
        work(runner::FIRST);
        busy.write_volatile(0);
    }
    0
}

/// The second program's work.
#[inline(always)]
pub(crate) fn second(
    tracepoint: usize,
    sk: *const c_void,
    what: u64,
    seen: impl FnOnce() -> Seen,
    work: impl FnOnce(u32),
) -> i32 {
    let Some(counters) = counters() else { return 0 };
    // SAFETY: this processor's own; the second program writes `taken` alone.
    unsafe {
        let told = &raw mut (*counters).told[tracepoint];
        if told.read_volatile() == what && (&raw const (*counters).told_of[tracepoint]).read_volatile() == sk as u64 {
            // An event that comes later and is alike is another one.
            told.write_volatile(0);
            return 0;
        }
        match seen() {
            Seen::Yes => return 0,
            Seen::Unknown if (&raw const (*counters).busy[tracepoint]).read_volatile() == 0 => return 0,
            Seen::Unknown | Seen::No => {}
        }
        (*counters).taken[tracepoint] += 1;
    }
    work(runner::SECOND);
    0
}
