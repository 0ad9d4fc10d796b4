//! The command line: what was asked for, and one file for each command.

pub mod args;
pub mod doctor;
mod status;
pub mod trace;
mod values;
