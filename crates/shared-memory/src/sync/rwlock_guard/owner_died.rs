//! A lock for readers and writers that was handed over by a death, and how its holder goes on when the value is in order.

use std::fmt;
use std::ops::{Deref, DerefMut};

use super::{Held, RwLockReadGuard, RwLockUpgradableGuard, RwLockWriteGuard};
use crate::Plain;
use crate::sync::lock_error::AfterRepair;
use crate::sync::patience::{wake_all, wake_one};
use crate::sync::raw::Condition;
use crate::sync::raw_rwlock::Reads;
use crate::sync::surroundings::Surroundings;

/// The lock is held alone, but a writer before died or panicked in the middle of a change.
///
/// Look at the value, put it in order, and call [`repaired`](RwLockOwnerDied::repaired). Dropped without that, the lock
/// stays inconsistent: the next one that takes it, for reading too, gets such a guard again.
#[must_use = "dropped unrepaired, the lock stays inconsistent for the next one"]
pub struct RwLockOwnerDied<'a, T: Plain, const READERS: usize = 61> {
    held: Held<'a, T, READERS>,
}

impl<'a, T: Plain, const N: usize> RwLockOwnerDied<'a, T, N> {
    pub(in crate::sync) fn new(held: Held<'a, T, N>) -> RwLockOwnerDied<'a, T, N> {
        RwLockOwnerDied { held }
    }

    /// Says that the value is in order. The lock stays held, alone.
    pub fn repaired(self) -> RwLockWriteGuard<'a, T, N> {
        RwLockWriteGuard::new(self.in_order())
    }

    /// What is held, for another guard over a value in order.
    fn in_order(self) -> Held<'a, T, N> {
        let held = self.held;
        // The lock moves into the new guard. A death of its holder leaves the value in doubt all the same, as with any writer.
        std::mem::forget(self);
        if held.is_ours() {
            held.lock.raw().intent().mark_consistent();
        }
        held
    }
}

impl<'a, T: Plain, const N: usize> AfterRepair<RwLockOwnerDied<'a, T, N>> for RwLockWriteGuard<'a, T, N> {
    fn after_repair(died: RwLockOwnerDied<'a, T, N>) -> Self {
        died.repaired()
    }
}

impl<'a, T: Plain, const N: usize> AfterRepair<RwLockOwnerDied<'a, T, N>> for RwLockUpgradableGuard<'a, T, N> {
    fn after_repair(died: RwLockOwnerDied<'a, T, N>) -> Self {
        let held = died.in_order();
        if held.is_ours() {
            held.let_readers_in();
        }
        RwLockUpgradableGuard::new(held)
    }
}

impl<'a, T: Plain, const N: usize> AfterRepair<RwLockOwnerDied<'a, T, N>> for RwLockReadGuard<'a, T, N> {
    fn after_repair(died: RwLockOwnerDied<'a, T, N>) -> Self {
        let held = died.in_order();
        let reads = match held.reader() {
            Ok((me, patience)) => held.lock.raw().downgrade(me, |owner| patience.has_left(owner), wake_all, wake_one),
            // A forked child's copy, which gives nothing back.
            Err(_) => Reads::AsHolder,
        };
        RwLockReadGuard::new(held, reads)
    }
}

impl<T: Plain, const N: usize> Drop for RwLockOwnerDied<'_, T, N> {
    fn drop(&mut self) {
        self.held.leave_alone(Condition::Inconsistent);
    }
}

impl<T: Plain, const N: usize> Deref for RwLockOwnerDied<'_, T, N> {
    type Target = T;

    fn deref(&self) -> &T {
        self.held.value()
    }
}

impl<T: Plain, const N: usize> DerefMut for RwLockOwnerDied<'_, T, N> {
    fn deref_mut(&mut self) -> &mut T {
        self.held.value_mut()
    }
}

impl<T: Plain + fmt::Debug, const N: usize> fmt::Debug for RwLockOwnerDied<'_, T, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RwLockOwnerDied").field(&&**self).finish()
    }
}
