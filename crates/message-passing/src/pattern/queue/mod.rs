//! Queues: work shared among processes. Each item goes to one worker, which acknowledges it, or to another.
//!
//! Who has what, and what comes back, is decided in `books.rs`: logic without I/O. `pusher.rs` and `puller.rs` move the bytes
//! over private links (a pusher's in `outlet.rs`), which are made as those of services are, by name or over an address, and do
//! not know how. What a worker says of its items goes through `desk.rs`, from whatever thread; whether it has settled all before one
//! is in `order.rs`. `mover.rs` moves a pusher's items while its program is elsewhere.

mod books;
mod desk;
mod frame;
mod host;
mod item;
mod mover;
mod order;
mod outlet;
mod puller;
mod pusher;
#[cfg(test)]
mod short_tests;
#[cfg(test)]
mod tally_tests;
mod typed;
mod waits;

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use ::serde::Serialize;
use ::serde::de::DeserializeOwned;
use wharf_shared_memory::Plain;

pub use self::books::{DeadLetter, Settled};
pub use self::item::Item;
pub use self::puller::Puller;
pub use self::pusher::{PushId, Pushed, Pusher};
pub use self::typed::{TypedItem, TypedPuller, TypedPusher};

use super::place::{OpenError, Place};
use super::state::Carry;
use super::topic::{Bytes, Encoded, Typed};
use crate::handshake::Payload;
use crate::node::Node;
use crate::options::{Options, Policy, Trust, Wait};
use crate::wait::Limit;

/// Items that a puller is given before it settles the first, unless [`Queue::prefetch`] says otherwise.
pub const DEFAULT_PREFETCH: u32 = 16;

/// Items that a pusher keeps, unless [`Queue::most_items`] says otherwise.
pub const DEFAULT_MOST_ITEMS: usize = 16_384;

/// Bytes of the items that a pusher keeps, unless [`Queue::most_bytes`] says otherwise.
pub const DEFAULT_MOST_BYTES: usize = 64 << 20;

/// Deliveries after which an item is a dead letter, unless [`Queue::most_deliveries`] says otherwise.
pub const DEFAULT_MOST_DELIVERIES: u32 = 8;

/// How both ends are opened.
#[derive(Clone, Debug)]
struct Terms {
    options: Options,
    prefetch: u32,
    most_items: usize,
    most_bytes: usize,
    most_deliveries: u32,
    most_pullers: Option<usize>,
    acknowledge: Option<Duration>,
    patience: Limit,
}

impl Terms {
    fn new(options: Options) -> Terms {
        Terms {
            options,
            prefetch: DEFAULT_PREFETCH,
            most_items: DEFAULT_MOST_ITEMS,
            most_bytes: DEFAULT_MOST_BYTES,
            most_deliveries: DEFAULT_MOST_DELIVERIES,
            most_pullers: None,
            acknowledge: None,
            patience: Limit::Never,
        }
    }
}

/// A queue before an end of it is opened: its name or address, what it carries, and how.
///
/// `P` says what it carries: [`Bytes`], or [`Typed`] or [`Encoded`] values.
///
/// By name there may be any number of pushers and pullers, and each pusher gives to all pullers. Over an address one pusher
/// listens, and any number of pullers connect.
pub struct Queue<P = Bytes> {
    place: Place,
    terms: Terms,
    payload: PhantomData<fn(P) -> P>,
}

impl Node {
    /// A queue of this name that carries bytes.
    pub fn queue(&self, name: impl Into<String>) -> Queue {
        Queue::new(Place::Named(self.clone(), name.into()), Options::new())
    }

    /// A queue of this name that carries values of type `T`, as they lie in memory.
    pub fn queue_of<T: Plain>(&self, name: impl Into<String>) -> Queue<Typed<T>> {
        Queue::new(Place::Named(self.clone(), name.into()), Options::new())
    }

    /// The same for any serde type, encoded with postcard.
    pub fn queue_of_serde<T: Serialize + DeserializeOwned>(&self, name: impl Into<String>) -> Queue<Encoded<T>> {
        Queue::new(Place::Named(self.clone(), name.into()), Options::new())
    }
}

impl Options {
    /// A queue at this address that carries bytes.
    pub fn queue(&self, address: impl Into<String>) -> Queue {
        Queue::new(Place::Address(address.into()), self.clone())
    }

    /// A queue at this address that carries values of type `T`, as they lie in memory.
    pub fn queue_of<T: Plain>(&self, address: impl Into<String>) -> Queue<Typed<T>> {
        Queue::new(Place::Address(address.into()), self.clone())
    }

    /// The same for any serde type, encoded with postcard.
    pub fn queue_of_serde<T: Serialize + DeserializeOwned>(&self, address: impl Into<String>) -> Queue<Encoded<T>> {
        Queue::new(Place::Address(address.into()), self.clone())
    }
}

impl<P> Queue<P> {
    fn new(place: Place, options: Options) -> Queue<P> {
        Queue { place, terms: Terms::new(options), payload: PhantomData }
    }

    /// Puller: how many items it is given before it settles the first (16 unless said otherwise, at least 1, at most 1,024).
    /// 1 shares the most evenly where items take long; more keep a fast worker busy.
    #[must_use]
    pub fn prefetch(mut self, items: u32) -> Self {
        self.terms.prefetch = items.clamp(1, books::MOST_CREDIT as u32);
        self
    }

    /// Pusher: how many items it keeps (16,384 unless said otherwise).
    #[must_use]
    pub fn most_items(mut self, items: usize) -> Self {
        self.terms.most_items = items.max(1);
        self
    }

    /// Pusher: how many bytes of items it keeps (64 MiB unless said otherwise). One item is always kept, however large.
    #[must_use]
    pub fn most_bytes(mut self, bytes: usize) -> Self {
        self.terms.most_bytes = bytes;
        self
    }

    /// Pusher: after so many deliveries an item that nobody acknowledges is a [dead letter](Pusher::dead_letter) (8 unless said
    /// otherwise, at least 1). With 1, everything that a puller had when it died is dead.
    #[must_use]
    pub fn most_deliveries(mut self, deliveries: u32) -> Self {
        self.terms.most_deliveries = deliveries.max(1);
        self
    }

    /// Pusher: how many pullers it has at most at an address. Without, 1,024, or half as many as its process may open descriptors
    /// when it listens, where that is less. Whoever connects beyond that is refused, and told why.
    #[must_use]
    pub fn most_pullers(mut self, pullers: usize) -> Self {
        self.terms.most_pullers = Some(pullers);
        self
    }

    /// Pusher: a puller that says nothing of its oldest item for so long loses it to another, and all of its items if it says
    /// nothing at all: it is stopped, or hangs (without, which is the usual, only death is a reason). The time of an item begins
    /// when the one before it in the same puller is settled.
    #[must_use]
    pub fn acknowledge_within(mut self, limit: Duration) -> Self {
        self.terms.acknowledge = Some(limit);
        self
    }

    /// Pusher: what [`Pusher::push`] does where there is no room ([`Policy::Block`] unless said otherwise).
    #[must_use]
    pub fn policy(mut self, policy: Policy) -> Self {
        self.terms.options = self.terms.options.policy(policy);
        self
    }

    /// Pusher: how long a push that blocks waits for room (for ever unless said otherwise).
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.terms.patience = Limit::After(patience);
        self
    }

    /// How this end waits.
    #[must_use]
    pub fn wait(mut self, wait: Wait) -> Self {
        self.terms.options = self.terms.options.wait(wait);
        self
    }

    /// How far the other ends are trusted.
    #[must_use]
    pub fn trust(mut self, trust: Trust) -> Self {
        self.terms.options = self.terms.options.trust(trust);
        self
    }

    /// The largest item, with a header of 16 bytes (256 MiB unless said otherwise). A puller that takes less than its pusher
    /// may push is cut off.
    #[must_use]
    pub fn max_message(mut self, bytes: usize) -> Self {
        self.terms.options = self.terms.options.max_message(bytes);
        self
    }

    fn open_pusher(&self, payload: Payload) -> Result<Pusher, OpenError> {
        self.place.open(
            |node, name| Pusher::open(node, name, payload.clone(), &self.terms),
            |address| Pusher::listen(address, payload.clone(), &self.terms),
        )
    }

    fn open_puller(&self, payload: Payload, limit: Option<Duration>) -> Result<Puller, OpenError> {
        self.place.open(
            |node, name| Puller::open(node, name, payload.clone(), &self.terms),
            |address| Puller::connect(address, payload.clone(), &self.terms, limit),
        )
    }
}

impl Queue<Bytes> {
    /// Opens a pusher: by name one of several, by address the one that listens there.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn pusher(&self) -> Result<Pusher, OpenError> {
        self.open_pusher(Payload::Bytes)
    }

    /// Opens a puller. By name it needs no pusher yet; by address somebody must listen.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn puller(&self) -> Result<Puller, OpenError> {
        self.open_puller(Payload::Bytes, None)
    }

    /// Opens a puller; over an address waits for somebody to listen, at most `limit`.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn puller_timeout(&self, limit: Duration) -> Result<Puller, OpenError> {
        self.open_puller(Payload::Bytes, Some(limit))
    }
}

impl<P: Carry> Queue<P> {
    /// Opens a pusher of this type.
    ///
    /// # Errors
    /// [`OpenError`]; [`NodeError::OtherType`](crate::NodeError::OtherType) when somebody has opened the name for another type.
    pub fn typed_pusher(&self) -> Result<TypedPusher<P>, OpenError> {
        self.open_pusher(P::payload()).map(TypedPusher::new)
    }

    /// Opens a puller of this type.
    ///
    /// # Errors
    /// As [`typed_pusher`](Self::typed_pusher).
    pub fn typed_puller(&self) -> Result<TypedPuller<P>, OpenError> {
        self.open_puller(P::payload(), None).map(TypedPuller::new)
    }
}

impl<P> Clone for Queue<P> {
    fn clone(&self) -> Self {
        Queue { place: self.place.clone(), terms: self.terms.clone(), payload: PhantomData }
    }
}

impl<P> fmt::Debug for Queue<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue").field("place", &self.place).field("terms", &self.terms).finish_non_exhaustive()
    }
}
