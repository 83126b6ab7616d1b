//! The control page: what one side of a log tells the other, in memory that only this side writes.
//!
//! The picture is in `docs/layout.md`. The parts stand 128 bytes apart because processors fetch lines in pairs: what
//! changes with every few messages must not drag along what changes only when somebody sleeps.
//!
//! One page serves three kinds of side: the writer of a broadcast (tickets and floor), a reader of one (everything
//! else), and a side of a link, which is both and uses neither floor nor pins.

use crate::atomic::{AtomicU32, AtomicU64, Ordering};

/// Bytes that the control page takes at the start of a side's memory.
pub(crate) const PAGE_BYTES: u64 = 4096;

/// In `data_ticket` or `room_ticket`: this side has closed for good and never sleeps again.
pub(crate) const CLOSED: u32 = u32::MAX;

/// Frames that a reader can hold in place at one time, one bit of a word each. Models make do with fewer.
pub(crate) const HELD: usize = if cfg!(loom) { 2 } else { 64 };

/// The page itself. Zero bytes are its initial state, and every word of it is an atomic: the other side may write
/// its own page at any time.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Page {
    /// Magic, version and alignment, sizes of the small and the large ring: written once before the memory is passed
    /// on, for whoever finds it in a dump; never used as a bound.
    pub(crate) label: [AtomicU64; 4],
    #[cfg(not(loom))]
    gap_label: [AtomicU64; 12],
    /// Positions up to which this side, as a reader, is done with the small and the large ring.
    pub(crate) released: [AtomicU64; 2],
    /// Messages that this side, as a reader, has taken.
    ///
    /// For a reader of a broadcast: the sequence of the next message that it wants.
    pub(crate) taken: AtomicU64,
    /// The generation that the positions on this page belong to, plus one; 0 before this reader has begun.
    pub(crate) entered: AtomicU64,
    /// The oldest generation of which this reader still keeps frames.
    pub(crate) oldest: AtomicU64,
    #[cfg(not(loom))]
    gap_released: [AtomicU64; 11],
    /// This side, as a reader, sleeps until a frame is written: a fresh number each time, 0 while awake.
    pub(crate) data_ticket: AtomicU32,
    /// This side, as a writer, sleeps until room is made or a message is taken: likewise.
    pub(crate) room_ticket: AtomicU32,
    #[cfg(not(loom))]
    gap_tickets: [AtomicU64; 15],
    /// The floor of the log that this side writes: messages before it are dropped. Twice its sequence, plus the index
    /// of the place where the stream goes on.
    pub(crate) floor: AtomicU64,
    /// Ring, and position in the small and the large ring, of the floor and of the one before.
    pub(crate) places: [[AtomicU64; 3]; 2],
    #[cfg(not(loom))]
    gap_floor: [AtomicU64; 9],
    /// The frame that this side, as a reader, looks at; see [`Pin`](super::pin::Pin). 0: none.
    pub(crate) pin: AtomicU64,
    /// Which of the words in `held` count, one bit each.
    pub(crate) held_bits: AtomicU64,
    #[cfg(not(loom))]
    gap_pin: [AtomicU64; 14],
    /// The frames that this side, as a reader, holds.
    pub(crate) held: [AtomicU64; HELD],
    /// The tally of this side, as the writer of a link: a number that it tells beside its messages.
    pub(crate) tally: AtomicU64,
}

/// `WHARFLOG` in memory order.
pub(crate) const MAGIC: u64 = u64::from_le_bytes(*b"WHARFLOG");

/// Version of the picture in `docs/layout.md`.
pub(crate) const VERSION: u32 = 4;

impl Page {
    /// A page outside of shared memory, for models and tests.
    #[cfg(any(test, loom))]
    pub(crate) fn boxed() -> std::sync::Arc<Page> {
        use std::array::from_fn;
        std::sync::Arc::new(Page {
            label: from_fn(|_| AtomicU64::new(0)),
            #[cfg(not(loom))]
            gap_label: from_fn(|_| AtomicU64::new(0)),
            released: from_fn(|_| AtomicU64::new(0)),
            taken: AtomicU64::new(0),
            entered: AtomicU64::new(0),
            oldest: AtomicU64::new(0),
            #[cfg(not(loom))]
            gap_released: from_fn(|_| AtomicU64::new(0)),
            data_ticket: AtomicU32::new(0),
            room_ticket: AtomicU32::new(0),
            #[cfg(not(loom))]
            gap_tickets: from_fn(|_| AtomicU64::new(0)),
            floor: AtomicU64::new(0),
            places: from_fn(|_| from_fn(|_| AtomicU64::new(0))),
            #[cfg(not(loom))]
            gap_floor: from_fn(|_| AtomicU64::new(0)),
            pin: AtomicU64::new(0),
            held_bits: AtomicU64::new(0),
            #[cfg(not(loom))]
            gap_pin: from_fn(|_| AtomicU64::new(0)),
            held: from_fn(|_| AtomicU64::new(0)),
            tally: AtomicU64::new(0),
        })
    }

    /// Writes the label. Relaxed: the memory is handed on through a socket afterwards, which orders everything.
    pub(crate) fn write_label(&self, align: u64, small_bytes: u64, large_bytes: u64) {
        let second = u64::from(VERSION) | (align << 32);
        for (word, value) in self.label.iter().zip([MAGIC, second, small_bytes, large_bytes]) {
            word.store(value, Ordering::Relaxed);
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::mem::offset_of;

    #[test]
    fn the_page_is_laid_out_as_drawn() {
        assert_eq!(offset_of!(Page, label), 0);
        assert_eq!(offset_of!(Page, released), 128);
        assert_eq!(offset_of!(Page, taken), 144);
        assert_eq!(offset_of!(Page, data_ticket), 256);
        assert_eq!(offset_of!(Page, entered), 152);
        assert_eq!(offset_of!(Page, oldest), 160);
        assert_eq!(offset_of!(Page, room_ticket), 260);
        assert_eq!(offset_of!(Page, floor), 384);
        assert_eq!(offset_of!(Page, places), 392);
        assert_eq!(offset_of!(Page, pin), 512);
        assert_eq!(offset_of!(Page, held_bits), 520);
        assert_eq!(offset_of!(Page, held), 640);
        assert_eq!(offset_of!(Page, tally), 1152);
        assert!(size_of::<Page>() as u64 <= PAGE_BYTES);
    }
}
