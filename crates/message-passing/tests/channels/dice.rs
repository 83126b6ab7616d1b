//! Numbers that look like chance, all from one seed, which is printed.

/// See the top of the file.
pub(crate) struct Dice {
    pub(crate) seed: u64,
    state: u64,
}

impl Dice {
    pub(crate) fn new(what: &str) -> Dice {
        // Never 0, from which nothing follows.
        let seed = u128::from_le_bytes(wharf_sys::random::bits_128().unwrap()) as u64 | 1;
        println!("{what}: seed {seed}");
        Dice { seed, state: seed }
    }

    pub(crate) fn roll(&mut self, sides: u64) -> u64 {
        // A xorshift generator: what matters here is that a seed gives the same numbers again.
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state % sides
    }
}
