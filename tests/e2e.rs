//! `sockwatch` against the real kernel: real programs use sockets, and what a user then reads is compared with what they
//! did.
//!
//! A test that this machine cannot run (no root, no BPF) says SKIPPED and passes; with `SOCKWATCH_REQUIRE_BPF=1` it
//! fails. Tests of the command line alone run everywhere.

mod cases;
mod support;
