//! Members of buses that carry values of one type of fixed size.

use std::time::Duration;

use wharf_shared_memory::Plain;

#[cfg(feature = "tokio")]
use crate::asynchronous::InTasks;
use crate::error::{RecvError, SendError};
use crate::pattern::topic::{
    Publisher, PublisherId, PublisherInfo, Subscriber, TypedPublisher, TypedPublisherLoan, TypedSample, TypedSubscriber,
};
use crate::waits::waits_as_its;

/// A [`BusMember`](super::BusMember) of values of one type.
///
/// What happens when its log is full, and when somebody lags, leaves or dies, is told there.
#[derive(Debug)]
pub struct TypedBusMember<T> {
    publisher: TypedPublisher<T>,
    subscriber: TypedSubscriber<T>,
}

impl<T: Plain> TypedBusMember<T> {
    pub(super) fn new((publisher, subscriber): (Publisher, Subscriber)) -> Self {
        Self { publisher: TypedPublisher::new(publisher), subscriber: TypedSubscriber::new(subscriber) }
    }

    /// See [`Publisher::try_send`].
    ///
    /// # Errors
    /// The same.
    #[inline]
    pub fn try_send(&mut self, value: &T) -> Result<(), SendError> {
        self.publisher.try_send(value)
    }

    /// See [`BusMember::send`](super::BusMember::send).
    ///
    /// # Errors
    /// The same.
    #[inline]
    pub fn send(&mut self, value: &T) -> Result<(), SendError> {
        self.publisher.send(value)
    }

    /// See [`Publisher::send_timeout`].
    ///
    /// # Errors
    /// The same.
    pub fn send_timeout(&mut self, value: &T, limit: Duration) -> Result<(), SendError> {
        self.publisher.send_timeout(value, limit)
    }

    /// See [`TypedPublisher::loan`].
    ///
    /// # Errors
    /// The same.
    pub fn loan(&mut self) -> Result<TypedPublisherLoan<'_, T>, SendError> {
        self.publisher.loan()
    }

    /// See [`TypedSubscriber::try_recv`].
    ///
    /// # Errors
    /// The same.
    #[inline]
    pub fn try_recv(&mut self) -> Result<TypedSample<'_, T>, RecvError> {
        self.subscriber.try_recv()
    }

    /// See [`TypedSubscriber::recv`].
    ///
    /// # Errors
    /// The same.
    #[inline]
    pub fn recv(&mut self) -> Result<TypedSample<'_, T>, RecvError> {
        self.subscriber.recv()
    }

    /// See [`TypedSubscriber::recv_timeout`].
    ///
    /// # Errors
    /// The same.
    pub fn recv_timeout(&mut self, limit: Duration) -> Result<TypedSample<'_, T>, RecvError> {
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
    pub fn publisher(&mut self) -> &mut TypedPublisher<T> {
        &mut self.publisher
    }

    /// The hearing end.
    pub fn subscriber(&mut self) -> &mut TypedSubscriber<T> {
        &mut self.subscriber
    }

    /// See [`BusMember::split`](super::BusMember::split).
    pub fn split(self) -> (TypedPublisher<T>, TypedSubscriber<T>) {
        (self.publisher, self.subscriber)
    }

    /// The same two ends for tasks of a tokio runtime.
    #[cfg(feature = "tokio")]
    pub fn into_async(self) -> (InTasks<TypedPublisher<T>>, InTasks<TypedSubscriber<T>>) {
        (self.publisher.into_async(), self.subscriber.into_async())
    }
}

waits_as_its!(subscriber, impl<T: Plain> TypedBusMember<T>);
