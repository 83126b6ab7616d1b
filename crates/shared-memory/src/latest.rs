//! The last-value cell: readers always get the last whole value, and never delay a writer.

#[cfg(not(loom))]
mod cell;
#[cfg(all(test, loom))]
mod model;
mod sequence;
#[cfg(not(loom))]
mod watch;
#[cfg(not(loom))]
mod words;

#[cfg(not(loom))]
pub use self::cell::Latest;
#[cfg(not(loom))]
pub use self::watch::Watch;
