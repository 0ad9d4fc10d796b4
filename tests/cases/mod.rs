//! What happens on the host, and what the user then sees.

mod before;
mod conservation;
mod corners;
mod ending;
mod failing;
mod filters;
mod follow;
mod listing;
mod load;
mod places;
mod port_filter;
mod privileges;
mod probes;
mod readme;
mod recording;
mod refusal;
mod running;
mod serving;
mod sharing;
mod trampolines;
mod usage;
