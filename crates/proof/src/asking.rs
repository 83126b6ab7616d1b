//! Services that many processes ask and answer, while they are killed at random.
//!
//! A request says whose it is and which one, and every byte of it and of its answer follows from that. A server writes down each
//! request that it carries out, before it answers; a client writes down what it was told of each of its calls. The two
//! accounts are compared when all is over.

mod account;
mod client;
mod server;

pub use self::account::{Account, Told, Totals};
pub use self::client::Asking;
pub use self::server::Serving;

use std::time::Duration;

/// The name under which most of them meet.
pub const NAME: &str = "asked/by-name";
/// The address at which the others do.
pub const ADDRESS: &str = "unix:asked-at-an-address";

/// Bytes of a request before what fills it.
const HEAD: usize = 24;

/// One call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask {
    /// Whose it is: no two clients have the same.
    pub life: u64,
    /// Which one of this client's.
    pub number: u64,
}

impl Ask {
    /// Whether carrying it out twice does no harm.
    pub fn is_idempotent(self) -> bool {
        self.number % 4 == 3
    }

    /// How many results it has; `None` is one answer.
    pub fn results(self) -> Option<u64> {
        (self.number % 8 == 5).then_some(self.number % 5)
    }

    /// How long its caller waits.
    pub fn limit(self) -> Duration {
        match self.is_idempotent() {
            // Long enough for somebody to come in the place of a dead one.
            true => Duration::from_secs(10),
            false => Duration::from_micros(500 + self.mixed() % 40_000),
        }
    }

    fn mixed(self) -> u64 {
        let mixed = (self.life.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ self.number).wrapping_mul(0xD6E8_FEB8_6659_FD93);
        mixed ^ (mixed >> 29)
    }

    fn fill(self, salt: u64) -> impl Iterator<Item = u8> {
        let mixed = self.mixed() ^ salt.wrapping_mul(0xBF58_476D_1CE4_E5B9);
        // Most are short, and some travel in parts.
        let len = if mixed.is_multiple_of(64) { 40_000 } else { mixed % 200 };
        (0..len).map(move |at| (mixed >> (at % 57)) as u8)
    }

    /// The request.
    pub fn request(self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEAD + 256);
        for word in [self.life, self.number, self.mixed()] {
            bytes.extend_from_slice(&word.to_le_bytes());
        }
        bytes.extend(self.fill(0));
        bytes
    }

    /// Reads a request; `None` when a byte of it is wrong.
    pub fn read(request: &[u8]) -> Option<Ask> {
        let word = |at: usize| Some(u64::from_le_bytes(request.get(at..at + 8)?.try_into().ok()?));
        let ask = Ask { life: word(0)?, number: word(8)? };
        (ask.request() == request).then_some(ask)
    }

    /// Its answer, or one of its results.
    pub fn answer(self, which: u64) -> Vec<u8> {
        let words = [self.life, self.number, which];
        words.iter().flat_map(|word| word.to_le_bytes()).chain(self.fill(1 + which)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_say_whose_they_are_and_answers_are_no_one_elses() {
        for number in 0..200 {
            let ask = Ask { life: 3, number };
            let request = ask.request();
            assert_eq!(Ask::read(&request), Some(ask));
            let mut torn = request.clone();
            torn[number as usize % request.len()] ^= 1;
            assert_eq!(Ask::read(&torn), None);
            assert_ne!(ask.answer(0), Ask { life: 4, number }.answer(0));
            assert_ne!(ask.answer(0), ask.answer(1));
        }
    }
}
