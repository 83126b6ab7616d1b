//! The object that users hold: cells for permits, and a word to sleep on.
#![allow(unsafe_code)]

use std::fmt;
use std::mem::offset_of;
use std::time::Duration;

use wharf_sys::clock::Deadline;

use super::permit::Permit;
use super::permits::{AllThere, Permits};
use crate::atomic::{AtomicU32, Ordering};
use crate::plain::{Field, Layout};
use crate::sync::caller::caller;
use crate::sync::look::{Look, Seen, look_at};
use crate::sync::patience::{Patience, Wanted};
use crate::sync::sleepers::{SLEEPERS_VERSION, Sleepers, wake};
use crate::sync::{LockFailure, Mode, ObjectKind};
use crate::{Plain, Shared};

/// Permits that processes take and give back, each owned by whoever holds it: a death returns what the dead one held.
///
/// `FREE` permits are there at first, `ABSENT` more can be [given](Semaphore::give): `Semaphore<3>` lets three in,
/// `Semaphore<0, 8>` nobody until somebody gives permits, of which there are never more than eight.
///
/// ```
/// # let dir = tempfile::tempdir()?;
/// # let domain = wharf_sys::directory::Domain::at(&dir.path().join("names"))?;
/// # let options = wharf_shared_memory::RegionOptions::new().domain(domain);
/// use wharf_shared_memory::{LockFailure, Region, Semaphore};
///
/// let cameras: Region<Semaphore<2>> = options.open_or_create("cameras")?;
/// let (one, two) = (cameras.take()?, cameras.take()?);
/// // A third process waits here until one of the two drops its permit, or is killed.
/// assert_eq!(cameras.try_take().unwrap_err(), LockFailure::WouldBlock);
/// drop(one);
/// assert!(cameras.try_take().is_ok());
/// # drop(two);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # When a holder dies
///
/// Its permits are free again. Whoever waits for one proves the death within 50 ms, and its permit says so
/// ([`Permit::owner_died`]), because there may be something half-done. A holder that is stopped keeps its permits.
///
/// # Permits that nobody owns: a bounded buffer
///
/// A buffer of eight places has two semaphores, `empty: Semaphore<8>` and `full: Semaphore<0, 8>`. A producer takes from
/// `empty`, puts an item into the buffer, and [passes](Permit::pass_to) its permit to `full`; a consumer takes from `full`,
/// takes an item out, and passes its permit to `empty`. What lies in the buffer belongs to nobody, and so do the permits that
/// stand for it: a process owns one only while it is at work, and only that one returns when it is killed.
///
/// Two semaphores and a buffer cannot change in one step, so the order of the steps decides what a death leaves.
/// `pass_to` gives the permit there *before* the buffer changes and forgets the one here *after* it. Wherever a process is
/// killed, there is a permit for every item and for every place, and at most one too many:
///
/// | killed | `empty` | `full` |
/// |---|---|---|
/// | with a permit of `empty`, before it gave | it returns | |
/// | after it gave, before the change | it returns | one too many |
/// | after the change, before it forgot | it returns: one too many | |
///
/// So a permit is leave to look. What is in the buffer the buffer itself says, under its lock: with a permit of `full` and no
/// item there, or of `empty` and no place, `forget` the permit and take another. The example `bounded_buffer` does just this.
///
/// # When full
///
/// [`give`](Semaphore::give) returns [`LockFailure::Full`] when every permit is there.
///
/// # Limits
///
/// Not fair: who comes at the right moment overtakes sleepers. Permits are looked through one after another: meant for up to
/// some hundred of them.
#[repr(C)]
pub struct Semaphore<const FREE: usize, const ABSENT: usize = 0> {
    sleepers: Sleepers,
    moves: AtomicU32,
    free_first: [AtomicU32; FREE],
    absent_first: [AtomicU32; ABSENT],
}

// SAFETY: zero bytes are permits as the type says and nobody asleep; any word in a cell is free, absent or somebody's.
// Everything is atomic. A cell holds a slot and a generation, no address, and dropping it does nothing. The layout tells how
// many cells there are of each kind.
unsafe impl<const FREE: usize, const ABSENT: usize> Shared for Semaphore<FREE, ABSENT> {
    const LAYOUT: Layout = {
        assert!(FREE + ABSENT > 0, "a semaphore without any permit lets nobody in; give it a number");
        Layout::cell("Semaphore", &[1, SLEEPERS_VERSION], Self::FIELDS, size_of::<Self>(), align_of::<Self>())
    };
    const FIELDS: &'static [Field] = &[
        Field::new("free", offset_of!(Self, free_first), <[u32; FREE] as Plain>::LAYOUT),
        Field::new("absent", offset_of!(Self, absent_first), <[u32; ABSENT] as Plain>::LAYOUT),
    ];
}

impl<const FREE: usize, const ABSENT: usize> Default for Semaphore<FREE, ABSENT> {
    fn default() -> Self {
        Semaphore::new()
    }
}

impl<const FREE: usize, const ABSENT: usize> Semaphore<FREE, ABSENT> {
    /// `FREE` permits, to be put into a region.
    pub const fn new() -> Semaphore<FREE, ABSENT> {
        Semaphore {
            sleepers: Sleepers::new(),
            moves: AtomicU32::new(0),
            free_first: [const { AtomicU32::new(0) }; FREE],
            absent_first: [const { AtomicU32::new(0) }; ABSENT],
        }
    }

    /// Takes a permit, waiting while live processes hold all that are there.
    pub fn take(&self) -> Result<Permit<'_>, LockFailure> {
        self.take_until(None)
    }

    /// The same, at most for `patience`: then [`LockFailure::Timeout`].
    pub fn take_timeout(&self, patience: Duration) -> Result<Permit<'_>, LockFailure> {
        self.take_until(Some(Deadline::after(patience)))
    }

    /// Takes a permit that is free, or whose owner is proved dead. Never waits; at most a few system calls for each owner.
    pub fn try_take(&self) -> Result<Permit<'_>, LockFailure> {
        let (me, attachment) = caller(self)?;
        let permits = self.permits();
        wharf_sys::crash_point!("semaphore.take.before");
        if let Some(at) = permits.take(me) {
            wharf_sys::crash_point!("semaphore.take.after");
            return Ok(Permit::new(permits, at, me, false));
        }
        let patience = Patience::new(attachment, me, None, self.wanted());
        let at = permits.take_from_dead(me, |owner| patience.is_dead_at_a_glance(owner));
        at.map(|at| Permit::new(permits, at, me, true)).ok_or(LockFailure::WouldBlock)
    }

    /// Adds a permit that nobody owns, for anybody to take: the counterpart of [`Permit::forget`].
    ///
    /// [`LockFailure::Full`] if every permit is there already, free or owned.
    pub fn give(&self) -> Result<(), LockFailure> {
        caller(self)?;
        self.permits().give(wake).map_err(|AllThere| LockFailure::Full)
    }

    /// How many permits are free: a report for people, out of date as soon as it is made.
    pub fn free(&self) -> usize {
        self.permits().free()
    }

    fn take_until(&self, deadline: Option<Deadline>) -> Result<Permit<'_>, LockFailure> {
        let (me, attachment) = caller(self)?;
        let permits = self.permits();
        wharf_sys::crash_point!("semaphore.take.before");
        if let Some(at) = permits.take(me) {
            wharf_sys::crash_point!("semaphore.take.after");
            return Ok(Permit::new(permits, at, me, false));
        }
        let patience = Patience::new(attachment, me, deadline, self.wanted());
        let (at, from_dead) = permits.wait(me, &patience).ok_or(LockFailure::Timeout)?;
        wharf_sys::crash_point!("semaphore.take.after");
        Ok(Permit::new(permits, at, me, from_dead))
    }

    fn wanted(&self) -> Wanted {
        Wanted::new(ObjectKind::Semaphore, Mode::Permit, self)
    }

    fn permits(&self) -> Permits<'_> {
        Permits {
            sleepers: &self.sleepers,
            moves: &self.moves,
            free_first: &self.free_first,
            absent_first: &self.absent_first,
        }
    }
}

impl<const FREE: usize, const ABSENT: usize> Look for Semaphore<FREE, ABSENT> {
    fn look(&self) -> Seen {
        // Acquire: before the owners' slots are looked at.
        let cells = self.free_first.iter().chain(&self.absent_first).map(|cell| cell.load(Ordering::Acquire));
        // What comes before the cells names nobody.
        let words: Vec<u32> = [0, 0].into_iter().chain(cells).collect();
        look_at(ObjectKind::Semaphore, self, &words)
    }
}

impl<const FREE: usize, const ABSENT: usize> fmt::Debug for Semaphore<FREE, ABSENT> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Semaphore").field("free", &self.free()).finish_non_exhaustive()
    }
}
