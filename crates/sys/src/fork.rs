//! What a fork must not carry into the child: descriptors whose closing proves that the parent is gone.
//!
//! A forked child inherits every descriptor and with it every lock and every half of a socket or pipe, so
//! the parent would look alive after its death. Descriptors kept in a [`ForkClosedFd`] are closed in the
//! child before `fork` returns there, and [`epoch`] changes, so that whatever caches something about
//! "this process" can notice.
//!
//! Not covered: a child made by `_Fork`, a raw `clone`, or `vfork` runs no handlers. `vfork` and
//! `posix_spawn` do not matter (the child executes another program at once, and every descriptor is
//! close-on-exec); a raw `clone` without `exec` must not be used together with this library.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd};
use std::sync::Once;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Descriptor numbers below this are tracked, one bit each. Beyond it (a process with more than 65,536
/// open descriptors) a descriptor is an ordinary one: it stays open in a forked child until dropped there.
const TRACKED: usize = 65_536;

static EPOCH: AtomicU32 = AtomicU32::new(0);
static WATCHED: Once = Once::new();
static OPEN: [AtomicU64; TRACKED / 64] = [const { AtomicU64::new(0) }; TRACKED / 64];

/// How many forks lie between the first watched process and this one. It changes in a forked child
/// before `fork` returns there; one load.
///
/// Counts only after [`watch`], which every constructor of this crate that depends on it calls.
#[inline]
pub fn epoch() -> u32 {
    // Relaxed: it is written only in a child that has a single thread, before anything else runs there.
    EPOCH.load(Ordering::Relaxed)
}

/// Starts counting forks, once for the process. Cheap when already done.
pub fn watch() {
    WATCHED.call_once(|| {
        // SAFETY: `in_child` has the required signature and calls only what is safe after a fork: loads
        // and stores of static atomics, and the system calls `close` and `membarrier`.
        let failed = unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
        // The only documented failure is ENOMEM at start-up, for an allocation of a few bytes. Nothing
        // can be promised about forks then, and the liveness checks by pid still hold.
        debug_assert_eq!(failed, 0, "pthread_atfork");
    });
}

extern "C" fn in_child() {
    EPOCH.fetch_add(1, Ordering::Relaxed);
    // Bounded by the table: 1,024 words.
    for (index, word) in OPEN.iter().enumerate() {
        let mut bits = word.swap(0, Ordering::Relaxed);
        // Bounded by the 64 bits of a word.
        while bits != 0 {
            let fd = (index * 64) as RawFd + bits.trailing_zeros() as RawFd;
            bits &= bits - 1;
            // SAFETY: the number was registered by a `ForkClosedFd`, which owned it in the parent and
            // never closes nor lends it in a process with another epoch: the child's copy is ours alone.
            unsafe { libc::close(fd) };
        }
    }
    crate::barrier::renew_after_fork();
}

/// A descriptor that belongs to the process that made it: a forked child closes its copy at once.
///
/// In the child the value still exists, but [`get`](ForkClosedFd::get) refuses and dropping it does
/// nothing: the number may long belong to another file.
#[derive(Debug)]
pub struct ForkClosedFd {
    fd: Option<OwnedFd>,
    epoch: u32,
    /// Whether its number is in the table, so that a forked child closes it.
    tracked: bool,
}

impl ForkClosedFd {
    /// Takes over `fd`.
    pub fn new(fd: OwnedFd) -> ForkClosedFd {
        watch();
        let tracked = note(fd.as_raw_fd());
        ForkClosedFd { fd: Some(fd), epoch: epoch(), tracked }
    }

    /// The descriptor, or an error in a forked child.
    #[inline]
    pub fn get(&self) -> io::Result<BorrowedFd<'_>> {
        match &self.fd {
            Some(fd) if self.is_ours() => Ok(fd.as_fd()),
            _ => Err(forked()),
        }
    }

    /// Whether this is still the process that made it.
    #[inline]
    pub fn is_ours(&self) -> bool {
        self.epoch == epoch()
    }

    /// Gives the descriptor up as an ordinary one, or an error in a forked child.
    pub fn into_fd(mut self) -> io::Result<OwnedFd> {
        if !self.is_ours() {
            return Err(forked());
        }
        let fd = self.fd.take().ok_or_else(forked)?;
        forget(fd.as_raw_fd());
        Ok(fd)
    }
}

impl Drop for ForkClosedFd {
    fn drop(&mut self) {
        let Some(fd) = self.fd.take() else { return };
        if self.is_ours() {
            // First the note, then the descriptor: a fork in between leaves the child one descriptor too
            // many. The other way round the child could close a file that is not ours.
            forget(fd.as_raw_fd());
            drop(fd);
        } else if !self.tracked {
            // Not tracked, so the child still holds its copy.
            drop(fd);
        } else {
            // Closed already when the child began; the number may have another owner by now.
            let _closed_at_fork = fd.into_raw_fd();
        }
    }
}

impl From<OwnedFd> for ForkClosedFd {
    fn from(fd: OwnedFd) -> ForkClosedFd {
        ForkClosedFd::new(fd)
    }
}

/// Runs `body` in a forked child, for tests; whether it returned `true`. A child that does not end within 10 s is killed.
///
/// Other threads are missing in the child: whatever lock one of them holds is held there for ever.
#[cfg(feature = "crash-points")]
pub fn in_forked_child(body: impl FnOnce() -> bool) -> io::Result<bool> {
    use crate::clock::Deadline;
    use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
    use std::time::Duration;

    // SAFETY: the C library makes its allocator usable in a forked child, and the child leaves by `_exit`.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(body));
        // SAFETY: ends the child at once, without handlers that belong to the parent.
        unsafe { libc::_exit(i32::from(!matches!(done, Ok(true)))) };
    }
    let Some(child) = Pid::from_raw(child).filter(|_| child > 0) else { return Err(io::Error::last_os_error()) };
    let deadline = Deadline::after(Duration::from_secs(10));
    // Ends with the child, which is killed at the deadline; each round takes a millisecond.
    loop {
        if let Some((_, status)) = waitpid(Some(child), WaitOptions::NOHANG)? {
            return Ok(status.exit_status() == Some(0));
        }
        if deadline.passed() {
            let _ = kill_process(child, Signal::KILL);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn place(fd: RawFd) -> Option<(&'static AtomicU64, u64)> {
    let number = usize::try_from(fd).ok()?;
    let word = OPEN.get(number / 64)?;
    Some((word, 1 << (number % 64)))
}

fn note(fd: RawFd) -> bool {
    let Some((word, bit)) = place(fd) else { return false };
    // Relaxed, here and in `forget`: a fork in another thread copies memory as it is. Either the bit is in
    // the copy, or the fork came before the registration.
    word.fetch_or(bit, Ordering::Relaxed);
    true
}

fn forget(fd: RawFd) {
    if let Some((word, bit)) = place(fd) {
        word.fetch_and(!bit, Ordering::Relaxed);
    }
}

fn forked() -> io::Error {
    io::Error::other(
        "this descriptor belongs to the process before the fork and is closed in the child; \
         connect or attach again in the child",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A descriptor as a forked child finds it, which is one epoch further than its maker.
    fn inherited(name: &str, tracked: bool) -> io::Result<ForkClosedFd> {
        let fd = crate::memory::memfd(name)?;
        Ok(ForkClosedFd { fd: Some(fd), epoch: epoch().wrapping_sub(1), tracked })
    }

    /// By name, because another test may get the number of a closed one.
    fn is_open(name: &str) -> io::Result<bool> {
        let open = std::fs::read_dir("/proc/self/fd")?;
        Ok(open.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok()).any(|file| {
            let file = file.to_string_lossy();
            file.contains(name)
        }))
    }

    #[test]
    fn only_numbers_within_the_table_are_tracked() {
        assert!(place(0).is_some() && place(65_535).is_some());
        assert!(place(65_536).is_none() && place(i32::MAX).is_none() && place(-1).is_none());
    }

    #[test]
    fn one_that_the_child_did_not_close_is_closed_when_it_is_dropped_there() -> io::Result<()> {
        let fd = inherited("untracked", false)?;
        assert!(fd.get().is_err() && is_open("untracked")?);
        drop(fd);
        assert!(!is_open("untracked")?);
        Ok(())
    }

    #[test]
    fn one_that_the_child_closed_is_not_closed_again() -> io::Result<()> {
        // In this process it is still open; in a child the number could be anybody's.
        drop(inherited("dropped-there", true)?);
        assert!(is_open("dropped-there")?);
        assert!(inherited("given-up-there", true)?.into_fd().is_err());
        assert!(is_open("given-up-there")?);
        Ok(())
    }
}
