//! Regions, locks, last-value cells and the log: share it in place.

mod atomic;
pub mod plain;
mod shared;

pub use self::plain::{Flag, Layout, Plain, Text};
pub use self::shared::Shared;
