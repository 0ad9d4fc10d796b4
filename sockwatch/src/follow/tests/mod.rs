//! What is on the screen while things happen to sockets.

mod keys;
mod rows;
mod stage;
