//! A lock word and the value under it: the one place where taking a lock turns into access.
#![allow(unsafe_code)]

use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::thread;
use std::time::Duration;

use wharf_sys::clock::Deadline;
use wharf_sys::fork;

use super::acquire;
use super::kind::{Mode, ObjectKind};
use super::lock_error::{AfterRepair, LockError, LockFailure};
use super::patience::{Wanted, wake_one};
use super::raw::{Condition, RawLock};

/// A lock word and the value that it guards.
pub(crate) struct Guarded<'a, T: ?Sized> {
    raw: &'a RawLock,
    value: NonNull<T>,
    kind: ObjectKind,
}

impl<T: ?Sized> Clone for Guarded<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: ?Sized> Copy for Guarded<'_, T> {}

impl<'a, T: ?Sized> Guarded<'a, T> {
    /// Joins a lock word, the value that it guards, and the kind of object that both are part of.
    ///
    /// # Safety
    ///
    /// `value` is valid for reads and writes for `'a`, holds a valid `T` whatever bytes are there, and nobody touches
    /// it without holding `raw`, in any process.
    #[inline(always)]
    pub(crate) unsafe fn new(raw: &'a RawLock, value: NonNull<T>, kind: ObjectKind) -> Guarded<'a, T> {
        Guarded { raw, value, kind }
    }

    #[inline(always)]
    pub(crate) fn lock(self) -> Result<MutexGuard<'a, T>, LockError<'a, T>> {
        match acquire::take_free(self.raw) {
            Some(_) => Ok(self.guard()),
            None => self.taken(acquire::take(self.raw, self.wanted(), None)),
        }
    }

    #[inline(always)]
    pub(crate) fn lock_timeout(self, patience: Duration) -> Result<MutexGuard<'a, T>, LockError<'a, T>> {
        match acquire::take_free(self.raw) {
            Some(_) => Ok(self.guard()),
            None => self.taken(acquire::take(self.raw, self.wanted(), Some(Deadline::after(patience)))),
        }
    }

    #[inline(always)]
    pub(crate) fn try_lock(self) -> Result<MutexGuard<'a, T>, LockError<'a, T>> {
        match acquire::take_free(self.raw) {
            Some(_) => Ok(self.guard()),
            None => self.taken(acquire::try_take(self.raw, self.wanted())),
        }
    }

    pub(crate) fn is_inconsistent(self) -> bool {
        self.raw.is_inconsistent()
    }

    fn wanted(self) -> Wanted {
        Wanted::new(self.kind, Mode::Exclusive, self.raw).starting_before(self.kind.lock_at())
    }

    fn taken(self, taken: Result<Condition, LockFailure>) -> Result<MutexGuard<'a, T>, LockError<'a, T>> {
        match taken? {
            Condition::Consistent => Ok(self.guard()),
            Condition::Inconsistent => Err(LockError::OwnerDied(OwnerDiedGuard { held: self.held() })),
        }
    }

    #[inline(always)]
    fn guard(self) -> MutexGuard<'a, T> {
        MutexGuard { held: self.held(), panicking: thread::panicking() }
    }

    #[inline(always)]
    fn held(self) -> Held<'a, T> {
        Held { raw: self.raw, value: self.value, fork_epoch: fork::epoch(), kind: self.kind, access: PhantomData }
    }
}

/// The lock is held; how it is given back is decided by the guard around this.
struct Held<'a, T: ?Sized> {
    raw: &'a RawLock,
    value: NonNull<T>,
    fork_epoch: u32,
    kind: ObjectKind,
    access: PhantomData<&'a mut T>,
}

// SAFETY: the lock belongs to the process, not to the thread that took it, so another thread may use the value and
// give the lock back if it may have a `&mut T`.
unsafe impl<T: ?Sized + Send> Send for Held<'_, T> {}

// SAFETY: through a shared guard only `&T` can be had.
unsafe impl<T: ?Sized + Sync> Sync for Held<'_, T> {}

impl<T: ?Sized> Held<'_, T> {
    #[inline(always)]
    fn give_back(&self, condition: Condition) {
        // A forked child has a copy of the guard, but its parent holds the lock.
        if self.fork_epoch == fork::epoch() {
            self.raw.give_back(condition, wake_one);
        }
    }

    #[inline(always)]
    fn value(&self) -> &T {
        // SAFETY: `Guarded::new` promised a valid value that nobody touches without the lock, which we hold.
        unsafe { self.value.as_ref() }
    }

    #[inline(always)]
    fn value_mut(&mut self) -> &mut T {
        // SAFETY: as in `value`, and `&mut self` makes this the only access through the guard.
        unsafe { self.value.as_mut() }
    }
}

/// The lock is held, and the value is yours, until this is dropped.
///
/// # When the holder dies
///
/// Killed with the guard alive: the next one that locks proves the death and gets [`LockError::OwnerDied`], after
/// waiting 50 ms at most. Dropped by a panic: likewise, at once. Forgotten ([`std::mem::forget`]) or lost with its
/// thread: the lock stays taken until the process ends or detaches.
///
/// # In a forked child
///
/// The child's copy of the guard is not the lock: dropping it does nothing. Do not use the value through it.
#[must_use = "the lock is given back as soon as the guard is dropped"]
pub struct MutexGuard<'a, T: ?Sized> {
    held: Held<'a, T>,
    /// Whether the thread was unwinding already when it took the lock: then a panic says nothing about the value.
    panicking: bool,
}

impl<'a, T: ?Sized> MutexGuard<'a, T> {
    /// Gives the lock back and says what it takes to lock it again.
    pub(crate) fn give_back(self) -> Guarded<'a, T> {
        Guarded { raw: self.held.raw, value: self.held.value, kind: self.held.kind }
    }
}

impl<T: ?Sized> Drop for MutexGuard<'_, T> {
    #[inline(always)]
    fn drop(&mut self) {
        let broken = thread::panicking() && !self.panicking;
        self.held.give_back(if broken { Condition::Inconsistent } else { Condition::Consistent });
    }
}

impl<T: ?Sized> Deref for MutexGuard<'_, T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        self.held.value()
    }
}

impl<T: ?Sized> DerefMut for MutexGuard<'_, T> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut T {
        self.held.value_mut()
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

/// The lock is held, but a holder before died or panicked in the middle of a change.
///
/// Look at the value, put it in order, and call [`repaired`](OwnerDiedGuard::repaired). Dropped without that, the
/// lock stays inconsistent: the next one that takes it gets such a guard again.
#[must_use = "dropped unrepaired, the lock stays inconsistent for the next one"]
pub struct OwnerDiedGuard<'a, T: ?Sized> {
    held: Held<'a, T>,
}

impl<'a, T: ?Sized> OwnerDiedGuard<'a, T> {
    /// Says that the value is in order. The lock stays held.
    pub fn repaired(self) -> MutexGuard<'a, T> {
        let Held { raw, value, fork_epoch, kind, access } = self.held;
        // The lock moves into the new guard.
        std::mem::forget(self);
        if fork_epoch == fork::epoch() {
            raw.mark_consistent();
        }
        let held = Held { raw, value, fork_epoch, kind, access };
        MutexGuard { held, panicking: thread::panicking() }
    }
}

impl<'a, T: ?Sized> AfterRepair<OwnerDiedGuard<'a, T>> for MutexGuard<'a, T> {
    fn after_repair(died: OwnerDiedGuard<'a, T>) -> Self {
        died.repaired()
    }
}

impl<T: ?Sized> Drop for OwnerDiedGuard<'_, T> {
    fn drop(&mut self) {
        self.held.give_back(Condition::Inconsistent);
    }
}

impl<T: ?Sized> Deref for OwnerDiedGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.held.value()
    }
}

impl<T: ?Sized> DerefMut for OwnerDiedGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.held.value_mut()
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for OwnerDiedGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OwnerDiedGuard").field(&&**self).finish()
    }
}
