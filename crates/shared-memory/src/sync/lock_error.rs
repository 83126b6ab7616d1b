//! Why a lock was not simply taken.

use std::error::Error;
use std::fmt;

use super::guard::OwnerDiedGuard;

/// Why a mutex was not simply taken.
pub type LockError<'a, T> = AcquireError<OwnerDiedGuard<'a, T>>;

/// Why a lock was not simply taken; `G` is the guard of a lock whose holder died.
///
/// It borrows from the lock, because one case hands it over: [`OwnerDied`](AcquireError::OwnerDied). The operator `?`
/// turns it into a [`LockFailure`] or a `Box<dyn Error>`, which own nothing: a guard inside is dropped by that, and
/// the lock stays inconsistent for the next one.
#[non_exhaustive]
pub enum AcquireError<G> {
    /// The lock is yours, but a holder died or panicked while it held it: the data may be half-changed. Look at it
    /// through the guard, put it in order, and call its `repaired`.
    OwnerDied(G),
    /// A live process held the lock until the time was up.
    Timeout,
    /// Somebody holds the lock and is not proved dead.
    WouldBlock,
    /// This process attached to the region for reading only.
    ReadOnly,
    /// This process was forked from the one that attached, and has not attached itself.
    Forked,
    /// The lock does not lie in a region that this process has attached.
    NotInRegion,
}

/// [`AcquireError`] without what it borrows: fit to be passed up.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum LockFailure {
    /// A holder died or panicked, and nobody has repaired the data since.
    #[error(
        "a process died or panicked while it held this lock, so the data under it may be half-changed; match the error's \
         OwnerDied, put the data in order and call repaired()"
    )]
    OwnerDied,
    /// A live process held the lock until the time was up.
    #[error(
        "a live process held this lock until the time was up; try again, wait longer, or ask holder() which one it is"
    )]
    Timeout,
    /// Somebody holds the lock and is not proved dead.
    #[error("somebody holds this lock; try again later, or wait with lock() or lock_timeout()")]
    WouldBlock,
    /// What can be counted is at its limit: all permits of a semaphore are there, all places of a barrier are taken, an event
    /// was signalled 4,294,967,295 times.
    #[error("the limit that this object was made with is reached; take something away first, or make it larger")]
    Full,
    /// This process attached to the region for reading only.
    #[error("this process attached to the region for reading only; attach() it to take locks and write")]
    ReadOnly,
    /// This process was forked from the one that attached, and has not attached itself.
    #[error("this process was forked from the one that attached to the region; attach() it again in the child")]
    Forked,
    /// The lock does not lie in a region that this process has attached.
    #[error(
        "this lock is not inside a region; put it into a Region, because only there the system tells when its holder dies"
    )]
    NotInRegion,
}

impl<G> AcquireError<G> {
    /// What it says, without what it borrows. A guard inside is dropped when the error is.
    pub fn failure(&self) -> LockFailure {
        match self {
            AcquireError::OwnerDied(_) => LockFailure::OwnerDied,
            AcquireError::Timeout => LockFailure::Timeout,
            AcquireError::WouldBlock => LockFailure::WouldBlock,
            AcquireError::ReadOnly => LockFailure::ReadOnly,
            AcquireError::Forked => LockFailure::Forked,
            AcquireError::NotInRegion => LockFailure::NotInRegion,
        }
    }
}

/// A guard of a lock over data in order, made of the guard `D` that a lock hands over when its holder died.
///
/// [`MutexGuard`](super::MutexGuard) and [`ReentrantGuard`](super::ReentrantGuard) are, and of a lock for readers and writers all
/// three: whoever asked to read goes on as a reader.
pub trait AfterRepair<D> {
    /// Says that the data is in order, and goes on with the lock as it was asked for.
    fn after_repair(died: D) -> Self;
}

impl<D> AcquireError<D> {
    /// Takes the lock of a holder that died as if nothing had happened; every other error stays. For a value that is in order
    /// whatever its holder was about to do, such as a single number, or [`Journaled`](crate::Journaled). Without it, one death
    /// keeps everybody else out for ever.
    ///
    /// ```
    /// use wharf_shared_memory::{LockError, Mutex, Region};
    ///
    /// # let private = tempfile::tempdir()?;
    /// # let hits = Region::<Mutex<u64>>::create_file(private.path().join("hits"))?;
    /// # let _panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
    /// #     let _held = hits.lock();
    /// #     panic!("while it is held");
    /// # }));
    /// # assert!(matches!(hits.lock(), Err(LockError::OwnerDied(_))));
    /// *hits.lock().or_else(LockError::repaired)? += 1;
    /// # assert_eq!(*hits.lock()?, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// It is the same for every lock, and for every way of taking one: what was asked for is what one gets.
    ///
    /// ```
    /// use wharf_shared_memory::{Region, RwLock, RwLockError};
    ///
    /// # let private = tempfile::tempdir()?;
    /// # let limit = Region::<RwLock<u64>>::create_file(private.path().join("limit"))?;
    /// # let break_it = || std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
    /// #     let _held = limit.write();
    /// #     panic!("while it is held");
    /// # }));
    /// # let _panicked = break_it();
    /// *limit.write().or_else(RwLockError::repaired)? = 5;
    /// # let _panicked = break_it();
    /// let seen = *limit.read().or_else(RwLockError::repaired)?;
    /// # assert_eq!(seen, 5);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// Whoever asked to read an [`RwLock`](crate::RwLock) repairs it alone and goes on as a reader, as after
    /// [`downgrade`](crate::RwLockWriteGuard::downgrade): a thread that asks for `upgradable_read` before it drops that guard may
    /// wait for itself.
    ///
    /// # Errors
    /// The one that it is called on, unless that is [`OwnerDied`](Self::OwnerDied).
    pub fn repaired<G: AfterRepair<D>>(self) -> Result<G, Self> {
        match self {
            AcquireError::OwnerDied(died) => Ok(G::after_repair(died)),
            other => Err(other),
        }
    }
}

impl<G> From<LockFailure> for AcquireError<G> {
    /// For the failures that hand over nothing; [`LockFailure::OwnerDied`] without its guard reads as "somebody
    /// holds it", and so does [`LockFailure::Full`], which no lock returns.
    fn from(failure: LockFailure) -> Self {
        match failure {
            LockFailure::OwnerDied | LockFailure::WouldBlock | LockFailure::Full => AcquireError::WouldBlock,
            LockFailure::Timeout => AcquireError::Timeout,
            LockFailure::ReadOnly => AcquireError::ReadOnly,
            LockFailure::Forked => AcquireError::Forked,
            LockFailure::NotInRegion => AcquireError::NotInRegion,
        }
    }
}

impl<G> From<AcquireError<G>> for LockFailure {
    fn from(error: AcquireError<G>) -> LockFailure {
        error.failure()
    }
}

// `AcquireError` is no `Error` itself, because it borrows; so these two can exist, and `lock()?` works in a `main`.
impl<G> From<AcquireError<G>> for Box<dyn Error> {
    fn from(error: AcquireError<G>) -> Box<dyn Error> {
        Box::new(error.failure())
    }
}

impl<G> From<AcquireError<G>> for Box<dyn Error + Send + Sync> {
    fn from(error: AcquireError<G>) -> Box<dyn Error + Send + Sync> {
        Box::new(error.failure())
    }
}

impl<G> fmt::Display for AcquireError<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.failure().fmt(f)
    }
}

impl<G> fmt::Debug for AcquireError<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AcquireError::{:?}", self.failure())
    }
}
