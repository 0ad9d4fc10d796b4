//! A recording tells what the trace told, and what is wrong with it; whatever happens to the recorder, the disk or the
//! file.

mod bad_input;
mod converted;
mod files;
mod full_disk;
mod golden;
mod killed;
mod no_memory;
mod part;
mod same;
mod segments;
mod strangers;
mod streams;
