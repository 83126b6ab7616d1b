//! loom models of a lock whose holder stops for ever: it is succeeded once, by one that is told, and never a newcomer instead.

use loom::sync::Arc;
use loom::thread;

use super::{FIRST, NEWCOMER, SECOND, THIRD, World};
use crate::atomic::{AtomicU32, Ordering};
use crate::sync::model_kernel::{explore, spawn};
use crate::sync::raw::Condition;
use crate::sync::surroundings::Surroundings;

#[test]
fn a_dead_owner_is_succeeded_by_exactly_one() {
    explore(2, || {
        let world = World::new(0);
        let others = [SECOND, THIRD].map(|me| spawn(&world, move |world| world.pass(me)));
        // Takes the lock, or waits for it; then stops for ever in the middle of a change.
        let before = world.lock.take(FIRST, &*world).unwrap();
        assert_eq!(before, Condition::Consistent);
        world.change_value();
        world.first_dies();
        let conditions = others.map(|other| other.join().unwrap());
        // Those who came before the death saw nothing; of those after it, the first repaired.
        let heirs = conditions.iter().filter(|&&condition| condition == Condition::Inconsistent).count();
        assert!(heirs <= 1);
        assert_eq!(world.value(), 3);
        if heirs == 0 {
            assert_eq!(world.lock.holder(), Some(FIRST));
        } else {
            assert!(!world.lock.is_inconsistent());
        }
    });
}

#[test]
fn a_take_over_cannot_hit_a_newcomer_in_the_same_slot() {
    explore(3, || {
        let world = World::new(0);
        assert!(world.lock.take_free(FIRST));
        world.kernel.lock().unwrap().first_is_dead = true;
        let survivor = spawn(&world, move |world| world.pass(SECOND));
        // Release: pairs with the Acquire in `has_left`.
        world.generation.store(NEWCOMER.generation(), Ordering::Release);
        let conditions = [world.pass(NEWCOMER), survivor.join().unwrap()];
        let heirs = conditions.iter().filter(|&&condition| condition == Condition::Inconsistent).count();
        assert_eq!(heirs, 1);
        assert_eq!(world.value(), 2);
    });
}

#[test]
fn unrepaired_data_stays_inconsistent_for_the_next_one() {
    explore(3, || {
        let world = World::new(0);
        assert!(world.lock.take_free(FIRST));
        world.kernel.lock().unwrap().first_is_dead = true;
        let pass = |world: &World, me| {
            let condition = world.lock.take(me, world).unwrap();
            world.change_value();
            assert!(world.lock.is_inconsistent());
            world.lock.give_back(condition, |word| world.wake_one(word));
            condition
        };
        let other = spawn(&world, move |world| pass(&world, THIRD));
        assert_eq!(pass(&world, SECOND), Condition::Inconsistent);
        assert_eq!(other.join().unwrap(), Condition::Inconsistent);
        assert!(world.lock.is_inconsistent());
    });
}

#[test]
fn one_that_only_tries_succeeds_the_dead_and_nobody_else() {
    explore(4, || {
        let world = World::new(0);
        assert!(world.lock.take_free(FIRST));
        world.kernel.lock().unwrap().first_is_dead = true;
        let other = spawn(&world, move |world| world.pass(SECOND));
        let tried = world.lock.try_take(THIRD).is_some()
            || world.lock.take_from_dead(THIRD, |owner| world.has_left(owner) || world.is_dead(owner));
        if tried {
            world.change_value();
            world.lock.mark_consistent();
            world.lock.give_back(Condition::Consistent, |word| world.wake_one(word));
        }
        other.join().unwrap();
        assert_eq!(world.value(), 1 + u32::from(tried));
    });
}

#[test]
fn a_newcomer_is_never_taken_for_the_dead_one_before_it() {
    for short_cut in [false, true] {
        explore(4, move || {
            let world = World::new(0);
            let other = spawn(&world, move |world| world.pass_slowly(SECOND));
            // Release: pairs with the Acquire in `has_left`.
            world.generation.store(NEWCOMER.generation(), Ordering::Release);
            let mine = if short_cut { world.pass(NEWCOMER) } else { world.pass_slowly(NEWCOMER) };
            assert_eq!([mine, other.join().unwrap()], [Condition::Consistent; 2]);
            assert_eq!(world.value(), 2);
        });
    }
    for only_asks in [false, true] {
        explore(4, move || {
            let world = World::new(0);
            let other = spawn(&world, move |world| {
                if only_asks {
                    assert!(world.lock.holder().is_none_or(|owner| !world.has_left(owner)));
                } else {
                    assert!(!world.lock.take_from_dead(SECOND, |owner| world.has_left(owner)));
                }
            });
            // Release: pairs with the Acquire in `has_left`.
            world.generation.store(NEWCOMER.generation(), Ordering::Release);
            assert!(world.lock.take_free(NEWCOMER));
            other.join().unwrap();
        });
    }
}

/// The dead one had it twice, with the same word, and another one in between. Only the death itself is proved here, and tells
/// nothing of what came before: the exchange that takes over does.
#[test]
fn whoever_takes_over_sees_what_was_done_before_the_dead_one_took_it_again() {
    explore(3, || {
        let world = World::new(0);
        let dead = Arc::new(AtomicU32::new(0));
        assert!(world.lock.take_free(FIRST));
        let successor = thread::spawn({
            let (world, dead) = (world.clone(), dead.clone());
            move || {
                // Relaxed: see above.
                let taken = world.lock.take_from_dead(SECOND, |_| dead.load(Ordering::Relaxed) == 1);
                if taken {
                    world.change_value();
                }
            }
        });
        world.lock.give_back(Condition::Consistent, |word| world.wake_one(word));
        if world.lock.take_free(THIRD) {
            world.change_value();
            world.lock.give_back(Condition::Consistent, |word| world.wake_one(word));
            if world.lock.take_free(FIRST) {
                dead.store(1, Ordering::Relaxed);
            }
        }
        successor.join().unwrap();
    });
}

#[test]
fn whoever_takes_over_wakes_those_asleep_behind_the_dead() {
    explore(3, || {
        let world = World::new(0);
        assert!(world.lock.take_free(FIRST));
        let early = spawn(&world, move |world| world.pass(THIRD));
        // Nobody is told: who sleeps already sleeps on, for a slice that seems endless.
        world.kernel.lock().unwrap().first_is_dead = true;
        let conditions = [world.pass(SECOND), early.join().unwrap()];
        let heirs = conditions.iter().filter(|&&condition| condition == Condition::Inconsistent).count();
        assert_eq!((heirs, world.value()), (1, 2));
    });
}
