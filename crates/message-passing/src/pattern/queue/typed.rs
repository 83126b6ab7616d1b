//! Queues of values.

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use super::item::Item;
use super::puller::Puller;
use super::pusher::{Pushed, Pusher};
use crate::error::{RecvError, SendError};
use crate::pattern::state::Carry;

/// The giving end of a queue of values; see [`Pusher`].
pub struct TypedPusher<P> {
    pusher: Pusher,
    /// Kept from value to value.
    encoded: Vec<u8>,
    carries: PhantomData<fn(P) -> P>,
}

impl<P: Carry> TypedPusher<P> {
    pub(super) fn new(pusher: Pusher) -> Self {
        Self { pusher, encoded: Vec::new(), carries: PhantomData }
    }

    /// See [`Pusher::push`].
    ///
    /// # Errors
    /// The same, and [`SendError::Encode`].
    pub fn push(&mut self, value: &P::Value) -> Result<Pushed<'_>, SendError> {
        P::encode(value, usize::MAX, &mut self.encoded)?;
        self.pusher.push(&self.encoded)
    }

    /// See [`Pusher::try_push`].
    ///
    /// # Errors
    /// The same, and [`SendError::Encode`].
    pub fn try_push(&mut self, value: &P::Value) -> Result<Pushed<'_>, SendError> {
        P::encode(value, usize::MAX, &mut self.encoded)?;
        self.pusher.try_push(&self.encoded)
    }

    /// See [`Pusher::push_timeout`].
    ///
    /// # Errors
    /// The same, and [`SendError::Encode`].
    pub fn push_timeout(&mut self, value: &P::Value, limit: Duration) -> Result<Pushed<'_>, SendError> {
        P::encode(value, usize::MAX, &mut self.encoded)?;
        self.pusher.push_timeout(&self.encoded, limit)
    }

    /// The pusher below: flushing, outcomes, dead letters.
    pub fn pusher(&mut self) -> &mut Pusher {
        &mut self.pusher
    }
}

impl<P> fmt::Debug for TypedPusher<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TypedPusher").field(&self.pusher).finish()
    }
}

/// The working end of a queue of values; see [`Puller`].
pub struct TypedPuller<P> {
    puller: Puller,
    carries: PhantomData<fn(P) -> P>,
}

impl<P: Carry> TypedPuller<P> {
    pub(super) fn new(puller: Puller) -> Self {
        Self { puller, carries: PhantomData }
    }

    /// See [`Puller::recv`].
    ///
    /// # Errors
    /// The same, and [`RecvError::Protocol`] for an item that is not of this type: it is given back.
    pub fn recv(&mut self) -> Result<TypedItem<P>, RecvError> {
        TypedItem::of(self.puller.recv()?)
    }

    /// See [`Puller::try_recv`].
    ///
    /// # Errors
    /// The same, and [`RecvError::Protocol`] as in [`recv`](Self::recv).
    pub fn try_recv(&mut self) -> Result<TypedItem<P>, RecvError> {
        TypedItem::of(self.puller.try_recv()?)
    }

    /// See [`Puller::recv_timeout`].
    ///
    /// # Errors
    /// The same, and [`RecvError::Protocol`] as in [`recv`](Self::recv).
    pub fn recv_timeout(&mut self, limit: Duration) -> Result<TypedItem<P>, RecvError> {
        TypedItem::of(self.puller.recv_timeout(limit)?)
    }

    /// The puller below.
    pub fn puller(&mut self) -> &mut Puller {
        &mut self.puller
    }
}

impl<P> fmt::Debug for TypedPuller<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TypedPuller").field(&self.puller).finish()
    }
}

/// See [`Item`].
#[must_use = "an item that is dropped is given back"]
pub struct TypedItem<P: Carry> {
    value: P::Value,
    item: Item,
}

impl<P: Carry> TypedItem<P> {
    fn of(item: Item) -> Result<Self, RecvError> {
        Ok(Self { value: P::decode(&item)?, item })
    }

    /// The value.
    pub fn value(&self) -> &P::Value {
        &self.value
    }

    /// See [`Item::deliveries`].
    pub fn deliveries(&self) -> u32 {
        self.item.deliveries()
    }

    /// See [`Item::ack`].
    ///
    /// # Errors
    /// The same.
    pub fn ack(self) -> Result<(), SendError> {
        self.item.ack()
    }

    /// See [`Item::give_back`].
    ///
    /// # Errors
    /// The same.
    pub fn give_back(self) -> Result<(), SendError> {
        self.item.give_back()
    }

    /// The item below.
    pub fn item(&self) -> &Item {
        &self.item
    }
}

impl<P: Carry> fmt::Debug for TypedItem<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TypedItem").field(&self.item).finish()
    }
}
