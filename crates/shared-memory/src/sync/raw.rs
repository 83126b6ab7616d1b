//! The lock word: who holds a lock, taken, handed on and taken over from the dead in one 32-bit atomic.
//!
//! A second word names the [`Heir`](heir). The words know nothing of processes, clocks or the kernel: how to sleep, what time
//! it is and who is dead come from a [`Surroundings`]. `docs/layout.md` draws the words.

mod heir;

#[cfg(not(loom))]
use super::look::{Hold, Said};
use super::owner::Owner;
use super::surroundings::{Nap, OutOfTime, Slept, Surroundings};
use crate::atomic::{AtomicU32, Ordering, fence, spin_loop};
use heir::{Heir, Standing};

/// The version of the two words, as `docs/layout.md` draws them.
#[cfg(not(loom))]
pub(crate) const LOCK_VERSION: u32 = 2;
/// Set while somebody may be asleep on the word: whoever gives the lock back wakes one sleeper.
const WAITERS: u32 = 1 << 31;
/// Set from the moment a holder died or panicked until somebody says that the data is repaired.
const INCONSISTENT: u32 = 1 << 30;

/// What the previous holder left behind.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Condition {
    /// Every holder so far gave the lock back in order, or somebody repaired the data since.
    Consistent,
    /// A holder died or panicked, and nobody has said since that the data is repaired.
    Inconsistent,
}

/// What a lock word says, whoever read it from wherever.
#[cfg(not(loom))]
pub(crate) fn decode(word: u32) -> Said {
    Said {
        holds: Owner::in_word(word).map(Hold::exclusive).into_iter().collect(),
        inconsistent: word & INCONSISTENT != 0,
    }
}

/// Pauses before the first look at a lock that is held: some tens of turns of one that is given back at once, and no less than
/// its line takes to go to a holder on a far core.
const FIRST_PAUSES: u32 = if cfg!(loom) { 1 } else { 12 };
/// How many times as many pauses come before the next look.
const GROWTH: u32 = 3;

/// One lock. Free when zero, so fresh memory holds free locks.
#[derive(Debug)]
#[cfg_attr(not(loom), repr(C))]
pub(crate) struct RawLock {
    word: AtomicU32,
    heir: Heir,
}

impl RawLock {
    /// A free lock over consistent data.
    #[cfg(not(loom))]
    pub(crate) const fn new() -> RawLock {
        RawLock { word: AtomicU32::new(0), heir: Heir::new() }
    }

    /// A free lock over consistent data, inside a model.
    #[cfg(loom)]
    pub(crate) fn new() -> RawLock {
        RawLock { word: AtomicU32::new(0), heir: Heir::new() }
    }

    /// Takes a lock that is free and consistent, in one instruction.
    #[inline(always)]
    pub(crate) fn take_free(&self, me: Owner) -> bool {
        // Acquire: pairs with the Release of `give_back`, so that all the previous holder wrote is seen. Release: pairs
        // with the Acquire loads of the word, so that who reads our name here also sees our slot say so. Relaxed on
        // failure: nothing under the lock is looked at then.
        self.word.compare_exchange(0, me.bits(), Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    /// Takes the lock if nobody holds it; `None` if somebody does, dead or alive.
    pub(crate) fn try_take(&self, me: Owner) -> Option<Condition> {
        // Relaxed: only the exchange below decides.
        let mut word = self.word.load(Ordering::Relaxed);
        // Bound: a turn fails only because another process changed the word meanwhile.
        while Owner::in_word(word).is_none() {
            match self.take_word(word, me.bits() | (word & (WAITERS | INCONSISTENT))) {
                Ok(condition) => return Some(condition),
                Err(now) => word = now,
            }
        }
        None
    }

    /// Takes the lock, waiting while a live process holds it, until `around` says that time is up.
    ///
    /// From an owner whose death is proved it takes over in one exchange; the data is inconsistent then.
    pub(crate) fn take(&self, me: Owner, around: &impl Surroundings) -> Result<Condition, OutOfTime> {
        if let Some(condition) = self.spin(me, around) {
            return Ok(condition);
        }
        // After a sleep others may be asleep too, and the wake that woke us was theirs as well: from then on we
        // take the lock with WAITERS set, so that our own giving back wakes the next one.
        let mut after_sleep = 0;
        let (mut woken, mut heir) = (false, false);
        // Bound: a turn takes the lock, loses a race against a process that changed the word (so somebody moved on),
        // or sleeps up to a slice; `around` ends it at the deadline. Without a deadline it waits as long as a live
        // process holds the lock, which is what the caller asked for.
        let taken = loop {
            // Acquire: pairs with the Release of the exchange that took the lock. Its owner had entered its
            // generation into its slot before; without this we could read its name here, an older generation there,
            // and take a newcomer for dead.
            let word = self.word.load(Ordering::Acquire);
            let Some(owner) = Owner::in_word(word) else {
                if !heir && self.is_kept(word) {
                    match around.sleep(&self.word, word, Nap::Moment) {
                        Slept::Woken => {
                            after_sleep = WAITERS;
                            continue;
                        }
                        // The heir is slow, stopped or dead: it has had its moment. We take the lock for ourselves.
                        Slept::SliceOver | Slept::OutOfTime => self.heir.depose(around.now()),
                    }
                }
                let mine = me.bits() | (word & (WAITERS | INCONSISTENT)) | after_sleep;
                if let Ok(condition) = self.take_word(word, mine) {
                    break Ok(condition);
                }
                continue;
            };
            if around.has_left(owner) {
                if self.take_over(word, me) {
                    break Ok(Condition::Inconsistent);
                }
                continue;
            }
            // Woken, and somebody was quicker.
            if woken && !heir {
                heir = self.heir.claim(me, around);
            }
            let slept = if heir {
                match self.sleep_as_heir(me, owner, around) {
                    Some(slept) => slept,
                    None => {
                        heir = self.heir.is(me);
                        continue;
                    }
                }
            } else if self.mark_waiting(word) {
                around.sleep(&self.word, word | WAITERS, Nap::Slice)
            } else {
                continue;
            };
            after_sleep = WAITERS;
            woken |= slept == Slept::Woken;
            // Whoever holds it now: the one that we fell asleep behind may have given it back to one that has died since. Also
            // when time is up, because the deadline may have come before the end of any slice.
            if slept != Slept::Woken && self.take_from_dead(me, |owner| around.is_dead(owner)) {
                break Ok(Condition::Inconsistent);
            }
            // The flag stays set when time is up: should we have been woken just now, the next giving back wakes another.
            if slept == Slept::OutOfTime {
                // A lock that was given back for us would be lost to everybody for a moment: take it.
                break if heir { self.try_take(me).ok_or(OutOfTime) } else { Err(OutOfTime) };
            }
        };
        if heir {
            wharf_sys::crash_point!("mutex.heir.ends");
            self.heir.step_down(me, around.now());
        }
        taken
    }

    /// Says that somebody sleeps on the word; false if the word has changed.
    fn mark_waiting(&self, word: u32) -> bool {
        if word & WAITERS != 0 {
            return true;
        }
        // Relaxed: the flag carries no data. The owner's exchange in `give_back` reads it in the word's own
        // modification order: either it comes later and sees the flag, or this exchange fails.
        let marked = self.word.compare_exchange(word, word | WAITERS, Ordering::Relaxed, Ordering::Relaxed);
        if marked.is_err() {
            return false;
        }
        wharf_sys::crash_point!("mutex.lock.marked-waiting");
        true
    }

    /// Sleeps on the heir's word; `None` if the lock was given back meanwhile or somebody else is the heir now.
    fn sleep_as_heir(&self, me: Owner, owner: Owner, around: &impl Surroundings) -> Option<Slept> {
        // Before the look at the lock's word.
        if !self.heir.wait_anew(me) {
            return None;
        }
        // Release: pairs with the fence in `hand_on`. Whoever gives the lock back after this sees the flag, and then
        // our name. No Acquire: the word is only compared with what `take` has read with Acquire.
        let word = self.word.fetch_or(WAITERS, Ordering::Release);
        if Owner::in_word(word) != Some(owner) {
            return None;
        }
        Some(self.heir.sleep(me, around))
    }

    /// Whether a free lock is kept for its heir.
    fn is_kept(&self, word: u32) -> bool {
        word & WAITERS != 0 && self.heir.is_granted()
    }

    /// Takes the lock over if its owner is proved dead; otherwise leaves everything as it is.
    pub(crate) fn take_from_dead(&self, me: Owner, dead: impl Fn(Owner) -> bool) -> bool {
        // Acquire: as in `take`, before the owner's slot is looked at.
        let word = self.word.load(Ordering::Acquire);
        Owner::in_word(word).is_some_and(dead) && self.take_over(word, me)
    }

    /// Gives the lock back. If somebody may be asleep it calls `wake_one`, which says whether anybody was.
    #[inline(always)]
    pub(crate) fn give_back(&self, condition: Condition, wake_one: impl Fn(&AtomicU32) -> bool) {
        let left = match condition {
            Condition::Consistent => 0,
            Condition::Inconsistent => INCONSISTENT,
        };
        wharf_sys::crash_point!("mutex.unlock.before");
        // Release: pairs with the Acquire of every taking exchange, so that the next holder sees all we wrote.
        let word = self.word.swap(left, Ordering::Release);
        if word & WAITERS != 0 {
            // A death here leaves a free lock and a sleeper that nobody wakes: the end of its slice does.
            wharf_sys::crash_point!("mutex.unlock.before-wake");
            self.hand_on(left, wake_one);
        }
    }

    /// Wakes the heir, if there is one, and keeps the lock for it; otherwise wakes one of the sleepers.
    #[cold]
    #[inline(never)]
    fn hand_on(&self, left: u32, wake_one: impl Fn(&AtomicU32) -> bool) {
        // Pairs with the Release in `sleep_as_heir`: the flag that brought us here may be the heir's.
        fence(Ordering::Acquire);
        match self.heir.standing() {
            Standing::Waits(seen) => {
                // Relaxed: continues the release sequence of the swap. A failure means that somebody was quick and has
                // the lock already; the heir is woken all the same, and stays the heir.
                let _kept = self.word.compare_exchange(left, left | WAITERS, Ordering::Relaxed, Ordering::Relaxed);
                wharf_sys::crash_point!("mutex.handover.kept");
                if self.heir.grant(seen) {
                    wharf_sys::crash_point!("mutex.handover.granted");
                    if wake_one(self.heir.word()) {
                        return;
                    }
                }
                // It is about to sleep, and will see that it need not; or it is dead.
            }
            Standing::Granted(seen) => self.heir.forget(seen),
            Standing::Nobody => {}
        }
        wake_one(&self.word);
    }

    /// The holder says that the data under the lock is in doubt.
    pub(crate) fn mark_inconsistent(&self) {
        // Relaxed: as in `mark_consistent`.
        self.word.fetch_or(INCONSISTENT, Ordering::Relaxed);
    }

    /// The holder says that the data under the lock is in order again.
    pub(crate) fn mark_consistent(&self) {
        // Relaxed: only the holder calls this, and the flag reaches others through the Release of `give_back`.
        self.word.fetch_and(!INCONSISTENT, Ordering::Relaxed);
    }

    /// The word itself, for a report.
    #[cfg(not(loom))]
    pub(crate) fn word(&self) -> u32 {
        // Acquire: as in `take`, before the owner's slot is looked at.
        self.word.load(Ordering::Acquire)
    }

    /// The word that the heir sleeps on.
    #[cfg(loom)]
    pub(crate) fn heir_word(&self) -> &AtomicU32 {
        self.heir.word()
    }

    /// `heir` waits as the heir, and runs no more.
    #[cfg(loom)]
    pub(crate) fn pretend_heir(&self, heir: Owner) {
        self.heir.pretend(heir);
        self.word.fetch_or(WAITERS, Ordering::Release);
    }

    /// Who holds the lock at this moment, dead or alive.
    pub(crate) fn holder(&self) -> Option<Owner> {
        // Acquire: as in `take`, before the owner's slot is looked at.
        Owner::in_word(self.word.load(Ordering::Acquire))
    }

    /// Whether a holder died or panicked and nobody has repaired the data since.
    pub(crate) fn is_inconsistent(&self) -> bool {
        // Relaxed: a report, out of date as soon as it is made.
        self.word.load(Ordering::Relaxed) & INCONSISTENT != 0
    }

    fn spin(&self, me: Owner, around: &impl Surroundings) -> Option<Condition> {
        let most = around.spins();
        let (mut spent, mut gap) = (0, FIRST_PAUSES);
        // Bound: `spins` pauses; sleeping costs more than all of them. Every look takes the line away from a holder that could
        // otherwise have many short turns meanwhile, so each comes after three times as many pauses as the one before, and the
        // last one when all are spent.
        while spent < most {
            for _ in 0..gap {
                spin_loop();
            }
            spent += gap;
            gap = (gap * GROWTH).min(most.saturating_sub(spent));
            // Relaxed: only the exchange in `try_take` decides.
            let word = self.word.load(Ordering::Relaxed);
            if Owner::in_word(word).is_none() {
                if self.is_kept(word) {
                    return None;
                }
                if let Some(condition) = self.try_take(me) {
                    return Some(condition);
                }
            } else if word & WAITERS != 0 {
                // Others gave up spinning already: this holder is not quick.
                return None;
            }
        }
        None
    }

    /// Exchanges a word without owner for one with us as the owner.
    fn take_word(&self, word: u32, mine: u32) -> Result<Condition, u32> {
        // Acquire, Release and Relaxed: as in `take_free`.
        self.word.compare_exchange(word, mine, Ordering::AcqRel, Ordering::Relaxed)?;
        Ok(if word & INCONSISTENT == 0 { Condition::Consistent } else { Condition::Inconsistent })
    }

    /// Exchanges the word of a dead owner for one with us as the owner. The exchange names the dead one's slot *and*
    /// generation, so it can never hit a newcomer in the same slot, and a death once proved stays true.
    fn take_over(&self, word: u32, me: Owner) -> bool {
        wharf_sys::crash_point!("mutex.takeover.before");
        // WAITERS: others may be asleep behind the dead owner, with or without its flag.
        let mine = me.bits() | INCONSISTENT | WAITERS;
        // Acquire: pairs, through the dead owner's exchange, with the Release of the last one that gave back in
        // order. The dead owner released nothing itself: its stores are visible because the kernel ended it before it
        // told us so, or because its slot says that it left, which is read with Acquire. Release: as in `take_free`.
        let taken = self.word.compare_exchange(word, mine, Ordering::AcqRel, Ordering::Relaxed).is_ok();
        if taken {
            wharf_sys::crash_point!("mutex.takeover.after");
        }
        taken
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::super::surroundings::script::Script;
    use super::*;

    #[test]
    fn one_that_took_it_and_died_within_a_slice_is_succeeded_at_the_end_of_that_slice() {
        let [first, second, me] = [0, 1, 2].map(|slot| Owner::new(slot, 1));
        let lock = RawLock::new();
        assert!(lock.take_free(first));
        let around = Script::new(second, |_| {
            lock.give_back(Condition::Consistent, |_| false);
            assert_eq!(lock.try_take(second), Some(Condition::Consistent));
            Slept::SliceOver
        });
        assert_eq!(lock.take(me, &around), Ok(Condition::Inconsistent));
        assert_eq!(around.sleeps(), 1, "who has been asleep for a slice need not sleep another one to look");
        assert_eq!(lock.holder(), Some(me));
    }
}
