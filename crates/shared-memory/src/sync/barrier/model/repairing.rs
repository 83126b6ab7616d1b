//! loom models of a barrier that is broken and made whole again.

use loom::thread;

use super::{FIRST, NEWCOMER, SECOND, THIRD, World};
use crate::atomic::Ordering;
use crate::sync::barrier::rounds::{Ended, NoPlace};
use crate::sync::model_kernel::{explore, spawn};

#[test]
fn a_broken_barrier_is_made_whole_once_and_a_newcomer_takes_the_dead_ones_place() {
    explore(2, || {
        let world = World::new(2);
        world.kernel.end(FIRST);
        let survivor = spawn(&world, move |world| {
            // Broken for certain, also if the other one has repaired it long before we look.
            assert_eq!(world.wait(1), Ended::Broken);
            world.rearm(SECOND);
            world.wait(1)
        });
        // Comes to take the dead one's place.
        let place = loop {
            match world.rounds().join(NEWCOMER, |owner| world.is_dead(owner), |word| world.wake_all(word)) {
                Ok(at) => break at,
                Err(NoPlace::Broken) => {
                    // Lets the survivor hear of it first: one that was not waiting yet would never know.
                    thread::yield_now();
                }
                Err(NoPlace::Full) => thread::yield_now(),
            }
        };
        assert_eq!(place, 0);
        // A late look at the old death changes nothing any more.
        assert!(!world.rounds().break_for(0, FIRST));
        let mine = loop {
            match world.wait(0) {
                Ended::Broken => thread::yield_now(),
                other => break other,
            }
        };
        let theirs = survivor.join().unwrap();
        assert!(matches!((mine, theirs), (Ended::Complete(a), Ended::Complete(b)) if a != b), "{mine:?} {theirs:?}");
    });
}

#[test]
fn one_that_slept_through_break_and_repair_still_hears_of_the_break() {
    explore(2, || {
        let world = World::new(3);
        let waiter = spawn(&world, move |world| world.wait(1));
        // Waits for the other to arrive, then breaks and repairs at once.
        while world.state.load(Ordering::Relaxed) == 0 {
            thread::yield_now();
        }
        world.kernel.end(FIRST);
        world.rounds().break_for(0, FIRST);
        world.wake_all(&world.state);
        world.rounds().rearm(|owner| owner == FIRST);
        assert_eq!(waiter.join().unwrap(), Ended::Broken);
    });
}

#[test]
fn of_two_that_repair_only_one_does_and_a_late_breaker_hits_nothing() {
    explore(3, || {
        let world = World::new(2);
        world.kernel.end(FIRST);
        assert!(world.rounds().break_for(0, FIRST));
        let late = spawn(&world, move |world| world.rounds().break_for(0, FIRST));
        let other = spawn(&world, move |world| world.rearm(THIRD));
        let mine = world.rearm(SECOND);
        assert!(!late.join().unwrap(), "broken again for a death that was repaired");
        assert!(mine != other.join().unwrap());
        assert!(!world.rounds().is_broken());
        assert_eq!(world.rounds().join(NEWCOMER, |_| false, |_| {}), Ok(0));
    });
}

#[test]
fn a_repair_that_comes_late_takes_no_later_death_away() {
    explore(3, || {
        let world = World::new(3);
        world.kernel.end(FIRST);
        assert!(world.rounds().break_for(0, FIRST));
        let late = thread::spawn({
            let world = world.clone();
            // No member; anybody may.
            move || world.rearm(NEWCOMER)
        });
        let mine = world.rearm(SECOND);
        // It is whole now, whoever of the two has made it so.
        world.kernel.end(THIRD);
        assert!(mine != late.join().unwrap());
        // Nobody has been told of this one yet, so there is somebody to be told of.
        assert!(world.rounds().break_for(2, THIRD));
    });
}

#[test]
fn what_one_that_died_at_it_has_begun_the_next_one_completes() {
    explore(3, || {
        let world = World::new(3);
        assert!(world.rounds().break_for(0, FIRST));
        let other = spawn(&world, move |world| world.rearm(THIRD));
        // Dies with the lock, before it has done anything, or when it has emptied the place.
        if world.repair.take(SECOND, &world.kernel.waiter(false)).is_ok() && world.rounds().is_broken() {
            let _emptied = world.members[0].compare_exchange(FIRST.bits(), 0, Ordering::Release, Ordering::Relaxed);
        }
        world.kernel.end(SECOND);
        other.join().unwrap();
        assert!(!world.rounds().is_broken());
        assert!(world.rounds().break_for(1, SECOND) || world.members[1].load(Ordering::Relaxed) == 0);
    });
}

/// Who breaks it has seen the dead one's name in its place; so whoever sees it broken sees that name, and frees the place.
#[test]
fn whoever_repairs_it_frees_the_place_of_the_one_that_it_was_broken_for() {
    explore(3, || {
        let world = World::new(2);
        world.rounds().leave(0, FIRST);
        let newcomer = spawn(&world, move |world| {
            assert_eq!(world.rounds().join(NEWCOMER, |_| false, |_| {}), Ok(0));
            assert!(world.rounds().break_for(0, NEWCOMER));
            world.step();
        });
        world.step();
        let made_whole = world.rounds().rearm(|owner| owner == NEWCOMER);
        newcomer.join().unwrap();
        assert!(!made_whole || world.members[0].load(Ordering::Relaxed) == 0, "whole, with a dead member");
    });
}

#[test]
fn what_was_put_in_order_before_the_repair_is_seen_after_it() {
    for joins in [false, true] {
        explore(3, move || {
            let world = World::new(2);
            assert!(world.rounds().break_for(0, FIRST));
            let repairer = spawn(&world, move |world| {
                world.write(0, 1);
                assert!(world.rounds().rearm(|owner| owner == FIRST));
                world.step();
            });
            world.step();
            // By whoever takes the dead one's place, and by one that only looks.
            let after = if joins {
                world.rounds().join(NEWCOMER, |_| false, |_| {}) == Ok(0)
            } else {
                !world.rounds().is_broken()
            };
            assert!(!after || world.reads(0, 1));
            repairer.join().unwrap();
        });
    }
}
