//! The object that users hold: one word that tells what happened, one to sleep on.
#![allow(unsafe_code)]

use std::fmt;
use std::marker::PhantomData;
use std::mem::offset_of;
use std::time::Duration;

use wharf_sys::clock::Deadline;

use super::latch::Latch;
use super::tally::Tally;
use crate::Shared;
use crate::atomic::{AtomicU32, Ordering};
use crate::plain::{Field, Layout};
use crate::sync::caller::caller;
use crate::sync::look::{Look, Seen, look_at};
use crate::sync::patience::{Patience, Wanted};
use crate::sync::sleepers::{SLEEPERS_VERSION, Sleepers, wake};
use crate::sync::{LockFailure, Mode, ObjectKind};

/// An event that stays set until it is reset, and lets everybody through meanwhile.
#[derive(Debug)]
pub enum Manual {}

/// An event that each time lets one waiter through, and is remembered once if nobody waits.
#[derive(Debug)]
pub enum Auto {}

/// An event that each time lets one waiter through, and is remembered as often as it happened.
#[derive(Debug)]
pub enum Counted {}

/// What kinds of events there are.
pub trait Kind: sealed::Sealed + 'static {
    /// How often it is remembered.
    #[doc(hidden)]
    const LIMIT: u32;
    /// What its word means, for layouts.
    #[doc(hidden)]
    const WORD: Field;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::Manual {}
    impl Sealed for super::Auto {}
    impl Sealed for super::Counted {}
}

const fn word(kind: &'static str) -> Field {
    Field::new("word", 0, Layout::scalar(kind, 4, 4))
}

impl Kind for Manual {
    const LIMIT: u32 = 1;
    const WORD: Field = word("Manual");
}

impl Kind for Auto {
    const LIMIT: u32 = 1;
    const WORD: Field = word("Auto");
}

impl Kind for Counted {
    const LIMIT: u32 = u32::MAX;
    const WORD: Field = word("Counted");
}

/// Something that happened, told to processes that wait for it.
///
/// | kind | `set` lets through | if nobody waits | |
/// |---|---|---|---|
/// | `Event<Manual>`, or just `Event` | all who wait, and all who come until `reset` | it stays set | "the table is ready" |
/// | `Event<Auto>` | one | it is remembered, once | "there is work" |
/// | `Event<Counted>` | one | it is remembered each time | "one more item" |
///
/// ```
/// # let dir = tempfile::tempdir()?;
/// # let domain = wharf_sys::directory::Domain::at(&dir.path().join("names"))?;
/// # let options = wharf_shared_memory::RegionOptions::new().domain(domain);
/// use wharf_shared_memory::{Counted, Event, Manual, Region, Shared};
///
/// #[derive(Shared)]
/// #[repr(C)]
/// struct Kitchen {
///     open: Event<Manual>,
///     dishes: Event<Counted>,
/// }
///
/// let kitchen: Region<Kitchen> = options.open_or_create("kitchen")?;
/// kitchen.open.set()?;
/// kitchen.open.wait()?;
/// kitchen.dishes.set()?;
/// kitchen.dishes.set()?;
/// // Two waiters, usually other processes, each have one.
/// kitchen.dishes.wait()?;
/// kitchen.dishes.wait()?;
/// assert!(!kitchen.dishes.try_wait()?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// What was written before `set` is seen by whoever it lets through.
///
/// # When a waiter dies
///
/// Killed before it was let through, it takes nothing from the others: what it was woken for stays, and another one has it
/// within 50 ms. Killed after that, it has had it: `wait` had returned, or was about to. If what an event stands for must not
/// be lost with the one that took it, use a [`Semaphore`](crate::Semaphore), whose permits return.
///
/// # When the setter dies
///
/// Before it happened, or after; nothing lies between. If it was killed before it woke anybody, the waiters go on within
/// 50 ms.
///
/// # When full
///
/// An event that counts returns [`LockFailure::Full`] at the 4,294,967,296th time that nobody has taken.
///
/// # Limits
///
/// Not fair: a waiter that comes at the right moment is let through before those who sleep. The setter is not told whether
/// anybody waits.
#[repr(C)]
pub struct Event<K: Kind = Manual> {
    word: AtomicU32,
    sleepers: Sleepers,
    kind: PhantomData<fn() -> K>,
}

// SAFETY: zero bytes are an event that has not happened, with nobody asleep; any word is valid. Everything is atomic, there
// is no address in it, and dropping it does nothing. The layout names the kind.
unsafe impl<K: Kind> Shared for Event<K> {
    const LAYOUT: Layout = {
        assert!(offset_of!(Self, word) == 0);
        Layout::cell("Event", &[1, SLEEPERS_VERSION], Self::FIELDS, size_of::<Self>(), align_of::<Self>())
    };
    const FIELDS: &'static [Field] = &[K::WORD];
}

impl<K: Kind> Default for Event<K> {
    fn default() -> Self {
        Event::new()
    }
}

impl<K: Kind> Event<K> {
    /// One that has not happened, to be put into a region.
    pub const fn new() -> Event<K> {
        Event { word: AtomicU32::new(0), sleepers: Sleepers::new(), kind: PhantomData }
    }

    fn wait_with(
        &self,
        deadline: Option<Deadline>,
        wait: impl FnOnce(&Patience<'_>) -> bool,
    ) -> Result<(), LockFailure> {
        let (me, attachment) = caller(self)?;
        let wanted = Wanted::new(ObjectKind::Event, Mode::Notice, self);
        let patience = Patience::new(attachment, me, deadline, wanted);
        if wait(&patience) { Ok(()) } else { Err(LockFailure::Timeout) }
    }
}

impl Event<Manual> {
    /// Says that it has happened: lets through all who wait, and all who come until it is [reset](Event::reset). True if
    /// this call changed it.
    pub fn set(&self) -> Result<bool, LockFailure> {
        caller(self)?;
        Ok(self.latch().set(wake))
    }

    /// Takes it back. Those who waited when it was set go through all the same. True if this call changed it.
    pub fn reset(&self) -> Result<bool, LockFailure> {
        caller(self)?;
        Ok(self.latch().reset())
    }

    /// Whether it has happened: what [`wait`](Event::wait) would do without waiting. Works in a region attached for reading
    /// only, too. One load.
    pub fn is_set(&self) -> bool {
        self.latch().is_set()
    }

    /// Waits until it has happened.
    pub fn wait(&self) -> Result<(), LockFailure> {
        self.wait_with(None, |patience| self.latch().wait(patience))
    }

    /// The same, at most for `patience`: then [`LockFailure::Timeout`].
    pub fn wait_timeout(&self, patience: Duration) -> Result<(), LockFailure> {
        self.wait_with(Some(Deadline::after(patience)), |patience| self.latch().wait(patience))
    }

    fn latch(&self) -> Latch<'_> {
        Latch { word: &self.word, sleepers: &self.sleepers }
    }
}

macro_rules! let_one_through {
    ($kind:ty, $set:literal, $past_the_limit:expr) => {
        impl Event<$kind> {
            #[doc = $set]
            pub fn set(&self) -> Result<(), LockFailure> {
                caller(self)?;
                self.tally().add(<$kind as Kind>::LIMIT, wake).or_else(|_| $past_the_limit)
            }

            /// Goes through if it has happened, for this caller alone. Never waits.
            pub fn try_wait(&self) -> Result<bool, LockFailure> {
                caller(self)?;
                Ok(self.tally().take())
            }

            /// Waits until it has happened, for this caller alone.
            pub fn wait(&self) -> Result<(), LockFailure> {
                self.wait_with(None, |patience| self.tally().wait(patience))
            }

            /// The same, at most for `patience`: then [`LockFailure::Timeout`].
            pub fn wait_timeout(&self, patience: Duration) -> Result<(), LockFailure> {
                self.wait_with(Some(Deadline::after(patience)), |patience| self.tally().wait(patience))
            }

            fn tally(&self) -> Tally<'_> {
                Tally { count: &self.word, sleepers: &self.sleepers }
            }
        }
    };
}

let_one_through!(
    Auto,
    "Says that it has happened: lets one waiter through. If none comes, it is remembered, once.",
    Ok(())
);
let_one_through!(
    Counted,
    "Says that it has happened once more: lets one more waiter through, now or later.",
    Err(LockFailure::Full)
);

impl<K: Kind> Look for Event<K> {
    fn look(&self) -> Seen {
        look_at(ObjectKind::Event, self, &[])
    }
}

impl<K: Kind> fmt::Debug for Event<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Relaxed: a report.
        f.debug_struct("Event").field("word", &self.word.load(Ordering::Relaxed)).finish_non_exhaustive()
    }
}
