//! Synchronisation between processes that survives the death of any of them.

#[cfg(not(loom))]
pub(crate) mod acquire;
mod barrier;
#[cfg(not(loom))]
mod caller;
#[cfg(not(loom))]
mod condvar;
mod event;
#[cfg(not(loom))]
mod guard;
mod kind;
#[cfg(not(loom))]
mod lock_error;
#[cfg(not(loom))]
pub(crate) mod look;
#[cfg(all(test, loom))]
pub(crate) mod model_kernel;
#[cfg(not(loom))]
mod mutex;
mod once;
pub(crate) mod owner;
#[cfg(not(loom))]
pub(crate) mod patience;
pub(crate) mod raw;
pub(crate) mod raw_condvar;
#[cfg(all(test, loom))]
mod raw_condvar_models;
#[cfg(all(test, loom))]
mod raw_models;
mod raw_reentrant;
#[cfg(all(test, loom))]
mod raw_reentrant_models;
pub(crate) mod raw_rwlock;
#[cfg(all(test, loom))]
mod raw_rwlock_models;
#[cfg(not(loom))]
mod reentrant;
#[cfg(not(loom))]
mod rwlock;
#[cfg(not(loom))]
mod rwlock_guard;
mod semaphore;
pub(crate) mod sleepers;
#[cfg(all(test, loom))]
mod sleepers_models;
pub(crate) mod surroundings;

#[cfg(not(loom))]
pub(crate) use self::barrier::broken_by as barrier_broken_by;
#[cfg(not(loom))]
pub use self::barrier::{Barrier, BarrierError, Dead, Member};
#[cfg(not(loom))]
pub(crate) use self::caller::caller;
#[cfg(not(loom))]
pub use self::condvar::Condvar;
#[cfg(not(loom))]
pub use self::event::{Auto, Counted, Event, Manual};
#[cfg(not(loom))]
pub(crate) use self::guard::Guarded;
#[cfg(not(loom))]
pub use self::guard::{MutexGuard, OwnerDiedGuard};
pub use self::kind::{Mode, ObjectKind};
#[cfg(not(loom))]
pub use self::lock_error::{AcquireError, AfterRepair, LockError, LockFailure};
#[cfg(not(loom))]
pub use self::look::{Holder, Look, Seen, Waiter};
#[cfg(not(loom))]
pub use self::mutex::Mutex;
#[cfg(not(loom))]
pub use self::once::{Attempt, Once};
#[cfg(not(loom))]
pub use self::reentrant::{ReentrantError, ReentrantGuard, ReentrantMutex, ReentrantOwnerDied};
#[cfg(not(loom))]
pub use self::rwlock::{RwLock, RwLockError};
#[cfg(not(loom))]
pub use self::rwlock_guard::{RwLockOwnerDied, RwLockReadGuard, RwLockUpgradableGuard, RwLockWriteGuard, UpgradeError};
#[cfg(not(loom))]
pub use self::semaphore::{Permit, Semaphore};
