//! Bytes into a pipe without a signal, and out of it.

use std::io::{IoSlice, IoSliceMut};
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicU8, Ordering};

use rustix::io::{Errno, ReadWriteFlags, retry_on_intr};

use super::sigpipe;

/// The position argument that means "the current one", the only one that a pipe has.
const CURRENT: u64 = u64::MAX;

/// `RWF_NOSIGNAL`: do not raise SIGPIPE (Linux 6.18).
const NOSIGNAL: ReadWriteFlags = ReadWriteFlags::from_bits_retain(0x100);

const UNKNOWN: u8 = 0;
const OFFERED: u8 = 1;
const MISSING: u8 = 2;

/// Whether this kernel offers [`NOSIGNAL`].
static NOSIGNAL_STATE: AtomicU8 = AtomicU8::new(UNKNOWN);

/// Writes as much of the parts as there is room for; up to [`ATOMIC`](super::ATOMIC) bytes go whole or not at all. `fd` is
/// set not to wait, by us, on a description of our own.
#[inline]
pub(crate) fn write(fd: BorrowedFd<'_>, parts: &[IoSlice<'_>]) -> Result<usize, Errno> {
    // Relaxed: the flag orders nothing, and two threads may both find out.
    if NOSIGNAL_STATE.load(Ordering::Relaxed) != MISSING {
        match retry_on_intr(|| rustix::io::pwritev2(fd, parts, CURRENT, NOSIGNAL)) {
            Err(Errno::OPNOTSUPP | Errno::INVAL | Errno::NOSYS) => {
                NOSIGNAL_STATE.store(MISSING, Ordering::Relaxed);
            }
            other => {
                if NOSIGNAL_STATE.load(Ordering::Relaxed) == UNKNOWN {
                    NOSIGNAL_STATE.store(OFFERED, Ordering::Relaxed);
                }
                return other;
            }
        }
    }
    sigpipe::held_back(|| retry_on_intr(|| rustix::io::writev(fd, parts)))
}

/// The same for a pipe that this process itself holds open for reading, so that no write can raise a signal.
#[inline]
pub(crate) fn write_held_open(fd: BorrowedFd<'_>, parts: &[IoSlice<'_>]) -> Result<usize, Errno> {
    match parts {
        [part] => write_one_held_open(fd, part),
        parts => retry_on_intr(|| rustix::io::writev(fd, parts)),
    }
}

/// The same of one part.
#[inline]
pub(crate) fn write_one_held_open(fd: BorrowedFd<'_>, bytes: &[u8]) -> Result<usize, Errno> {
    retry_on_intr(|| rustix::io::write(fd, bytes))
}

/// Reads what is there into the parts, waiting when nothing is, unless the description is set not to wait.
#[inline]
pub(crate) fn read(fd: BorrowedFd<'_>, parts: &mut [IoSliceMut<'_>]) -> Result<usize, Errno> {
    match parts {
        [part] => read_one(fd, part),
        parts => retry_on_intr(|| rustix::io::readv(fd, parts)),
    }
}

/// The same into one part.
#[inline]
pub(crate) fn read_one(fd: BorrowedFd<'_>, into: &mut [u8]) -> Result<usize, Errno> {
    retry_on_intr(|| rustix::io::read(fd, &mut *into))
}
