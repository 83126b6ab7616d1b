//! An event that each time lets one waiter go on: a count of times that nobody has taken yet.

use crate::atomic::{AtomicU32, Ordering};
use crate::sync::sleepers::Sleepers;
use crate::sync::surroundings::Surroundings;

/// The count is at its limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct AtLimit;

/// The count, with those who sleep until it is not zero.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tally<'a> {
    pub(crate) count: &'a AtomicU32,
    pub(crate) sleepers: &'a Sleepers,
}

impl Tally<'_> {
    /// Counts one more, up to `limit`, and wakes one waiter.
    pub(crate) fn add(self, limit: u32, wake: impl Fn(&AtomicU32, u32) -> usize) -> Result<(), AtLimit> {
        // Relaxed: the exchange decides.
        let mut count = self.count.load(Ordering::Relaxed);
        // Bound: a turn fails only because another process counted or took one meanwhile.
        let added = loop {
            let is_full = count >= limit;
            let next = if is_full { count } else { count + 1 };
            // Release: pairs with the Acquire in `take`: who goes on sees what was done before. Also at the limit, where nothing
            // changes: whoever takes the last time does so either before this, and then it is not at the limit, or after it.
            match self.count.compare_exchange(count, next, Ordering::Release, Ordering::Relaxed) {
                Ok(_) if is_full => break Err(AtLimit),
                Ok(_) => break Ok(()),
                Err(now) => count = now,
            }
        };
        wharf_sys::crash_point!("event.signal.counted");
        // Also at the limit: whoever was woken for what is counted may have been killed before it took it.
        self.sleepers.wake_one(wake);
        added
    }

    /// Takes one, if there is one.
    pub(crate) fn take(self) -> bool {
        // Relaxed: the exchange decides.
        let mut count = self.count.load(Ordering::Relaxed);
        // Bound: as in `add`.
        while let Some(left) = count.checked_sub(1) {
            // Acquire: pairs with the Release in `add`. Taking is an exchange, so it does not come between an `add` before
            // it and the `take` after it.
            match self.count.compare_exchange(count, left, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => {
                    wharf_sys::crash_point!("event.wait.taken");
                    return true;
                }
                Err(now) => count = now,
            }
        }
        false
    }

    /// Takes one, waiting while there is none; false when time is up.
    ///
    /// A waiter that is killed takes nothing with it but what it had taken: the count stands until somebody exchanges it,
    /// so whoever else is awake, or wakes at the end of its slice, finds it.
    pub(crate) fn wait(self, around: &impl Surroundings) -> bool {
        self.sleepers.wait(around, |_| self.take().then_some(())).is_some()
    }
}
