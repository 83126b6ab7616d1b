//! Chance, for tests that say anything: it comes again with its seed, which is printed.

use std::time::SystemTime;

/// Numbers that look random (SplitMix64).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    /// From a [fresh seed](fresh_seed).
    pub(crate) fn seeded() -> Random {
        Random(fresh_seed())
    }

    pub(crate) fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ mixed >> 31
    }

    /// 0 where nothing is below.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.number() % bound.max(1) as u64) as usize
    }

    /// Once in so many times.
    pub(crate) fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    /// One of some.
    pub(crate) fn one_of<T: Copy>(&mut self, some: &[T]) -> T {
        some[self.below(some.len())]
    }

    /// One of those that there are, if any.
    pub(crate) fn of<'a, T>(&mut self, all: &'a [T]) -> Option<&'a T> {
        all.get(self.below(all.len()))
    }

    pub(crate) fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.number() as u8).collect()
    }

    /// Any, small or extreme.
    pub(crate) fn word(&mut self) -> u64 {
        let number = self.number();
        match self.below(5) {
            0 => number,
            1 => number % 8,
            2 => u64::MAX - number % 2,
            3 => 1 << (number % 64),
            _ => (1 << 62) - number % 2,
        }
    }

    /// Changes some of it.
    pub(crate) fn spoil(&mut self, bytes: &mut Vec<u8>) {
        for _ in 0..=self.below(3) {
            let at = self.below(bytes.len() + 1);
            match self.below(4) {
                0 => bytes.truncate(at),
                1 => bytes.insert(at, self.number() as u8),
                _ => {
                    let (at, word) = (at / 8 * 8, self.word().to_le_bytes());
                    if let Some(to) = bytes.get_mut(at..at + 8) {
                        to.copy_from_slice(&word);
                    }
                }
            }
        }
    }
}

/// The same seeds every time, and a [fresh one](fresh_seed).
pub(crate) fn seeds(count: u64) -> impl Iterator<Item = u64> {
    (0..count).chain([fresh_seed()])
}

/// From the environment variable `WHARF_TEST_SEED`, or else from the clock; printed, so that a failure can be seen again.
fn fresh_seed() -> u64 {
    let given = std::env::var("WHARF_TEST_SEED").ok().and_then(|text| text.parse().ok());
    let by_the_clock = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |it| it.as_nanos() as u64);
    let seed = given.unwrap_or_else(by_the_clock);
    println!("WHARF_TEST_SEED={seed}");
    seed
}
