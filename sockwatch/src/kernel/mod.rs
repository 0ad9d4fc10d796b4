//! The only room that knows aya: what this kernel offers, the programs, the ring.

mod attach;
pub mod btf;
mod counters;
mod facts;
mod load;
#[cfg(feature = "kernel-log")]
mod log;
mod losses;
mod namespaces;
pub mod offsets;
mod probes;
mod ring;
mod snapshot;
pub mod tracefs;

pub use attach::AttachError;
pub use facts::{CAPABILITIES, Capability, Facts};
pub use load::{LoadError, Loaded, Missing, Options, load, load_iterators};
pub use losses::{Causes, Losses};
pub use probes::{Attached, Call, CallProgram, Calls, Hook, PROBES, Probe, STILL, Trampoline};
pub use ring::Ring;
pub use snapshot::{Found, Iterators};
