//! Messages that prove themselves: number, length and every byte follow from the number.

use crate::random::Random;

/// Bytes of the shortest letter: its number.
pub const SHORTEST: usize = 8;

/// How letters of one kind look; both sides must name the same kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// All of this length (at least [`SHORTEST`]).
    Fixed(usize),
    /// Of any length from [`SHORTEST`] up to this one; the number decides.
    Varied(usize),
}

impl Kind {
    /// The length of letter `number`.
    pub fn len(self, number: u64) -> usize {
        match self {
            Kind::Fixed(len) => len.max(SHORTEST),
            Kind::Varied(longest) => {
                let spread = longest.saturating_sub(SHORTEST) + 1;
                let extra = Random::new(number).below(u64::try_from(spread).unwrap_or(u64::MAX));
                SHORTEST + usize::try_from(extra).unwrap_or(0)
            }
        }
    }

    /// Writes letter `number` into `letter`, which is cleared first.
    pub fn compose(self, number: u64, letter: &mut Vec<u8>) {
        letter.clear();
        letter.resize(self.len(number), 0);
        fill(number, letter);
    }

    /// Whether `letter` is letter `number`, byte for byte.
    pub fn is(self, number: u64, letter: &[u8]) -> bool {
        letter.len() == self.len(number) && agrees(number, letter)
    }

    /// Reads a kind as it is written on a command line: `64` or `..4096`.
    pub fn parse(text: &str) -> Option<Kind> {
        match text.strip_prefix("..") {
            Some(longest) => longest.parse().ok().map(Kind::Varied),
            None => text.parse().ok().map(Kind::Fixed),
        }
    }
}

/// Fills bytes that are to be letter `number`.
pub fn fill(number: u64, letter: &mut [u8]) {
    let Some((head, body)) = letter.split_at_mut_checked(SHORTEST) else {
        return;
    };
    head.copy_from_slice(&number.to_le_bytes());
    for (place, chunk) in body.chunks_mut(8).enumerate() {
        let bytes = word(number, place).to_le_bytes();
        for (byte, value) in chunk.iter_mut().zip(bytes) {
            *byte = value;
        }
    }
}

fn agrees(number: u64, letter: &[u8]) -> bool {
    let Some((head, body)) = letter.split_at_checked(SHORTEST) else {
        return false;
    };
    head == number.to_le_bytes()
        && body.chunks(8).enumerate().all(|(place, chunk)| {
            word(number, place).to_le_bytes().iter().zip(chunk).all(|(value, byte)| value == byte)
        })
}

/// The word at `place` of letter `number`: cheap, and different for any two places near each other.
fn word(number: u64, place: usize) -> u64 {
    (number ^ ((place as u64) << 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29)
}

#[cfg(test)]
mod tests {
    use super::{Kind, SHORTEST};

    #[test]
    fn a_letter_is_itself_and_no_other() {
        let kind = Kind::Varied(300);
        let mut letter = Vec::new();
        for number in 0..500 {
            kind.compose(number, &mut letter);
            assert!((SHORTEST..=300).contains(&letter.len()));
            assert!(kind.is(number, &letter));
            assert!(!kind.is(number + 1, &letter));
            if let Some(last) = letter.last_mut() {
                *last ^= 1;
            }
            assert!(!kind.is(number, &letter));
        }
    }

    #[test]
    fn a_wrong_length_is_noticed() {
        let kind = Kind::Fixed(64);
        let mut letter = Vec::new();
        kind.compose(9, &mut letter);
        assert!(kind.is(9, &letter));
        assert!(!kind.is(9, &letter[..63]));
        assert!(!kind.is(9, &letter[..3]));
        assert!(!Kind::Varied(64).is(9, &letter) || Kind::Varied(64).len(9) == 64);
    }

    #[test]
    fn kinds_are_read_as_written() {
        assert_eq!(Kind::parse("64"), Some(Kind::Fixed(64)));
        assert_eq!(Kind::parse("..4096"), Some(Kind::Varied(4096)));
        assert_eq!(Kind::parse("long"), None);
    }
}
