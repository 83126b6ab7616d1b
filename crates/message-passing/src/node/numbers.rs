//! The numbers that a peer has given its offers on one lifeline: none counts twice.

/// Words of 64 numbers that are remembered: a peer whose threads number their offers before they send them is out of order
/// by fewer.
const WORDS: u64 = 16;

/// What a number is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Heard {
    /// It was not used before.
    New,
    /// It was.
    Again,
    /// It is so far behind the highest that nobody remembers.
    TooOld,
}

/// See the top of the file.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    highest: u64,
    /// A bit for each number in the word of the highest and in those before it.
    seen: [u64; WORDS as usize],
}

impl Numbers {
    /// A number was used.
    pub(super) fn hear(&mut self, number: u64) -> Heard {
        let (last, word) = (self.highest / 64, number / 64);
        if number > self.highest {
            // Bounded by WORDS: what was passed over by more is forgotten as a whole.
            for passed in (last + 1).max((word + 1).saturating_sub(WORDS))..=word {
                *self.word(passed) = 0;
            }
            self.highest = number;
        } else if last - word >= WORDS {
            return Heard::TooOld;
        }
        let (seen, bit) = (self.word(word), 1 << (number % 64));
        if *seen & bit != 0 {
            return Heard::Again;
        }
        *seen |= bit;
        Heard::New
    }

    fn word(&mut self, word: u64) -> &mut u64 {
        // The remainder is below WORDS, so it is in bounds.
        &mut self.seen[(word % WORDS) as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_number_is_new_once_in_whatever_order_and_what_is_long_past_never() {
        let mut numbers = Numbers::default();
        for number in [1, 5, 3, 900, 64, 63, 65, 2] {
            assert_eq!(numbers.hear(number), Heard::New, "{number}");
            assert_eq!(numbers.hear(number), Heard::Again, "{number}");
        }
        assert_eq!(numbers.hear(1024 + 63), Heard::New);
        assert_eq!((numbers.hear(4), numbers.hear(63), numbers.hear(65)), (Heard::TooOld, Heard::TooOld, Heard::Again));
        assert_eq!((numbers.hear(66), numbers.hear(u64::MAX)), (Heard::New, Heard::New));
        assert_eq!((numbers.hear(u64::MAX), numbers.hear(900)), (Heard::Again, Heard::TooOld));
        assert_eq!(numbers.hear(u64::MAX - 900), Heard::New);
    }
}
