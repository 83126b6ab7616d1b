//! The root of every region in these tests: values whose parts must agree.

use wharf_shared_memory::{Condvar, Latest, Mutex, Plain, ReentrantMutex, RwLock, Shared};

/// Two numbers that are equal whenever nobody is in the middle of changing them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Plain)]
#[repr(C)]
pub struct Pair {
    /// Changed first.
    pub left: u64,
    /// Changed second.
    pub right: u64,
}

impl Pair {
    /// One step: a death between its two halves leaves the numbers different.
    pub fn advance(&mut self) {
        self.left = self.left.wrapping_add(1);
        self.right = self.left;
    }

    /// Whether nobody was interrupted.
    pub fn agrees(&self) -> bool {
        self.left == self.right
    }

    /// What a survivor does for a dead holder.
    pub fn repair(&mut self) {
        self.right = self.left;
    }
}

/// Eight numbers that are always written together and always equal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Plain)]
#[repr(C)]
pub struct Reading {
    /// The numbers.
    pub parts: [u64; 8],
}

impl Reading {
    /// The reading of round `round`.
    pub fn of(round: u64) -> Reading {
        Reading { parts: [round; 8] }
    }

    /// The round, or `None` when two rounds are mixed.
    pub fn round(&self) -> Option<u64> {
        let [first, rest @ ..] = self.parts;
        rest.iter().all(|&part| part == first).then_some(first)
    }
}

/// What the processes of a test share.
#[derive(Shared)]
#[repr(C)]
pub struct Board {
    /// Changed under a lock.
    pub pair: Mutex<Pair>,
    /// Written whole, read without a lock.
    pub reading: Latest<Reading>,
}

/// One lock of every kind.
#[derive(Shared)]
#[repr(C)]
pub struct Locks {
    /// Changed by one process at a time.
    pub plain: Mutex<Pair>,
    /// Changed by one thread that locks twice.
    pub again: ReentrantMutex<Pair>,
    /// Read by many, changed by one.
    pub book: RwLock<Pair>,
    /// Read by one process at a time.
    pub few: RwLock<Pair, 1>,
    /// What waiters wait for.
    pub tokens: Mutex<u64>,
    /// Said when there is one more token.
    pub more: Condvar,
}

#[cfg(test)]
mod tests {
    use super::{Pair, Reading};

    #[test]
    fn an_interrupted_step_is_seen_and_repaired() {
        let mut pair = Pair::default();
        pair.advance();
        assert!(pair.agrees());
        pair.left += 1;
        assert!(!pair.agrees());
        pair.repair();
        assert_eq!(pair, Pair { left: 2, right: 2 });
    }

    #[test]
    fn a_mixed_reading_has_no_round() {
        assert_eq!(Reading::of(3).round(), Some(3));
        let mut mixed = Reading::of(3);
        mixed.parts[7] = 4;
        assert_eq!(mixed.round(), None);
    }
}
