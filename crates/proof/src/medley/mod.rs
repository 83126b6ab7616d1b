//! The root of a region with every primitive in it, for processes that use all of them at once and are killed at random.
//!
//! Each value can tell whether its primitive kept its promise, and each process counts on a page of its own what it did,
//! so that the values can be compared with the sum of the pages.

mod page;
mod player;

use std::hint::black_box;

use wharf_shared_memory::{
    Auto, Barrier, Condvar, Counted, Event, Journaled, Latest, Mutex, Once, Plain, ReentrantMutex, RwLock, Semaphore,
    Shared,
};

pub use self::page::{DEEDS, Deed, Done, Note, PARTS, Page, Part, Phase};
pub use self::player::{ACTS, Player};
use crate::board::Reading;

/// Players at a time.
pub const CAST: usize = 8;
/// Works that are each to be done once, one after another.
pub const WORKS: usize = 4096;
/// Places of the buffer.
pub const PLACES: usize = 4;

/// A value that only one may be in: it notices a second one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Plain)]
#[repr(C)]
pub struct Entered {
    /// Who is in, counted from 1; 0 for nobody.
    pub inside: u64,
    /// How many have come in.
    pub came: u64,
    /// How many have gone out again, or died inside and were succeeded.
    pub went: u64,
}

impl Entered {
    /// Whether nobody is in the middle of something.
    pub fn in_order(&self) -> bool {
        // Read anew: the compiler must not rely on what an exclusive or a shared borrow promises, for that is in question.
        let now = black_box(self);
        now.inside == 0 && now.came == now.went
    }

    /// Comes in; `after_death` if the lock said that its holder died.
    pub fn enter(&mut self, me: u64, after_death: bool) -> Result<(), String> {
        if after_death {
            self.went = self.came;
        } else if !self.in_order() {
            return Err(format!("let in as number {me} in order, found {self:?}"));
        }
        self.inside = me;
        self.came += 1;
        black_box(self);
        Ok(())
    }

    /// Goes out.
    pub fn leave(&mut self, me: u64) -> Result<(), String> {
        let now = black_box(&mut *self);
        if now.inside != me || now.came != now.went + 1 {
            return Err(format!("number {me} was alone inside, found {now:?}"));
        }
        now.went = now.came;
        now.inside = 0;
        Ok(())
    }
}

/// Numbers on their way from those who put them in to those who take them out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Plain)]
#[repr(C)]
pub struct Ring {
    /// How many were put in.
    pub put: u64,
    /// How many were taken out.
    pub taken: u64,
    /// Those between, each at its own number's place.
    pub numbers: [u64; PLACES],
}

/// What those who wait for notice wait for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Plain)]
#[repr(C)]
pub struct Tokens {
    /// How many there ever were.
    pub given: u64,
    /// How many of them were used.
    pub used: u64,
}

/// One of everything.
#[derive(Shared)]
#[repr(C)]
pub struct Medley {
    /// Set when everybody shall come to an end.
    pub over: Event,
    /// Entered alone.
    pub plain: Mutex<Entered>,
    /// Entered twice by one.
    pub again: ReentrantMutex<Entered>,
    /// Entered alone, read by many.
    pub book: RwLock<Entered>,
    /// Lets one in at a time.
    pub one: Semaphore<1>,
    /// Entered by who has the only permit, so it is always free for that one.
    pub single: Mutex<Entered>,
    /// Lets three in at a time.
    pub three: Semaphore<3>,
    /// A permit for each free place of the buffer.
    pub empty: Semaphore<PLACES>,
    /// A permit for each number in the buffer.
    pub full: Semaphore<0, PLACES>,
    /// The buffer.
    pub ring: Mutex<Journaled<Ring>>,
    /// What notices are about.
    pub tokens: Mutex<Tokens>,
    /// Said when there is one more token.
    pub more: Condvar,
    /// Two that wait for each other.
    pub two: Barrier<2>,
    /// How many of the works are done.
    pub worked: Latest<u64>,
    /// The works.
    pub works: [Once; WORKS],
    /// Opened and closed.
    pub gate: Event,
    /// For one at a time, remembered once.
    pub bell: Event<Auto>,
    /// For one at a time.
    pub items: Event<Counted>,
    /// Written whole, read without a lock.
    pub reading: Latest<Reading>,
    /// One for each player, and the last one for the test.
    pub pages: [Page; CAST + 1],
}

impl Medley {
    /// What all pages together say was done.
    pub fn done(&self) -> Done {
        self.pages.iter().fold(Done::default(), |sum, page| sum.and(&page.done.read()))
    }
}

#[cfg(test)]
mod tests {
    use super::Entered;

    #[test]
    fn a_second_one_inside_is_noticed_by_both() {
        let mut value = Entered::default();
        value.enter(1, false).expect("nobody is in");
        assert!(!value.in_order());
        assert!(value.enter(2, false).is_err());
        value.inside = 2;
        assert!(value.leave(1).is_err());
        value.inside = 1;
        value.leave(1).expect("alone");
        assert!(value.in_order());
    }

    #[test]
    fn one_that_died_inside_is_succeeded() {
        let mut value = Entered::default();
        value.enter(1, false).expect("nobody is in");
        value.enter(2, true).expect("after a death");
        value.leave(2).expect("alone");
        assert_eq!(value, Entered { inside: 0, came: 2, went: 2 });
    }
}
