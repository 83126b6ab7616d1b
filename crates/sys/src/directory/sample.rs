//! Which names of a directory one sweep looks at.

use std::path::PathBuf;

use rustix::io::retry_on_intr;
use rustix::rand::{GetRandomFlags, getrandom};

/// How many names one sweep looks at, at most: each look costs a few system calls, and a sweep should be over in a
/// millisecond or so.
const LOOKS: usize = 256;

/// As many of these as one sweep looks at, each with the same chance, in one pass and in memory for no more than those. `None` without
/// chance.
pub(super) fn of(names: impl Iterator<Item = PathBuf>) -> Option<Vec<PathBuf>> {
    let mut seed = [0; 8];
    retry_on_intr(|| getrandom(&mut seed[..], GetRandomFlags::empty())).ok()?;
    let mut chosen = Vec::new();
    // A xorshift generator, whose state is never 0.
    let mut state = u64::from_ne_bytes(seed) | 1;
    for (before, name) in (0_u64..).zip(names) {
        if chosen.len() < LOOKS {
            chosen.push(name);
            continue;
        }
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        // The name is one of `before + 1`, of which LOOKS are kept.
        let place = usize::try_from(state % (before + 1)).unwrap_or(usize::MAX);
        if let Some(place) = chosen.get_mut(place) {
            *place = name;
        }
    }
    Some(chosen)
}
