//! A file mapped by two processes, for the contenders that share memory by hand.
#![allow(unsafe_code)]

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64};
use std::sync::{Arc, Mutex, PoisonError};

/// A shared mapping of a whole file; unmapped on drop.
pub struct Mapped {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: the mapping is plain memory, valid from every thread until it is dropped; what is done with it
// through atomics or raw copies is the contender's protocol.
unsafe impl Send for Mapped {}
// SAFETY: as above; a shared reference gives out atomics and addresses, and what is done at an address is argued there.
unsafe impl Sync for Mapped {}

impl Mapped {
    /// Creates the file with `len` zero bytes and maps it.
    pub fn create(path: &Path, len: usize) -> io::Result<Mapped> {
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(path)?;
        file.set_len(len as u64)?;
        Mapped::of(&file, len, libc::PROT_READ | libc::PROT_WRITE)
    }

    /// Maps an existing file as a whole.
    pub fn open(path: &Path) -> io::Result<Mapped> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        let len = file.metadata()?.len() as usize;
        Mapped::of(&file, len, libc::PROT_READ | libc::PROT_WRITE)
    }

    /// The same for reading only, which changes what its lines cost their writer (docs/performance.md). A store to it is a fault.
    pub fn open_to_read(path: &Path) -> io::Result<Mapped> {
        let file = File::open(path)?;
        let len = file.metadata()?.len() as usize;
        Mapped::of(&file, len, libc::PROT_READ)
    }

    fn of(file: &File, len: usize, protection: libc::c_int) -> io::Result<Mapped> {
        let flags = libc::MAP_SHARED | libc::MAP_POPULATE;
        // SAFETY: a new mapping at an address that the kernel chooses touches no existing memory.
        let start = unsafe { libc::mmap(std::ptr::null_mut(), len, protection, flags, file.as_raw_fd(), 0) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).ok_or_else(|| io::Error::other("mapped at zero"))?;
        Ok(Mapped { start, len })
    }

    /// How many bytes it has.
    #[allow(clippy::len_without_is_empty)] // it is never empty
    pub fn len(&self) -> usize {
        self.len
    }

    /// The address `offset` bytes into the mapping.
    pub fn at(&self, offset: usize) -> *mut u8 {
        assert!(offset < self.len, "offset {offset} of a mapping of {} bytes", self.len);
        // SAFETY: the offset was just compared with the length of the mapping.
        unsafe { self.start.as_ptr().add(offset) }
    }

    /// The aligned 64-bit word at `offset`.
    pub fn word(&self, offset: usize) -> &AtomicU64 {
        assert!(offset.is_multiple_of(8) && offset + 8 <= self.len);
        // SAFETY: the word lies within the mapping, which lives as long as `self`, and is aligned; both
        // processes reach it through atomics only.
        unsafe { AtomicU64::from_ptr(self.at(offset).cast()) }
    }

    /// The aligned 32-bit word at `offset`.
    pub fn half_word(&self, offset: usize) -> &AtomicU32 {
        assert!(offset.is_multiple_of(4) && offset + 4 <= self.len);
        // SAFETY: as in `word`.
        unsafe { AtomicU32::from_ptr(self.at(offset).cast()) }
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, of this length, and nothing borrowed from `self` outlives it.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.len) };
    }
}

/// The mapping that the threads of one process have in common. A lock that is for threads only must be used at one address.
#[derive(Default)]
pub struct InCommon(Mutex<Option<Arc<Mapped>>>);

impl InCommon {
    /// None yet.
    pub const fn new() -> InCommon {
        InCommon(Mutex::new(None))
    }

    /// Makes a new one, as [`Mapped::create`] does, in place of the one before.
    pub fn create(&self, path: &Path, len: usize) -> io::Result<Arc<Mapped>> {
        let made = Arc::new(Mapped::create(path, len)?);
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&made));
        Ok(made)
    }

    /// The one that was made last.
    pub fn find(&self) -> io::Result<Arc<Mapped>> {
        let found = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        found.ok_or_else(|| io::Error::other("no thread of this process has made the mapping yet"))
    }
}
