//! How long whoever sleeps beside others, and is not rung for room, sleeps before it looks for some.
//!
//! As long as each look moves something on, the next comes soon: what is large goes on ring by ring, and a slice for each would make a
//! megabyte take a second. Sleeps in vain become longer until they are as long as any.

use std::time::Duration;

use crate::waits::SLICE;

/// The least: longer than it takes a peer that waits to take what there is.
const SHORTEST: Duration = Duration::from_micros(50);

/// See the top of the file.
#[derive(Debug)]
pub(super) struct Slices {
    next: Duration,
}

impl Default for Slices {
    fn default() -> Self {
        Slices { next: SHORTEST }
    }
}

impl Slices {
    /// A look for room has moved something on.
    pub(super) fn moved(&mut self) {
        self.next = SHORTEST;
    }

    /// How long to sleep now until the next look. Each sleep is twice as long as the one before.
    pub(super) fn next(&mut self) -> Duration {
        let longer = (self.next * 2).min(SLICE);
        std::mem::replace(&mut self.next, longer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sleeps_in_vain_become_long_and_a_look_that_moves_something_makes_them_short() {
        let mut slices = Slices::default();
        let sleeps: Vec<Duration> = (0..20).map(|_| slices.next()).collect();
        assert_eq!((sleeps[0], sleeps[1], sleeps[19]), (SHORTEST, 2 * SHORTEST, SLICE));
        assert!(sleeps.is_sorted());
        slices.moved();
        assert_eq!(slices.next(), SHORTEST);
    }
}
