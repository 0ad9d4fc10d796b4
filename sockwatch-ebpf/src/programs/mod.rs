//! The programs, by phase of life.

mod accept;
mod bind;
mod call;
mod connect;
mod destroy;
mod exec;
mod listen;
mod signals;
mod snapshot;
mod state;
mod trampoline;
