//! Topics of one type of fixed size: values seen where they lie, their layout compared when the two sides meet.

use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use wharf_shared_memory::{Plain, plain};

use super::publisher::{Publisher, PublisherLoan};
use super::sample::{HeldSample, PublisherInfo, Sample};
use super::subscriber::Subscriber;
use crate::aligned::AlignedBytes;
use crate::error::{RecvError, SendError};
use crate::typed::value_in;
use crate::waits::waits_as_its;

/// A [`Publisher`] of values of one type.
///
/// What happens when the log is full, and when somebody lags or dies, is told there.
#[derive(Debug)]
pub struct TypedPublisher<T> {
    publisher: Publisher,
    type_: PhantomData<fn(T)>,
}

impl<T: Plain> TypedPublisher<T> {
    pub(in crate::pattern) fn new(publisher: Publisher) -> Self {
        Self { publisher, type_: PhantomData }
    }

    /// See [`Publisher::try_send`].
    ///
    /// # Errors
    /// The same.
    #[inline]
    pub fn try_send(&mut self, value: &T) -> Result<(), SendError> {
        self.publisher.try_send(plain::bytes_of(value))
    }

    /// See [`Publisher::send`].
    ///
    /// # Errors
    /// The same.
    #[inline]
    pub fn send(&mut self, value: &T) -> Result<(), SendError> {
        self.publisher.send(plain::bytes_of(value))
    }

    /// See [`Publisher::send_timeout`].
    ///
    /// # Errors
    /// The same.
    #[inline]
    pub fn send_timeout(&mut self, value: &T, limit: Duration) -> Result<(), SendError> {
        self.publisher.send_timeout(plain::bytes_of(value), limit)
    }

    /// Gives a value to fill and send, if there is room for it now. Its first content is unspecified.
    ///
    /// # Errors
    /// As [`Publisher::try_loan`].
    #[inline]
    pub fn try_loan(&mut self) -> Result<TypedPublisherLoan<'_, T>, SendError> {
        self.publisher.try_loan(size_of::<T>()).and_then(TypedPublisherLoan::new)
    }

    /// Gives a value to fill and send. Its first content is unspecified.
    ///
    /// # Errors
    /// As [`Publisher::loan`].
    #[inline]
    pub fn loan(&mut self) -> Result<TypedPublisherLoan<'_, T>, SendError> {
        self.publisher.loan(size_of::<T>()).and_then(TypedPublisherLoan::new)
    }

    /// The publisher of bytes: counts, limits, subscribers.
    pub fn publisher(&mut self) -> &mut Publisher {
        &mut self.publisher
    }
}

/// A [`Subscriber`] to values of one type.
///
/// What happens when it lags, and when a publisher dies or lies, is told there.
#[derive(Debug)]
pub struct TypedSubscriber<T> {
    subscriber: Subscriber,
    /// Where a value is put that does not lie on its alignment.
    spare: AlignedBytes,
    type_: PhantomData<fn() -> T>,
}

impl<T: Plain> TypedSubscriber<T> {
    pub(in crate::pattern) fn new(subscriber: Subscriber) -> Self {
        Self { subscriber, spare: AlignedBytes::empty_on(align_of::<T>()), type_: PhantomData }
    }

    /// See [`Subscriber::try_recv`].
    ///
    /// # Errors
    /// The same, and [`RecvError::Protocol`] when a publisher sent something that is not a `T`.
    #[inline]
    pub fn try_recv(&mut self) -> Result<TypedSample<'_, T>, RecvError> {
        TypedSample::of(self.subscriber.try_recv()?, &mut self.spare)
    }

    /// See [`Subscriber::recv`].
    ///
    /// # Errors
    /// The same, and [`RecvError::Protocol`] when a publisher sent something that is not a `T`.
    #[inline]
    pub fn recv(&mut self) -> Result<TypedSample<'_, T>, RecvError> {
        TypedSample::of(self.subscriber.recv()?, &mut self.spare)
    }

    /// See [`Subscriber::recv_timeout`].
    ///
    /// # Errors
    /// The same, and [`RecvError::Protocol`] when a publisher sent something that is not a `T`.
    #[inline]
    pub fn recv_timeout(&mut self, limit: Duration) -> Result<TypedSample<'_, T>, RecvError> {
        TypedSample::of(self.subscriber.recv_timeout(limit)?, &mut self.spare)
    }

    /// Looks for the next message; where it was found.
    #[cfg(feature = "tokio")]
    pub(crate) fn poll_place(&mut self) -> Result<Option<usize>, RecvError> {
        self.subscriber.poll_place()
    }

    /// The value that was just found there.
    #[cfg(feature = "tokio")]
    pub(crate) fn view(&mut self, at: usize) -> Result<TypedSample<'_, T>, RecvError> {
        TypedSample::of(self.subscriber.view(at), &mut self.spare)
    }

    /// See [`Subscriber::recv_many`].
    ///
    /// # Errors
    /// The same, and [`RecvError::Protocol`] when a publisher sent something that is not a `T`.
    pub fn recv_many(&mut self, max: usize, mut each: impl FnMut(TypedSample<'_, T>)) -> Result<usize, RecvError> {
        let Some(more) = max.checked_sub(1) else { return Ok(0) };
        each(self.recv()?);
        Ok(1 + self.take_more(more, each))
    }

    /// See [`Subscriber::try_recv_many`].
    ///
    /// # Errors
    /// The same, and [`RecvError::Protocol`] when a publisher sent something that is not a `T`.
    pub fn try_recv_many(&mut self, max: usize, mut each: impl FnMut(TypedSample<'_, T>)) -> Result<usize, RecvError> {
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
        mut each: impl FnMut(TypedSample<'_, T>),
    ) -> Result<usize, RecvError> {
        let Some(more) = max.checked_sub(1) else { return Ok(0) };
        each(self.recv_timeout(limit)?);
        Ok(1 + self.take_more(more, each))
    }

    pub(crate) fn take_more(&mut self, most: usize, mut each: impl FnMut(TypedSample<'_, T>)) -> usize {
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

waits_as_its!(subscriber, impl<T: Plain> TypedSubscriber<T>);

/// A received value, borrowed from the subscriber until the next call to it. [`hold`](Self::hold) keeps it longer; so does a
/// copy (`*sample`).
pub struct TypedSample<'a, T> {
    value: &'a T,
    sample: Sample<'a>,
    in_place: bool,
}

impl<'a, T: Plain> TypedSample<'a, T> {
    #[inline]
    fn of(sample: Sample<'a>, spare: &'a mut AlignedBytes) -> Result<Self, RecvError> {
        let (value, aligned) = value_in(sample.bytes(), spare)?;
        Ok(Self { value, sample, in_place: aligned && sample.in_place() })
    }

    /// Whether the value lies where the publisher wrote it (`true`), or in a copy that is private to this process.
    #[inline]
    pub fn in_place(&self) -> bool {
        self.in_place
    }

    /// See [`Sample::sequence`].
    #[inline]
    pub fn sequence(&self) -> u64 {
        self.sample.sequence()
    }

    /// See [`Sample::publisher`].
    #[inline]
    pub fn publisher(&self) -> &'a PublisherInfo {
        self.sample.publisher()
    }

    /// Keeps the value beyond the next call to the subscriber, in any thread: in place where [`Sample::hold`] does, otherwise
    /// as a private copy on its own alignment.
    pub fn hold(&self) -> HeldTypedSample<T> {
        let held = self.sample.hold();
        // The private copy of a held sample lies on any address.
        let copy = plain::view::<T>(&held).is_none().then(|| Box::new(*self.value));
        HeldTypedSample { held, copy }
    }
}

impl<T> Deref for TypedSample<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        self.value
    }
}

impl<T: fmt::Debug> fmt::Debug for TypedSample<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}

/// A value that is kept: it may go to another thread and outlive its subscriber. Dropping it gives the memory back.
pub struct HeldTypedSample<T> {
    held: HeldSample,
    /// The value, where `held` does not lie on its alignment.
    copy: Option<Box<T>>,
}

impl<T> HeldTypedSample<T> {
    /// Whether the value lies where the publisher wrote it (`true`), or in a private copy.
    pub fn in_place(&self) -> bool {
        self.copy.is_none() && self.held.in_place()
    }

    /// See [`HeldSample::sequence`].
    pub fn sequence(&self) -> u64 {
        self.held.sequence()
    }

    /// See [`HeldSample::publisher`].
    pub fn publisher(&self) -> &PublisherInfo {
        self.held.publisher()
    }
}

impl<T: Plain> Deref for HeldTypedSample<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        match &self.copy {
            Some(value) => value,
            None => {
                plain::view(&self.held).expect("length and alignment were checked when it was held and do not change")
            }
        }
    }
}

impl<T: Plain + fmt::Debug> fmt::Debug for HeldTypedSample<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

/// A value to fill; [`send`](Self::send) makes it a message, dropping it does not.
#[must_use = "a loan that is dropped sends nothing"]
#[derive(Debug)]
pub struct TypedPublisherLoan<'a, T> {
    loan: PublisherLoan<'a>,
    type_: PhantomData<T>,
}

impl<'a, T: Plain> TypedPublisherLoan<'a, T> {
    #[inline]
    fn new(loan: PublisherLoan<'a>) -> Result<Self, SendError> {
        if plain::view::<T>(&loan).is_none() {
            let what = format!("room for {} was lent on a wrong alignment", T::LAYOUT.name);
            return Err(SendError::System(std::io::Error::other(what)));
        }
        Ok(Self { loan, type_: PhantomData })
    }

    /// See [`PublisherLoan::in_place`].
    pub fn in_place(&self) -> bool {
        self.loan.in_place()
    }

    /// See [`PublisherLoan::send`].
    ///
    /// # Errors
    /// The same.
    #[inline]
    pub fn send(self) -> Result<(), SendError> {
        self.loan.send()
    }
}

impl<T: Plain> Deref for TypedPublisherLoan<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        plain::view(&self.loan).expect("length and alignment were checked when the loan was made and do not change")
    }
}

impl<T: Plain> DerefMut for TypedPublisherLoan<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        plain::view_mut(&mut self.loan)
            .expect("length and alignment were checked when the loan was made and do not change")
    }
}
