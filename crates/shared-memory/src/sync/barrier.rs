//! A place where a fixed number of processes wait for each other, and learn when one of them will never come.

#[cfg(not(loom))]
mod cell;
#[cfg(not(loom))]
mod error;
#[cfg(not(loom))]
mod member;
#[cfg(all(test, loom))]
mod model;
mod rounds;

#[cfg(not(loom))]
pub use self::cell::Barrier;
#[cfg(not(loom))]
pub use self::error::{BarrierError, Dead};
#[cfg(not(loom))]
pub use self::member::Member;
#[cfg(not(loom))]
pub(crate) use self::rounds::broken_by;
