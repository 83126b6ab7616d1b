//! The lock word: who holds a lock, taken, handed on and taken over from the dead in one 32-bit atomic.
//!
//! The word knows nothing of processes, clocks or the kernel: how to sleep, how to wake and who is dead come from
//! a [`Surroundings`], so that a model can drive every branch. `docs/layout.md` draws the word.

#[cfg(not(loom))]
use super::look::{Hold, Said};
use crate::atomic::{AtomicU32, Ordering, spin_loop};

/// Set while somebody may be asleep on the word: whoever gives the lock back wakes one sleeper.
const WAITERS: u32 = 1 << 31;
/// Set from the moment a holder died or panicked until somebody says that the data is repaired.
const INCONSISTENT: u32 = 1 << 30;
/// The owner's bits: generation and slot. Zero means free.
const OWNER: u32 = INCONSISTENT - 1;
const SLOT_BITS: u32 = 10;
const SLOT: u32 = (1 << SLOT_BITS) - 1;

/// The largest number of slots that a lock word can tell apart.
#[cfg(not(loom))]
pub(crate) const MAX_SLOTS: u32 = SLOT;
/// Generations run from 0 up to here, then start again.
pub(crate) const MAX_GENERATION: u32 = (1 << 20) - 1;

/// One attachment of one process, as a lock word names it: a slot of the participant table and how often that
/// slot had been taken. Two attachments never share both (within 2^20 takings of one slot).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Owner(u32);

impl Owner {
    /// Names the attachment that took `slot` for the `generation`th time; both are cut to their width.
    pub(crate) const fn new(slot: u32, generation: u32) -> Owner {
        Owner(((generation & MAX_GENERATION) << SLOT_BITS) | ((slot + 1) & SLOT))
    }

    const fn in_word(word: u32) -> Option<Owner> {
        // Not only "the owner's bits are zero": a scribbled word without a slot belongs to nobody either.
        if word & SLOT == 0 { None } else { Some(Owner(word & OWNER)) }
    }

    /// The owner's bits of a lock word.
    pub(crate) const fn bits(self) -> u32 {
        self.0
    }

    /// Reads back [`bits`](Owner::bits); `None` if they name nobody.
    pub(crate) const fn from_bits(bits: u32) -> Option<Owner> {
        Owner::in_word(bits)
    }

    /// Which slot, from 0.
    pub(crate) const fn slot(self) -> u32 {
        (self.0 & SLOT) - 1
    }

    /// How often the slot had been taken, modulo 2^20.
    pub(crate) const fn generation(self) -> u32 {
        self.0 >> SLOT_BITS
    }
}

/// What the previous holder left behind.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Condition {
    /// Every holder so far gave the lock back in order, or somebody repaired the data since.
    Consistent,
    /// A holder died or panicked, and nobody has said since that the data is repaired.
    Inconsistent,
}

/// The deadline passed while a live process held the lock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct OutOfTime;

/// How one sleep ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Slept {
    /// Woken, or the word had changed already, or for no reason: look again.
    Woken,
    /// The slice is over: look whether the owner lives.
    SliceOver,
    /// The deadline has passed.
    OutOfTime,
}

/// What a lock word says, whoever read it from wherever.
#[cfg(not(loom))]
pub(crate) fn decode(word: u32) -> Said {
    Said {
        holds: Owner::in_word(word).map(Hold::exclusive).into_iter().collect(),
        inconsistent: word & INCONSISTENT != 0,
    }
}

/// What a lock needs from the world around it.
pub(crate) trait Surroundings {
    /// How often to look at the word before sleeping; 0 where one processor would only delay the owner.
    fn spins(&self) -> u32;

    /// Sleeps while `word` holds `expected`, at most for a slice.
    fn sleep(&self, word: &AtomicU32, expected: u32) -> Slept;

    /// Whether the owner's slot has moved on to another generation: cheap, and proof of death when true.
    fn has_left(&self, owner: Owner) -> bool;

    /// Whether the kernel proves that the owner is dead. May take system calls.
    fn is_dead(&self, owner: Owner) -> bool;
}

/// One lock word. Free when zero, so fresh memory holds free locks.
#[derive(Debug)]
#[cfg_attr(not(loom), repr(transparent))]
pub(crate) struct RawLock {
    word: AtomicU32,
}

impl RawLock {
    /// A free lock over consistent data.
    #[cfg(not(loom))]
    pub(crate) const fn new() -> RawLock {
        RawLock { word: AtomicU32::new(0) }
    }

    /// A free lock over consistent data, inside a model.
    #[cfg(loom)]
    pub(crate) fn new() -> RawLock {
        RawLock { word: AtomicU32::new(0) }
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
        // Bound: a turn takes the lock, loses a race against a process that changed the word (so somebody moved on),
        // or sleeps up to a slice; `around` ends it at the deadline. Without a deadline it waits as long as a live
        // process holds the lock, which is what the caller asked for.
        loop {
            // Acquire: pairs with the Release of the exchange that took the lock. Its owner had entered its
            // generation into its slot before; without this we could read its name here, an older generation there,
            // and take a newcomer for dead.
            let word = self.word.load(Ordering::Acquire);
            let Some(owner) = Owner::in_word(word) else {
                if let Ok(condition) = self.take_word(word, me.bits() | (word & (WAITERS | INCONSISTENT)) | after_sleep)
                {
                    return Ok(condition);
                }
                continue;
            };
            if around.has_left(owner) {
                if self.take_over(word, me) {
                    return Ok(Condition::Inconsistent);
                }
                continue;
            }
            if word & WAITERS == 0 {
                // Relaxed: the flag carries no data. The owner's exchange in `give_back` reads it in the word's own
                // modification order: either it comes later and sees the flag, or this exchange fails.
                let marked = self.word.compare_exchange(word, word | WAITERS, Ordering::Relaxed, Ordering::Relaxed);
                if marked.is_err() {
                    continue;
                }
                wharf_sys::crash_point!("mutex.lock.marked-waiting");
            }
            match around.sleep(&self.word, word | WAITERS) {
                Slept::Woken => after_sleep = WAITERS,
                Slept::SliceOver => {
                    after_sleep = WAITERS;
                    if around.is_dead(owner) && self.take_over(word | WAITERS, me) {
                        return Ok(Condition::Inconsistent);
                    }
                }
                // The flag stays set: should we have been woken just now, the next giving back wakes another. A last
                // look at the owner, because the deadline may have come before the end of any slice.
                Slept::OutOfTime => {
                    if around.is_dead(owner) && self.take_over(word | WAITERS, me) {
                        return Ok(Condition::Inconsistent);
                    }
                    return Err(OutOfTime);
                }
            }
        }
    }

    /// Takes the lock over if its owner is proved dead; otherwise leaves everything as it is.
    pub(crate) fn take_from_dead(&self, me: Owner, dead: impl Fn(Owner) -> bool) -> bool {
        // Acquire: as in `take`, before the owner's slot is looked at.
        let word = self.word.load(Ordering::Acquire);
        Owner::in_word(word).is_some_and(dead) && self.take_over(word, me)
    }

    /// Gives the lock back and calls `wake_one` if somebody may be asleep on the word.
    #[inline(always)]
    pub(crate) fn give_back(&self, condition: Condition, wake_one: impl FnOnce(&AtomicU32)) {
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
            wake_one(&self.word);
        }
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
        // Bound: `spins` turns, about the length of a short critical section; sleeping costs more than that.
        for _ in 0..around.spins() {
            // Relaxed: only the exchange in `try_take` decides.
            let word = self.word.load(Ordering::Relaxed);
            if Owner::in_word(word).is_none() {
                if let Some(condition) = self.try_take(me) {
                    return Some(condition);
                }
            } else if word & WAITERS != 0 {
                // Others gave up spinning already: this holder is not quick.
                return None;
            }
            spin_loop();
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
