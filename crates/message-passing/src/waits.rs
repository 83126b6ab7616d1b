//! How any end is waited for together with others: the seam below [`Selector`](crate::Selector) and the async forms.
//!
//! Whoever waits for several ends at once does with each what a waiting call does with one, step by step:
//!
//! 1. [`glance`](Waits::glance): is there anything already?
//! 2. [`announce`](Waits::announce) to whoever must know that this end sleeps. One order ([`Announced::order`]) then stands
//!    for all the announcements.
//! 3. Glance again: what came before the announcement was seen is found now, and what comes later rings.
//! 4. Sleep at the [`descriptors`](Waits::descriptors) of all of them.
//! 5. [`stirred`](Waits::stirred): what was found there, and is a try worth it?
//! 6. [`awake`](Waits::awake): take the announcement back. After a first sleep that was short for the sake of a fresh
//!    announcement ([`Announced::order`]), and in which nothing was found, steps 2 to 5 come once more before that.
//!
//! An end that has ended is ready for ever: its tries say how it ended.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use wharf_shared_memory::log::Announcement;
use wharf_sys::clock::Deadline;
use wharf_sys::poll::{Found, Interest};

/// Where nobody may be sure to be woken, nobody sleeps longer than this at a time.
pub(crate) const SLICE: Duration = Duration::from_millis(10);

/// What a look without a system call sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Glance {
    /// A try is worth it.
    Ready,
    /// There is nothing, and looking was free: worth repeating while spinning.
    Nothing,
    /// Nothing is here; only the system knows whether anything is there.
    Unknown,
}

/// Whether a sleep in which nothing was found is followed by another one under the same announcement: once, because the first may
/// have been short for the sake of a fresh one ([`Announced::order`]). So every sleep has two rounds at most.
#[derive(Debug)]
pub(crate) struct Rounds {
    is_first: bool,
}

impl Rounds {
    pub(crate) fn new() -> Self {
        Self { is_first: true }
    }

    /// Asked after a round in which nothing was found.
    pub(crate) fn go_on(&mut self, deadline: Option<Deadline>) -> bool {
        !deadline.is_some_and(Deadline::passed) && std::mem::take(&mut self.is_first)
    }
}

/// What an end needs of whoever sleeps for it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Announced {
    /// Memory must be ordered before the next glance.
    memory: Option<Announcement>,
    /// The longest sleep after which [`Waits::stirred`] must be called even though nothing was found.
    longest: Option<Duration>,
}

impl Announced {
    /// In shared memory.
    pub(crate) fn in_memory(announcement: Announcement) -> Self {
        Self { memory: Some(announcement), longest: None }
    }

    /// Without a word, and with sleeps of any length.
    pub(crate) fn silently() -> Self {
        Self::default()
    }

    /// Without a word, for sleeps that are no longer than this.
    pub(crate) fn for_at_most(longest: Duration) -> Self {
        Self { memory: None, longest: Some(longest) }
    }

    /// What both need.
    pub(crate) fn and(self, other: Self) -> Self {
        let memory = match (self.memory, other.memory) {
            (Some(one), Some(other)) => Some(one.and(other)),
            (one, other) => one.or(other),
        };
        let longest = match (self.longest, other.longest) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        Self { memory, longest }
    }

    /// Orders the announcements before the glances that follow, and says how long the sleep may be at most. What was
    /// announced so far is done with: whoever sleeps again announces again.
    #[must_use]
    pub(crate) fn order(&mut self) -> Option<Duration> {
        let memory = self.memory.take().and_then(Announcement::order_by_system);
        match (self.longest, memory) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        }
    }

    /// Whether an announcement in it is fresh, so that a sleep may miss what comes right now.
    pub(crate) fn is_fresh(&self) -> bool {
        self.memory.is_some_and(Announcement::is_fresh)
    }
}

/// The most descriptors of one end.
pub(crate) const MOST_PLACES: usize = 3;

/// Where one end sleeps. Each place is always the same file; now and then nothing there is of interest.
pub(crate) type Places<'a> = [Option<(BorrowedFd<'a>, Interest)>; MOST_PLACES];

/// What was found at these places.
pub(crate) type Stir = [Found; MOST_PLACES];

/// See the top of the file.
pub(crate) trait Waits {
    /// Looks without a system call; what was read and not yet asked for counts as well. In a forked child, and where this
    /// end has ended, a try is worth it.
    fn glance(&mut self) -> Glance;

    /// Whether spinning for this end may be worth it; where it says no, nobody spins for any.
    fn may_spin(&self) -> bool {
        true
    }

    /// Gets ready to sleep. The message before is released.
    fn announce(&mut self) -> Announced {
        Announced::silently()
    }

    /// Where to sleep; asked for anew before each sleep.
    fn descriptors(&self) -> io::Result<Places<'_>>;

    /// Takes note of what was found there; all of it is empty when the sleep was as long as it may be, or when only
    /// others stirred. Says whether a try is worth it.
    fn stirred(&mut self, found: &Stir) -> io::Result<bool>;

    /// Takes the announcement back.
    fn awake(&mut self) {}
}

/// An end of any kind, for whoever may not know more of it.
pub struct Seam<'a>(pub(crate) &'a mut dyn Waits);

/// Something that a [`Selector`](crate::Selector) can wait for: receivers, links (for what they receive), listeners, room
/// to send ([`Sender::room`](crate::Sender::room), [`Publisher::room`](crate::Publisher::room)), subscribers, pullers, listeners to
/// events, watchers of states and of domains, and foreign descriptors ([`Readable`], [`Writable`]).
///
/// It cannot be implemented outside of this crate.
pub trait Endpoint {
    /// What is below.
    #[doc(hidden)]
    fn seam(&mut self) -> Seam<'_>;
}

impl<E: Endpoint + ?Sized> Endpoint for &mut E {
    fn seam(&mut self) -> Seam<'_> {
        (**self).seam()
    }
}

/// An end that is waited for as one of its fields is; or as that field, but with a glance of its own, where the field is a
/// subscriber.
macro_rules! waits_as_its {
    ($field:ident, impl<$($parameter:ident: $bound:path),*> $end:ty) => {
        impl<$($parameter: $bound),*> $crate::waits::Waits for $end {
            fn glance(&mut self) -> $crate::waits::Glance {
                self.$field.glance()
            }

            fn stirred(&mut self, found: &$crate::waits::Stir) -> ::std::io::Result<bool> {
                self.$field.stirred(found)
            }

            $crate::waits::waits_as_its!(@rest $field);
        }

        $crate::waits::waits_as_its!(@endpoint impl<$($parameter: $bound),*> $end);
    };
    ($field:ident, impl<$($parameter:ident: $bound:path),*> $end:ty, |$it:ident| $glance:expr) => {
        impl<$($parameter: $bound),*> $crate::waits::Waits for $end {
            fn glance(&mut self) -> $crate::waits::Glance {
                let $it = self;
                $glance
            }

            fn stirred(&mut self, found: &$crate::waits::Stir) -> ::std::io::Result<bool> {
                self.$field.empty_bell(found)?;
                Ok(self.glance() == $crate::waits::Glance::Ready)
            }

            $crate::waits::waits_as_its!(@rest $field);
        }

        $crate::waits::waits_as_its!(@endpoint impl<$($parameter: $bound),*> $end);
    };
    (@rest $field:ident) => {
        fn may_spin(&self) -> bool {
            self.$field.may_spin()
        }

        fn announce(&mut self) -> $crate::waits::Announced {
            self.$field.announce()
        }

        fn descriptors(&self) -> ::std::io::Result<$crate::waits::Places<'_>> {
            self.$field.descriptors()
        }

        fn awake(&mut self) {
            self.$field.awake();
        }
    };
    (@endpoint impl<$($parameter:ident: $bound:path),*> $end:ty) => {
        impl<$($parameter: $bound),*> $crate::waits::Endpoint for $end {
            fn seam(&mut self) -> $crate::waits::Seam<'_> {
                $crate::waits::Seam(self)
            }
        }
    };
}

pub(crate) use waits_as_its;

/// A descriptor of the program's own that is ready when there is something to read, or its end.
///
/// It stays in the program's hands: the program reads it, and it must see to it that reading does not wait when less is
/// there than it asks for. One that is not read is ready again at once.
#[derive(Debug)]
pub struct Readable<F>(pub F);

/// A descriptor of the program's own that is ready when there is room to write, or when nobody will read.
#[derive(Debug)]
pub struct Writable<F>(pub F);

macro_rules! foreign {
    ($kind:ident, $interest:expr) => {
        impl<F: AsFd> Waits for $kind<F> {
            fn glance(&mut self) -> Glance {
                Glance::Unknown
            }

            fn descriptors(&self) -> io::Result<Places<'_>> {
                Ok([Some((self.0.as_fd(), $interest)), None, None])
            }

            fn stirred(&mut self, found: &Stir) -> io::Result<bool> {
                Ok(found[0].any())
            }
        }

        impl<F: AsFd> Endpoint for $kind<F> {
            fn seam(&mut self) -> Seam<'_> {
                Seam(self)
            }
        }
    };
}

foreign!(Readable, Interest::READ);
foreign!(Writable, Interest::WRITE);

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The first sleep of an end that is there for tests.
    const SHORT: Duration = Duration::from_millis(1);

    /// A wait that is still going on after the first sleep, however late a busy machine wakes it.
    pub(crate) const LONG: Duration = Duration::from_millis(300);

    /// An end whose first sleep after a fresh announcement is to be short, and which writes down what it is told.
    #[derive(Default)]
    pub(crate) struct Doubtful {
        pub(crate) told: Vec<&'static str>,
        announced: bool,
    }

    impl Waits for Doubtful {
        fn glance(&mut self) -> Glance {
            Glance::Nothing
        }

        fn announce(&mut self) -> Announced {
            let fresh = !std::mem::replace(&mut self.announced, true);
            self.told.push(if fresh { "fresh" } else { "again" });
            if fresh { Announced::for_at_most(SHORT) } else { Announced::silently() }
        }

        fn descriptors(&self) -> io::Result<Places<'_>> {
            Ok([None, None, None])
        }

        fn stirred(&mut self, _found: &Stir) -> io::Result<bool> {
            Ok(false)
        }

        fn awake(&mut self) {
            self.announced = false;
            self.told.push("awake");
        }
    }

    impl Endpoint for Doubtful {
        fn seam(&mut self) -> Seam<'_> {
            Seam(self)
        }
    }
}
