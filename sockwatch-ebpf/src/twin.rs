//! More than one program at a place, so that one may run while another is interrupted.
//!
//! The kernel does not enter a tracing program on a processor where it is running already (`__bpf_trace_run` in
//! kernel/trace/bpf_trace.c): a packet that arrives while a process is in the program would go unseen. So each of the
//! busy tracepoints has a second program behind the first, of the same code. It acts only on events that the first was
//! skipped for. A process and a packet are all that can nest, as long as programs are not preempted. Newer kernels (7.2 does)
//! preempt them, and others run there meanwhile, for milliseconds, and are preempted in turn: changes of state and exec have as many as five
//! programs there.
//!
//! A later program knows the first's event by the socket and by what happens to it. The first notes both on its processor, and the
//! last strikes them out. What interrupts in between, and is done with when it goes on, leaves notes of its own: so the last ones are
//! searched, and an event that is not among them is one that the first was skipped for. Where programs may be preempted, more may
//! come in between than is kept, and the socket itself remembers what was last seen of it. Nobody else changes that meanwhile: events
//! of one socket do not nest, for whoever changes its state has it locked.

use core::ffi::c_void;

use aya_ebpf::helpers::generated::bpf_loop;
pub(crate) use sockwatch_ebpf::twin as tracepoint;
use sockwatch_ebpf::{Counters, TOLD, runner, twin::FURTHER};

use crate::{
    maps::{CONFIG, counters},
    memory::frozen,
};

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
        tell(counters, sk, what);
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
    // place, and is done with it when this goes on, or has one behind it. (Where it is preempted, what goes wrong is that a note is
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

/// A note, and what is looked for.
#[repr(C)]
struct Search {
    of: u64,
    what: u64,
    strike: u64,
    found: u64,
}

impl Search {
    /// Whether the note so many back is the one.
    ///
    /// # Safety
    /// The pointer is to this processor's counters.
    #[inline(always)]
    unsafe fn look(&mut self, counters: *mut Counters, back: usize) {
        // SAFETY: the caller's promise.
        unsafe {
            let tellings = (&raw const (*counters).tellings).read_volatile() as usize;
            let told = &raw mut (*counters).told[tellings.wrapping_sub(back) % TOLD];
            if (&raw const (*told).what).read_volatile() == self.what
                && (&raw const (*told).of).read_volatile() == self.of
            {
                if self.strike != 0 {
                    // An event that comes later and is alike is another one.
                    (&raw mut (*told).what).write_volatile(0);
                }
                self.found = 1;
            }
        }
    }
}

/// Looks at one of the earlier notes; 1 if no more need be looked at.
#[inline(never)]
extern "C" fn look_back(nth: u32, search: *mut Search) -> i64 {
    let Some(counters) = counters() else { return 1 };
    // SAFETY: the pointer is to the context that was given to the loop, and to this processor's counters.
    unsafe {
        // The last one was looked at.
        (*search).look(counters, nth as usize + 2);
        (*search).found as i64
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
    // SAFETY: this processor's own; each program writes its own fields alone, but for what it strikes out of its own event's note. The
    // function is one that the helper may call with this context.
    unsafe {
        let mut search = Search { of: sk as u64, what, strike: u64::from(is_last), found: 0 };
        search.look(counters, 1);
        if search.found != 0 {
            return 0;
        }
        if is_preemptible() {
            let is_busy = |nth: usize| (&raw const (*counters).busy[nth][tracepoint]).read_volatile() != 0;
            match seen() {
                Seen::Yes => return 0,
                Seen::Unknown if !(0..before).all(is_busy) => return 0,
                Seen::Unknown | Seen::No => {}
            }
        } else {
            bpf_loop(TOLD as u32 - 1, look_back as *mut c_void, (&raw mut search).cast(), 0);
            if search.found != 0 {
                return 0;
            }
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
