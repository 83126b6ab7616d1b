//! Messages over any ordered stream of bytes (docs/wire.md): what `tcp:`, `tls:`, `ws:` and `pipe:` have in common.
//!
//! A transport brings a [`Wire`] and calls [`halves`]. Both halves of a link share the wire: the receiver's
//! acknowledgements travel among the frames that the sender of the same side writes, and what the sender waits for comes
//! among the messages for the receiver of the same side.
//!
//! # When the peer closes, and when the last words find no room
//! A half that is dropped says so in a frame, for which the wire keeps a little room ([`Wire::widen`]); if not even that
//! is left, the peer sees a death.

mod frame;
mod inbox;
mod incoming;
mod lull;
mod outgoing;
mod reader;
mod receiver;
mod sender;
#[cfg(test)]
mod tests;
mod wire;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use wharf_sys::fork;

pub(crate) use self::frame::HEADER;
use self::incoming::Incoming;
use self::outgoing::Outgoing;
use self::reader::Reader;
pub(crate) use self::receiver::StreamReceiver;
pub(crate) use self::sender::StreamSender;
pub(crate) use self::wire::{Patience, Wire};
use super::{RecvHalf, SendHalf};

/// The sizes of a link over a stream, and where its peer runs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    /// The largest message, as both sides agreed; it fits 32 bits.
    pub(crate) limit: usize,
    /// Payloads that the peer sends start on a multiple of it: 8 or 64.
    pub(crate) align: usize,
    /// The inbox takes no more once it holds so many bytes: a sender that waits reads the stream itself, and keeps for
    /// the receiver of its side what is the receiver's. Beyond that, and one message, it waits without reading, until the
    /// receiver takes something: acknowledgements behind so much unreceived data are not heard. Once the peer has hung up,
    /// all that the system still holds of it is read.
    pub(crate) inbox: usize,
    /// The one processor to which the peer was confined when it introduced itself.
    pub(crate) their_cpu: Option<usize>,
}

/// Bytes of a fragment; words of the other half can go between two of them.
const FRAGMENT: usize = 128 << 10;

/// Frames of which a call that does not wait takes notice.
const MOST_AT_ONCE: usize = 256;

/// What both halves of one side share.
struct Shared {
    wire: Arc<dyn Wire>,
    incoming: Incoming,
    outgoing: Mutex<Outgoing>,
    /// Something is left to be written that no caller waits for.
    owing: AtomicBool,
    /// The [epoch](fork::epoch) of the process whose link it is.
    epoch: u32,
}

/// Makes the two halves of a link over a wire over which both sides have met.
pub(crate) fn halves(wire: Arc<dyn Wire>, sizes: Sizes) -> (SendHalf, RecvHalf) {
    let in_one = wire.in_one().max(1);
    let reader = Reader::new(sizes.limit, sizes.align, sizes.their_cpu, wire.one_by_one());
    let shared = Arc::new(Shared {
        wire,
        incoming: Incoming::new(reader, sizes.inbox),
        outgoing: Mutex::new(Outgoing::new()),
        owing: AtomicBool::new(false),
        epoch: fork::epoch(),
    });
    let sender = StreamSender::new(shared.clone(), in_one, sizes.limit);
    let receiver = StreamReceiver::new(shared);
    (SendHalf::Stream(Box::new(sender)), RecvHalf::Stream(Box::new(receiver)))
}

impl Shared {
    /// Whether this is still the process that made the link.
    fn is_ours(&self) -> bool {
        self.epoch == fork::epoch()
    }

    fn outgoing(&self) -> MutexGuard<'_, Outgoing> {
        // Nothing panics while it holds this, and every step leaves a whole frame or its rest.
        self.outgoing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether something is left to be written; whoever waits should wait for room, too, and then settle.
    fn is_owing(&self) -> bool {
        // Relaxed: a hint. Who sets it holds the lock that guards what is owed, and who sees it takes that lock.
        self.owing.load(Ordering::Relaxed)
    }

    fn note_owing(&self, outgoing: &Outgoing) {
        let owes = outgoing.owes();
        if owes != self.is_owing() {
            // Relaxed: see above.
            self.owing.store(owes, Ordering::Relaxed);
        }
    }

    /// Writes what is owed if there is room now. An error is found again by whoever sends.
    #[cold]
    fn settle(&self) {
        let mut outgoing = self.outgoing();
        let _later = outgoing.settle(&*self.wire);
        self.note_owing(&outgoing);
    }

    /// Both halves have closed. Bytes that were not read would make the kernel throw away those on their way to the
    /// peer, so what has come is read first. The bound is more than the kernel's queue usually holds.
    fn end(&self) {
        if let Some(mut turn) = self.incoming.last_turn() {
            for _ in 0..MOST_AT_ONCE {
                if !turn.throw_away(&*self.wire) {
                    break;
                }
            }
        }
        self.wire.end();
    }
}
