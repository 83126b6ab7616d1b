//! A message that is kept beside the ring, by whoever sends it or has received it.
#![allow(unsafe_code)]

use super::mapped::{SHORT_BYTES, copy_short};

/// Puts a message into this memory, in place of what is there: a short one in words and pairs of words, as into a ring.
///
/// What was stored a moment ago and is read in wider pieces than it was stored in is read only when everything that was stored before
/// has reached the cache, and that may be a message in lines that are at another core (docs/performance.md). The caller's bytes are
/// read in words, as he may have written them, and stand here as the ring's own copy reads them.
#[inline(always)]
pub fn keep(message: &[u8], memory: &mut Vec<u8>) {
    let to = memory.as_mut_ptr();
    // A store only where something changes: what is there is written over.
    if message.len() > memory.capacity().min(SHORT_BYTES) || !to.addr().is_multiple_of(8) {
        return keep_new(message, memory);
    }
    // SAFETY: the vector has room for the message, which is no part of it, and stands on eight bytes, as just seen. What it has are
    // bytes, which may be written over.
    unsafe { copy_short(message, to) };
    // SAFETY: so many bytes were written, for which there is room.
    unsafe { memory.set_len(message.len()) };
}

#[cold]
#[inline(never)]
fn keep_new(message: &[u8], memory: &mut Vec<u8>) {
    memory.clear();
    memory.extend_from_slice(message);
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn messages_of_any_length_are_kept_whole() {
        let mut memory = Vec::new();
        for len in (0..2 * SHORT_BYTES).chain((0..=SHORT_BYTES).rev()) {
            let message: Vec<u8> = (0..len).map(|at| (at * 7 + len) as u8).collect();
            keep(&message, &mut memory);
            assert_eq!(memory, message);
        }
    }
}
