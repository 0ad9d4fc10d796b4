//! One port, followed: on a terminal, and as lines; live, and in a recording.

mod choosing;
mod holders;
mod leaving;
mod lines;
mod recorded;
mod screen;
