//! Shows the life of every socket on a Linux host, from bind to close.
//!
//! One street: [`kernel`] → [`event`] → [`source`] → [`lifecycle`] → [`output`]. See ARCHITECTURE.md.

pub mod cli;
pub mod clock;
pub mod event;
pub mod identity;
pub mod kernel;
pub mod lifecycle;
pub mod output;
pub mod select;
pub mod source;
pub mod untrusted;
