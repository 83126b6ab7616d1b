//! Random choices of tests.
#![allow(dead_code, reason = "each test uses its own part")]

/// Numbers that look random and come again with their seed (SplitMix64).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    /// From the environment variable `WHARF_TEST_SEED`, or else from the clock; printed, so that a failure can be seen again.
    pub(crate) fn seeded() -> Random {
        let given = std::env::var("WHARF_TEST_SEED").ok().and_then(|text| text.parse().ok());
        let seed = given.unwrap_or_else(|| wharf_sys::clock::Instant::now().as_nanos());
        eprintln!("WHARF_TEST_SEED={seed}");
        Random(seed)
    }

    pub(crate) fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.number() % bound
    }

    /// So many bytes of any kind.
    pub(crate) fn bytes<const LEN: usize>(&mut self) -> [u8; LEN] {
        std::array::from_fn(|_| self.number() as u8)
    }
}
