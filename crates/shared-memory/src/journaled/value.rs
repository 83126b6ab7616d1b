//! The journaled value, as it lies in a region: two copies, their sums, and the version.
#![allow(unsafe_code)]

use std::fmt;
use std::mem::offset_of;
use std::ops::{Deref, DerefMut};

use super::commit::{self, Copies, copy_of};
use crate::atomic::AtomicU64;
use crate::plain::{Field, Layout, Plain, bytes_of};

/// Bytes before the first copy.
const HEADER_LEN: usize = 32;

/// A value that changes by explicit commits: two copies, a checksum for each, and a version that says which one counts.
///
/// Put it under a lock: `Mutex<Journaled<T>>`. It reads like a `T`; to change it, ask for a [`Change`], which is a copy,
/// edit that, and [commit](Change::commit). A process that is killed anywhere before the commit has changed nothing, and
/// one that is killed after it has changed everything. The next one that takes the lock is told that the owner died, and
/// has nothing to repair.
///
/// ```
/// # let dir = tempfile::tempdir()?;
/// # let domain = wharf_sys::directory::Domain::at(&dir.path().join("names"))?;
/// # let options = wharf_shared_memory::RegionOptions::new().domain(domain);
/// use wharf_shared_memory::{Journaled, LockError, Mutex, Plain, Region};
///
/// /// Their sum never changes, whoever dies when.
/// #[derive(Clone, Copy, Plain)]
/// #[repr(C)]
/// struct Accounts {
///     savings: i64,
///     current: i64,
/// }
///
/// let accounts: Region<Mutex<Journaled<Accounts>>> = options.open_or_create("accounts")?;
/// let mut accounts = match accounts.lock() {
///     Ok(accounts) => accounts,
///     // Whatever the dead owner was in the middle of has not happened.
///     Err(LockError::OwnerDied(accounts)) => accounts.repaired(),
///     Err(other) => return Err(other.into()),
/// };
/// let mut change = accounts.change();
/// change.savings -= 100;
/// // A kill here changes nothing.
/// change.current += 100;
/// change.commit();
/// assert_eq!(accounts.savings + accounts.current, 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # When the holder dies
///
/// The last committed value counts. A change that was dropped, or whose owner was killed, leaves nothing behind but
/// scratch in the copy that does not count.
///
/// # What it does not give
///
/// It makes one value whole, not several: two journals that must agree belong into one `T`. Assigning to the whole
/// (`*guard = Journaled::new(…)`) goes around the commit. Values must mean the same wherever they lie, because a commit
/// moves them to the other copy: no offsets from their own place. In a file-backed region nothing is forced to the disk;
/// after a crash of the machine [`recover`](Journaled::recover) tells which copy is whole, if one is.
///
/// # Limits
///
/// The size of `T` must be a multiple of four bytes, and its alignment at most 32 (checked at compile time). A change
/// copies the whole value once and sums it once: about a microsecond for 4 KiB. The stack is not involved.
#[repr(C, align(8))]
pub struct Journaled<T: Plain> {
    /// How often a change was committed; copy `version % 2` counts.
    version: u64,
    /// Of each copy, together with the version in which it was committed.
    sums: [u64; 2],
    _reserved: u64,
    copies: [T; 2],
}

impl<T: Plain> Clone for Journaled<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: Plain> Copy for Journaled<T> {}

// SAFETY: numbers and values that are valid for every bit pattern, without padding (asserted in LAYOUT), without an
// address; which copy counts is taken modulo two, so a scribbled version is harmless too. The layout names the one type
// parameter.
unsafe impl<T: Plain> Plain for Journaled<T> {
    const LAYOUT: Layout = {
        assert!(
            size_of::<Self>() == HEADER_LEN + 2 * size_of::<T>() && offset_of!(Self, copies) == HEADER_LEN,
            "the size of a journaled value must be a multiple of 4 bytes and its alignment at most 32; add a field of bytes"
        );
        Layout::cell("Journaled", &[1], Self::FIELDS, size_of::<Self>(), align_of::<Self>())
    };
    const FIELDS: &'static [Field] = &[Field::new("value", offset_of!(Self, copies), T::LAYOUT)];
}

impl<T: Plain> Journaled<T> {
    /// `value` as version 0.
    pub fn new(value: T) -> Journaled<T> {
        let mut journal = Journaled { version: 0, sums: [0; 2], _reserved: 0, copies: [value, value] };
        journal.sums[0] = sum(0, bytes_of(&value));
        journal
    }

    /// How many changes were committed.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Begins a change: a copy of the value to edit, which counts for nothing until it is committed.
    pub fn change(&mut self) -> Change<'_, T> {
        commit::begin(self);
        Change { journal: self }
    }

    /// Edits the value and commits, all at once; a panic in `edit` changes nothing. Returns the new version.
    pub fn update(&mut self, edit: impl FnOnce(&mut T)) -> u64 {
        let mut change = self.change();
        edit(&mut change);
        change.commit()
    }

    /// Whether the value is as it was committed: an error if somebody wrote past the journal, or if a file-backed region
    /// reached the disk in part.
    pub fn check(&self) -> Result<(), JournalDamaged> {
        self.check_copy(self.version).then_some(()).ok_or(JournalDamaged { version: self.version })
    }

    /// Makes sure that a whole value counts, and says which one. Not needed after a death: it is for damage that no
    /// process does by dying.
    pub fn recover(&mut self) -> Result<Recovered, JournalDamaged> {
        if self.check_copy(self.version) {
            return Ok(Recovered::Newest);
        }
        let version = self.version;
        let before =
            version.checked_sub(1).filter(|&before| self.check_copy(before)).ok_or(JournalDamaged { version })?;
        commit::count(self, before);
        Ok(Recovered::OneBefore)
    }

    fn check_copy(&self, version: u64) -> bool {
        let copy = copy_of(version);
        self.sums[copy] == sum(version, bytes_of(&self.copies[copy]))
    }
}

impl<T: Plain> Copies for Journaled<T> {
    #[inline(always)]
    fn version(&self) -> u64 {
        self.version
    }

    #[inline(always)]
    fn version_word(&mut self) -> &AtomicU64 {
        let at = &raw mut self.version;
        // SAFETY: aligned as a u64 in a struct with a multiple of eight as its alignment is, valid, and `&mut self` makes
        // this the only access.
        unsafe { AtomicU64::from_ptr(at) }
    }

    #[inline(always)]
    fn copy_over(&mut self, from: usize, to: usize) {
        self.copies[to] = self.copies[from];
    }

    #[inline(always)]
    fn sum_up(&mut self, copy: usize, version: u64) {
        self.sums[copy] = sum(version, bytes_of(&self.copies[copy]));
    }
}

impl<T: Plain> Deref for Journaled<T> {
    type Target = T;

    /// The last committed value.
    fn deref(&self) -> &T {
        &self.copies[copy_of(self.version)]
    }
}

impl<T: Plain + fmt::Debug> fmt::Debug for Journaled<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journaled").field("version", &self.version).field("value", &**self).finish()
    }
}

/// A copy of a journaled value to edit. Dropped, it never was.
#[must_use = "nothing is changed until commit() is called"]
pub struct Change<'a, T: Plain> {
    journal: &'a mut Journaled<T>,
}

impl<T: Plain> Change<'_, T> {
    /// Makes the edited copy the value, in one store. Returns its version.
    pub fn commit(self) -> u64 {
        commit::commit(self.journal)
    }
}

impl<T: Plain> Deref for Change<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.journal.copies[copy_of(commit::next(self.journal))]
    }
}

impl<T: Plain> DerefMut for Change<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        let next = copy_of(commit::next(self.journal));
        &mut self.journal.copies[next]
    }
}

/// What [`Journaled::recover`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Recovered {
    /// The last committed value is whole.
    Newest,
    /// It was damaged; the one before it is whole and counts again, and one commit is lost.
    OneBefore,
}

/// A journaled value is not as it was committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "version {version} of a journaled value does not have the checksum that was committed with it: something wrote past \
     the journal, or a file reached the disk in part; try recover(), or put a new value there"
)]
#[non_exhaustive]
pub struct JournalDamaged {
    /// The version that should count.
    pub version: u64,
}

/// Checks a journal of which only the bytes are known: how many bytes its value has, it must be told. Returns its
/// version.
pub fn check_bytes(journal: &[u8], value_len: usize) -> Result<u64, JournalDamaged> {
    let number = |at: usize| journal.get(at..at + 8).and_then(|bytes| bytes.try_into().ok()).map(u64::from_le_bytes);
    let version = number(0).unwrap_or(0);
    let damaged = JournalDamaged { version };
    let copy = copy_of(version);
    let committed = number(8 + 8 * copy).ok_or(damaged)?;
    let start = copy.checked_mul(value_len).and_then(|before| before.checked_add(HEADER_LEN)).ok_or(damaged)?;
    let value = start.checked_add(value_len).and_then(|end| journal.get(start..end)).ok_or(damaged)?;
    if sum(version, value) == committed { Ok(version) } else { Err(damaged) }
}

/// The checksum that `docs/layout.md` fixes: over the version and the value in words of eight bytes, the last one filled
/// with zeroes. Of version 0 and zeroes it is 0, so fresh memory is in order. Each step is a bijection, so one wrong word
/// never passes; against somebody who wants it to pass it is no defence.
fn sum(version: u64, value: &[u8]) -> u64 {
    let step = |sum: u64, word: u64| (sum.rotate_left(23) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let (words, rest) = value.as_chunks::<8>();
    let sum = words.iter().fold(step(0, version), |sum, word| step(sum, u64::from_le_bytes(*word)));
    if rest.is_empty() {
        return sum;
    }
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    step(sum, u64::from_le_bytes(last))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plain::{bytes_of_mut, zeroed};

    type Three = [u32; 3];

    #[test]
    fn zero_bytes_are_a_value_in_order_and_so_is_a_first_value() {
        let fresh: Journaled<Three> = zeroed();
        assert_eq!((fresh.version(), *fresh, fresh.check()), (0, [0; 3], Ok(())));
        let first = Journaled::new([1_u32, 2, 3]);
        assert_eq!((first.version(), *first, first.check()), (0, [1, 2, 3], Ok(())));
        assert_eq!(size_of::<Journaled<Three>>(), 32 + 24);
        assert_eq!(size_of::<Journaled<u128>>(), 64);
    }

    #[test]
    fn what_is_committed_counts_and_what_is_dropped_never_was() {
        let mut journal = Journaled::new([1_u32, 2, 3]);
        let mut change = journal.change();
        change[0] = 7;
        assert_eq!(*change, [7, 2, 3]);
        drop(change);
        assert_eq!((*journal, journal.check()), ([1, 2, 3], Ok(())));
        for round in 1..=5 {
            let mut change = journal.change();
            change[1] += 1;
            assert_eq!(change.commit(), round);
            assert_eq!((journal[1], journal.version(), journal.check()), (2 + round as u32, round, Ok(())));
        }
        assert_eq!(journal.update(|value| value[2] = 9), 6);
        assert_eq!(*journal, [1, 7, 9]);
    }

    #[test]
    fn a_panic_in_an_edit_changes_nothing() {
        let mut journal = Journaled::new([1_u32, 2, 3]);
        let edit = |value: &mut Three| {
            value[0] = 9;
            std::panic::resume_unwind(Box::new("in the middle"));
        };
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| journal.update(edit)));
        assert!(panicked.is_err());
        assert_eq!((*journal, journal.version()), ([1, 2, 3], 0));
    }

    #[test]
    fn every_wrong_byte_of_what_counts_is_noticed_and_none_of_what_does_not() {
        for commits in 0..3_usize {
            let mut journal = Journaled::new([1_u32, 2, 3]);
            for _ in 0..commits {
                journal.update(|value| value[1] += 1);
            }
            let len = size_of_val(&journal);
            let copy = commits % 2;
            let counts = |at: usize| {
                at < 8 || (8 + 8 * copy..16 + 8 * copy).contains(&at) || (32 + 12 * copy..44 + 12 * copy).contains(&at)
            };
            for at in 0..len {
                let mut hit = journal;
                bytes_of_mut(&mut hit)[at] ^= 0x10;
                assert_eq!(hit.check().is_err(), counts(at), "byte {at} after {commits} commits");
                assert_eq!(check_bytes(bytes_of(&hit), 12).is_err(), counts(at), "byte {at} after {commits} commits");
            }
            assert_eq!(check_bytes(bytes_of(&journal), 12), Ok(commits as u64));
        }
    }

    #[test]
    fn a_damaged_value_gives_way_to_the_one_before() {
        let mut journal = Journaled::new([1_u32, 2, 3]);
        journal.update(|value| value[0] = 5);
        assert_eq!(journal.recover(), Ok(Recovered::Newest));
        journal.copies[1][2] ^= 1;
        assert_eq!(journal.recover(), Ok(Recovered::OneBefore));
        assert_eq!((*journal, journal.version(), journal.check()), ([1, 2, 3], 0, Ok(())));
        journal.copies[0][2] ^= 1;
        assert_eq!(journal.recover(), Err(JournalDamaged { version: 0 }));
    }

    #[test]
    fn bytes_that_are_too_few_are_damaged_and_nothing_worse() {
        let journal = Journaled::new([1_u32, 2, 3]);
        let bytes = bytes_of(&journal);
        for len in 0..32 + 12 {
            assert!(check_bytes(&bytes[..len], 12).is_err(), "{len}");
        }
        assert!(check_bytes(bytes, usize::MAX).is_err());
    }
}
