//! Topics of any serde type, encoded with postcard.

use std::marker::PhantomData;
use std::time::Duration;

use ::serde::Serialize;
use ::serde::de::DeserializeOwned;

use super::publisher::Publisher;
use super::subscriber::Subscriber;
use crate::error::{RecvError, SendError};
use crate::serde::{decode, encode};
use crate::waits::waits_as_its;

/// A [`Publisher`] of values of any serde type.
///
/// What happens when the log is full, and when somebody lags or dies, is told there.
#[derive(Debug)]
pub struct SerdePublisher<T> {
    publisher: Publisher,
    /// Kept from message to message.
    encoded: Vec<u8>,
    type_: PhantomData<fn(T)>,
}

impl<T: Serialize> SerdePublisher<T> {
    pub(in crate::pattern) fn new(publisher: Publisher) -> Self {
        Self { publisher, encoded: Vec::new(), type_: PhantomData }
    }

    /// See [`Publisher::try_send`].
    ///
    /// # Errors
    /// The same, and [`SendError::Encode`].
    pub fn try_send(&mut self, value: &T) -> Result<(), SendError> {
        encode(value, self.publisher.max_message(), &mut self.encoded)?;
        self.publisher.try_send(&self.encoded)
    }

    /// See [`Publisher::send`].
    ///
    /// # Errors
    /// The same, and [`SendError::Encode`].
    pub fn send(&mut self, value: &T) -> Result<(), SendError> {
        encode(value, self.publisher.max_message(), &mut self.encoded)?;
        self.publisher.send(&self.encoded)
    }

    /// See [`Publisher::send_timeout`].
    ///
    /// # Errors
    /// The same, and [`SendError::Encode`].
    pub fn send_timeout(&mut self, value: &T, limit: Duration) -> Result<(), SendError> {
        encode(value, self.publisher.max_message(), &mut self.encoded)?;
        self.publisher.send_timeout(&self.encoded, limit)
    }

    /// The value as it is sent, and who sends it.
    #[cfg(feature = "tokio")]
    pub(crate) fn encode(&mut self, value: &T) -> Result<(&mut Publisher, &[u8]), SendError> {
        encode(value, self.publisher.max_message(), &mut self.encoded)?;
        Ok((&mut self.publisher, &self.encoded))
    }

    /// The publisher of bytes: counts, limits, subscribers.
    pub fn publisher(&mut self) -> &mut Publisher {
        &mut self.publisher
    }
}

/// A [`Subscriber`] to values of any serde type.
///
/// What happens when it lags, and when a publisher dies or lies, is told there. Which types not to
/// receive from one that may be hostile is said at [`SerdeLink`](crate::SerdeLink#peers-that-are-not-trusted).
#[derive(Debug)]
pub struct SerdeSubscriber<T> {
    subscriber: Subscriber,
    type_: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> SerdeSubscriber<T> {
    pub(in crate::pattern) fn new(subscriber: Subscriber) -> Self {
        Self { subscriber, type_: PhantomData }
    }

    /// See [`Subscriber::try_recv`].
    ///
    /// # Errors
    /// The same, and [`RecvError::Protocol`] when a publisher sent something that is not a `T`.
    pub fn try_recv(&mut self) -> Result<T, RecvError> {
        decode(&self.subscriber.try_recv()?)
    }

    /// See [`Subscriber::recv`].
    ///
    /// # Errors
    /// The same, and [`RecvError::Protocol`] when a publisher sent something that is not a `T`.
    pub fn recv(&mut self) -> Result<T, RecvError> {
        decode(&self.subscriber.recv()?)
    }

    /// See [`Subscriber::recv_timeout`].
    ///
    /// # Errors
    /// The same, and [`RecvError::Protocol`] when a publisher sent something that is not a `T`.
    pub fn recv_timeout(&mut self, limit: Duration) -> Result<T, RecvError> {
        decode(&self.subscriber.recv_timeout(limit)?)
    }

    /// Looks for the next message; where it was found.
    #[cfg(feature = "tokio")]
    pub(crate) fn poll_place(&mut self) -> Result<Option<usize>, RecvError> {
        self.subscriber.poll_place()
    }

    /// The value that was just found there.
    #[cfg(feature = "tokio")]
    pub(crate) fn view(&mut self, at: usize) -> Result<T, RecvError> {
        decode(&self.subscriber.view(at))
    }

    /// See [`Subscriber::recv_many`].
    ///
    /// # Errors
    /// The same, and [`RecvError::Protocol`] when a publisher sent something that is not a `T`.
    pub fn recv_many(&mut self, max: usize, mut each: impl FnMut(T)) -> Result<usize, RecvError> {
        let Some(more) = max.checked_sub(1) else { return Ok(0) };
        each(self.recv()?);
        Ok(1 + self.take_more(more, each))
    }

    /// See [`Subscriber::try_recv_many`].
    ///
    /// # Errors
    /// The same, and [`RecvError::Protocol`] when a publisher sent something that is not a `T`.
    pub fn try_recv_many(&mut self, max: usize, mut each: impl FnMut(T)) -> Result<usize, RecvError> {
        let Some(more) = max.checked_sub(1) else { return Ok(0) };
        each(self.try_recv()?);
        Ok(1 + self.take_more(more, each))
    }

    /// See [`Subscriber::recv_many_timeout`].
    ///
    /// # Errors
    /// The same, and [`RecvError::Protocol`] when a publisher sent something that is not a `T`.
    pub fn recv_many_timeout(
        &mut self,
        max: usize,
        limit: Duration,
        mut each: impl FnMut(T),
    ) -> Result<usize, RecvError> {
        let Some(more) = max.checked_sub(1) else { return Ok(0) };
        each(self.recv_timeout(limit)?);
        Ok(1 + self.take_more(more, each))
    }

    pub(crate) fn take_more(&mut self, most: usize, mut each: impl FnMut(T)) -> usize {
        for taken in 0..most {
            match self.try_recv() {
                Ok(value) => each(value),
                Err(RecvError::Empty) => return taken,
                Err(error) => {
                    self.subscriber.owe(error);
                    return taken;
                }
            }
        }
        most
    }

    /// The subscriber to bytes: its publishers, its refusals.
    pub fn subscriber(&mut self) -> &mut Subscriber {
        &mut self.subscriber
    }
}

waits_as_its!(subscriber, impl<T: DeserializeOwned> SerdeSubscriber<T>);
