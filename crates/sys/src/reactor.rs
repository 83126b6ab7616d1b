//! Descriptors that a tokio runtime watches (feature `tokio`).
#![allow(unsafe_code)]

use std::io;
use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::task::{Context, Poll};

use tokio::io::Interest as Readiness;
use tokio::io::unix::AsyncFd;
use tokio::runtime::Handle;

use crate::fork::ForkClosedFd;
use crate::poll::{Found, Interest};

/// A descriptor of its own for a file, watched by the runtime in which it was made.
///
/// Whoever watches one file twice needs that: a runtime knows each number once. A forked child closes it.
#[derive(Debug)]
pub struct Watched {
    /// Taken out by the drop.
    watch: Option<AsyncFd<Copy>>,
    interest: Interest,
}

#[derive(Debug)]
struct Copy {
    fd: ForkClosedFd,
    number: RawFd,
}

impl AsRawFd for Copy {
    fn as_raw_fd(&self) -> RawFd {
        self.number
    }
}

/// The runtime of this task.
///
/// # Errors
/// Outside of a runtime.
pub fn runtime() -> io::Result<Handle> {
    Handle::try_current().map_err(|_| {
        io::Error::other("expected to be in a task of a tokio runtime, found none: use the blocking forms elsewhere")
    })
}

impl Watched {
    /// Watches the file of `fd` from now on, for what `interest` names; the end always counts.
    ///
    /// # Errors
    /// Outside of a runtime, and what the system refuses.
    ///
    /// # Panics
    /// In a runtime that was built without its driver for descriptors (`enable_io`), by the runtime itself.
    pub fn new(fd: BorrowedFd<'_>, interest: Interest) -> io::Result<Watched> {
        runtime()?;
        let copy = fd.try_clone_to_owned()?;
        let copy = Copy { number: copy.as_raw_fd(), fd: ForkClosedFd::new(copy) };
        let readiness = match (interest.contains(Interest::READ), interest.contains(Interest::WRITE)) {
            (true, true) => Readiness::READABLE | Readiness::WRITABLE,
            (false, true) => Readiness::WRITABLE,
            (_, false) => Readiness::READABLE,
        };
        // SAFETY: `copy` owns the descriptor whose number it says, always the same, and is dropped with the watch only. A
        // forked child, which has closed it, reaches neither the watch nor its drop: both ask first whose it is.
        let watch = unsafe { AsyncFd::register_with_interest(copy, readiness) }?;
        Ok(Watched { watch: Some(watch), interest })
    }

    /// Whether it is watched for all of this.
    pub fn covers(&self, interest: Interest) -> bool {
        self.interest.contains(interest)
    }

    /// What has become ready since the call before. The task of this context is woken when more does.
    ///
    /// It tells of changes: what was ready and stays so is told once.
    pub fn poll(&self, context: &mut Context<'_>) -> Found {
        let mut found = Found::default();
        let Some(watch) = self.watch.as_ref().filter(|watch| watch.get_ref().fd.is_ours()) else { return found };
        let writing = self.interest.contains(Interest::WRITE);
        // Each round clears what was told; the runtime ends it when this task has used up its turn.
        while (!writing || self.interest.contains(Interest::READ))
            && let Poll::Ready(Ok(mut guard)) = watch.poll_read_ready(context)
        {
            found.readable = true;
            guard.clear_ready();
        }
        while writing && let Poll::Ready(Ok(mut guard)) = watch.poll_write_ready(context) {
            found.writable = true;
            guard.clear_ready();
        }
        found
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if let Some(watch) = self.watch.take_if(|watch| !watch.get_ref().fd.is_ours()) {
            // The number may be another's by now.
            mem::forget(watch);
        }
    }
}
