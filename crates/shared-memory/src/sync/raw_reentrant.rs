//! Who has a mutex that can be taken again, and how often: the two words beside the lock's own.

use super::owner::Owner;
use super::raw::{Condition, RawLock};
use crate::atomic::{AtomicU32, AtomicU64, Ordering};

/// Attachment and thread in one number. The attachment is in it because ids of threads collide between pid namespaces, and
/// because the next process in a dead one's slot may give a thread the same id.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Name(u64);

impl Name {
    /// Thread `thread` of the attachment `me`.
    #[inline(always)]
    pub(crate) const fn new(me: Owner, thread: u32) -> Name {
        Name((me.bits() as u64) << 32 | thread as u64)
    }
}

/// What became of locking once more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Again {
    /// The caller held the lock and has locked once more.
    Entered(Condition),
    /// The caller holds the lock as often as can be counted.
    TooDeep,
    /// The caller does not hold the lock.
    NotHeld,
}

/// The words of one re-entrant mutex, where they lie.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RawReentrant<'a> {
    /// Says whether the other two count.
    pub(crate) lock: &'a RawLock,
    /// The attachment's bits in the upper half, the thread's id in the lower one; 0 while nobody holds the lock. Written
    /// by the holder only.
    pub(crate) holder: &'a AtomicU64,
    /// How often the holder has locked. Written by the holder only.
    pub(crate) depth: &'a AtomicU32,
}

impl RawReentrant<'_> {
    /// The lock was just taken: writes down by whom.
    #[inline(always)]
    pub(crate) fn name(self, who: Name) {
        // Relaxed, both: only this thread can find its own name, and the next holder writes both anew.
        self.depth.store(1, Ordering::Relaxed);
        self.holder.store(who.0, Ordering::Relaxed);
        wharf_sys::crash_point!("reentrant.lock.named");
    }

    /// Locks once more, if `who` holds the lock.
    #[inline(always)]
    pub(crate) fn enter_again(self, who: Name) -> Again {
        // Relaxed, both: if it names this thread, this thread wrote it, and has not given the lock back since.
        if self.holder.load(Ordering::Relaxed) != who.0 {
            return Again::NotHeld;
        }
        let Some(depth) = self.depth.load(Ordering::Relaxed).checked_add(1) else { return Again::TooDeep };
        self.depth.store(depth, Ordering::Relaxed);
        wharf_sys::crash_point!("reentrant.lock.again");
        Again::Entered(self.condition())
    }

    /// The holder gives back one of the times that it has locked; with the last one it gives the lock back.
    #[inline(always)]
    pub(crate) fn leave(self, broken: bool, wake_one: impl Fn(&AtomicU32) -> bool) {
        if broken {
            self.lock.mark_inconsistent();
        }
        // Relaxed: only this thread writes it.
        let depth = self.depth.load(Ordering::Relaxed).saturating_sub(1);
        self.depth.store(depth, Ordering::Relaxed);
        wharf_sys::crash_point!("reentrant.unlock.counted");
        if depth > 0 {
            return;
        }
        // Relaxed: whoever takes the lock next writes its own name. Until it has, ours must not stand there: we would
        // take ourselves for the holder.
        self.holder.store(0, Ordering::Relaxed);
        self.lock.give_back(self.condition(), wake_one);
    }

    fn condition(self) -> Condition {
        if self.lock.is_inconsistent() { Condition::Inconsistent } else { Condition::Consistent }
    }
}
