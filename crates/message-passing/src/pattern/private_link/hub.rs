//! Where others, in other threads of this process, leave word for an end that sleeps, and wake it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use wharf_sys::doorbell::Ringer;

/// See the top of the file.
pub(in crate::pattern) struct Hub<T> {
    ringer: Ringer,
    any: AtomicBool,
    left: Mutex<Left<T>>,
}

/// What was left.
struct Left<T> {
    news: Vec<T>,
    /// Nobody will take any more.
    closed: bool,
}

impl<T> Hub<T> {
    pub(in crate::pattern) fn new(ringer: Ringer) -> Hub<T> {
        Hub { ringer, any: AtomicBool::new(false), left: Mutex::new(Left { news: Vec::new(), closed: false }) }
    }

    /// Rings where the sleeper sleeps; for those who are to ring there themselves.
    pub(in crate::pattern) fn ringer(&self) -> &Ringer {
        &self.ringer
    }

    /// Whether somebody has left word.
    #[inline(always)]
    pub(in crate::pattern) fn has_news(&self) -> bool {
        // Relaxed: the lock orders what is found there; a look that comes too early is repeated after the ring.
        self.any.load(Ordering::Relaxed)
    }

    /// Takes all of it.
    pub(in crate::pattern) fn take(&self) -> Vec<T> {
        let mut left = self.lock();
        self.any.store(false, Ordering::Relaxed);
        std::mem::take(&mut left.news)
    }

    /// Takes the last of it: what is left from here on is given back at once. Word may hold on to its hub, and then neither
    /// would ever be freed.
    pub(in crate::pattern) fn close(&self) -> Vec<T> {
        let mut left = self.lock();
        left.closed = true;
        std::mem::take(&mut left.news)
    }

    /// Leaves word. `false` when `most` wait already, or nobody will take it.
    pub(in crate::pattern) fn leave(&self, what: T, most: usize) -> bool {
        let mut left = self.lock();
        let fits = left.news.len() < most && !left.closed;
        if fits {
            left.news.push(what);
        }
        drop(left);
        self.wake();
        fits
    }

    /// Has the sleeper look around.
    pub(in crate::pattern) fn wake(&self) {
        self.any.store(true, Ordering::Relaxed);
        // Our own pipe, of which we hold both ends; full is as good as rung.
        let _ = self.ringer.ring();
    }

    fn lock(&self) -> MutexGuard<'_, Left<T>> {
        // Nothing in here panics.
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
