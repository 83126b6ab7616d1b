//! An end of a pipe: one byte in without a signal, bytes out.

use std::io::IoSlice;
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

/// Writes one byte. `fd` is set not to wait, by us, on a description of our own.
pub(super) fn write(fd: BorrowedFd<'_>) -> Result<usize, Errno> {
    // Relaxed: the flag orders nothing, and two threads may both find out.
    if NOSIGNAL_STATE.load(Ordering::Relaxed) != MISSING {
        let byte = [IoSlice::new(&[1])];
        match retry_on_intr(|| rustix::io::pwritev2(fd, &byte, CURRENT, NOSIGNAL)) {
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
    sigpipe::held_back(|| retry_on_intr(|| rustix::io::write(fd, &[1])))
}

/// Reads what is there, waiting when nothing is, unless the description is set not to wait.
pub(super) fn read(fd: BorrowedFd<'_>, bytes: &mut [u8]) -> Result<usize, Errno> {
    retry_on_intr(|| rustix::io::read(fd, &mut *bytes))
}
