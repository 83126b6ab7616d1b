//! The heir of a lock: one waiter that lost a race after it was woken, and to whom the next one that gives the lock back
//! hands it on.
//!
//! That bounds barging: whoever comes at the right moment may overtake sleepers, but once a millisecond one of them has its
//! turn. The word says who the heir is and whether a lock was given back for it; without an heir, when there was one last.

use super::super::owner::Owner;
use super::super::surroundings::{Nap, Slept, Surroundings};
use crate::atomic::{AtomicU32, Ordering};

/// The other bits name the heir. Without it they say when there was one last.
const CLAIMED: u32 = 1 << 31;
/// A lock was given back for the heir.
const GRANTED: u32 = 1 << 30;
/// The time, which starts again after 19 hours. An heir later than it could be costs one turn's delay.
const TIME: u32 = GRANTED - 1;
/// How long after one heir there is no other, in units of 2^16 ns: one millisecond. A hand-over costs two switches of
/// processes, about 50 µs, so fairness takes a twentieth of a hammered lock at most.
const TURN: u32 = 16;

/// How one who gives the lock back finds the heir.
pub(super) enum Standing {
    /// There is none.
    Nobody,
    /// It waits; the word that says so.
    Waits(u32),
    /// A lock was given back for it already, and it does not run; the word that says so.
    Granted(u32),
}

/// Nobody when zero.
#[derive(Debug)]
#[cfg_attr(not(loom), repr(transparent))]
pub(super) struct Heir {
    word: AtomicU32,
}

impl Heir {
    /// There is none, and there never was.
    #[cfg(not(loom))]
    pub(super) const fn new() -> Heir {
        Heir { word: AtomicU32::new(0) }
    }

    /// The same, inside a model.
    #[cfg(loom)]
    pub(super) fn new() -> Heir {
        Heir { word: AtomicU32::new(0) }
    }

    /// Where the heir sleeps.
    pub(super) fn word(&self) -> &AtomicU32 {
        &self.word
    }

    /// Becomes the heir, if there is none and the last one was a turn ago.
    pub(super) fn claim(&self, me: Owner, around: &impl Surroundings) -> bool {
        // Relaxed, both: the name is made known by the exchange of the lock's word that follows.
        let seen = self.word.load(Ordering::Relaxed);
        let claimed = seen & CLAIMED != 0;
        // The bits of an heir that has left are free; those of a dead one are, when its moment is over.
        let vacant = !claimed || Owner::in_word(seen).is_none_or(|owner| around.has_left(owner));
        let due = claimed || around.now().wrapping_sub(seen) & TIME >= TURN;
        if !(vacant && due) {
            return false;
        }
        let mine = CLAIMED | me.bits();
        let claimed = self.word.compare_exchange(seen, mine, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        if claimed {
            wharf_sys::crash_point!("mutex.heir.claimed");
        }
        claimed
    }

    /// Waits anew, as the heir: what was granted before, another has taken. False if somebody else is the heir now.
    pub(super) fn wait_anew(&self, me: Owner) -> bool {
        let (waits, granted) = (CLAIMED | me.bits(), CLAIMED | GRANTED | me.bits());
        // Relaxed, both: only such a grant is thrown away as came before the look at the lock's word that follows.
        match self.word.compare_exchange(granted, waits, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => true,
            Err(seen) => seen == waits,
        }
    }

    /// Sleeps until a lock is given back for the heir `me`, at most for a slice.
    pub(super) fn sleep(&self, me: Owner, around: &impl Surroundings) -> Slept {
        around.sleep(&self.word, CLAIMED | me.bits(), Nap::Slice)
    }

    /// Whether `me` is the heir.
    pub(super) fn is(&self, me: Owner) -> bool {
        // Relaxed: at worst we sleep as an ordinary waiter. Another thread of this process may have become the heir
        // since we were: then two of us sleep there, and the second one wakes at the end of its slice.
        self.word.load(Ordering::Relaxed) & !GRANTED == CLAIMED | me.bits()
    }

    /// Whether a lock was given back for the heir, which has not said yet that it has it.
    pub(super) fn is_granted(&self) -> bool {
        // Relaxed: a lock taken although it was kept is the heir's bad luck, and is kept for it again.
        self.word.load(Ordering::Relaxed) & (CLAIMED | GRANTED) == CLAIMED | GRANTED
    }

    /// `me` is the heir no more.
    pub(super) fn step_down(&self, me: Owner, now: u32) {
        // Relaxed, both, here and in `depose`: nothing hangs on it but who sleeps where.
        let seen = self.word.load(Ordering::Relaxed);
        if seen & !GRANTED == CLAIMED | me.bits() {
            self.end(seen, now);
        }
    }

    /// The heir has had its moment.
    pub(super) fn depose(&self, now: u32) {
        let seen = self.word.load(Ordering::Relaxed);
        if seen & (CLAIMED | GRANTED) == CLAIMED | GRANTED {
            self.end(seen, now);
        }
    }

    fn end(&self, seen: u32, now: u32) {
        let _other_now = self.word.compare_exchange(seen, now & TIME, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// How things stand, for one who gives the lock back.
    pub(super) fn standing(&self) -> Standing {
        // Relaxed: ordered by the caller's fence.
        let seen = self.word.load(Ordering::Relaxed);
        match seen & (CLAIMED | GRANTED) {
            CLAIMED => Standing::Waits(seen),
            0 | GRANTED => Standing::Nobody,
            _ => Standing::Granted(seen),
        }
    }

    /// A lock has been given back for the heir that `seen` names; false if it gave up or was a little quicker.
    pub(super) fn grant(&self, seen: u32) -> bool {
        // Relaxed: the heir looks at the lock's word for what it needs.
        self.word.compare_exchange(seen, seen | GRANTED, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// The heir that `seen` names has had its chance: let another be the heir, at once.
    pub(super) fn forget(&self, seen: u32) {
        // Relaxed: as in `grant`.
        let _other_now = self.word.compare_exchange(seen, 0, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// `heir` is the heir, and runs no more.
    #[cfg(loom)]
    pub(super) fn pretend(&self, heir: Owner) {
        self.word.store(CLAIMED | heir.bits(), Ordering::Relaxed);
    }
}
