//! A region of bytes, as many as wanted at run time, under one lock.
#![allow(unsafe_code)]

use std::fmt;
use std::os::fd::OwnedFd;
use std::ptr::NonNull;
use std::time::Duration;

use super::attach::Expected;
use super::attached::Attached;
use super::header::Kind;
use super::options::RegionOptions;
use super::typed;
use crate::RegionError;
use crate::plain::Layout;
use crate::sync::look::look_at;
use crate::sync::raw::{LOCK_VERSION, RawLock};
use crate::sync::{Guarded, Holder, LockError, Look, MutexGuard, ObjectKind, Seen};

/// Where the bytes begin in the root: the lock has a cache line of its own.
const BYTES_AT: usize = 64;

/// A region of bytes whose number is chosen at run time, under one lock: for data whose form no type describes.
///
/// ```no_run
/// use wharf_shared_memory::BytesRegion;
///
/// let frame = BytesRegion::create("frame", 1920 * 1080 * 4)?;
/// frame.lock()?.fill(0x80);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # When the holder dies
///
/// As with [`Mutex`](crate::Mutex): the next one gets [`LockError::OwnerDied`] and the bytes as the dead one left them.
pub struct BytesRegion {
    attached: Attached,
}

impl BytesRegion {
    /// Makes the region `name` of `len_bytes` bytes, all zero.
    pub fn create(name: &str, len_bytes: usize) -> Result<BytesRegion, RegionError> {
        RegionOptions::new().create_bytes(name, len_bytes)
    }

    /// Attaches to the bytes region `name`.
    pub fn attach(name: &str) -> Result<BytesRegion, RegionError> {
        RegionOptions::new().attach_bytes(name)
    }

    /// Attaches to the bytes region `name`, which must have `len_bytes` bytes, or makes it.
    pub fn open_or_create(name: &str, len_bytes: usize) -> Result<BytesRegion, RegionError> {
        RegionOptions::new().open_or_create_bytes(name, len_bytes)
    }

    /// Makes a bytes region without a name; others attach through the descriptor that [`share`](BytesRegion::share)
    /// gives.
    pub fn anonymous(len_bytes: usize) -> Result<BytesRegion, RegionError> {
        RegionOptions::new().anonymous_bytes(len_bytes)
    }

    /// Attaches to the bytes region behind a descriptor that another process passed on.
    pub fn attach_fd(fd: OwnedFd) -> Result<BytesRegion, RegionError> {
        RegionOptions::new().attach_bytes_fd(fd)
    }

    /// How many bytes it holds.
    pub fn len(&self) -> usize {
        self.attached.header().plan.root_len.saturating_sub(BYTES_AT)
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes the lock, waiting as long as a live process holds it. The guard is the bytes.
    #[inline]
    pub fn lock(&self) -> Result<MutexGuard<'_, [u8]>, LockError<'_, [u8]>> {
        self.guarded().lock()
    }

    /// Takes the lock, waiting at most `patience`. Zero tries once.
    #[inline]
    pub fn lock_timeout(&self, patience: Duration) -> Result<MutexGuard<'_, [u8]>, LockError<'_, [u8]>> {
        self.guarded().lock_timeout(patience)
    }

    /// Takes the lock if nobody holds it, or if its holder is proved dead. Never waits.
    #[inline]
    pub fn try_lock(&self) -> Result<MutexGuard<'_, [u8]>, LockError<'_, [u8]>> {
        self.guarded().try_lock()
    }

    /// Who holds the lock: a report for people, out of date as soon as it is made.
    pub fn holder(&self) -> Option<Holder> {
        self.look().holders.into_iter().next()
    }

    /// A descriptor of the region to pass to another process, which attaches with
    /// [`attach_fd`](BytesRegion::attach_fd).
    pub fn share(&self) -> Result<OwnedFd, RegionError> {
        typed::share(&self.attached)
    }

    pub(crate) fn new(attached: Attached) -> BytesRegion {
        BytesRegion { attached }
    }

    pub(crate) fn into_attached(self) -> Attached {
        self.attached
    }

    pub(crate) fn root_len(len_bytes: usize) -> Option<usize> {
        len_bytes.checked_add(BYTES_AT)
    }

    pub(crate) fn type_name(len_bytes: Option<usize>) -> String {
        match len_bytes {
            Some(len) => format!("{len} bytes"),
            None => "bytes".to_owned(),
        }
    }

    /// Of the lock and the place of the bytes; how many there are is compared by itself.
    pub(crate) const HASH: u64 = Layout::cell("bytes", &[1, LOCK_VERSION], &[], BYTES_AT, BYTES_AT).hash;

    pub(crate) fn expected(len_bytes: Option<usize>) -> Expected {
        Expected {
            kind: Kind::Bytes,
            hash: BytesRegion::HASH,
            type_name: BytesRegion::type_name(len_bytes),
            root_len: len_bytes.and_then(BytesRegion::root_len),
        }
    }

    fn raw(&self) -> &RawLock {
        // SAFETY: the root of a bytes region begins with a lock word on a page boundary (every bit pattern is one), and
        // the mapping lives as long as `self`.
        unsafe { self.attached.memory().root().cast::<RawLock>().as_ref() }
    }

    fn guarded(&self) -> Guarded<'_, [u8]> {
        let root = self.attached.memory().root();
        // SAFETY: the root has at least a cache line before the bytes, or they are none and nothing is touched there:
        // a root shorter than that still has a whole page behind it.
        let first = unsafe { root.add(BYTES_AT) };
        let bytes = NonNull::slice_from_raw_parts(first, self.len());
        // SAFETY: the plan keeps `root_len` bytes from the root inside the writable mapping; bytes are valid whatever
        // they are, and only holders of the lock touch them.
        unsafe { Guarded::new(self.raw(), bytes, ObjectKind::Bytes) }
    }
}

impl Look for BytesRegion {
    fn look(&self) -> Seen {
        look_at(ObjectKind::Bytes, self.raw(), &[self.raw().word()])
    }
}

impl fmt::Debug for BytesRegion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BytesRegion")
            .field("place", &format_args!("{}", self.attached.place()))
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}
