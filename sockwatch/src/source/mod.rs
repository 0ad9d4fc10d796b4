//! Where events come from.

mod doubt;
mod existing;
mod live;

pub use existing::{Picture, Pictured, Still, still};
pub use live::{Live, Survey};

use crate::event::{Event, Time};

/// What a source hands on, in order. A source that hands on the same steps again leads to the same lines.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// The kernel reported something.
    Event(Event),
    /// Every event up to `now` was given.
    Settled {
        /// A time.
        now: Time,
        /// How many records the kernel has sent since the run began, those among them that are no events too.
        events: u64,
    },
    /// The wall clock was set.
    Clock {
        /// From then on
        since: Time,
        /// it is ahead of the kernel's clock by so many nanoseconds.
        offset: i128,
    },
    /// The run is over.
    End,
}
