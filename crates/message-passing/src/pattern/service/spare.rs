//! Memory that is kept for one small message, so that it is not asked for where somebody waits: between a request and its answer.

/// More than so many bytes are not kept: a server has very many clients, and what is larger takes longer to copy.
const MOST_BYTES: usize = 1024;

/// See the top of the file.
#[derive(Debug, Default)]
pub(super) struct Spare {
    /// The length of the message before.
    len: usize,
}

impl Spare {
    /// Asks for memory for a message as long as the one before, unless there is some.
    #[inline(always)]
    pub(super) fn prepare(&self, memory: &mut Vec<u8>) {
        if memory.capacity() == 0 && self.len <= MOST_BYTES {
            memory.reserve_exact(self.len);
            // A length lets the message be copied without a call. Not zeroes: memory of zeroes is asked for in another way, which
            // is slower where there is some at hand.
            memory.resize(self.len, 1);
        }
    }

    /// Puts the message into this memory, in place of what is there. Whether that was as long.
    #[inline(always)]
    pub(super) fn fill(&mut self, memory: &mut Vec<u8>, message: &[u8]) -> bool {
        self.len = message.len();
        if memory.len() == message.len() {
            copy(message, memory);
            true
        } else {
            replace(message, memory);
            false
        }
    }
}

#[inline(never)]
fn replace(message: &[u8], memory: &mut Vec<u8>) {
    memory.clear();
    memory.extend_from_slice(message);
}

/// Whether memory is small enough to be kept for the next message.
#[inline(always)]
pub(super) fn is_small(memory: &Vec<u8>) -> bool {
    memory.capacity() <= MOST_BYTES
}

/// Gives back memory that a small message is wasted on.
#[inline(always)]
pub(super) fn trim(memory: &mut Vec<u8>) {
    if memory.capacity() > 2 * memory.len().max(32) {
        memory.shrink_to_fit();
    }
}

/// Copies a message into memory of the same length: a short one in the caller's own code and in pairs of words. What reads it next,
/// be it in words or in such pairs, then finds each of them in one store that has not reached the cache yet; wider stores may
/// straddle two lines, and then every read of them waits (docs/performance.md).
#[inline(always)]
fn copy(message: &[u8], memory: &mut [u8]) {
    match message.len() {
        16..=32 => ends::<16>(message, memory),
        33..=64 => ends::<32>(message, memory),
        65..=128 => ends::<64>(message, memory),
        _ => memory.copy_from_slice(message),
    }
}

/// Copies the first `N` bytes and the last: all of them where there are no more than twice as many.
#[inline(always)]
fn ends<const N: usize>(message: &[u8], memory: &mut [u8]) {
    if let (Some(from), Some(to)) = (message.first_chunk::<N>(), memory.first_chunk_mut::<N>()) {
        *to = *from;
    }
    if let (Some(from), Some(to)) = (message.last_chunk::<N>(), memory.last_chunk_mut::<N>()) {
        *to = *from;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_as_long_as_the_one_before_finds_memory() {
        let mut spare = Spare::default();
        for len in [0, 5, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 129, MOST_BYTES] {
            let message: Vec<u8> = (0..len).map(|at| at as u8 ^ 0x5A).collect();
            let mut memory = Vec::new();
            spare.prepare(&mut memory);
            spare.fill(&mut memory, &message);
            assert_eq!(memory, message, "in memory for another length");
            let mut memory = Vec::new();
            spare.prepare(&mut memory);
            let prepared = memory.as_ptr();
            spare.fill(&mut memory, &message);
            assert_eq!((memory.as_ptr(), &memory[..]), (prepared, &message[..]));
        }
    }

    #[test]
    fn a_message_keeps_no_more_than_twice_what_it_needs_and_large_memory_is_not_kept() {
        let (mut spare, mut memory) = (Spare { len: 1000 }, Vec::new());
        spare.prepare(&mut memory);
        spare.fill(&mut memory, &[1; 100]);
        trim(&mut memory);
        assert!(memory.capacity() <= 200, "{}", memory.capacity());
        spare.fill(&mut Vec::new(), &[1; MOST_BYTES + 1]);
        let mut memory = Vec::new();
        spare.prepare(&mut memory);
        assert_eq!(memory.capacity(), 0);
    }
}
