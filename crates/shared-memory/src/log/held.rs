//! Frames that a reader holds: which words of its page pin what, and how many bytes that is.
//!
//! The owner of a held frame lets go of it on any thread, so what is free here is one word of bits that everybody clears
//! and only the reader sets.

use super::page::{HELD, Page};
use crate::atomic::{AtomicU64, Ordering};
use std::ops::Deref;
use wharf_sys::crash_point;

/// The pins on a reader's page, and which of them are taken.
#[derive(Debug)]
pub(crate) struct Pins<P> {
    page: P,
    /// Taken words, one bit each. Of an old generation they stay taken here when the page no longer says so.
    taken: AtomicU64,
    /// Bytes of the frames that are held.
    bytes: AtomicU64,
    quota: u64,
}

impl<P: Deref<Target = Page>> Pins<P> {
    pub(crate) fn new(page: P, quota: u64) -> Pins<P> {
        Pins { page, taken: AtomicU64::new(0), bytes: AtomicU64::new(0), quota }
    }

    /// Pins the frame of `len` bytes that `word` names, which the reader looks at just now. `None` when the quota or the
    /// words do not suffice. Only the reader may call this.
    pub(crate) fn pin(&self, word: u64, len: u64) -> Option<usize> {
        // Relaxed: only the reader raises it, and others lowering it meanwhile does no harm.
        if self.bytes.load(Ordering::Relaxed).checked_add(len)? > self.quota {
            return None;
        }
        // Acquire pairs with the release in `let_go`: the bit on the page is cleared before the word is used anew.
        let free = (!self.taken.load(Ordering::Acquire)).trailing_zeros() as usize;
        if free >= HELD {
            return None;
        }
        // Relaxed, all: only the reader takes, and what it takes is free.
        self.taken.fetch_or(1 << free, Ordering::Relaxed);
        self.bytes.fetch_add(len, Ordering::Relaxed);
        self.page.held[free].store(word, Ordering::Relaxed);
        crash_point!("log.hold.written");
        // Release: whoever sees the bit sees the word. And what comes behind, the pin on the next frame and the position
        // that lies behind this one, are releases too: whoever sees those sees the bit.
        self.page.held_bits.fetch_or(1 << free, Ordering::Release);
        crash_point!("log.hold.said");
        Some(free)
    }

    /// Lets go of what was pinned so. Any thread may call this, once.
    pub(crate) fn let_go(&self, at: usize, len: u64) {
        // Release pairs with the writer's acquire: our reads of the frame are done when it sees the bit cleared.
        self.page.held_bits.fetch_and(!(1 << at), Ordering::Release);
        crash_point!("log.let_go.said");
        self.bytes.fetch_sub(len, Ordering::Relaxed);
        // Release pairs with the acquire in `pin`.
        self.taken.fetch_and(!(1 << at), Ordering::Release);
    }

    /// Bytes held now.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
}
