//! Topics: what publishers send reaches everybody who subscribes to their name. Here is a topic before it is opened: its name,
//! what it carries, and how.
//!
//! A *publisher* writes a log at its *desk*, where the node's thread, by way of its *host*, gives and takes subscribers' seats; its
//! *patience* says for whom it waits. A *subscriber* has a *source* for each publisher that its *guest* has met, and asks them in
//! *turns* for *samples*. What the two tell each other are the *terms*. Values of types, fixed or of serde, are layers above both.

mod desk;
mod guest;
mod host;
mod patience;
mod publisher;
mod sample;
mod serde;
mod source;
mod subscriber;
mod terms;
#[cfg(test)]
mod tests;
mod turns;
mod typed;

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use ::serde::Serialize;
use ::serde::de::DeserializeOwned;
use wharf_shared_memory::Plain;

use crate::handshake::Payload;
use crate::node::{EndpointId, Node, NodeError, Pattern};
use crate::options::{DEFAULT_CAPACITY_BYTES, DEFAULT_MAX_MESSAGE_BYTES, Trust, Wait};

pub use self::publisher::{Publisher, PublisherLoan, PublisherRoom};
pub use self::sample::{HeldSample, PublisherId, PublisherInfo, Sample};
pub use self::serde::{SerdePublisher, SerdeSubscriber};
pub use self::subscriber::{Subscriber, SubscriberCompany};
pub use self::typed::{HeldTypedSample, TypedPublisher, TypedPublisherLoan, TypedSample, TypedSubscriber};

/// How long a publisher waits for a subscriber unless [`Topic::on_full`] says otherwise.
pub const DEFAULT_PATIENCE: Duration = Duration::from_secs(1);

/// Bytes of messages that a subscriber holds in place unless [`Topic::hold_bytes`] says otherwise.
pub const DEFAULT_HOLD_BYTES: usize = 16 << 20;

/// What a publisher does when its log is full: when the slowest subscriber has not read what lies at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnFull {
    /// Wait until there is room. Who is in the way for longer than `patience` loses the oldest messages, is told so, and is
    /// waited for no more until it has caught up: it delays the publisher once. `None` waits for ever.
    Block {
        /// How long a subscriber may hold the publisher up.
        patience: Option<Duration>,
    },
    /// Hand the message back with [`SendError::Full`](crate::SendError::Full).
    Reject,
    /// Drop the oldest messages, at least an eighth of the log at a time. Whoever had not read them is told how many there
    /// were.
    DropOldest,
}

impl Default for OnFull {
    fn default() -> Self {
        OnFull::Block { patience: Some(DEFAULT_PATIENCE) }
    }
}

impl OnFull {
    pub(super) fn may_drop(self) -> bool {
        match self {
            OnFull::Block { patience } => patience.is_some(),
            OnFull::Reject => false,
            OnFull::DropOldest => true,
        }
    }

    pub(crate) fn waits(self) -> bool {
        matches!(self, OnFull::Block { .. })
    }

    /// For the board.
    pub(super) fn code(self) -> u64 {
        match self {
            OnFull::Block { .. } => 1,
            OnFull::Reject => 2,
            OnFull::DropOldest => 3,
        }
    }
}

/// How an end of a topic is opened.
#[derive(Clone, Debug)]
pub(super) struct Terms {
    pub(super) capacity: usize,
    /// All of it is there when a publisher opens.
    pub(super) reserved: bool,
    pub(super) align: usize,
    pub(super) max_message: usize,
    pub(super) on_full: OnFull,
    pub(super) history: u64,
    pub(super) hold_bytes: usize,
    pub(super) wait: Wait,
    pub(super) trust: Trust,
    /// A subscriber of the same node that a publisher does not meet: the other end of one member of a bus.
    pub(super) apart: Option<EndpointId>,
}

impl Default for Terms {
    fn default() -> Self {
        Terms {
            capacity: DEFAULT_CAPACITY_BYTES,
            reserved: false,
            align: 8,
            max_message: DEFAULT_MAX_MESSAGE_BYTES,
            on_full: OnFull::default(),
            history: 0,
            hold_bytes: DEFAULT_HOLD_BYTES,
            wait: Wait::default(),
            trust: Trust::default(),
            apart: None,
        }
    }
}

/// A topic that carries any bytes.
#[derive(Debug)]
pub enum Bytes {}

/// A topic that carries values of one type of fixed size, seen where they lie.
pub struct Typed<T>(PhantomData<fn(T) -> T>);

/// A topic that carries values of any serde type, encoded with postcard.
pub struct Encoded<T>(PhantomData<fn(T) -> T>);

/// A topic of a [`Node`], about to be opened: set what matters, then ask for a publisher or a subscriber.
///
/// ```
/// # let private = tempfile::tempdir()?;
/// # let domain = wharf_sys::directory::Domain::at(private.path())?;
/// use std::time::Duration;
/// use wharf_message_passing::{NodeOptions, OnFull};
///
/// let node = NodeOptions::new().domain(domain).open()?;
/// let mut prices = node
///     .topic_of::<[f64; 2]>("prices/EURUSD")
///     .on_full(OnFull::DropOldest)
///     .history(10) // for those who come later
///     .publisher()?;
/// prices.send(&[1.08, 1.09])?;
///
/// let mut late = node.topic_of::<[f64; 2]>("prices/*").history(1).subscriber()?;
/// assert_eq!(*late.recv()?, [1.08, 1.09]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Topic<P = Bytes> {
    node: Node,
    name: String,
    terms: Terms,
    payload: PhantomData<fn(P) -> P>,
}

impl Node {
    /// A topic that carries any bytes. A name is 1 to 255 bytes long, in parts with slashes between them; a subscriber's may
    /// have stars: `*` stands for any one part, `**` at the end for one or more.
    pub fn topic(&self, name: impl Into<String>) -> Topic {
        Topic::new(self, name)
    }

    /// A topic that carries values of one type of fixed size. Both sides must mean the same type: its layout is compared.
    pub fn topic_of<T: Plain>(&self, name: impl Into<String>) -> Topic<Typed<T>> {
        Topic::new(self, name)
    }

    /// A topic that carries values of any serde type, encoded with postcard. Both sides must mean the same type; postcard
    /// does not describe what it encodes.
    pub fn topic_of_serde<T: Serialize + DeserializeOwned>(&self, name: impl Into<String>) -> Topic<Encoded<T>> {
        Topic::new(self, name)
    }
}

impl<P> Topic<P> {
    fn new(node: &Node, name: impl Into<String>) -> Topic<P> {
        Topic { node: node.clone(), name: name.into(), terms: Terms::default(), payload: PhantomData }
    }

    /// Bytes of messages that a publisher keeps for subscribers that have not read them yet, headers included (1 MiB unless
    /// said otherwise; rounded up to a power of two). A message that does not fit in half of it makes it grow. The memory is taken
    /// when 48 KiB are full for the first time, unless it is [`reserved`](Self::reserved).
    #[must_use]
    pub fn capacity(mut self, bytes: usize) -> Self {
        self.terms.capacity = bytes;
        self
    }

    /// Whether a publisher takes the memory for its whole [`capacity`](Self::capacity) when it opens, which then says
    /// [`NodeError::NoRoom`] where there is none, and sends neither wait for the system nor fail for want of it (`false` unless
    /// said otherwise).
    #[must_use]
    pub fn reserved(mut self, reserved: bool) -> Self {
        self.terms.reserved = reserved;
        self
    }

    /// What a publisher does when its log is full: waits, with a patience of a second, unless said otherwise.
    #[must_use]
    pub fn on_full(mut self, on_full: OnFull) -> Self {
        self.terms.on_full = on_full;
        self
    }

    /// A publisher keeps so many messages for subscribers to come, as far as its capacity has room for them; a subscriber
    /// begins with up to so many of those that were sent before it came. 0 unless said otherwise.
    #[must_use]
    pub fn history(mut self, messages: u64) -> Self {
        self.terms.history = messages;
        self
    }

    /// Where a publisher's messages start: a multiple of 8 bytes unless said otherwise; a power of two up to 4,096.
    #[must_use]
    pub fn align(mut self, bytes: usize) -> Self {
        self.terms.align = bytes;
        self
    }

    /// The largest message (256 MiB unless said otherwise): what a publisher sends, and what a subscriber takes.
    #[must_use]
    pub fn max_message(mut self, bytes: usize) -> Self {
        self.terms.max_message = bytes;
        self
    }

    /// Bytes of messages that a subscriber holds where they lie, for each publisher (16 MiB unless said otherwise). What it
    /// holds beyond that is copied.
    #[must_use]
    pub fn hold_bytes(mut self, bytes: usize) -> Self {
        self.terms.hold_bytes = bytes;
        self
    }

    /// How this end waits.
    #[must_use]
    pub fn wait(mut self, wait: Wait) -> Self {
        self.terms.wait = wait;
        self
    }

    /// How far the other ends are trusted: those of this user, unless said otherwise. A subscriber copies what comes from a
    /// publisher that is not trusted, or that does not trust it; a publisher looks at nothing that such a subscriber says but
    /// how far it is.
    #[must_use]
    pub fn trust(mut self, trust: Trust) -> Self {
        self.terms.trust = trust;
        self
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    fn open_publisher(&self, payload: Payload) -> Result<Publisher, NodeError> {
        Publisher::open(&self.node, Pattern::Topic, &self.name, payload, &self.terms)
    }

    fn open_subscriber(&self, payload: Payload) -> Result<Subscriber, NodeError> {
        Subscriber::open(&self.node, Pattern::Topic, &self.name, payload, &self.terms)
    }
}

impl Topic<Bytes> {
    /// Opens a publisher. When it returns, everybody who had subscribed before receives what is sent from now on.
    ///
    /// # Errors
    /// [`NodeError::Name`], [`NodeError::Options`], [`NodeError::OtherType`] when somebody uses the name for something else,
    /// [`NodeError::NoRoom`], [`NodeError::Full`], [`NodeError::Forked`], [`NodeError::Directory`], [`NodeError::System`].
    pub fn publisher(&self) -> Result<Publisher, NodeError> {
        self.open_publisher(Payload::Bytes)
    }

    /// Opens a subscriber. When it returns, it receives whatever is sent from now on by publishers that were there before;
    /// and by those that come later, everything.
    ///
    /// # Errors
    /// As [`publisher`](Self::publisher).
    pub fn subscriber(&self) -> Result<Subscriber, NodeError> {
        self.open_subscriber(Payload::Bytes)
    }
}

impl<T: Plain> Topic<Typed<T>> {
    /// As [`Topic::publisher`](Topic::<Bytes>::publisher).
    ///
    /// # Errors
    /// The same.
    pub fn publisher(&self) -> Result<TypedPublisher<T>, NodeError> {
        let mut terms = self.terms.clone();
        terms.align = terms.align.max(align_of::<T>());
        let payload = Payload::of::<T>();
        Publisher::open(&self.node, Pattern::Topic, &self.name, payload, &terms).map(TypedPublisher::new)
    }

    /// As [`Topic::subscriber`](Topic::<Bytes>::subscriber).
    ///
    /// # Errors
    /// The same.
    pub fn subscriber(&self) -> Result<TypedSubscriber<T>, NodeError> {
        self.open_subscriber(Payload::of::<T>()).map(TypedSubscriber::new)
    }
}

impl<T: Serialize + DeserializeOwned> Topic<Encoded<T>> {
    /// As [`Topic::publisher`](Topic::<Bytes>::publisher).
    ///
    /// # Errors
    /// The same.
    pub fn publisher(&self) -> Result<SerdePublisher<T>, NodeError> {
        self.open_publisher(Payload::Serde).map(SerdePublisher::new)
    }

    /// As [`Topic::subscriber`](Topic::<Bytes>::subscriber).
    ///
    /// # Errors
    /// The same.
    pub fn subscriber(&self) -> Result<SerdeSubscriber<T>, NodeError> {
        self.open_subscriber(Payload::Serde).map(SerdeSubscriber::new)
    }
}

impl<P> Clone for Topic<P> {
    fn clone(&self) -> Self {
        Topic { node: self.node.clone(), name: self.name.clone(), terms: self.terms.clone(), payload: PhantomData }
    }
}

impl<P> fmt::Debug for Topic<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Topic").field("name", &self.name).field("terms", &self.terms).finish_non_exhaustive()
    }
}
