//! Memory that is kept for one small message, so that it is not asked for where somebody waits: between a request and its answer.

/// More than so many bytes are not kept: a server has very many clients, and what is larger takes longer to copy.
const MOST_BYTES: usize = 1024;

/// See the top of the file.
#[derive(Debug, Default)]
pub(super) struct Spare {
    memory: Vec<u8>,
    /// The length of the message before.
    len: usize,
}

impl Spare {
    /// Asks for memory for a message as long as the one before, unless it is there.
    #[inline]
    pub(super) fn prepare(&mut self) {
        if self.memory.capacity() == 0 && self.len <= MOST_BYTES {
            self.memory.reserve_exact(self.len);
        }
    }

    /// Keeps memory that is not needed any more.
    #[inline]
    pub(super) fn put(&mut self, memory: Vec<u8>) {
        if memory.capacity() <= MOST_BYTES {
            self.memory = memory;
        }
    }

    /// The message, in memory of its own: of what is kept, if that is large enough and not wasted on it.
    #[inline]
    pub(super) fn filled(&mut self, message: &[u8]) -> Vec<u8> {
        self.len = message.len();
        let mut memory = std::mem::take(&mut self.memory);
        let kept = memory.capacity();
        if kept < message.len() || kept > 2 * message.len().max(32) {
            return message.to_vec();
        }
        memory.clear();
        memory.extend_from_slice(message);
        memory
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_as_long_as_the_one_before_finds_memory() {
        let mut spare = Spare::default();
        assert_eq!(spare.filled(b"first"), b"first");
        spare.prepare();
        let prepared = spare.memory.as_ptr();
        let second = spare.filled(b"other");
        assert_eq!((second.as_ptr(), &second[..]), (prepared, &b"other"[..]));
        spare.put(second);
        let third = spare.filled(b"third");
        assert_eq!(third.as_ptr(), prepared);
    }

    #[test]
    fn a_message_gets_no_more_than_twice_what_it_needs_and_large_memory_is_not_kept() {
        let mut spare = Spare::default();
        spare.put(vec![0; 1000]);
        assert!(spare.filled(&[1; 100]).capacity() < 1000);
        spare.put(vec![0; MOST_BYTES + 1]);
        assert_eq!(spare.memory.capacity(), 0);
        spare.filled(&[1; MOST_BYTES + 1]);
        spare.prepare();
        assert_eq!(spare.memory.capacity(), 0);
    }
}
