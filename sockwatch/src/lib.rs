//! Shows the life of every socket on a Linux host, from bind to close.
//!
//! One street: [`kernel`] → [`event`] → [`source`] → [`lifecycle`] → [`output`]. See ARCHITECTURE.md.

pub mod cli;
pub mod clock;
mod digits;
pub mod event;
pub mod export;
pub mod follow;
pub mod identity;
pub mod kernel;
pub mod lane;
pub mod lifecycle;
pub mod output;
pub mod recording;
pub mod replay;
pub mod report;
pub mod select;
pub mod source;
pub mod untrusted;
