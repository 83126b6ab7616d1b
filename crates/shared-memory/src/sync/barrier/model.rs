//! loom models of a barrier: complete for all or for none, and broken by every death.
#![allow(unsafe_code)]

use loom::sync::Arc;
use loom::thread;

use super::rounds::{Arrival, Ended, NoPlace, Rounds};
use crate::atomic::{AtomicU32, Ordering, UnsafeCell};
use crate::sync::model_kernel::{Kernel, explore};
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

    fn write(&self, at: usize, value: u32) {
        // SAFETY: the others read it only after this member has arrived and before it arrives again.
        self.values[at].with_mut(|it| unsafe { *it = value });
    }

    fn all_read(&self, value: u32) -> bool {
        // SAFETY: as in `write`.
        self.values.iter().all(|it| it.with(|it| unsafe { *it == value }))
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
        let other = thread::spawn({
            let world = world.clone();
            move || rounds(&world, 1)
        });
        let mine = rounds(&world, 0);
        assert_eq!(mine + other.join().unwrap(), 2, "one comes last in each round");
    });
}

#[test]
fn three_go_on_together() {
    explore(2, || {
        let world = World::new(3);
        let others = [1, 2].map(|at| {
            let world = world.clone();
            thread::spawn(move || {
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
        let other = thread::spawn({
            let world = world.clone();
            move || {
                let ended = world.wait(1);
                (ended, world.rounds().dead())
            }
        });
        let third = thread::spawn({
            let world = world.clone();
            move || {
                let ended = world.wait(2);
                (ended, world.rounds().dead())
            }
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
        let others = [1, 2].map(|at| {
            let world = world.clone();
            thread::spawn(move || matches!(world.wait(at), Ended::Complete(_)))
        });
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
        let impatient = thread::spawn({
            let world = world.clone();
            move || world.wait_as(1, &world.kernel.waiter(true))
        });
        world.kernel.pass_the_deadline();
        let tried = world.rounds().try_complete(|word| world.wake_all(word));
        match impatient.join().unwrap() {
            Ended::OutOfTime => assert_eq!(tried, None),
            Ended::Complete(last) => assert_eq!((last, tried), (false, Some(Ended::Complete(true)))),
            Ended::Broken => panic!("nobody died"),
        }
    });
}

#[test]
fn a_broken_barrier_is_made_whole_once_and_a_newcomer_takes_the_dead_ones_place() {
    explore(2, || {
        let world = World::new(2);
        world.kernel.end(FIRST);
        let survivor = thread::spawn({
            let world = world.clone();
            move || {
                // Broken for certain, also if the other one has repaired it long before we look.
                assert_eq!(world.wait(1), Ended::Broken);
                world.rearm(SECOND);
                world.wait(1)
            }
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
        let waiter = thread::spawn({
            let world = world.clone();
            move || world.wait(1)
        });
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
        let late = thread::spawn({
            let world = world.clone();
            move || world.rounds().break_for(0, FIRST)
        });
        let other = thread::spawn({
            let world = world.clone();
            move || world.rearm(THIRD)
        });
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
        let other = thread::spawn({
            let world = world.clone();
            move || world.rearm(THIRD)
        });
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
        let other = thread::spawn({
            let world = world.clone();
            move || {
                world.write(1, 1);
                assert!(matches!(world.wait(1), Ended::Complete(_)));
                assert!(world.all_read(1));
            }
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
    explore(3, || {
        let world = World::new(2);
        let breaker = thread::spawn({
            let world = world.clone();
            move || world.rounds().break_for(0, FIRST)
        });
        if world.rounds().arrive() == Arrival::Broken {
            assert_eq!(world.rounds().dead(), Some(FIRST));
        }
        assert!(breaker.join().unwrap());
    });
}

#[test]
fn one_that_breaks_it_wakes_those_who_have_noticed_nothing() {
    explore(3, || {
        let world = World::new(2);
        let waiter = thread::spawn({
            let world = world.clone();
            move || world.wait(1)
        });
        // Time stands still: the waiter asks nobody who is dead.
        let joined = world.rounds().join(NEWCOMER, |owner| owner == FIRST, |word| world.wake_all(word));
        assert_eq!(joined, Err(NoPlace::Broken));
        assert_eq!(waiter.join().unwrap(), Ended::Broken);
    });
}
