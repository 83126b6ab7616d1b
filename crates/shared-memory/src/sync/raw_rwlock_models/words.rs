//! loom models of the words of the lock by themselves: what a kill can leave of them, and how far a name in a cell is believed.
//!
//! A kill cuts the stores of one process short, after a compiler may have moved them across each other. An onlooker to whom
//! the memory shows the stores in any order that nothing forbids sees what a kill can leave; the data is bare words here, so
//! that it can look at them.

use super::*;
use crate::atomic::fence;

const HALF: u32 = 1;
const WHOLE: u32 = 2;

/// In the first cell too, if that is free, like slot 0.
const ANOTHER: Owner = Owner::new(2, 1);

#[test]
fn whoever_sees_a_part_of_a_change_sees_that_somebody_is_alone() {
    for quick in [true, false] {
        explore(3, move || {
            let (world, data) = (World::new(), Arc::new(AtomicU32::new(0)));
            let onlooker = spawn(&world, {
                let data = data.clone();
                move |world| {
                    if data.load(Ordering::Relaxed) == HALF {
                        fence(Ordering::Acquire);
                        assert_eq!(world.lock.condition(), Condition::Inconsistent);
                    }
                }
            });
            if quick {
                assert_eq!(world.lock.write_free(FIRST), Ok(()));
            } else {
                assert_eq!(world.alone(FIRST), Condition::Consistent);
            }
            data.store(HALF, Ordering::Relaxed);
            onlooker.join().unwrap();
        });
    }
}

#[test]
fn whoever_sees_that_nobody_is_alone_sees_the_whole_change() {
    explore(3, || {
        let (world, data) = (World::new(), Arc::new(AtomicU32::new(0)));
        assert_eq!(world.lock.write_free(FIRST), Ok(()));
        data.store(HALF, Ordering::Relaxed);
        let onlooker = spawn(&world, {
            let data = data.clone();
            move |world| {
                if world.lock.condition() == Condition::Consistent {
                    fence(Ordering::Acquire);
                    assert_eq!(data.load(Ordering::Relaxed), WHOLE);
                }
            }
        });
        data.store(WHOLE, Ordering::Relaxed);
        world.lock.end_alone(Condition::Consistent);
        onlooker.join().unwrap();
    });
}

/// One who strikes out those whose slots say that they have left: the newcomer's slot does not.
#[test]
fn striking_out_those_who_left_never_hits_a_newcomer() {
    explore(3, || {
        let world = World::new();
        let at = world.lock.try_read(FIRST, |_| false, |_| world.wake_all()).unwrap();
        world.lock.leave(at, |_| world.wake_all());
        let other = spawn(&world, |world| world.lock.strike(|owner| world.has_left(owner)));
        // Release: pairs with the Acquire in `has_left`.
        world.generation.store(NEWCOMER.generation(), Ordering::Release);
        assert_eq!(world.lock.try_read(NEWCOMER, |_| false, |_| world.wake_all()), Ok(0));
        other.join().unwrap();
        // It still reads: nobody can be alone.
        assert_eq!(world.lock.close(SECOND, &Hasty(&*world)), Err(OutOfTime));
    });
}

/// One who looks for a cell, and comes upon a newcomer's: at its first look, or when it is overtaken.
#[test]
fn a_newcomers_cell_is_not_taken_for_that_of_the_one_before_it() {
    for used_before in [false, true] {
        explore(3, move || {
            let world = World::new();
            if used_before {
                let at = world.lock.try_read(FIRST, |_| false, |_| world.wake_all()).unwrap();
                world.lock.leave(at, |_| world.wake_all());
            }
            let other = spawn(&world, |world| {
                world.lock.try_read(ANOTHER, |owner| world.has_left(owner), |_| world.wake_all())
            });
            // Release: pairs with the Acquire in `has_left`.
            world.generation.store(NEWCOMER.generation(), Ordering::Release);
            let mine = world.lock.try_read(NEWCOMER, |_| false, |_| world.wake_all());
            let theirs = other.join().unwrap();
            assert!(mine.is_ok() && theirs.is_ok() && mine != theirs, "{mine:?} {theirs:?}");
        });
    }
}
