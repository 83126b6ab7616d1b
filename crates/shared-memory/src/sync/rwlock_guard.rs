//! What a thread has of a lock for readers and writers, and how it turns one kind of holding into another.
#![allow(unsafe_code)]

mod owner_died;

use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::thread;
use std::time::Duration;

use wharf_sys::clock::Deadline;
use wharf_sys::fork;

use super::kind::Mode;
use super::lock_error::LockFailure;
use super::owner::Owner;
use super::patience::{AT_ONCE, Patience, wake_all, wake_one};
use super::raw::Condition;
use super::raw_rwlock::Reads;
use super::rwlock::RwLock;
use super::surroundings::Surroundings;
use crate::Plain;

pub use self::owner_died::RwLockOwnerDied;

/// The lock is held in some way; how it is given back is decided by the guard around this.
pub(super) struct Held<'a, T: Plain, const N: usize> {
    lock: &'a RwLock<T, N>,
    value: NonNull<T>,
    fork_epoch: u32,
    access: PhantomData<&'a mut T>,
}

impl<T: Plain, const N: usize> Clone for Held<'_, T, N> {
    #[inline(always)]
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: Plain, const N: usize> Copy for Held<'_, T, N> {}

// SAFETY: the lock belongs to the process, not to the thread that took it, and a `Plain` value is `Send` and `Sync`.
unsafe impl<T: Plain, const N: usize> Send for Held<'_, T, N> {}

// SAFETY: through a shared guard only `&T` can be had.
unsafe impl<T: Plain, const N: usize> Sync for Held<'_, T, N> {}

impl<'a, T: Plain, const N: usize> Held<'a, T, N> {
    #[inline(always)]
    pub(super) fn new(lock: &'a RwLock<T, N>, value: NonNull<T>) -> Held<'a, T, N> {
        Held { lock, value, fork_epoch: fork::epoch(), access: PhantomData }
    }

    /// A forked child has a copy of the guard, but its parent holds the lock.
    #[inline(always)]
    fn is_ours(&self) -> bool {
        self.fork_epoch == fork::epoch()
    }

    #[inline(always)]
    fn value(&self) -> &T {
        // SAFETY: the value lives in the lock that `'a` borrows, is valid whatever bytes are there, and nobody writes it
        // while any guard is alive but the one that gives `&mut`.
        unsafe { self.value.as_ref() }
    }

    #[inline(always)]
    fn value_mut(&mut self) -> &mut T {
        // SAFETY: as in `value`; only guards that are alone call this, and `&mut self` makes it the only access.
        unsafe { self.value.as_mut() }
    }

    /// Who goes on as a reader, and what it takes to judge the others.
    fn reader(self) -> Result<(Owner, Patience<'a>), LockFailure> {
        if self.is_ours() { self.lock.patience(Mode::Read, None) } else { Err(LockFailure::Forked) }
    }

    /// Alone no more, but still the one who may upgrade.
    fn let_readers_in(&self) {
        let raw = self.lock.raw();
        let left = raw.end_alone(Condition::Consistent);
        wharf_sys::crash_point!("rwlock.downgrade.ended");
        raw.open(left, wake_all);
    }

    fn leave_alone(&self, condition: Condition) {
        if self.is_ours() {
            self.lock.raw().leave_alone(condition, wake_all, wake_one);
        }
    }
}

/// The lock is held for reading until this is dropped.
///
/// # When the holder dies
///
/// Its entry is struck out by the next writer that waits for it; the value was only read.
#[must_use = "the lock is given back as soon as the guard is dropped"]
pub struct RwLockReadGuard<'a, T: Plain, const READERS: usize = 61> {
    held: Held<'a, T, READERS>,
    reads: Reads,
}

impl<'a, T: Plain, const N: usize> RwLockReadGuard<'a, T, N> {
    #[inline(always)]
    pub(super) fn new(held: Held<'a, T, N>, reads: Reads) -> RwLockReadGuard<'a, T, N> {
        RwLockReadGuard { held, reads }
    }
}

impl<T: Plain, const N: usize> Drop for RwLockReadGuard<'_, T, N> {
    #[inline(always)]
    fn drop(&mut self) {
        if !self.held.is_ours() {
            return;
        }
        match self.reads {
            Reads::InCell(at) => self.held.lock.raw().leave(at, wake_all),
            Reads::AsHolder => self.held.lock.raw().leave_as_holder(wake_one),
        }
    }
}

impl<T: Plain, const N: usize> Deref for RwLockReadGuard<'_, T, N> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        self.held.value()
    }
}

/// The lock is held alone until this is dropped.
///
/// # When the holder dies
///
/// Killed with the guard alive: the next one, reader or writer, proves the death and is told. Dropped by a panic:
/// likewise, at once.
#[must_use = "the lock is given back as soon as the guard is dropped"]
pub struct RwLockWriteGuard<'a, T: Plain, const READERS: usize = 61> {
    held: Held<'a, T, READERS>,
    /// Whether the thread was unwinding already when it took the lock: then a panic says nothing about the value.
    panicking: bool,
}

impl<'a, T: Plain, const N: usize> RwLockWriteGuard<'a, T, N> {
    pub(super) fn new(held: Held<'a, T, N>) -> RwLockWriteGuard<'a, T, N> {
        RwLockWriteGuard { held, panicking: thread::panicking() }
    }

    /// Goes on reading, and lets other readers in; no writer comes in between.
    ///
    /// Does not wait, however many wait to read or read already: if every cell is taken, this reader keeps upgradable readers
    /// out too until its guard is dropped, and shows as one: a thread that then asks for `upgradable_read` before it drops that
    /// guard waits for itself. An error in a forked child, whose parent holds the lock.
    pub fn downgrade(self) -> Result<RwLockReadGuard<'a, T, N>, LockFailure> {
        let held = self.held;
        let (me, patience) = held.reader()?;
        // The lock moves into the new guard.
        std::mem::forget(self);
        let reads = held.lock.raw().downgrade(me, |owner| patience.has_left(owner), wake_all, wake_one);
        Ok(RwLockReadGuard::new(held, reads))
    }

    /// Goes on reading as the one who may upgrade, and lets other readers in; no writer comes in between.
    ///
    /// An error in a forked child, whose parent holds the lock.
    pub fn downgrade_to_upgradable(self) -> Result<RwLockUpgradableGuard<'a, T, N>, LockFailure> {
        let held = self.held;
        if !held.is_ours() {
            return Err(LockFailure::Forked);
        }
        // The lock moves into the new guard.
        std::mem::forget(self);
        held.let_readers_in();
        Ok(RwLockUpgradableGuard::new(held))
    }
}

impl<T: Plain, const N: usize> Drop for RwLockWriteGuard<'_, T, N> {
    #[inline(always)]
    fn drop(&mut self) {
        let broken = thread::panicking() && !self.panicking;
        self.held.leave_alone(if broken { Condition::Inconsistent } else { Condition::Consistent });
    }
}

impl<T: Plain, const N: usize> Deref for RwLockWriteGuard<'_, T, N> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        self.held.value()
    }
}

impl<T: Plain, const N: usize> DerefMut for RwLockWriteGuard<'_, T, N> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut T {
        self.held.value_mut()
    }
}

/// The lock is held for reading, and this is the only one that may become the writer.
///
/// # When the holder dies
///
/// The next one that wants more than to read proves the death and takes its place; the value was only read.
#[must_use = "the lock is given back as soon as the guard is dropped"]
pub struct RwLockUpgradableGuard<'a, T: Plain, const READERS: usize = 61> {
    held: Held<'a, T, READERS>,
}

/// Why an upgradable reader did not become the writer; it still is what it was.
#[must_use = "dropping it gives the lock back"]
pub struct UpgradeError<'a, T: Plain, const READERS: usize = 61> {
    /// The guard as it was.
    pub guard: RwLockUpgradableGuard<'a, T, READERS>,
    /// Why it did not work.
    pub failure: LockFailure,
}

impl<'a, T: Plain, const N: usize> RwLockUpgradableGuard<'a, T, N> {
    pub(super) fn new(held: Held<'a, T, N>) -> RwLockUpgradableGuard<'a, T, N> {
        RwLockUpgradableGuard { held }
    }

    /// Becomes the writer as soon as the readers have left; new ones wait. Nobody has changed the value in between.
    ///
    /// Fails in a forked child only.
    pub fn upgrade(self) -> Result<RwLockWriteGuard<'a, T, N>, UpgradeError<'a, T, N>> {
        self.upgrade_until(None)
    }

    /// [`upgrade`](RwLockUpgradableGuard::upgrade), waiting at most `patience` for the readers to leave.
    pub fn upgrade_timeout(self, patience: Duration) -> Result<RwLockWriteGuard<'a, T, N>, UpgradeError<'a, T, N>> {
        self.upgrade_until(Some(Deadline::after(patience)))
    }

    /// [`upgrade`](RwLockUpgradableGuard::upgrade) if nobody reads, or if all who do are proved dead.
    pub fn try_upgrade(self) -> Result<RwLockWriteGuard<'a, T, N>, UpgradeError<'a, T, N>> {
        self.upgrade_until(Some(AT_ONCE)).map_err(|refused| UpgradeError {
            failure: if refused.failure == LockFailure::Timeout { LockFailure::WouldBlock } else { refused.failure },
            ..refused
        })
    }

    /// Goes on as an ordinary reader; no writer comes in between.
    ///
    /// Does not wait: if every cell is taken, this reader keeps other upgradable readers out until its guard is dropped, and
    /// shows as one (and a thread that asks for `upgradable_read` before it drops that guard waits for itself). An error in a
    /// forked child, whose parent holds the lock.
    pub fn downgrade(self) -> Result<RwLockReadGuard<'a, T, N>, LockFailure> {
        let held = self.held;
        let (me, patience) = held.reader()?;
        // The lock moves into the new guard.
        std::mem::forget(self);
        let reads = held.lock.raw().downgrade_upgradable(me, |owner| patience.has_left(owner), wake_one);
        Ok(RwLockReadGuard::new(held, reads))
    }

    fn upgrade_until(self, deadline: Option<Deadline>) -> Result<RwLockWriteGuard<'a, T, N>, UpgradeError<'a, T, N>> {
        let held = self.held;
        if !held.is_ours() {
            return Err(UpgradeError { guard: self, failure: LockFailure::Forked });
        }
        let (me, patience) = match held.lock.patience(Mode::Exclusive, deadline) {
            Ok(found) => found,
            Err(failure) => return Err(UpgradeError { guard: self, failure }),
        };
        let raw = held.lock.raw();
        if raw.close(me, &patience).is_err() {
            wharf_sys::crash_point!("rwlock.upgrade.in-vain");
            raw.open(0, wake_all);
            wharf_sys::crash_point!("rwlock.upgrade.reopened");
            return Err(UpgradeError { guard: self, failure: LockFailure::Timeout });
        }
        wharf_sys::crash_point!("rwlock.upgrade.after");
        // The lock moves into the new guard.
        std::mem::forget(self);
        Ok(RwLockWriteGuard::new(held))
    }
}

impl<T: Plain, const N: usize> Drop for RwLockUpgradableGuard<'_, T, N> {
    fn drop(&mut self) {
        if self.held.is_ours() {
            self.held.lock.raw().intent().give_back(Condition::Consistent, wake_one);
        }
    }
}

impl<T: Plain, const N: usize> Deref for RwLockUpgradableGuard<'_, T, N> {
    type Target = T;

    fn deref(&self) -> &T {
        self.held.value()
    }
}

impl<T: Plain + fmt::Debug, const N: usize> fmt::Debug for RwLockReadGuard<'_, T, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: Plain + fmt::Debug, const N: usize> fmt::Debug for RwLockWriteGuard<'_, T, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: Plain + fmt::Debug, const N: usize> fmt::Debug for RwLockUpgradableGuard<'_, T, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: Plain, const N: usize> fmt::Debug for UpgradeError<'_, T, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UpgradeError::{:?}", self.failure)
    }
}

impl<T: Plain, const N: usize> fmt::Display for UpgradeError<'_, T, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.failure.fmt(f)
    }
}

impl<T: Plain, const N: usize> From<UpgradeError<'_, T, N>> for LockFailure {
    fn from(error: UpgradeError<'_, T, N>) -> LockFailure {
        error.failure
    }
}

impl<T: Plain, const N: usize> From<UpgradeError<'_, T, N>> for Box<dyn std::error::Error> {
    fn from(error: UpgradeError<'_, T, N>) -> Box<dyn std::error::Error> {
        Box::new(error.failure)
    }
}
