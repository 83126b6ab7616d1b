//! Words that nobody guesses: the token of a comparison, and the first message of a line to another machine.

use std::fs::File;
use std::io::Read;

use crate::compare::trouble::Trouble;

/// Random bytes in one.
pub(crate) const BYTES: usize = 16;
/// Letters of one: two for each byte.
const LETTERS: usize = 2 * BYTES;

/// 128 random bits, written as letters.
#[derive(Clone)]
pub(crate) struct Secret {
    text: String,
}

impl Secret {
    /// A new one.
    pub(crate) fn new() -> Result<Secret, Trouble> {
        let mut bytes = [0; BYTES];
        let read = File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes));
        read.map_err(|error| Trouble::lacking(format!("the system gives no random bytes: {error}")))?;
        Ok(Secret { text: bytes.iter().map(|byte| format!("{byte:02x}")).collect() })
    }

    /// What somebody else has made and written down.
    pub(crate) fn of(text: String) -> Option<Secret> {
        let sound = text.len() == LETTERS && text.bytes().all(|letter| letter.is_ascii_hexdigit());
        sound.then_some(Secret { text })
    }

    /// Its letters.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Whether `said` is it. The time that this takes does not tell where the first difference is.
    pub(crate) fn is(&self, said: &[u8]) -> bool {
        let ours = self.text.as_bytes();
        let differences = ours.iter().zip(said).fold(0, |seen, (a, b)| seen | (a ^ b));
        ours.len() == LETTERS && said.len() == LETTERS && differences == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_letters_are_the_secret() {
        let (one, other) = (Secret::new().expect("random bytes"), Secret::new().expect("random bytes"));
        assert_eq!(one.text().len(), LETTERS);
        assert!(one.is(one.text().as_bytes()));
        assert!(!one.is(other.text().as_bytes()));
        assert!(!one.is(b""));
        assert!(!one.is(&one.text().as_bytes()[1..]));
        assert!(!one.is(format!("{}0", one.text()).as_bytes()));
    }
}
