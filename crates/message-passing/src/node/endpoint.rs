//! The seam between meeting and carrying: what a node asks of an endpoint, and what the two tell each other.

use std::fmt;
use std::os::fd::OwnedFd;
use std::time::Duration;

use super::identity::{EndpointId, Part, Pattern};
use super::name::Filter;
use super::pairing::{Pairing, PairingId};
use crate::handshake::Payload;

/// The most bytes of a [`Parcel`].
pub(crate) const MAX_PARCEL_BYTES: usize = 4096;

/// The most descriptors of a [`Parcel`].
pub(crate) const MAX_PARCEL_FDS: usize = 8;

/// What an endpoint is, as it registers.
#[derive(Clone, Debug)]
pub(crate) struct EndpointSpec {
    /// Whom it meets: endpoints of this pattern, of the other part, whose name fits.
    pub(crate) pattern: Pattern,
    pub(crate) part: Part,
    /// A host's name has no stars.
    pub(crate) name: Filter,
    /// What it carries. `None`, for a guest: whatever there is.
    pub(crate) payload: Option<Payload>,
    /// Four numbers for the board, whose meaning belongs to the pattern.
    pub(crate) options: [u64; 4],
    /// Host: a guest of the same node, opened before it, that it does not meet although it would fit. The fourth number for the
    /// board says so in the bytes above its lowest, which then are its pattern's no more.
    pub(crate) apart: Option<EndpointId>,
    /// How long opening waits for those who were there before. Whoever does not answer in that time pairs later.
    pub(crate) patience: Duration,
}

impl EndpointSpec {
    /// The four numbers as they stand on the board.
    pub(super) fn numbers(&self) -> [u64; 4] {
        let [first, second, third, fourth] = self.options;
        // A board has at most 2^14 slots.
        let apart = self.apart.map_or(0, |it| (u64::from(it.index) << 32 | u64::from(it.stamp)) << 8);
        [first, second, third, fourth | apart]
    }
}

/// Slot and stamp of the guest that a host is apart from, by its fourth number.
pub(super) fn apart_of(fourth: u64) -> Option<(u32, u32)> {
    let apart = fourth >> 8;
    // The stamp of a slot that is in use is odd, so it is not 0.
    (apart != 0).then_some(((apart >> 32) as u32, apart as u32))
}

/// How long opening an endpoint waits for others unless a pattern says otherwise.
pub(crate) const DEFAULT_PATIENCE: Duration = Duration::from_secs(1);

/// Bytes and descriptors from one endpoint to another: at most [`MAX_PARCEL_BYTES`] and [`MAX_PARCEL_FDS`].
#[derive(Debug, Default)]
pub(crate) struct Parcel {
    pub(crate) bytes: Vec<u8>,
    pub(crate) fds: Vec<OwnedFd>,
}

/// A host that a guest may meet.
#[derive(Clone, Debug)]
pub(crate) struct HostInfo {
    /// Its name, which may be one of many where the guest has stars.
    pub(crate) name: String,
    /// What it carries; `None` where the guest found it in the directory, and what it carries is known to fit. There is one
    /// where it found the guest, which was there before it.
    pub(crate) payload: Option<Payload>,
    /// The guest had met it before, and was told that it had to leave.
    pub(crate) again: bool,
}

/// An end of a pattern, called by its node. Whatever the other side sends is to be checked as its trust demands
/// ([`PeerNode::is_cooperating`](super::PeerNode::is_cooperating)).
///
/// All calls come from the node's own thread, one at a time, but for [`offer_for`](Self::offer_for), which also comes from
/// the thread that opens the endpoint. None may wait for anybody: the node does nothing else meanwhile. Locks that are
/// taken here must not be held while an endpoint is registered or dropped. After the registration was dropped a call that
/// had begun may still end.
pub(crate) trait Endpoint: Send + Sync {
    /// Host: a guest has come with this. What is answered reaches [`answered`](Self::answered) there, before everything that
    /// is [told](Pairing::tell) afterwards. Of a pairing that is refused here nothing more is heard.
    fn offered(&self, _pairing: &Pairing, _offer: Parcel) -> Result<Parcel, Refusal> {
        Err(Refusal::words("it takes no offers"))
    }

    /// Guest: what to bring to this host; `None` when it is not wanted. If something is brought, either
    /// [`answered`](Self::answered) or [`gone`](Self::gone) follows.
    fn offer_for(&self, _pairing: &Pairing, _host: &HostInfo) -> Result<Option<Parcel>, Refusal> {
        Ok(None)
    }

    /// Guest: the host has answered, and the pairing stands. If this refuses, the host is told that the guest has left, and
    /// nothing more is heard of it.
    fn answered(&self, _pairing: &Pairing, _answer: Parcel) -> Result<(), Refusal> {
        Err(Refusal::words("it expects no answers"))
    }

    /// The other side says something; `kind` belongs to the pattern.
    fn told(&self, _pairing: &Pairing, _kind: u16, _parcel: Parcel) {}

    /// There is one more among the [refusals](super::Registration::refusals). From any thread.
    fn refused(&self) {}

    /// A pairing that stood (after `offered` or `answered`), or an offer that was made, is over. Called once for each.
    fn gone(&self, pairing: PairingId, how: Gone);
}

/// Why a pairing is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Gone {
    /// The other side has closed its endpoint.
    Left,
    /// The other process has ended, or cut the connection.
    Died,
    /// The host does not want this guest; or, where the pairing stood, this process could not go on with it.
    Refused(Refusal),
}

/// Why two endpoints do not pair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The endpoint is closed by now.
    Closed,
    /// The two processes speak different versions.
    Version(u16),
    /// The other side carries this.
    Type(Payload),
    /// This user is not admitted.
    User,
    /// Something else, in words.
    Words(String),
    /// Something that may pass, such as a shortage of descriptors, in words: the guest comes again, a bounded number of
    /// times.
    NotNow(String),
}

impl Refusal {
    pub(crate) fn words(words: impl Into<String>) -> Refusal {
        Refusal::Words(words.into())
    }

    pub(crate) fn not_now(words: impl Into<String>) -> Refusal {
        Refusal::NotNow(words.into())
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Closed => f.write_str("it was closed meanwhile"),
            Refusal::Version(theirs) => write!(f, "it speaks version {theirs} of the node protocol"),
            Refusal::Type(theirs) => write!(f, "it carries {theirs}"),
            Refusal::User => f.write_str("it does not admit this user"),
            Refusal::Words(words) | Refusal::NotNow(words) => f.write_str(words),
        }
    }
}
