//! A condition variable between processes: wait, with a mutex given back, until somebody says that something changed.
#![allow(unsafe_code)]

use std::time::Duration;

use wharf_sys::clock::Deadline;

use super::caller::caller;
use super::guard::{Guarded, MutexGuard};
use super::kind::{Mode, ObjectKind};
use super::lock_error::{LockError, LockFailure};
use super::look::{Look, Seen, look_at};
use super::patience::{Patience, Wanted, wake_all};
use super::raw_condvar::{Ended, RawCondvar};
use super::sleepers::wake;
use super::surroundings::Surroundings;
use crate::Shared;
use crate::plain::Layout;

/// Slices of a wait without a look at the data: 10, 20, 40 and 50 ms, less than a sixth of a second.
const SLICES: u32 = 4;

/// Lets a process wait for a change of what a mutex guards.
///
/// ```
/// # let dir = tempfile::tempdir()?;
/// # let domain = wharf_sys::directory::Domain::at(&dir.path().join("names"))?;
/// # let options = wharf_shared_memory::RegionOptions::new().domain(domain);
/// use std::time::Duration;
/// use wharf_shared_memory::{Condvar, Mutex, Region, Shared};
///
/// #[derive(Shared)]
/// #[repr(C)]
/// struct Inbox {
///     waiting: Mutex<u64>,
///     arrived: Condvar,
/// }
///
/// let inbox: Region<Inbox> = options.create("inbox")?;
/// // One process:
/// *inbox.waiting.lock()? += 1;
/// inbox.arrived.notify_one();
/// // Another one:
/// let mut waiting = inbox.arrived.wait_while(inbox.waiting.lock()?, |waiting| *waiting == 0)?;
/// *waiting -= 1;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Look again
///
/// A wait may end without a notice, so it belongs in a loop that looks at the data, or use
/// [`wait_while`](Condvar::wait_while). It ends at the latest after a sixth of a second: that is how a notice that was
/// never given, because its process was killed just before, is made good.
///
/// # When a waiter or a notifier dies
///
/// A killed waiter takes no notice away from the others: every notice changes a number that all of them look at, at
/// least every 50 ms. A notifier killed between its change and its notice delays the waiters until they look by
/// themselves. If the holder of the mutex was killed, the wait ends with [`LockError::OwnerDied`].
///
/// # Limits
///
/// Use it with one mutex at a time, and change the data only under that mutex: a change made without it can fall between
/// a waiter's look and its sleep, and is then seen up to a sixth of a second late.
#[derive(Debug)]
#[repr(transparent)]
pub struct Condvar {
    raw: RawCondvar,
}

// SAFETY: zero bytes are a fresh condition variable, and so is any other number. It is one atomic word; it holds no address
// and dropping it does nothing.
unsafe impl Shared for Condvar {
    const LAYOUT: Layout = Layout::cell("Condvar", &[1], &[], size_of::<Self>(), align_of::<Self>());
}

impl Default for Condvar {
    fn default() -> Condvar {
        Condvar::new()
    }
}

impl Condvar {
    /// A fresh one, to be put into a region.
    pub const fn new() -> Condvar {
        Condvar { raw: RawCondvar::new() }
    }

    /// Gives the lock back, waits for a notice, and takes the lock again.
    ///
    /// It may return without a notice; see [`Condvar`].
    ///
    /// # When the holder dies
    ///
    /// Taking the lock again can end in [`LockError::OwnerDied`], as `lock` can.
    pub fn wait<'a, T: ?Sized>(&self, guard: MutexGuard<'a, T>) -> Result<MutexGuard<'a, T>, LockError<'a, T>> {
        let (lock, _ended) = self.wait_unlocked(guard, None)?;
        lock.lock()
    }

    /// [`wait`](Condvar::wait) for at most `patience`; true with the guard says that the time was up without a notice.
    /// Taking the lock again has no limit: while its holder is stopped, this does not return.
    pub fn wait_timeout<'a, T: ?Sized>(
        &self,
        guard: MutexGuard<'a, T>,
        patience: Duration,
    ) -> Result<(MutexGuard<'a, T>, bool), LockError<'a, T>> {
        let (lock, ended) = self.wait_unlocked(guard, Some(Deadline::after(patience)))?;
        Ok((lock.lock()?, ended == Ended::OutOfTime))
    }

    /// Waits as long as `condition` holds of the data.
    pub fn wait_while<'a, T: ?Sized>(
        &self,
        mut guard: MutexGuard<'a, T>,
        mut condition: impl FnMut(&mut T) -> bool,
    ) -> Result<MutexGuard<'a, T>, LockError<'a, T>> {
        // Bound: the condition, which is what the caller asked for.
        while condition(&mut guard) {
            guard = self.wait(guard)?;
        }
        Ok(guard)
    }

    /// [`wait_while`](Condvar::wait_while) for at most `patience`; true with the guard says that the condition still
    /// held when the time was up. Taking the lock again has no limit, as in [`wait_timeout`](Condvar::wait_timeout).
    pub fn wait_while_timeout<'a, T: ?Sized>(
        &self,
        mut guard: MutexGuard<'a, T>,
        patience: Duration,
        mut condition: impl FnMut(&mut T) -> bool,
    ) -> Result<(MutexGuard<'a, T>, bool), LockError<'a, T>> {
        let deadline = Deadline::after(patience);
        // Bound: the deadline.
        while condition(&mut guard) {
            if deadline.passed() {
                return Ok((guard, true));
            }
            let (lock, _ended) = self.wait_unlocked(guard, Some(deadline))?;
            guard = lock.lock()?;
        }
        Ok((guard, false))
    }

    /// Says that something changed, and wakes one of those who wait. Without any it is a load and no system call.
    ///
    /// Others may wake too, up to 50 ms later. Fails where a lock would: in a region attached for reading only, in a
    /// forked child, and outside a region.
    pub fn notify_one(&self) -> Result<(), LockFailure> {
        caller(self)?;
        self.raw.notify_one(wake);
        Ok(())
    }

    /// Says that something changed, and wakes everybody who waits. Fails as [`notify_one`](Condvar::notify_one) does.
    pub fn notify_all(&self) -> Result<(), LockFailure> {
        caller(self)?;
        self.raw.notify_all(wake_all);
        Ok(())
    }

    fn wait_unlocked<'a, T: ?Sized>(
        &self,
        guard: MutexGuard<'a, T>,
        deadline: Option<Deadline>,
    ) -> Result<(Guarded<'a, T>, Ended), LockFailure> {
        let (me, attachment) = caller(self)?;
        let patience = Patience::new(attachment, me, deadline, Wanted::new(ObjectKind::Condvar, Mode::Notice, self));
        let heard = self.raw.listen();
        wharf_sys::crash_point!("condvar.wait.listening");
        let lock = guard.give_back();
        wharf_sys::crash_point!("condvar.wait.unlocked");
        let ended = self.raw.wait(heard, SLICES, |word, heard, nap| patience.sleep(word, heard, nap));
        wharf_sys::crash_point!("condvar.wait.woken");
        Ok((lock, ended))
    }
}

/// Nobody holds it; waiters are those who wait for a notice.
impl Look for Condvar {
    fn look(&self) -> Seen {
        look_at(ObjectKind::Condvar, self, &[])
    }
}
