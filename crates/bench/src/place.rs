//! Memory for messages at the same place within its page, whoever's messages they are.

use std::ops::{Deref, DerefMut};

/// Bytes of a page.
const PAGE: usize = 4096;

/// Zeroes that begin a quarter into a page: how fast the kernel copies depends on where in their pages both sides of a copy lie,
/// and where an allocator puts a vector in the process of one contender is luck.
pub struct Place {
    memory: Vec<u8>,
    start: usize,
}

impl Place {
    /// So many bytes.
    pub fn new(len: usize) -> Place {
        let mut memory = Vec::with_capacity(len + PAGE);
        let start = (PAGE / 4).wrapping_sub(memory.as_ptr() as usize) % PAGE;
        memory.resize(start + len, 0);
        Place { memory, start }
    }
}

impl Deref for Place {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.memory[self.start..]
    }
}

impl DerefMut for Place {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.memory[self.start..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_begins_a_quarter_into_a_page() {
        for len in [8, 4096, 8184, 1 << 20] {
            let place = Place::new(len);
            assert_eq!((place.len(), place.as_ptr() as usize % PAGE), (len, PAGE / 4));
        }
    }
}
