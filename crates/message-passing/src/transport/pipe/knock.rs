//! The record with which a side that connects says where its pair of FIFOs is (docs/wire.md).

use wharf_sys::directory::PairId;

/// Bytes of a knock; far fewer than the system writes whole.
pub(super) const KNOCK: usize = 32;

const MAGIC: [u8; 8] = *b"WHARFPIP";

/// The version of this record.
const VERSION: u16 = 1;

/// Writes a knock.
pub(super) fn write(id: PairId) -> [u8; KNOCK] {
    let mut knock = [0; KNOCK];
    let [low, high] = VERSION.to_le_bytes();
    let fields = MAGIC.into_iter().chain([low, high, 0, 0, 0, 0, 0, 0]).chain(id);
    for (place, byte) in knock.iter_mut().zip(fields) {
        *place = byte;
    }
    knock
}

/// What was read so far at a FIFO, where many knock: each knock arrives whole, but anybody who may write there can leave
/// anything in between.
#[derive(Debug, Default)]
pub(super) struct Heard {
    bytes: Vec<u8>,
}

/// What is to be done about what was read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// So many more bytes are missing for one knock.
    More(usize),
    /// Somebody knocked; to be accepted or rejected.
    Pair(PairId),
    /// So many bytes were no knock, or one of another version.
    Nonsense(String),
}

impl Heard {
    /// Adds what was read.
    pub(super) fn add(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Nothing more is there now: what is left is the beginning of nothing, since a knock arrives whole.
    pub(super) fn give_up(&mut self) -> Option<String> {
        let left = self.bytes.len();
        self.bytes.clear();
        (left > 0).then(|| nonsense(left))
    }

    /// The knock that was understood led to somebody.
    pub(super) fn accept(&mut self) {
        self.bytes.drain(..KNOCK.min(self.bytes.len()));
    }

    /// The knock that was understood led nowhere. If its beginning was left there by somebody who never wrote the rest, the
    /// rest is the beginning of another.
    pub(super) fn reject(&mut self) {
        self.bytes.drain(..MAGIC.len().min(self.bytes.len()));
        let next = self.beginning();
        self.bytes.drain(..next);
    }

    /// The first place at which a knock may begin, as far as can be seen.
    fn beginning(&self) -> usize {
        let begins = |at: &usize| self.bytes.iter().skip(*at).zip(MAGIC).all(|(byte, magic)| *byte == magic);
        (0..self.bytes.len()).find(begins).unwrap_or(self.bytes.len())
    }

    /// Understands what was read.
    pub(super) fn next(&mut self) -> Next {
        let skipped = self.beginning();
        if skipped > 0 {
            self.bytes.drain(..skipped);
            return Next::Nonsense(nonsense(skipped));
        }
        let Some(knock) = self.bytes.first_chunk::<KNOCK>() else { return Next::More(KNOCK - self.bytes.len()) };
        let &[.., low, high, a, b, c, d, e, f, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _] = knock;
        let id = knock.last_chunk().copied().unwrap_or_default();
        let version = u16::from_le_bytes([low, high]);
        if version != VERSION || [a, b, c, d, e, f] != [0; 6] {
            // Only its first word is dropped: what looks like the rest of it may be somebody else's knock.
            self.bytes.drain(..MAGIC.len());
            return Next::Nonsense(format!("it knocked in version {version}, this side understands version {VERSION}"));
        }
        Next::Pair(id)
    }
}

fn nonsense(bytes: usize) -> String {
    format!("{bytes} bytes that are no knock were left at the FIFO")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chance::{Random, seeds};

    /// Everything in some bytes, read in pieces of this size.
    fn all(bytes: &[u8], piece: usize) -> (Vec<u8>, usize) {
        let mut heard = Heard::default();
        let (mut pairs, mut nonsense) = (Vec::new(), 0);
        for piece in bytes.chunks(piece) {
            heard.add(piece);
            loop {
                match heard.next() {
                    // Only these lead to somebody.
                    Next::Pair(id) if id == [id[0]; 16] => {
                        pairs.push(id[0]);
                        heard.accept();
                    }
                    Next::Pair(_) => {
                        nonsense += 1;
                        heard.reject();
                    }
                    Next::Nonsense(_) => nonsense += 1,
                    Next::More(_) => break,
                }
            }
        }
        (pairs, nonsense + usize::from(heard.give_up().is_some()))
    }

    #[test]
    fn knocks_are_understood_one_by_one() {
        let bytes: Vec<u8> = (1..=4).flat_map(|number| write([number; 16])).collect();
        for piece in 1..=bytes.len() {
            assert_eq!(all(&bytes, piece), (vec![1, 2, 3, 4], 0), "{piece}");
        }
        assert_eq!(Heard::default().next(), Next::More(KNOCK));
    }

    #[test]
    fn what_is_no_knock_hides_none_that_comes_after_it() {
        let mut other_version = write([9; 16]);
        other_version[8] = 2;
        let half = write([1; 16])[..20].to_vec();
        for junk in [&half[..], b"x", b"WHARF", b"WHARFPI", b"hello\n", &[0; 100], &other_version, b"WWHARFPWHARFPIW"] {
            let mut bytes = junk.to_vec();
            bytes.extend(write([7; 16]));
            bytes.extend(junk);
            bytes.extend(write([8; 16]));
            bytes.extend(junk);
            for piece in [1, 7, 31, 32, 33, 500] {
                let (pairs, nonsense) = all(&bytes, piece);
                assert_eq!(pairs, [7, 8], "{junk:?} {piece}");
                assert!(nonsense >= 3, "{junk:?} {piece}");
            }
        }
    }

    #[test]
    fn random_junk_hides_no_knock_and_is_never_kept() {
        for seed in seeds(2_000) {
            let mut random = Random(seed);
            let (mut bytes, mut expected) = (Vec::new(), Vec::new());
            for _ in 0..random.below(12) {
                let id = 1 + random.below(255) as u8;
                let knock = write([id; 16]);
                if random.once_in(2) {
                    bytes.extend(knock);
                    expected.push(id);
                    continue;
                }
                let junk = match random.below(3) {
                    // Left before its id had come.
                    0 => knock[..random.below(17)].to_vec(),
                    1 => MAGIC[..random.below(9)].repeat(1 + random.below(5)),
                    _ => {
                        let len = random.below(70);
                        random.bytes(len)
                    }
                };
                bytes.extend(junk);
            }
            let (mut heard, mut pairs, mut left) = (Heard::default(), Vec::new(), bytes.as_slice());
            // As a door reads it: no more than what is missing, and often less.
            loop {
                match heard.next() {
                    Next::Pair(id) if id == [id[0]; 16] && id[0] != 0 => {
                        pairs.push(id[0]);
                        heard.accept();
                    }
                    Next::Pair(_) => heard.reject(),
                    Next::Nonsense(_) => {}
                    Next::More(_) if left.is_empty() => break,
                    Next::More(missing) => {
                        let (piece, rest) = left.split_at(left.len().min(1 + random.below(missing)));
                        heard.add(piece);
                        left = rest;
                    }
                }
                assert!(heard.bytes.len() <= KNOCK, "seed {seed}");
            }
            assert_eq!(pairs, expected, "seed {seed}");
        }
    }
}
