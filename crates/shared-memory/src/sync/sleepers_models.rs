//! loom models of sleeping and waking: no wake is lost, in any order of announcing, looking, changing and waking.

use loom::sync::Arc;
use loom::thread;

use super::model_kernel::{Kernel, explore, spawn};
use super::sleepers::Sleepers;
use super::surroundings::Slept;
use crate::atomic::{AtomicU32, Ordering};

/// Tokens to be taken one at a time: the least that waiters can wait for.
struct World {
    kernel: Kernel,
    sleepers: Sleepers,
    tokens: AtomicU32,
}

impl World {
    fn new() -> Arc<World> {
        Arc::new(World { kernel: Kernel::new(), sleepers: Sleepers::new(), tokens: AtomicU32::new(0) })
    }

    fn give(&self) {
        // Relaxed: the fences in `Sleepers` are what is tested.
        self.tokens.fetch_add(1, Ordering::Relaxed);
        self.sleepers.wake_one(|word, count| self.kernel.wake(word, count));
    }

    fn try_take(&self) -> bool {
        // Relaxed, all of it: as above.
        let mut tokens = self.tokens.load(Ordering::Relaxed);
        while tokens > 0 {
            match self.tokens.compare_exchange(tokens, tokens - 1, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(now) => tokens = now,
            }
        }
        false
    }

    fn take(&self) {
        let taken = self.sleepers.wait(&self.kernel.waiter(false), |_| self.try_take().then_some(()));
        assert_eq!(taken, Some(()));
    }

    /// Waits until so many were given.
    fn wait_for(&self, tokens: u32) {
        // Relaxed: as in `give`.
        let look = |_| (self.tokens.load(Ordering::Relaxed) == tokens).then_some(());
        assert_eq!(self.sleepers.wait(&self.kernel.waiter(false), look), Some(()));
    }

    /// One that is killed when it wakes: it takes nothing.
    fn wait_and_die(&self) {
        let mut looks = 0;
        let look = |_| {
            looks += 1;
            (looks > 1 || self.try_take()).then_some(())
        };
        self.sleepers.wait(&self.kernel.waiter(false), look);
    }

    fn change_for_all(&self) {
        self.tokens.fetch_add(1, Ordering::Relaxed);
        self.sleepers.wake_all(|word, count| self.kernel.wake(word, count));
    }
}

#[test]
fn two_sleepers_are_both_woken_by_two_gifts() {
    explore(3, || {
        let world = World::new();
        let takers = [(); 2].map(|()| spawn(&world, move |world| world.take()));
        world.give();
        world.give();
        for taker in takers {
            taker.join().unwrap();
        }
    });
}

#[test]
fn givers_that_meet_lose_no_sleeper() {
    explore(2, || {
        let world = World::new();
        let taker = spawn(&world, move |world| {
            world.take();
            world.take();
        });
        let giver = spawn(&world, move |world| world.give());
        world.give();
        giver.join().unwrap();
        taker.join().unwrap();
    });
}

#[test]
fn all_who_wait_for_one_change_are_woken_by_it() {
    explore(3, || {
        let world = World::new();
        let waiters = [(); 2].map(|()| spawn(&world, move |world| world.wait_for(1)));
        world.change_for_all();
        for waiter in waiters {
            waiter.join().unwrap();
        }
    });
}

#[test]
fn two_changes_wake_those_who_wait_for_the_second() {
    explore(2, || {
        let world = World::new();
        let waiter = spawn(&world, move |world| world.wait_for(2));
        let other = spawn(&world, move |world| world.change_for_all());
        world.change_for_all();
        other.join().unwrap();
        waiter.join().unwrap();
    });
}

#[test]
fn what_a_change_wrote_is_seen_by_whom_it_wakes() {
    explore(3, || {
        let world = World::new();
        let data = Arc::new(AtomicU32::new(0));
        let waiter = thread::spawn({
            let (world, data) = (world.clone(), data.clone());
            move || {
                let look = |slept| {
                    // Relaxed: as in `give`.
                    let data = data.load(Ordering::Relaxed);
                    (data == 1 || slept == Slept::OutOfTime).then_some(data)
                };
                world.sleepers.wait(&world.kernel.waiter(true), look)
            }
        });
        data.store(1, Ordering::Relaxed);
        world.change_for_all();
        world.kernel.pass_the_deadline();
        // It came too late to be woken, or was: in either case its last look saw it.
        assert_eq!(waiter.join().unwrap(), Some(1));
    });
}

#[test]
fn a_wake_that_went_to_one_who_died_of_it_is_made_good_by_the_end_of_a_slice() {
    explore(2, || {
        let world = World::new();
        let victim = spawn(&world, move |world| world.wait_and_die());
        let taker = spawn(&world, move |world| world.take());
        // One for each that may come by; the victim may take one if it comes late.
        world.give();
        world.give();
        world.kernel.let_time_go_by();
        victim.join().unwrap();
        taker.join().unwrap();
    });
}

#[test]
fn a_waker_killed_before_it_wakes_is_made_good_by_the_end_of_a_slice() {
    explore(3, || {
        let world = World::new();
        let taker = spawn(&world, move |world| world.take());
        world.tokens.fetch_add(1, Ordering::Relaxed);
        // Killed while it wakes: the word may say so, the kernel was never asked.
        world.sleepers.wake_one(|_, _| 0);
        world.kernel.let_time_go_by();
        taker.join().unwrap();
    });
}

#[test]
fn one_whose_time_is_up_takes_a_last_look_at_what_nobody_woke_it_for() {
    explore(3, || {
        let world = World::new();
        let taker = spawn(&world, move |world| {
            world.sleepers.wait(&world.kernel.waiter(true), |_| world.try_take().then_some(()))
        });
        world.tokens.fetch_add(1, Ordering::Relaxed);
        // Killed before it woke anybody.
        world.kernel.pass_the_deadline();
        assert_eq!(taker.join().unwrap(), Some(()));
    });
}
