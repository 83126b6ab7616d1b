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
}

impl ForkClosedFd {
    /// Takes over `fd`.
    pub fn new(fd: OwnedFd) -> ForkClosedFd {
        watch();
        if let Some((word, bit)) = place(fd.as_raw_fd()) {
            // Relaxed: a fork in another thread copies memory as it is; either the bit is in the copy or
            // this fork came before the registration.
            word.fetch_or(bit, Ordering::Relaxed);
        }
        ForkClosedFd { fd: Some(fd), epoch: epoch() }
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
        } else if place(fd.as_raw_fd()).is_none() {
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

fn place(fd: RawFd) -> Option<(&'static AtomicU64, u64)> {
    let number = usize::try_from(fd).ok()?;
    let word = OPEN.get(number / 64)?;
    Some((word, 1 << (number % 64)))
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
