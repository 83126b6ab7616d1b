//! A ring in ordinary memory, all of it atomics: what tests and models use in place of a mapping.
//!
//! In models each word is watched as well: a frame that is read in place and written at the same time, or without an order
//! between the two, is reported, be the bytes as they may. (Loom lets no load take place later than it is written, so the bytes
//! alone never show that a reader gave a frame back before it had read it.)
#![allow(unsafe_code)]

use super::frame::ends_inside;
use super::ring::Ring;
#[cfg(loom)]
use crate::atomic::UnsafeCell;
use crate::atomic::{AtomicU64, Ordering};
use std::sync::Arc;

/// A ring that any number of threads share.
#[derive(Debug, Clone)]
pub(crate) struct BoxedRing {
    words: Arc<[AtomicU64]>,
    #[cfg(loom)]
    watched: Arc<[Watched]>,
}

/// Whether a word is being read in place, or written.
#[cfg(loom)]
#[derive(Debug)]
struct Watched(UnsafeCell<()>);

// SAFETY: there is nothing in it; who comes to it when is what loom is to judge.
#[cfg(loom)]
unsafe impl Sync for Watched {}

impl BoxedRing {
    pub(crate) fn new(bytes: u64) -> BoxedRing {
        assert!(bytes.is_power_of_two() && bytes >= 16);
        BoxedRing {
            words: (0..bytes / 8).map(|_| AtomicU64::new(0)).collect(),
            #[cfg(loom)]
            watched: (0..bytes / 8).map(|_| Watched(UnsafeCell::new(()))).collect(),
        }
    }

    /// The payload behind a header, as a reader sees it that is promised that nobody writes it meanwhile.
    #[cfg(loom)]
    pub(crate) fn read_in_place(&self, position: u64, len: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        assert!(self.append_to(position, 0, len, &mut bytes));
        self.watched_behind(position, len).for_each(|word| word.0.with(|_| ()));
        bytes
    }

    #[cfg(loom)]
    fn watched_behind(&self, position: u64, len: u64) -> impl Iterator<Item = &Watched> {
        let first = ((position & (self.size() - 1)) / 8) as usize + 1;
        self.watched[first..first + len.div_ceil(8) as usize].iter()
    }
}

impl Ring for BoxedRing {
    /// The position of the header.
    type Place = u64;

    fn size(&self) -> u64 {
        self.words.len() as u64 * 8
    }

    fn word(&self, position: u64) -> &AtomicU64 {
        &self.words[((position & (self.size() - 1)) / 8) as usize]
    }

    fn fetch(&self, _position: u64) {}

    fn place(&self, position: u64, len: u64) -> Option<u64> {
        ends_inside(position & (self.size() - 1), len, self.size()).then_some(position)
    }

    fn fill(&self, position: u64, prefix: &[u64], payload: &[u8]) {
        let mut bytes: Vec<u8> = prefix.iter().flat_map(|word| word.to_le_bytes()).collect();
        bytes.extend_from_slice(payload);
        #[cfg(loom)]
        self.watched_behind(position, bytes.len() as u64).for_each(|word| word.0.with_mut(|_| ()));
        for (at, chunk) in bytes.chunks(8).enumerate() {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            // Relaxed: the header's release store is what publishes payloads; that is what models check.
            self.word(position + 8 + at as u64 * 8).store(u64::from_le_bytes(word), Ordering::Relaxed);
        }
    }

    fn append_to(&self, position: u64, skip: u64, len: u64, out: &mut Vec<u8>) -> bool {
        if skip > len || !ends_inside(position & (self.size() - 1), len, self.size()) {
            return false;
        }
        let mut bytes = Vec::new();
        for at in 0..len.div_ceil(8) {
            // Relaxed: as in `put`.
            bytes.extend(self.word(position + 8 + at * 8).load(Ordering::Relaxed).to_le_bytes());
        }
        out.extend_from_slice(&bytes[skip as usize..len as usize]);
        true
    }
}
