//! What the engine makes of what the kernel reports, told as stories of a host.

mod any_host;
mod bytes;
mod connecting;
mod ending;
mod host;
mod listening;
mod losing;
mod mptcp;
mod ordering;
mod pairing;
mod seen;
mod snapshot;
mod soup;
mod town;
