//! What travels beside the bytes of a message: descriptors, sealed buffers, regions.

use std::collections::VecDeque;
use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use wharf_shared_memory::{BytesRegion, Region, RegionError, SealedBuffer, SealedError, Shared};
use wharf_sys::{poll, socket};

/// The most attachments of one message.
pub const MAX_ATTACHMENTS: usize = socket::MAX_DESCRIPTORS;

/// Something to be sent with a message, by [`Sender::send_with`](crate::Sender::send_with).
///
/// What travels is a descriptor, so its size does not matter and nothing is copied; the sender keeps its own. A
/// descriptor shares its *description* with the one that arrives: whoever holds either can move its position and change
/// its status flags. Open the file once more before sending it where that matters.
///
/// ```
/// use std::os::fd::AsFd;
/// use wharf_message_passing::Attachment;
/// use wharf_shared_memory::SealedBuffer;
///
/// let picture = SealedBuffer::copy_of(&[0; 1000])?;
/// let (_reader, writer) = std::io::pipe()?;
/// let attachments = [Attachment::from(&picture), Attachment::from(writer.as_fd())];
/// # let _ = attachments;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Attachment<'a> {
    fd: Held<'a>,
    region: bool,
}

enum Held<'a> {
    Borrowed(BorrowedFd<'a>),
    Owned(OwnedFd),
}

impl Attachment<'static> {
    /// A region, to be attached with [`Message::take_region`](crate::Message::take_region). Only for peers that are
    /// trusted to cooperate.
    ///
    /// # Errors
    /// In a forked child, and when the system has no descriptor left.
    pub fn region<T: Shared>(region: &Region<T>) -> Result<Self, RegionError> {
        Region::share(region).map(Self::of_region)
    }

    /// A region of bytes, to be attached with [`Message::take_bytes_region`](crate::Message::take_bytes_region). Only for
    /// peers that are trusted to cooperate.
    ///
    /// # Errors
    /// As [`region`](Self::region).
    pub fn bytes_region(region: &BytesRegion) -> Result<Self, RegionError> {
        region.share().map(Self::of_region)
    }

    fn of_region(fd: OwnedFd) -> Self {
        Self { fd: Held::Owned(fd), region: true }
    }
}

impl Attachment<'_> {
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        match &self.fd {
            Held::Borrowed(fd) => *fd,
            Held::Owned(fd) => fd.as_fd(),
        }
    }

    /// Whether it is for cooperating peers only.
    pub(crate) fn is_region(&self) -> bool {
        self.region
    }
}

/// Any descriptor.
impl<'a> From<BorrowedFd<'a>> for Attachment<'a> {
    fn from(fd: BorrowedFd<'a>) -> Self {
        Self { fd: Held::Borrowed(fd), region: false }
    }
}

/// Any descriptor; this process's copy is closed with the attachment.
impl From<OwnedFd> for Attachment<'static> {
    fn from(fd: OwnedFd) -> Self {
        Self { fd: Held::Owned(fd), region: false }
    }
}

/// A sealed buffer, for peers of any trust.
impl<'a> From<&'a SealedBuffer> for Attachment<'a> {
    fn from(buffer: &'a SealedBuffer) -> Self {
        Self::from(buffer.fd())
    }
}

impl fmt::Debug for Attachment<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attachment").field("fd", &self.fd()).field("region", &self.region).finish()
    }
}

/// Why an attachment could not be taken from a message.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TakeError {
    /// The message has no attachment (left).
    #[error("the message has no attachment left: {came} came with it, and {came} were taken")]
    NoneLeft {
        /// How many came.
        came: usize,
    },
    /// This process could not open the descriptors when the message came, so they are gone; the bytes are whole.
    #[error(
        "the {sent} attachments of the message are lost: this process may have {limit} descriptors open and had no room \
         for them; raise the limit (`ulimit -n`), or close some, and let them be sent again"
    )]
    NotOpened {
        /// How many were sent.
        sent: usize,
        /// How many descriptors this process may have open.
        limit: u64,
    },
    /// A region from a peer that is not trusted to cooperate.
    #[error(
        "a region came from a peer that is not trusted to cooperate: whoever may write a region can spoil it for all; let \
         it send a sealed buffer, or trust it with Options::trust"
    )]
    Hostile,
    /// What came is no sealed buffer.
    #[error(transparent)]
    Buffer(#[from] SealedError),
    /// What came is no region, or none that this process may attach.
    #[error(transparent)]
    Region(#[from] RegionError),
}

/// What came with the last message and was not taken yet. What nobody takes is closed, and no socket among it lingers: how
/// long this process takes is not for its peer to say.
#[derive(Debug)]
pub(crate) struct Cargo {
    fds: VecDeque<OwnedFd>,
    /// How many came, or should have.
    came: usize,
    /// The limit that kept them from being opened.
    lost: Option<u64>,
    /// The peer is trusted to cooperate.
    cooperating: bool,
}

impl Cargo {
    pub(crate) fn new(cooperating: bool) -> Self {
        Self { fds: VecDeque::new(), came: 0, lost: None, cooperating }
    }

    /// Takes in what came with a message.
    pub(crate) fn load(&mut self, fds: Vec<OwnedFd>) {
        self.came = fds.len();
        self.fds = fds.into();
    }

    /// Notes that what should have come could not be opened.
    pub(crate) fn lose(&mut self, sent: usize) {
        self.clear();
        self.came = sent;
        // Asking does not fail; if it did, no limit is known.
        self.lost = Some(poll::most_descriptors().map_or(u64::MAX, |most| most as u64));
    }

    /// Closes what nobody took.
    #[inline]
    pub(crate) fn clear(&mut self) {
        if self.came > 0 {
            socket::discard(self.fds.drain(..));
            self.came = 0;
            self.lost = None;
        }
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.came == 0
    }

    /// How many can still be taken, or could if they had not been lost.
    pub(crate) fn left(&self) -> usize {
        if self.lost.is_some() { self.came } else { self.fds.len() }
    }

    pub(crate) fn take_fd(&mut self) -> Result<OwnedFd, TakeError> {
        match (self.lost, self.fds.pop_front()) {
            (Some(limit), _) => Err(TakeError::NotOpened { sent: self.came, limit }),
            (None, Some(fd)) => Ok(fd),
            (None, None) => Err(TakeError::NoneLeft { came: self.came }),
        }
    }

    pub(crate) fn take_buffer(&mut self) -> Result<SealedBuffer, TakeError> {
        let fd = self.take_fd()?;
        // What is no buffer is closed right away, and may be a socket.
        socket::forget_linger(&fd);
        Ok(SealedBuffer::from_fd(fd)?)
    }

    pub(crate) fn take_region<T: Shared>(&mut self) -> Result<Region<T>, TakeError> {
        Ok(Region::attach_fd(self.take_trusted()?)?)
    }

    pub(crate) fn take_bytes_region(&mut self) -> Result<BytesRegion, TakeError> {
        Ok(BytesRegion::attach_fd(self.take_trusted()?)?)
    }

    /// The next one, of a peer that may share memory that both write.
    fn take_trusted(&mut self) -> Result<OwnedFd, TakeError> {
        if self.left() > 0 && !self.cooperating {
            return Err(TakeError::Hostile);
        }
        self.take_fd()
    }
}

impl Drop for Cargo {
    fn drop(&mut self) {
        self.clear();
    }
}
