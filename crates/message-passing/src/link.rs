//! One live connection between two ends: a sender and a receiver that met.

use std::sync::Arc;
use std::time::Duration;

use crate::address::Address;
use crate::attachment::Attachment;
use crate::error::{RecvError, SendError};
use crate::loan::Loan;
use crate::message::Message;
use crate::options::{Options, Policy, Trust, Wait};
use crate::peer::Peer;
use crate::receiver::Receiver;
use crate::sender::Sender;
use crate::transport::{Joined, PeerMemory};
use crate::waits::{Endpoint, Seam};

/// What both ends of one side of a link know of it.
#[derive(Debug)]
pub(crate) struct Facts {
    pub(crate) address: Address,
    pub(crate) peer: Peer,
    pub(crate) limit: usize,
    pub(crate) wait: Wait,
    pub(crate) policy: Policy,
    /// How far a peer is trusted that is met later.
    pub(crate) trust: Trust,
    /// The one processor to which the peer was confined when it introduced itself.
    pub(crate) their_cpu: Option<usize>,
}

/// One live connection.
///
/// Messages arrive whole, in order, and exactly once while both sides live; an empty message is a message. Over `mq:` the
/// highest priority comes first, and order holds within one.
///
/// | | `shm:` | `unix:` | `pipe:` | `mq:` | `tcp:`, `tls:`, `ws:` | `inproc:` |
/// |---|---|---|---|---|---|---|
/// | the bytes move | through memory that only their sender can write | through the kernel | through the kernel, by a pair of FIFOs | through the kernel, by a pair of POSIX queues | over a network, or loopback | through memory of one process |
/// | system calls per message while the peer keeps up | none | one a side | one for each sent, one for many received | one a side | one for each sent, one for many received | none |
/// | largest message | [`Options::max_message`] | the same, at most 4 GiB - 1 | as `unix:` | the same, at most `fs.mqueue.msgsize_max` - 8 bytes (usually 8,184) | as `unix:` | as `shm:` |
/// | waits in each direction | [`Options::capacity`] | the same, at most the kernel's limit | the same, at most 64 KiB | as many slots of the largest message as fit the capacity, at most `fs.mqueue.msg_max` (usually 10) | see [`Options::capacity`] | as `shm:` |
/// | `send` when full | waits, or says `Full` ([`Policy`]) | the same | the same | the same, whatever the priority | the same | the same |
/// | the peer closes | `Closed` after the last message | the same | the same; a sender knows within some 4 ms of sending | the same; the end comes after every message of any priority | as `pipe:` | the same |
/// | the peer dies | `PeerDied` after the last message | the same | the same; a sender knows within some 4 ms of sending | the same; a queue takes what nobody will read, so a sender may learn it up to 100 ms later | `PeerDied` after the last that arrived | cannot happen alone |
/// | the connection breaks | cannot happen | cannot happen | cannot happen | cannot happen | `System`, in words; never made anew in silence | cannot happen |
/// | the peer sends nonsense | `Protocol` | `Protocol` | `Protocol` | `Protocol` | `Protocol` | cannot happen |
/// | peers that are not trusted | yes | yes | no: whoever holds an end of a pipe can make the other hang | yes | yes | no such peers |
/// | attachments ([`send_with`](Link::send_with)) | descriptors, sealed buffers, regions; at most 64 descriptors on their way | descriptors, sealed buffers, regions | `CannotCarry` | `CannotCarry` | `CannotCarry` | `CannotCarry` |
#[derive(Debug)]
pub struct Link {
    sender: Sender,
    receiver: Receiver,
}

impl Link {
    pub(crate) fn new(joined: Joined, options: &Options, address: Address, peer: Peer) -> Self {
        let facts = Arc::new(Facts {
            address,
            peer,
            limit: usize::try_from(joined.limit).unwrap_or(usize::MAX),
            wait: options.wait,
            policy: options.policy,
            trust: options.trust,
            their_cpu: joined.theirs.confined.map(usize::from),
        });
        Self { sender: Sender::new(joined.send, facts.clone()), receiver: Receiver::new(joined.recv, facts) }
    }

    /// Two ends that make a link.
    pub(crate) fn of(sender: Sender, receiver: Receiver) -> Self {
        Self { sender, receiver }
    }

    /// Takes the link apart, so that two threads can send and receive at the same time.
    pub fn split(self) -> (Sender, Receiver) {
        (self.sender, self.receiver)
    }

    /// The sending end.
    pub fn sender(&mut self) -> &mut Sender {
        &mut self.sender
    }

    /// The receiving end.
    pub fn receiver(&mut self) -> &mut Receiver {
        &mut self.receiver
    }

    /// Who is at the other end.
    pub fn peer(&self) -> &Peer {
        self.sender.peer()
    }

    /// The address at which the two sides met.
    pub fn address(&self) -> &Address {
        self.sender.address()
    }

    /// The largest message that this link carries, in bytes.
    pub fn max_message(&self) -> usize {
        self.sender.max_message()
    }

    /// See [`Receiver::peer_memory`].
    #[doc(hidden)]
    pub fn peer_memory(&self) -> Option<PeerMemory<'_>> {
        self.receiver.peer_memory()
    }

    /// See [`Sender::try_send`].
    ///
    /// # Errors
    /// The same.
    #[inline]
    pub fn try_send(&mut self, message: &[u8]) -> Result<(), SendError> {
        self.sender.try_send(message)
    }

    /// See [`Sender::send`].
    ///
    /// # Errors
    /// The same.
    #[inline]
    pub fn send(&mut self, message: &[u8]) -> Result<(), SendError> {
        self.sender.send(message)
    }

    /// See [`Sender::send_timeout`].
    ///
    /// # Errors
    /// The same.
    #[inline]
    pub fn send_timeout(&mut self, message: &[u8], limit: Duration) -> Result<(), SendError> {
        self.sender.send_timeout(message, limit)
    }

    /// See [`Sender::try_send_with`].
    ///
    /// # Errors
    /// The same.
    pub fn try_send_with(&mut self, message: &[u8], attachments: &[Attachment<'_>]) -> Result<(), SendError> {
        self.sender.try_send_with(message, attachments)
    }

    /// See [`Sender::send_with`].
    ///
    /// # Errors
    /// The same.
    pub fn send_with(&mut self, message: &[u8], attachments: &[Attachment<'_>]) -> Result<(), SendError> {
        self.sender.send_with(message, attachments)
    }

    /// See [`Sender::send_with_timeout`].
    ///
    /// # Errors
    /// The same.
    pub fn send_with_timeout(
        &mut self,
        message: &[u8],
        attachments: &[Attachment<'_>],
        limit: Duration,
    ) -> Result<(), SendError> {
        self.sender.send_with_timeout(message, attachments, limit)
    }

    /// See [`Sender::send_rendezvous`].
    ///
    /// # Errors
    /// The same.
    pub fn send_rendezvous(&mut self, message: &[u8], limit: Option<Duration>) -> Result<(), SendError> {
        self.sender.send_rendezvous(message, limit)
    }

    /// See [`Sender::try_send_with_priority`].
    ///
    /// # Errors
    /// The same.
    pub fn try_send_with_priority(&mut self, message: &[u8], priority: u16) -> Result<(), SendError> {
        self.sender.try_send_with_priority(message, priority)
    }

    /// See [`Sender::send_with_priority`].
    ///
    /// # Errors
    /// The same.
    pub fn send_with_priority(&mut self, message: &[u8], priority: u16) -> Result<(), SendError> {
        self.sender.send_with_priority(message, priority)
    }

    /// See [`Sender::send_timeout_with_priority`].
    ///
    /// # Errors
    /// The same.
    pub fn send_timeout_with_priority(
        &mut self,
        message: &[u8],
        priority: u16,
        limit: Duration,
    ) -> Result<(), SendError> {
        self.sender.send_timeout_with_priority(message, priority, limit)
    }

    /// See [`Sender::send_rendezvous_with_priority`].
    ///
    /// # Errors
    /// The same.
    pub fn send_rendezvous_with_priority(
        &mut self,
        message: &[u8],
        priority: u16,
        limit: Option<Duration>,
    ) -> Result<(), SendError> {
        self.sender.send_rendezvous_with_priority(message, priority, limit)
    }

    /// See [`Sender::try_loan`].
    ///
    /// # Errors
    /// The same.
    #[inline]
    pub fn try_loan(&mut self, len: usize) -> Result<Loan<'_>, SendError> {
        self.sender.try_loan(len)
    }

    /// See [`Sender::loan`].
    ///
    /// # Errors
    /// The same.
    #[inline]
    pub fn loan(&mut self, len: usize) -> Result<Loan<'_>, SendError> {
        self.sender.loan(len)
    }

    /// See [`Receiver::try_recv`].
    ///
    /// # Errors
    /// The same.
    #[inline]
    pub fn try_recv(&mut self) -> Result<Message<'_>, RecvError> {
        self.receiver.try_recv()
    }

    /// See [`Receiver::recv`].
    ///
    /// # Errors
    /// The same.
    #[inline]
    pub fn recv(&mut self) -> Result<Message<'_>, RecvError> {
        self.receiver.recv()
    }

    /// See [`Receiver::recv_timeout`].
    ///
    /// # Errors
    /// The same.
    #[inline]
    pub fn recv_timeout(&mut self, limit: Duration) -> Result<Message<'_>, RecvError> {
        self.receiver.recv_timeout(limit)
    }

    /// See [`Receiver::recv_many`].
    ///
    /// # Errors
    /// The same.
    pub fn recv_many(&mut self, max: usize, each: impl FnMut(Message<'_>)) -> Result<usize, RecvError> {
        self.receiver.recv_many(max, each)
    }
}

/// Ready when its receiver is.
impl Endpoint for Link {
    fn seam(&mut self) -> Seam<'_> {
        self.receiver.seam()
    }
}
