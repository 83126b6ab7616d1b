//! How a process waits for a lock in a region: on a futex, in slices, looking after each whether the owner lives.

use std::cell::Cell;
use std::time::Duration;

use wharf_sys::clock::{Deadline, Instant};
use wharf_sys::{cpu, futex, liveness};

use super::kind::{Mode, ObjectKind};
use super::owner::Owner;
use super::surroundings::{Nap, Slept, Surroundings};
use crate::atomic::AtomicU32;
use crate::participant::{Attachment, Membership, Place, Wait, Witness};

/// The first slice: a lock whose owner is dead already is taken over after this. It is longer than a tick of the kernel's
/// clock (4 ms at the usual 250 Hz), because a timer that is the next to expire has to be told to the processor's own
/// clock; of 2 ms, it made a hand-over between two cores a seventh dearer.
const FIRST_SLICE: Duration = Duration::from_millis(10);
/// The longest slice: how long a death during the wait can stay unnoticed.
const LONGEST_SLICE: Duration = Duration::from_millis(50);
/// How long a free lock is kept for its heir: a wake takes tens of microseconds, or a time slice on a busy machine.
const MOMENT: Duration = Duration::from_millis(1);
/// How many pauses of the processor to spend before sleeping: one to three microseconds, a few times a short critical
/// section. A sleep and a wake cost tens of it.
const SPINS: u32 = 120;
/// How often a thread that only ever tries asks the expensive question about an owner whose byte is locked.
const FULL_LOOK_EVERY: Duration = Duration::from_millis(10);

/// A deadline that has passed: for one look without waiting.
pub(crate) const AT_ONCE: Deadline = Deadline::at(Instant::from_nanos(0));

thread_local! {
    static LAST_FULL_LOOK: Cell<Instant> = const { Cell::new(Instant::from_nanos(0)) };
}

/// What is waited for: listed in the region while the waiter sleeps.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    /// What kind of object.
    pub(crate) kind: ObjectKind,
    /// How it is wanted.
    pub(crate) mode: Mode,
    /// The address at which the object starts.
    pub(crate) address: usize,
}

impl Wanted {
    /// The object that starts where `object` does.
    pub(crate) fn new<T: ?Sized>(kind: ObjectKind, mode: Mode, object: &T) -> Wanted {
        Wanted { kind, mode, address: (&raw const *object).addr() }
    }

    /// The object that starts so many bytes before what was given.
    pub(crate) fn starting_before(self, bytes: usize) -> Wanted {
        Wanted { address: self.address - bytes, ..self }
    }
}

/// One wait by one thread of one attachment. From its first sleep on it is listed in the region, until it is dropped.
pub(crate) struct Patience<'a> {
    me: Owner,
    membership: Option<&'a Membership>,
    witness: Option<Witness<'a>>,
    deadline: Option<Deadline>,
    slice: Cell<Duration>,
    moment: Cell<Duration>,
    wanted: Wanted,
    place: Cell<Option<Place>>,
}

impl<'a> Patience<'a> {
    /// A wait by `attachment`, which names itself `me`, until `deadline` or for as long as it takes.
    pub(crate) fn new(
        attachment: Attachment<'a>,
        me: Owner,
        deadline: Option<Deadline>,
        wanted: Wanted,
    ) -> Patience<'a> {
        let membership = attachment.membership();
        let witness = membership.and_then(Membership::witness);
        let (slice, moment, place) = (Cell::new(FIRST_SLICE), Cell::new(MOMENT), Cell::new(None));
        Patience { me, membership, witness, deadline, slice, moment, wanted, place }
    }

    /// Lists this wait in the region, once.
    fn enter(&self, now: Instant) {
        let (None, Some(membership)) = (self.place.get(), self.membership) else { return };
        let Some(waits) = membership.waits() else { return };
        let wait = Wait {
            thread: liveness::thread_id(),
            kind: self.wanted.kind.code(),
            mode: self.wanted.mode.code(),
            offset: membership.offset_of_address(self.wanted.address),
            since_ns: now.as_nanos(),
        };
        self.place.set(Some(waits.enter(self.me, wait)));
    }

    /// For one that only tries: whether `owner` is proved dead, at the price of one system call in the usual case.
    ///
    /// An owner whose byte is locked lives, except when a forked child carries the description of a dead parent.
    /// That takes reading `/proc`, and a thread does so at most every 10 ms.
    pub(crate) fn is_dead_at_a_glance(&self, owner: Owner) -> bool {
        let Some(witness) = &self.witness else { return false };
        if witness.has_left(owner) {
            return true;
        }
        if owner == self.me {
            return false;
        }
        if witness.byte_is_held(owner.slot()) {
            let now = Instant::now();
            if now.saturating_since(LAST_FULL_LOOK.get()) < FULL_LOOK_EVERY {
                return false;
            }
            LAST_FULL_LOOK.set(now);
        }
        witness.is_dead(owner)
    }
}

impl Surroundings for Patience<'_> {
    fn spins(&self) -> u32 {
        if cpu::spinning_pays() { SPINS } else { 0 }
    }

    fn sleep(&self, word: &AtomicU32, expected: u32, nap: Nap) -> Slept {
        let slice = match nap {
            Nap::Slice => self.slice.get(),
            Nap::Moment => MOMENT,
            Nap::Growing => self.moment.get(),
        };
        // One look at the clock for everything: it shows in a hand-over.
        let now = Instant::now();
        let slice_end = Deadline::at(now.saturating_add(slice));
        let until = match self.deadline {
            Some(deadline) if deadline.instant() <= now => return Slept::OutOfTime,
            Some(deadline) => slice_end.min(deadline),
            None => slice_end,
        };
        self.enter(now);
        match futex::wait(word, expected, Some(until), true) {
            Ok(futex::FutexWake::Woken | futex::FutexWake::Changed) => {
                // Somebody else may hold it now, whose death is to be noticed as soon as the first one's.
                self.slice.set(FIRST_SLICE);
                Slept::Woken
            }
            Ok(futex::FutexWake::TimedOut) => {
                match nap {
                    Nap::Slice => self.slice.set((slice * 2).min(LONGEST_SLICE)),
                    Nap::Growing => self.moment.set((slice * 2).min(FIRST_SLICE)),
                    Nap::Moment => {}
                }
                Slept::SliceOver
            }
            // Only a filter that forbids futexes makes it fail here. Waiting stays correct, and does not spin.
            Err(_) => {
                std::thread::sleep(FIRST_SLICE);
                Slept::SliceOver
            }
        }
    }

    fn is_out_of_time(&self) -> bool {
        self.deadline.is_some_and(Deadline::passed)
    }

    fn now(&self) -> u32 {
        // The low bits of the time are all that is kept.
        (Instant::now().as_nanos() >> 16) as u32
    }

    fn has_left(&self, owner: Owner) -> bool {
        self.witness.as_ref().is_some_and(|witness| witness.has_left(owner))
    }

    fn is_dead(&self, owner: Owner) -> bool {
        if self.deadline == Some(AT_ONCE) {
            return self.is_dead_at_a_glance(owner);
        }
        // Another thread of this very attachment lives as long as we do.
        owner != self.me && self.witness.as_ref().is_some_and(|witness| witness.is_dead(owner))
    }
}

impl Drop for Patience<'_> {
    fn drop(&mut self) {
        if let (Some(place), Some(membership)) = (self.place.get(), self.membership)
            && let Some(waits) = membership.waits()
        {
            waits.leave(self.me, place);
        }
    }
}

/// Wakes everybody who sleeps on a word.
#[cold]
pub(crate) fn wake_all(word: &AtomicU32) {
    // As in `wake_one`.
    let _woken = futex::wake(word, u32::MAX, true);
}

/// Wakes one sleeper on a word of a lock that was just given back; says whether there was one.
#[cold]
pub(crate) fn wake_one(word: &AtomicU32) -> bool {
    // A wake cannot fail on a mapped word; if it did, the sleeper's slice ends by itself.
    futex::wake(word, 1, true).is_ok_and(|woken| woken > 0)
}
