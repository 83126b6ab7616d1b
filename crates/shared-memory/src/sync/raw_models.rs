//! loom models of the lock word: every interleaving of taking, waiting, giving back and dying.
//!
//! Run with `RUSTFLAGS="--cfg loom" cargo test -p wharf-shared-memory --release --lib raw_models`. The futex is a lock
//! and a condition variable, which order a sleeper's check and a waker's look as the kernel's bucket lock does. A
//! sleeper that nobody wakes for ever is a deadlock, which loom reports: no wake-up is lost.
#![allow(unsafe_code)]

mod succeeding;

use loom::sync::{Arc, Condvar, Mutex};

use super::model_kernel::{explore, spawn};
use super::owner::Owner;
use super::raw::{Condition, RawLock};
use super::surroundings::{Nap, Slept, Surroundings};
use crate::atomic::{AtomicU32, Ordering, UnsafeCell};

/// Slot 0 in its first taking, and the newcomer that takes it after the first one's death.
const FIRST: Owner = Owner::new(0, 1);
const NEWCOMER: Owner = Owner::new(0, 2);
const SECOND: Owner = Owner::new(1, 1);
const THIRD: Owner = Owner::new(2, 1);

/// What the kernel knows: who is dead, and whether the slices of those asleep are over.
#[derive(Default)]
struct Kernel {
    first_is_dead: bool,
    slices_are_over: bool,
    /// The deadline of the impatient one has passed.
    time_is_up: bool,
    /// How many sleep on the lock's word, and how many on the heir's.
    asleep: [usize; 2],
}

struct World {
    lock: RawLock,
    value: UnsafeCell<u32>,
    kernel: Mutex<Kernel>,
    changed: Condvar,
    /// Where the heir sleeps: its word has a bucket of its own.
    heir_changed: Condvar,
    /// Generation of slot 0, as the participant table says.
    generation: AtomicU32,
    spins: u32,
}

// SAFETY: everything but `value` is `Sync`, and that two threads never use `value` at a time is what the models check:
// loom fails the model if they do.
unsafe impl Sync for World {}

impl World {
    fn new(spins: u32) -> Arc<World> {
        Arc::new(World {
            lock: RawLock::new(),
            value: UnsafeCell::new(0),
            kernel: Mutex::new(Kernel::default()),
            changed: Condvar::new(),
            heir_changed: Condvar::new(),
            generation: AtomicU32::new(FIRST.generation()),
            spins,
        })
    }

    /// Which of the kernel's buckets a word belongs to.
    fn bucket(&self, word: &AtomicU32) -> (usize, &Condvar) {
        if std::ptr::eq(word, self.lock.heir_word()) { (1, &self.heir_changed) } else { (0, &self.changed) }
    }

    fn wake_one(&self, word: &AtomicU32) -> bool {
        let (at, bucket) = self.bucket(word);
        let mut kernel = self.kernel.lock().unwrap();
        let somebody = kernel.asleep[at] > 0;
        if somebody {
            kernel.asleep[at] -= 1;
            bucket.notify_one();
        }
        somebody
    }

    /// The kernel ends slot 0's first process: nothing of it runs any more, and slices go by.
    fn first_dies(&self) {
        self.kernel.lock().unwrap().first_is_dead = true;
        self.let_time_pass();
    }

    fn let_time_pass(&self) {
        self.kernel.lock().unwrap().asleep = [0, 0];
        self.changed.notify_all();
        self.heir_changed.notify_all();
    }

    /// Takes the lock, changes the value, repairs what a dead one left, gives the lock back.
    fn pass(&self, me: Owner) -> Condition {
        if self.lock.take_free(me) {
            self.change_and_give_back(me, Condition::Consistent)
        } else {
            self.pass_slowly(me)
        }
    }

    /// The same without the short cut.
    fn pass_slowly(&self, me: Owner) -> Condition {
        let condition = self.lock.take(me, self).unwrap();
        self.change_and_give_back(me, condition)
    }

    fn change_and_give_back(&self, me: Owner, condition: Condition) -> Condition {
        // First, because the looks at the word below order more than a holder may rely on.
        self.change_value();
        assert_eq!(self.lock.holder(), Some(me));
        assert_eq!(self.lock.is_inconsistent(), condition == Condition::Inconsistent);
        if condition == Condition::Inconsistent {
            self.lock.mark_consistent();
        }
        self.lock.give_back(Condition::Consistent, |word| self.wake_one(word));
        condition
    }

    /// Not atomic: loom fails the model if another thread touches the value at the same time.
    fn change_value(&self) {
        // SAFETY: the lock is held, which is what the models check.
        self.value.with_mut(|value| unsafe { *value += 1 });
    }

    fn value(&self) -> u32 {
        // SAFETY: called when all other threads have ended.
        self.value.with(|value| unsafe { *value })
    }
}

impl Surroundings for World {
    fn spins(&self) -> u32 {
        self.spins
    }

    fn sleep(&self, word: &AtomicU32, expected: u32, nap: Nap) -> Slept {
        let (at, bucket) = self.bucket(word);
        let mut kernel = self.kernel.lock().unwrap();
        // Relaxed: the kernel compares under the bucket lock, which orders it with the waker.
        if word.load(Ordering::Relaxed) != expected {
            return Slept::Woken;
        }
        // A moment is over at any moment. So is a slice behind the dead, which ends a wait that nobody else would end.
        let owner = if at == 0 { Owner::in_word(expected & !(3 << 30)) } else { self.lock.holder() };
        let behind_the_dead = kernel.first_is_dead && owner == Some(FIRST);
        if nap != Nap::Slice || behind_the_dead || kernel.slices_are_over {
            return Slept::SliceOver;
        }
        kernel.asleep[at] += 1;
        drop(bucket.wait(kernel).unwrap());
        Slept::Woken
    }

    fn is_out_of_time(&self) -> bool {
        false
    }

    fn now(&self) -> u32 {
        // Later than a turn after the beginning, and less than one after the first heir.
        100
    }

    fn has_left(&self, owner: Owner) -> bool {
        // Acquire: pairs with the Release by which the newcomer takes the slot.
        owner.slot() == 0 && owner.generation() != self.generation.load(Ordering::Acquire)
    }

    fn is_dead(&self, owner: Owner) -> bool {
        owner == FIRST && self.kernel.lock().unwrap().first_is_dead
    }
}

/// One that waits until time is up.
struct Impatient<'a>(&'a World);

impl Surroundings for Impatient<'_> {
    fn spins(&self) -> u32 {
        0
    }

    fn sleep(&self, word: &AtomicU32, expected: u32, nap: Nap) -> Slept {
        if self.0.kernel.lock().unwrap().time_is_up { Slept::OutOfTime } else { self.0.sleep(word, expected, nap) }
    }

    fn is_out_of_time(&self) -> bool {
        self.0.kernel.lock().unwrap().time_is_up
    }

    fn now(&self) -> u32 {
        self.0.now()
    }

    fn has_left(&self, owner: Owner) -> bool {
        self.0.has_left(owner)
    }

    fn is_dead(&self, owner: Owner) -> bool {
        self.0.is_dead(owner)
    }
}

#[test]
fn two_take_turns_and_nobody_sleeps_for_ever() {
    for spins in [0, 1] {
        explore(4, move || {
            let world = World::new(spins);
            let other = spawn(&world, move |world| world.pass(SECOND));
            assert_eq!(world.pass(FIRST), Condition::Consistent);
            assert_eq!(other.join().unwrap(), Condition::Consistent);
            assert_eq!(world.value(), 2);
            assert_eq!(world.lock.holder(), None);
        });
    }
}

#[test]
fn three_take_turns_and_nobody_sleeps_for_ever() {
    explore(2, || {
        let world = World::new(0);
        let others = [SECOND, THIRD].map(|me| spawn(&world, move |world| world.pass(me)));
        world.pass(FIRST);
        for other in others {
            other.join().unwrap();
        }
        assert_eq!(world.value(), 3);
    });
}

#[test]
fn a_death_between_giving_back_and_waking_is_healed_by_the_slice() {
    explore(4, || {
        let world = World::new(0);
        let sleeper = spawn(&world, move |world| world.pass(SECOND));
        let mine = world.lock.take(FIRST, &*world).unwrap();
        world.change_value();
        world.lock.give_back(mine, |_| true);
        // Nobody was woken. Time goes by.
        world.kernel.lock().unwrap().slices_are_over = true;
        world.let_time_pass();
        assert_eq!(sleeper.join().unwrap(), Condition::Consistent);
        assert_eq!(world.value(), 2);
    });
}

#[test]
fn one_that_gives_up_takes_no_wake_up_from_the_others() {
    explore(2, || {
        let world = World::new(0);
        assert!(world.lock.take_free(FIRST));
        let impatient = spawn(&world, move |world| {
            if let Ok(condition) = world.lock.take(SECOND, &Impatient(&world)) {
                world.change_value();
                world.lock.give_back(condition, |word| world.wake_one(word));
            }
        });
        let patient = spawn(&world, move |world| world.pass(THIRD));
        world.kernel.lock().unwrap().time_is_up = true;
        world.let_time_pass();
        world.change_value();
        world.lock.give_back(Condition::Consistent, |word| world.wake_one(word));
        impatient.join().unwrap();
        patient.join().unwrap();
        assert_eq!(world.lock.holder(), None);
    });
}

/// Behind an owner that comes back again and again, a waiter that was woken in vain is the heir, and gets the lock.
#[test]
fn one_that_was_woken_in_vain_is_handed_the_lock() {
    explore(3, || {
        let world = World::new(0);
        assert!(world.lock.take_free(FIRST));
        let waiter = spawn(&world, move |world| world.pass_slowly(SECOND));
        for _ in 0..2 {
            world.change_value();
            world.lock.give_back(Condition::Consistent, |word| world.wake_one(word));
            world.lock.take(FIRST, &*world).unwrap();
        }
        world.change_value();
        world.lock.give_back(Condition::Consistent, |word| world.wake_one(word));
        waiter.join().unwrap();
        assert_eq!(world.value(), 4);
        assert_eq!(world.lock.holder(), None);
    });
}

/// A lock that was kept for an heir which runs no more: the others wait a moment, and no longer.
#[test]
fn a_stopped_heir_keeps_nobody_from_the_lock() {
    explore(3, || {
        let world = World::new(0);
        // The state that giving back leaves for an heir: free, kept and granted.
        assert!(world.lock.take_free(FIRST));
        world.lock.pretend_heir(NEWCOMER);
        world.lock.give_back(Condition::Consistent, |_| false);
        let other = spawn(&world, move |world| world.pass(THIRD));
        world.pass(SECOND);
        other.join().unwrap();
        assert_eq!(world.value(), 2);
    });
}
