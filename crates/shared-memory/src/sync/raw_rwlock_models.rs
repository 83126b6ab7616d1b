//! loom models of the lock for readers and writers: exclusion, no lost wake-up, and deaths at any point.
//!
//! Run with `RUSTFLAGS="--cfg loom" cargo test -p wharf-shared-memory --release --lib raw_rwlock_models`. A sleeper that
//! nobody wakes for ever is a deadlock, which loom reports.
#![allow(unsafe_code)]

mod going_on;
mod words;

use loom::sync::{Arc, Condvar, Mutex};
use loom::thread;

use super::model_kernel::{explore, spawn};
use super::owner::Owner;
use super::raw::Condition;
use super::raw_rwlock::{Entered, RawRwLock};
use super::surroundings::{Nap, OutOfTime, Slept, Surroundings};
use crate::atomic::{AtomicU32, Ordering, UnsafeCell};

/// Slot 0 in its first taking, and the newcomer that takes it after the first one's death.
const FIRST: Owner = Owner::new(0, 1);
const NEWCOMER: Owner = Owner::new(0, 2);
const SECOND: Owner = Owner::new(1, 1);

#[derive(Default)]
struct Kernel {
    first_is_dead: bool,
    slices_are_over: bool,
    asleep: bool,
}

/// A lock with so many cells, and all around it.
struct Book<const N: usize> {
    lock: RawRwLock<N>,
    value: UnsafeCell<u32>,
    kernel: Mutex<Kernel>,
    changed: Condvar,
    generation: AtomicU32,
}

// SAFETY: everything but `value` is `Sync`, and that no thread uses `value` while another writes it is what the models
// check: loom fails the model if one does.
unsafe impl<const N: usize> Sync for Book<N> {}

type World = Book<2>;

impl<const N: usize> Book<N> {
    fn new() -> Arc<Book<N>> {
        Arc::new(Book {
            lock: RawRwLock::new(),
            value: UnsafeCell::new(0),
            kernel: Mutex::new(Kernel::default()),
            changed: Condvar::new(),
            generation: AtomicU32::new(FIRST.generation()),
        })
    }

    /// All sleepers share one bucket, and every wake is for all: which word it was does not matter to these models.
    fn wake_all(&self) {
        let _bucket = self.kernel.lock().unwrap();
        self.changed.notify_all();
    }

    fn wake_one(&self) -> bool {
        self.wake_all();
        true
    }

    fn first_dies(&self) {
        self.kernel.lock().unwrap().first_is_dead = true;
        self.changed.notify_all();
    }

    fn read_value(&self) -> u32 {
        // SAFETY: the lock is held, which is what the models check.
        self.value.with(|value| unsafe { *value })
    }

    /// Not atomic: loom fails the model if another thread uses the value at the same time.
    fn change_value(&self) {
        // SAFETY: as in `read_value`.
        self.value.with_mut(|value| unsafe { *value += 1 });
    }

    fn enter(&self, me: Owner) -> Entered {
        match self.lock.read_free(me, |_| self.wake_all()) {
            Some(at) => Entered::Reading(at),
            None => {
                self.lock.read(me, self, &|_: &AtomicU32| self.wake_all(), &|_: &AtomicU32| self.wake_one()).unwrap()
            }
        }
    }

    /// Reads; repairs if it must.
    fn read(&self, me: Owner) -> (u32, Condition) {
        match self.enter(me) {
            Entered::Reading(at) => {
                let value = self.read_value();
                self.lock.leave(at, |_| self.wake_all());
                (value, Condition::Consistent)
            }
            Entered::Alone => {
                self.change_value();
                let value = self.read_value();
                self.end_alone(Condition::Consistent);
                (value, Condition::Inconsistent)
            }
        }
    }

    fn alone(&self, me: Owner) -> Condition {
        if !self.lock.intent().take_free(me) {
            self.lock.intent().take(me, self).unwrap();
        }
        self.lock.be_alone(me, self, |_| self.wake_all(), |_| self.wake_one()).unwrap()
    }

    fn end_alone(&self, condition: Condition) {
        self.lock.leave_alone(condition, |_| self.wake_all(), |_| self.wake_one());
    }

    fn write(&self, me: Owner) -> Condition {
        let condition = match self.lock.write_free(me) {
            Ok(()) => Condition::Consistent,
            Err(false) => self.alone(me),
            Err(true) => self.lock.be_alone(me, self, |_| self.wake_all(), |_| self.wake_one()).unwrap(),
        };
        self.change_value();
        self.end_alone(Condition::Consistent);
        condition
    }
}

impl<const N: usize> Surroundings for Book<N> {
    fn spins(&self) -> u32 {
        0
    }

    fn sleep(&self, word: &AtomicU32, expected: u32, nap: Nap) -> Slept {
        let mut kernel = self.kernel.lock().unwrap();
        // Relaxed: the kernel compares under the bucket lock, which orders it with the waker.
        if word.load(Ordering::Relaxed) != expected {
            return Slept::Woken;
        }
        if nap != Nap::Slice || kernel.first_is_dead || kernel.slices_are_over {
            drop(kernel);
            // Time goes by, and others get on.
            thread::yield_now();
            return Slept::SliceOver;
        }
        kernel.asleep = true;
        drop(self.changed.wait(kernel).unwrap());
        Slept::Woken
    }

    fn is_out_of_time(&self) -> bool {
        false
    }

    fn now(&self) -> u32 {
        // No heirs here: they have models of their own.
        0
    }

    fn has_left(&self, owner: Owner) -> bool {
        // Acquire: pairs with the Release by which the newcomer takes the slot.
        owner.slot() == 0 && owner.generation() != self.generation.load(Ordering::Acquire)
    }

    fn is_dead(&self, owner: Owner) -> bool {
        owner == FIRST && self.kernel.lock().unwrap().first_is_dead
    }
}

/// One whose time is up whenever it would sleep.
struct Hasty<'a>(&'a World);

impl Surroundings for Hasty<'_> {
    fn spins(&self) -> u32 {
        0
    }

    fn sleep(&self, word: &AtomicU32, expected: u32, _: Nap) -> Slept {
        // Relaxed: as in `World::sleep`.
        if word.load(Ordering::Relaxed) == expected { Slept::OutOfTime } else { Slept::Woken }
    }

    fn is_out_of_time(&self) -> bool {
        true
    }

    fn now(&self) -> u32 {
        0
    }

    fn has_left(&self, owner: Owner) -> bool {
        self.0.has_left(owner)
    }

    fn is_dead(&self, owner: Owner) -> bool {
        self.0.is_dead(owner)
    }
}

#[test]
fn a_reader_and_a_writer_exclude_each_other_and_neither_sleeps_for_ever() {
    explore(3, || {
        let world = World::new();
        let reader = spawn(&world, |world| world.read(SECOND).0);
        assert_eq!(world.write(FIRST), Condition::Consistent);
        assert!(reader.join().unwrap() <= 1);
        assert_eq!(world.read(FIRST), (1, Condition::Consistent));
    });
}

#[test]
fn a_reader_with_a_warm_cell_takes_the_short_way_past_a_writer() {
    explore(3, || {
        let world = World::new();
        world.read(SECOND);
        let reader = spawn(&world, |world| {
            world.read(SECOND);
            world.read(SECOND).0
        });
        world.write(FIRST);
        assert!(reader.join().unwrap() <= 1);
    });
}

#[test]
fn two_writers_exclude_each_other() {
    explore(3, || {
        let world = World::new();
        let other = spawn(&world, |world| world.write(SECOND));
        world.write(FIRST);
        other.join().unwrap();
        assert_eq!(world.read(FIRST).0, 2);
    });
}

#[test]
fn two_readers_read_at_one_time_and_two_threads_share_a_cell() {
    explore(3, || {
        let world = World::new();
        let Entered::Reading(mine) = world.enter(FIRST) else { panic!("nobody wrote") };
        // Neither could end if one reader kept the other out.
        let others = [FIRST, SECOND].map(|me| spawn(&world, move |world| world.read(me).0));
        for other in others {
            assert_eq!(other.join().unwrap(), 0);
        }
        world.lock.leave(mine, |_| world.wake_all());
        world.write(SECOND);
    });
}

#[test]
fn a_reader_that_stops_for_ever_is_struck_out_when_its_death_is_proved() {
    explore(3, || {
        let world = World::new();
        let writer = spawn(&world, |world| world.write(SECOND));
        let entered = world.enter(FIRST);
        world.read_value();
        assert!(matches!(entered, Entered::Reading(_)));
        world.first_dies();
        assert_eq!(writer.join().unwrap(), Condition::Consistent);
    });
}

#[test]
fn a_dead_readers_entry_is_proved_void_by_the_newcomer_in_its_slot() {
    explore(3, || {
        let world = World::new();
        assert!(matches!(world.enter(FIRST), Entered::Reading(0)));
        let writer = spawn(&world, |world| world.write(SECOND));
        // Release: pairs with the Acquire in `has_left`. Nobody is told of the death: the slot alone proves it.
        world.generation.store(NEWCOMER.generation(), Ordering::Release);
        world.kernel.lock().unwrap().slices_are_over = true;
        world.changed.notify_all();
        let (value, condition) = world.read(NEWCOMER);
        assert!(value <= 1 && condition == Condition::Consistent);
        writer.join().unwrap();
        assert_eq!(world.read(NEWCOMER).0, 1);
    });
}

#[test]
fn striking_out_the_dead_never_hits_the_newcomer_in_its_cell() {
    explore(3, || {
        let world = World::new();
        assert!(matches!(world.enter(FIRST), Entered::Reading(0)));
        // Release: pairs with the Acquire in `has_left`.
        world.generation.store(NEWCOMER.generation(), Ordering::Release);
        let other = spawn(&world, |world| world.lock.strike(|owner| owner == FIRST));
        let newcomer = world.lock.try_read(NEWCOMER, |owner| owner == FIRST, |_| world.wake_all());
        other.join().unwrap();
        assert_eq!(newcomer, Ok(0));
        // It still reads: nobody can be alone.
        assert_eq!(world.lock.close(SECOND, &Hasty(&world)), Err(OutOfTime));
    });
}

#[test]
fn a_writer_that_stops_for_ever_in_a_change_is_succeeded_by_exactly_one() {
    explore(2, || {
        let world = World::new();
        let reader = spawn(&world, |world| world.read(SECOND));
        assert_eq!(world.alone(FIRST), Condition::Consistent);
        world.change_value();
        world.first_dies();
        let (value, condition) = reader.join().unwrap();
        match condition {
            // It came before the change.
            Condition::Consistent => assert_eq!(value, 0),
            Condition::Inconsistent => assert_eq!(value, 2),
        }
        let again = world.read(NEWCOMER).1;
        assert!((condition == Condition::Inconsistent) != (again == Condition::Inconsistent));
    });
}

#[test]
fn one_that_dies_before_it_is_alone_leaves_no_doubt() {
    explore(3, || {
        let world = World::new();
        // A reader keeps it from being alone.
        assert!(matches!(world.enter(SECOND), Entered::Reading(1)));
        world.lock.intent().take_free(FIRST);
        assert_eq!(world.lock.close(FIRST, &Hasty(&world)), Err(OutOfTime));
        world.first_dies();
        let other = spawn(&world, |world| world.read(SECOND));
        world.lock.leave(1, |_| world.wake_all());
        assert_eq!(other.join().unwrap(), (0, Condition::Consistent));
        // It is open again, not only for those who let themselves in.
        let at = world.lock.try_read(SECOND, |_| false, |_| world.wake_all()).unwrap();
        world.lock.leave(at, |_| world.wake_all());
        assert_eq!(world.write(SECOND), Condition::Consistent);
    });
}

#[test]
fn a_value_left_in_doubt_is_told_to_the_next_one_whoever_it_is() {
    explore(3, || {
        let world = World::new();
        world.alone(FIRST);
        world.change_value();
        let other = spawn(&world, |world| world.read(SECOND).1);
        world.end_alone(Condition::Inconsistent);
        assert_eq!(other.join().unwrap(), Condition::Inconsistent);
        assert_eq!(world.read(FIRST).1, Condition::Consistent);
    });
}

#[test]
fn one_that_gives_up_lets_the_others_in_again() {
    explore(3, || {
        let world = World::new();
        let reader = spawn(&world, |world| {
            world.read(SECOND);
            world.read(SECOND).1
        });
        if world.lock.intent().take_free(FIRST) {
            let hasty = Hasty(&world);
            if world.lock.be_alone(FIRST, &hasty, |_| world.wake_all(), |_| world.wake_one()).is_ok() {
                world.change_value();
                world.end_alone(Condition::Consistent);
            }
        }
        assert_eq!(reader.join().unwrap(), Condition::Consistent);
    });
}
