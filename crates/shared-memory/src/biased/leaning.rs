//! A lock that leans towards the thread that uses it: as long as that is always the same one, it comes and goes with plain stores.
//!
//! What an item's worker has to say of it may come from any thread, and nearly always comes from the one that has received it.
//! There the two locked instructions of a mutex are not dear by themselves: each waits until everything that was stored before
//! has reached the cache, and that is a message in lines that are still at another core (docs/performance.md).
//!
//! It is a mutex until one thread has come often enough in a row. From then on that one says that it is inside, looks whether
//! the lock still leans towards it, and is in. Any other takes the mutex, has it lean towards nobody, runs the barrier of
//! [`biased`](super), and waits until the first is outside; then it is a mutex again for a while, and each time for longer. So
//! threads that come by turns pay what a mutex costs, and a barrier now and then. It leans towards one and the same thread all its
//! life: only so does nobody but that one ever write the word that says that it is inside.
//!
//! Whoever is inside must not sleep, nor come in once more.
#![allow(unsafe_code)]

use std::io;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::sync::PoisonError;

use wharf_sys::liveness::thread_number;

use super::{order, pause};
use crate::atomic::{AtomicBool, AtomicU64, Mutex, Ordering, UnsafeCell, compiler_fence, fence};

#[cfg(not(loom))]
type Turn<'a> = std::sync::MutexGuard<'a, Habit>;
#[cfg(loom)]
type Turn<'a> = loom::sync::MutexGuard<'a, Habit>;

/// Nobody.
const NOBODY: u64 = 0;

/// So many times in a row a thread has come before the lock leans towards it, at first. Coming so often through a mutex costs a
/// part of what the barrier does that may undo it.
const FEWEST_IN_A_ROW: u32 = 32;

/// The same after it was undone many times: next to nothing for each, then.
const MOST_IN_A_ROW: u32 = 1 << 16;

/// See the top of the file.
#[derive(Debug)]
#[repr(align(64))]
pub struct Leaning<T> {
    /// The thread's number. Changed by whoever has the turn only.
    towards: AtomicU64,
    /// Written by the one thread towards which it may lean.
    inside: AtomicBool,
    /// Others run the barrier; otherwise both sides fence.
    asymmetric: bool,
    value: UnsafeCell<T>,
    turn: Mutex<Habit>,
}

/// Who comes how often.
#[derive(Debug)]
struct Habit {
    /// The only thread towards which it leans, once there is one.
    favourite: u64,
    latest: u64,
    in_a_row: u32,
    needed: u32,
}

// SAFETY: the value is reached by one thread at a time (see `Inside`), which may be any: so it must be `Send`, and nothing more.
// Everything else is atomics and a mutex.
unsafe impl<T: Send> Sync for Leaning<T> {}

impl<T> Leaning<T> {
    /// A lock around a value.
    pub fn new(value: T) -> Self {
        Self::with(value, wharf_sys::barrier::register_private(), FEWEST_IN_A_ROW)
    }

    pub(super) fn with(value: T, asymmetric: bool, needed: u32) -> Self {
        Leaning {
            towards: AtomicU64::new(NOBODY),
            inside: AtomicBool::new(false),
            asymmetric,
            value: UnsafeCell::new(value),
            turn: Mutex::new(Habit { favourite: NOBODY, latest: NOBODY, in_a_row: 0, needed }),
        }
    }

    /// Goes in, until what this returns is dropped; waits for whoever is inside. It must not be forgotten, for then others wait for
    /// ever.
    ///
    /// # Errors
    /// What the system says when it refuses the barrier that it has promised (a system-call filter installed later): then nobody
    /// but the one thread can use the value.
    #[inline(always)]
    pub fn enter(&self) -> io::Result<Inside<'_, T>> {
        self.enter_as(thread_number())
    }

    #[inline(always)]
    pub(super) fn enter_as(&self, me: u64) -> io::Result<Inside<'_, T>> {
        match self.enter_quickly_as(me) {
            Some(favoured) => {
                // It is inside, and goes out with the other guard.
                std::mem::forget(favoured);
                Ok(Inside { lock: self, turn: None, _here: PhantomData })
            }
            None => self.enter_in_turn(me),
        }
    }

    /// Goes in if the lock leans towards this thread, until what this returns is dropped. That is one word, which stays in a register,
    /// where [`enter`](Self::enter) puts its answer together in memory (docs/performance.md).
    #[inline(always)]
    pub(super) fn enter_quickly_as(&self, me: u64) -> Option<Favoured<'_, T>> {
        // Relaxed, both looks: only this thread ever makes the lock lean towards it, with the turn, by which it saw what all others
        // had done before. Who stops that afterwards waits until this one is outside, or has it wait for the turn.
        if self.towards.load(Ordering::Relaxed) == me {
            // Relaxed: the fence orders it before the second look.
            self.inside.store(true, Ordering::Relaxed);
            if self.asymmetric {
                // The other's barrier orders the two on our processor; only the compiler must keep them so.
                compiler_fence(Ordering::SeqCst);
            } else {
                // Pairs with the fence in `order`.
                fence(Ordering::SeqCst);
            }
            if self.towards.load(Ordering::Relaxed) == me {
                return Some(Favoured { lock: self, _here: PhantomData });
            }
            // Release: as in `Cell::enter_after_visitor`.
            self.inside.store(false, Ordering::Release);
        }
        None
    }

    /// Goes in as whoever the lock does not lean towards.
    #[inline(never)]
    pub(super) fn enter_in_turn(&self, me: u64) -> io::Result<Inside<'_, T>> {
        // Whoever panicked inside has left the value as valid as any `&mut` does.
        let mut habit = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let towards = self.towards.load(Ordering::Relaxed);
        // Towards this thread it leans here only where another was refused the barrier while this one waited for the turn.
        if towards != NOBODY && towards != me {
            // Relaxed: the barrier orders it before the look at `inside`.
            self.towards.store(NOBODY, Ordering::Relaxed);
            if let Err(error) = order(self.asymmetric) {
                self.towards.store(towards, Ordering::Relaxed);
                return Err(error);
            }
            let mut looks = 0;
            // Bound: nobody sleeps inside. Acquire pairs with the release in `Inside::drop`: what was done there is done.
            while self.inside.load(Ordering::Acquire) {
                pause(looks);
                looks += 1;
            }
            habit.needed = habit.needed.saturating_mul(2).min(MOST_IN_A_ROW);
        }
        habit.in_a_row = if habit.latest == me { habit.in_a_row.saturating_add(1) } else { 1 };
        habit.latest = me;
        if habit.in_a_row >= habit.needed && (habit.favourite == NOBODY || habit.favourite == me) {
            (habit.favourite, habit.in_a_row) = (me, 0);
            // Relaxed: to others it says that they must not believe it; to this thread it is its own store.
            self.towards.store(me, Ordering::Relaxed);
        }
        Ok(Inside { lock: self, turn: Some(habit), _here: PhantomData })
    }
}

/// The calling thread is inside, and the lock leans towards it; dropped, also by a panic, when it is not inside any more.
#[derive(Debug)]
pub(super) struct Favoured<'a, T> {
    lock: &'a Leaning<T>,
    /// It stays in its thread.
    _here: PhantomData<*mut T>,
}

impl<T> Deref for Favoured<'_, T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        // SAFETY: as in `Inside::deref_mut`, where the lock leans towards this thread.
        self.lock.value.with(|value| unsafe { &*value })
    }
}

impl<T> DerefMut for Favoured<'_, T> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as in `Inside::deref_mut`, where the lock leans towards this thread.
        self.lock.value.with_mut(|value| unsafe { &mut *value })
    }
}

impl<T> Drop for Favoured<'_, T> {
    #[inline(always)]
    fn drop(&mut self) {
        // Release: as in `Inside`.
        self.lock.inside.store(false, Ordering::Release);
    }
}

/// The calling thread is inside; dropped, also by a panic, when it is not any more.
#[derive(Debug)]
pub struct Inside<'a, T> {
    lock: &'a Leaning<T>,
    /// `None`: the lock leans towards this thread.
    turn: Option<Turn<'a>>,
    /// It stays in its thread.
    _here: PhantomData<*mut T>,
}

impl<T> Deref for Inside<'_, T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        // SAFETY: as in `deref_mut`.
        self.lock.value.with(|value| unsafe { &*value })
    }
}

impl<T> DerefMut for Inside<'_, T> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: either this thread has the turn, and whoever else could be inside was seen outside after the lock had ceased to
        // lean towards it and the barrier was through; so it waits for the turn. Or the lock leans towards this thread and knew
        // after the fence that it is inside; then whoever has the turn waits until it is not.
        self.lock.value.with_mut(|value| unsafe { &mut *value })
    }
}

impl<T> Drop for Inside<'_, T> {
    #[inline(always)]
    fn drop(&mut self) {
        if self.turn.is_none() {
            // Release pairs with the acquire load in `enter_in_turn`: our work is done.
            self.lock.inside.store(false, Ordering::Release);
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::super::tests::add;
    use super::*;
    use std::thread;

    #[test]
    fn one_who_comes_always_and_others_who_come_too_never_meet() {
        for asymmetric in [wharf_sys::barrier::register_private(), false] {
            let lock = Leaning::with((0, 0), asymmetric, 4);
            thread::scope(|scope| {
                let others: Vec<_> = (0..2)
                    .map(|_| {
                        scope.spawn(|| {
                            for _ in 0..50 {
                                add(&mut lock.enter().unwrap());
                                thread::yield_now();
                            }
                        })
                    })
                    .collect();
                let mut comes = 0;
                while comes < 10_000 || others.iter().any(|other| !other.is_finished()) {
                    add(&mut lock.enter().unwrap());
                    comes += 1;
                }
                assert_eq!(*lock.enter().unwrap(), (comes + 100, comes + 100));
            });
        }
    }

    #[test]
    fn it_leans_towards_the_first_who_comes_often_and_less_readily_each_time_that_another_comes() {
        let lock = Leaning::new(0_u32);
        let leans = || lock.towards.load(Ordering::Relaxed);
        let mut needed = FEWEST_IN_A_ROW;
        for _ in 0..3 {
            for _ in 1..needed {
                *lock.enter_as(7).unwrap() += 1;
                assert_eq!(leans(), NOBODY);
            }
            *lock.enter_as(7).unwrap() += 1;
            assert_eq!(leans(), 7);
            (0..1000).for_each(|_| *lock.enter_as(7).unwrap() += 1);
            *lock.enter_as(8).unwrap() += 1;
            assert_eq!(leans(), NOBODY);
            needed *= 2;
        }
        // Nobody else takes its place.
        (0..10 * needed).for_each(|_| *lock.enter_as(8).unwrap() += 1);
        assert_eq!(leans(), NOBODY);
    }

    /// Another had the lock lean towards nobody and was refused the barrier, when its favourite was on its way to the turn.
    #[test]
    fn whoever_it_leans_towards_again_by_its_turn_needs_no_barrier() {
        let lock = Leaning::with(0_u32, wharf_sys::barrier::register_private(), 1);
        *lock.enter_as(7).unwrap() += 1;
        *lock.enter_in_turn(7).unwrap() += 1;
        assert_eq!((lock.towards.load(Ordering::Relaxed), lock.turn.lock().unwrap().needed), (7, 1));
        *lock.enter_as(8).unwrap() += 1;
        assert_eq!((lock.towards.load(Ordering::Relaxed), *lock.enter_as(7).unwrap()), (NOBODY, 3));
    }

    #[test]
    fn a_panic_inside_lets_others_in() {
        let lock = Leaning::with(7, wharf_sys::barrier::register_private(), 1);
        for _ in 0..3 {
            let work = std::panic::AssertUnwindSafe(|| {
                let _inside = lock.enter().unwrap();
                std::panic::resume_unwind(Box::new("inside"));
            });
            assert!(std::panic::catch_unwind(work).is_err());
        }
        let other = thread::scope(|scope| scope.spawn(|| *lock.enter().unwrap()).join());
        assert_eq!((other.unwrap(), *lock.enter().unwrap()), (7, 7));
    }
}
