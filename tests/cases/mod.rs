//! What happens on the host, and what the user then sees.

mod before;
mod ending;
mod failing;
mod filters;
mod load;
mod places;
mod privileges;
mod readme;
mod running;
mod serving;
mod sharing;
mod usage;
