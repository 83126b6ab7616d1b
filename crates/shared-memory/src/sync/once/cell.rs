//! The object that users hold: work, done once.
#![allow(unsafe_code)]

use std::ptr::NonNull;
use std::time::Duration;

use wharf_sys::clock::Deadline;

use super::state::State;
use crate::Shared;
use crate::participant::{self, Access};
use crate::plain::{Field, Layout};
use crate::sync::guard::{Guarded, MutexGuard, OwnerDiedGuard};
use crate::sync::look::{Look, Seen, look_at};
use crate::sync::owner::Owner;
use crate::sync::patience::{Patience, Wanted};
use crate::sync::raw::LOCK_VERSION;
use crate::sync::sleepers::wake;
use crate::sync::{LockError, LockFailure, Mode, ObjectKind};

/// The name of one who only waits: it holds nothing.
const NOBODY: Owner = Owner::new(0, 0);

/// Whether somebody has tried the work before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Attempt {
    /// Nobody has begun: everything is as it was created.
    First,
    /// Somebody began and died, or panicked: what it wrote so far may be there, half-done. Begin anew, over it.
    AfterDeath,
}

/// Work that is done once for all processes of a region: filling a table, opening a file, choosing a leader.
///
/// ```
/// # let dir = tempfile::tempdir()?;
/// # let domain = wharf_sys::directory::Domain::at(&dir.path().join("names"))?;
/// # let options = wharf_shared_memory::RegionOptions::new().domain(domain);
/// use wharf_shared_memory::{LockError, Mutex, Once, Region, Shared};
///
/// #[derive(Shared)]
/// #[repr(C)]
/// struct Primes {
///     filled: Once,
///     table: Mutex<[u32; 4]>,
/// }
///
/// let primes: Region<Primes> = options.open_or_create("primes")?;
/// // Every process does this; one of them does the work, and the others wait for it.
/// let mine = primes.filled.call(|_attempt| {
///     // Whoever died at this held the table, too: it is taken as it is, and filled from the start.
///     let table = primes.table.lock().or_else(LockError::repaired);
///     *table.expect("the region is attached for writing") = [2, 3, 5, 7];
/// })?;
/// assert!(mine && primes.filled.is_done());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # When the one at work dies
///
/// Killed, or by a panic: the work is not done. The next one, waiting already or coming later, does it, and is told
/// [`Attempt::AfterDeath`]. A waiter notices the death within 50 ms. One that is merely stopped stays the one at work.
///
/// A lock that the work takes may have been held by the dead one as well, and says `OwnerDied` then: work that panics at that
/// is never done by anybody. Repair it inside the work, as above.
///
/// # Limits
///
/// Not re-entrant: work that calls the same `Once` waits for itself. It cannot be undone: for work that is done again and
/// again, use a `Mutex`.
#[derive(Debug)]
#[repr(transparent)]
pub struct Once {
    state: State,
}

// SAFETY: zero bytes are a free lock over work that is not done; any value of either word is valid. Both are atomic, there
// is no address in it, dropping it does nothing, and the layout describes its two words.
unsafe impl Shared for Once {
    const LAYOUT: Layout =
        Layout::cell("Once", &[1, LOCK_VERSION], Self::FIELDS, size_of::<Self>(), align_of::<Self>());
    const FIELDS: &'static [Field] = &[];
}

impl Default for Once {
    fn default() -> Self {
        Once::new()
    }
}

impl Once {
    /// Nothing is done, to be put into a region.
    pub const fn new() -> Once {
        Once { state: State::new() }
    }

    /// Whether the work is done. All that it wrote can be seen then. One load.
    #[inline]
    pub fn is_done(&self) -> bool {
        self.state.is_done()
    }

    /// Does the work, or waits while a live process does it. True if it was this call that did it.
    #[inline]
    pub fn call(&self, work: impl FnOnce(Attempt)) -> Result<bool, LockFailure> {
        if self.is_done() { Ok(false) } else { self.call_with(Guarded::lock, work) }
    }

    /// The same, waiting at most `patience` for another one that does it: then [`LockFailure::Timeout`]. How long the work
    /// itself takes is not limited.
    pub fn call_timeout(&self, patience: Duration, work: impl FnOnce(Attempt)) -> Result<bool, LockFailure> {
        if self.is_done() { Ok(false) } else { self.call_with(|lock| lock.lock_timeout(patience), work) }
    }

    /// The same without waiting: [`LockFailure::WouldBlock`] if another one is at work and is not proved dead.
    pub fn try_call(&self, work: impl FnOnce(Attempt)) -> Result<bool, LockFailure> {
        if self.is_done() { Ok(false) } else { self.call_with(Guarded::try_lock, work) }
    }

    /// Waits until somebody has done the work, without offering to do it. Works in a region attached for reading only, too.
    ///
    /// # When the one at work dies
    ///
    /// Nothing happens here: it waits on, for the next one that does the work.
    pub fn wait(&self) -> Result<(), LockFailure> {
        self.wait_until(None)
    }

    /// The same, at most for `patience`: then [`LockFailure::Timeout`].
    pub fn wait_timeout(&self, patience: Duration) -> Result<(), LockFailure> {
        self.wait_until(Some(Deadline::after(patience)))
    }

    #[cold]
    fn call_with<'a>(
        &'a self,
        take: impl FnOnce(Guarded<'a, ()>) -> Result<MutexGuard<'a, ()>, LockError<'a, ()>>,
        work: impl FnOnce(Attempt),
    ) -> Result<bool, LockFailure> {
        // SAFETY: a value of no bytes is valid at any address that is not zero, and nobody can touch it.
        let lock = unsafe { Guarded::new(self.state.lock(), NonNull::dangling(), ObjectKind::Once) };
        let turn = match take(lock) {
            Ok(turn) => Turn::Sound(turn),
            Err(LockError::OwnerDied(turn)) => Turn::AfterDeath(turn),
            Err(other) => return Err(other.failure()),
        };
        let mine = !self.is_done();
        if mine {
            wharf_sys::crash_point!("once.call.begun");
            // A panic drops the guard and leaves the lock inconsistent, as a death would.
            work(turn.attempt());
            wharf_sys::crash_point!("once.call.worked");
            self.state.finish(|word| {
                wake(word, u32::MAX);
            });
        }
        // In order: the work is done, whoever did it.
        turn.end();
        Ok(mine)
    }

    fn wait_until(&self, deadline: Option<Deadline>) -> Result<(), LockFailure> {
        if self.is_done() {
            return Ok(());
        }
        let attachment = participant::lookup(self).ok_or(LockFailure::NotInRegion)?;
        let me = match attachment.access() {
            Access::Member(me) => me,
            // It writes nothing, so anybody may.
            Access::ReadOnly | Access::Forked => NOBODY,
        };
        let wanted = Wanted::new(ObjectKind::Once, Mode::Notice, self);
        let patience = Patience::new(attachment, me, deadline, wanted);
        if self.state.wait(&patience) { Ok(()) } else { Err(LockFailure::Timeout) }
    }
}

impl Look for Once {
    fn look(&self) -> Seen {
        look_at(ObjectKind::Once, self, &self.state.words())
    }
}

/// The lock between those who would do the work, held.
enum Turn<'a> {
    Sound(MutexGuard<'a, ()>),
    AfterDeath(OwnerDiedGuard<'a, ()>),
}

impl Turn<'_> {
    fn attempt(&self) -> Attempt {
        match self {
            Turn::Sound(_) => Attempt::First,
            Turn::AfterDeath(_) => Attempt::AfterDeath,
        }
    }

    fn end(self) {
        match self {
            Turn::Sound(turn) => drop(turn),
            Turn::AfterDeath(turn) => drop(turn.repaired()),
        }
    }
}
