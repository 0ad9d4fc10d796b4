//! The live view of one target: a model of what is known of it, the rows that are shown, and the screen they are drawn on.
//!
//! [`board`] and [`tree`] are pure: reports and lives in, rows out. [`screen`] puts into words what there is room for.
//! [`terminal`] is the only room that knows a terminal.

pub(crate) mod board;
mod cells;
pub(crate) mod course;
mod details;
pub(crate) mod keys;
mod prompt;
mod rate;
pub(crate) mod screen;
pub mod terminal;
#[cfg(test)]
mod tests;
pub(crate) mod theme;
pub(crate) mod tree;
pub(crate) mod words;
