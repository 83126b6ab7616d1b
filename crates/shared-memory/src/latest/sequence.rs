//! The protocol of the last-value cell: which of two copies is current, and whether one read of it was whole.
//!
//! It knows nothing of what the copies hold or how writers exclude each other: it is handed closures that copy, so
//! that a model can drive every interleaving of them.

use crate::atomic::{AtomicU64, Ordering, fence};

/// Says which of two copies is current: twice the version, plus one while the next version is being written.
///
/// Copy `version % 2` holds version `version`. A writer fills the *other* copy, so a writer that stops for ever
/// half-way leaves the current one alone. Zero is version 0 in copy 0, so fresh memory is valid.
#[derive(Debug)]
#[cfg_attr(not(loom), repr(transparent))]
pub(crate) struct Sequence(AtomicU64);

impl Sequence {
    /// Version 0, in copy 0.
    #[cfg(not(loom))]
    pub(crate) const fn new() -> Sequence {
        Sequence(AtomicU64::new(0))
    }

    /// Version 0, in copy 0, inside a model.
    #[cfg(loom)]
    pub(crate) fn new() -> Sequence {
        Sequence(AtomicU64::new(0))
    }

    /// The number of versions written so far.
    pub(crate) fn version(&self) -> u64 {
        // Acquire: pairs with the Release in `write`, so that a caller who compares versions never reads an older
        // value afterwards than the version promises.
        self.0.load(Ordering::Acquire) >> 1
    }

    /// One attempt to copy the current value out: `copy_out` gets the number of the copy. `None` if a writer may
    /// have changed that copy meanwhile; what `copy_out` returned is then dropped unseen.
    ///
    /// That takes one write that ended and another one that began while `copy_out` ran. A single write, however
    /// long, never disturbs.
    #[inline(always)]
    pub(crate) fn try_read<R>(&self, copy_out: impl FnOnce(usize) -> R) -> Option<(R, u64)> {
        // Acquire: pairs with the Release stores in `write` and `begin`, both of which come after the words of the
        // version that they call current, so that every word of the copy is at least as new as that.
        let version = self.0.load(Ordering::Acquire) >> 1;
        let value = copy_out(copy_of(version));
        // Acquire fence: pairs with the Release fence in `write`. If any word came from the writer of
        // `version + 2`, which uses the same copy, the load below sees that this writer has begun.
        fence(Ordering::Acquire);
        // Relaxed: the fence above orders it after the words.
        let after = self.0.load(Ordering::Relaxed);
        let untouched = after.wrapping_sub(version << 1) <= 2;
        untouched.then_some((value, version))
    }

    /// Writes the next version: `copy_in` gets the number of the copy to fill. Returns the new version.
    ///
    /// The caller is the only writer. A writer that stopped for ever anywhere in here leaves nothing to repair: the
    /// next one fills the same copy again, or goes on from the version that was just made current.
    #[inline(always)]
    pub(crate) fn write(&self, copy_in: impl FnOnce(usize)) -> u64 {
        let next = self.begin();
        copy_in(copy_of(next));
        wharf_sys::crash_point!("latest.write.copied");
        // Release: pairs with the Acquire in `try_read` and `version`: who sees this version sees its words.
        self.0.store(next << 1, Ordering::Release);
        next
    }

    /// Announces the next version, before the first word of it is stored.
    #[inline(always)]
    fn begin(&self) -> u64 {
        // Relaxed: only writers store to it, and the lock between them (or the kernel's proof that the previous one
        // is dead) orders their stores before this load.
        let next = (self.0.load(Ordering::Relaxed) >> 1).wrapping_add(1);
        // Release: this word, too, says that the previous version is current, so it pairs with the Acquire in
        // `try_read` and `version` as the last store of `write` does; a relaxed store would break the chain from
        // that one. What orders it before the words that follow is the fence below.
        self.0.store((next << 1).wrapping_sub(1), Ordering::Release);
        wharf_sys::crash_point!("latest.write.begun");
        // Release fence: pairs with the Acquire fence in `try_read`, as told there.
        fence(Ordering::Release);
        next
    }

    /// A write that is killed before its last store, inside a model.
    #[cfg(all(test, loom))]
    pub(super) fn write_and_die(&self, copy_in: impl FnOnce(usize)) {
        let next = self.begin();
        copy_in(copy_of(next));
    }

    /// The current copy, for the only writer: nobody changes it meanwhile.
    #[inline(always)]
    pub(crate) fn read_as_writer<R>(&self, copy_out: impl FnOnce(usize) -> R) -> R {
        // Relaxed: ordered by the lock between writers, as in `write`.
        copy_out(copy_of(self.0.load(Ordering::Relaxed) >> 1))
    }
}

const fn copy_of(version: u64) -> usize {
    (version & 1) as usize
}
