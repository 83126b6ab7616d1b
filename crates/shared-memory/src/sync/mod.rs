//! Synchronisation between processes that survives the death of any of them.

mod barrier;
mod cells;
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
#[cfg(not(loom))]
pub(crate) mod patience;
pub(crate) mod raw;
#[cfg(all(test, loom))]
mod raw_models;
mod semaphore;
pub(crate) mod sleepers;
#[cfg(all(test, loom))]
mod sleepers_models;

#[cfg(not(loom))]
pub use self::barrier::{Barrier, BarrierError, Dead, Member};
#[cfg(not(loom))]
pub use self::event::{Auto, Counted, Event, Manual};
#[cfg(not(loom))]
pub(crate) use self::guard::{Guarded, caller};
#[cfg(not(loom))]
pub use self::guard::{MutexGuard, OwnerDiedGuard};
pub use self::kind::{Mode, ObjectKind};
#[cfg(not(loom))]
pub use self::lock_error::{LockError, LockFailure};
#[cfg(not(loom))]
pub use self::look::{Holder, Look, Seen, Waiter};
#[cfg(not(loom))]
pub use self::mutex::Mutex;
#[cfg(not(loom))]
pub use self::once::{Attempt, Once};
#[cfg(not(loom))]
pub use self::semaphore::{Permit, Semaphore};
