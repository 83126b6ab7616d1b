//! A mutex that the thread which holds it may take again.
#![allow(unsafe_code)]

use std::cell::Cell;
use std::fmt;
use std::marker::PhantomData;
use std::mem::offset_of;
use std::ops::Deref;
use std::panic::RefUnwindSafe;
use std::thread;
use std::time::Duration;

use wharf_sys::clock::Deadline;
use wharf_sys::{fork, liveness};

use super::acquire;
use super::caller::caller;
use super::kind::{Mode, ObjectKind};
use super::lock_error::{AcquireError, AfterRepair, LockFailure};
use super::look::{Hold, Look, Said, Seen, look_at};
use super::owner::Owner;
use super::patience::{Wanted, wake_one};
use super::raw::{self, Condition, LOCK_VERSION, RawLock};
use super::raw_reentrant::{Again, Name, RawReentrant};
use crate::atomic::{AtomicU32, AtomicU64, Ordering, UnsafeCell};
use crate::plain::{Field, Layout};
use crate::{Plain, Shared};

/// Why a re-entrant mutex was not simply taken.
pub type ReentrantError<'a, T> = AcquireError<ReentrantOwnerDied<'a, T>>;

/// A value in a region that one thread at a time may use, and whose holder may lock it again: for functions that lock
/// and call each other.
///
/// A thread can have several guards at once, so none of them can give `&mut T`. They give [`&Cell<T>`](Cell): read with
/// `get`, write with `set`; neither leaves a borrow behind.
///
/// ```
/// # let dir = tempfile::tempdir()?;
/// # let domain = wharf_sys::directory::Domain::at(&dir.path().join("names"))?;
/// # let options = wharf_shared_memory::RegionOptions::new().domain(domain);
/// use wharf_shared_memory::{Region, ReentrantMutex};
///
/// let balance: Region<ReentrantMutex<i64>> = options.create("balance")?;
/// let outer = balance.lock()?;
/// outer.set(100);
/// {
///     let inner = balance.lock()?; // the same thread: no waiting
///     inner.set(inner.get() - 30);
/// }
/// assert_eq!(outer.get(), 70);
/// # drop(outer);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # When the holder dies
///
/// As with [`Mutex`](crate::Mutex), however often it had locked: the next one gets
/// [`AcquireError::OwnerDied`] once.
///
/// # Limits
///
/// A thread locks at most 2^32 - 1 times; one more is refused as `WouldBlock`. The lock belongs to attachment *and* thread:
/// guards stay in their thread, and a thread that locks again through another attachment of its process to the same region
/// waits for itself (until its timeout). A thread that ends without dropping its guards leaves the lock taken until its
/// process ends or detaches, as a mutex does; only if the kernel gives its id to a later thread of the process, that one
/// counts as the holder and locks again.
#[repr(C)]
pub struct ReentrantMutex<T: Plain> {
    raw: RawLock,
    holder: AtomicU64,
    depth: AtomicU32,
    value: UnsafeCell<T>,
}

// SAFETY: the value is only reached through the lock, by one thread at a time; a `Plain` value is `Send`.
unsafe impl<T: Plain> Sync for ReentrantMutex<T> {}

/// As of the other locks: a panic in the middle of a change leaves it inconsistent, and the next one is told.
impl<T: Plain> RefUnwindSafe for ReentrantMutex<T> {}

// SAFETY: zero bytes are a free lock over a valid value, and so is whatever a killed process leaves behind: the lock word
// says whether the other two words count. It holds a slot, a generation and a thread's id that is compared together with
// them, no address, and dropping it does nothing. The layout names the one type parameter.
unsafe impl<T: Plain> Shared for ReentrantMutex<T> {
    const LAYOUT: Layout =
        Layout::cell("ReentrantMutex", &[1, LOCK_VERSION], Self::FIELDS, size_of::<Self>(), align_of::<Self>());
    const FIELDS: &'static [Field] = &[Field::new("value", offset_of!(Self, value), T::LAYOUT)];
}

impl<T: Plain> ReentrantMutex<T> {
    /// A free lock over `value`, to be put into a region.
    pub const fn new(value: T) -> ReentrantMutex<T> {
        let (holder, depth) = (AtomicU64::new(0), AtomicU32::new(0));
        ReentrantMutex { raw: RawLock::new(), holder, depth, value: UnsafeCell::new(value) }
    }

    /// Takes the lock, waiting as long as another thread of a live process holds it.
    ///
    /// # When the holder dies
    ///
    /// See [`ReentrantMutex`].
    #[inline]
    pub fn lock(&self) -> Result<ReentrantGuard<'_, T>, ReentrantError<'_, T>> {
        self.enter(|| acquire::take(&self.raw, self.wanted(), None))
    }

    /// Takes the lock, waiting at most `patience`. Zero tries once.
    #[inline]
    pub fn lock_timeout(&self, patience: Duration) -> Result<ReentrantGuard<'_, T>, ReentrantError<'_, T>> {
        self.enter(|| acquire::take(&self.raw, self.wanted(), Some(Deadline::after(patience))))
    }

    /// Takes the lock if nobody else holds it, or if its holder is proved dead. Never waits.
    #[inline]
    pub fn try_lock(&self) -> Result<ReentrantGuard<'_, T>, ReentrantError<'_, T>> {
        self.enter(|| acquire::try_take(&self.raw, self.wanted()))
    }

    /// Whether a holder died or panicked and nobody has repaired the value since.
    pub fn is_inconsistent(&self) -> bool {
        self.raw.is_inconsistent()
    }

    #[inline(always)]
    fn enter(
        &self,
        wait: impl FnOnce() -> Result<Condition, LockFailure>,
    ) -> Result<ReentrantGuard<'_, T>, ReentrantError<'_, T>> {
        let condition = match acquire::take_free(&self.raw) {
            Some(me) => {
                self.words().name(name(me));
                Condition::Consistent
            }
            None => self.enter_again_or(wait)?,
        };
        let held = Held { lock: self, fork_epoch: fork::epoch(), thread: PhantomData };
        match condition {
            Condition::Consistent => Ok(ReentrantGuard { held, panicking: thread::panicking() }),
            Condition::Inconsistent => Err(AcquireError::OwnerDied(ReentrantOwnerDied { held })),
        }
    }

    fn enter_again_or(&self, wait: impl FnOnce() -> Result<Condition, LockFailure>) -> Result<Condition, LockFailure> {
        let (me, _) = caller(&self.raw)?;
        match self.words().enter_again(name(me)) {
            Again::Entered(condition) => return Ok(condition),
            Again::TooDeep => return Err(LockFailure::WouldBlock),
            Again::NotHeld => {}
        }
        let condition = wait()?;
        self.words().name(name(me));
        Ok(condition)
    }

    #[inline(always)]
    fn words(&self) -> RawReentrant<'_> {
        RawReentrant { lock: &self.raw, holder: &self.holder, depth: &self.depth }
    }

    fn wanted(&self) -> Wanted {
        Wanted::new(ObjectKind::ReentrantMutex, Mode::Exclusive, self)
    }

    #[inline(always)]
    fn value(&self) -> &Cell<T> {
        // SAFETY: a `Cell<T>` has the layout of a `T`, which is valid whatever bytes are there (`Plain`). Only the
        // thread that holds the lock calls this, through a guard that stays in that thread, and it never makes any
        // other reference.
        self.value.with_mut(|value| unsafe { &*value.cast::<Cell<T>>() })
    }
}

/// The calling thread of the attachment `me`.
#[inline(always)]
fn name(me: Owner) -> Name {
    Name::new(me, liveness::thread_id())
}

/// Reads the words of a re-entrant mutex: lock, heir, thread, attachment, depth.
pub(crate) fn decode(words: &[u32]) -> Said {
    let word = |at: usize| words.get(at).copied().unwrap_or(0);
    let mut said = raw::decode(word(0));
    for hold in &mut said.holds {
        // Between taking the lock and writing the name, the words still tell of the holder before.
        if word(3) == hold.owner.bits() {
            *hold = Hold { thread: Some(word(2)), count: word(4), ..*hold };
        }
    }
    said
}

impl<T: Plain> Look for ReentrantMutex<T> {
    fn look(&self) -> Seen {
        let lock = self.raw.word();
        // Relaxed, both: a report.
        let holder = self.holder.load(Ordering::Relaxed);
        let words = [lock, 0, holder as u32, (holder >> 32) as u32, self.depth.load(Ordering::Relaxed)];
        look_at(ObjectKind::ReentrantMutex, self, &words)
    }
}

impl<T: Plain> fmt::Debug for ReentrantMutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReentrantMutex").field("holder", &self.raw.holder()).finish_non_exhaustive()
    }
}

/// One of the times that a thread has locked.
struct Held<'a, T: Plain> {
    lock: &'a ReentrantMutex<T>,
    fork_epoch: u32,
    /// Stays in its thread.
    thread: PhantomData<*const ()>,
}

impl<T: Plain> Held<'_, T> {
    fn give_back(&self, broken: bool) {
        // A forked child has a copy of the guard, but its parent holds the lock.
        if self.fork_epoch != fork::epoch() {
            return;
        }
        self.lock.words().leave(broken, wake_one);
    }
}

/// The lock is held at least until this is dropped, and the value is this thread's.
///
/// # When the holder dies
///
/// See [`ReentrantMutex`]. A panic that drops the guard leaves the lock inconsistent from then on, also for the thread's
/// outer guards: the next call of `lock` says so.
#[must_use = "the lock is given back as soon as the last guard is dropped"]
pub struct ReentrantGuard<'a, T: Plain> {
    held: Held<'a, T>,
    panicking: bool,
}

impl<T: Plain> Drop for ReentrantGuard<'_, T> {
    fn drop(&mut self) {
        self.held.give_back(thread::panicking() && !self.panicking);
    }
}

impl<T: Plain> Deref for ReentrantGuard<'_, T> {
    type Target = Cell<T>;

    #[inline(always)]
    fn deref(&self) -> &Cell<T> {
        self.held.lock.value()
    }
}

impl<T: Plain + fmt::Debug> fmt::Debug for ReentrantGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().fmt(f)
    }
}

/// The lock is held, but a holder before died or panicked in the middle of a change: put the value in order and call
/// [`repaired`](ReentrantOwnerDied::repaired).
#[must_use = "dropped unrepaired, the lock stays inconsistent for the next one"]
pub struct ReentrantOwnerDied<'a, T: Plain> {
    held: Held<'a, T>,
}

impl<'a, T: Plain> ReentrantOwnerDied<'a, T> {
    /// Says that the value is in order. The lock stays held.
    pub fn repaired(self) -> ReentrantGuard<'a, T> {
        let Held { lock, fork_epoch, thread } = self.held;
        // The lock moves into the new guard.
        std::mem::forget(self);
        if fork_epoch == fork::epoch() {
            lock.raw.mark_consistent();
        }
        ReentrantGuard { held: Held { lock, fork_epoch, thread }, panicking: thread::panicking() }
    }
}

impl<'a, T: Plain> AfterRepair<ReentrantOwnerDied<'a, T>> for ReentrantGuard<'a, T> {
    fn after_repair(died: ReentrantOwnerDied<'a, T>) -> Self {
        died.repaired()
    }
}

impl<T: Plain> Drop for ReentrantOwnerDied<'_, T> {
    fn drop(&mut self) {
        self.held.give_back(false);
    }
}

impl<T: Plain> Deref for ReentrantOwnerDied<'_, T> {
    type Target = Cell<T>;

    fn deref(&self) -> &Cell<T> {
        self.held.lock.value()
    }
}

impl<T: Plain + fmt::Debug> fmt::Debug for ReentrantOwnerDied<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ReentrantOwnerDied").field(&self.get()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_name_the_thread_only_if_they_name_its_attachment() {
        let (holder, before) = (Owner::new(4, 9), Owner::new(4, 8));
        let said = decode(&[holder.bits(), 0, 77, holder.bits(), 3]);
        assert_eq!(said.holds, [Hold { owner: holder, mode: Mode::Exclusive, count: 3, thread: Some(77) }]);
        let said = decode(&[holder.bits(), 0, 77, before.bits(), 3]);
        assert_eq!(said.holds, [Hold::exclusive(holder)]);
        assert_eq!(decode(&[]), Said::default());
    }
}
