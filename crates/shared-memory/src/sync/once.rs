//! Work that exactly one process does, once, however many die trying.

#[cfg(not(loom))]
mod cell;
#[cfg(all(test, loom))]
mod model;
mod state;

#[cfg(not(loom))]
pub use self::cell::{Attempt, Once};
#[cfg(not(loom))]
pub(crate) use self::state::decode;
