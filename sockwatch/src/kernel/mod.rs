//! The only room that knows aya: what this kernel offers, the programs, the ring.

pub mod btf;
mod facts;
mod load;
#[cfg(feature = "kernel-log")]
mod log;
pub mod offsets;
mod probes;
mod ring;
mod snapshot;
pub mod tracefs;

pub use facts::{CAPABILITIES, Capability, Facts};
pub use load::{AttachError, LoadError, Loaded, Missing, Options, load};
pub use probes::{CallProgram, Hook, PROBES, Probe};
pub use ring::{Losses, Ring};
pub use snapshot::{Found, Iterators};
