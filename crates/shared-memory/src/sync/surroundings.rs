//! What a lock needs from the world around it: sleeping, the time, and who is dead.
//!
//! Processes, clocks and the kernel stand behind this one trait, so that a model can drive every branch.

use super::owner::Owner;
use crate::atomic::AtomicU32;

/// The deadline passed while a live process held the lock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct OutOfTime;

/// How one sleep ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Slept {
    /// Woken, or the word had changed already, or for no reason: look again.
    Woken,
    /// The slice is over: look whether the owner lives.
    SliceOver,
    /// The deadline has passed.
    OutOfTime,
}

/// How long one sleep may be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Nap {
    /// As long as the death of an owner may go unnoticed.
    Slice,
    /// As long as a free lock is kept for its heir: about the time that waking takes.
    Moment,
    /// A moment at first and twice as long each time, up to the first slice: for what nobody tells of.
    Growing,
}

/// What a lock needs from the world around it.
pub(crate) trait Surroundings {
    /// How long to look for a change before sleeping, in pauses of the processor; 0 where one processor would only delay the owner.
    fn spins(&self) -> u32;

    /// Sleeps while `word` holds `expected`, at most for a slice or a moment.
    fn sleep(&self, word: &AtomicU32, expected: u32, nap: Nap) -> Slept;

    /// Whether the deadline has passed.
    fn is_out_of_time(&self) -> bool;

    /// The time, in units of 2^16 ns.
    fn now(&self) -> u32;

    /// Whether the owner's slot has moved on to another generation: cheap, and proof of death when true.
    fn has_left(&self, owner: Owner) -> bool;

    /// Whether the kernel proves that the owner is dead. May take system calls.
    fn is_dead(&self, owner: Owner) -> bool;
}

#[cfg(all(test, not(loom)))]
pub(crate) mod script {
    use std::cell::Cell;

    use super::{Nap, Owner, Slept, Surroundings};
    use crate::atomic::AtomicU32;

    /// Sleeps that end as a test says, after what it says has happened meanwhile; nobody sleeps in truth.
    pub(crate) struct Script<F> {
        dead: Owner,
        meanwhile: F,
        sleeps: Cell<u32>,
    }

    impl<F: Fn(u32) -> Slept> Script<F> {
        /// `dead` is dead; `meanwhile` is told which sleep it is, from 1.
        pub(crate) fn new(dead: Owner, meanwhile: F) -> Script<F> {
            Script { dead, meanwhile, sleeps: Cell::new(0) }
        }

        /// How many sleeps there were.
        pub(crate) fn sleeps(&self) -> u32 {
            self.sleeps.get()
        }
    }

    impl<F: Fn(u32) -> Slept> Surroundings for Script<F> {
        fn spins(&self) -> u32 {
            0
        }

        fn sleep(&self, _word: &AtomicU32, _expected: u32, _nap: Nap) -> Slept {
            self.sleeps.set(self.sleeps.get() + 1);
            assert!(self.sleeps.get() < 100, "it sleeps for ever");
            (self.meanwhile)(self.sleeps.get())
        }

        fn is_out_of_time(&self) -> bool {
            false
        }

        fn now(&self) -> u32 {
            0
        }

        fn has_left(&self, _owner: Owner) -> bool {
            false
        }

        fn is_dead(&self, owner: Owner) -> bool {
            owner == self.dead
        }
    }
}
