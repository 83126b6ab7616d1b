//! When a receiver that has run dry waits a moment before it reads, and so sleeps, again.
//!
//! A receiver that sleeps has to be woken, at the price of some twenty small messages, which its sender pays. One that is as
//! fast as its sender hovers above an empty queue, takes messages one by one, and meets its sender at the queue's lock each
//! time. Where messages come that fast, a lull lets several come together: a message is seen up to a lull later, and both sides
//! have done less for it. It costs latency nowhere else, since it is tried only after a read that brought several, goes on
//! only while the read behind it finds several and does not sleep, and is tried ever more seldom where it does not pay.

use std::time::Duration;

use wharf_sys::clock::Instant;

use crate::wait;

/// How long it lasts: ten messages of a fast stream, and less than waking anybody takes on another core.
const LULL: Duration = Duration::from_micros(4);

/// A read that took longer has slept: to sleep and be woken takes this long on one core, and several times as long on two. One
/// that does not sleep may wait for the queue's lock.
const AWAKE: Duration = Duration::from_micros(3);

/// Messages in one read that make a lull worth while.
const SEVERAL: usize = 2;

/// Lulls that may be in vain one after the other in a stream that has had as many that paid: its sender may lose its core.
const MOST_CREDIT: u32 = 4;

/// Reads that bring several between two trials, at most.
const MOST_SKIPPED: u32 = 64;

/// See the top of the file. Decides without a look at the clock.
#[derive(Debug)]
pub(super) struct Lull {
    /// The one processor to which the peer was confined when it introduced itself.
    their_cpu: Option<usize>,
    /// The next read should be preceded by one.
    due: bool,
    /// The last read left something behind, as far as it tells: one for a single message does not.
    more: bool,
    /// Lulls that may be in vain before there are no more.
    credit: u32,
    /// Reads that bring several until the next trial.
    skip: u32,
    /// The same after the next trial in vain.
    next_skip: u32,
}

impl Lull {
    pub(super) fn new(their_cpu: Option<usize>) -> Self {
        Self { their_cpu, due: false, more: false, credit: 0, skip: 0, next_skip: 1 }
    }

    /// Whether one should precede the next read. On one and the same processor nobody sends meanwhile.
    #[inline]
    pub(super) fn is_due(&self) -> bool {
        self.due && !self.more && !wait::shares_cpu(self.their_cpu)
    }

    /// Whether one may be: in as little code as possible.
    #[inline]
    pub(super) fn may_be_due(&self) -> bool {
        self.due
    }

    /// Passes one, and returns its end.
    #[cold]
    pub(super) fn pass() -> Instant {
        wait::stand_back(LULL)
    }

    /// A read that none preceded brought one message and nothing else.
    #[inline]
    pub(super) fn note_alone(&mut self) {
        self.more = false;
    }

    /// A read brought about so many messages, and maybe left `more`; after a lull it `took` so long.
    #[inline]
    pub(super) fn note(&mut self, messages: usize, more: bool, took: Option<Duration>) {
        self.more = more;
        let several = messages >= SEVERAL;
        match took {
            Some(took) if several && took < AWAKE => {
                self.credit = (self.credit + 1).min(MOST_CREDIT);
                self.next_skip = 1;
            }
            Some(_) => match self.credit.checked_sub(1) {
                Some(credit) => self.credit = credit,
                None => {
                    self.due = false;
                    self.skip = self.next_skip;
                    self.next_skip = (self.next_skip * 2).min(MOST_SKIPPED);
                }
            },
            None if several && !self.due => match self.skip.checked_sub(1) {
                Some(left) => self.skip = left,
                None => self.due = true,
            },
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use wharf_sys::cpu;

    use super::*;

    const QUICK: Duration = Duration::from_nanos(400);
    const SLEPT: Duration = Duration::from_micros(20);

    /// So many reads, each of which brings `messages` and takes so long; how many a lull preceded.
    fn lulls(lull: &mut Lull, reads: usize, messages: usize, took: Duration) -> usize {
        (0..reads)
            .filter(|_| {
                let due = lull.is_due();
                lull.note(messages, false, due.then_some(took));
                due
            })
            .count()
    }

    #[test]
    fn messages_that_come_one_by_one_bring_none() {
        let mut lull = Lull::new(None);
        assert_eq!(lulls(&mut lull, 1_000, 1, QUICK), 0);
        assert_eq!(lulls(&mut lull, 1_000, 0, SLEPT), 0);
    }

    #[test]
    fn a_fast_stream_has_one_before_every_read_until_it_ends() {
        let mut lull = Lull::new(None);
        assert_eq!(lulls(&mut lull, 1_000, 10, QUICK), 999);
        assert_eq!(lulls(&mut lull, 2, 10, SLEPT), 2, "a pause of its sender does not end it");
        assert_eq!(lulls(&mut lull, 1_000, 10, QUICK), 1_000);
        assert_eq!(lulls(&mut lull, 1_000, 1, SLEPT), 1 + MOST_CREDIT as usize);
        assert_eq!(lulls(&mut lull, 1_000, 10, QUICK), 998);
    }

    #[test]
    fn bursts_to_a_sleeper_bring_few() {
        let mut lull = Lull::new(None);
        let found = lulls(&mut lull, 10_000, 10, SLEPT);
        assert!((100..200).contains(&found), "{found}");
    }

    #[test]
    fn what_waits_already_is_read_without_one() {
        let mut lull = Lull::new(None);
        lull.note(10, true, None);
        assert!(!lull.is_due());
        lull.note(10, false, None);
        assert!(lull.is_due());
    }

    #[test]
    fn two_sides_on_one_processor_have_none() {
        let cpu = *cpu::allowed().unwrap().first().unwrap();
        std::thread::spawn(move || {
            cpu::pin_this_thread(cpu).unwrap();
            for (their_cpu, some) in [(Some(cpu), false), (Some(cpu + 1), true), (None, true)] {
                let found = lulls(&mut Lull::new(their_cpu), 100, 10, QUICK);
                assert_eq!(found > 0, some, "{their_cpu:?}");
            }
        })
        .join()
        .unwrap();
    }

    #[test]
    fn it_lasts_as_long_as_it_says() {
        let start = Instant::now();
        assert!(Lull::pass().saturating_since(start) >= LULL);
    }
}
