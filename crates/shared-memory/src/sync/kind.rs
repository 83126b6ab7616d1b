//! What kinds of objects a region can hold and how each can be held or wanted, as codes that lie in shared memory.

use crate::plain::{Layout, Shape};

/// What kind of primitive an object in a region is. The code lies in the region and never changes its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[repr(u8)]
pub enum ObjectKind {
    /// A [`Mutex`](crate::Mutex).
    Mutex = 1,
    /// A [`Latest`](crate::Latest).
    Latest = 2,
    /// The lock of a [`BytesRegion`](crate::BytesRegion).
    Bytes = 3,
    /// A mutex that its holder may take again.
    ReentrantMutex = 4,
    /// A lock for many readers or one writer.
    RwLock = 5,
    /// A condition variable.
    Condvar = 6,
    /// A semaphore.
    Semaphore = 7,
    /// A barrier.
    Barrier = 8,
    /// Something that is done once.
    Once = 9,
    /// An event.
    Event = 10,
    /// A value with two copies and a commit.
    Journaled = 11,
}

/// The most that is read of an object: an `RwLock` with a cell for every slot that a region can have.
#[cfg(not(loom))]
const LONGEST: u64 = 24 + 8 * 1023;

/// What comes before the cells and a cell for every holder, up to as many as a table has slots.
#[cfg(not(loom))]
const fn with_cells(before: u64, len: u64) -> u64 {
    if len < before {
        before
    } else if len < LONGEST {
        len
    } else {
        LONGEST
    }
}

const ALL: [(ObjectKind, &str); 11] = [
    (ObjectKind::Mutex, "Mutex"),
    (ObjectKind::Latest, "Latest"),
    (ObjectKind::Bytes, "Bytes"),
    (ObjectKind::ReentrantMutex, "ReentrantMutex"),
    (ObjectKind::RwLock, "RwLock"),
    (ObjectKind::Condvar, "Condvar"),
    (ObjectKind::Semaphore, "Semaphore"),
    (ObjectKind::Barrier, "Barrier"),
    (ObjectKind::Once, "Once"),
    (ObjectKind::Event, "Event"),
    (ObjectKind::Journaled, "Journaled"),
];

impl ObjectKind {
    /// The code under which it lies in a region.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// Reads a code; `None` if this version knows no such kind.
    pub fn from_code(code: u8) -> Option<ObjectKind> {
        ALL.iter().map(|&(kind, _)| kind).find(|kind| kind.code() == code)
    }

    /// The name of the type, as layouts write it.
    pub fn name(self) -> &'static str {
        ALL.iter().find(|&&(kind, _)| kind == self).map_or("", |&(_, name)| name)
    }

    /// Whether it is a lock around a value that holders of the lock change in place.
    #[cfg(not(loom))]
    pub(crate) const fn guards_a_value(self) -> bool {
        matches!(self, ObjectKind::Mutex | ObjectKind::ReentrantMutex | ObjectKind::RwLock)
    }

    /// How many bytes at the start of an object of `len` bytes say who holds it and how it stands. More than `len` if no
    /// such object is that short.
    #[cfg(not(loom))]
    pub(crate) const fn control_len(self, len: u64) -> u64 {
        match self {
            ObjectKind::Mutex | ObjectKind::Bytes | ObjectKind::Event => 8,
            ObjectKind::Latest | ObjectKind::Once => 12,
            ObjectKind::Condvar => 4,
            ObjectKind::ReentrantMutex => 20,
            ObjectKind::Journaled => 32,
            ObjectKind::RwLock => with_cells(24, len),
            ObjectKind::Semaphore => with_cells(8, len),
            ObjectKind::Barrier => with_cells(16, len),
        }
    }

    /// Where in the object its lock word lies, in bytes from its start.
    #[cfg(not(loom))]
    pub(crate) const fn lock_at(self) -> usize {
        match self {
            // Behind the sequence.
            ObjectKind::Latest => 8,
            // The one of those who repair, behind the round and the dead one's name.
            ObjectKind::Barrier => 8,
            _ => 0,
        }
    }

    /// The kind of primitive that a layout describes; `None` for anything else.
    pub fn of(layout: &Layout) -> Option<ObjectKind> {
        let named = |&&(_, name): &&(ObjectKind, &str)| name == layout.name;
        ALL.iter().find(named).map(|&(kind, _)| kind).filter(|_| layout.shape == Shape::Cell)
    }
}

/// How an object is held, or wanted by one that waits. The code lies in the region and never changes its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[repr(u8)]
pub enum Mode {
    /// Alone: a mutex, or an rwlock for writing.
    Exclusive = 1,
    /// Together with other readers.
    Read = 2,
    /// Together with readers, and the only one that may become the writer.
    UpgradableRead = 3,
    /// Some of a number of permits.
    Permit = 4,
    /// Waited for until something happens; held by members of a [`Barrier`](crate::Barrier) only, who keep nobody out.
    Notice = 5,
}

impl Mode {
    /// The code under which it lies in a region.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// Reads a code; `None` if this version knows no such mode.
    pub fn from_code(code: u8) -> Option<Mode> {
        use Mode::{Exclusive, Notice, Permit, Read, UpgradableRead};
        [Exclusive, Read, UpgradableRead, Permit, Notice].into_iter().find(|mode| mode.code() == code)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::{Latest, Mutex, Shared};

    #[test]
    fn codes_and_names_lead_back_to_their_kinds() {
        for (kind, name) in ALL {
            assert_eq!((ObjectKind::from_code(kind.code()), kind.name()), (Some(kind), name));
        }
        for code in [0, 12, 255] {
            assert_eq!(ObjectKind::from_code(code), None);
        }
        for code in 1..=5 {
            assert_eq!(Mode::from_code(code).map(Mode::code), Some(code));
        }
        assert_eq!(Mode::from_code(0), None);
    }

    #[test]
    fn a_layout_tells_the_kind_of_its_primitive() {
        assert_eq!(ObjectKind::of(&<Mutex<u64> as Shared>::LAYOUT), Some(ObjectKind::Mutex));
        assert_eq!(ObjectKind::of(&<Latest<u64> as Shared>::LAYOUT), Some(ObjectKind::Latest));
        assert_eq!(ObjectKind::of(&Layout::record("Mutex", &[], 4, 4)), None, "a user's own struct of that name");
    }
}
