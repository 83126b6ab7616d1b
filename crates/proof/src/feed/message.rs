//! A message that proves itself: whose it is, which one it is, how long, and every byte.

use crate::letter::{Kind, fill};
use crate::random::Random;

/// Bytes that say whose it is; a letter follows.
const HEAD: usize = 8;
/// The longest of the usual ones.
const USUAL: u64 = 300;
/// One in so many is too large for the log, which then grows, or nearly so.
const RARITY: u64 = 600;
/// The longest of the rare ones.
const RARE: u64 = 100_000;

/// Message `number` of life `life`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    /// Whose: the number of the publisher's record.
    pub life: u64,
    /// Which one, counted from 0.
    pub number: u64,
}

impl Message {
    /// How long it is.
    pub fn len(self) -> usize {
        HEAD + usize::try_from(self.letter_len()).unwrap_or(0)
    }

    /// Never: it says at least whose it is.
    pub fn is_empty(self) -> bool {
        false
    }

    fn letter_len(self) -> u64 {
        let mut random = Random::new(self.key());
        let most = if random.below(RARITY) == 0 { RARE } else { USUAL };
        8 + random.below(most)
    }

    /// The number of its letter.
    fn key(self) -> u64 {
        self.life << 40 | self.number
    }

    /// Fills `bytes`, which are as long as it is.
    pub fn fill(self, bytes: &mut [u8]) {
        if let Some((head, letter)) = bytes.split_at_mut_checked(HEAD) {
            head.copy_from_slice(&self.life.to_le_bytes());
            fill(self.key(), letter);
        }
    }

    /// Writes it into `bytes`, which are cleared first.
    pub fn compose(self, bytes: &mut Vec<u8>) {
        bytes.clear();
        bytes.resize(self.len(), 0);
        self.fill(bytes);
    }

    /// Which one it is, if it is whole.
    pub fn read(bytes: &[u8]) -> Option<Message> {
        let (head, letter) = bytes.split_first_chunk::<HEAD>()?;
        let key = u64::from_le_bytes(*letter.first_chunk()?);
        let message = Message { life: u64::from_le_bytes(*head), number: key & ((1 << 40) - 1) };
        let whole = bytes.len() == message.len() && Kind::Fixed(letter.len()).is(message.key(), letter);
        whole.then_some(message)
    }
}

#[cfg(test)]
mod tests {
    use super::Message;

    #[test]
    fn a_message_is_itself_and_a_torn_one_is_none() {
        let mut bytes = Vec::new();
        for number in 0..2000 {
            let message = Message { life: 7, number };
            message.compose(&mut bytes);
            assert_eq!(Message::read(&bytes), Some(message));
            assert_eq!(Message::read(&bytes[..bytes.len() - 1]), None);
            let last = bytes.len() - 1;
            bytes[last] ^= 1;
            assert_eq!(Message::read(&bytes), None);
        }
        assert_eq!(Message::read(&[]), None);
    }

    #[test]
    fn some_are_too_large_for_a_log_of_64_kib() {
        let large = (0..20_000).filter(|&number| Message { life: 3, number }.len() > 32 << 10).count();
        assert!((5..100).contains(&large), "{large}");
    }
}
