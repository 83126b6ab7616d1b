//! A small generator of numbers that look random and can be had again from their seed.

/// Numbers by the SplitMix64 recurrence: plenty for choosing when to kill and what to scribble.
#[derive(Clone, Debug)]
pub struct Random {
    state: u64,
}

impl Random {
    /// The numbers that belong to `seed`.
    pub fn new(seed: u64) -> Random {
        Random { state: seed }
    }

    /// A seed from the environment variable `WHARF_PROOF_SEED`, or else from the clock.
    ///
    /// Print it: whoever sees a failure needs it to see it again.
    pub fn seed() -> u64 {
        let given = std::env::var("WHARF_PROOF_SEED").ok().and_then(|text| text.parse().ok());
        given.unwrap_or_else(|| wharf_sys::clock::Instant::now().as_nanos())
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`; 0 when `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        // The bias towards small numbers is far below what any test here could notice.
        let wide = u128::from(self.number()) * u128::from(bound);
        u64::try_from(wide >> 64).unwrap_or(0)
    }

    /// Fills `bytes`.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let number = self.number().to_le_bytes();
            for (byte, value) in chunk.iter_mut().zip(number) {
                *byte = value;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Random;

    #[test]
    fn a_seed_gives_the_same_numbers_again() {
        let take = |seed| {
            let mut random = Random::new(seed);
            [random.number(), random.number(), random.number()]
        };
        assert_eq!(take(7), take(7));
        assert_ne!(take(7), take(8));
    }

    #[test]
    fn numbers_stay_below_their_bound_and_reach_all_of_it() {
        let mut random = Random::new(1);
        let mut seen = [false; 5];
        for _ in 0..200 {
            let number = usize::try_from(random.below(5)).expect("small");
            seen[number] = true;
        }
        assert_eq!(seen, [true; 5]);
        assert_eq!(random.below(0), 0);
    }

    #[test]
    fn every_byte_of_a_slice_is_filled() {
        let mut random = Random::new(1);
        let mut ever = [0u8; 13];
        for _ in 0..20 {
            let mut bytes = [0u8; 13];
            random.fill(&mut bytes);
            for (seen, byte) in ever.iter_mut().zip(bytes) {
                *seen |= byte;
            }
        }
        assert!(ever.iter().all(|&byte| byte != 0));
    }
}
