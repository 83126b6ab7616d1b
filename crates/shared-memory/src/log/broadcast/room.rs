//! Room for one message, taken out of its writer: to be filled where readers will see it, while others visit the writer.
//!
//! [`lent_mut`](super::BroadcastWriter::lent_mut) borrows the writer as long as the bytes are filled. A writer that several
//! threads reach in turn cannot be borrowed that long, so it lends a [`Room`], which is a value of its own, and writes
//! nothing else until it has it back.
#![allow(unsafe_code)]

use super::BroadcastWriter;
use crate::log::WriteError;
use std::fmt;
use std::ops::{Deref, DerefMut, Range};
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use wharf_sys::memory::Mapping;

/// Bytes to be filled, lent by [`BroadcastWriter::lend_room`]. Empty while nothing is lent.
///
/// It keeps the log's memory mapped between two loans too, so that lending costs no locked instruction.
pub struct Room {
    mapping: Option<Arc<Mapping>>,
    start: NonNull<u8>,
    len: usize,
    /// The loan that this is; 0 is none.
    loan: u64,
}

// SAFETY: the bytes belong to whoever has the room, which is one thread at a time.
unsafe impl Send for Room {}
// SAFETY: a shared reference only reads.
unsafe impl Sync for Room {}

/// Numbers of loans, never used twice in a process: so a room fits the writer that lent it and no other.
#[derive(Debug)]
pub(super) struct Loans {
    out: u64,
    /// What is left of the numbers that this writer has drawn.
    left: Range<u64>,
}

/// The first number that nobody has drawn.
// The standard one: no model has a part in it, and those of models cannot be made in a static.
static NEXT: AtomicU64 = AtomicU64::new(1);

/// Numbers that a writer draws at a time, so that a loan costs no locked instruction.
const BATCH: u64 = 1 << 20;

impl Room {
    /// A room in which nothing is lent.
    pub const fn new() -> Room {
        Room { mapping: None, start: NonNull::dangling(), len: 0, loan: 0 }
    }
}

impl Default for Room {
    fn default() -> Room {
        Room::new()
    }
}

impl Deref for Room {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        // SAFETY: `len` bytes of the mapping that `self` keeps, or none; while they are lent nobody else touches them:
        // the writer writes nothing, and no reader looks behind the last header.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl DerefMut for Room {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `deref`, and the exclusive borrow of `self` makes this the only slice.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

impl fmt::Debug for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Room").field("len", &self.len).finish_non_exhaustive()
    }
}

impl BroadcastWriter {
    /// Lends room for a message of `len` bytes. Until it is back ([`commit_room`](Self::commit_room),
    /// [`take_room_back`](Self::take_room_back)) this writer writes nothing: everything that would says
    /// [`WriteError::Lent`], also when the room was dropped.
    ///
    /// # Errors
    /// As [`try_write`](Self::try_write).
    #[inline]
    pub fn lend_room(&mut self, room: &mut Room, len: u64) -> Result<(), WriteError> {
        self.try_lend(len)?;
        let memory = self.mapping();
        if room.mapping.as_ref().is_none_or(|kept| !Arc::ptr_eq(kept, memory)) {
            room.mapping = Some(Arc::clone(memory));
        }
        let bytes = self.lent_mut();
        // Another loan that it still was never comes back; that writer's loss.
        (room.start, room.len) = (NonNull::from(&mut *bytes).cast(), bytes.len());
        self.take_back();
        room.loan = self.loans.lend();
        Ok(())
    }

    /// Publishes the lent bytes as a message, and empties the room. `false` when they are not this writer's.
    #[inline]
    pub fn commit_room(&mut self, room: &mut Room) -> bool {
        let len = room.len as u64;
        self.take_room_back(room) && self.commit_bytes(len)
    }

    /// Takes the room back; nothing is published. `false` when it is not this writer's.
    #[inline]
    pub fn take_room_back(&mut self, room: &mut Room) -> bool {
        if !self.loans.back(room.loan) {
            return false;
        }
        (room.start, room.len, room.loan) = (NonNull::dangling(), 0, 0);
        true
    }
}

impl Loans {
    pub(super) const fn new() -> Loans {
        Loans { out: 0, left: 0..0 }
    }

    /// Whether one is out.
    #[inline(always)]
    pub(super) fn is_out(&self) -> bool {
        self.out != 0
    }

    #[inline]
    fn lend(&mut self) -> u64 {
        self.out = match self.left.next() {
            Some(number) => number,
            None => {
                // Relaxed: each number is drawn once, and orders nothing.
                let first = NEXT.fetch_add(BATCH, Ordering::Relaxed);
                self.left = first + 1..first + BATCH;
                first
            }
        };
        self.out
    }

    #[inline]
    fn back(&mut self, loan: u64) -> bool {
        let ours = loan != 0 && loan == self.out;
        if ours {
            self.out = 0;
        }
        ours
    }
}
