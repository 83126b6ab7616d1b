//! A mapping: a range of addresses behind which lies a file's memory, until it is dropped.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::BorrowedFd;
use std::ptr::{self, NonNull};

use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::mm::{Advice, MapFlags, ProtFlags};

/// How often a populating call interrupted by a signal is repeated: each repetition goes on where the
/// last one stopped, so a process that receives signals all the time still gets there.
const POPULATE_TRIES: u32 = 1_000;

/// What a process may do with a file or mapping.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    /// Look only; a store is a fault.
    ReadOnly,
    /// Look and change.
    ReadWrite,
}

impl Access {
    pub(crate) fn open_flags(self) -> OFlags {
        match self {
            Access::ReadOnly => OFlags::RDONLY,
            Access::ReadWrite => OFlags::RDWR,
        }
    }
}

/// Memory of a file, shared with every other process that maps it. Unmapped on drop.
///
/// A mapping hands out a raw pointer only: what may be read or written, and when, is for the owner of the
/// structure inside to argue.
#[derive(Debug)]
pub struct Mapping {
    start: NonNull<u8>,
    len: usize,
    access: Access,
}

// SAFETY: a mapping is a range of addresses, the same for every thread; it gives out nothing but a raw
// pointer, and unmapping needs ownership.
unsafe impl Send for Mapping {}
// SAFETY: as for Send: `&Mapping` reads three plain fields.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps the first `len` bytes of `fd`. The range may reach beyond the end of the file; touching that
    /// part before the file has grown is a fault (SIGBUS).
    pub fn map(fd: BorrowedFd<'_>, len: usize, access: Access) -> io::Result<Mapping> {
        Mapping::map_as(fd, len, access, MapFlags::SHARED)
    }

    /// Maps the first `len` bytes of memory that nobody can write any more ([`Seals::WRITE`](super::Seals::WRITE)).
    ///
    /// Privately, which is the same for bytes that never change: kernels before 6.7 refuse a shared mapping of such
    /// memory through a description that is open for writing.
    pub fn map_final(fd: BorrowedFd<'_>, len: usize) -> io::Result<Mapping> {
        Mapping::map_as(fd, len, Access::ReadOnly, MapFlags::PRIVATE)
    }

    fn map_as(fd: BorrowedFd<'_>, len: usize, access: Access, flags: MapFlags) -> io::Result<Mapping> {
        if len == 0 {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "expected at least 1 byte to map, found 0; ask for the length of the region",
            ));
        }
        let protection = match access {
            Access::ReadOnly => ProtFlags::READ,
            Access::ReadWrite => ProtFlags::READ | ProtFlags::WRITE,
        };
        // SAFETY: without a fixed address the kernel chooses a range that nothing else uses, so no
        // existing memory changes. That others may write it at the same time is the owner's to handle.
        let start = unsafe { rustix::mm::mmap(ptr::null_mut(), len, protection, flags, fd, 0) }?;
        let start = NonNull::new(start.cast::<u8>())
            .ok_or_else(|| io::Error::other("the kernel mapped the file at address 0"))?;
        Ok(Mapping { start, len, access })
    }

    /// Brings every page in now, so that no later access waits or finds no memory.
    pub fn populate(&self) -> io::Result<()> {
        let advice = match self.access {
            Access::ReadOnly => Advice::LinuxPopulateRead,
            Access::ReadWrite => Advice::LinuxPopulateWrite,
        };
        for _ in 0..POPULATE_TRIES {
            // SAFETY: the range is ours until drop, and populating changes no byte of it.
            match unsafe { rustix::mm::madvise(self.start.as_ptr().cast(), self.len, advice) } {
                Err(Errno::INTR | Errno::AGAIN) => {}
                other => return Ok(other?),
            }
        }
        Err(io::Error::new(
            io::ErrorKind::Interrupted,
            format!(
                "populating {} bytes was interrupted {POPULATE_TRIES} times; send this process fewer signals",
                self.len
            ),
        ))
    }

    /// The first byte. Valid for `len` bytes while the mapping lives.
    #[inline]
    pub fn as_ptr(&self) -> *mut u8 {
        self.start.as_ptr()
    }

    /// Length in bytes, as asked for.
    #[inline]
    #[allow(clippy::len_without_is_empty, reason = "a mapping is never empty")]
    pub fn len(&self) -> usize {
        self.len
    }

    /// What this mapping allows.
    #[inline]
    pub fn access(&self) -> Access {
        self.access
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the range came from mmap with this length and nobody else unmaps it; borrowed views end
        // before their mapping.
        let unmapped = unsafe { rustix::mm::munmap(self.start.as_ptr().cast(), self.len) };
        // When the kernel lacks the memory to note the change the range stays mapped, which harms nobody.
        debug_assert!(unmapped != Err(Errno::INVAL), "munmap of an own range");
    }
}
