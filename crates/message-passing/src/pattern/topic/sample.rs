//! What a subscriber receives: bytes where the publisher wrote them, and from whom they are.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use wharf_shared_memory::log::{BroadcastReader, Held};

use crate::node::{EndpointId, NodeId, Pairing};

/// What tells one publisher from all others: never used twice.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct PublisherId {
    node: NodeId,
    slot: u32,
    stamp: u32,
}

impl PublisherId {
    pub(super) fn new(node: NodeId, endpoint: EndpointId) -> PublisherId {
        PublisherId { node, slot: endpoint.index, stamp: endpoint.stamp }
    }

    /// The node that it belongs to.
    pub fn node(&self) -> NodeId {
        self.node
    }
}

impl fmt::Display for PublisherId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}.{}", self.node, self.slot, self.stamp)
    }
}

/// Who publishes, as the kernel vouches for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublisherInfo {
    id: PublisherId,
    topic: String,
    pid: Option<u32>,
    uid: u32,
    cooperating: bool,
}

impl PublisherInfo {
    pub(super) fn new(pairing: &Pairing, topic: String, cooperating: bool) -> PublisherInfo {
        let peer = pairing.peer();
        PublisherInfo {
            id: PublisherId::new(peer.id(), pairing.their_endpoint()),
            topic,
            pid: peer.pid(),
            uid: peer.uid(),
            cooperating,
        }
    }

    /// What tells it from all others.
    pub fn id(&self) -> PublisherId {
        self.id
    }

    /// The name that it publishes under; of interest where a subscription has stars.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// Its process id when it was met; `None` when it lives in another pid namespace.
    pub fn pid(&self) -> Option<u32> {
        self.pid
    }

    /// Its user.
    pub fn uid(&self) -> u32 {
        self.uid
    }

    /// Whether it is trusted not to lie; otherwise its messages are copied before they are seen.
    pub fn is_cooperating(&self) -> bool {
        self.cooperating
    }
}

impl fmt::Display for PublisherInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.pid {
            Some(pid) => write!(f, "the publisher of {} in process {pid}", self.topic),
            None => write!(f, "the publisher of {} in a process of uid {}", self.topic, self.uid),
        }
    }
}

/// One received message, borrowed from the [`Subscriber`](super::Subscriber): its memory is released when the next one is
/// asked for. [`hold`](Self::hold) keeps it longer.
#[derive(Clone, Copy)]
pub struct Sample<'a> {
    bytes: &'a [u8],
    reader: &'a BroadcastReader,
    publisher: &'a Arc<PublisherInfo>,
}

impl<'a> Sample<'a> {
    #[inline(always)]
    pub(super) fn new(reader: &'a BroadcastReader, publisher: &'a Arc<PublisherInfo>) -> Self {
        Self { bytes: reader.message(), reader, publisher }
    }

    /// The bytes, for as long as the subscriber stays borrowed.
    #[inline]
    pub fn bytes(self) -> &'a [u8] {
        self.bytes
    }

    /// Whether the bytes lie where the publisher wrote them (`true`), or in a copy that is private to this process.
    #[inline]
    pub fn in_place(&self) -> bool {
        self.reader.in_place()
    }

    /// The number of this message among all that its publisher has sent, from 0.
    #[inline]
    pub fn sequence(&self) -> u64 {
        self.reader.sequence()
    }

    /// Who sent it.
    #[inline]
    pub fn publisher(&self) -> &'a PublisherInfo {
        self.publisher
    }

    /// Keeps the message beyond the next call to the subscriber, in any thread, as long as the value lives. While all that
    /// is held fits the subscriber's quota ([`Topic::hold_bytes`](super::Topic::hold_bytes)), the bytes stay where they are
    /// and nothing is copied; beyond that it is a private copy.
    pub fn hold(&self) -> HeldSample {
        HeldSample { held: self.reader.hold(), sequence: self.sequence(), publisher: Arc::clone(self.publisher) }
    }
}

impl Deref for Sample<'_> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        self.bytes
    }
}

impl AsRef<[u8]> for Sample<'_> {
    fn as_ref(&self) -> &[u8] {
        self.bytes
    }
}

impl fmt::Debug for Sample<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sample").field("len", &self.bytes.len()).field("sequence", &self.sequence()).finish()
    }
}

/// A message that is kept: it may go to another thread and outlive its subscriber. Dropping it gives the memory back.
pub struct HeldSample {
    held: Held,
    sequence: u64,
    publisher: Arc<PublisherInfo>,
}

impl HeldSample {
    /// Whether the bytes lie where the publisher wrote them (`true`), or in a private copy.
    pub fn in_place(&self) -> bool {
        self.held.in_place()
    }

    /// The number of this message among all that its publisher has sent, from 0.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Who sent it.
    pub fn publisher(&self) -> &PublisherInfo {
        &self.publisher
    }
}

impl Deref for HeldSample {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.held
    }
}

impl AsRef<[u8]> for HeldSample {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl fmt::Debug for HeldSample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HeldSample").field("len", &self.len()).field("sequence", &self.sequence).finish()
    }
}
