//! A received message: bytes, borrowed from the receiver until the next call to it, and what came with them.

use std::fmt;
use std::ops::Deref;
use std::os::fd::OwnedFd;

use wharf_shared_memory::{BytesRegion, Region, SealedBuffer, Shared};

use crate::attachment::{Cargo, TakeError};
use crate::channel::ChannelEnd;
use crate::receiver::Receiver;
use crate::sender::Sender;

/// One received message.
///
/// It borrows the [`Receiver`]: the memory is released when the next message is asked for.
/// Copy what must live longer (`to_vec`).
///
/// # Attachments
/// What the peer sent along ([`Sender::send_with`](crate::Sender::send_with)) is taken from the message one by one, in
/// the order in which it was sent, as values that this process owns. Each is checked when it is taken: what it is said
/// to be is what it is. One that does not pass is closed, and the error says why. What nobody takes is closed by the
/// next call to the receiver, or with it.
///
/// ```
/// # use wharf_message_passing::{Attachment, Options};
/// # use wharf_shared_memory::SealedBuffer;
/// # let private = tempfile::tempdir()?;
/// # let options = Options::new().domain(wharf_sys::directory::Domain::at(private.path())?);
/// # let mut listener = options.listen("unix:pictures")?;
/// # let there = std::thread::spawn(move || -> Result<usize, Box<dyn std::error::Error + Send + Sync>> {
/// # let mut link = listener.accept()?;
/// let mut message = link.recv()?;
/// let picture = message.take_buffer()?;
/// # assert_eq!(&*message, b"frame 7");
/// # Ok(picture.len())
/// # });
/// # let mut link = options.connect("unix:pictures")?;
/// // The other side:
/// let picture = SealedBuffer::copy_of(&[0x80; 640 * 480])?;
/// link.send_with(b"frame 7", &[Attachment::from(&picture)])?;
/// # assert_eq!(there.join().unwrap().unwrap(), 640 * 480);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Message<'a> {
    bytes: &'a [u8],
    in_place: bool,
    /// What came with it, if anything did.
    cargo: Option<&'a mut Cargo>,
}

impl<'a> Message<'a> {
    /// A message that lies in the memory that the peer wrote.
    #[inline]
    pub(crate) fn in_place_at(bytes: &'a [u8]) -> Self {
        Self { bytes, in_place: true, cargo: None }
    }

    /// A message that lies in memory of this process alone.
    #[inline]
    pub(crate) fn private(bytes: &'a [u8]) -> Self {
        Self { bytes, in_place: false, cargo: None }
    }

    /// A message with what came along.
    pub(crate) fn carrying(bytes: &'a [u8], in_place: bool, cargo: &'a mut Cargo) -> Self {
        Self { bytes, in_place, cargo: Some(cargo) }
    }

    /// Whether the bytes lie where the sender wrote them (`true`), or in a copy that is private to this process.
    #[inline]
    pub fn in_place(&self) -> bool {
        self.in_place
    }

    /// The bytes, for as long as the receiver stays borrowed.
    #[inline]
    pub fn bytes(self) -> &'a [u8] {
        self.bytes
    }

    /// How many attachments can still be taken.
    pub fn attachments(&self) -> usize {
        self.cargo.as_ref().map_or(0, |cargo| cargo.left())
    }

    /// Takes the next attachment as a descriptor, whatever it leads to: a hostile peer may have sent anything. Closing or
    /// using one can take as long as its file system or its network likes.
    ///
    /// # Errors
    /// [`TakeError::NoneLeft`]; [`TakeError::NotOpened`] when this process had too many files open when the message came.
    pub fn take_fd(&mut self) -> Result<OwnedFd, TakeError> {
        self.cargo()?.take_fd()
    }

    /// Takes the next attachment as a sealed buffer, from a peer of any trust.
    ///
    /// # Errors
    /// [`TakeError::Buffer`] when it is something else; otherwise as [`take_fd`](Self::take_fd). To limit the size, give
    /// what [`take_fd`](Self::take_fd) gives to [`SealedBuffer::from_fd_at_most`].
    pub fn take_buffer(&mut self) -> Result<SealedBuffer, TakeError> {
        self.cargo()?.take_buffer()
    }

    /// Takes the next attachment as a region and attaches it.
    ///
    /// # Errors
    /// [`TakeError::Hostile`] when the peer is not trusted to cooperate (the attachment stays),
    /// [`TakeError::Region`] when it is no region of this type, or none that this user may attach; otherwise as
    /// [`take_fd`](Self::take_fd).
    pub fn take_region<T: Shared>(&mut self) -> Result<Region<T>, TakeError> {
        self.cargo()?.take_region()
    }

    /// Takes the next attachment as a region of bytes and attaches it.
    ///
    /// # Errors
    /// As [`take_region`](Self::take_region).
    pub fn take_bytes_region(&mut self) -> Result<BytesRegion, TakeError> {
        self.cargo()?.take_bytes_region()
    }

    /// Takes the next attachment as the sending end of a [channel](crate::Options::channel) of bytes.
    ///
    /// # Errors
    /// [`TakeError::HostileEnd`] when the peer is not trusted to cooperate (the attachment stays);
    /// [`TakeError::NotAnEnd`], [`TakeError::OtherEnd`], [`TakeError::OtherType`] when it is something else: it is closed, and
    /// whoever has the other end of it sees a death; otherwise as [`take_fd`](Self::take_fd).
    pub fn take_sender(&mut self) -> Result<Sender, TakeError> {
        self.take_end()
    }

    /// Takes the next attachment as the receiving end of a [channel](crate::Options::channel) of bytes.
    ///
    /// # Errors
    /// As [`take_sender`](Self::take_sender).
    pub fn take_receiver(&mut self) -> Result<Receiver, TakeError> {
        self.take_end()
    }

    /// Takes the next attachment as any end of a channel: `message.take_end::<TypedSender<Pose>>()`.
    ///
    /// # Errors
    /// As [`take_sender`](Self::take_sender).
    pub fn take_end<E: ChannelEnd>(&mut self) -> Result<E, TakeError> {
        self.cargo()?.take_end()
    }

    fn cargo(&mut self) -> Result<&mut Cargo, TakeError> {
        self.cargo.as_deref_mut().ok_or(TakeError::NoneLeft { came: 0 })
    }
}

impl Deref for Message<'_> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        self.bytes
    }
}

impl AsRef<[u8]> for Message<'_> {
    fn as_ref(&self) -> &[u8] {
        self.bytes
    }
}

impl fmt::Debug for Message<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message").field("len", &self.bytes.len()).field("in_place", &self.in_place).finish()
    }
}

impl<const N: usize> PartialEq<[u8; N]> for Message<'_> {
    fn eq(&self, other: &[u8; N]) -> bool {
        self.bytes == other
    }
}

impl PartialEq<[u8]> for Message<'_> {
    fn eq(&self, other: &[u8]) -> bool {
        self.bytes == other
    }
}
