//! Synchronisation between processes that survives the death of any of them.

#[cfg(not(loom))]
mod guard;
#[cfg(not(loom))]
mod lock_error;
#[cfg(not(loom))]
mod mutex;
#[cfg(not(loom))]
pub(crate) mod patience;
pub(crate) mod raw;
#[cfg(all(test, loom))]
mod raw_models;

#[cfg(not(loom))]
pub(crate) use self::guard::Guarded;
#[cfg(not(loom))]
pub use self::guard::{Holder, MutexGuard, OwnerDiedGuard};
#[cfg(not(loom))]
pub use self::lock_error::{LockError, LockFailure};
#[cfg(not(loom))]
pub use self::mutex::Mutex;
