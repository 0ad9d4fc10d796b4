//! The command line: what was asked for, and one file for each command.

pub mod args;
pub mod doctor;
pub mod export;
pub mod follow;
mod interrupt;
pub mod list;
mod live;
pub mod record;
mod recorded;
pub mod repair;
pub mod replay;
pub mod report;
mod status;
pub mod trace;
mod values;
pub mod verify;
mod window;
