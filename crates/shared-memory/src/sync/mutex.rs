//! A mutex between processes: one value, one holder at a time, recovered when the holder is killed.
#![allow(unsafe_code)]

use std::fmt;
use std::mem::offset_of;
use std::panic::RefUnwindSafe;
use std::ptr::NonNull;
use std::time::Duration;

use super::guard::{Guarded, MutexGuard};
use super::kind::ObjectKind;
use super::lock_error::LockError;
use super::look::{Holder, Look, Seen, look_at};
use super::raw::{LOCK_VERSION, RawLock};
use crate::atomic::UnsafeCell;
use crate::plain::{Field, Layout};
use crate::{Plain, Shared};

/// A value in a region that one process at a time may use.
///
/// It works inside a [`Region`](crate::Region) only: there the system tells when its holder dies. Taking a lock that
/// is free and giving it back that nobody waits for are one atomic instruction each and no system call.
///
/// ```
/// # let dir = tempfile::tempdir()?;
/// # let domain = wharf_sys::directory::Domain::at(&dir.path().join("names"))?;
/// # let options = wharf_shared_memory::RegionOptions::new().domain(domain);
/// use wharf_shared_memory::{LockError, Mutex, Region};
///
/// let hits: Region<Mutex<u64>> = options.open_or_create("hits")?;
/// match hits.lock() {
///     Ok(mut count) => *count += 1,
///     // A process died with the lock held. Here any number is a valid count, so nothing is to be put in order.
///     Err(LockError::OwnerDied(count)) => *count.repaired() += 1,
///     Err(other) => return Err(other.into()),
/// }
/// assert_eq!(*hits.lock()?, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # When the holder dies
///
/// A waiter proves the death within 50 ms of the kernel closing the dead process's files, takes the lock over, and gets
/// [`LockError::OwnerDied`] with the value as the dead one left it. A holder that is merely stopped keeps the lock.
///
/// The kernel frees a process's memory before it closes its files, which takes some hundred milliseconds where there are gigabytes;
/// and one that dumps core lives until the dump is written.
///
/// # Who goes first
///
/// Whoever comes at the right moment overtakes sleepers, which keeps a hammered lock fast. But one of them that was
/// woken in vain is handed the lock by the next one that gives it back, once in a millisecond: nobody starves.
///
/// # Limits
///
/// Not re-entrant: a thread that locks twice waits for itself (until its timeout); see
/// [`ReentrantMutex`](crate::ReentrantMutex). The lock belongs to the process: a thread that ends without dropping its guard leaves
/// it taken until the process ends or detaches. A value whose repair would need to know what was being changed wants
/// a journal of its own.
#[repr(C)]
pub struct Mutex<T: Plain> {
    raw: RawLock,
    value: UnsafeCell<T>,
}

// SAFETY: the value is only reached through the lock, one holder at a time; a `Plain` value is `Send`.
unsafe impl<T: Plain> Sync for Mutex<T> {}

/// As of the standard library's: a panic in the middle of a change leaves it inconsistent, and the next one is told.
impl<T: Plain> RefUnwindSafe for Mutex<T> {}

// SAFETY: zero bytes are a free lock over a valid value, since a `Plain` type is valid for every bit pattern; the
// same holds for whatever a killed process leaves behind. The lock word is atomic and guards the value across
// processes. It holds a slot and a generation, no address, and dropping it does nothing. The layout names the one
// type parameter.
unsafe impl<T: Plain> Shared for Mutex<T> {
    const LAYOUT: Layout =
        Layout::cell("Mutex", &[2, LOCK_VERSION], Self::FIELDS, size_of::<Self>(), align_of::<Self>());
    const FIELDS: &'static [Field] = &[Field::new("value", offset_of!(Self, value), T::LAYOUT)];
}

impl<T: Plain> Mutex<T> {
    /// A free lock over `value`, to be put into a region.
    pub const fn new(value: T) -> Mutex<T> {
        Mutex { raw: RawLock::new(), value: UnsafeCell::new(value) }
    }

    /// Takes the lock, waiting as long as a live process holds it.
    ///
    /// # When the holder dies
    ///
    /// See [`Mutex`].
    #[inline]
    pub fn lock(&self) -> Result<MutexGuard<'_, T>, LockError<'_, T>> {
        self.guarded().lock()
    }

    /// Takes the lock, waiting at most `patience` (measured on the monotonic clock, which stands still while the
    /// machine sleeps). Zero tries once.
    #[inline]
    pub fn lock_timeout(&self, patience: Duration) -> Result<MutexGuard<'_, T>, LockError<'_, T>> {
        self.guarded().lock_timeout(patience)
    }

    /// Takes the lock if nobody holds it, or if its holder is proved dead. Never waits; at most a few system calls.
    #[inline]
    pub fn try_lock(&self) -> Result<MutexGuard<'_, T>, LockError<'_, T>> {
        self.guarded().try_lock()
    }

    /// Who holds the lock: a report for people, out of date as soon as it is made.
    pub fn holder(&self) -> Option<Holder> {
        self.look().holders.into_iter().next()
    }

    /// Whether a holder died or panicked and nobody has repaired the value since, so that the next one that locks
    /// gets [`LockError::OwnerDied`]. A holder whose death nobody has noticed yet does not count.
    pub fn is_inconsistent(&self) -> bool {
        self.guarded().is_inconsistent()
    }

    #[inline(always)]
    fn guarded(&self) -> Guarded<'_, T> {
        let value = self.value.with_mut(|value| value);
        // SAFETY: the cell is never at address zero.
        let value = unsafe { NonNull::new_unchecked(value) };
        // SAFETY: the cell lives as long as `self`, holds a valid `T` whatever bytes are there (`Plain`), and only
        // holders of the lock touch it.
        unsafe { Guarded::new(&self.raw, value, ObjectKind::Mutex) }
    }
}

impl<T: Plain> Look for Mutex<T> {
    fn look(&self) -> Seen {
        look_at(ObjectKind::Mutex, self, &[self.raw.word()])
    }
}

impl<T: Plain> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mutex")
            .field("holder", &self.raw.holder())
            .field("inconsistent", &self.raw.is_inconsistent())
            .finish_non_exhaustive()
    }
}
