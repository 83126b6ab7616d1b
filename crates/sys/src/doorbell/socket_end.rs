//! Our end of a connected socket: every call says itself whether it waits, so shared flags do not matter.

use std::os::fd::BorrowedFd;

use rustix::io::{Errno, retry_on_intr};
use rustix::net::{RecvFlags, SendFlags, recv, send};

/// Sends one byte; never waits, never raises a signal.
pub(super) fn write(fd: BorrowedFd<'_>) -> Result<usize, Errno> {
    retry_on_intr(|| send(fd, &[1], SendFlags::DONTWAIT | SendFlags::NOSIGNAL))
}

/// Receives what is there, waiting when nothing is, unless the description is set not to wait.
pub(super) fn read(fd: BorrowedFd<'_>, bytes: &mut [u8]) -> Result<usize, Errno> {
    retry_on_intr(|| recv(fd, &mut *bytes, RecvFlags::empty()).map(|(len, _)| len))
}

/// Receives what is there and never waits.
pub(super) fn read_without_waiting(fd: BorrowedFd<'_>, bytes: &mut [u8]) -> Result<usize, Errno> {
    retry_on_intr(|| recv(fd, &mut *bytes, RecvFlags::DONTWAIT).map(|(len, _)| len))
}
