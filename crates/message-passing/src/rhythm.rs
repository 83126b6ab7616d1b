//! Whether messages come as a stream, and how long a receiver that has run dry then stands back.
//!
//! A receiver that follows its sender closely takes from it, with every look, the line that the sender is about to write:
//! the two then go on in turns, line by line. One that stands back for a moment finds many messages at once, in lines that
//! the sender is done with, and both work at full speed. Standing back costs latency, so it is done in a stream only,
//! given up as soon as it finds no more than a few messages, and for longer only where the messages come so slowly, because
//! the cores are far apart, that a short time brings few of them.
//!
//! What it finds it takes faster when it asks for the lines some messages ahead. Which of them are written it cannot see; so it does
//! as long as it must be far behind, and not where it would take lines from a sender that is at work on them.
//!
//! Plain counting, without a clock.

use wharf_shared_memory::log::Quick;

/// Pauses for which a receiver stands back at first: some 260 ns, in which a sender that is fast writes a dozen small messages.
const FIRST_GAP: u32 = 10;

/// The most pauses: a microsecond, by which messages of a stream may come later (docs/performance.md).
const LONGEST_GAP: u32 = 40;

/// A gap that finds fewer messages than this grows twice as long.
const FULL_RUN: u64 = 48;

/// A wait of at most so many looks in vain is a short one, of some 90 ns: the sender is at work on the next message. An answer takes
/// longer.
const SHORT_LOOKS: u32 = 20;

/// As many looks as a pause takes: 23 ns on family 26, and a close look some 5.
const LOOKS_A_PAUSE: u32 = 5;

/// Looks of a wait that was not a short one, whether or not it found anything.
const LONG: u32 = u32::MAX;

/// Standing back pays if it finds at least so many messages.
const LEAST_RUN: u64 = 4;

/// So many short waits in a row look like a stream. A first guess that is wrong costs one of so many messages one gap.
const FEWEST_SHORT: u32 = 32;

/// After guesses that were wrong one after the other, so many are needed: traffic that only looks like a stream
/// pays one gap in so many messages.
const MOST_SHORT: u32 = 1 << 16;

/// A receiver that has found so many messages without a wait is far behind, as far as a small ring of them reaches.
const LONG_RUN: u64 = 256;

/// The rhythm of one receiver's messages.
#[derive(Debug)]
pub(crate) struct Rhythm {
    /// Messages that had been taken when the last wait began. Compared with a count that the log keeps anyway: counting those found
    /// since then would be one more store for each message.
    since: u64,
    /// The same, where a look that found nothing is enough.
    dry_at: u64,
    /// So many will have been taken when half of the messages are that can be expected after a wait.
    until: u64,
    /// Looks in vain of the last wait, or [`LONG`].
    looks: u32,
    /// Short waits in a row before it.
    short: u32,
    /// Short waits in a row after which standing back is tried.
    needed: u32,
    /// Pauses before the first look of a wait: [`FIRST_GAP`] to [`LONGEST_GAP`] in a stream, otherwise 0.
    gap: u32,
}

impl Rhythm {
    pub(crate) fn new() -> Self {
        Self { since: 0, dry_at: 0, until: 0, looks: LONG, short: 0, needed: FEWEST_SHORT, gap: 0 }
    }

    /// No message was there at the first look, and a wait begins; so many were taken before. Returns for how many pauses to stand
    /// back.
    #[inline(always)]
    pub(crate) fn dry(&mut self, taken: u64) -> u32 {
        // One that goes on with another publisher may count from elsewhere: then the run was a long one.
        let run = taken.wrapping_sub(self.since);
        (self.since, self.dry_at) = (taken, taken);
        self.short = if self.looks <= SHORT_LOOKS { self.short.saturating_add(1) } else { 0 };
        self.looks = LONG;
        self.until = taken + run.min(LONG_RUN) / 2;
        if self.gap == 0 {
            if self.short >= self.needed {
                self.gap = FIRST_GAP;
            }
        } else if run < LEAST_RUN {
            (self.gap, self.short) = (0, 0);
            self.needed = (self.needed * 2).min(MOST_SHORT);
        } else {
            self.needed = FEWEST_SHORT;
            if run < FULL_RUN {
                self.gap = (self.gap * 2).min(LONGEST_GAP);
            }
        }
        self.gap
    }

    /// No message was there, and nobody waits.
    #[inline(always)]
    pub(crate) fn empty(&mut self, taken: u64) {
        (self.dry_at, self.until) = (taken, taken);
    }

    /// Whether the sender is some messages ahead for sure, or as good as.
    #[inline(always)]
    pub(crate) fn is_behind(&self, taken: u64) -> bool {
        taken < self.until || taken.wrapping_sub(self.dry_at) > LONG_RUN
    }

    /// The wait ended with a message, after so many looks in vain that come close one behind the other.
    #[inline(always)]
    pub(crate) fn found_after(&mut self, looks: u32) {
        self.looks = looks;
    }

    /// The same, after so many looks with a pause before each.
    pub(crate) fn found_after_pauses(&mut self, pauses: u32) {
        self.looks = pauses.saturating_mul(LOOKS_A_PAUSE);
    }

    /// What the looks of a wait came to, and how many were in vain; whether they found a message.
    #[inline(always)]
    pub(crate) fn looked(&mut self, (found, looks): (Quick, u32)) -> bool {
        match found {
            Quick::Message => self.found_after(looks),
            Quick::Nothing => self.long(),
            Quick::Unusual => {}
        }
        found == Quick::Message
    }

    /// The wait goes on for long.
    #[inline(always)]
    pub(crate) fn long(&mut self) {
        self.looks = LONG;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A receiver's rhythm, and the messages that it has taken.
    struct Taker(Rhythm, u64);

    impl Taker {
        fn new() -> Taker {
            Taker(Rhythm::new(), 0)
        }

        /// A wait that finds a message after `looks`, and `more` messages behind it. Returns for how long it stood back.
        fn burst(&mut self, looks: u32, more: u64) -> u32 {
            let gap = self.0.dry(self.1);
            self.0.found_after(looks);
            self.1 += 1 + more;
            gap
        }
    }

    #[test]
    fn a_stream_is_told_by_its_short_waits_and_kept_while_the_gaps_find_many() {
        let mut taker = Taker::new();
        for _ in 0..FEWEST_SHORT {
            assert_eq!(taker.burst(1, 0), 0);
        }
        for _ in 0..1000 {
            assert_eq!(taker.burst(1, FULL_RUN - 1), FIRST_GAP);
        }
        assert_eq!(taker.burst(1, 0), FIRST_GAP);
        assert_eq!(taker.burst(1, 0), 0, "the gap before found one message only");
    }

    #[test]
    fn gaps_that_find_few_messages_grow_up_to_the_longest() {
        let mut taker = Taker::new();
        let mut gaps: Vec<u32> = (0..FEWEST_SHORT + 100).map(|_| taker.burst(1, LEAST_RUN - 1)).collect();
        gaps.retain(|gap| *gap > 0);
        assert_eq!(gaps[..4], [FIRST_GAP, 2 * FIRST_GAP, LONGEST_GAP, LONGEST_GAP]);
        assert!(gaps.iter().all(|gap| *gap <= LONGEST_GAP));
    }

    #[test]
    fn who_is_behind_shows_in_the_run_before_and_in_one_that_does_not_end() {
        let mut taker = Taker::new();
        taker.burst(1, 99);
        taker.burst(1, 0);
        let behind = (101..200).filter(|taken| taker.0.is_behind(*taken)).count();
        assert_eq!(behind, 49, "half of a hundred, of which one is taken");
        assert!(taker.0.is_behind(taker.1 + LONG_RUN));
        taker.0.empty(taker.1 + LONG_RUN);
        assert!((0..=LONG_RUN).all(|more| !taker.0.is_behind(taker.1 + LONG_RUN + more)));
    }

    #[test]
    fn whoever_takes_one_message_at_a_time_is_never_behind() {
        let mut taker = Taker::new();
        for _ in 0..1000 {
            taker.burst(1, 0);
            assert!(!taker.0.is_behind(taker.1));
        }
    }

    #[test]
    fn answers_are_never_kept_waiting() {
        let mut taker = Taker::new();
        for turn in 0..100_000_u32 {
            // Now and then an answer comes at once.
            let looks = if turn % (FEWEST_SHORT - 1) == 0 { SHORT_LOOKS + 1 } else { 1 };
            assert_eq!(taker.burst(looks, 0), 0);
        }
        taker.burst(SHORT_LOOKS + 1, 0);
        for _ in 0..FEWEST_SHORT {
            assert_eq!(taker.burst(1, 0), 0);
        }
        // The last of these waits was in vain after all.
        taker.0.long();
        assert_eq!(taker.burst(1, 0), 0);
    }

    /// A near answer is there after three pauses or four, and whoever waits for room has asked so often, too; what takes longer is no stream.
    #[test]
    fn pauses_count_for_as_long_as_they_take() {
        for (pauses, is_stream) in [(1, true), (4, true), (5, false), (20, false), (u32::MAX, false)] {
            let mut rhythm = Rhythm::new();
            let gaps = (0..=u64::from(FEWEST_SHORT)).map(|taken| {
                let gap = rhythm.dry(taken);
                rhythm.found_after_pauses(pauses);
                gap
            });
            assert_eq!(gaps.last(), Some(if is_stream { FIRST_GAP } else { 0 }), "{pauses} pauses");
        }
    }

    #[test]
    fn answers_that_come_as_fast_as_a_stream_are_kept_waiting_ever_less_often() {
        let mut taker = Taker::new();
        let waited = (0..1_000_000).filter(|_| taker.burst(1, 0) > 0).count();
        assert!((1..=26).contains(&waited), "kept waiting {waited} times in a million");
    }
}
