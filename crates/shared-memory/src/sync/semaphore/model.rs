//! loom models of permits: taken, given back, forgotten, given, and owned by processes that stop for ever.
#![allow(unsafe_code)]

use loom::sync::Arc;
use loom::thread;

use super::permits::Permits;
use crate::atomic::{AtomicU32, Ordering, UnsafeCell};
use crate::sync::model_kernel::{Kernel, explore, spawn};
use crate::sync::owner::Owner;
use crate::sync::sleepers::Sleepers;

const FIRST: Owner = Owner::new(0, 1);
/// The one that takes slot 0 after the first one's death.
const NEWCOMER: Owner = Owner::new(0, 2);
const SECOND: Owner = Owner::new(1, 1);
const THIRD: Owner = Owner::new(2, 1);

struct World {
    kernel: Kernel,
    sleepers: Sleepers,
    moves: AtomicU32,
    free_first: Vec<AtomicU32>,
    absent_first: Vec<AtomicU32>,
    /// Touched only with the one permit there is; loom fails the model if two do so at a time.
    value: UnsafeCell<u32>,
}

// SAFETY: everything but `value` is `Sync`, and that two threads never use `value` at a time is what the models check.
unsafe impl Sync for World {}

impl World {
    fn new(free: usize, absent: usize) -> Arc<World> {
        let cells = |count| (0..count).map(|_| AtomicU32::new(0)).collect();
        Arc::new(World {
            kernel: Kernel::new(),
            sleepers: Sleepers::new(),
            moves: AtomicU32::new(0),
            free_first: cells(free),
            absent_first: cells(absent),
            value: UnsafeCell::new(0),
        })
    }

    fn permits(&self) -> Permits<'_> {
        Permits {
            sleepers: &self.sleepers,
            moves: &self.moves,
            free_first: &self.free_first,
            absent_first: &self.absent_first,
        }
    }

    fn wake(&self, word: &AtomicU32, count: u32) -> usize {
        self.kernel.wake(word, count)
    }

    /// Waits for a permit; says in which cell, and whether its owner was dead.
    fn take(&self, me: Owner) -> (usize, bool) {
        self.permits().wait(me, &self.kernel.waiter(false)).expect("there is no deadline")
    }

    fn give_back(&self, at: usize, me: Owner) {
        self.permits().give_back(at, me, |word, count| self.wake(word, count));
    }

    fn give(&self) {
        self.permits().give(|word, count| self.wake(word, count)).expect("room for a permit");
    }

    /// Waits for the permit, changes the value, gives the permit back.
    fn pass(&self, me: Owner) -> bool {
        let (at, from_dead) = self.take(me);
        self.change_value();
        self.give_back(at, me);
        from_dead
    }

    fn change_value(&self) {
        // SAFETY: the only permit is held, which is what the models check.
        self.value.with_mut(|value| unsafe { *value += 1 });
    }

    fn value(&self) -> u32 {
        // SAFETY: as above, or all other threads have ended.
        self.value.with(|value| unsafe { *value })
    }
}

#[test]
fn one_permit_lets_one_through_at_a_time_and_nobody_sleeps_for_ever() {
    explore(2, || {
        let world = World::new(1, 0);
        let others = [SECOND, THIRD].map(|me| spawn(&world, move |world| world.pass(me)));
        world.pass(FIRST);
        for other in others {
            assert!(!other.join().unwrap());
        }
        assert_eq!((world.value(), world.permits().free()), (3, 1));
    });
}

#[test]
fn a_permit_of_the_dead_goes_to_exactly_one_at_a_time() {
    explore(2, || {
        let world = World::new(1, 0);
        let others = [SECOND, THIRD].map(|me| spawn(&world, move |world| world.pass(me)));
        world.take(FIRST);
        world.change_value();
        // Stops for ever with the permit.
        world.kernel.end(FIRST);
        let heirs = others.map(|other| other.join().unwrap()).into_iter().filter(|&heir| heir).count();
        assert!(heirs <= 1);
        assert_eq!(world.value(), 3);
        // Both others may have been there before.
        assert_eq!(world.permits().free(), heirs);
    });
}

#[test]
fn two_permits_of_the_dead_serve_two_waiters() {
    explore(2, || {
        let world = World::new(2, 0);
        assert!(world.permits().take(FIRST).is_some() && world.permits().take(FIRST).is_some());
        let waiters = [SECOND, THIRD].map(|me| {
            let world = world.clone();
            // Neither gives its permit back: each must have one of its own.
            thread::spawn(move || world.take(me))
        });
        world.kernel.end(FIRST);
        let taken = waiters.map(|waiter| waiter.join().unwrap());
        assert!(taken[0].0 != taken[1].0 && taken[0].1 && taken[1].1);
    });
}

#[test]
fn a_death_between_giving_back_and_waking_is_healed_by_the_slice() {
    explore(3, || {
        let world = World::new(1, 0);
        let waiter = spawn(&world, move |world| world.pass(SECOND));
        let (at, _) = world.take(FIRST);
        world.change_value();
        world.permits().give_back(at, FIRST, |_, _| 0);
        world.kernel.let_time_go_by();
        waiter.join().unwrap();
        assert_eq!(world.value(), 2);
    });
}

#[test]
fn one_that_gives_up_takes_no_wake_from_the_others() {
    explore(2, || {
        let world = World::new(1, 0);
        let at = world.permits().take(FIRST).unwrap();
        let impatient = spawn(&world, move |world| {
            if let Some((at, _)) = world.permits().wait(SECOND, &world.kernel.waiter(true)) {
                world.change_value();
                world.give_back(at, SECOND);
            }
        });
        let patient = spawn(&world, move |world| world.pass(THIRD));
        world.kernel.pass_the_deadline();
        world.change_value();
        world.give_back(at, FIRST);
        impatient.join().unwrap();
        patient.join().unwrap();
        assert_eq!(world.permits().free(), 1);
    });
}

#[test]
fn a_given_permit_wakes_a_waiter_that_sees_what_the_giver_did() {
    explore(3, || {
        let world = World::new(0, 1);
        let consumer = spawn(&world, move |world| {
            let (at, _) = world.take(SECOND);
            let seen = world.value();
            world.permits().forget(at, SECOND);
            seen
        });
        world.change_value();
        world.give();
        assert_eq!(consumer.join().unwrap(), 1);
        assert_eq!(world.permits().free(), 0);
        // What was forgotten can be given again.
        world.give();
        assert_eq!(world.permits().free(), 1);
    });
}

#[test]
fn a_permit_that_moves_behind_the_back_of_one_that_looks_is_found() {
    explore(3, || {
        let world = World::new(2, 0);
        // SECOND, whose look begins at the second cell, has the first; there is always one free.
        let permits = world.permits();
        let held = [permits.take(FIRST).unwrap(), permits.take(SECOND).unwrap()];
        assert_eq!(held, [0, 1]);
        world.give_back(held[0], FIRST);
        let at = permits.take(SECOND).unwrap();
        assert_eq!(at, 0);
        world.give_back(1, SECOND);
        let mover = spawn(&world, move |world| {
            world.give_back(at, SECOND);
            assert!(world.permits().take(SECOND).is_some());
        });
        assert!(world.permits().take(FIRST).is_some(), "one was free all the time");
        mover.join().unwrap();
    });
}

#[test]
fn one_whose_time_is_up_takes_a_last_look_at_the_dead() {
    explore(2, || {
        let world = World::new(1, 0);
        assert_eq!(world.permits().take(FIRST), Some(0));
        world.kernel.end(FIRST);
        world.kernel.pass_the_deadline();
        assert_eq!(world.permits().wait(SECOND, &world.kernel.waiter(true)), Some((0, true)));
    });
}

#[test]
fn a_newcomer_is_never_taken_for_the_dead_one_before_it() {
    explore(3, || {
        let world = World::new(1, 0);
        // What slot 0 of the participant table says.
        let generation = Arc::new(AtomicU32::new(FIRST.generation()));
        let tries = thread::spawn({
            let (world, generation) = (world.clone(), generation.clone());
            move || {
                // Acquire: pairs with the Release below, as the slot's own do.
                let has_left = |owner: Owner| owner.generation() != generation.load(Ordering::Acquire);
                assert_eq!(world.permits().take_from_dead(SECOND, has_left), None);
            }
        });
        generation.store(NEWCOMER.generation(), Ordering::Release);
        assert_eq!(world.permits().take(NEWCOMER), Some(0));
        tries.join().unwrap();
    });
}

#[test]
fn a_newcomer_that_succeeded_a_dead_one_is_not_taken_for_dead_itself() {
    explore(3, || {
        let world = World::new(1, 0);
        assert_eq!(world.permits().take(THIRD), Some(0));
        // What slot 0 of the participant table says.
        let generation = Arc::new(AtomicU32::new(FIRST.generation()));
        let tries = thread::spawn({
            let (world, generation) = (world.clone(), generation.clone());
            move || {
                // Acquire: pairs with the Release below, as the slot's own do.
                let has_left =
                    |owner: Owner| owner.slot() == 0 && owner.generation() != generation.load(Ordering::Acquire);
                assert_eq!(world.permits().take_from_dead(SECOND, has_left), None);
            }
        });
        generation.store(NEWCOMER.generation(), Ordering::Release);
        assert_eq!(world.permits().take_from_dead(NEWCOMER, |owner| owner == THIRD), Some(0));
        tries.join().unwrap();
    });
}
