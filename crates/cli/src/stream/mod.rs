//! A stream over a link: bytes without a bound, in pieces, whose length and checksum the receiver confirms.
//!
//! A link carries messages, and a message is in memory as a whole. What is larger travels as several, which docs/send-recv.md
//! draws: an opening, which the receiver sends back; pieces; an empty message; a summary of what was sent; and back, a summary
//! of what has arrived and is written.

mod bar;
mod give;
mod take;

pub(crate) use give::give;
pub(crate) use take::{Taker, take};

/// What no text and no usual file begins with; the version of the framing is in it.
const MAGIC: [u8; 16] = *b"\x89wharf stream\x01\r\n";

/// Stands for a length that nobody knows before the end.
const UNKNOWN: u64 = u64::MAX;

/// Bytes of a piece: several fit into a link, and a piece stays in the caches between two processors.
const PIECE: usize = 128 << 10;

/// The first message of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Opening {
    /// How many bytes there will be, where that is known: for people who watch. What counts is the summary.
    pub(crate) len_bytes: Option<u64>,
}

impl Opening {
    const BYTES: usize = 28;

    /// The message.
    fn message(self) -> [u8; Opening::BYTES] {
        let mut message = [0; Opening::BYTES];
        let len = self.len_bytes.unwrap_or(UNKNOWN).to_le_bytes();
        let bytes = MAGIC.iter().chain(&len);
        message.iter_mut().zip(bytes).for_each(|(place, byte)| *place = *byte);
        let (front, check) = message.split_at_mut(Opening::BYTES - 4);
        check.copy_from_slice(&crc32fast::hash(front).to_le_bytes());
        message
    }

    /// The opening that a message is, if it is one.
    pub(crate) fn read(message: &[u8]) -> Option<Opening> {
        let (front, check) = message.split_last_chunk::<4>()?;
        let (magic, len) = front.split_last_chunk::<8>()?;
        let len = u64::from_le_bytes(*len);
        let sound = magic == MAGIC && u32::from_le_bytes(*check) == crc32fast::hash(front);
        sound.then_some(Opening { len_bytes: (len != UNKNOWN).then_some(len) })
    }
}

/// What was sent, or what has arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Summary {
    /// All bytes of the pieces.
    pub(crate) len_bytes: u64,
    /// Their checksum. CRC-32: it finds what was lost, doubled or changed by accident.
    pub(crate) crc32: u32,
}

impl Summary {
    const BYTES: usize = 12;

    fn message(self) -> [u8; Summary::BYTES] {
        let mut message = [0; Summary::BYTES];
        let (len, crc) = message.split_at_mut(8);
        len.copy_from_slice(&self.len_bytes.to_le_bytes());
        crc.copy_from_slice(&self.crc32.to_le_bytes());
        message
    }

    fn read(message: &[u8]) -> Option<Summary> {
        let (len, crc32) = message.split_first_chunk::<8>()?;
        let crc32 = u32::from_le_bytes(crc32.try_into().ok()?);
        Some(Summary { len_bytes: u64::from_le_bytes(*len), crc32 })
    }
}

/// Adds up a stream as it passes.
#[derive(Default)]
struct Tally {
    len_bytes: u64,
    crc: crc32fast::Hasher,
}

impl Tally {
    fn add(&mut self, piece: &[u8]) {
        self.crc.update(piece);
        self.len_bytes += piece.len() as u64;
    }

    fn summary(self) -> Summary {
        Summary { len_bytes: self.len_bytes, crc32: self.crc.finalize() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_opening_is_read_as_it_was_written_and_nothing_else_is_one() {
        for len_bytes in [None, Some(0), Some(1 << 40)] {
            let opening = Opening { len_bytes };
            let message = opening.message();
            assert_eq!(Opening::read(&message), Some(opening));
            for at in 0..message.len() {
                let mut other = message;
                other[at] ^= 1;
                assert_eq!(Opening::read(&other), None, "byte {at} is another");
            }
            assert_eq!(Opening::read(&message[..27]), None);
            assert_eq!(Opening::read(&[&message[..], b"x"].concat()), None);
        }
        assert_eq!(Opening::read(b""), None);
    }

    #[test]
    fn a_summary_is_read_as_it_was_written_and_does_not_depend_on_the_pieces() {
        let mut one = Tally::default();
        one.add(b"hello world");
        let mut many = Tally::default();
        b"hello world".iter().for_each(|byte| many.add(&[*byte]));
        let summary = one.summary();
        assert_eq!(summary, Summary { len_bytes: 11, crc32: 0x0d4a_1185 });
        assert_eq!(summary, many.summary());
        assert_eq!(Summary::read(&summary.message()), Some(summary));
        assert_eq!(Summary::read(b"hello"), None);
        assert_eq!(Summary::read(b"hello, world!"), None);
    }
}
