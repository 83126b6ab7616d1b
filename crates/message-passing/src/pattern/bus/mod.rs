//! Buses: everyone hears everyone. Here is a bus before a member joins: its name, what it carries, and how.
//!
//! A member is a subscriber and a publisher of one name, made of the parts of topics, under a pattern of their own: neither a
//! topic's subscriber nor a bus's member finds the other by accident.

mod member;
mod serde;
mod typed;

use std::fmt;
use std::marker::PhantomData;

use ::serde::Serialize;
use ::serde::de::DeserializeOwned;
use wharf_shared_memory::Plain;

pub use self::member::BusMember;
pub use self::serde::SerdeBusMember;
pub use self::typed::TypedBusMember;

use super::topic::{Bytes, Encoded, OnFull, Publisher, Subscriber, Terms, Typed};
use crate::handshake::Payload;
use crate::node::{Filter, Node, NodeError, Pattern};
use crate::options::{Trust, Wait};

/// A bus of a [`Node`], about to be joined: set what matters, then [`join`](Bus::<Bytes>::join).
///
/// Every member hears what every other member sends, each in its order, and by default not itself.
///
/// ```
/// # let private = tempfile::tempdir()?;
/// # let domain = wharf_sys::directory::Domain::at(private.path())?;
/// use wharf_message_passing::NodeOptions;
///
/// let node = NodeOptions::new().domain(domain).open()?;
/// let mut ann = node.bus("room/7").join()?;
/// let mut bob = node.bus("room/7").join()?; // in any process
/// ann.send(b"hello")?;
/// bob.send(b"hi")?;
/// assert_eq!(*bob.recv()?, *b"hello");
/// assert_eq!(*ann.recv()?, *b"hi");
/// assert!(ann.try_recv().is_err()); // not what it said itself
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// A name has no stars. It is no name of a topic: a subscriber to a topic called the same hears nothing of it.
pub struct Bus<P = Bytes> {
    node: Node,
    name: String,
    terms: Terms,
    hears_itself: bool,
    payload: PhantomData<fn(P) -> P>,
}

impl Node {
    /// A bus that carries any bytes. A name is 1 to 255 bytes long, in parts with slashes between them, without stars.
    pub fn bus(&self, name: impl Into<String>) -> Bus {
        Bus::new(self, name)
    }

    /// A bus that carries values of one type of fixed size. All members must mean the same type: its layout is compared.
    pub fn bus_of<T: Plain>(&self, name: impl Into<String>) -> Bus<Typed<T>> {
        Bus::new(self, name)
    }

    /// A bus that carries values of any serde type, encoded with postcard. All members must mean the same type; postcard does
    /// not describe what it encodes.
    pub fn bus_of_serde<T: Serialize + DeserializeOwned>(&self, name: impl Into<String>) -> Bus<Encoded<T>> {
        Bus::new(self, name)
    }
}

impl<P> Bus<P> {
    fn new(node: &Node, name: impl Into<String>) -> Bus<P> {
        Bus {
            node: node.clone(),
            name: name.into(),
            terms: Terms::default(),
            hears_itself: false,
            payload: PhantomData,
        }
    }

    /// Whether the member hears what it sends itself, in its order with what the others hear of it (`false` unless said
    /// otherwise). Then it is one of those that it waits for when its log is full.
    #[must_use]
    pub fn hears_itself(mut self, hears_itself: bool) -> Self {
        self.hears_itself = hears_itself;
        self
    }

    /// Bytes of messages that the member keeps for others that have not read them yet; see [`Topic::capacity`](super::Topic::capacity).
    #[must_use]
    pub fn capacity(mut self, bytes: usize) -> Self {
        self.terms.capacity = bytes;
        self
    }

    /// Whether all of that memory is taken at once; see [`Topic::reserved`](super::Topic::reserved).
    #[must_use]
    pub fn reserved(mut self, reserved: bool) -> Self {
        self.terms.reserved = reserved;
        self
    }

    /// What the member does when its log is full: waits, with a patience of a second, unless said otherwise.
    #[must_use]
    pub fn on_full(mut self, on_full: OnFull) -> Self {
        self.terms.on_full = on_full;
        self
    }

    /// The member keeps so many of its messages for members to come, and begins with up to so many of each that is there; see
    /// [`Topic::history`](super::Topic::history).
    #[must_use]
    pub fn history(mut self, messages: u64) -> Self {
        self.terms.history = messages;
        self
    }

    /// Where the member's messages start; see [`Topic::align`](super::Topic::align).
    #[must_use]
    pub fn align(mut self, bytes: usize) -> Self {
        self.terms.align = bytes;
        self
    }

    /// The largest message (256 MiB unless said otherwise): what the member sends, and what it takes.
    #[must_use]
    pub fn max_message(mut self, bytes: usize) -> Self {
        self.terms.max_message = bytes;
        self
    }

    /// Bytes of messages that the member holds where they lie, of each other one; see [`Topic::hold_bytes`](super::Topic::hold_bytes).
    #[must_use]
    pub fn hold_bytes(mut self, bytes: usize) -> Self {
        self.terms.hold_bytes = bytes;
        self
    }

    /// How the member waits.
    #[must_use]
    pub fn wait(mut self, wait: Wait) -> Self {
        self.terms.wait = wait;
        self
    }

    /// How far the other members are trusted; see [`Topic::trust`](super::Topic::trust).
    #[must_use]
    pub fn trust(mut self, trust: Trust) -> Self {
        self.terms.trust = trust;
        self
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The hearing end comes first: whoever sees the member is heard by it.
    fn open(&self, payload: &Payload, terms: &Terms) -> Result<(Publisher, Subscriber), NodeError> {
        Filter::exact(&self.name)?;
        let subscriber = Subscriber::open(&self.node, Pattern::Bus, &self.name, payload.clone(), terms)?;
        let apart = (!self.hears_itself).then(|| subscriber.endpoint());
        let terms = Terms { apart, ..terms.clone() };
        let publisher = Publisher::open(&self.node, Pattern::Bus, &self.name, payload.clone(), &terms)?;
        Ok((publisher, subscriber))
    }
}

impl Bus<Bytes> {
    /// Joins. When it returns, the member hears all that is sent from now on by those who were there, and everything of those
    /// who come later; and all of them hear what it sends.
    ///
    /// # Errors
    /// [`NodeError::Name`], [`NodeError::Options`], [`NodeError::OtherType`] when the members carry something else,
    /// [`NodeError::NoRoom`], [`NodeError::Full`], [`NodeError::Forked`], [`NodeError::Directory`], [`NodeError::System`].
    pub fn join(&self) -> Result<BusMember, NodeError> {
        self.open(&Payload::Bytes, &self.terms).map(BusMember::new)
    }
}

impl<T: Plain> Bus<Typed<T>> {
    /// As [`Bus::join`](Bus::<Bytes>::join).
    ///
    /// # Errors
    /// The same.
    pub fn join(&self) -> Result<TypedBusMember<T>, NodeError> {
        let mut terms = self.terms.clone();
        terms.align = terms.align.max(align_of::<T>());
        self.open(&Payload::of::<T>(), &terms).map(TypedBusMember::new)
    }
}

impl<T: Serialize + DeserializeOwned> Bus<Encoded<T>> {
    /// As [`Bus::join`](Bus::<Bytes>::join).
    ///
    /// # Errors
    /// The same.
    pub fn join(&self) -> Result<SerdeBusMember<T>, NodeError> {
        self.open(&Payload::Serde, &self.terms).map(SerdeBusMember::new)
    }
}

impl<P> Clone for Bus<P> {
    fn clone(&self) -> Self {
        Bus {
            node: self.node.clone(),
            name: self.name.clone(),
            terms: self.terms.clone(),
            hears_itself: self.hears_itself,
            payload: PhantomData,
        }
    }
}

impl<P> fmt::Debug for Bus<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bus").field("name", &self.name).field("terms", &self.terms).finish_non_exhaustive()
    }
}
