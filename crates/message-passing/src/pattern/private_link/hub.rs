//! Where others, in other threads of this process, leave word for an end that sleeps, and wake it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use wharf_sys::doorbell::Ringer;

/// See the top of the file.
pub(in crate::pattern) struct Hub<T> {
    ringer: Ringer,
    any: AtomicBool,
    news: Mutex<Vec<T>>,
}

impl<T> Hub<T> {
    pub(in crate::pattern) fn new(ringer: Ringer) -> Hub<T> {
        Hub { ringer, any: AtomicBool::new(false), news: Mutex::default() }
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
        let mut news = self.lock();
        self.any.store(false, Ordering::Relaxed);
        std::mem::take(&mut *news)
    }

    /// Leaves word. `false` when `most` wait already.
    pub(in crate::pattern) fn leave(&self, what: T, most: usize) -> bool {
        let mut news = self.lock();
        let fits = news.len() < most;
        if fits {
            news.push(what);
        }
        drop(news);
        self.wake();
        fits
    }

    /// Has the sleeper look around.
    pub(in crate::pattern) fn wake(&self) {
        self.any.store(true, Ordering::Relaxed);
        // Our own pipe, of which we hold both ends; full is as good as rung.
        let _ = self.ringer.ring();
    }

    fn lock(&self) -> MutexGuard<'_, Vec<T>> {
        // Nothing in here panics.
        self.news.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
