//! In which order a change is made and committed, so that a death between any two stores leaves the last committed value.
//!
//! One store decides, and a kill falls between two instructions; so the compiler must keep what comes before it before it
//! and what comes after it after it. The processor does: a process sees its own stores in order, and what it stored when
//! it was killed is what the next one finds. The lock around the journal orders it for that one.

use crate::atomic::{AtomicU64, Ordering, keep_stores_after};

/// What a journal consists of: two copies of a value, a sum of each, and a version that says which one counts. Only the
/// holder of the lock around it has one.
pub(crate) trait Copies {
    /// How often a change was committed.
    fn version(&self) -> u64;

    /// The word that says so.
    fn version_word(&mut self) -> &AtomicU64;

    /// Makes copy `to` what copy `from` is.
    fn copy_over(&mut self, from: usize, to: usize);

    /// Writes down the sum of copy `copy` as the value of `version`.
    fn sum_up(&mut self, copy: usize, version: u64);
}

/// Which copy counts in `version`.
pub(crate) const fn copy_of(version: u64) -> usize {
    (version & 1) as usize
}

/// The version that a change makes when it is committed, in whose copy it is made.
pub(crate) fn next(journal: &impl Copies) -> u64 {
    journal.version().wrapping_add(1)
}

/// Begins a change: the copy that does not count becomes what the other one is.
pub(crate) fn begin(journal: &mut impl Copies) {
    let (now, next) = (copy_of(journal.version()), copy_of(next(journal)));
    journal.copy_over(now, next);
    wharf_sys::crash_point!("journaled.change.begun");
}

/// Makes the copy of the next version the one that counts. Returns its version.
pub(crate) fn commit(journal: &mut impl Copies) -> u64 {
    let version = next(journal);
    journal.sum_up(copy_of(version), version);
    wharf_sys::crash_point!("journaled.commit.summed");
    count(journal, version);
    wharf_sys::crash_point!("journaled.commit.done");
    version
}

/// From here on the copy of `version` counts.
pub(crate) fn count(journal: &mut impl Copies, version: u64) {
    // Release: keeps the stores to that copy and its sum before it.
    journal.version_word().store(version, Ordering::Release);
    // Keeps the first stores of the next change, which go to the copy that counted until now, after it.
    keep_stores_after();
}
