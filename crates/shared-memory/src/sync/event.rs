//! Something that happened: told to all who wait for it, or to one of them each time.

#[cfg(not(loom))]
mod cell;
mod latch;
#[cfg(all(test, loom))]
mod model;
mod tally;

#[cfg(not(loom))]
pub use self::cell::{Auto, Counted, Event, Manual};
