//! A player's own page: where it is at this moment, and what it has done so far.

use wharf_shared_memory::{Latest, Plain, Shared};

/// What a player is busy with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// A `Mutex`.
    Mutex,
    /// A `ReentrantMutex`.
    Reentrant,
    /// An `RwLock`, for reading.
    Read,
    /// An `RwLock`, for writing, by whatever way.
    Write,
    /// A `Semaphore`.
    Semaphore,
    /// A `Journaled` buffer between two semaphores.
    Journaled,
    /// A `Condvar` and its mutex.
    Condvar,
    /// A `Barrier`.
    Barrier,
    /// A `Once`.
    Once,
    /// An `Event` of any kind.
    Event,
    /// A `Latest`, written or watched.
    Latest,
}

/// Their names, in the order of [`Part`].
pub const PARTS: [&str; 11] = [
    "Mutex",
    "ReentrantMutex",
    "RwLock, read",
    "RwLock, written",
    "Semaphore",
    "Journaled",
    "Condvar",
    "Barrier",
    "Once",
    "Event",
    "Latest",
];

/// How far it is with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Not busy with any primitive.
    Between,
    /// In a call that takes, waits, or gives back.
    Asking,
    /// In the critical section: it holds what others want, or is in the middle of work that they rely on.
    Inside,
}

/// Where a player is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Plain)]
#[repr(C)]
pub struct Note {
    /// How many acts it has begun.
    pub acts: u64,
    place: u64,
}

impl Note {
    /// In the `acts`th act, at this place.
    pub fn new(acts: u64, part: Part, phase: Phase) -> Note {
        Note { acts, place: (part as u64) << 2 | phase as u64 }
    }

    /// With what it is busy, by its number in [`PARTS`], and how far it is.
    pub fn place(&self) -> (usize, Phase) {
        let phase = match self.place & 3 {
            0 => Phase::Between,
            1 => Phase::Asking,
            _ => Phase::Inside,
        };
        (usize::try_from(self.place >> 2).unwrap_or(usize::MAX), phase)
    }
}

/// What players count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// Was alone in the mutex.
    Plain,
    /// Was twice in the re-entrant one.
    Again,
    /// Wrote in the book.
    Written,
    /// Had the only permit.
    Single,
    /// Put a number in.
    Put,
    /// Took a number out.
    Taken,
    /// Gave a token.
    Given,
    /// Used a token.
    Used,
    /// Wrote a reading.
    Updated,
    /// Came last to the barrier.
    Last,
    /// Came to the barrier before another.
    Early,
    /// Was told to be the first at the work that is done once.
    First,
    /// Came to the end of that work.
    Worked,
    /// Rang the bell.
    Rang,
    /// Heard the bell.
    Heard,
    /// Counted an item.
    Counted,
    /// Had a counted item.
    Had,
    /// Took over from a dead one.
    Succeeded,
}

/// How many deeds there are.
pub const DEEDS: usize = Deed::Succeeded as usize + 1;

/// What was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Plain)]
#[repr(C)]
pub struct Done {
    deeds: [u64; DEEDS],
    /// The longest wait for something that is always to be had soon.
    pub longest_wait_ns: u64,
}

impl Done {
    /// How often it was done.
    pub fn count(&self, deed: Deed) -> u64 {
        self.deeds[deed as usize]
    }

    /// Counts a deed.
    pub fn add(&mut self, deed: Deed) {
        self.deeds[deed as usize] += 1;
    }

    /// Both together.
    #[must_use]
    pub fn and(mut self, other: &Done) -> Done {
        for (mine, others) in self.deeds.iter_mut().zip(other.deeds) {
            *mine += others;
        }
        self.longest_wait_ns = self.longest_wait_ns.max(other.longest_wait_ns);
        self
    }
}

/// Written by one player, read by the test; a player that comes in place of a dead one goes on with its page.
#[derive(Shared)]
#[repr(C)]
pub struct Page {
    /// Where it is.
    pub note: Latest<Note>,
    /// What it has done.
    pub done: Latest<Done>,
}

#[cfg(test)]
mod tests {
    use super::{Deed, Done, Note, PARTS, Part, Phase};

    #[test]
    fn a_note_tells_the_place_again() {
        for phase in [Phase::Between, Phase::Asking, Phase::Inside] {
            let (part, then) = Note::new(7, Part::Latest, phase).place();
            assert_eq!((PARTS[part], then), ("Latest", phase));
        }
    }

    #[test]
    fn pages_add_up() {
        let mut one = Done { longest_wait_ns: 5, ..Done::default() };
        one.add(Deed::Succeeded);
        let two = one.and(&one).and(&Done { longest_wait_ns: 9, ..Done::default() });
        assert_eq!((two.count(Deed::Succeeded), two.count(Deed::Plain), two.longest_wait_ns), (2, 0, 9));
    }
}
