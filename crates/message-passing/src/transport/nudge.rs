//! How the half of a side that reads what is meant for both wakes the other one, where that one sleeps at descriptors.
//!
//! Two halves of a side may share what their peer says: rings on a lifeline, words in a stream. Whoever reads finds what is
//! the other's, keeps it where both look, and nudges. A half that sleeps in a call of its own is woken by a condition
//! variable; one that sleeps at descriptors, together with other ends, needs a descriptor for the same.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use wharf_sys::fork::ForkClosedFd;
use wharf_sys::socket::{self, Kind};

/// See the top of the file. It costs two descriptors from the first sleep on, and none before.
#[derive(Debug, Default)]
pub(crate) struct Nudge {
    ends: OnceLock<Ends>,
    /// Somebody sleeps, and has not been nudged.
    armed: AtomicBool,
}

#[derive(Debug)]
struct Ends {
    sleeping: ForkClosedFd,
    nudging: ForkClosedFd,
}

impl Nudge {
    /// From now on [`give`](Self::give) wakes. The caller then looks at what both halves share, under its lock: what was
    /// kept there before is seen, and who keeps something later sees that this is armed.
    pub(crate) fn arm(&self) -> io::Result<()> {
        if self.ends.get().is_none() {
            let (sleeping, nudging) = socket::pair(Kind::SeqPacket)?;
            let ends = |end: OwnedFd| ForkClosedFd::new(end);
            // Another thread cannot be here: a half has one owner.
            let _ours = self.ends.set(Ends { sleeping: ends(sleeping), nudging: ends(nudging) });
        }
        // Relaxed: the lock of what is shared, taken next by this thread and last by whoever gives, orders it.
        self.armed.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Wakes whoever sleeps; called after something was kept, and the lock given back. Once is enough for one sleep.
    pub(crate) fn give(&self) {
        // Relaxed: see `arm`. The look in front keeps the line shared where nobody ever sleeps.
        if self.armed.load(Ordering::Relaxed)
            && self.armed.swap(false, Ordering::Relaxed)
            && let Some(ends) = self.ends.get()
            && let Ok(fd) = ends.nudging.get()
        {
            // One that finds no room is not the first, so the sleeper wakes all the same.
            let _full = socket::send(fd, &[1]);
        }
    }

    /// Where to sleep, once armed.
    pub(crate) fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.ends.get().and_then(|ends| ends.sleeping.get().ok())
    }

    /// Takes the nudges that were given.
    pub(crate) fn take(&self) {
        if let Some(fd) = self.fd() {
            // At most one was given since the last sleep, and one more may be on its way.
            let _none = socket::recv(fd, &mut [0; 1]);
        }
    }

    /// Nobody sleeps any more.
    pub(crate) fn disarm(&self) {
        // Relaxed: one given too many wakes the next sleep in vain.
        self.armed.store(false, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use wharf_sys::clock::Deadline;
    use wharf_sys::poll::{self, Interest};

    use super::*;

    fn is_given(nudge: &Nudge, limit: Duration) -> bool {
        let fd = nudge.fd().unwrap();
        !poll::wait(&[(fd, Interest::READ)], Some(Deadline::after(limit))).unwrap().is_empty()
    }

    #[test]
    fn it_wakes_whoever_armed_it_once() {
        let nudge = Nudge::default();
        // Nobody sleeps: it costs nothing, and is not kept for later.
        nudge.give();
        assert!(nudge.fd().is_none());
        nudge.arm().unwrap();
        assert!(!is_given(&nudge, Duration::ZERO));
        std::thread::scope(|scope| {
            let sleeping = scope.spawn(|| is_given(&nudge, Duration::from_secs(10)));
            nudge.give();
            nudge.give();
            assert!(sleeping.join().unwrap());
        });
        nudge.take();
        assert!(!is_given(&nudge, Duration::ZERO), "twice for one sleep");
        nudge.arm().unwrap();
        nudge.disarm();
        nudge.give();
        assert!(!is_given(&nudge, Duration::ZERO), "nobody sleeps any more");
    }
}
