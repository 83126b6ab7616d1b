//! What travels beside the bytes of a message: descriptors, sealed buffers, regions.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};

use wharf_shared_memory::{BytesRegion, Region, RegionError, SealedBuffer, SealedError, Shared};
use wharf_sys::{crash_point, poll, socket};

use crate::channel::{self, AttachError, ChannelEnd, Untied};
use crate::receiver::Receiver;
use crate::sender::Sender;
use crate::transport::channel::Unused;

/// The most attachments of one message.
pub const MAX_ATTACHMENTS: usize = socket::MAX_DESCRIPTORS;

/// Something to be sent with a message, by [`Sender::send_with`](crate::Sender::send_with).
///
/// What travels is a descriptor, so its size does not matter and nothing is copied; the sender keeps its own, except for the
/// end of a [channel](crate::Options::channel), which moves: it is here until the message is sent, and there afterwards. A
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
    /// An end of a channel, until it has travelled.
    End(Mutex<Option<Unused>>),
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

    /// The sending end of a channel, to be taken with [`Message::take_sender`](crate::Message::take_sender).
    ///
    /// The attachment is the end until it is sent: dropping it before says to the other end what dropping the sender does.
    ///
    /// # Errors
    /// When the sender was used, or is one of a link: it stays here, and the error has it.
    pub fn sender(sender: Sender) -> Result<Self, AttachError<Sender>> {
        Self::end(sender)
    }

    /// The receiving end of a channel, to be taken with [`Message::take_receiver`](crate::Message::take_receiver); as
    /// [`sender`](Self::sender).
    ///
    /// # Errors
    /// The same.
    pub fn receiver(receiver: Receiver) -> Result<Self, AttachError<Receiver>> {
        Self::end(receiver)
    }

    /// Any end of a channel, of bytes or of values, to be taken with [`Message::take_end`](crate::Message::take_end); as
    /// [`sender`](Self::sender).
    ///
    /// # Errors
    /// The same.
    pub fn end<E: ChannelEnd>(mut end: E) -> Result<Self, AttachError<E>> {
        match end.untie() {
            Ok(Untied(unused)) => Ok(Self { fd: Held::End(Mutex::new(Some(unused))), region: false }),
            Err(why) => Err(AttachError::new(end, why)),
        }
    }

    fn of_region(fd: OwnedFd) -> Self {
        Self { fd: Held::Owned(fd), region: true }
    }
}

impl Attachment<'_> {
    /// The descriptor; none of an end, which is [lent](Lent).
    fn fd(&self) -> Option<BorrowedFd<'_>> {
        match &self.fd {
            Held::Borrowed(fd) => Some(*fd),
            Held::Owned(fd) => Some(fd.as_fd()),
            Held::End(_) => None,
        }
    }

    /// The end, as long as it has not travelled.
    fn kept(&self) -> Option<MutexGuard<'_, Option<Unused>>> {
        match &self.fd {
            // Nothing panics while it holds this.
            Held::End(end) => Some(end.lock().unwrap_or_else(PoisonError::into_inner)),
            Held::Borrowed(_) | Held::Owned(_) => None,
        }
    }

    /// Whether it is for cooperating peers only.
    pub(crate) fn is_region(&self) -> bool {
        self.region
    }
}

/// The attachments of one message while it is sent. Ends of channels among them are taken out for so long, so that no two
/// messages carry one, and go back unless they have travelled.
pub(crate) struct Lent<'a> {
    attachments: &'a [Attachment<'a>],
    ends: Vec<Option<Unused>>,
}

impl<'a> Lent<'a> {
    pub(crate) fn of(attachments: &'a [Attachment<'a>]) -> Result<Self, &'static str> {
        let mut lent = Self { attachments, ends: Vec::new() };
        for attachment in attachments {
            let end = attachment.kept().map(|mut kept| kept.take());
            if matches!(end, Some(None)) {
                return Err("the end of a channel among them was sent before, and is in this process no more");
            }
            lent.ends.push(end.flatten());
        }
        if lent.ends.iter().any(Option::is_some) {
            crash_point!("channel.lent");
        }
        Ok(lent)
    }

    pub(crate) fn fds(&self) -> io::Result<Vec<BorrowedFd<'_>>> {
        let each = self.attachments.iter().zip(&self.ends);
        each.filter_map(|(attachment, end)| match end {
            Some(end) => Some(end.lifeline.get()),
            None => attachment.fd().map(Ok),
        })
        .collect()
    }

    /// They are in the message: the ends are here no more.
    pub(crate) fn have_travelled(mut self) {
        for end in self.ends.drain(..).flatten() {
            crash_point!("channel.sent");
            end.has_travelled();
        }
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        for (attachment, end) in self.attachments.iter().zip(self.ends.drain(..)) {
            if let (Some(mut kept), Some(end)) = (attachment.kept(), end) {
                *kept = Some(end);
            }
        }
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
        let end = self.kept().map(|kept| kept.as_ref().map(|end| end.note.part));
        f.debug_struct("Attachment").field("fd", &self.fd()).field("end", &end).field("region", &self.region).finish()
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
    /// The end of a channel from a peer that is not trusted to cooperate.
    #[error(
        "the end of a channel came from a peer that is not trusted to cooperate, which could keep a copy of it and disturb \
         whoever uses it: make the channel on this side and send the peer an end, or trust it with Options::trust"
    )]
    HostileEnd,
    /// What came is not the end of a channel.
    #[error("expected the {expected} of a channel, found something else: {found}")]
    NotAnEnd {
        /// Which end was asked for.
        expected: &'static str,
        /// What it is instead.
        found: String,
    },
    /// What came is the other end of a channel.
    #[error("expected the {expected} of a channel, found its {found}")]
    OtherEnd {
        /// Which end was asked for.
        expected: &'static str,
        /// Which one came.
        found: &'static str,
    },
    /// The channel carries other messages.
    #[error("the channel carries something else: this side expects {ours}, its maker made it for {theirs}")]
    OtherType {
        /// What was asked for.
        ours: String,
        /// What the channel carries.
        theirs: String,
    },
    /// The system refused to tell what came.
    #[error("cannot look at the end of a channel: {0}")]
    System(io::Error),
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

    pub(crate) fn take_end<E: ChannelEnd>(&mut self) -> Result<E, TakeError> {
        if self.left() > 0 && !self.cooperating {
            return Err(TakeError::HostileEnd);
        }
        channel::take(self.take_fd()?)
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
