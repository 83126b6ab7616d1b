//! When a side that would sleep at a queue waits a moment first, because the other side is about to come.
//!
//! A side that sleeps has to be woken, and the other side pays for that as for several messages: where one of them is a little
//! faster than the other, it sleeps again and again, and what it was faster by is gone. A moment's wait lets messages come (or
//! room), and nobody sleeps. Nothing tells how long a call of the queue has slept but the clock, which costs a stream of small
//! messages too much; so a receiver in a stream tries first, which costs no more than the call that sleeps as long as messages
//! are there, and finds out by failing that there are none.

use std::time::Duration;

use wharf_sys::clock::Instant;

use crate::wait;

/// How long a lull lasts, besides copying: two small messages of a fast stream at least, and less than waking anybody takes on
/// another core.
const LULL: Duration = Duration::from_micros(2);

/// A call that took longer, besides copying, has slept: to sleep and be woken takes ten and more on two cores. One that does not
/// sleep may wait for the queue's lock.
const AWAKE: Duration = Duration::from_micros(3);

/// Bytes that are copied in a nanosecond, between two cores that are near; where they are far, half as many.
const BYTES_PER_NANO: u64 = 4;

/// Lulls that may be in vain before there are no more, once others have paid.
const MOST_CREDIT: u32 = 4;

/// Occasions between two trials, at most.
const MOST_SKIPPED: u32 = 64;

/// See the top of the file.
#[derive(Debug)]
pub(super) struct Lull {
    /// The one processor to which the peer was confined when it introduced itself.
    their_cpu: Option<usize>,
    /// Lulls that may be in vain before there are no more.
    credit: u32,
    /// Occasions until the next trial, and the same after a trial in vain.
    skip: u32,
    next_skip: u32,
}

impl Lull {
    pub(super) fn new(their_cpu: Option<usize>) -> Self {
        Self { their_cpu, credit: 0, skip: 0, next_skip: 1 }
    }

    /// Whether lulls have paid of late.
    #[inline]
    pub(super) fn pays(&self) -> bool {
        self.credit > 0
    }

    /// Whether this occasion is one for a lull, or for a trial. On one and the same processor nobody comes meanwhile.
    #[inline]
    pub(super) fn is_due(&mut self) -> bool {
        if self.credit == 0 && self.skip > 0 {
            self.skip -= 1;
            return false;
        }
        !wait::shares_cpu(self.their_cpu)
    }

    /// Waits a moment in a stream of messages of so many bytes, and returns its end.
    #[cold]
    pub(super) fn pass(len: usize) -> Instant {
        wait::stand_back(LULL + copying(len))
    }

    /// A trial was in vain, before any lull.
    #[inline]
    pub(super) fn vain(&mut self) {
        self.credit = self.credit.saturating_sub(1);
        if self.credit == 0 {
            self.skip = self.next_skip;
            self.next_skip = (self.next_skip * 2).min(MOST_SKIPPED);
        }
    }

    /// The call behind a lull took so long, for a message of so many bytes.
    pub(super) fn note(&mut self, took: Duration, len: usize) {
        if took < AWAKE + 2 * copying(len) {
            self.credit = MOST_CREDIT;
            self.next_skip = 1;
        } else {
            self.vain();
        }
    }
}

/// How long it takes to copy so many bytes.
fn copying(len: usize) -> Duration {
    Duration::from_nanos(len as u64 / BYTES_PER_NANO)
}

#[cfg(test)]
mod tests {
    use wharf_sys::cpu;

    use super::*;

    const QUICK: Duration = Duration::from_nanos(400);
    const SLEPT: Duration = Duration::from_micros(20);

    /// How many lulls there are at so many occasions, when the call behind each takes so long.
    fn lulls(lull: &mut Lull, occasions: usize, took: Duration) -> usize {
        (0..occasions)
            .filter(|_| {
                let due = lull.is_due();
                if due {
                    lull.note(took, 64);
                }
                due
            })
            .count()
    }

    #[test]
    fn lulls_that_pay_go_on_and_others_become_rare() {
        let mut lull = Lull::new(None);
        assert_eq!(lulls(&mut lull, 1_000, QUICK), 1_000);
        assert_eq!(lulls(&mut lull, MOST_CREDIT as usize, SLEPT), MOST_CREDIT as usize, "the peer may lose its core");
        let rare = lulls(&mut lull, 10_000, SLEPT);
        assert!((100..200).contains(&rare), "{rare}");
        assert!(lulls(&mut lull, 1_000, QUICK) >= 1_000 - MOST_SKIPPED as usize, "once one pays, all are tried");
    }

    #[test]
    fn two_sides_on_one_processor_have_none() {
        let cpu = *cpu::allowed().unwrap().first().unwrap();
        std::thread::spawn(move || {
            cpu::pin_this_thread(cpu).unwrap();
            for (their_cpu, some) in [(Some(cpu), false), (Some(cpu + 1), true), (None, true)] {
                assert_eq!(lulls(&mut Lull::new(their_cpu), 100, QUICK) > 0, some, "{their_cpu:?}");
            }
        })
        .join()
        .unwrap();
    }

    #[test]
    fn it_lasts_longer_for_larger_messages() {
        for (len, least) in [(0, 2_000), (8_000, 4_000)] {
            let start = Instant::now();
            assert!(Lull::pass(len).saturating_since(start) >= Duration::from_nanos(least));
        }
    }
}
