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
    /// Device and number of the locked file.
    file: (u64, u64),
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
            Ok(()) => {
                let file = file_of(fd.get()?)?;
                Ok(Some(OfdLock { fd: Some(fd), byte, file }))
            }
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
        if !self.is_ours() {
            return Err(io::Error::other("the descriptor of this lock was closed by somebody else"));
        }
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

    /// Whether the descriptor is what it was: programs close descriptors that are not theirs, and the number of one that was
    /// closed is given to the next file, or to another description of this one. From there our byte is seen as another's, as long
    /// as anything keeps our description.
    fn is_ours(&self) -> bool {
        let Ok(fd) = self.fd() else { return false };
        file_of(fd).is_ok_and(|file| file == self.file) && is_held_by_other(fd, self.byte).is_ok_and(|other| !other)
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
        if self.is_ours() {
            return self.unlock();
        }
        // What has the number now is not ours to unlock or to close. (In a forked child there is nothing at all.)
        if let Some(Ok(other)) = self.fd.take().map(ForkClosedFd::into_fd) {
            std::mem::forget(other);
        }
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

fn file_of(fd: BorrowedFd<'_>) -> io::Result<(u64, u64)> {
    let stat = rustix::fs::fstat(fd)?;
    Ok((stat.st_dev, stat.st_ino))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::Anchor;
    use crate::memory::{self, Access};

    /// Of another file, or another description of the same one while an anchor keeps ours.
    #[test]
    fn a_descriptor_that_has_become_anothers_is_left_alone() -> io::Result<()> {
        for (same_file, byte) in [(false, 7), (true, 9)] {
            let ours = memory::memfd("ours")?;
            let theirs = match same_file {
                true => memory::reopen(&ours, Access::ReadWrite)?,
                false => memory::memfd("theirs")?,
            };
            let number = ours.as_raw_fd();
            let lock = OfdLock::try_acquire(ours, 7)?.ok_or_else(spent)?;
            let _anchor = Anchor::new(lock.fd()?)?;
            // SAFETY: the number is closed and opened again as another file in one step; nobody else uses it meanwhile.
            assert_eq!(unsafe { libc::dup2(theirs.as_raw_fd(), number) }, number);
            set(theirs.as_fd(), &request(libc::F_WRLCK, byte)?)?;
            drop(lock);
            // Locked through one description, which both numbers stand for, and still open there.
            let another = memory::reopen(&theirs, Access::ReadWrite)?;
            assert!(is_held_by_other(&another, byte)?);
            // SAFETY: asks for the flags of a number; no memory is involved.
            assert_ne!(unsafe { libc::fcntl(number, libc::F_GETFD) }, -1, "{same_file}");
            // SAFETY: nobody owns this number any more.
            drop(unsafe { <OwnedFd as std::os::fd::FromRawFd>::from_raw_fd(number) });
        }
        Ok(())
    }
}
