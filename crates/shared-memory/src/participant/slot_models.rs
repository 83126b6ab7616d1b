//! loom models of a slot's words: taken, published, left, taken again after a death, and read meanwhile.
#![allow(unsafe_code)]

use loom::sync::{Arc, Mutex};
use loom::thread;

use super::slot::{Identity, Phase, Slot, State};
use crate::atomic::UnsafeCell;
use crate::sync::model_kernel::{explore, spawn};
use crate::sync::owner::Owner;
use crate::sync::raw::{Condition, RawLock};

/// Slot 0 in its first taking, and the newcomer that takes it after the first one's death.
const FIRST: Owner = Owner::new(0, 1);
const NEWCOMER: Owner = Owner::new(0, 2);
const SECOND: Owner = Owner::new(1, 1);

/// Who takes a slot for the `generation`th time, with a number of its own in every field.
fn somebody(generation: u32) -> Identity {
    let number = u64::from(generation);
    let program = generation.to_string();
    let (pid, uid, image) = (generation, generation, generation);
    Identity { pid, start_time: number, pid_namespace: number, uid, image, since_ns: number, program }
}

/// One slot, the kernel's lock on its byte, and a lock in the region with the value under it.
struct World {
    slot: Slot,
    /// Whether a process has the byte. The kernel orders one that lets go of it, or is ended, before the next one.
    byte: Mutex<bool>,
    lock: RawLock,
    value: UnsafeCell<u32>,
}

// SAFETY: everything but `value` is `Sync`, and that two threads never use `value` at a time is what the models check:
// loom fails the model if they do.
unsafe impl Sync for World {}

impl World {
    fn new() -> Arc<World> {
        let (slot, byte, lock) = (Slot::default(), Mutex::new(false), RawLock::new());
        Arc::new(World { slot, byte, lock, value: UnsafeCell::new(0) })
    }

    /// A world whose slot the first one has taken.
    fn with_the_first() -> (Arc<World>, State) {
        let world = World::new();
        let taken = world.take_slot().unwrap();
        (world, taken)
    }

    /// Takes the slot as a process does that finds it free, or its owner dead.
    fn take_slot(&self) -> Option<State> {
        let begun = self.begin()?;
        self.slot.publish(begun, &somebody(begun.generation()))
    }

    fn begin(&self) -> Option<State> {
        // Before the byte: whoever had it may leave in between.
        let seen = self.slot.state();
        let mut byte = self.byte.lock().unwrap();
        if *byte {
            return None;
        }
        let begun = self.slot.begin(seen);
        *byte = begun.is_some();
        begun
    }

    fn leave(&self, taken: State) {
        self.slot.free(taken);
        self.end();
    }

    /// The kernel ends a process, or closes its description.
    fn end(&self) {
        *self.byte.lock().unwrap() = false;
    }

    /// Takes the lock from one whom the slot proves gone, changes the value, gives the lock back.
    fn succeed(&self, me: Owner) -> bool {
        let taken = self.lock.take_from_dead(me, |owner| owner.slot() == 0 && self.slot.has_left(owner));
        if taken {
            self.change_and_give_back();
        }
        taken
    }

    fn change_and_give_back(&self) {
        self.change_value();
        self.lock.mark_consistent();
        self.lock.give_back(Condition::Consistent, |_| false);
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
}

/// Whoever reads a name reads the one that belongs to the generation, whole, or is told that it has changed.
#[test]
fn a_name_that_is_read_is_whole_and_of_its_generation() {
    // Not loom's: counts over all executions.
    static READ: [std::sync::atomic::AtomicU32; 3] = [const { std::sync::atomic::AtomicU32::new(0) }; 3];
    explore(2, || {
        let (world, first) = World::with_the_first();
        let reader = spawn(&world, move |world| {
            let seen = world.slot.state();
            if !seen.is_taken() {
                return;
            }
            if let Some(who) = world.slot.identity(seen) {
                assert_eq!(who, somebody(seen.generation()));
                READ[seen.generation() as usize].fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            }
        });
        world.leave(first);
        // The next one stops for ever as soon as it has written itself down.
        world.take_slot().unwrap();
        reader.join().unwrap();
    });
    let read = |generation: usize| READ[generation].load(std::sync::atomic::Ordering::Relaxed);
    assert!(read(1) > 0 && read(2) > 0, "no execution in which either name was read");
}

/// One that stops for ever with the lock: by the newcomer's generation a third one proves it gone, and sees what it did.
#[test]
fn a_newcomer_in_the_slot_proves_a_dead_one_gone_to_whoever_wants_its_lock() {
    for published in [true, false] {
        explore(3, move || {
            let (world, _) = World::with_the_first();
            let survivor = spawn(&world, move |world| world.succeed(SECOND));
            assert!(world.lock.take_free(FIRST));
            world.change_value();
            world.end();
            // What comes next is another process. It may stop for ever before it has written itself down.
            let begun = world.begin().expect("nobody else wants the slot");
            if published {
                let taken = world.slot.publish(begun, &somebody(begun.generation())).unwrap();
                assert_eq!(Owner::new(0, taken.generation()), NEWCOMER);
                // It takes the lock too, if it is free, and keeps it: it must never be taken for the one before it.
                if !world.succeed(NEWCOMER) && world.lock.take_free(NEWCOMER) {
                    world.change_value();
                }
            }
            survivor.join().unwrap();
            if !published {
                assert!(world.slot.has_left(FIRST));
                world.succeed(SECOND);
                assert_eq!(world.value(), 2);
            }
        });
    }
}

/// One that leaves in order and forgot its lock: its slot is free, or taken again by a third one.
#[test]
fn whoever_sees_a_slot_left_sees_all_that_its_owner_did() {
    for taken_again in [false, true] {
        explore(2, move || {
            let (world, first) = World::with_the_first();
            let next = taken_again.then(|| spawn(&world, move |world| world.begin().is_some()));
            let survivor = spawn(&world, move |world| world.succeed(SECOND));
            assert!(world.lock.take_free(FIRST));
            world.change_value();
            world.leave(first);
            next.map(thread::JoinHandle::join);
            if !survivor.join().unwrap() {
                assert!(world.succeed(SECOND), "it has left");
            }
            assert_eq!(world.value(), 2);
        });
    }
}

/// No two takings share a generation, whoever looked at the slot how long ago.
#[test]
fn two_that_want_one_slot_have_it_one_after_the_other_under_two_names() {
    explore(3, || {
        let world = World::new();
        let pass = |world: &World| {
            let taken = world.take_slot()?;
            // Only the one that has the slot: loom fails the model otherwise.
            world.change_value();
            assert_eq!(world.slot.state(), taken);
            assert_eq!(world.slot.identity(taken), Some(somebody(taken.generation())));
            world.leave(taken);
            Some(taken.generation())
        };
        let other = spawn(&world, move |world| pass(&world));
        let mine = pass(&world);
        let theirs = other.join().unwrap();
        assert!(mine.is_some() || theirs.is_some());
        assert_ne!(mine, theirs);
        assert_eq!(world.slot.state().phase(), Phase::Free);
        assert_eq!(world.value(), u32::from(mine.is_some()) + u32::from(theirs.is_some()));
    });
}

/// One that lives and has lost its byte, whose slot another one takes: neither its publishing nor its leaving hits that one.
#[test]
fn one_that_lost_its_byte_takes_nothing_from_the_newcomer() {
    explore(3, || {
        let world = World::new();
        let begun = world.begin().unwrap();
        world.end();
        let late = spawn(&world, move |world| {
            if let Some(taken) = world.slot.publish(begun, &somebody(1)) {
                world.slot.free(taken);
            }
        });
        let newcomer = world.take_slot();
        late.join().unwrap();
        if let Some(newcomer) = newcomer {
            assert_eq!(world.slot.state(), newcomer);
            assert!(!world.slot.has_left(Owner::new(0, newcomer.generation())));
        }
    });
}
