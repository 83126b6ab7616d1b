//! A permit, held.

use wharf_sys::fork;

use super::cell::Semaphore;
use super::permits::Permits;
use crate::sync::LockFailure;
use crate::sync::owner::Owner;
use crate::sync::sleepers::wake;

/// A permit of a [`Semaphore`], owned by this process until it is dropped.
///
/// # When the holder dies
///
/// The permit returns to the semaphore: whoever waits for one notices the death within 50 ms and has it. Forgotten with
/// [`std::mem::forget`], it stays taken until the process ends or detaches; [`forget`](Permit::forget) is the way to take it
/// out of the semaphore for good.
///
/// # In a forked child
///
/// The child's copy is not the permit: dropping it, or anything else, does nothing.
#[must_use = "the permit is given back as soon as it is dropped"]
#[derive(Debug)]
pub struct Permit<'a> {
    permits: Permits<'a>,
    at: usize,
    me: Owner,
    fork_epoch: u32,
    from_dead: bool,
}

impl<'a> Permit<'a> {
    pub(super) fn new(permits: Permits<'a>, at: usize, me: Owner, from_dead: bool) -> Permit<'a> {
        Permit { permits, at, me, fork_epoch: fork::epoch(), from_dead }
    }

    /// Whether the last owner of this permit died with it: what it did with it may be half-done.
    pub fn owner_died(&self) -> bool {
        self.from_dead
    }

    /// Takes the permit out of the semaphore: nobody owns it, nobody can take it, until somebody
    /// [gives](Semaphore::give) one. A death after this returns nothing.
    pub fn forget(self) {
        if self.is_ours() {
            self.permits.forget(self.at, self.me);
        }
        std::mem::forget(self);
    }

    /// Exchanges this permit for one of another semaphore, free for anybody, around a change that both stand for: gives one
    /// there, runs `change`, forgets this one. The step of a bounded buffer; hold the buffer's lock around it.
    ///
    /// # When the holder dies
    ///
    /// There is never a permit too few and at most one too many, as [`Semaphore`] shows. A panic in `change` counts as a
    /// death before the change.
    ///
    /// # When full
    ///
    /// If all permits of the other semaphore are there already, which only a death as above brings about, none is given:
    /// whoever waits there can go on anyway.
    pub fn pass_to<const FREE: usize, const ABSENT: usize, R>(
        self,
        other: &Semaphore<FREE, ABSENT>,
        change: impl FnOnce() -> R,
    ) -> Result<R, LockFailure> {
        match other.give() {
            Ok(()) | Err(LockFailure::Full) => {
                let result = change();
                wharf_sys::crash_point!("semaphore.pass.changed");
                self.forget();
                Ok(result)
            }
            Err(other) => Err(other),
        }
    }

    fn is_ours(&self) -> bool {
        self.fork_epoch == fork::epoch()
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        if self.is_ours() {
            self.permits.give_back(self.at, self.me, wake);
        }
    }
}
