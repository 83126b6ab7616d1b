//! A value with several holders, who are counted under its lock: whoever is inside anyway counts with a plain store.
//!
//! An `Arc` counts with locked instructions, two for each holder that comes and goes, and each of them waits until everything that
//! was stored before has reached the cache: the lines of a message, which are at another core (docs/performance.md). Here a holder
//! that goes has something to do inside at the same time ([`Counted::leave`]), and several come at once ([`Counted::more`]).
//!
//! In a forked child nobody goes inside, for somebody may have been inside when it was forked: there they are counted as by an `Arc`.
#![allow(unsafe_code)]

use std::io;
use std::marker::PhantomData;
use std::ptr::NonNull;

use wharf_sys::fork;
use wharf_sys::liveness::thread_number;

use super::{Inside, Leaning};
use crate::atomic::{AtomicU64, Ordering};

/// One holder of a value behind a [`Leaning`] lock, and of what beside it everybody may look at.
///
/// It is one word that is never null, so that what it is a part of goes in registers.
#[derive(Debug)]
pub struct Counted<S, T> {
    /// [`LEFT`] when it holds nothing any more.
    whole: NonNull<Whole<S, T>>,
    _owns: PhantomData<Whole<S, T>>,
}

/// Its address is that of no value.
static LEFT: u64 = 0;

#[derive(Debug)]
struct Whole<S, T> {
    lock: Leaning<T>,
    /// Changed by whoever is inside only; in a forked child by anybody.
    holders: AtomicU64,
    epoch: u32,
    shared: S,
}

// SAFETY: a holder gives its thread `&S`, the value while that thread alone is inside, and, to the last one, both to be dropped.
unsafe impl<S: Send + Sync, T: Send> Send for Counted<S, T> {}
// SAFETY: a reference to a holder gives `&S`, and the value while that thread alone is inside.
unsafe impl<S: Send + Sync, T: Send> Sync for Counted<S, T> {}

impl<S, T> Counted<S, T> {
    /// Makes a value with one holder.
    pub fn new(shared: S, value: T) -> Self {
        Self::with(shared, Leaning::new(value))
    }

    pub(super) fn with(shared: S, lock: Leaning<T>) -> Self {
        let whole = Box::new(Whole { lock, holders: AtomicU64::new(1), epoch: fork::epoch(), shared });
        Counted { whole: NonNull::from(Box::leak(whole)), _owns: PhantomData }
    }

    #[inline(always)]
    fn whole(&self) -> Option<&Whole<S, T>> {
        if self.whole == NonNull::from(&LEFT).cast() {
            return None;
        }
        // SAFETY: it was leaked from a box, and lives until its last holder has gone, which is counted; this is one.
        Some(unsafe { self.whole.as_ref() })
    }

    /// What everybody may look at; `None` when it has [left](Self::leave).
    #[inline(always)]
    pub fn shared(&self) -> Option<&S> {
        self.whole().map(|whole| &whole.shared)
    }

    /// Whether this is the process that made it, and no forked child, and it has not left.
    #[inline(always)]
    pub fn is_ours(&self) -> bool {
        self.whole().is_some_and(|whole| whole.epoch == fork::epoch())
    }

    /// Goes in; see [`Leaning::enter`].
    ///
    /// # Errors
    /// As there; [`NotFound`](io::ErrorKind::NotFound) when it has left.
    #[inline]
    pub fn enter(&self) -> io::Result<Inside<'_, T>> {
        self.whole().ok_or(io::ErrorKind::NotFound)?.lock.enter()
    }

    /// So many more holders, one after the other, each with the value, for one visit. None of them may go meanwhile.
    ///
    /// # Errors
    /// As [`enter`](Self::enter); then there are none.
    pub fn more(&self, count: usize, mut each: impl FnMut(&mut T, Self)) -> io::Result<()> {
        let whole = self.whole().ok_or(io::ErrorKind::NotFound)?;
        let mut inside = whole.lock.enter()?;
        // Relaxed: others who write it are inside, one after the other.
        whole.holders.store(whole.holders.load(Ordering::Relaxed) + count as u64, Ordering::Relaxed);
        (0..count).for_each(|_| each(&mut inside, Counted { whole: self.whole, _owns: PhantomData }));
        Ok(())
    }

    /// Goes in once more, and holds nothing from then on.
    ///
    /// # Errors
    /// As [`enter`](Self::enter). Then nothing was done.
    #[inline(always)]
    pub fn leave(&mut self, last: impl FnOnce(&mut T)) -> io::Result<()> {
        self.leave_as(thread_number(), |_, value| last(value))
    }

    /// The same for something that also looks at what everybody may look at.
    ///
    /// # Errors
    /// As [`leave`](Self::leave).
    #[inline(always)]
    pub fn leave_with(&mut self, last: impl FnOnce(&S, &mut T)) -> io::Result<()> {
        self.leave_as(thread_number(), last)
    }

    #[inline(always)]
    pub(super) fn leave_as(&mut self, me: u64, last: impl FnOnce(&S, &mut T)) -> io::Result<()> {
        let whole = self.whole().ok_or(io::ErrorKind::NotFound)?;
        // Written once, so that it becomes a part of this code and no function that is called from two places.
        let (mut favoured, mut in_turn) = (whole.lock.enter_quickly_as(me), None);
        let value: &mut T = match &mut favoured {
            Some(inside) => inside,
            None => &mut *in_turn.insert(whole.lock.enter_in_turn(me)?),
        };
        last(&whole.shared, value);
        let left = whole.one_less();
        drop((favoured, in_turn));
        // It is counted out already.
        let whole = std::mem::replace(&mut self.whole, NonNull::from(&LEFT).cast());
        if left == 0 {
            Self::free(whole);
        }
        Ok(())
    }

    /// Goes in if the lock leans towards this thread, and holds nothing from then on if `last` has done its work. Whether it has; if
    /// not, nothing is different.
    #[inline(always)]
    pub fn leave_quickly(&mut self, last: impl FnOnce(&mut T) -> bool) -> bool {
        self.leave_quickly_as(thread_number(), |_, value| last(value))
    }

    /// The same for something that also looks at what everybody may look at.
    #[inline(always)]
    pub fn leave_quickly_with(&mut self, last: impl FnOnce(&S, &mut T) -> bool) -> bool {
        self.leave_quickly_as(thread_number(), last)
    }

    #[inline(always)]
    pub(super) fn leave_quickly_as(&mut self, me: u64, last: impl FnOnce(&S, &mut T) -> bool) -> bool {
        let Some(whole) = self.whole() else { return false };
        let Some(mut inside) = whole.lock.enter_quickly_as(me) else { return false };
        if !last(&whole.shared, &mut inside) {
            return false;
        }
        let left = whole.one_less();
        drop(inside);
        // As in `leave_as`.
        let whole = std::mem::replace(&mut self.whole, NonNull::from(&LEFT).cast());
        if left == 0 {
            Self::free(whole);
        }
        true
    }

    /// Holds nothing from now on, with nothing left to do inside.
    #[cold]
    #[inline(never)]
    fn go(&mut self) {
        let Some(whole) = self.whole() else { return };
        let left = if self.is_ours() {
            match whole.lock.enter() {
                Ok(_inside) => whole.one_less(),
                // Nobody can go in any more, but the one thread that might be inside: it stays.
                Err(_) => return,
            }
        } else {
            // AcqRel, as an `Arc` counts: what others did with it happened before it is freed.
            whole.holders.fetch_sub(1, Ordering::AcqRel) - 1
        };
        if left == 0 {
            Self::free(self.whole);
        }
    }

    #[cold]
    #[inline(never)]
    fn free(whole: NonNull<Whole<S, T>>) {
        // SAFETY: it came from a box. There are no holders any more, so nobody has a reference: those who went before did so inside,
        // or by a locked instruction, and all that they did happened before we were inside, or before our own.
        drop(unsafe { Box::from_raw(whole.as_ptr()) });
    }
}

impl<S, T> Whole<S, T> {
    /// Counts one holder out, by whoever is inside; how many are left.
    #[inline(always)]
    fn one_less(&self) -> u64 {
        // Relaxed: as in `more`.
        let left = self.holders.load(Ordering::Relaxed) - 1;
        self.holders.store(left, Ordering::Relaxed);
        left
    }
}

impl<S, T> Drop for Counted<S, T> {
    #[inline(always)]
    fn drop(&mut self) {
        if self.whole().is_some() {
            self.go();
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::thread;

    fn counted<T>(value: T, leans_after: u32) -> Counted<Arc<()>, T> {
        let asymmetric = wharf_sys::barrier::register_private();
        Counted::with(Arc::new(()), Leaning::with(value, asymmetric, leans_after))
    }

    #[test]
    fn it_is_gone_with_its_last_holder_however_that_goes() {
        for leans_after in [1, 1000] {
            let mut first = counted(Vec::new(), leans_after);
            let witness = Arc::clone(first.shared().unwrap());
            let mut others = Vec::new();
            first.more(3, |_, holder| others.push(holder)).unwrap();
            first.leave(|value| value.push(1)).unwrap();
            others.pop().unwrap().leave(|value| value.push(2)).unwrap();
            drop(others.pop());
            let mut last = others.pop().unwrap();
            assert_eq!(*last.enter().unwrap(), [1, 2]);
            assert_eq!(Arc::strong_count(&witness), 2);
            last.leave(|value| value.push(3)).unwrap();
            assert!(last.leave(|value| value.push(4)).is_err() && last.enter().is_err() && !last.is_ours());
            assert_eq!(Arc::strong_count(&witness), 1);
        }
    }

    #[test]
    fn whoever_leaves_quickly_holds_nothing_if_his_work_is_done_and_everything_if_not() {
        let first = counted(0, 1);
        let witness = Arc::clone(first.shared().unwrap());
        let mut others = Vec::new();
        first.more(2, |_, holder| others.push(holder)).unwrap();
        let holders = || first.whole().unwrap().holders.load(Ordering::Relaxed);
        let mut quick = others.pop().unwrap();
        assert!(!quick.leave_quickly(|_| false));
        assert_eq!((holders(), quick.is_ours()), (3, true));
        assert!(quick.leave_quickly(|value| std::mem::replace(value, 7) == 0));
        assert_eq!((holders(), quick.is_ours()), (2, false));
        assert!(!quick.leave_quickly(|_| true), "it has left");
        let mut last = others.pop().unwrap();
        drop(first);
        // Another thread has the lock lean towards nobody: then it is not quick.
        thread::scope(|scope| scope.spawn(|| assert!(!last.leave_quickly(|_| true))).join()).unwrap();
        assert_eq!(*last.enter().unwrap(), 7);
        assert!(last.leave_quickly(|_| true));
        assert_eq!(Arc::strong_count(&witness), 1);
    }

    #[test]
    fn holders_of_many_threads_come_and_go_at_any_time() {
        for round in 0..50 {
            let first = counted(0_u64, 2 + round % 3);
            let witness = Arc::clone(first.shared().unwrap());
            let mut holders = Vec::new();
            first.more(300, |_, holder| holders.push(holder)).unwrap();
            thread::scope(|scope| {
                for _ in 0..2 {
                    let share = holders.split_off(holders.len() - 100);
                    scope.spawn(move || {
                        for mut holder in share {
                            holder.leave(|value| *value += 1).unwrap();
                        }
                    });
                }
                for mut holder in holders.drain(..) {
                    holder.leave(|value| *value += 1).unwrap();
                }
            });
            assert_eq!(*first.enter().unwrap(), 300);
            drop(first);
            assert_eq!(Arc::strong_count(&witness), 1);
        }
    }

    #[test]
    fn a_panic_inside_counts_it_out_once() {
        let first = counted(0, 1);
        let witness = Arc::clone(first.shared().unwrap());
        let mut others = Vec::new();
        first.more(1, |_, holder| others.push(holder)).unwrap();
        let mut other = others.pop().unwrap();
        let work = std::panic::AssertUnwindSafe(move || other.leave(|_| std::panic::resume_unwind(Box::new("inside"))));
        assert!(std::panic::catch_unwind(work).is_err());
        assert_eq!(first.whole().unwrap().holders.load(Ordering::Relaxed), 1);
        drop(first);
        assert_eq!(Arc::strong_count(&witness), 1);
    }
}
