//! One live connection between two ends: a sender and a receiver that met.

use std::sync::Arc;
use std::time::Duration;

use crate::address::Address;
use crate::attachment::Attachment;
use crate::error::{RecvError, SendError};
use crate::loan::Loan;
use crate::message::Message;
use crate::options::{Options, Policy, Wait};
use crate::peer::Peer;
use crate::receiver::Receiver;
use crate::sender::Sender;
use crate::transport::{Joined, PeerMemory};

/// What both ends of one side of a link know of it.
#[derive(Debug)]
pub(crate) struct Facts {
    pub(crate) address: Address,
    pub(crate) peer: Peer,
    pub(crate) limit: usize,
    pub(crate) wait: Wait,
    pub(crate) policy: Policy,
    /// The one processor to which the peer was confined when it introduced itself.
    pub(crate) their_cpu: Option<usize>,
}

/// One live connection.
///
/// Messages arrive whole, in order, and exactly once while both sides live; an empty message is a message.
///
/// | | `shm:` | `unix:` | `inproc:` |
/// |---|---|---|---|
/// | the bytes move | through memory that only their sender can write | through the kernel | through memory of one process |
/// | system calls per message while the peer keeps up | none | one a side | none |
/// | largest message | [`Options::max_message`] | the same, at most 4 GiB - 1 | the same |
/// | `send` when full | waits, or says `Full` ([`Policy`]) | the same | the same |
/// | the peer closes | `Closed` after the last message | the same | the same |
/// | the peer dies | `PeerDied` after the last message | the same | cannot happen alone |
/// | the peer sends nonsense | `Protocol` | `Protocol` | cannot happen |
/// | attachments ([`send_with`](Link::send_with)) | `CannotCarry` | descriptors, sealed buffers, regions | `CannotCarry` |
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
            their_cpu: joined.theirs.confined.map(usize::from),
        });
        Self { sender: Sender::new(joined.send, facts.clone()), receiver: Receiver::new(joined.recv, facts) }
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
}
