//! An event that stays until it is taken back: whoever waits when it happens goes on, even if it is taken back at once.

use crate::atomic::{AtomicU32, Ordering};
use crate::sync::sleepers::Sleepers;
use crate::sync::surroundings::Surroundings;

/// It has happened and was not taken back.
const SET: u32 = 1;
/// Once more.
const TIME: u32 = 2;

/// What the word said when a wait began.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Since(u32);

/// The word of the event, with those who sleep until it changes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Latch<'a> {
    pub(crate) word: &'a AtomicU32,
    pub(crate) sleepers: &'a Sleepers,
}

impl Latch<'_> {
    #[inline(always)]
    pub(crate) fn is_set(self) -> bool {
        // Acquire: pairs with the Release in `set`.
        self.word.load(Ordering::Acquire) & SET != 0
    }

    /// Says that it has happened. False if that was said already.
    pub(crate) fn set(self, wake: impl Fn(&AtomicU32, u32) -> usize) -> bool {
        // Relaxed: the exchange decides.
        let mut word = self.word.load(Ordering::Relaxed);
        // Bound: a turn fails only because another process set it, or took it back meanwhile.
        let first = loop {
            let was_set = word & SET != 0;
            let set = if was_set { word } else { word.wrapping_add(TIME) | SET };
            // Release: pairs with the Acquire in `is_set`, `has_happened` and `reset`: who goes on sees what was done before. Also
            // where it is set already and nothing changes: whoever takes it back does so either before this, and then it is not
            // set, or after it, and sees what was done.
            match self.word.compare_exchange(word, set, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => break !was_set,
                Err(now) => word = now,
            }
        };
        wharf_sys::crash_point!("event.set.set");
        // Also when it was set already: whoever set it may have been killed before it woke anybody.
        self.sleepers.wake_all(wake);
        first
    }

    /// Takes it back. False if there was nothing to take back.
    pub(crate) fn reset(self) -> bool {
        // Acquire: whoever takes it back sees what it stood for. An exchange, so that a waiter that reads this word still
        // sees what the setter did before it.
        let was_set = self.word.fetch_and(!SET, Ordering::Acquire) & SET != 0;
        wharf_sys::crash_point!("event.reset.reset");
        was_set
    }

    /// From when on a wait counts: from this moment.
    pub(crate) fn since(self) -> Since {
        // Relaxed: compared only.
        Since(self.word.load(Ordering::Relaxed))
    }

    /// Whether it is set, or was since then. (Unless it was set exactly 2^31 times since then and taken back each time.)
    pub(crate) fn has_happened(self, since: Since) -> bool {
        // Acquire: pairs with the Release in `set`.
        let word = self.word.load(Ordering::Acquire);
        word & SET != 0 || (word ^ since.0) & !SET != 0
    }

    /// Waits until it has happened; false when time is up.
    pub(crate) fn wait(self, around: &impl Surroundings) -> bool {
        let since = self.since();
        self.sleepers.wait(around, |_| self.has_happened(since).then_some(())).is_some()
    }
}
