//! Being alone with the data: closing the lock to readers, waiting until they have left, and opening it again.

use super::super::owner::Owner;
use super::super::raw::Condition;
use super::super::surroundings::{Nap, OutOfTime, Slept, Surroundings};
use super::{CLOSED, DOUBT, RawRwLock};
use crate::atomic::{AtomicU32, Ordering, fence, order_update_before_load};

impl<const N: usize> RawRwLock<N> {
    /// Enters alone if nobody holds the lock and the data is in order; otherwise says whether `intent` was taken.
    #[inline(always)]
    pub(crate) fn write_free(&self, me: Owner) -> Result<(), bool> {
        if !self.intent.take_free(me) {
            return Err(false);
        }
        wharf_sys::crash_point!("rwlock.intent.taken");
        // SeqCst and the rest: as in `close`.
        self.stage.fetch_or(CLOSED, Ordering::SeqCst);
        order_update_before_load();
        wharf_sys::crash_point!("rwlock.write.closed");
        if self.readers().first().is_some() || self.condition() == Condition::Inconsistent {
            return Err(true);
        }
        self.begin_alone();
        Ok(())
    }

    /// With `intent` held: closes the lock, waits until all readers have left, and begins to be alone. On failure the
    /// lock is open again and `intent` given back.
    pub(crate) fn be_alone(
        &self,
        me: Owner,
        around: &impl Surroundings,
        wake_all: impl Fn(&AtomicU32),
        wake_one: impl Fn(&AtomicU32) -> bool,
    ) -> Result<Condition, OutOfTime> {
        match self.close(me, around) {
            Ok(condition) => Ok(condition),
            Err(OutOfTime) => {
                self.leave_alone(self.condition(), wake_all, wake_one);
                Err(OutOfTime)
            }
        }
    }

    /// The same for one who keeps `intent` if it fails; then the lock is still closed.
    pub(crate) fn close(&self, me: Owner, around: &impl Surroundings) -> Result<Condition, OutOfTime> {
        // SeqCst: before our look at the cells, as in `Readers::enter_again`.
        self.stage.fetch_or(CLOSED, Ordering::SeqCst);
        order_update_before_load();
        wharf_sys::crash_point!("rwlock.write.closed");
        self.drain(me, around)?;
        wharf_sys::crash_point!("rwlock.write.drained");
        let condition = self.condition();
        self.begin_alone();
        Ok(condition)
    }

    #[inline(always)]
    fn begin_alone(&self) {
        // Relaxed: whoever comes after us reads it under `intent`.
        self.in_doubt.store(1, Ordering::Relaxed);
        // Before all that we write to the data: a process that is killed after a write has stored this, too.
        fence(Ordering::Release);
        wharf_sys::crash_point!("rwlock.write.alone");
    }

    /// Gives the lock back as one who was alone, or wanted to be.
    #[inline(always)]
    pub(crate) fn leave_alone(
        &self,
        condition: Condition,
        wake_all: impl Fn(&AtomicU32),
        wake_one: impl Fn(&AtomicU32) -> bool,
    ) {
        let left = self.end_alone(condition);
        self.open(left, wake_all);
        wharf_sys::crash_point!("rwlock.write.opened");
        self.intent.give_back(condition, wake_one);
    }

    /// Says that the data is in order, if it is, and returns how to leave `stage`.
    #[inline(always)]
    pub(crate) fn end_alone(&self, condition: Condition) -> u32 {
        wharf_sys::crash_point!("rwlock.write.ending");
        match condition {
            Condition::Consistent => {
                // Release: after all that we wrote to the data, as in `close`.
                self.in_doubt.store(0, Ordering::Release);
                0
            }
            Condition::Inconsistent => DOUBT,
        }
    }

    /// Waits until every reader has left or is proved dead.
    fn drain(&self, me: Owner, around: &impl Surroundings) -> Result<(), OutOfTime> {
        // Bound: as in `read`.
        loop {
            // Acquire: before the look at the cells, so that a reader that leaves after it changes what we sleep on.
            let bell = self.bell.load(Ordering::Acquire);
            let Some(owner) = self.readers().first() else { return Ok(()) };
            if owner.is_none_or(|owner| around.has_left(owner)) {
                self.readers().strike(|owner| around.has_left(owner));
                continue;
            }
            wharf_sys::crash_point!("rwlock.write.waiting");
            match around.sleep(&self.bell, bell, Nap::Slice) {
                Slept::Woken => {}
                Slept::SliceOver => self.readers().strike(|owner| owner != me && around.is_dead(owner)),
                Slept::OutOfTime => {
                    self.readers().strike(|owner| owner != me && around.is_dead(owner));
                    return if self.readers().first().is_none() { Ok(()) } else { Err(OutOfTime) };
                }
            }
        }
    }
}
