//! loom models of the mutex that its holder may take again: depths, names, and holders that stop for ever.
#![allow(unsafe_code)]

use loom::sync::Arc;

use super::model_kernel::{Kernel, explore, spawn};
use super::owner::Owner;
use super::raw::{Condition, RawLock};
use super::raw_reentrant::{Again, Name, RawReentrant};
use crate::atomic::{AtomicU32, AtomicU64, Ordering, UnsafeCell};

/// Slot 0 in its first taking, and the newcomer that takes it after the first one's death.
const FIRST: Owner = Owner::new(0, 1);
const NEWCOMER: Owner = Owner::new(0, 2);
const SECOND: Owner = Owner::new(1, 1);
/// An id that threads of several processes have.
const THREAD: u32 = 7;

struct World {
    kernel: Kernel,
    lock: RawLock,
    holder: AtomicU64,
    depth: AtomicU32,
    /// Touched only by the holder; loom fails the model if two do so at a time.
    value: UnsafeCell<u32>,
}

// SAFETY: everything but `value` is `Sync`, and that two threads never use `value` at a time is what the models check.
unsafe impl Sync for World {}

impl World {
    fn new() -> Arc<World> {
        Arc::new(World {
            kernel: Kernel::new(),
            lock: RawLock::new(),
            holder: AtomicU64::new(0),
            depth: AtomicU32::new(0),
            value: UnsafeCell::new(0),
        })
    }

    fn words(&self) -> RawReentrant<'_> {
        RawReentrant { lock: &self.lock, holder: &self.holder, depth: &self.depth }
    }

    /// What `ReentrantMutex::lock` does.
    fn enter(&self, me: Owner, thread: u32) -> Condition {
        let who = Name::new(me, thread);
        if self.lock.take_free(me) {
            self.words().name(who);
            return Condition::Consistent;
        }
        match self.words().enter_again(who) {
            Again::Entered(condition) => condition,
            Again::TooDeep => panic!("nobody locks so often"),
            Again::NotHeld => {
                let condition = self.lock.take(me, &self.kernel.waiter(false)).unwrap();
                self.words().name(who);
                condition
            }
        }
    }

    fn leave(&self) {
        self.words().leave(false, |word| self.kernel.wake(word, 1) > 0);
    }

    /// Locks twice, changes the value at both depths, and repairs what a dead one left. Says what that one left.
    fn pass(&self, me: Owner, thread: u32) -> Condition {
        let outer = self.enter(me, thread);
        self.change_value();
        assert_eq!(self.enter(me, thread), outer, "deeper down there is as much doubt");
        if outer == Condition::Inconsistent {
            self.lock.mark_consistent();
        }
        self.leave();
        // Held still.
        self.change_value();
        assert_eq!(self.lock.holder(), Some(me));
        self.leave();
        outer
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

    fn assert_free(&self) {
        assert_eq!(self.lock.holder(), None);
        assert_eq!([self.holder.load(Ordering::Relaxed), self.depth.load(Ordering::Relaxed).into()], [0, 0]);
    }
}

/// Two threads of two processes, whose ids may be the same, or of one.
const PAIRS: [[(Owner, u32); 2]; 2] = [[(FIRST, THREAD), (SECOND, THREAD)], [(FIRST, THREAD), (FIRST, THREAD + 1)]];

#[test]
fn two_that_lock_twice_take_turns_and_nobody_sleeps_for_ever() {
    for [first, second] in PAIRS {
        explore(3, move || {
            let world = World::new();
            let other = spawn(&world, move |world| world.pass(second.0, second.1));
            assert_eq!(world.pass(first.0, first.1), Condition::Consistent);
            assert_eq!(other.join().unwrap(), Condition::Consistent);
            assert_eq!(world.value(), 4);
            world.assert_free();
        });
    }
}

/// Between another one's taking of the lock and its writing of its name stands whatever the one before left there.
#[test]
fn one_that_has_given_it_back_is_not_the_holder_any_more() {
    for [first, second] in PAIRS {
        explore(3, move || {
            let world = World::new();
            let other = spawn(&world, move |world| {
                world.enter(second.0, second.1);
                world.change_value();
                world.leave();
            });
            for _ in 0..2 {
                world.enter(first.0, first.1);
                world.change_value();
                world.leave();
            }
            other.join().unwrap();
            assert_eq!(world.value(), 3);
            world.assert_free();
        });
    }
}

/// Where a holder stops for ever.
#[derive(Clone, Copy)]
enum End {
    BeforeItsName,
    Once,
    Twice,
    OnTheWayOut,
}

impl World {
    /// Takes the lock, changes the value, and stops for ever at `end`.
    fn stop_for_ever(&self, end: End) {
        if let End::BeforeItsName = end {
            assert_eq!(self.lock.take(FIRST, &self.kernel.waiter(false)), Ok(Condition::Consistent));
        } else {
            assert_eq!(self.enter(FIRST, THREAD), Condition::Consistent);
        }
        self.change_value();
        if let End::Twice | End::OnTheWayOut = end {
            assert_eq!(self.enter(FIRST, THREAD), Condition::Consistent);
        }
        if let End::OnTheWayOut = end {
            self.leave();
        }
        self.kernel.end(FIRST);
    }
}

/// The next one is told, once, and begins at depth one, also if it has the slot and the thread's id of the dead one.
#[test]
fn a_holder_that_stops_for_ever_is_succeeded_once_and_from_the_first_depth() {
    for end in [End::BeforeItsName, End::Once, End::Twice, End::OnTheWayOut] {
        for next in [SECOND, NEWCOMER] {
            explore(2, move || {
                let world = World::new();
                let other = spawn(&world, move |world| world.pass(next, THREAD));
                world.stop_for_ever(end);
                match other.join().unwrap() {
                    Condition::Inconsistent => world.assert_free(),
                    // It came before the dead one, and left it the lock.
                    Condition::Consistent => assert_eq!(world.lock.holder(), Some(FIRST)),
                }
                assert_eq!(world.value(), 3);
            });
        }
    }
}

#[test]
fn of_two_that_wait_behind_the_dead_one_repairs() {
    explore(2, || {
        let world = World::new();
        world.stop_for_ever(End::Twice);
        let other = spawn(&world, move |world| world.pass(SECOND, THREAD));
        let conditions = [world.pass(NEWCOMER, THREAD), other.join().unwrap()];
        assert_eq!(conditions.iter().filter(|&&condition| condition == Condition::Inconsistent).count(), 1);
        assert_eq!(world.value(), 5);
        world.assert_free();
    });
}

/// A panic below: whoever comes next is told, be it the same thread.
#[test]
fn doubt_from_below_stays_until_somebody_repairs() {
    explore(3, || {
        let world = World::new();
        let other = spawn(&world, move |world| world.pass(SECOND, THREAD));
        world.enter(FIRST, THREAD);
        assert_eq!(world.enter(FIRST, THREAD), Condition::Consistent);
        world.words().leave(true, |_| panic!("it is held still"));
        assert_eq!(world.enter(FIRST, THREAD), Condition::Inconsistent);
        world.leave();
        world.leave();
        let theirs = other.join().unwrap();
        assert_eq!(world.lock.is_inconsistent(), theirs == Condition::Consistent, "told once, or not repaired yet");
        world.assert_free();
    });
}
