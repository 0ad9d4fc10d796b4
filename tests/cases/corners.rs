//! What is rare on a host, and easily told wrong. Where sockwatch can't see something, docs/limits.md says so, and a test here
//! that nothing is made up.

mod closing;
mod listening;
mod mptcp;
mod opening;
mod passing;
mod unseen_calls;
mod vanishing;
