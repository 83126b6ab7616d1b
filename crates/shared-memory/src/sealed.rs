//! A sealed buffer: bytes that are written once and can never change again, for any number of readers of any trust.
#![allow(unsafe_code)]

use std::fmt;
use std::io;
use std::ops::{Deref, DerefMut};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use wharf_sys::clock::Deadline;
use wharf_sys::memory::{self, Access, Mapping, ReserveError, Seals};

use crate::SealedError;

/// The longest buffer that can be mapped and seen as a slice.
const LONGEST: u64 = isize::MAX as u64;

/// How long sealing waits for a child that another thread has just forked: the child holds a copy of the mapping until
/// it executes its program.
const CHILD_PATIENCE: Duration = Duration::from_millis(500);

/// How long one look at it takes.
const CHILD_LOOK: Duration = Duration::from_millis(1);

/// A buffer to be filled, once, and then [sealed](Self::seal). It dereferences to its bytes, all zero at first.
///
/// Dropping it instead of sealing it gives the memory back.
pub struct SealedBufferBuilder {
    memory: OwnedFd,
    /// `None` for a buffer without bytes.
    mapping: Option<Mapping>,
    len: usize,
}

impl SealedBufferBuilder {
    /// Makes the buffer final: from here on nobody can change its bytes or its length, neither this process nor anybody
    /// who holds its descriptor. The kernel keeps that promise (`F_SEAL_WRITE|SHRINK|GROW|SEAL`, memfd_create(2)).
    ///
    /// # Errors
    /// [`SealedError::StillMapped`] when another process maps it for writing, which only a child can that was forked
    /// while it was filled. Such a child is waited for, for half a second at most.
    pub fn seal(self) -> Result<SealedBuffer, SealedError> {
        let Self { memory, mapping, len } = self;
        // The seal is refused while a writable mapping exists, our own included.
        drop(mapping);
        let deadline = Deadline::after(CHILD_PATIENCE);
        // Each round takes CHILD_LOOK, so the deadline bounds their number.
        loop {
            match memory::seal(memory.as_fd(), Seals::BUFFER) {
                Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
                    if deadline.passed() {
                        return Err(SealedError::StillMapped { len: len as u64 });
                    }
                    std::thread::sleep(CHILD_LOOK);
                }
                outcome => break outcome.map_err(SealedError::system("seal"))?,
            }
        }
        SealedBuffer::over(memory, len)
    }
}

impl Deref for SealedBufferBuilder {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.mapping {
            // SAFETY: the mapping has `len` bytes that lie in reserved memory, and its descriptor has not left this value,
            // so nobody else writes there (a forked child that does has broken its parent's exclusive borrow).
            Some(mapping) => unsafe { std::slice::from_raw_parts(mapping.as_ptr(), self.len) },
            None => &[],
        }
    }
}

impl DerefMut for SealedBufferBuilder {
    fn deref_mut(&mut self) -> &mut [u8] {
        match &mut self.mapping {
            // SAFETY: as for reading; the mapping is writable, and `&mut self` makes this the only slice of it.
            Some(mapping) => unsafe { std::slice::from_raw_parts_mut(mapping.as_ptr(), self.len) },
            None => &mut [],
        }
    }
}

impl fmt::Debug for SealedBufferBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealedBufferBuilder").field("len", &self.len).finish_non_exhaustive()
    }
}

/// Bytes that were written once and never change again. It dereferences to them.
///
/// For large data that is built once and given to many: a picture, a model, a table. Passing it on passes a descriptor,
/// whatever its size, and every receiver maps the same memory; none of them can change it, and neither can its maker,
/// so it may go to peers of any trust and come from peers of any trust. Cloning it copies nothing.
///
/// For one message at a time it is the slower way: making, mapping and sealing memory costs more than the kernel's
/// copy of a megabyte.
///
/// ```
/// use wharf_shared_memory::SealedBuffer;
///
/// let mut builder = SealedBuffer::builder(1 << 20)?;
/// builder[..5].copy_from_slice(b"hello");
/// let buffer = builder.seal()?;
/// assert_eq!(&buffer[..5], b"hello");
///
/// // What another process does with the descriptor that it was sent:
/// let received = SealedBuffer::from_fd(buffer.share()?)?;
/// assert_eq!(received.len(), 1 << 20);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # When there is no room
///
/// All of its memory is reserved when the builder is made: no room is [`SealedError::NoRoom`] with numbers then, and
/// never a signal later, neither here nor at a receiver.
///
/// # When its maker dies
///
/// Nothing changes: the memory lives until the last process has dropped it. It has no name.
#[derive(Clone)]
pub struct SealedBuffer {
    inner: Arc<Inner>,
}

struct Inner {
    memory: OwnedFd,
    /// `None` for a buffer without bytes.
    mapping: Option<Mapping>,
    len: usize,
}

impl SealedBuffer {
    /// Makes a buffer of `len_bytes` zeroes to be filled.
    ///
    /// # Errors
    /// [`SealedError::NoRoom`] when the machine or the control group has no memory for it.
    pub fn builder(len_bytes: usize) -> Result<SealedBufferBuilder, SealedError> {
        let len = len_bytes as u64;
        if len > LONGEST {
            return Err(SealedError::NoRoom { asked: len, free: LONGEST });
        }
        let memory = memory::memfd("wharf-sealed").map_err(SealedError::system("make"))?;
        memory::reserve(&memory, len).map_err(|error| match error {
            ReserveError::NoRoom { asked, free } => SealedError::NoRoom { asked, free },
            other => SealedError::System { action: "reserve", source: other.into() },
        })?;
        let mapping = match len_bytes {
            0 => None,
            _ => {
                let mapping = Mapping::map(memory.as_fd(), len_bytes, Access::ReadWrite);
                let mapping = mapping.map_err(SealedError::system("map"))?;
                // Every page is there from now on, so a receiver that looks for holes finds none.
                mapping.populate().map_err(SealedError::system("populate"))?;
                Some(mapping)
            }
        };
        Ok(SealedBufferBuilder { memory, mapping, len: len_bytes })
    }

    /// Makes a buffer with these bytes.
    ///
    /// # Errors
    /// As [`builder`](Self::builder) and [`SealedBufferBuilder::seal`].
    pub fn copy_of(bytes: &[u8]) -> Result<SealedBuffer, SealedError> {
        let mut builder = SealedBuffer::builder(bytes.len())?;
        builder.copy_from_slice(bytes);
        builder.seal()
    }

    /// Takes over the buffer behind a descriptor that somebody passed on, whoever that is.
    ///
    /// Before anything is mapped the kernel is asked whether this is memory, ordinary pages of it, that can never change
    /// or shrink, and whether there is memory behind each of its bytes: a peer can neither take the bytes away later
    /// (a signal here) nor make this process pay for memory that it only announced. Asking moves the position of the
    /// descriptor's description, which matters only to those who use it with `read`.
    ///
    /// # Errors
    /// [`SealedError::NotMemory`], [`NotSealed`](SealedError::NotSealed), [`HugePages`](SealedError::HugePages),
    /// [`Hollow`](SealedError::Hollow): it is no sealed buffer. The descriptor is closed.
    pub fn from_fd(fd: OwnedFd) -> Result<SealedBuffer, SealedError> {
        SealedBuffer::from_fd_at_most(fd, LONGEST)
    }

    /// The same, for buffers of at most `limit_bytes`. The memory itself is its maker's to pay for; what a large one costs
    /// its reader is address space, and page tables of 1/512 of what is read.
    ///
    /// # Errors
    /// [`SealedError::TooLarge`]; otherwise as [`from_fd`](Self::from_fd).
    pub fn from_fd_at_most(fd: OwnedFd, limit_bytes: u64) -> Result<SealedBuffer, SealedError> {
        let look = SealedError::system("look at");
        // First of all: a descriptor that is not memory may belong to a file system that its sender runs, and other
        // questions about it would be answered by the sender, when it likes.
        let found = memory::seals(&fd).map_err(|error| match error.kind() {
            io::ErrorKind::InvalidInput => SealedError::NotMemory,
            _ => look(error),
        })?;
        let expected = Seals::BUFFER;
        if !found.contains(expected) {
            return Err(SealedError::NotSealed { found, expected });
        }
        if !memory::has_ordinary_pages(&fd).map_err(SealedError::system("look at"))? {
            return Err(SealedError::HugePages);
        }
        let found = memory::file_len(&fd).map_err(SealedError::system("measure"))?;
        let limit = limit_bytes.min(LONGEST);
        if found > limit {
            return Err(SealedError::TooLarge { found, limit });
        }
        let at = memory::first_hole(&fd).map_err(SealedError::system("look for holes in"))?;
        if at < found {
            return Err(SealedError::Hollow { at, len: found });
        }
        let len = usize::try_from(found).map_err(|_| SealedError::TooLarge { found, limit: LONGEST })?;
        SealedBuffer::over(fd, len)
    }

    /// Maps memory that carries all seals and has `len` bytes.
    fn over(memory: OwnedFd, len: usize) -> Result<SealedBuffer, SealedError> {
        let mapping = match len {
            0 => None,
            _ => Some(Mapping::map_final(memory.as_fd(), len).map_err(SealedError::system("map"))?),
        };
        Ok(SealedBuffer { inner: Arc::new(Inner { memory, mapping, len }) })
    }

    /// Its descriptor, to pass it on.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.inner.memory.as_fd()
    }

    /// A descriptor of its own for it, which another process turns into a buffer with [`from_fd`](Self::from_fd).
    ///
    /// # Errors
    /// What the system says when it has no descriptor left.
    pub fn share(&self) -> Result<OwnedFd, SealedError> {
        self.inner.memory.try_clone().map_err(SealedError::system("share"))
    }
}

impl Deref for SealedBuffer {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match &self.inner.mapping {
            // SAFETY: the mapping has `len` bytes and lives as long as the value that is borrowed. The seals, which were
            // checked or set before it was made and cannot be taken off, keep every process from writing, cutting or
            // punching the memory, so the bytes are there and never change.
            Some(mapping) => unsafe { std::slice::from_raw_parts(mapping.as_ptr(), self.inner.len) },
            None => &[],
        }
    }
}

impl AsRef<[u8]> for SealedBuffer {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl fmt::Debug for SealedBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealedBuffer").field("len", &self.inner.len).finish_non_exhaustive()
    }
}
