//! A held message: bytes that stay after the reader has gone on, in the ring or as a copy.
#![allow(unsafe_code)]

use super::generations::Generation;
use crate::log::held::Pins;
use crate::log::mapped::MappedPage;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use wharf_sys::fork;

/// A message that was held. It dereferences to its bytes, can go to any thread, and is let go of when dropped.
///
/// It stays readable whatever becomes of the reader, the writer and the log. A child that was forked with one in hand may
/// read it as long as its parent holds it.
pub struct Held {
    kept: Kept,
}

enum Kept {
    Pinned { start: *const u8, len: usize, at: usize, epoch: u32, pins: Arc<Pins<MappedPage>>, _of: Arc<Generation> },
    Copied(Box<[u8]>),
}

// SAFETY: the bytes are only read, nobody writes them while they are pinned, and letting go works from any thread.
unsafe impl Send for Held {}

// SAFETY: as above; shared references only read.
unsafe impl Sync for Held {}

impl Held {
    /// # Safety
    /// The bytes lie in the memory of `of`, which keeps it mapped, and stay as they are until the pin `at` is let go of.
    pub(super) unsafe fn pinned(
        start: *const u8,
        len: usize,
        at: usize,
        pins: Arc<Pins<MappedPage>>,
        of: Arc<Generation>,
    ) -> Held {
        Held { kept: Kept::Pinned { start, len, at, epoch: fork::epoch(), pins, _of: of } }
    }

    pub(super) fn copy_of(bytes: &[u8]) -> Held {
        Held { kept: Kept::Copied(bytes.into()) }
    }

    /// Whether it lies where the writer wrote it.
    pub fn in_place(&self) -> bool {
        matches!(self.kept, Kept::Pinned { .. })
    }
}

impl Deref for Held {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match &self.kept {
            // SAFETY: mapped and unchanged as long as `self` lives, by the promise of `pinned`.
            Kept::Pinned { start, len, .. } => unsafe { std::slice::from_raw_parts(*start, *len) },
            Kept::Copied(bytes) => bytes,
        }
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Held").field("len", &self.len()).field("in_place", &self.in_place()).finish()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Kept::Pinned { len, at, epoch, pins, .. } = &self.kept
            // A forked child's copy is not the one that is pinned.
            && *epoch == fork::epoch()
        {
            pins.let_go(*at, *len as u64);
        }
    }
}
