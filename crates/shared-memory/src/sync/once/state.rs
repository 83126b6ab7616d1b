//! Whether the work is done, and the lock between those who would do it.

use crate::atomic::{AtomicU32, Ordering};
#[cfg(not(loom))]
use crate::sync::look::Said;
#[cfg(not(loom))]
use crate::sync::raw;
use crate::sync::raw::RawLock;
use crate::sync::surroundings::{Nap, Slept, Surroundings};

const DONE: u32 = 1;

/// Not done and nobody at it when zero.
#[derive(Debug)]
#[cfg_attr(not(loom), repr(C))]
pub(crate) struct State {
    lock: RawLock,
    done: AtomicU32,
}

impl State {
    /// Nothing is done.
    #[cfg(not(loom))]
    pub(crate) const fn new() -> State {
        State { lock: RawLock::new(), done: AtomicU32::new(0) }
    }

    /// Nothing is done, inside a model.
    #[cfg(loom)]
    pub(crate) fn new() -> State {
        State { lock: RawLock::new(), done: AtomicU32::new(0) }
    }

    /// Held by whoever is at work.
    pub(crate) fn lock(&self) -> &RawLock {
        &self.lock
    }

    /// Whether the work is done; all that it wrote is seen then.
    #[inline(always)]
    pub(crate) fn is_done(&self) -> bool {
        // Acquire: pairs with the Release in `finish`.
        self.done.load(Ordering::Acquire) == DONE
    }

    /// Says that the work is done. Only the holder of the lock does.
    pub(crate) fn finish(&self, wake_all: impl FnOnce(&AtomicU32)) {
        // Release: pairs with the Acquire in `is_done`: who sees this sees the work.
        self.done.store(DONE, Ordering::Release);
        wharf_sys::crash_point!("once.call.done");
        // Whether anybody sleeps is not known, because those who only wait write nothing. It is one system call, once.
        wake_all(&self.done);
    }

    /// The words, for a report.
    #[cfg(not(loom))]
    pub(crate) fn words(&self) -> [u32; 3] {
        // Relaxed: a report.
        [self.lock.word(), 0, self.done.load(Ordering::Relaxed)]
    }

    /// Waits until the work is done; false when time is up.
    pub(crate) fn wait(&self, around: &impl Surroundings) -> bool {
        // Bound: a turn sleeps up to a slice; `around` ends it at the deadline. A finisher that was killed before it woke
        // anybody is noticed at the end of the slice.
        while !self.is_done() {
            if around.sleep(&self.done, 0, Nap::Slice) == Slept::OutOfTime {
                return self.is_done();
            }
        }
        true
    }
}

/// Reads the words of work that is done once, as [`State::words`] gives them.
#[cfg(not(loom))]
pub(crate) fn decode(words: &[u32]) -> Said {
    match *words {
        // Done: nobody needs the lock any more, so one that died before it gave it back holds nothing, and nobody will ever
        // take it over.
        [_, _, DONE, ..] => Said::default(),
        [lock, ..] => raw::decode(lock),
        [] => Said::default(),
    }
}
