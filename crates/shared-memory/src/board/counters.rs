//! What an endpoint has done so far, counted where others can see it.
#![allow(unsafe_code)]

use std::fmt;
use std::sync::Arc;

use wharf_sys::memory::Mapping;

use super::layout::{AT_COUNTERS, COUNTERS, SLOT_BYTES, slot_at};
use crate::atomic::{AtomicU64, Ordering};

/// One number of an endpoint.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(usize)]
#[non_exhaustive]
pub enum Counter {
    /// Messages sent.
    SentMessages = 0,
    /// Their bytes.
    SentBytes = 1,
    /// Messages received.
    ReceivedMessages = 2,
    /// Their bytes.
    ReceivedBytes = 3,
    /// Messages that were lost because this side was too slow: they were overwritten before it read them.
    LostLagged = 4,
    /// Messages that were handed back because there was no room.
    LostRejected = 5,
    /// Messages that were lost because the other side died or was cut off.
    LostDied = 6,
    /// Nanoseconds spent waiting for room.
    BlockedNanos = 7,
    /// Messages that wait now.
    Depth = 8,
    /// The most that ever waited.
    Deepest = 9,
    /// Bytes of the largest message.
    Largest = 10,
    /// Endpoints that this one is paired with now.
    Peers = 11,
    /// Times that this side went to sleep.
    Sleeps = 12,
    /// Bytes of memory that this endpoint holds for its messages.
    Memory = 13,
    /// What to add to the messages that were received and lost by lagging, so that the sum is how far this end has come in
    /// the streams of all its [`Sources`](Self::Sources), each counted from its first message. Wraps.
    Joined = 14,
    /// The streams that [`Joined`](Self::Joined) speaks of.
    Sources = 15,
}

/// The counters of one endpoint. Clones count in the same place.
///
/// Each counter is to be written by one thread at a time: counting is a load and a store, so that it costs a nanosecond
/// and no locked instruction. Two writers at once lose counts and nothing else.
#[derive(Clone)]
pub struct Counters {
    words: *const [AtomicU64; COUNTERS],
    mapping: Arc<Mapping>,
}

// SAFETY: the words are atomics in a mapping that lives as long as this value and may be used by any thread.
unsafe impl Send for Counters {}
// SAFETY: as for Send.
unsafe impl Sync for Counters {}

impl Counters {
    /// The counters of slot `index`; `None` unless it lies inside the mapping.
    pub(super) fn new(mapping: &Arc<Mapping>, index: usize) -> Option<Counters> {
        let start = slot_at(index);
        if start + SLOT_BYTES > mapping.len() {
            return None;
        }
        // SAFETY: the slot lies inside the mapping, as just checked.
        let words = unsafe { mapping.as_ptr().add(start + AT_COUNTERS) };
        Some(Counters { words: words.cast(), mapping: Arc::clone(mapping) })
    }

    #[inline(always)]
    fn word(&self, counter: Counter) -> &AtomicU64 {
        // SAFETY: counters lie on 64 bytes inside a slot of a mapped board whose file reaches that far, and all who write
        // there do so atomically.
        let words = unsafe { &*self.words };
        // Every counter is below COUNTERS, which the compiler sees for a constant.
        words.get(counter as usize).unwrap_or(&words[0])
    }

    /// Counts `more`.
    #[inline(always)]
    pub fn add(&self, counter: Counter, more: u64) {
        let word = self.word(counter);
        // Relaxed: a number that others look at; nothing is concluded from it about anything else.
        word.store(word.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
    }

    /// Takes `less` off.
    pub fn reduce(&self, counter: Counter, less: u64) {
        self.add(counter, less.wrapping_neg());
    }

    /// Sets what is no sum.
    #[inline(always)]
    pub fn set(&self, counter: Counter, value: u64) {
        self.word(counter).store(value, Ordering::Relaxed);
    }

    /// Raises the highest value seen.
    #[inline(always)]
    pub fn raise(&self, counter: Counter, value: u64) {
        let word = self.word(counter);
        if word.load(Ordering::Relaxed) < value {
            word.store(value, Ordering::Relaxed);
        }
    }

    /// What was counted.
    pub fn get(&self, counter: Counter) -> u64 {
        self.word(counter).load(Ordering::Relaxed)
    }
}

impl fmt::Debug for Counters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Counters").field("mapped", &self.mapping.len()).finish_non_exhaustive()
    }
}
