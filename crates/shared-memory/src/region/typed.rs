//! A region seen through the type of its root.
#![allow(unsafe_code)]

use std::fmt;
use std::ops::Deref;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::ptr::NonNull;

use wharf_sys::memory::{self, Access};

use super::attached::Attached;
use super::header::PAGE;
use super::options::RegionOptions;
use crate::{RegionError, Shared};

/// A region that this process has attached: memory that several processes map, with one `T` in it.
///
/// It dereferences to the `T`. Dropping it detaches; a name and its data stay until [`unlink`](super::unlink), and
/// the memory until the last process detaches.
///
/// ```no_run
/// use wharf_shared_memory::{Mutex, Region};
///
/// let hits = Region::<Mutex<u64>>::open_or_create("hits")?;
/// *hits.lock()? += 1;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # When a participant dies
///
/// Its slot and its locks are taken over by the others; see [`Mutex`](crate::Mutex). The region itself is whole at
/// any moment: it is published only when it is complete.
///
/// # In a forked child
///
/// The child sees the memory, but it is not its parent: locks refuse it with
/// [`LockError::Forked`](crate::LockError::Forked) until it attaches itself.
///
/// # Trust
///
/// For cooperating processes only: whoever may write a region can spoil the data in it. The owner of a named or
/// file-backed region can also cut its file short from outside, and every process that then touches the missing part
/// gets SIGBUS; only anonymous regions are sealed against that.
pub struct Region<T: Shared> {
    attached: Attached,
    root: NonNull<T>,
}

// SAFETY: a region gives out `&T` only, and a `Shared` type is `Sync`; detaching works from any thread.
unsafe impl<T: Shared> Send for Region<T> {}

// SAFETY: as for `Send`.
unsafe impl<T: Shared> Sync for Region<T> {}

impl<T: Shared> Region<T> {
    /// Makes the region `name`; its root is all zeroes.
    pub fn create(name: &str) -> Result<Region<T>, RegionError> {
        RegionOptions::new().create(name)
    }

    /// Makes the region `name` with a first value, which whoever attaches sees from the start.
    pub fn create_with(name: &str, first: T) -> Result<Region<T>, RegionError> {
        RegionOptions::new().create_with(name, first)
    }

    /// Attaches to the region `name`.
    pub fn attach(name: &str) -> Result<Region<T>, RegionError> {
        RegionOptions::new().attach(name)
    }

    /// Attaches to the region `name` for reading only; see [`ReadOnlyRegion`].
    pub fn attach_read_only(name: &str) -> Result<ReadOnlyRegion<T>, RegionError> {
        RegionOptions::new().attach_read_only(name)
    }

    /// Attaches to the region `name`, or makes it with an all-zero root: exactly one of any number of processes that
    /// call this at once makes it.
    pub fn open_or_create(name: &str) -> Result<Region<T>, RegionError> {
        RegionOptions::new().open_or_create(name)
    }

    /// Makes a region without a name, all zeroes; others attach through the descriptor that [`share`](Region::share)
    /// gives.
    pub fn anonymous() -> Result<Region<T>, RegionError> {
        RegionOptions::new().anonymous()
    }

    /// Attaches to the region behind a descriptor that another process passed on.
    pub fn attach_fd(fd: OwnedFd) -> Result<Region<T>, RegionError> {
        RegionOptions::new().attach_fd(fd)
    }

    /// Makes a region in a file of its own at `path`; its root is all zeroes.
    pub fn create_file(path: impl AsRef<Path>) -> Result<Region<T>, RegionError> {
        RegionOptions::new().create_file(path)
    }

    /// Attaches to the region in the file at `path`.
    pub fn attach_file(path: impl AsRef<Path>) -> Result<Region<T>, RegionError> {
        RegionOptions::new().attach_file(path)
    }

    /// Attaches to the region in the file at `path`, or makes it with an all-zero root.
    pub fn open_or_create_file(path: impl AsRef<Path>) -> Result<Region<T>, RegionError> {
        RegionOptions::new().open_or_create_file(path)
    }

    /// A descriptor of the region to pass to another process, which attaches with [`attach_fd`](Region::attach_fd).
    ///
    /// It is a description of its own: passing it on passes none of our locks. An error in a forked child.
    pub fn share(this: &Region<T>) -> Result<OwnedFd, RegionError> {
        share(&this.attached)
    }

    /// Which slot of the participant table this attachment has.
    pub fn slot(this: &Region<T>) -> Option<u32> {
        this.attached.slot()
    }

    /// Bytes of the whole region, header and participant table included.
    pub fn size(this: &Region<T>) -> u64 {
        this.attached.header().plan.len as u64
    }

    pub(crate) fn new(attached: Attached) -> Region<T> {
        let root = root(&attached);
        Region { attached, root }
    }

    pub(crate) fn into_attached(self) -> Attached {
        self.attached
    }
}

impl<T: Shared> Deref for Region<T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        // SAFETY: the header was checked to describe a root of this very layout, on a page boundary inside the mapping,
        // which lives as long as `self`. A `Shared` type is valid whatever other processes leave there and is
        // used through atomics and locks only.
        unsafe { self.root.as_ref() }
    }
}

impl<T: Shared> fmt::Debug for Region<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        debug("Region", &self.attached, f)
    }
}

/// A region attached for reading only: no slot, no lock, and the memory is mapped without the right to write.
///
/// Reading a [`Latest`](crate::Latest) works as ever. Everything that would write, taking a lock too, returns an error
/// ([`LockError::ReadOnly`](crate::LockError::ReadOnly)).
pub struct ReadOnlyRegion<T: Shared> {
    attached: Attached,
    root: NonNull<T>,
}

// SAFETY: as for `Region`.
unsafe impl<T: Shared> Send for ReadOnlyRegion<T> {}

// SAFETY: as for `Region`.
unsafe impl<T: Shared> Sync for ReadOnlyRegion<T> {}

impl<T: Shared> ReadOnlyRegion<T> {
    pub(crate) fn new(attached: Attached) -> ReadOnlyRegion<T> {
        let root = root(&attached);
        ReadOnlyRegion { attached, root }
    }

    /// Bytes of the whole region, header and participant table included.
    pub fn size(this: &ReadOnlyRegion<T>) -> u64 {
        this.attached.header().plan.len as u64
    }
}

impl<T: Shared> Deref for ReadOnlyRegion<T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        // SAFETY: as for `Region`; nothing that needs only `&T` writes without asking first whether it may.
        unsafe { self.root.as_ref() }
    }
}

impl<T: Shared> fmt::Debug for ReadOnlyRegion<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        debug("ReadOnlyRegion", &self.attached, f)
    }
}

fn root<T: Shared>(attached: &Attached) -> NonNull<T> {
    const {
        assert!(align_of::<T>() <= PAGE, "a region's root is aligned to 4,096 bytes");
        assert!(!std::mem::needs_drop::<T>(), "a region's root is never dropped");
    };
    attached.memory().root().cast()
}

pub(crate) fn share(attached: &Attached) -> Result<OwnedFd, RegionError> {
    let region = attached.place().to_string();
    let fail = |source| RegionError::from_io("share", &region, source);
    let fd = attached.fd().ok_or_else(|| {
        fail(std::io::Error::other("this process was forked from the one that attached; attach again"))
    })?;
    memory::reopen(fd, Access::ReadWrite).map_err(fail)
}

fn debug(name: &str, attached: &Attached, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let header = attached.header();
    f.debug_struct(name)
        .field("place", &format_args!("{}", attached.place()))
        .field("type", &format_args!("{}", header.type_name))
        .field("size", &header.plan.len)
        .finish_non_exhaustive()
}
