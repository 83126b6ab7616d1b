//! Attaching to shared memory by hand: `shm_open`, `fstat`, `mmap`, one look, `munmap`, `close`.
#![allow(unsafe_code)]

use crate::contender::failed;
use crate::leavings::{self, Left};
use crate::solo::Solo;
use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::Path;

/// Bytes of the object, as large as a small region.
const LEN: usize = 4096;
/// What its first byte says.
const MARK: u8 = 42;

/// A POSIX shared memory object that is attached again and again.
pub struct ShmOpen {
    name: CString,
}

fn open(name: &CString, flags: i32) -> io::Result<OwnedFd> {
    // SAFETY: the name ends with a zero byte and lives through the call.
    let fd = unsafe { libc::shm_open(name.as_ptr(), flags, 0o600) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor was just returned by the kernel, and nobody else holds it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

impl ShmOpen {
    /// Creates the object; it is unlinked on drop.
    pub fn new() -> io::Result<ShmOpen> {
        let name = format!("wharf-bench-{}", std::process::id());
        leavings::remember(Left::File(Path::new("/dev/shm").join(&name)));
        let name = CString::new(format!("/{name}"))?;
        let fd = open(&name, libc::O_RDWR | libc::O_CREAT | libc::O_EXCL)?;
        let object = ShmOpen { name };
        let file = std::fs::File::from(fd);
        std::os::unix::fs::FileExt::write_all_at(&file, &[MARK; LEN], 0)?;
        Ok(object)
    }

    fn attach(&self) -> io::Result<u8> {
        let fd = open(&self.name, libc::O_RDWR)?;
        // SAFETY: `stat` is integers only, for which all bits zero is a valid value.
        let mut facts: libc::stat = unsafe { std::mem::zeroed() };
        // SAFETY: the pointer is to a live local.
        if unsafe { libc::fstat(fd.as_raw_fd(), &mut facts) } != 0 {
            return Err(io::Error::last_os_error());
        }
        let len = facts.st_size as usize;
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new mapping at an address that the kernel chooses touches no existing memory.
        let start = unsafe { libc::mmap(std::ptr::null_mut(), len, protection, libc::MAP_SHARED, fd.as_raw_fd(), 0) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the mapping has at least one byte (its size was written by `new`), and lives until below.
        let seen = unsafe { start.cast::<u8>().read_volatile() };
        // SAFETY: the mapping was made just above with this length, and nothing refers to it any more.
        unsafe { libc::munmap(start, len) };
        Ok(seen)
    }
}

impl Drop for ShmOpen {
    fn drop(&mut self) {
        // SAFETY: the name ends with a zero byte and lives through the call.
        unsafe { libc::shm_unlink(self.name.as_ptr()) };
    }
}

impl Solo for ShmOpen {
    fn name(&self) -> &'static str {
        "shm_open by hand"
    }

    fn run(&mut self, operations: u64) -> io::Result<()> {
        for _ in 0..operations {
            std::hint::black_box(self.attach()?);
        }
        Ok(())
    }

    fn check(&mut self) -> io::Result<()> {
        match self.attach()? {
            MARK => Ok(()),
            other => Err(failed(format!("expected {MARK}, found {other}"))),
        }
    }
}
