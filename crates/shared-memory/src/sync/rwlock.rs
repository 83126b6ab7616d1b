//! A lock for many readers or one writer, between processes, recovered from the death of any of them.
#![allow(unsafe_code)]

use std::fmt;
use std::mem::offset_of;
use std::panic::RefUnwindSafe;
use std::ptr::NonNull;
use std::time::Duration;

use wharf_sys::clock::Deadline;

use super::caller::caller;
use super::kind::{Mode, ObjectKind};
use super::lock_error::{AcquireError, LockFailure};
use super::look::{Look, Seen, look_at};
use super::owner::Owner;
use super::patience::{AT_ONCE, Patience, Wanted, wake_all, wake_one};
use super::raw::{Condition, LOCK_VERSION};
use super::raw_rwlock::{Entered, RawRwLock, Reads};
use super::rwlock_guard::{Held, RwLockOwnerDied, RwLockReadGuard, RwLockUpgradableGuard, RwLockWriteGuard};
use crate::atomic::UnsafeCell;
use crate::participant::{self, Access, Attachment};
use crate::plain::{Field, Layout};
use crate::{Plain, Shared};

/// Why a lock for readers and writers was not simply taken. A reader that comes upon a dead writer gets the lock alone,
/// to put the value in order.
pub type RwLockError<'a, T, const READERS: usize = 61> = AcquireError<RwLockOwnerDied<'a, T, READERS>>;

/// A value in a region that any number of threads may read at one time, or one may change.
///
/// Reading a free lock and leaving it are one atomic instruction each and no system call, in a cell that no other
/// process writes. For a value that is replaced as a whole, [`Latest`](crate::Latest) is faster still.
///
/// ```
/// # let dir = tempfile::tempdir()?;
/// # let domain = wharf_sys::directory::Domain::at(&dir.path().join("names"))?;
/// # let options = wharf_shared_memory::RegionOptions::new().domain(domain);
/// use wharf_shared_memory::{Region, RwLock, RwLockError};
///
/// let prices: Region<RwLock<[u64; 4]>> = options.create("prices")?;
/// match prices.write() {
///     Ok(mut prices) => prices[2] = 950,
///     // A writer died in the middle of a change. Here any numbers will do.
///     Err(RwLockError::OwnerDied(prices)) => prices.repaired()[2] = 950,
///     Err(other) => return Err(other.into()),
/// }
/// // Look first, and change only if needed, without anybody in between.
/// let looked = prices.upgradable_read()?;
/// if looked[2] > 900 {
///     looked.upgrade()?[2] = 900;
/// }
/// assert_eq!(prices.read()?[2], 900);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # When the holder dies
///
/// A dead reader leaves nothing behind but its entry, which a writer strikes out when the death is proved: within 50 ms
/// of the kernel closing the dead process's files. A dead writer is succeeded by the next one, reader or writer, who
/// gets [`AcquireError::OwnerDied`] with a guard that is alone with the value as the dead one left it. One that dies
/// waiting, as an upgradable reader, or before it was alone, changed nothing and is noticed by nobody. Somebody who
/// is merely stopped keeps what he has.
///
/// # Who goes first
///
/// A writer that waits keeps new readers out, so readers cannot starve it. A reader that found the lock closed a second
/// time queues with the writers, where turns are given as with [`Mutex`](crate::Mutex), so writers cannot starve it
/// either. One upgradable reader at a time shares the lock with readers, and keeps writers out.
///
/// # Limits
///
/// Threads of at most `READERS` *processes* read at one time, 61 unless said otherwise, and one that went on as a reader; one
/// more waits until one of them leaves. Each takes 8 bytes: the lock and its 61 cells are 512 bytes.
///
/// A thread that has a guard and asks for another one of the same lock may wait for itself: to write always, to read if a writer
/// waits in between, and for [`upgradable_read`](RwLock::upgradable_read) if it went on as a reader, from writing, looking or
/// repairing, while every cell was taken.
#[repr(C)]
pub struct RwLock<T: Plain, const READERS: usize = 61> {
    raw: RawRwLock<READERS>,
    value: UnsafeCell<T>,
}

// SAFETY: the value is only reached through the lock, by readers together or by one writer; a `Plain` value is `Send`
// and `Sync`.
unsafe impl<T: Plain, const READERS: usize> Sync for RwLock<T, READERS> {}

/// As of the standard library's: a panic in the middle of a change leaves it inconsistent, and the next one is told.
impl<T: Plain, const READERS: usize> RefUnwindSafe for RwLock<T, READERS> {}

// SAFETY: zero bytes are a free lock over a valid value, since a `Plain` type is valid for every bit pattern; the same
// holds for whatever a killed process leaves behind. All words of the lock are atomic and guard the value across
// processes. They hold slots and generations, no address, and dropping it does nothing. The layout names the type
// parameter, and the number of cells by the offset of the value.
unsafe impl<T: Plain, const READERS: usize> Shared for RwLock<T, READERS> {
    const LAYOUT: Layout = {
        assert!(READERS > 0 && READERS <= 1023, "an RwLock has 1 to 1,023 cells for readers");
        Layout::cell("RwLock", &[1, LOCK_VERSION], Self::FIELDS, size_of::<Self>(), align_of::<Self>())
    };
    const FIELDS: &'static [Field] = &[Field::new("value", offset_of!(Self, value), T::LAYOUT)];
}

impl<T: Plain, const READERS: usize> RwLock<T, READERS> {
    /// A free lock over `value`, to be put into a region.
    pub const fn new(value: T) -> RwLock<T, READERS> {
        RwLock { raw: RawRwLock::new(), value: UnsafeCell::new(value) }
    }

    /// Takes the lock for reading, waiting while a live process writes or waits to.
    ///
    /// # When a writer died
    ///
    /// The error hands over the lock alone; see [`RwLock`].
    #[inline]
    pub fn read(&self) -> Result<RwLockReadGuard<'_, T, READERS>, RwLockError<'_, T, READERS>> {
        match self.read_free() {
            Some(guard) => Ok(guard),
            None => self.read_until(None),
        }
    }

    /// Takes the lock for reading, waiting at most `patience`. Zero tries once.
    #[inline]
    pub fn read_timeout(
        &self,
        patience: Duration,
    ) -> Result<RwLockReadGuard<'_, T, READERS>, RwLockError<'_, T, READERS>> {
        match self.read_free() {
            Some(guard) => Ok(guard),
            None => self.read_until(Some(Deadline::after(patience))),
        }
    }

    /// Takes the lock for reading if nobody writes or waits to, or if the writer is proved dead. Never waits.
    #[inline]
    pub fn try_read(&self) -> Result<RwLockReadGuard<'_, T, READERS>, RwLockError<'_, T, READERS>> {
        match self.read_free() {
            Some(guard) => Ok(guard),
            None => at_once(self.read_until(Some(AT_ONCE))),
        }
    }

    /// Takes the lock for writing, waiting as long as live processes hold it. New readers wait meanwhile.
    ///
    /// # When the holder dies
    ///
    /// See [`RwLock`].
    #[inline]
    pub fn write(&self) -> Result<RwLockWriteGuard<'_, T, READERS>, RwLockError<'_, T, READERS>> {
        self.write_free().or_else(|has_intent| self.write_until(None, has_intent))
    }

    /// Takes the lock for writing, waiting at most `patience`. Zero tries once.
    pub fn write_timeout(
        &self,
        patience: Duration,
    ) -> Result<RwLockWriteGuard<'_, T, READERS>, RwLockError<'_, T, READERS>> {
        self.write_free().or_else(|has_intent| self.write_until(Some(Deadline::after(patience)), has_intent))
    }

    /// Takes the lock for writing if nobody holds it, or if all who do are proved dead. Never waits.
    pub fn try_write(&self) -> Result<RwLockWriteGuard<'_, T, READERS>, RwLockError<'_, T, READERS>> {
        self.write_free().or_else(|has_intent| at_once(self.write_until(Some(AT_ONCE), has_intent)))
    }

    /// Takes the lock for reading together with readers, keeping out writers and other upgradable readers; it can
    /// [`upgrade`](RwLockUpgradableGuard::upgrade) to writing with nobody in between. A thread that has a guard already may wait
    /// for itself, see *Limits* of [`RwLock`].
    pub fn upgradable_read(&self) -> Result<RwLockUpgradableGuard<'_, T, READERS>, RwLockError<'_, T, READERS>> {
        self.upgradable_until(None)
    }

    /// [`upgradable_read`](RwLock::upgradable_read), waiting at most `patience`.
    pub fn upgradable_read_timeout(
        &self,
        patience: Duration,
    ) -> Result<RwLockUpgradableGuard<'_, T, READERS>, RwLockError<'_, T, READERS>> {
        self.upgradable_until(Some(Deadline::after(patience)))
    }

    /// [`upgradable_read`](RwLock::upgradable_read) without waiting.
    pub fn try_upgradable_read(&self) -> Result<RwLockUpgradableGuard<'_, T, READERS>, RwLockError<'_, T, READERS>> {
        at_once(self.upgradable_until(Some(AT_ONCE)))
    }

    /// Whether a writer died or panicked and nobody has repaired the value since. A writer whose death nobody has
    /// noticed yet does not count.
    pub fn is_inconsistent(&self) -> bool {
        super::raw_rwlock::decode(&self.raw.words()).inconsistent
    }

    #[inline(always)]
    fn read_free(&self) -> Option<RwLockReadGuard<'_, T, READERS>> {
        let Access::Member(me) = participant::lookup(&self.raw)?.access() else { return None };
        let cell = self.raw.read_free(me, wake_all)?;
        wharf_sys::crash_point!("rwlock.read.after");
        Some(RwLockReadGuard::new(self.held(), Reads::InCell(cell)))
    }

    #[cold]
    #[inline(never)]
    fn read_until(
        &self,
        deadline: Option<Deadline>,
    ) -> Result<RwLockReadGuard<'_, T, READERS>, RwLockError<'_, T, READERS>> {
        let (me, patience) = self.patience(Mode::Read, deadline)?;
        match self.raw.read(me, &patience, wake_all, wake_one) {
            Ok(Entered::Reading(cell)) => {
                wharf_sys::crash_point!("rwlock.read.after");
                Ok(RwLockReadGuard::new(self.held(), Reads::InCell(cell)))
            }
            Ok(Entered::Alone) => Err(AcquireError::OwnerDied(RwLockOwnerDied::new(self.held()))),
            Err(_out_of_time) => Err(AcquireError::Timeout),
        }
    }

    /// The usual case: we may write here, and nobody holds the lock. Otherwise says whether `intent` is held now.
    #[inline(always)]
    fn write_free(&self) -> Result<RwLockWriteGuard<'_, T, READERS>, bool> {
        let attachment = participant::lookup(&self.raw).ok_or(false)?;
        let Access::Member(me) = attachment.access() else { return Err(false) };
        self.raw.write_free(me)?;
        Ok(RwLockWriteGuard::new(self.held()))
    }

    #[cold]
    #[inline(never)]
    fn write_until(
        &self,
        deadline: Option<Deadline>,
        has_intent: bool,
    ) -> Result<RwLockWriteGuard<'_, T, READERS>, RwLockError<'_, T, READERS>> {
        let (me, patience) = self.patience(Mode::Exclusive, deadline)?;
        if !has_intent {
            self.take_intent(me, &patience)?;
        }
        let alone =
            self.raw.be_alone(me, &patience, wake_all, wake_one).map_err(|_out_of_time| LockFailure::Timeout)?;
        match alone {
            Condition::Consistent => Ok(RwLockWriteGuard::new(self.held())),
            Condition::Inconsistent => Err(AcquireError::OwnerDied(RwLockOwnerDied::new(self.held()))),
        }
    }

    fn upgradable_until(
        &self,
        deadline: Option<Deadline>,
    ) -> Result<RwLockUpgradableGuard<'_, T, READERS>, RwLockError<'_, T, READERS>> {
        let (me, patience) = self.patience(Mode::UpgradableRead, deadline)?;
        let condition = self.take_intent(me, &patience)?;
        if self.raw.settle(condition, wake_all) {
            let alone = self.raw.be_alone(me, &patience, wake_all, wake_one);
            alone.map_err(|_out_of_time| LockFailure::Timeout)?;
            return Err(AcquireError::OwnerDied(RwLockOwnerDied::new(self.held())));
        }
        wharf_sys::crash_point!("rwlock.upgradable.after");
        Ok(RwLockUpgradableGuard::new(self.held()))
    }

    fn take_intent(&self, me: Owner, patience: &Patience<'_>) -> Result<Condition, LockFailure> {
        let intent = self.raw.intent();
        let condition = if intent.take_free(me) {
            Condition::Consistent
        } else {
            intent.take(me, patience).map_err(|_out_of_time| LockFailure::Timeout)?
        };
        wharf_sys::crash_point!("rwlock.intent.taken");
        Ok(condition)
    }

    /// Who we are, and how long we wait.
    pub(super) fn patience(
        &self,
        mode: Mode,
        deadline: Option<Deadline>,
    ) -> Result<(Owner, Patience<'_>), LockFailure> {
        let (me, attachment): (Owner, Attachment<'_>) = caller(&self.raw)?;
        Ok((me, Patience::new(attachment, me, deadline, Wanted::new(ObjectKind::RwLock, mode, self))))
    }

    #[inline(always)]
    fn held(&self) -> Held<'_, T, READERS> {
        let value = self.value.with_mut(|value| value);
        // SAFETY: the cell is never at address zero.
        let value = unsafe { NonNull::new_unchecked(value) };
        Held::new(self, value)
    }

    #[inline(always)]
    pub(super) fn raw(&self) -> &RawRwLock<READERS> {
        &self.raw
    }
}

/// A wait without time that was in vain is no timeout.
fn at_once<G, D>(tried: Result<G, AcquireError<D>>) -> Result<G, AcquireError<D>> {
    match tried {
        Err(AcquireError::Timeout) => Err(AcquireError::WouldBlock),
        other => other,
    }
}

impl<T: Plain, const READERS: usize> Look for RwLock<T, READERS> {
    fn look(&self) -> Seen {
        look_at(ObjectKind::RwLock, self, &self.raw.words())
    }
}

impl<T: Plain, const READERS: usize> fmt::Debug for RwLock<T, READERS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RwLock").field("writer", &self.raw.intent().holder()).finish_non_exhaustive()
    }
}
