//! A lock on one byte of a file that the kernel releases when its holder is gone.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use crate::fork::ForkClosedFd;

/// A write lock on one byte, held by an open file description of our own.
///
/// It is released when the description is closed: on drop, or by the kernel when the process ends. A
/// forked child neither holds nor releases it.
#[derive(Debug)]
pub struct OfdLock {
    /// Always there, until `release` takes it.
    fd: Option<ForkClosedFd>,
    byte: u64,
}

impl OfdLock {
    /// Locks `byte` without waiting; `None` when another description holds it.
    ///
    /// `fd` must be open for writing and shared with nobody (see [`reopen`](crate::memory::reopen)): a
    /// copy of the descriptor in another process would keep the lock after our death.
    pub fn try_acquire(fd: OwnedFd, byte: u64) -> io::Result<Option<OfdLock>> {
        let request = request(libc::F_WRLCK, byte)?;
        // From here on a forked child closes its copy; also when the lock is not ours yet.
        let fd = ForkClosedFd::new(fd);
        match set(fd.get()?, &request) {
            Ok(()) => Ok(Some(OfdLock { fd: Some(fd), byte })),
            Err(error) if matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EACCES)) => Ok(None),
            Err(error) if error.raw_os_error() == Some(libc::EBADF) => Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                "expected a descriptor open for writing to lock with, found a read-only one; open it for writing",
            )),
            Err(error) => Err(error),
        }
    }

    /// Gives the lock up and the descriptor back, to lock another byte with.
    pub fn release(mut self) -> io::Result<OwnedFd> {
        self.unlock();
        self.fd.take().ok_or_else(spent)?.into_fd()
    }

    /// The byte that is locked.
    pub fn byte(&self) -> u64 {
        self.byte
    }

    /// The locked file, or an error in a forked child.
    pub fn fd(&self) -> io::Result<BorrowedFd<'_>> {
        self.fd.as_ref().ok_or_else(spent)?.get()
    }

    fn unlock(&self) {
        // In a forked child the descriptor is closed and this does nothing. In the holder the lock is
        // released by name as well, in case a copy of the descriptor still exists somewhere.
        if let (Ok(fd), Ok(request)) = (self.fd(), request(libc::F_UNLCK, self.byte)) {
            let _ = set(fd, &request);
        }
    }
}

impl Drop for OfdLock {
    fn drop(&mut self) {
        self.unlock();
    }
}

/// Whether a description other than that of `fd` holds a lock on `byte`. Reading is enough.
pub fn is_held_by_other(fd: impl AsFd, byte: u64) -> io::Result<bool> {
    let mut answer = request(libc::F_WRLCK, byte)?;
    // SAFETY: the pointer is to a live `flock`, which the call reads and overwrites.
    let failed = unsafe { libc::fcntl(fd.as_fd().as_raw_fd(), libc::F_OFD_GETLK, &mut answer) };
    if failed == -1 {
        return Err(io::Error::last_os_error());
    }
    Ok(i32::from(answer.l_type) != libc::F_UNLCK)
}

fn spent() -> io::Error {
    io::Error::other("this lock was released")
}

fn set(fd: BorrowedFd<'_>, request: &libc::flock64) -> io::Result<()> {
    // Ends with the first return that is not an interruption by a signal.
    loop {
        // SAFETY: the pointer is to a live `flock`, which the call only reads.
        if unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_OFD_SETLK, request) } != -1 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

fn request(kind: i32, byte: u64) -> io::Result<libc::flock64> {
    let start = i64::try_from(byte).map_err(|_| {
        io::Error::new(io::ErrorKind::InvalidInput, format!("byte {byte} is beyond the end of any file"))
    })?;
    // SAFETY: every bit pattern is a valid `flock`, and a description lock requires `l_pid` to be zero.
    let mut request: libc::flock64 = unsafe { std::mem::zeroed() };
    request.l_type = kind as _;
    request.l_whence = libc::SEEK_SET as _;
    request.l_start = start;
    request.l_len = 1;
    Ok(request)
}
