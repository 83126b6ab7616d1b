//! loom models of work that is done once: by exactly one, after any number of deaths.

use loom::sync::Arc;

use super::state::State;
use crate::atomic::{AtomicU32, Ordering};
use crate::sync::model_kernel::{Kernel, explore, spawn};
use crate::sync::owner::Owner;
use crate::sync::raw::Condition;

const FIRST: Owner = Owner::new(0, 1);
const SECOND: Owner = Owner::new(1, 1);
const THIRD: Owner = Owner::new(2, 1);

struct World {
    kernel: Kernel,
    state: State,
    /// What the work makes: two words, written one after the other.
    made: [AtomicU32; 2],
}

impl World {
    fn new() -> Arc<World> {
        Arc::new(World { kernel: Kernel::new(), state: State::new(), made: [AtomicU32::new(0), AtomicU32::new(0)] })
    }

    /// What `Once::call` does; says under which condition it did the work, if it did.
    fn call(&self, me: Owner) -> Option<Condition> {
        if self.state.is_done() {
            self.check_made();
            return None;
        }
        let condition = self.state.lock().take(me, &self.kernel.waiter(false)).unwrap();
        let mine = !self.state.is_done();
        if mine {
            self.work(2);
            self.finish();
        }
        self.state.lock().mark_consistent();
        self.give_back();
        self.check_made();
        mine.then_some(condition)
    }

    fn work(&self, words: usize) {
        for word in &self.made[..words] {
            // Relaxed: `finish` publishes.
            assert!(word.load(Ordering::Relaxed) <= 1, "done twice");
            word.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn finish(&self) {
        self.state.finish(|word| {
            self.kernel.wake(word, u32::MAX);
        });
    }

    fn give_back(&self) {
        self.state.lock().give_back(Condition::Consistent, |word| self.kernel.wake(word, 1) > 0);
    }

    fn check_made(&self) {
        // Relaxed: ordered by `is_done`.
        assert!(self.made.iter().all(|word| word.load(Ordering::Relaxed) >= 1), "done, and not there");
    }
}

/// Two preemptions, here and in the next one: three threads that may each sleep have many more orders than two.
#[test]
fn exactly_one_does_the_work_and_everybody_sees_it() {
    explore(2, || {
        let world = World::new();
        let others = [SECOND, THIRD].map(|me| spawn(&world, move |world| world.call(me)));
        let mut did = vec![world.call(FIRST)];
        did.extend(others.map(|other| other.join().unwrap()));
        let workers: Vec<_> = did.into_iter().flatten().collect();
        assert_eq!(workers, [Condition::Consistent]);
    });
}

#[test]
fn one_that_stops_for_ever_at_work_is_followed_by_one_that_is_told() {
    explore(2, || {
        let world = World::new();
        let others = [SECOND, THIRD].map(|me| spawn(&world, move |world| world.call(me)));
        let mine = world.state.lock().take(FIRST, &world.kernel.waiter(false)).unwrap();
        let begun = !world.state.is_done();
        if begun {
            world.work(1);
        } else {
            assert_eq!(mine, Condition::Consistent);
        }
        // Stops for ever with the lock.
        world.kernel.end(FIRST);
        let workers: Vec<_> = others.into_iter().filter_map(|other| other.join().unwrap()).collect();
        assert_eq!(workers, [if begun { Condition::Inconsistent } else { Condition::Consistent }]);
    });
}

#[test]
fn one_that_stops_for_ever_after_its_work_leaves_it_done() {
    explore(3, || {
        let world = World::new();
        let other = spawn(&world, move |world| world.call(SECOND));
        world.state.lock().take(FIRST, &world.kernel.waiter(false)).unwrap();
        let mine = !world.state.is_done();
        if mine {
            world.work(2);
            world.finish();
        }
        world.kernel.end(FIRST);
        assert_eq!(other.join().unwrap().is_some(), !mine);
        assert_eq!(world.made[0].load(Ordering::Relaxed), 1);
    });
}

#[test]
fn one_that_only_waits_is_woken_and_sees_the_work() {
    explore(3, || {
        let world = World::new();
        let waiter = spawn(&world, move |world| {
            assert!(world.state.wait(&world.kernel.waiter(false)));
            world.check_made();
        });
        world.call(FIRST);
        waiter.join().unwrap();
    });
}

#[test]
fn one_that_waits_until_time_is_up_takes_a_last_look() {
    explore(3, || {
        let world = World::new();
        let waiter = spawn(&world, move |world| world.state.wait(&world.kernel.waiter(true)));
        world.call(FIRST);
        world.kernel.pass_the_deadline();
        assert!(waiter.join().unwrap());
    });
}

#[test]
fn a_finisher_that_stops_for_ever_before_it_wakes_is_made_good_by_the_last_look() {
    explore(3, || {
        let world = World::new();
        let waiter = spawn(&world, move |world| world.state.wait(&world.kernel.waiter(true)));
        world.state.finish(|_| {});
        world.kernel.pass_the_deadline();
        assert!(waiter.join().unwrap());
    });
}
