//! loom models of a barrier: complete for all or for none, and broken by every death.
#![allow(unsafe_code)]

mod repairing;

use loom::sync::Arc;
use loom::thread;

use super::rounds::{Arrival, Ended, NoPlace, Rounds};
use crate::atomic::{AtomicU32, Ordering, UnsafeCell};
use crate::sync::model_kernel::{Kernel, explore, spawn};
use crate::sync::owner::Owner;
use crate::sync::raw::{Condition, RawLock};
use crate::sync::surroundings::Surroundings;

const FIRST: Owner = Owner::new(0, 1);
const SECOND: Owner = Owner::new(1, 1);
const THIRD: Owner = Owner::new(2, 1);
const NEWCOMER: Owner = Owner::new(0, 2);
const ALL: [Owner; 3] = [FIRST, SECOND, THIRD];

struct World {
    kernel: Kernel,
    state: AtomicU32,
    dead: AtomicU32,
    repair: RawLock,
    members: Vec<AtomicU32>,
    steps: AtomicU32,
    /// One for each member, written before it arrives and read by the others after they have gone on.
    values: Vec<UnsafeCell<u32>>,
}

// SAFETY: everything but the values is `Sync`, and that nobody reads one while it is written is what the models check.
unsafe impl Sync for World {}

impl World {
    /// With the first so many of `ALL` as members.
    fn new(members: usize) -> Arc<World> {
        let world = World {
            kernel: Kernel::new(),
            state: AtomicU32::new(0),
            dead: AtomicU32::new(0),
            repair: RawLock::new(),
            members: (0..members).map(|_| AtomicU32::new(0)).collect(),
            steps: AtomicU32::new(0),
            values: (0..members).map(|_| UnsafeCell::new(0)).collect(),
        };
        for (at, member) in ALL.into_iter().enumerate().take(members) {
            assert_eq!(world.rounds().join(member, |_| false, |_| {}), Ok(at));
        }
        Arc::new(world)
    }

    fn rounds(&self) -> Rounds<'_> {
        Rounds { state: &self.state, dead: &self.dead, members: &self.members }
    }

    fn wait(&self, at: usize) -> Ended {
        self.wait_as(at, &self.kernel.waiter(false))
    }

    fn wait_as(&self, at: usize, around: &impl Surroundings) -> Ended {
        self.rounds().wait(at, around, |word| self.wake_all(word))
    }

    fn wake_all(&self, word: &AtomicU32) {
        self.kernel.wake(word, u32::MAX);
    }

    /// What `Barrier::rearm` does. The first is dead whenever somebody repairs.
    fn rearm(&self, me: Owner) -> bool {
        self.repair.take(me, &self.kernel.waiter(false)).unwrap();
        let made_whole = self.rounds().rearm(|owner| owner == FIRST || self.is_dead(owner));
        self.repair.mark_consistent();
        self.repair.give_back(Condition::Consistent, |word| self.kernel.wake(word, 1) > 0);
        made_whole
    }

    /// Takes turns with the other thread, in every order: these exchanges collide always, and order nothing else.
    fn step(&self) {
        self.steps.fetch_add(1, Ordering::Relaxed);
    }

    fn write(&self, at: usize, value: u32) {
        // SAFETY: the others read it only after this member has arrived and before it arrives again.
        self.values[at].with_mut(|it| unsafe { *it = value });
    }

    fn reads(&self, at: usize, value: u32) -> bool {
        // SAFETY: as in `write`.
        self.values[at].with(|it| unsafe { *it == value })
    }

    fn all_read(&self, value: u32) -> bool {
        (0..self.values.len()).all(|at| self.reads(at, value))
    }

    fn is_dead(&self, owner: Owner) -> bool {
        self.kernel.waiter(false).is_dead(owner)
    }
}

#[test]
fn two_go_on_together_round_after_round() {
    explore(3, || {
        let world = World::new(2);
        let rounds = |world: &World, at: usize| {
            let mut last = 0;
            for round in 1..=2 {
                world.write(at, round);
                match world.wait(at) {
                    Ended::Complete(came_last) => last += u32::from(came_last),
                    other => panic!("{other:?}"),
                }
                assert!(world.all_read(round));
                // So that nobody writes the next round's value while others read this one's.
                assert!(matches!(world.wait(at), Ended::Complete(_)));
            }
            last
        };
        let other = spawn(&world, move |world| rounds(&world, 1));
        let mine = rounds(&world, 0);
        assert_eq!(mine + other.join().unwrap(), 2, "one comes last in each round");
    });
}

#[test]
fn three_go_on_together() {
    explore(2, || {
        let world = World::new(3);
        let others = [1, 2].map(|at| {
            spawn(&world, move |world| {
                world.write(at, 1);
                let ended = world.wait(at);
                assert!(world.all_read(1));
                ended
            })
        });
        world.write(0, 1);
        let mut ended = vec![world.wait(0)];
        assert!(world.all_read(1));
        ended.extend(others.map(|other| other.join().unwrap()));
        assert_eq!(ended.iter().filter(|&&one| one == Ended::Complete(true)).count(), 1);
        assert_eq!(ended.iter().filter(|&&one| one == Ended::Complete(false)).count(), 2);
    });
}

#[test]
fn a_member_that_stops_for_ever_before_it_arrives_breaks_it_for_all() {
    explore(2, || {
        let world = World::new(3);
        let other = spawn(&world, move |world| {
            let ended = world.wait(1);
            (ended, world.rounds().dead())
        });
        let third = spawn(&world, move |world| {
            let ended = world.wait(2);
            (ended, world.rounds().dead())
        });
        world.kernel.end(FIRST);
        for survivor in [other, third] {
            assert_eq!(survivor.join().unwrap(), (Ended::Broken, Some(FIRST)));
        }
    });
}

#[test]
fn a_member_that_stops_for_ever_after_it_arrived_breaks_it_or_the_round_is_complete() {
    explore(2, || {
        let world = World::new(3);
        let others = [1, 2].map(|at| spawn(&world, move |world| matches!(world.wait(at), Ended::Complete(_))));
        // Arrives, and is killed in its sleep; or comes last, and is killed before it wakes the others.
        let completed = world.rounds().arrive() == Arrival::Last;
        world.kernel.end(FIRST);
        let went_on = others.map(|other| other.join().unwrap());
        assert_eq!(went_on[0], went_on[1], "complete for one and not for the other");
        if completed {
            assert!(went_on[0]);
        }
    });
}

#[test]
fn one_that_gives_up_does_not_count_as_arrived() {
    explore(3, || {
        let world = World::new(2);
        let impatient = spawn(&world, move |world| {
            let ended = world.wait_as(1, &world.kernel.waiter(true));
            // Too late, and it goes on like any other.
            assert!(ended == Ended::OutOfTime || world.reads(0, 1));
            ended
        });
        world.kernel.pass_the_deadline();
        world.write(0, 1);
        let tried = world.rounds().try_complete(|word| world.wake_all(word));
        match impatient.join().unwrap() {
            Ended::OutOfTime => assert_eq!(tried, None),
            Ended::Complete(last) => assert_eq!((last, tried), (false, Some(Ended::Complete(true)))),
            Ended::Broken => panic!("nobody died"),
        }
    });
}

#[test]
fn one_whose_time_is_up_takes_a_last_look_at_the_dead() {
    explore(2, || {
        let world = World::new(2);
        world.kernel.end(FIRST);
        world.kernel.pass_the_deadline();
        assert_eq!(world.wait_as(1, &world.kernel.waiter(true)), Ended::Broken);
    });
}

#[test]
fn a_newcomer_is_never_taken_for_the_dead_one_before_it() {
    explore(3, || {
        let world = World::new(2);
        world.members[0].store(0, Ordering::Relaxed);
        // What slot 0 of the participant table says.
        let generation = Arc::new(AtomicU32::new(FIRST.generation()));
        let comer = thread::spawn({
            let (world, generation) = (world.clone(), generation.clone());
            move || {
                // Acquire: pairs with the Release below, as the slot's own do.
                let has_left =
                    |owner: Owner| owner.slot() == 0 && owner.generation() != generation.load(Ordering::Acquire);
                // Takes the first place, or finds both taken by the living.
                let joined = world.rounds().join(THIRD, has_left, |_| {});
                assert!(joined == Ok(0) || joined == Err(NoPlace::Full), "{joined:?}");
            }
        });
        generation.store(NEWCOMER.generation(), Ordering::Release);
        let _ = world.rounds().join(NEWCOMER, |_| false, |_| {});
        comer.join().unwrap();
    });
}

#[test]
fn one_that_only_tries_and_comes_last_lets_the_others_go_on() {
    explore(3, || {
        let world = World::new(2);
        let other = spawn(&world, move |world| {
            world.write(1, 1);
            assert!(matches!(world.wait(1), Ended::Complete(_)));
            assert!(world.all_read(1));
        });
        world.write(0, 1);
        // Tries until the other one has arrived. Relaxed: what is tested is the order that trying makes.
        while world.state.load(Ordering::Relaxed) == 0 {
            thread::yield_now();
        }
        let ended = world.rounds().try_complete(|word| world.wake_all(word));
        assert_eq!(ended, Some(Ended::Complete(true)));
        assert!(world.all_read(1));
        other.join().unwrap();
    });
}

#[test]
fn one_that_comes_to_a_broken_barrier_reads_who_died() {
    // One that waits, one that only tries, and one that tries and would be the last.
    for (members, tries) in [(2, false), (2, true), (1, true)] {
        explore(3, move || {
            let world = World::new(members);
            let breaker = spawn(&world, move |world| {
                let broken = world.rounds().break_for(0, FIRST);
                world.step();
                broken
            });
            world.step();
            let broken = if tries {
                world.rounds().try_complete(|_| {}) == Some(Ended::Broken)
            } else {
                world.rounds().arrive() == Arrival::Broken
            };
            if broken {
                assert_eq!(world.rounds().dead(), Some(FIRST));
            }
            assert!(breaker.join().unwrap());
        });
    }
}

#[test]
fn one_that_breaks_it_wakes_those_who_have_noticed_nothing() {
    explore(3, || {
        let world = World::new(2);
        let waiter = spawn(&world, move |world| world.wait(1));
        // Time stands still: the waiter asks nobody who is dead.
        let joined = world.rounds().join(NEWCOMER, |owner| owner == FIRST, |word| world.wake_all(word));
        assert_eq!(joined, Err(NoPlace::Broken));
        assert_eq!(waiter.join().unwrap(), Ended::Broken);
    });
}

/// One that gives up and comes again stands in nobody's way: whoever goes on sees what all the others did before they arrived.
#[test]
fn one_that_gives_up_and_comes_again_hides_nothing_of_what_the_others_did() {
    explore(2, || {
        let world = World::new(3);
        let impatient = spawn(&world, move |world| {
            world.write(1, 1);
            let mut ended = world.wait_as(1, &world.kernel.waiter(true));
            if ended == Ended::OutOfTime {
                ended = world.wait(1);
            }
            assert!(matches!(ended, Ended::Complete(_)) && world.all_read(1));
        });
        let other = spawn(&world, move |world| {
            world.write(2, 1);
            assert!(matches!(world.wait(2), Ended::Complete(_)) && world.all_read(1));
        });
        world.write(0, 1);
        world.kernel.pass_the_deadline();
        assert!(matches!(world.wait(0), Ended::Complete(_)) && world.all_read(1));
        impatient.join().unwrap();
        other.join().unwrap();
    });
}

#[test]
fn a_member_that_left_shows_whoever_takes_its_place_what_it_did() {
    explore(3, || {
        let world = World::new(2);
        let leaver = spawn(&world, move |world| {
            world.write(1, 1);
            world.rounds().leave(1, SECOND);
        });
        if world.rounds().join(THIRD, |_| false, |_| {}) == Ok(1) {
            assert!(world.reads(1, 1));
        }
        leaver.join().unwrap();
    });
}
