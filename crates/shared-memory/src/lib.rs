//! Regions, locks, last-value cells and the log: share it in place.

// The derive macros name this crate by its outside name; so do the tests inside it.
#[cfg(test)]
extern crate self as wharf_shared_memory;

mod atomic;
#[cfg(not(loom))]
mod error;
mod latest;
pub mod log;
#[cfg(not(loom))]
mod participant;
pub mod plain;
#[cfg(not(loom))]
pub mod region;
mod shared;
pub mod sync;

#[cfg(not(loom))]
pub use self::error::RegionError;
#[cfg(not(loom))]
pub use self::latest::Latest;
pub use self::plain::{Flag, Layout, Plain, Text};
#[cfg(not(loom))]
pub use self::region::{BytesRegion, ReadOnlyRegion, Region, RegionInfo, RegionOptions};
pub use self::shared::Shared;
#[cfg(not(loom))]
pub use self::sync::{LockError, LockFailure, Mutex, MutexGuard, OwnerDiedGuard};
pub use wharf_derive::{Plain, Shared};

/// What code written by the derive macros names.
#[doc(hidden)]
pub mod __derive {
    pub use crate::plain::{Field, Layout, Plain};
    pub use crate::shared::Shared;
}

/// The traits together with the derive macros that write paths through the façade `wharf`.
#[doc(hidden)]
pub mod facade {
    pub use crate::plain::Plain;
    pub use crate::shared::Shared;
    pub use wharf_derive::{PlainThroughWharf as Plain, SharedThroughWharf as Shared};
}
