//! loom models of events: nobody who should go on sleeps for ever, whoever dies, and everybody sees what was done before.
#![allow(unsafe_code)]

use loom::sync::Arc;
use loom::thread;

use super::latch::Latch;
use super::tally::{AtLimit, Tally};
use crate::atomic::{AtomicU32, Ordering, UnsafeCell};
use crate::sync::model_kernel::{Kernel, explore, spawn};
use crate::sync::sleepers::Sleepers;

struct World {
    kernel: Kernel,
    word: AtomicU32,
    sleepers: Sleepers,
    /// Written before an event and read after it; loom fails the model if nothing orders that.
    value: UnsafeCell<u32>,
}

// SAFETY: everything but `value` is `Sync`, and that two threads never use `value` at a time is what the models check.
unsafe impl Sync for World {}

impl World {
    fn new() -> Arc<World> {
        let (kernel, sleepers, value) = (Kernel::new(), Sleepers::new(), UnsafeCell::new(0));
        Arc::new(World { kernel, word: AtomicU32::new(0), sleepers, value })
    }

    fn latch(&self) -> Latch<'_> {
        Latch { word: &self.word, sleepers: &self.sleepers }
    }

    fn tally(&self) -> Tally<'_> {
        Tally { count: &self.word, sleepers: &self.sleepers }
    }

    fn set(&self) -> bool {
        self.latch().set(|word, count| self.kernel.wake(word, count))
    }

    fn add(&self, limit: u32) -> Result<(), AtLimit> {
        self.tally().add(limit, |word, count| self.kernel.wake(word, count))
    }

    fn write(&self) {
        // SAFETY: nobody reads before the event, which is what the models check.
        self.value.with_mut(|value| unsafe { *value = 1 });
    }

    fn read(&self) -> u32 {
        // SAFETY: nobody writes after the event, which is what the models check.
        self.value.with(|value| unsafe { *value })
    }
}

#[test]
fn an_event_lets_all_through_and_shows_them_what_was_before() {
    explore(2, || {
        let world = World::new();
        let waiters = [(); 2].map(|()| {
            spawn(&world, move |world| {
                assert!(world.latch().wait(&world.kernel.waiter(false)));
                assert_eq!(world.read(), 1);
            })
        });
        world.write();
        assert!(world.set());
        for waiter in waiters {
            waiter.join().unwrap();
        }
        assert!(world.latch().is_set() && !world.set() && world.latch().reset() && !world.latch().reset());
    });
}

/// What a second one did before it said so is seen by whoever takes what was said, or is said once more.
#[test]
fn one_that_finds_it_set_already_tells_of_what_it_did_all_the_same() {
    explore(3, || {
        let (world, news) = (World::new(), Arc::new(AtomicU32::new(0)));
        assert!(world.set());
        let second = thread::spawn({
            let (world, news) = (world.clone(), news.clone());
            move || {
                // Relaxed, as all of them: what is tested is the order that setting and taking back make.
                news.store(1, Ordering::Relaxed);
                world.set();
            }
        });
        assert!(world.latch().reset());
        let seen = news.load(Ordering::Relaxed) == 1;
        second.join().unwrap();
        assert!(seen || world.latch().is_set());
    });
}

#[test]
fn one_that_finds_the_count_at_its_limit_tells_of_what_it_did_all_the_same() {
    explore(3, || {
        let (world, news) = (World::new(), Arc::new(AtomicU32::new(0)));
        assert_eq!(world.add(1), Ok(()));
        let second = thread::spawn({
            let (world, news) = (world.clone(), news.clone());
            move || {
                // Relaxed, as above.
                news.store(1, Ordering::Relaxed);
                let _at_limit = world.add(1);
            }
        });
        assert!(world.tally().take());
        let seen = news.load(Ordering::Relaxed) == 1;
        second.join().unwrap();
        assert!(seen || world.tally().take());
    });
}

#[test]
fn one_that_waits_goes_on_although_the_event_is_taken_back_at_once() {
    explore(3, || {
        let world = World::new();
        let since = world.latch().since();
        let waiter = spawn(&world, move |world| {
            let happened = |_| world.latch().has_happened(since).then_some(());
            assert!(world.sleepers.wait(&world.kernel.waiter(false), happened).is_some());
            assert_eq!(world.read(), 1);
        });
        world.write();
        world.set();
        world.latch().reset();
        waiter.join().unwrap();
    });
}

#[test]
fn a_setter_that_stops_for_ever_before_it_wakes_is_healed_by_the_slice_and_by_the_next_setter() {
    for helped_by_the_next in [false, true] {
        explore(3, move || {
            let world = World::new();
            let waiter = spawn(&world, move |world| world.latch().wait(&world.kernel.waiter(false)));
            // The word says it; the kernel was not asked, nor does `sleepers` say so.
            let unseen = Sleepers::new();
            Latch { word: &world.word, sleepers: &unseen }.set(|_, _| 0);
            if helped_by_the_next {
                assert!(!world.set());
            } else {
                world.kernel.let_time_go_by();
            }
            assert!(waiter.join().unwrap());
        });
    }
}

#[test]
fn each_time_lets_one_through() {
    explore(2, || {
        let world = World::new();
        let waiters =
            [(); 2].map(|()| spawn(&world, move |world| assert!(world.tally().wait(&world.kernel.waiter(false)))));
        assert_eq!((world.add(9), world.add(9)), (Ok(()), Ok(())));
        for waiter in waiters {
            waiter.join().unwrap();
        }
        assert!(!world.tally().take());
    });
}

#[test]
fn one_that_goes_through_sees_what_was_before() {
    explore(3, || {
        let world = World::new();
        let waiter = spawn(&world, move |world| {
            assert!(world.tally().wait(&world.kernel.waiter(false)));
            assert_eq!(world.read(), 1);
        });
        world.write();
        assert_eq!(world.add(1), Ok(()));
        waiter.join().unwrap();
    });
}

#[test]
fn a_waiter_that_stops_for_ever_when_it_is_woken_takes_nothing_from_the_others() {
    explore(2, || {
        let world = World::new();
        let victim = spawn(&world, move |world| {
            let mut looks = 0;
            // Looks before it sleeps, and is killed when it wakes.
            let look = |_| {
                looks += 1;
                (looks > 1).then_some(())
            };
            world.sleepers.wait(&world.kernel.waiter(false), look);
        });
        let waiter = spawn(&world, move |world| assert!(world.tally().wait(&world.kernel.waiter(false))));
        assert_eq!(world.add(1), Ok(()));
        world.kernel.let_time_go_by();
        waiter.join().unwrap();
        victim.join().unwrap();
    });
}

#[test]
fn what_is_at_its_limit_is_counted_no_further_and_wakes_all_the_same() {
    explore(3, || {
        let world = World::new();
        // Counted by one that stopped for ever before it woke anybody.
        let unseen = Sleepers::new();
        let waiter = spawn(&world, move |world| assert!(world.tally().wait(&world.kernel.waiter(false))));
        let counted = Tally { count: &world.word, sleepers: &unseen }.add(1, |_, _| 0);
        assert_eq!(counted, Ok(()));
        // Either it is still there and wakes, or the waiter has taken it and this is the next one.
        let next = world.add(1);
        waiter.join().unwrap();
        assert_eq!(world.tally().take(), next.is_ok());
    });
}

#[test]
fn one_that_only_looks_sees_what_was_before() {
    explore(3, || {
        let world = World::new();
        let looks = spawn(&world, move |world| {
            if world.latch().is_set() {
                assert_eq!(world.read(), 1);
            }
        });
        world.write();
        world.set();
        looks.join().unwrap();
    });
}

#[test]
fn one_that_reads_what_another_took_back_sees_what_was_before() {
    explore(3, || {
        let world = World::new();
        let since = world.latch().since();
        let taker = spawn(&world, move |world| {
            world.latch().reset();
        });
        let looks = spawn(&world, move |world| {
            if world.latch().has_happened(since) {
                assert_eq!(world.read(), 1);
            }
        });
        world.write();
        world.set();
        taker.join().unwrap();
        looks.join().unwrap();
    });
}
