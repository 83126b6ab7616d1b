//! The word of a condition variable: a number that grows with every notice, and whether anybody may listen.
//!
//! There is no list of waiters, so none can be damaged. Whoever waits compares the number with the one it found when it
//! held the lock; any difference ends the wait. A wake-up in the kernel only makes that look happen sooner.

use super::surroundings::{Nap, Slept};
use crate::atomic::{AtomicU32, Ordering};

/// Somebody may be asleep on the word.
const LISTENERS: u32 = 1;
/// One more notice.
const NOTICE: u32 = 2;

/// How many a wake wakes.
const ALL: u32 = u32::MAX;

/// How a wait ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Ended {
    /// There was a notice, or one may have been lost: look at the data.
    Look,
    /// The deadline has passed without one.
    OutOfTime,
}

/// The word of a condition variable. Zero is a fresh one.
#[derive(Debug)]
#[cfg_attr(not(loom), repr(transparent))]
pub(crate) struct RawCondvar {
    word: AtomicU32,
}

impl RawCondvar {
    /// A fresh one.
    #[cfg(not(loom))]
    pub(crate) const fn new() -> RawCondvar {
        RawCondvar { word: AtomicU32::new(0) }
    }

    /// A fresh one, inside a model.
    #[cfg(loom)]
    pub(crate) fn new() -> RawCondvar {
        RawCondvar { word: AtomicU32::new(0) }
    }

    /// Begins to listen; to be called with the lock held. Returns the word to wait on.
    pub(crate) fn listen(&self) -> u32 {
        // Relaxed: whoever changes the data takes the lock after we give it back, and so comes after this in the order
        // that the lock makes.
        self.word.fetch_or(LISTENERS, Ordering::Relaxed) | LISTENERS
    }

    /// Sleeps until there was a notice after `heard`, at most `slices` slices; `sleep` sleeps for one of them.
    pub(crate) fn wait(&self, heard: u32, slices: u32, sleep: impl Fn(&AtomicU32, u32, Nap) -> Slept) -> Ended {
        // Bound: so many slices. A notifier can be killed between its change and its notice; then nobody would ever
        // say that there is something to see, so nobody waits for long without looking.
        for _ in 0..slices {
            match sleep(&self.word, heard, Nap::Slice) {
                Slept::Woken => return Ended::Look,
                // Relaxed, both: what there is to see is seen under the lock. Another waiter may have been woken for
                // a notice to us all and have been killed before it could do anything; here we hear of it.
                Slept::SliceOver if self.word.load(Ordering::Relaxed) != heard => return Ended::Look,
                Slept::SliceOver => {}
                Slept::OutOfTime if self.word.load(Ordering::Relaxed) != heard => return Ended::Look,
                Slept::OutOfTime => return Ended::OutOfTime,
            }
        }
        Ended::Look
    }

    /// Gives notice and wakes one; `wake` is told how many to wake and says how many it found.
    pub(crate) fn notify_one(&self, wake: impl Fn(&AtomicU32, u32) -> usize) {
        // Relaxed: as in `listen`.
        let before = self.word.load(Ordering::Relaxed);
        if before & LISTENERS == 0 {
            return;
        }
        wharf_sys::crash_point!("condvar.notify.before");
        // Relaxed: the number carries no data.
        let now = self.word.fetch_add(NOTICE, Ordering::Relaxed).wrapping_add(NOTICE);
        wharf_sys::crash_point!("condvar.notify.said");
        if wake(&self.word, 1) > 0 {
            return;
        }
        // Nobody slept: the next notice need not look for anybody. One who is about to fall asleep finds another word than it
        // heard; one who has listened and fallen asleep since our wake is woken here, because no notice will look for it any
        // more. Relaxed: a failure means that somebody gives notice, and the flag stays.
        let silent = now & !LISTENERS;
        if self.word.compare_exchange(now, silent, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            wharf_sys::crash_point!("condvar.notify.cleared");
            wake(&self.word, ALL);
        }
    }

    /// Gives notice and wakes everybody.
    pub(crate) fn notify_all(&self, wake_all: impl Fn(&AtomicU32)) {
        // Relaxed, all of it: as in `notify_one`.
        let mut word = self.word.load(Ordering::Relaxed);
        // Bound: a turn fails only because somebody else listens or gives notice.
        while word & LISTENERS != 0 {
            wharf_sys::crash_point!("condvar.notify.before");
            let silent = word.wrapping_add(NOTICE) & !LISTENERS;
            match self.word.compare_exchange(word, silent, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => {
                    wharf_sys::crash_point!("condvar.notify.said");
                    wake_all(&self.word);
                    return;
                }
                Err(now) => word = now,
            }
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn a_notice_is_heard_at_the_end_of_the_slice_in_which_it_was_given() {
        let condvar = RawCondvar::new();
        let heard = condvar.listen();
        let slept = Cell::new(0);
        let ended = condvar.wait(heard, 7, |_, _, _| {
            slept.set(slept.get() + 1);
            if slept.get() == 3 {
                // Whoever was woken for it is dead.
                condvar.notify_one(|_, _| 1);
            }
            Slept::SliceOver
        });
        assert_eq!((ended, slept.get()), (Ended::Look, 3));
        let heard = condvar.listen();
        slept.set(0);
        let ended = condvar.wait(heard, 7, |_, _, _| {
            slept.set(slept.get() + 1);
            Slept::SliceOver
        });
        assert_eq!((ended, slept.get()), (Ended::Look, 7), "it looks by itself");
        assert_eq!(condvar.wait(heard, 7, |_, _, _| Slept::OutOfTime), Ended::OutOfTime);
        condvar.notify_all(|_| {});
        assert_eq!(condvar.wait(heard, 7, |_, _, _| Slept::OutOfTime), Ended::Look);
    }

    #[test]
    fn without_listeners_a_notice_wakes_nobody_and_changes_nothing() {
        let condvar = RawCondvar::new();
        condvar.notify_one(|_, _| panic!("nobody listens"));
        condvar.notify_all(|_| panic!("nobody listens"));
        let heard = condvar.listen();
        // It gave up; the first notice after that finds nobody, and the next one does not even ask.
        condvar.notify_one(|_, _| 0);
        condvar.notify_one(|_, _| panic!("nobody listens"));
        assert_ne!(condvar.listen(), heard, "one who heard that word must not sleep on it");
    }

    #[test]
    fn one_who_falls_asleep_while_a_notice_finds_nobody_is_woken_before_notices_stop_looking() {
        let condvar = RawCondvar::new();
        condvar.listen();
        let asleep = Cell::new(None);
        condvar.notify_one(|word, count| {
            if count == 1 {
                // Nobody is there. Now one comes, hears the number that the notice has made, and falls asleep.
                asleep.set(Some(condvar.listen()));
                return 0;
            }
            // Whoever is asleep when nobody will be looked for any more.
            assert_eq!(word.load(Ordering::Relaxed) & LISTENERS, 0);
            usize::from(asleep.take().is_some())
        });
        assert_eq!(asleep.take(), None, "it sleeps, and no notice will wake it");
        condvar.notify_one(|_, _| panic!("nobody listens"));
    }
}
