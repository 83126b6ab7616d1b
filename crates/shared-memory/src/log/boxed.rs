//! A ring in ordinary memory, all of it atomics: what tests and models use in place of a mapping.

use super::frame::ends_inside;
use super::ring::Ring;
use crate::atomic::{AtomicU64, Ordering};
use std::sync::Arc;

/// A ring that any number of threads share.
#[derive(Debug, Clone)]
pub(crate) struct BoxedRing {
    words: Arc<[AtomicU64]>,
}

impl BoxedRing {
    pub(crate) fn new(bytes: u64) -> BoxedRing {
        assert!(bytes.is_power_of_two() && bytes >= 16);
        BoxedRing { words: (0..bytes / 8).map(|_| AtomicU64::new(0)).collect() }
    }
}

impl Ring for BoxedRing {
    fn size(&self) -> u64 {
        self.words.len() as u64 * 8
    }

    fn word(&self, position: u64) -> &AtomicU64 {
        &self.words[((position & (self.size() - 1)) / 8) as usize]
    }

    fn put(&self, position: u64, prefix: &[u64], payload: &[u8]) -> bool {
        let mut bytes: Vec<u8> = prefix.iter().flat_map(|word| word.to_le_bytes()).collect();
        bytes.extend_from_slice(payload);
        if !ends_inside(position & (self.size() - 1), bytes.len() as u64, self.size()) {
            return false;
        }
        for (at, chunk) in bytes.chunks(8).enumerate() {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            // Relaxed: the header's release store is what publishes payloads; that is what models check.
            self.word(position + 8 + at as u64 * 8).store(u64::from_le_bytes(word), Ordering::Relaxed);
        }
        true
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
