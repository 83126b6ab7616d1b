//! A member of a bus of bytes: two ends of topics in one hand.

use std::time::Duration;

#[cfg(feature = "tokio")]
use crate::asynchronous::InTasks;
use crate::error::{RecvError, SendError};
use crate::pattern::topic::{
    Publisher, PublisherId, PublisherInfo, PublisherLoan, PublisherRoom, Sample, Subscriber, SubscriberCompany,
};
use crate::waits::waits_as_its;

/// A member of a bus: hears what all the others send, and is heard by all of them.
///
/// It is a [`Publisher`] and a [`Subscriber`] of one name, and promises what they do: a message lies in its sender's memory once,
/// whatever the number of members; each member's messages come in its order and are numbered; several members take turns. There is
/// no order between the messages of different members: two members may hear those of two others in another order.
///
/// # When full
/// As a publisher: the slowest of the others has not read what lies at the other end of this member's log, and its
/// [`OnFull`](super::OnFull) says what happens. A member that only sends, and never receives, is in the way of all others. With a
/// patience it delays each of them once; with `Block { patience: None }` members that send and do not receive meanwhile may wait for
/// each other for ever: receive in another thread ([`split`](Self::split)), or use `try_send`.
///
/// # When lagging
/// As a subscriber: [`RecvError::Lagged`] with the exact number of messages missed, once for each gap, for each member.
///
/// # When a member leaves or dies
/// All that it had sent is received. [`members`](Self::members) lists it no more; [`company`](Self::company) waits for that. Nobody
/// waits for a dead member.
///
/// Dropping it leaves. In a forked child it says [`RecvError::Forked`] and [`SendError::Forked`].
#[derive(Debug)]
pub struct BusMember {
    publisher: Publisher,
    subscriber: Subscriber,
}

impl BusMember {
    pub(super) fn new((publisher, subscriber): (Publisher, Subscriber)) -> BusMember {
        BusMember { publisher, subscriber }
    }

    /// See [`Publisher::try_send`].
    ///
    /// # Errors
    /// The same.
    #[inline]
    pub fn try_send(&mut self, message: &[u8]) -> Result<(), SendError> {
        self.publisher.try_send(message)
    }

    /// Sends a message to all the others; see *When full*.
    ///
    /// # Errors
    /// As [`Publisher::send`].
    #[inline]
    pub fn send(&mut self, message: &[u8]) -> Result<(), SendError> {
        self.publisher.send(message)
    }

    /// See [`Publisher::send_timeout`].
    ///
    /// # Errors
    /// The same.
    pub fn send_timeout(&mut self, message: &[u8], limit: Duration) -> Result<(), SendError> {
        self.publisher.send_timeout(message, limit)
    }

    /// See [`Publisher::try_loan`].
    ///
    /// # Errors
    /// The same.
    pub fn try_loan(&mut self, len: usize) -> Result<PublisherLoan<'_>, SendError> {
        self.publisher.try_loan(len)
    }

    /// Gives `len` bytes to fill and send; see [`Publisher::loan`].
    ///
    /// # Errors
    /// The same.
    pub fn loan(&mut self, len: usize) -> Result<PublisherLoan<'_>, SendError> {
        self.publisher.loan(len)
    }

    /// Receives the next message if there is one now; [`Sample::publisher`] says whose it is.
    ///
    /// # Errors
    /// As [`Subscriber::try_recv`].
    #[inline]
    pub fn try_recv(&mut self) -> Result<Sample<'_>, RecvError> {
        self.subscriber.try_recv()
    }

    /// Receives the next message; waits for it.
    ///
    /// # Errors
    /// As [`Subscriber::recv`].
    #[inline]
    pub fn recv(&mut self) -> Result<Sample<'_>, RecvError> {
        self.subscriber.recv()
    }

    /// Receives the next message; waits for it, at most `limit`.
    ///
    /// # Errors
    /// As [`Subscriber::recv_timeout`].
    pub fn recv_timeout(&mut self, limit: Duration) -> Result<Sample<'_>, RecvError> {
        self.subscriber.recv_timeout(limit)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.publisher.name()
    }

    /// What the others tell it by ([`PublisherInfo::id`]).
    pub fn id(&self) -> PublisherId {
        self.publisher.id()
    }

    /// The members that it hears now: all others that have not closed the sending end, and itself if it [hears
    /// itself](super::Bus::hears_itself). One that has left counts until all that it had sent is received, and this member has looked for more.
    pub fn members(&mut self) -> impl Iterator<Item = &PublisherInfo> {
        self.subscriber.publishers()
    }

    /// How many members hear it now.
    pub fn hearers(&mut self) -> usize {
        self.publisher.subscribers()
    }

    /// The member, as something to wait for beside others that is also ready when somebody has come or left since
    /// [`members`](Self::members) was called last.
    pub fn company(&mut self) -> SubscriberCompany<'_> {
        self.subscriber.company()
    }

    /// Room for a message of `len` bytes, as something to wait for beside others; see [`Publisher::room`].
    pub fn room(&mut self, len: usize) -> PublisherRoom<'_> {
        self.publisher.room(len)
    }

    /// The sending end.
    pub fn publisher(&mut self) -> &mut Publisher {
        &mut self.publisher
    }

    /// The hearing end.
    pub fn subscriber(&mut self) -> &mut Subscriber {
        &mut self.subscriber
    }

    /// Takes the member apart, so that two threads can send and receive at the same time. The two do not hear each other.
    pub fn split(self) -> (Publisher, Subscriber) {
        (self.publisher, self.subscriber)
    }

    /// The same two ends for tasks of a tokio runtime.
    #[cfg(feature = "tokio")]
    pub fn into_async(self) -> (InTasks<Publisher>, InTasks<Subscriber>) {
        (self.publisher.into_async(), self.subscriber.into_async())
    }
}

// Ready when there is a message, or something to tell beside messages.
waits_as_its!(subscriber, impl<> BusMember);
