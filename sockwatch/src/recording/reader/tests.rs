//! Whatever bytes there are: what comes out was written, or is missing and said to be.

mod damage;
mod forged;
mod inputs;
mod mending;
mod rewinding;
mod sample;
mod seeking;
mod street;
