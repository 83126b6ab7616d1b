//! When to look whether the peer lives: the data path makes no system call, so death has to be looked for now and then.
//!
//! The rules take the time as an argument and make no system call themselves. A caller that works fast looks at the
//! clock seldom, a slow one every time, and at the peer only when nothing has been heard of it for a while.

use std::time::Duration;

use wharf_sys::clock::Instant;

/// Vain tries between two looks at the clock while they follow each other fast; a look costs some 20 ns and no system
/// call.
const TRIES_PER_CLOCK: u32 = 1024;

/// Vain tries for so long, and the peer is looked at (one system call): well inside the 250 ms in which a death must
/// be noticed, and far longer than a peer that keeps up is ever silent because it lost its core.
const SILENCE: Duration = Duration::from_millis(100);

/// Counts vain tries of callers that never wait, so that even they learn of a death, whether they try every few
/// nanoseconds or once a second.
#[derive(Debug, Default)]
pub(super) struct Silence {
    /// Vain tries until the next look at the clock.
    left: u32,
    every: u32,
    last: Option<Instant>,
    since: Option<Instant>,
    /// Tries that had not been in vain when the one before was.
    done: u64,
}

impl Silence {
    /// One more vain try, after `done` that were not; `true` when it is time to look at the peer. It is told by a count that its caller
    /// keeps anyway: telling it of each message would come between the message and its answer.
    #[inline]
    pub(super) fn goes_on(&mut self, done: u64) -> bool {
        if self.done != done {
            self.done = done;
            self.since = None;
        }
        match self.left.checked_sub(1) {
            Some(left) => {
                self.left = left;
                false
            }
            None => self.is_long(Instant::now()),
        }
    }

    #[cold]
    fn is_long(&mut self, now: Instant) -> bool {
        let fast = self.last.is_some_and(|last| now.saturating_since(last) < FAST_GAP);
        self.last = Some(now);
        self.every = if fast { (self.every * 2).clamp(1, TRIES_PER_CLOCK) } else { 1 };
        self.left = self.every - 1;
        let since = *self.since.get_or_insert(now);
        if now.saturating_since(since) >= SILENCE {
            self.since = Some(now);
            return true;
        }
        false
    }
}

/// A sender looks at the clock with every message, but no more often than with every 32nd while it sends fast, and at the
/// peer when this much time has passed since the message before, or, within a quarter of it, since the peer last took one: a slow
/// sender learns of a death with its next message, and one that was fast with its 32nd at the latest.
const LONG_GAP: Duration = Duration::from_millis(100);
const FAST_GAP: Duration = Duration::from_millis(1);
const MESSAGES_PER_CLOCK: u64 = 32;

/// Tells a sender whose peer is awake, and so is never rung, when to look whether it still lives.
#[derive(Debug)]
pub(super) struct Watch {
    /// The number of the message at which to look at the clock. Compared with a count that the sender keeps anyway: counting
    /// down would be one more store for each message.
    next: u64,
    every: u64,
    /// When the clock was looked at.
    last: Instant,
    /// When the peer was last seen to have taken something, or was looked at, and how much it had taken.
    lively: Instant,
    taken: u64,
}

impl Watch {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Self { next: 0, every: 1, last: now, lively: now, taken: 0 }
    }

    /// Whether it is time to look at the clock, before the next message and after `sent` others.
    #[inline(always)]
    pub(super) fn is_due(&self, sent: u64) -> bool {
        sent >= self.next
    }

    /// Looks at the clock, and when that says so at what the peer has taken of the messages `sent`; `true` when it is time to look
    /// at the peer. What it has taken stands in a line that it writes all the time, and is asked for no more often than it must.
    pub(super) fn wants_a_look(&mut self, now: Instant, sent: u64, taken: impl FnOnce() -> u64) -> bool {
        let gap = now.saturating_since(self.last);
        self.last = now;
        self.every = if gap < FAST_GAP { (self.every * 2).min(MESSAGES_PER_CLOCK) } else { 1 };
        self.next = sent + self.every;
        let since_lively = now.saturating_since(self.lively);
        if gap < LONG_GAP && since_lively < LONG_GAP / 4 {
            return false;
        }
        let taken = taken();
        // What it took may have been taken at the beginning of the gap, so a long gap needs a look all the same.
        let quiet = taken == self.taken && since_lively >= LONG_GAP;
        let look = gap >= LONG_GAP || quiet;
        if look || taken != self.taken {
            self.lively = now;
            self.taken = taken;
        }
        look
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_sender_looks_at_its_peer_with_every_message_and_a_fast_one_seldom() {
        let start = Instant::now();
        let at = |millis: u64| start.saturating_add(Duration::from_millis(millis));
        let mut watch = Watch { next: 0, every: 1, last: start, lively: start, taken: 0 };
        for second in 1..5 {
            assert!(watch.is_due(second), "every message of a slow sender looks at the clock");
            assert!(watch.wants_a_look(at(second * 1000), second, || second), "whatever the peer has taken meanwhile");
        }
        for _ in 0..10 {
            assert!(!watch.wants_a_look(at(4000), 5, || 4));
        }
        assert_eq!(watch.next, 5 + MESSAGES_PER_CLOCK);
        assert!(!watch.is_due(4 + MESSAGES_PER_CLOCK));
        assert!(watch.is_due(5 + MESSAGES_PER_CLOCK));
        assert!(watch.wants_a_look(at(4151), 5 + MESSAGES_PER_CLOCK, || 4));
        assert!(watch.is_due(6 + MESSAGES_PER_CLOCK));
    }

    #[test]
    fn a_steady_sender_looks_at_a_peer_that_takes_nothing_and_at_no_other() {
        let start = Instant::now();
        let at = |millis: u64| start.saturating_add(Duration::from_millis(millis));
        let mut watch = Watch { next: 0, every: 1, last: start, lively: start, taken: 0 };
        for turn in 1..200 {
            assert!(!watch.wants_a_look(at(turn * 5), turn, || turn), "it takes every message");
        }
        let looks = (200..300).filter(|turn| watch.wants_a_look(at(turn * 5), *turn, || 199)).count();
        assert_eq!(looks, 4, "half a second of silence that shows 25 ms late at most, a look every 100 ms");
    }

    #[test]
    fn even_a_caller_that_tries_seldom_looks_at_its_peer_in_time() {
        for gap_millis in [1, 4, 16, 90] {
            let start = Instant::now();
            let mut silence = Silence::default();
            let mut now = start;
            let looked = (0..400).find(|_| {
                now = now.saturating_add(Duration::from_millis(gap_millis));
                silence.left == 0 && silence.is_long(now)
            });
            assert!(looked.is_some(), "tries {gap_millis} ms apart");
            assert!(now.saturating_since(start) <= Duration::from_millis(100 + 2 * gap_millis));
        }
    }

    #[test]
    fn fast_vain_tries_seldom_look_at_the_clock() {
        let start = Instant::now();
        let mut silence = Silence::default();
        for turn in 0..20 {
            assert!(!silence.is_long(start.saturating_add(Duration::from_micros(turn))));
        }
        assert_eq!(silence.left + 1, TRIES_PER_CLOCK);
    }
}
