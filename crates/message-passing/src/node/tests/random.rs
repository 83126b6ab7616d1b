//! Chance, for tests that say anything.

/// Numbers that look random and come again with their seed (SplitMix64).
pub(super) struct Random(pub(super) u64);

impl Random {
    /// From the environment variable `WHARF_TEST_SEED`, or else from the clock; printed, so that a failure can be seen again.
    pub(super) fn seeded() -> Random {
        let given = std::env::var("WHARF_TEST_SEED").ok().and_then(|text| text.parse().ok());
        let seed = given.unwrap_or_else(|| wharf_sys::clock::Instant::now().as_nanos());
        eprintln!("WHARF_TEST_SEED={seed}");
        Random(seed)
    }

    pub(super) fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(super) fn below(&mut self, bound: usize) -> usize {
        (self.number() % bound.max(1) as u64) as usize
    }

    pub(super) fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    pub(super) fn of<'a, T>(&mut self, all: &'a [T]) -> Option<&'a T> {
        all.get(self.below(all.len()))
    }

    /// Any, small or extreme.
    pub(super) fn word(&mut self) -> u64 {
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
    pub(super) fn spoil(&mut self, bytes: &mut Vec<u8>) {
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
