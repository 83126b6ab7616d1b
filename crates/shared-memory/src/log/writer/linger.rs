//! Whether the writer waits for a moment for room in the small ring, before it goes on in the large one.
//!
//! The small ring lies in the caches next to both cores. A stream that leaves it is slower by far, near and far
//! (docs/performance.md), and a reader that keeps up releases an eighth of it within a microsecond or two. One that does not is
//! not waited for: after each wait in vain so many more of them are left out.
//!
//! Plain counting, without a clock. It is for links whose two sides do not share one processor and who do not want to sleep at
//! once; everybody else's writer never waits here.

use super::{SMALL, Writer};
use crate::atomic::{Ordering, spin_loop};
use crate::log::WriteError;
use crate::log::page::Page;
use crate::log::ring::Ring;
use std::ops::Deref;

/// Looks at what the readers have released, with pauses between them: some two microseconds in all. In models each would be the
/// same as the one before.
const LOOKS: u32 = if cfg!(loom) { 0 } else { 16 };

/// Pauses before a look. Each takes the line with the positions away from its reader.
const PAUSES: u32 = 4;

/// The most waits that are left out in a row. Each stands for a small ring's worth of messages at least.
const MOST_LEFT_OUT: u32 = 1023;

/// What waiting has brought lately.
#[derive(Debug, Default)]
pub(super) struct Linger {
    /// Whether it may wait at all.
    allowed: bool,
    /// Waits that are still to be left out.
    left: u32,
    /// How many were left out after the last wait in vain.
    after_vain: u32,
}

impl Linger {
    pub(super) fn allow(&mut self) {
        self.allowed = true;
    }

    /// Whether to wait this time.
    fn is_due(&mut self) -> bool {
        match self.left.checked_sub(1) {
            Some(left) => {
                self.left = left;
                false
            }
            None => true,
        }
    }

    fn paid(&mut self) {
        self.after_vain = 0;
    }

    fn was_in_vain(&mut self) {
        self.after_vain = (self.after_vain * 2 + 1).min(MOST_LEFT_OUT);
        self.left = self.after_vain;
    }
}

impl<R: Ring, P: Deref<Target = Page>> Writer<R, P> {
    /// Waits until a frame of `len` bytes fits the small ring, if the stream is there and that is worth a moment.
    pub(super) fn linger(&mut self, len: u64) -> Result<(), WriteError> {
        // Relaxed: a hint. A reader that sleeps releases nothing before it is rung for.
        let sleeps = |page: &Page| page.data_ticket.load(Ordering::Relaxed) != 0;
        let is_warm = self.current == SMALL && len <= self.largest_in(SMALL);
        if !self.linger.allowed
            || !is_warm
            || self.fits_in_front(len)
            || self.seats.iter().any(|seat| sleeps(&seat.page))
        {
            return Ok(());
        }
        if !self.linger.is_due() {
            return Ok(());
        }
        for _ in 0..LOOKS {
            for _ in 0..PAUSES {
                spin_loop();
            }
            self.refresh()?;
            if self.fits_in_front(len) {
                self.linger.paid();
                return Ok(());
            }
        }
        self.linger.was_in_vain();
        Ok(())
    }

    /// Whether a frame fits the small ring, behind a pad if that is what it takes.
    fn fits_in_front(&self, len: u64) -> bool {
        let track = &self.tracks[SMALL];
        track.head + self.pad_before(SMALL, len) + self.grid.frame(len) + self.grid.reserve() <= track.limit
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn waits_in_vain_become_rarer_and_one_that_paid_brings_them_back() {
        let mut linger = Linger::default();
        let mut vain = 0;
        for _ in 0..100_000 {
            if linger.is_due() {
                linger.was_in_vain();
                vain += 1;
            }
        }
        assert!((10..=110).contains(&vain), "{vain} of 100,000 waits in vain");
        while !linger.is_due() {}
        linger.paid();
        assert!((0..1000).all(|_| linger.is_due()));
    }
}
