//! Regions, locks, last-value cells, sealed buffers and the log: share it in place.
//!
//! # Which types
//!
//! Two traits say what may lie in shared memory, each with a derive macro for structs with `#[repr(C)]`:
//!
//! * [`Plain`]: values that are nothing but bytes, and valid whatever those bytes are. Numbers of fixed width, arrays,
//!   [`Flag`] instead of `bool`, [`Text`] instead of `String`, structs of these without padding. Typed messages carry
//!   them, and primitives guard them.
//! * [`Shared`]: what may be the root of a region. Other processes write a region at any moment, so each plain value in
//!   it stands behind a primitive: [`Mutex`], for what must be changed by one process at a time, [`RwLock`], for what is
//!   mostly read, or [`Latest`], for what is replaced as a whole and read often. Structs and arrays of primitives are
//!   `Shared` too.
//!
//! ```
//! use wharf_shared_memory::{Flag, Latest, Mutex, Plain, Shared, Text};
//!
//! #[derive(Clone, Copy, Plain)]
//! #[repr(C)]
//! struct Job {
//!     id: u64,
//!     name: Text<31>,
//!     urgent: Flag,
//! }
//!
//! #[derive(Shared)]
//! #[repr(C)]
//! struct Workshop {
//!     jobs: Mutex<[Job; 16]>,
//!     temperature: Latest<f32>,
//! }
//!
//! println!("{:#}", Workshop::LAYOUT);
//! ```
//!
//! What does not fit is a compile error at its field that says what to use instead. Two programs that declare a type
//! differently do not misread each other: a hash over all names, types and offsets ([`Layout`]) is compared when a
//! program attaches to a region or connects a typed link.

// The derive macros name this crate by its outside name; so do the tests inside it.
#[cfg(test)]
extern crate self as wharf_shared_memory;

mod atomic;
pub mod biased;
#[cfg(not(loom))]
pub mod board;
#[cfg(not(loom))]
mod error;
pub mod journaled;
mod latest;
pub mod log;
mod participant;
pub mod plain;
#[cfg(not(loom))]
pub mod region;
#[cfg(not(loom))]
mod sealed;
mod shared;
pub mod sync;

#[cfg(not(loom))]
pub use self::error::{RegionError, SealedError};
#[cfg(not(loom))]
pub use self::journaled::Journaled;
#[cfg(not(loom))]
pub use self::latest::{Latest, Watch};
pub use self::plain::{Flag, Layout, Plain, Text};
#[cfg(not(loom))]
pub use self::region::{BytesRegion, ReadOnlyRegion, Region, RegionInfo, RegionOptions};
#[cfg(not(loom))]
pub use self::sealed::{SealedBuffer, SealedBufferBuilder};
pub use self::shared::Shared;
#[cfg(not(loom))]
pub use self::sync::{
    AcquireError, AfterRepair, Attempt, Auto, Barrier, BarrierError, Condvar, Counted, Dead, Event, Holder, LockError,
    LockFailure, Look, Manual, Member, Mode, Mutex, MutexGuard, ObjectKind, Once, OwnerDiedGuard, Permit,
    ReentrantError, ReentrantGuard, ReentrantMutex, ReentrantOwnerDied, RwLock, RwLockError, RwLockOwnerDied,
    RwLockReadGuard, RwLockUpgradableGuard, RwLockWriteGuard, Seen, Semaphore, UpgradeError, Waiter,
};
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
