//! Ctrl-C and its like, told to whoever waits, so that everything that is open is closed before the command ends by it.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use signal_hook::consts::SIGTERM;
use signal_hook::{flag, low_level};
use wharf::{Endpoint, Readable, Selector};
use wharf_sys::clock::Deadline;
use wharf_sys::poll::{self, Interest};
use wharf_sys::shortage::told;
use wharf_sys::signal;

use crate::failure::Failure;

/// How long a wait that cannot hear of signals lasts at most: as long as Ctrl-C may take.
pub(crate) const SLICE: Duration = Duration::from_millis(100);

/// How long after a command of ours that was told to end it is waited for the same to be told to us.
const MOMENT: Duration = Duration::from_millis(500);

/// What the first watch is told, for whoever writes and has no watch at hand.
static FIRST: OnceLock<Watched> = OnceLock::new();

struct Watched {
    signal: Arc<AtomicUsize>,
    told: OwnedFd,
}

/// What ended a wait for room.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Room {
    /// There is some, or an error to be found.
    There,
    /// This signal came first.
    Signal(i32),
    /// The time ran out first.
    Timeout,
}

/// The signals that end the command. The first one is told; a second one ends it where it stands. What was ignored when the command
/// was started, as under `nohup`, stays so.
pub(crate) struct Ending {
    /// The signal that came, or 0.
    signal: Arc<AtomicUsize>,
    /// Whether a signal ends the command where it stands.
    at_once: Arc<AtomicBool>,
    /// Readable from then on: nobody reads it.
    told: Readable<UnixStream>,
}

impl Ending {
    /// From now on these signals are told here.
    pub(crate) fn watch() -> Result<Ending, Failure> {
        let watch = || -> io::Result<Ending> {
            let (told, tell) = UnixStream::pair()?;
            let (signal, at_once) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
            for &number in signal::ending() {
                // In this order: from the first line on no signal ends the command by itself, so that one is noted first. The first
                // signal finds `at_once` false, and sets it for the second.
                flag::register_usize(number, Arc::clone(&signal), usize::try_from(number).unwrap_or_default())?;
                low_level::pipe::register(number, tell.try_clone()?)?;
                flag::register_conditional_default(number, Arc::clone(&at_once))?;
                flag::register(number, Arc::clone(&at_once))?;
            }
            let first = Watched { signal: Arc::clone(&signal), told: told.try_clone()?.into() };
            let _later_ones_are_told_as_well = FIRST.set(first);
            Ok(Ending { signal, at_once, told: Readable(told) })
        };
        let ending = watch().map_err(|error| Failure::Failed(format!("cannot watch for Ctrl-C: {}", told(&error))))?;
        // One that came in between was noted, and perhaps not told.
        ending.check()?;
        Ok(ending)
    }

    /// What is ready from the first signal on.
    pub(crate) fn endpoint(&mut self) -> &mut dyn Endpoint {
        &mut self.told
    }

    /// Fails with the signal that came.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        match self.signal.load(Ordering::Relaxed) {
            0 => Ok(()),
            signal => Err(Failure::Signal(i32::try_from(signal).unwrap_or(SIGTERM))),
        }
    }

    /// From now on a signal ends the command where it stands: it has nothing to close.
    pub(crate) fn nothing_to_close(&self) -> Result<(), Failure> {
        self.at_once.store(true, Ordering::Relaxed);
        self.check()
    }

    /// Whether a signal is told here first.
    pub(crate) fn is_told(&self) -> bool {
        !self.at_once.load(Ordering::Relaxed)
    }

    /// Does what has nothing to close; meanwhile a signal ends the command where it stands. Whoever connects has nothing but a pair of
    /// FIFOs, over `pipe:`, and what a signal leaves of these the next one there removes (docs/recovery.md).
    pub(crate) fn meanwhile<T>(&self, work: impl FnOnce() -> T) -> Result<T, Failure> {
        self.nothing_to_close()?;
        let done = work();
        self.at_once.store(false, Ordering::Relaxed);
        Ok(done)
    }

    /// Waits so long; a signal ends it.
    pub(crate) fn pause(&mut self, limit: Duration) -> Result<(), Failure> {
        Selector::new().wait_timeout(&mut [(&mut self.told, ())], limit).map_err(cannot_wait)?;
        self.check()
    }

    /// Waits for a signal.
    pub(crate) fn wait(&mut self) -> Result<(), Failure> {
        // Ends with the signal: its byte comes after it is noted.
        loop {
            Selector::new().wait(&mut [(&mut self.told, ())]).map_err(cannot_wait)?;
            self.check()?;
        }
    }

    /// Waits until this is ready, so long at most; says whether it is. A signal ends it.
    pub(crate) fn wait_with_for(&mut self, other: &mut dyn Endpoint, limit: Duration) -> Result<bool, Failure> {
        let both: &mut [(&mut dyn Endpoint, bool)] = &mut [(&mut self.told, false), (other, true)];
        let ready = Selector::new().wait_timeout(both, limit).map_err(cannot_wait)?;
        self.check()?;
        Ok(ready == Some(true))
    }

    /// Waits until this is ready; a signal ends it.
    pub(crate) fn wait_with(&mut self, other: &mut dyn Endpoint) -> Result<(), Failure> {
        self.wait_for_any(&mut [other], None)
    }

    /// Waits until one of these is ready, at most so long; a signal ends it.
    pub(crate) fn wait_for_any(
        &mut self,
        others: &mut [&mut dyn Endpoint],
        limit: Option<Duration>,
    ) -> Result<(), Failure> {
        let mut list: Vec<(&mut dyn Endpoint, ())> = vec![(&mut self.told, ())];
        list.extend(others.iter_mut().map(|other| -> (&mut dyn Endpoint, ()) { (other, ()) }));
        let mut selector = Selector::new();
        match limit {
            None => selector.wait(&mut list).map_err(cannot_wait)?,
            Some(limit) => selector.wait_timeout(&mut list, limit).map_err(cannot_wait)?.unwrap_or(()),
        }
        self.check()
    }
}

/// Whether a signal has come; for whoever has no watch at hand. What is sent to a whole group or service may reach a command of ours a
/// moment before us: `status` says how one has ended, where that is known.
pub(crate) fn has_come_beside(status: Option<ExitStatus>) -> bool {
    let Some(first) = FIRST.get() else { return false };
    let limit = if status.is_none_or(was_told_to_end) { MOMENT } else { Duration::ZERO };
    // Its byte comes after it is noted, and nobody reads it. Where it cannot be waited for, what was noted counts.
    let _ = poll::wait(&[(first.told.as_fd(), Interest::READ)], Some(Deadline::after(limit)));
    first.signal.load(Ordering::Relaxed) != 0
}

/// Whether it has ended by a signal that ends us, too; a shell says so of what it runs by its own exit code.
fn was_told_to_end(status: ExitStatus) -> bool {
    let signal = status.signal().or(status.code().map(|code| code - 128));
    signal.is_some_and(|it| signal::ending().contains(&it))
}

/// Waits until this can be written, until the deadline at most; a signal ends it, if they are watched at all.
pub(crate) fn wait_for_room(out: BorrowedFd<'_>, deadline: Option<Deadline>) -> io::Result<Room> {
    let first = FIRST.get();
    let told = first.map(|it| (it.told.as_fd(), Interest::READ));
    let all: Vec<_> = [(out, Interest::WRITE)].into_iter().chain(told).collect();
    let ready = poll::wait(&all, deadline)?;
    if ready.any(0) {
        return Ok(Room::There);
    }
    // Its byte comes after it is noted.
    match first.map_or(0, |it| it.signal.load(Ordering::Relaxed)) {
        0 => Ok(Room::Timeout),
        signal => Ok(Room::Signal(i32::try_from(signal).unwrap_or(SIGTERM))),
    }
}

fn cannot_wait(error: io::Error) -> Failure {
    Failure::Failed(format!("cannot wait: {}", told(&error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_may_have_been_told_to_end() {
        let told = |status| was_told_to_end(ExitStatus::from_raw(status));
        // By signal 15, and by exit code 143; by signal 9, and by exit codes 0, 1 and 15.
        assert!(told(15) && told(143 << 8));
        assert!(!told(9) && !told(0) && !told(1 << 8) && !told(15 << 8));
    }
}
