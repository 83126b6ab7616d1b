//! The object that users hold: a place for each member, and the word on which they wait.
#![allow(unsafe_code)]

use std::fmt;
use std::mem::offset_of;
use std::ptr::NonNull;
use std::time::Duration;

use super::error::{BarrierError, Dead};
use super::member::{Member, wake_all};
use super::rounds::{MAX_MEMBERS, NoPlace, Rounds};
use crate::atomic::{AtomicU32, Ordering};
use crate::participant::{self, Attachment, Membership};
use crate::plain::{Field, Layout};
use crate::sync::caller::caller;
use crate::sync::guard::{Guarded, MutexGuard};
use crate::sync::look::{Hold, Look, Seen, holder, look_at};
use crate::sync::owner::Owner;
use crate::sync::patience::{Patience, Wanted};
use crate::sync::raw::{LOCK_VERSION, RawLock};
use crate::sync::surroundings::Surroundings;
use crate::sync::{LockError, LockFailure, Mode, ObjectKind};
use crate::{Plain, Shared};

/// A place where `N` members wait until all of them have arrived; then all go on, and the next round begins.
///
/// ```
/// # let dir = tempfile::tempdir()?;
/// # let domain = wharf_sys::directory::Domain::at(&dir.path().join("names"))?;
/// # let options = wharf_shared_memory::RegionOptions::new().domain(domain);
/// use wharf_shared_memory::{Barrier, BarrierError, Region};
///
/// let step: Region<Barrier<2>> = options.open_or_create("step")?;
/// let (mut here, mut there) = (step.join()?, step.join()?);
/// std::thread::scope(|scope| {
///     // Usually another process.
///     scope.spawn(move || there.wait());
///     match here.wait() {
///         Ok(_last) => println!("both are here"),
///         Err(BarrierError::Broken { dead }) => println!("{dead} will never come"),
///         Err(other) => println!("{other}"),
///     }
/// });
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # When a member dies
///
/// The barrier breaks instead of waiting for ever: all who wait get [`BarrierError::Broken`], which names the dead member,
/// within 50 ms of the kernel closing its files (with more than 16 members, two or three times that); so does everybody who
/// comes later, until somebody calls [`rearm`](Barrier::rearm). It makes no difference whether the dead one had arrived.
/// A round that was complete before anybody noticed is complete; then the next one breaks. A member that is stopped is not
/// dead: the others wait for it.
///
/// # When full
///
/// [`join`](Barrier::join) returns [`LockFailure::Full`] when `N` live members are there.
///
/// # Limits
///
/// At most 1,023 members. One process may have several, one for each thread that waits.
#[repr(C)]
pub struct Barrier<const N: usize> {
    state: AtomicU32,
    dead: AtomicU32,
    /// Held by whoever makes it whole.
    repair: RawLock,
    members: [AtomicU32; N],
}

// SAFETY: zero bytes are a barrier without members at which nobody has arrived and nobody repairs anything; any word is
// valid, and a count that is beyond what can be is bounded by the number of places. Everything is atomic. It holds slots
// and generations, no address, and dropping it does nothing. The layout tells how many places there are.
unsafe impl<const N: usize> Shared for Barrier<N> {
    const LAYOUT: Layout = {
        assert!(0 < N && N <= MAX_MEMBERS, "a barrier has 1 to 1023 members");
        Layout::cell("Barrier", &[2, LOCK_VERSION], Self::FIELDS, size_of::<Self>(), align_of::<Self>())
    };
    const FIELDS: &'static [Field] = &[Field::new("members", offset_of!(Self, members), <[u32; N] as Plain>::LAYOUT)];
}

impl<const N: usize> Default for Barrier<N> {
    fn default() -> Self {
        Barrier::new()
    }
}

impl<const N: usize> Barrier<N> {
    /// Without members, to be put into a region.
    pub const fn new() -> Barrier<N> {
        Barrier {
            state: AtomicU32::new(0),
            dead: AtomicU32::new(0),
            repair: RawLock::new(),
            members: [const { AtomicU32::new(0) }; N],
        }
    }

    /// Takes a place. Nobody goes on before all `N` places are taken and all members have arrived.
    ///
    /// # When a member is dead
    ///
    /// If all places are taken, one of them by a dead member, the barrier breaks: call [`rearm`](Barrier::rearm), which frees
    /// its place, and join again.
    pub fn join(&self) -> Result<Member<'_>, BarrierError> {
        let (me, attachment) = caller(self)?;
        let patience = Patience::new(attachment, me, None, self.wanted());
        let rounds = self.rounds();
        match rounds.join(me, |owner| patience.has_left(owner) || patience.is_dead(owner), wake_all) {
            Ok(at) => Ok(Member::new(rounds, at, me)),
            Err(NoPlace::Full) => Err(LockFailure::Full.into()),
            Err(NoPlace::Broken) => Err(BarrierError::Broken { dead: dead(rounds) }),
        }
    }

    /// Whether a member died and nobody has called [`rearm`](Barrier::rearm) since. A death that nobody has noticed yet does
    /// not count.
    pub fn is_broken(&self) -> bool {
        self.rounds().is_broken()
    }

    /// Makes a broken barrier whole: the places of dead members are free, and nobody counts as arrived. The living keep
    /// theirs, and whoever has not heard of the break yet still does. False if it was not broken, or another one was quicker.
    ///
    /// One does it at a time, and the others wait for it; as with a lock, one that is stopped meanwhile is waited for.
    ///
    /// # When the caller dies
    ///
    /// In the middle of it the barrier stays broken, for the next one that calls this, or waits to.
    pub fn rearm(&self) -> Result<bool, LockFailure> {
        self.rearm_with(Guarded::lock)
    }

    /// The same, waiting at most `patience` for another one that does it: then [`LockFailure::Timeout`].
    pub fn rearm_timeout(&self, patience: Duration) -> Result<bool, LockFailure> {
        self.rearm_with(|lock| lock.lock_timeout(patience))
    }

    /// The same without waiting: [`LockFailure::WouldBlock`] if another one does it and is not proved dead.
    pub fn try_rearm(&self) -> Result<bool, LockFailure> {
        self.rearm_with(Guarded::try_lock)
    }

    fn rearm_with<'a>(
        &'a self,
        take: impl FnOnce(Guarded<'a, ()>) -> Result<MutexGuard<'a, ()>, LockError<'a, ()>>,
    ) -> Result<bool, LockFailure> {
        let (me, attachment) = caller(self)?;
        // SAFETY: a value of no bytes is valid at any address that is not zero, and nobody can touch it.
        let lock = unsafe { Guarded::new(&self.repair, NonNull::dangling(), ObjectKind::Barrier) };
        // What one that died at it has left undone is done now.
        let _turn = take(lock).or_else(LockError::repaired).map_err(|error| error.failure())?;
        let patience = Patience::new(attachment, me, None, self.wanted());
        Ok(self.rounds().rearm(|owner| patience.has_left(owner) || patience.is_dead(owner)))
    }

    fn wanted(&self) -> Wanted {
        Wanted::new(ObjectKind::Barrier, Mode::Notice, self)
    }

    fn rounds(&self) -> Rounds<'_> {
        Rounds { state: &self.state, dead: &self.dead, members: &self.members }
    }
}

/// The member whose death broke a barrier.
pub(super) fn dead(rounds: Rounds<'_>) -> Dead {
    // A break always leaves a name; without one, which takes a scribbler, the first slot stands for it.
    let owner = rounds.dead().unwrap_or(Owner::new(0, 0));
    let witness = participant::lookup(rounds.state).and_then(Attachment::membership).and_then(Membership::witness);
    let found = holder(Hold { owner, mode: Mode::Notice, count: 1, thread: None }, witness.as_ref());
    Dead { slot: found.slot, generation: found.generation, pid: found.pid, program: found.program }
}

impl<const N: usize> Look for Barrier<N> {
    /// Holders are members, and whoever is making it whole.
    fn look(&self) -> Seen {
        // Acquire: before the owners' slots are looked at.
        let members = self.members.iter().map(|cell| cell.load(Ordering::Acquire));
        // Acquire: as in `is_broken`.
        let before = [self.state.load(Ordering::Acquire), 0, self.repair.word(), 0];
        let words: Vec<u32> = before.into_iter().chain(members).collect();
        look_at(ObjectKind::Barrier, self, &words)
    }
}

impl<const N: usize> fmt::Debug for Barrier<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Barrier").field("broken", &self.is_broken()).finish_non_exhaustive()
    }
}
