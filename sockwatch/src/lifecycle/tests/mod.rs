//! What the engine makes of what the kernel reports, told as stories of a host.

mod any_host;
mod bytes;
mod checkpoint;
mod connecting;
mod ending;
mod gap;
mod host;
mod hostile;
mod listening;
mod losing;
mod merging;
mod mptcp;
mod ordering;
mod pairing;
mod resting;
mod seen;
mod snapshot;
mod soup;
mod taken;
mod town;
