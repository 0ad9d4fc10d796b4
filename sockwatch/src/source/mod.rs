//! Where events come from.

mod live;

pub use live::{Live, Survey};
