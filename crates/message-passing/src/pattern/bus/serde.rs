//! Members of buses that carry values of any serde type.

use std::time::Duration;

use ::serde::Serialize;
use ::serde::de::DeserializeOwned;

#[cfg(feature = "tokio")]
use crate::asynchronous::InTasks;
use crate::error::{RecvError, SendError};
use crate::pattern::topic::{Publisher, PublisherId, PublisherInfo, SerdePublisher, SerdeSubscriber, Subscriber};
use crate::waits::waits_as_its;

/// A [`BusMember`](super::BusMember) of values of any serde type.
///
/// What happens when its log is full, and when somebody lags, leaves or dies, is told there; what is not to be received from
/// somebody who may be hostile, with [`SerdeSubscriber`]. A value comes without its sender: where that matters, let it say so, or
/// use a bus of bytes.
#[derive(Debug)]
pub struct SerdeBusMember<T> {
    publisher: SerdePublisher<T>,
    subscriber: SerdeSubscriber<T>,
}

impl<T: Serialize + DeserializeOwned> SerdeBusMember<T> {
    pub(super) fn new((publisher, subscriber): (Publisher, Subscriber)) -> Self {
        Self { publisher: SerdePublisher::new(publisher), subscriber: SerdeSubscriber::new(subscriber) }
    }

    /// See [`SerdePublisher::try_send`].
    ///
    /// # Errors
    /// The same.
    pub fn try_send(&mut self, value: &T) -> Result<(), SendError> {
        self.publisher.try_send(value)
    }

    /// See [`BusMember::send`](super::BusMember::send).
    ///
    /// # Errors
    /// The same, and [`SendError::Encode`].
    pub fn send(&mut self, value: &T) -> Result<(), SendError> {
        self.publisher.send(value)
    }

    /// See [`SerdePublisher::send_timeout`].
    ///
    /// # Errors
    /// The same.
    pub fn send_timeout(&mut self, value: &T, limit: Duration) -> Result<(), SendError> {
        self.publisher.send_timeout(value, limit)
    }

    /// See [`SerdeSubscriber::try_recv`].
    ///
    /// # Errors
    /// The same.
    pub fn try_recv(&mut self) -> Result<T, RecvError> {
        self.subscriber.try_recv()
    }

    /// See [`SerdeSubscriber::recv`].
    ///
    /// # Errors
    /// The same.
    pub fn recv(&mut self) -> Result<T, RecvError> {
        self.subscriber.recv()
    }

    /// See [`SerdeSubscriber::recv_timeout`].
    ///
    /// # Errors
    /// The same.
    pub fn recv_timeout(&mut self, limit: Duration) -> Result<T, RecvError> {
        self.subscriber.recv_timeout(limit)
    }

    /// See [`BusMember::id`](super::BusMember::id).
    pub fn id(&mut self) -> PublisherId {
        self.publisher.publisher().id()
    }

    /// See [`BusMember::members`](super::BusMember::members).
    pub fn members(&mut self) -> impl Iterator<Item = &PublisherInfo> {
        self.subscriber.subscriber().publishers()
    }

    /// The sending end.
    pub fn publisher(&mut self) -> &mut SerdePublisher<T> {
        &mut self.publisher
    }

    /// The hearing end.
    pub fn subscriber(&mut self) -> &mut SerdeSubscriber<T> {
        &mut self.subscriber
    }

    /// See [`BusMember::split`](super::BusMember::split).
    pub fn split(self) -> (SerdePublisher<T>, SerdeSubscriber<T>) {
        (self.publisher, self.subscriber)
    }

    /// The same two ends for tasks of a tokio runtime.
    #[cfg(feature = "tokio")]
    pub fn into_async(self) -> (InTasks<SerdePublisher<T>>, InTasks<SerdeSubscriber<T>>) {
        (self.publisher.into_async(), self.subscriber.into_async())
    }
}

waits_as_its!(subscriber, impl<T: DeserializeOwned> SerdeBusMember<T>);
