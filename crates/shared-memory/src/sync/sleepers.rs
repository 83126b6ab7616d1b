//! A word on which processes sleep until something that is stored elsewhere changes.
//!
//! Whoever waits *announces* itself, looks once more at what it waits for, and sleeps. Whoever changes that wakes
//! afterwards. What they wait for may be any words; this one only makes sure that no wake is lost between looking and
//! sleeping, and that nobody makes a system call while nobody sleeps. A sleeper that is killed leaves at most one needless
//! wake behind; a waker that is killed leaves sleepers, whose slices end.

use crate::atomic::{AtomicU32, Ordering, fence, spin_loop};
use crate::sync::surroundings::{Nap, Slept, Surroundings};

/// The version of the word, as `docs/layout.md` draws it.
#[cfg(not(loom))]
pub(crate) const SLEEPERS_VERSION: u32 = 1;
/// Somebody may be asleep, or about to be.
const ASLEEP: u32 = 1;
/// Whoever changes something wakes in any case: for sleepers that cannot write this word.
const ALWAYS: u32 = 2;
/// One lap: the word takes another value whenever all are woken, so that nobody falls asleep on the old one.
const LAP: u32 = 4;

/// How many a wake wakes.
const ALL: u32 = u32::MAX;

/// What the word said when a waiter announced itself: it sleeps only while the word still says it.
#[derive(Clone, Copy)]
struct Ticket(u32);

/// The word: free of sleepers when zero.
#[derive(Debug)]
#[cfg_attr(not(loom), repr(transparent))]
pub(crate) struct Sleepers {
    word: AtomicU32,
}

impl Sleepers {
    /// Nobody sleeps.
    #[cfg(not(loom))]
    pub(crate) const fn new() -> Sleepers {
        Sleepers { word: AtomicU32::new(0) }
    }

    /// Nobody sleeps, inside a model.
    #[cfg(loom)]
    pub(crate) fn new() -> Sleepers {
        Sleepers { word: AtomicU32::new(0) }
    }

    /// Waits until `look` finds what the caller waits for; `None` when time is up. `look` is told how the last sleep ended,
    /// so that it asks expensive questions only after a slice.
    pub(crate) fn wait<R>(&self, around: &impl Surroundings, look: impl FnMut(Slept) -> Option<R>) -> Option<R> {
        self.wait_after(|| self.announce(), around, look)
    }

    /// The same by one that must not write: it is woken only together with others, or if every change wakes; otherwise it
    /// looks at the end of its slice.
    #[cfg(not(loom))]
    pub(crate) fn wait_silently<R>(
        &self,
        around: &impl Surroundings,
        look: impl FnMut(Slept) -> Option<R>,
    ) -> Option<R> {
        self.wait_after(|| self.announce_silently(), around, look)
    }

    fn wait_after<R>(
        &self,
        announce: impl Fn() -> Ticket,
        around: &impl Surroundings,
        mut look: impl FnMut(Slept) -> Option<R>,
    ) -> Option<R> {
        // Bound: `spins` turns, about a microsecond; sleeping costs more than that.
        for _ in 0..around.spins() {
            if let Some(found) = look(Slept::Woken) {
                return Some(found);
            }
            spin_loop();
        }
        let mut slept = Slept::Woken;
        // Bound: a turn sleeps up to a slice, or somebody changed something; `around` ends it at the deadline. Without a
        // deadline it waits as long as it takes, which is what the caller asked for.
        loop {
            let ticket = announce();
            if let Some(found) = look(slept) {
                return Some(found);
            }
            if slept == Slept::OutOfTime {
                return None;
            }
            wharf_sys::crash_point!("sleepers.wait.announced");
            slept = around.sleep(&self.word, ticket.0, Nap::Slice);
            wharf_sys::crash_point!("sleepers.wait.slept");
        }
    }

    /// Says that the caller is about to sleep. It looks at what it waits for once more, and only then sleeps.
    fn announce(&self) -> Ticket {
        // Relaxed: ordered by the fence.
        let word = self.word.fetch_or(ASLEEP, Ordering::Relaxed);
        // SeqCst: the pair of the fence in `wake_one` and `wake_all`. Either they see this announcement, or we see, in our
        // next look, what they changed. It is also an acquire fence: whoever is woken sees, in its next look, what was
        // changed before the word was.
        fence(Ordering::SeqCst);
        Ticket(word | ASLEEP)
    }

    #[cfg(not(loom))]
    fn announce_silently(&self) -> Ticket {
        // Relaxed, and the fence: as in `announce`.
        let word = self.word.load(Ordering::Relaxed);
        fence(Ordering::SeqCst);
        Ticket(word)
    }

    /// Whether every change wakes, sleepers announced or not.
    #[cfg(not(loom))]
    pub(crate) fn set_always(&self, always: bool) {
        // Relaxed, both: a wish; it holds from some change on.
        if always {
            self.word.fetch_or(ALWAYS, Ordering::Relaxed);
        } else {
            self.word.fetch_and(!ALWAYS, Ordering::Relaxed);
        }
    }

    /// Wakes one sleeper, after something changed that one of them can use. `wake` is told how many to wake and says how
    /// many it found.
    #[inline(always)]
    pub(crate) fn wake_one(&self, wake: impl Fn(&AtomicU32, u32) -> usize) {
        // SeqCst: the pair of the fence in `announce`.
        fence(Ordering::SeqCst);
        // Relaxed: ordered by the fence.
        let word = self.word.load(Ordering::Relaxed);
        if word & ASLEEP != 0 {
            self.wake_one_asleep(word, wake);
        }
    }

    #[cold]
    fn wake_one_asleep(&self, word: u32, wake: impl Fn(&AtomicU32, u32) -> usize) {
        wharf_sys::crash_point!("sleepers.wake.one");
        if wake(&self.word, 1) > 0 {
            return;
        }
        // Nobody was there: the next change need not look for anybody. One that announced itself meanwhile finds another
        // word when it goes to sleep; and one that has fallen asleep since our wake is woken here. Relaxed: as above; if
        // the word has changed, somebody else did just this, and whoever announced itself since has seen our change.
        let awake = (word & !ASLEEP).wrapping_add(LAP);
        if self.word.compare_exchange(word, awake, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            wharf_sys::crash_point!("sleepers.wake.cleared");
            wake(&self.word, ALL);
        }
    }

    /// Wakes all sleepers, after something changed that each of them waits for.
    #[inline(always)]
    pub(crate) fn wake_all(&self, wake: impl Fn(&AtomicU32, u32) -> usize) {
        // SeqCst: the pair of the fence in `announce`.
        fence(Ordering::SeqCst);
        // Relaxed: ordered by the fence.
        let word = self.word.load(Ordering::Relaxed);
        if word & (ASLEEP | ALWAYS) != 0 {
            self.wake_all_asleep(word, wake);
        }
    }

    #[cold]
    fn wake_all_asleep(&self, mut word: u32, wake: impl Fn(&AtomicU32, u32) -> usize) {
        // Bound: a turn fails only because a waiter announced itself, once for all of them, or because another waker
        // woke them all, which ends it.
        while word & (ASLEEP | ALWAYS) != 0 {
            let awake = (word & !ASLEEP).wrapping_add(LAP);
            // Relaxed: the fence in `wake_all` makes this a release, for the fence in `announce`.
            match self.word.compare_exchange(word, awake, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => {
                    wharf_sys::crash_point!("sleepers.wake.all");
                    wake(&self.word, ALL);
                    return;
                }
                Err(now) => word = now,
            }
        }
    }
}

/// Wakes at most `count` of those who sleep on `word`, and says how many there were.
#[cfg(not(loom))]
pub(crate) fn wake(word: &AtomicU32, count: u32) -> usize {
    // A wake cannot fail on a mapped word; if it did, the sleepers' slices would end by themselves.
    wharf_sys::futex::wake(word, count, true).unwrap_or(0)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::cell::Cell;
    use std::thread;
    use std::time::Duration;

    use wharf_sys::clock::Deadline;
    use wharf_sys::futex::{self, FutexWake};

    use super::*;

    /// How many a wake was asked to wake.
    fn asked(wake: impl FnOnce(&dyn Fn(&AtomicU32, u32) -> usize)) -> Vec<u32> {
        let calls = Cell::new(Vec::new());
        let count = |_: &AtomicU32, count| {
            let mut so_far = calls.take();
            so_far.push(count);
            calls.set(so_far);
            0
        };
        wake(&count);
        calls.take()
    }

    #[test]
    fn nobody_is_woken_while_nobody_sleeps_and_everybody_always_if_asked() {
        let sleepers = Sleepers::new();
        assert!(asked(|wake| sleepers.wake_all(wake)).is_empty() && asked(|wake| sleepers.wake_one(wake)).is_empty());
        sleepers.announce();
        assert_eq!(asked(|wake| sleepers.wake_all(wake)), [ALL]);
        assert!(asked(|wake| sleepers.wake_all(wake)).is_empty());
        sleepers.announce();
        // One was to be woken and none was found, so it is made sure that there is none.
        assert_eq!(asked(|wake| sleepers.wake_one(wake)), [1, ALL]);
        assert!(asked(|wake| sleepers.wake_one(wake)).is_empty());
        sleepers.set_always(true);
        for _ in 0..3 {
            let silent = sleepers.announce_silently();
            assert_eq!(asked(|wake| sleepers.wake_all(wake)), [ALL]);
            assert_ne!(sleepers.announce_silently().0, silent.0, "one that cannot write falls asleep on the old word");
        }
        sleepers.set_always(false);
        assert!(asked(|wake| sleepers.wake_all(wake)).is_empty());
    }

    #[test]
    fn a_wake_reaches_one_that_sleeps_in_the_kernel() {
        let word = AtomicU32::new(0);
        let long = Deadline::after(Duration::from_secs(20));
        let woken = thread::scope(|scope| {
            let sleeper = scope.spawn(|| futex::wait(&word, 0, Some(long), true));
            // Bound: the thread falls asleep, or its time is up.
            while wake(&word, 1) == 0 && !long.passed() {
                thread::yield_now();
            }
            sleeper.join()
        });
        assert!(matches!(woken, Ok(Ok(FutexWake::Woken))), "{woken:?}");
    }
}
