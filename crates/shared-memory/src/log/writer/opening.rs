//! Taking the lines ahead back from the readers' caches, several at once.
//!
//! A line that a reader has looked at must be taken back before it can be stored to again. Stores reach the cache in the order of the
//! program, so a writer that takes one line after the other as its frames come to them waits for each; of stores to several lines
//! that stand side by side the processor waits for all at once. So with each block of lines that the head comes to, one word in each
//! line of the next block is stored to (docs/performance.md).
//!
//! What is stored there means nothing: these words are free, and no reader looks at them before the headers that lead there.

use super::Writer;
use crate::atomic::Ordering;
use crate::log::page::Page;
use crate::log::ring::{LINE_BYTES, Ring};
use std::ops::Deref;

/// Lines that are taken at once: more of them would take up all the places for stores that wait.
const BLOCK_LINES: u64 = 8;
const BLOCK_BYTES: u64 = BLOCK_LINES * LINE_BYTES;

impl<R: Ring, P: Deref<Target = Page>> Writer<R, P> {
    /// Opens the next block when the frame of so many bytes before the head has reached another one. Called behind the commit, so
    /// that no message waits for it. In models it would be eight stores that nobody looks at.
    #[inline(always)]
    pub(super) fn open_ahead(&self, frame: u64) {
        let track = &self.tracks[self.current & 1];
        if cfg!(loom) || frame > BLOCK_BYTES || (track.head ^ (track.head - frame)) < BLOCK_BYTES {
            return;
        }
        let next = (track.head & !(BLOCK_BYTES - 1)) + BLOCK_BYTES;
        // All of it is free: it lies before the limit, and behind the header that was cleared at the head.
        if next + BLOCK_BYTES > track.limit {
            return;
        }
        for line in 0..BLOCK_LINES {
            // Relaxed: a word that nobody looks at.
            track.ring.word(next + line * LINE_BYTES).store(0, Ordering::Relaxed);
        }
    }
}
