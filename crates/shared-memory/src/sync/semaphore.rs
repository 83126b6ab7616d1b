//! A number of permits, each owned by the process that holds it, so that a death returns it.

#[cfg(not(loom))]
mod cell;
#[cfg(all(test, loom))]
mod model;
#[cfg(not(loom))]
mod permit;
mod permits;

#[cfg(not(loom))]
pub use self::cell::Semaphore;
#[cfg(not(loom))]
pub use self::permit::Permit;
