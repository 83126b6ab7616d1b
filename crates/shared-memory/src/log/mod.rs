//! The log: a ring of frames that one process writes and others read, each page of it written by one side only.
//!
//! A [`Side`] is one process's half of a shared-memory link: sealed memory with its control page and its two rings.
//! Two sides joined give each process a [`LogWriter`] for its own rings and a [`LogReader`] for the peer's.
//!
//! * A message of up to a quarter of the small ring travels in the *small ring*, which stays in the caches while the
//!   reader keeps up; otherwise it travels in the *large ring*; a message larger than that travels in parts.
//! * *When full*: [`WriteError::Full`], and nothing of a message that fits one frame is visible.
//! * *When the peer dies*: what it committed stays readable, since the memory lives as long as its last mapping. The
//!   log itself knows nothing of death; the link's lifeline does.
//! * *When the peer lies*: every header and position is copied once, checked and then used; what cannot be is an
//!   error ([`Corrupt`], [`WriteError::Position`]), never a wrong access.
//!
//! The layout is drawn in `docs/layout.md`, what a death leaves behind is told in `docs/recovery.md`. The header that
//! is polled in place follows the classic single-producer ring with per-slot sequence words; the private copies of
//! the other side's position follow FastForward (Giacomoni, Moseley, Vachharajani, PPoPP 2008) and its successors;
//! sleeping by asymmetric barrier follows membarrier(2).

mod assembly;
#[cfg(test)]
mod boxed;
mod broadcast;
#[cfg(all(test, loom))]
mod broadcast_models;
#[cfg(all(test, not(loom)))]
mod broadcast_tests;
mod copied;
mod ends;
mod frame;
mod held;
mod mapped;
#[cfg(all(test, loom))]
mod model;
mod order;
#[cfg(all(test, loom))]
mod order_models;
mod page;
mod pin;
mod reader;
mod ring;
mod sealed;
mod side;
mod start;
#[cfg(all(test, not(loom)))]
mod tests;
mod writer;

pub use broadcast::{BroadcastReader, BroadcastWriter, Held, ReaderPage, ReaderTerms, Room};
pub use copied::keep;
pub use ends::{LogReader, LogWriter, Published};
pub use order::{Announcement, Barriers, FIRST_SLEEP};
pub use reader::{Heard, Polled, Quick};
pub use side::{LogError, Side, Terms};
pub use start::Start;
pub use writer::{Behind, BroadcastTerms, Departure, SeatId, SeatTerms};

use frame::Grid;
#[cfg(test)]
use order::Fences;
use order::{Membarrier, Signals};

/// Smallest ring: a page, so that a quarter of it still carries a useful message.
const SMALLEST_RING: u64 = 4096;
/// A ring is at least so many times as large as the alignment: frames without payload take one alignment each.
const SMALLEST_IN_ALIGNS: u64 = 8;
/// Largest alignment of payloads: a page.
const LARGEST_ALIGN: u64 = 4096;
/// Largest ring: what keeps every position sum far from overflow and every offset in a `usize`.
const LARGEST_RING: u64 = 1 << 40;

/// The sizes of a side's rings and the alignment of payloads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    small_bytes: u64,
    large_bytes: u64,
    align: u64,
}

impl Geometry {
    /// The small ring of an ordinary link: half of a first-level cache, so that both sides' copies stay warm.
    pub const WARM_BYTES: u64 = 16 * 1024;

    /// Rings of `small_bytes` and `large_bytes` (powers of two, 4 KiB to 1 TiB and at least eight times `align`) with
    /// payloads on `align` bytes (a power of two, 8 to 4,096). `None` when one of these does not hold.
    pub fn new(small_bytes: u64, large_bytes: u64, align: u64) -> Option<Geometry> {
        if !align.is_power_of_two() || !(8..=LARGEST_ALIGN).contains(&align) {
            return None;
        }
        let smallest = SMALLEST_RING.max(align * SMALLEST_IN_ALIGNS);
        let ring = |bytes: u64| bytes.is_power_of_two() && (smallest..=LARGEST_RING).contains(&bytes);
        (ring(small_bytes) && ring(large_bytes)).then_some(Geometry { small_bytes, large_bytes, align })
    }

    /// Rings for a link that queues `capacity` bytes, headers included: a warm ring of 16 KiB (more when
    /// `align` asks for it) and a large ring of the next power of two. Messages that do not fit it travel in parts. `None`
    /// when `align` is not one of [`new`](Self::new)'s or `capacity` is above 512 GiB.
    pub fn for_capacity(capacity: u64, align: u64) -> Option<Geometry> {
        if capacity > LARGEST_RING / 2 {
            return None;
        }
        let warm = Self::WARM_BYTES.max(align.min(LARGEST_ALIGN) * SMALLEST_IN_ALIGNS);
        Geometry::new(warm, capacity.max(2 * warm).next_power_of_two(), align)
    }

    /// The least of [`for_capacity`](Self::for_capacity): 52 KiB in all for payloads on up to 2 KiB. `None` when `align` is not
    /// one of [`new`](Self::new)'s.
    pub fn smallest(align: u64) -> Option<Geometry> {
        Self::for_capacity(0, align)
    }

    /// The geometry of a broadcast that has room for a message of `len` bytes wherever it stands, and a large ring of
    /// `capacity` bytes at least. `None` when there is none so large.
    pub fn for_message(len: u64, capacity: u64, align: u64) -> Option<Geometry> {
        let has_room = |it: &Geometry| it.largest_message() >= len;
        let near = Self::for_capacity(len.checked_mul(2)?.max(capacity), align)?;
        // What headers and the end of a lap take is far less than half of a ring.
        let geometry = if has_room(&near) { near } else { Self::for_capacity(near.large_bytes * 2, align)? };
        has_room(&geometry).then_some(geometry)
    }

    /// The largest message of a broadcast that has room wherever it stands: a little less than half of the large ring.
    pub fn largest_message(&self) -> u64 {
        self.grid().largest_in_half(self.large_bytes)
    }

    /// Bytes of the small ring.
    pub fn small_bytes(&self) -> u64 {
        self.small_bytes
    }

    /// Bytes of the large ring.
    pub fn large_bytes(&self) -> u64 {
        self.large_bytes
    }

    /// Alignment of payloads in bytes.
    pub fn align(&self) -> u64 {
        self.align
    }

    /// Bytes of a side's whole memory.
    pub fn total_bytes(&self) -> u64 {
        page::PAGE_BYTES + self.small_bytes + self.large_bytes
    }

    fn grid(self) -> Grid {
        Grid::new(self.align)
    }
}

/// Why a frame was not written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// No room now.
    #[error("the log is full: its readers have not released enough yet")]
    Full,
    /// No single frame holds so much; send it in parts.
    #[error("a single frame holds at most {limit} bytes")]
    LargerThanFrame {
        /// The most that one frame holds.
        limit: u64,
    },
    /// What readers hold leaves no room, and waiting would not help: go on in a new generation.
    #[error("frames that readers hold leave no room for this one")]
    Pinned,
    /// Room for a message is lent, and nothing else is written meanwhile.
    #[error("room for a message is lent: send it or give it back first")]
    Lent,
    /// This writer was closed.
    #[error("this end of the log is closed")]
    Closed,
    /// A reader takes nothing more.
    #[error("the reader has closed")]
    ReaderClosed,
    /// A reader reports a position that it cannot have.
    #[error("the reader reports position {told}, outside of {from}..={to}")]
    Position {
        /// What it reported.
        told: u64,
        /// The least that it can be.
        from: u64,
        /// The most that it can be.
        to: u64,
    },
}

/// Why a frame cannot be read: its writer broke the rules of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Corrupt {
    /// A header that nobody writes.
    #[error("the word {word:#018x} at position {at} is no frame header")]
    Header {
        /// The word.
        word: u64,
        /// Its position.
        at: u64,
    },
    /// A frame that does not lie inside its ring.
    #[error("a frame of {len} bytes at position {at} where {room} fit")]
    Length {
        /// The length it states.
        len: u64,
        /// The bytes up to the end of the ring.
        room: u64,
        /// Its position.
        at: u64,
    },
    /// A message above the limit agreed at connect.
    #[error("a message of {len} bytes where at most {limit} were agreed")]
    Limit {
        /// The length it states.
        len: u64,
        /// The limit.
        limit: u64,
    },
    /// A part of a message that does not fit what came before.
    #[error("a part of {got} bytes behind {have} of a message of {total}")]
    Part {
        /// Bytes received before.
        have: u64,
        /// Bytes of this part.
        got: u64,
        /// Bytes of the whole message.
        total: u64,
    },
    /// A floor, before which messages are dropped, that cannot be where it is said.
    #[error("the messages before {sequence} are said to be dropped, and no place fits that for a reader at {wanted}")]
    Floor {
        /// The sequence of the floor.
        sequence: u64,
        /// The sequence that the reader wants next.
        wanted: u64,
    },
    /// This process has no memory for the message.
    #[error("no memory for a message part of {len} bytes")]
    Memory {
        /// The bytes wanted.
        len: u64,
    },
}
