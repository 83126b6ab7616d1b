//! loom models of the condition variable: no notice is lost, whoever stops for ever.
//!
//! Run with `RUSTFLAGS="--cfg loom" cargo test -p wharf-shared-memory --release --lib raw_condvar_models`.
#![allow(unsafe_code)]

use loom::sync::{Arc, Condvar, Mutex};

use super::model_kernel::{explore, spawn};
use super::raw_condvar::{Ended, RawCondvar};
use super::surroundings::{Nap, Slept};
use crate::atomic::{AtomicU32, Ordering};

/// Slices that a waiter would wait for: more than any model needs, so a lost notice is a deadlock.
const FOR_EVER: u32 = 10;

#[derive(Default)]
struct Kernel {
    slices_are_over: bool,
    asleep: usize,
}

struct World {
    condvar: RawCondvar,
    /// The mutex of the user, and what it guards.
    data: Mutex<u32>,
    kernel: Mutex<Kernel>,
    changed: Condvar,
}

impl World {
    fn new() -> Arc<World> {
        Arc::new(World {
            condvar: RawCondvar::new(),
            data: Mutex::new(0),
            kernel: Mutex::new(Kernel::default()),
            changed: Condvar::new(),
        })
    }

    fn sleep(&self, word: &AtomicU32, expected: u32, _: Nap) -> Slept {
        let mut kernel = self.kernel.lock().unwrap();
        // Relaxed: the kernel compares under the bucket lock, which orders it with the waker.
        if word.load(Ordering::Relaxed) != expected {
            return Slept::Woken;
        }
        if kernel.slices_are_over {
            return Slept::SliceOver;
        }
        kernel.asleep += 1;
        let kernel = self.changed.wait(kernel).unwrap();
        if kernel.slices_are_over { Slept::SliceOver } else { Slept::Woken }
    }

    /// Wakes one, or all.
    fn wake(&self, count: u32) -> usize {
        let mut kernel = self.kernel.lock().unwrap();
        let woken = kernel.asleep.min(count as usize);
        kernel.asleep -= woken;
        match count {
            1 if woken == 0 => {}
            1 => self.changed.notify_one(),
            _ => self.changed.notify_all(),
        }
        woken
    }

    fn wake_all(&self) {
        self.wake(u32::MAX);
    }

    /// Takes one, waiting until there is one.
    fn take(&self) {
        let mut data = self.data.lock().unwrap();
        // Bound: loom bounds every execution.
        while *data == 0 {
            let heard = self.condvar.listen();
            drop(data);
            let ended = self.condvar.wait(heard, FOR_EVER, |word, heard, nap| self.sleep(word, heard, nap));
            assert_eq!(ended, Ended::Look);
            data = self.data.lock().unwrap();
        }
        *data -= 1;
    }

    fn put(&self) {
        *self.data.lock().unwrap() += 1;
    }
}

#[test]
fn a_notice_is_never_lost() {
    for all in [false, true] {
        explore(4, move || {
            let world = World::new();
            let waiter = spawn(&world, World::take);
            world.put();
            if all {
                world.condvar.notify_all(|_| world.wake_all());
            } else {
                world.condvar.notify_one(|_, count| world.wake(count));
            }
            waiter.join().unwrap();
        });
    }
}

#[test]
fn two_notices_reach_two_waiters() {
    explore(2, || {
        let world = World::new();
        let waiters = [(); 2].map(|()| spawn(&world, World::take));
        for _ in 0..2 {
            world.put();
            world.condvar.notify_one(|_, count| world.wake(count));
        }
        for waiter in waiters {
            waiter.join().unwrap();
        }
    });
}

#[test]
fn one_notice_to_all_reaches_two_waiters() {
    explore(2, || {
        let world = World::new();
        let waiters = [(); 2].map(|()| spawn(&world, World::take));
        world.put();
        world.put();
        world.condvar.notify_all(|_| world.wake_all());
        for waiter in waiters {
            waiter.join().unwrap();
        }
    });
}

/// A waiter that is woken and stops for ever: the other one hears of the notice at the end of its slice.
#[test]
fn a_notice_that_a_dead_waiter_was_woken_for_reaches_the_other() {
    explore(3, || {
        let world = World::new();
        // Listens, and stops for ever wherever it is.
        let dead = spawn(&world, |world| {
            let data = world.data.lock().unwrap();
            let heard = world.condvar.listen();
            drop(data);
            world.condvar.wait(heard, 1, |word, heard, nap| world.sleep(word, heard, nap));
        });
        let waiter = spawn(&world, World::take);
        world.put();
        world.condvar.notify_one(|_, count| world.wake(count));
        // Slices go by.
        world.kernel.lock().unwrap().slices_are_over = true;
        world.wake_all();
        waiter.join().unwrap();
        dead.join().unwrap();
    });
}

/// A notifier that stops for ever between its change and its notice: waiters look by themselves.
#[test]
fn a_notice_that_was_never_given_is_made_good() {
    explore(3, || {
        let world = World::new();
        let waiter = spawn(&world, World::take);
        world.put();
        world.kernel.lock().unwrap().slices_are_over = true;
        world.wake_all();
        waiter.join().unwrap();
    });
}

/// A notifier that stops for ever after it changed the number, before it woke anybody.
#[test]
fn a_notice_without_a_wake_is_heard_at_the_end_of_the_slice() {
    explore(3, || {
        let world = World::new();
        let waiter = spawn(&world, World::take);
        world.put();
        world.condvar.notify_one(|_, _| 1);
        world.kernel.lock().unwrap().slices_are_over = true;
        world.wake_all();
        waiter.join().unwrap();
    });
}
