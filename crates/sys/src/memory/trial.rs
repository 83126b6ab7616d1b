//! Trying for real what a process can do to memory that it maps, in a child that may die of it.
//!
//! For `wharf compare`, which shows what happens when a peer tries to write the other side's memory. The
//! child changes one byte, looks, and changes it back; nothing else of this process is touched.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::ptr;

use rustix::io::Errno;
use rustix::process::{Pid, WaitOptions, waitpid};

use super::{Access, Mapping, reopen};

/// The child's exit code for a store that had no effect; no error number is that large.
const NO_EFFECT: i32 = 255;

/// What came of an attempt.
#[derive(Debug)]
pub enum WriteOutcome {
    /// The byte changed (and was changed back).
    Changed,
    /// The attempt was answered with this signal.
    Killed(i32),
    /// The kernel refused with this error.
    Refused(io::Error),
}

/// Tries to store a byte at `offset` of `mapping`, as it is mapped.
pub fn store(mapping: &Mapping, offset: usize) -> io::Result<WriteOutcome> {
    if offset >= mapping.len() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("expected an offset below {}, found {offset}", mapping.len()),
        ));
    }
    let target = mapping.as_ptr().wrapping_add(offset);
    attempt(|| flip(target))
}

/// Tries to make `mapping` writable and then to store its first byte.
pub fn make_writable(mapping: &Mapping) -> io::Result<WriteOutcome> {
    let (start, len) = (mapping.as_ptr(), mapping.len());
    attempt(|| {
        // SAFETY: the range is a live mapping; only the child's copy of the address space changes.
        let failed = unsafe { libc::mprotect(start.cast(), len, libc::PROT_READ | libc::PROT_WRITE) };
        if failed != 0 { errno() } else { flip(start) }
    })
}

/// Tries to open the memory behind `fd` for writing, to map its first `len` bytes, and to store the first.
pub fn map_writable(fd: BorrowedFd<'_>, len: usize) -> io::Result<WriteOutcome> {
    let own = match reopen(fd, Access::ReadWrite) {
        Ok(own) => own,
        Err(error) => return Ok(WriteOutcome::Refused(error)),
    };
    let number = own.as_fd().as_raw_fd();
    attempt(|| {
        let access = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: the kernel chooses the address, so no memory in use changes.
        let start = unsafe { libc::mmap(ptr::null_mut(), len, access, libc::MAP_SHARED, number, 0) };
        if start == libc::MAP_FAILED { errno() } else { flip(start.cast()) }
    })
}

/// Runs `try_it` in a forked child and tells how the child ended. `try_it` returns 0 or an error number
/// and, since other threads are missing in the child, does nothing but system calls and stores.
fn attempt(try_it: impl FnOnce() -> i32) -> io::Result<WriteOutcome> {
    // SAFETY: the child runs only `in_child`, which allocates nothing and takes no lock.
    let child = unsafe { libc::fork() };
    if child == 0 {
        in_child(try_it);
    }
    let Some(child) = Pid::from_raw(child) else {
        return Err(io::Error::last_os_error());
    };
    // Ends with the child, which does a handful of things and exits.
    let status = loop {
        match waitpid(Some(child), WaitOptions::empty()) {
            Ok(Some((_, status))) => break status,
            Ok(None) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    };
    match (status.terminating_signal(), status.exit_status()) {
        (Some(signal), _) => Ok(WriteOutcome::Killed(signal)),
        (None, Some(0)) => Ok(WriteOutcome::Changed),
        (None, Some(NO_EFFECT)) => Ok(WriteOutcome::Refused(io::Error::other("the store had no effect"))),
        (None, Some(code)) => Ok(WriteOutcome::Refused(io::Error::from_raw_os_error(code))),
        (None, None) => Err(io::Error::other("the child neither exited nor was killed")),
    }
}

fn in_child(try_it: impl FnOnce() -> i32) -> ! {
    for signal in [libc::SIGSEGV, libc::SIGBUS] {
        // SAFETY: the default action replaces a handler of the parent; nothing else runs in the child.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    // A death on purpose leaves no core file.
    // SAFETY: sets one flag of the calling process.
    unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0) };
    let code = try_it();
    // SAFETY: ends the child at once, without handlers that belong to the parent.
    unsafe { libc::_exit(code) }
}

/// Changes the byte at `target`, looks, and changes it back: 0 when the change was there.
fn flip(target: *mut u8) -> i32 {
    // SAFETY: `target` lies in a live mapping; a fault here is the answer that is looked for.
    let before = unsafe { ptr::read_volatile(target) };
    // SAFETY: as above; only bytes are stored, and no reference to them exists in this child.
    unsafe { ptr::write_volatile(target, !before) };
    // SAFETY: as above.
    let after = unsafe { ptr::read_volatile(target) };
    // SAFETY: as above.
    unsafe { ptr::write_volatile(target, before) };
    if after == !before { 0 } else { NO_EFFECT }
}

fn errno() -> i32 {
    io::Error::last_os_error().raw_os_error().unwrap_or(NO_EFFECT)
}
