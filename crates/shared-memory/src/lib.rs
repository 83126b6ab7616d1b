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
//!
//! # Which primitive
//!
//! Each of them survives the death of any process that uses it, and can say who holds it and who waits for it (`look`):
//!
//! | you have | take |
//! |---|---|
//! | a value of which only the newest counts: a position, a price, a setting | [`Latest`] |
//! | a value that several change | [`Mutex`] |
//! | the same, in functions that lock and call each other | [`ReentrantMutex`] |
//! | a large value that many read and few change | [`RwLock`] |
//! | a value that must never be seen half changed, whoever dies | [`Journaled`] under a `Mutex` |
//! | a change of what a `Mutex` guards, to wait for | [`Condvar`] |
//! | something that happens, to wait for: by all, or by one each time | [`Event`] |
//! | so many of something, which come back when their holder dies | [`Semaphore`] |
//! | steps that several take together | [`Barrier`] |
//! | work that one does for all | [`Once`] |
//! | bytes without a type | [`BytesRegion`] |
//!
//! What to do when a lock says that its holder died: `docs/crash-safe.md` in the repository.

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
