//! Timers in the order of their times. They know no clock: whoever asks says what time it is.

use std::collections::BTreeMap;
use std::time::Duration;

use wharf_sys::clock::Instant;

/// See the top of the file.
pub(super) struct Timers<T> {
    /// By time, and among equals in the order in which they were set.
    waiting: BTreeMap<(Instant, u64), Timer<T>>,
    /// How many were ever set.
    set: u64,
}

struct Timer<T> {
    period: Option<Duration>,
    token: T,
}

impl<T> Default for Timers<T> {
    fn default() -> Self {
        Self { waiting: BTreeMap::new(), set: 0 }
    }
}

impl<T> Timers<T> {
    /// When the first of them is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.waiting.first_key_value().map(|((at, _), _)| *at)
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// One more, due then, and with a period again and again.
    pub(super) fn add(&mut self, at: Instant, period: Option<Duration>, token: T) {
        self.set += 1;
        self.waiting.insert((at, self.set), Timer { period, token });
    }
}

impl<T: Copy> Timers<T> {
    /// The first that is due, if one is. A periodic one is set again, for the next of its times that is not over.
    pub(super) fn due(&mut self, now: Instant) -> Option<T> {
        let at = self.next().filter(|at| *at <= now)?;
        let (_, timer) = self.waiting.pop_first()?;
        if let Some(period) = timer.period {
            self.add(following(at, period, now), Some(period), timer.token);
        }
        Some(timer.token)
    }

    /// Takes away every one with this token; says whether there was one.
    pub(super) fn cancel(&mut self, token: &T) -> bool
    where
        T: PartialEq,
    {
        let before = self.waiting.len();
        self.waiting.retain(|_, timer| timer.token != *token);
        self.waiting.len() < before
    }
}

/// The first of the times of a period, counted from one of them, that lies after now.
fn following(at: Instant, period: Duration, now: Instant) -> Instant {
    let Ok(period_nanos @ 1..) = u64::try_from(period.as_nanos()) else {
        // Zero is always due, behind whoever is due as well; and what exceeds the clock never is again.
        return if period.is_zero() { now } else { Instant::MAX };
    };
    let missed = now.saturating_since(at).as_nanos() / u128::from(period_nanos);
    let ahead = u64::try_from(missed + 1).unwrap_or(u64::MAX).saturating_mul(period_nanos);
    at.saturating_add(Duration::from_nanos(ahead))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(nanos: u64) -> Instant {
        Instant::from_nanos(nanos)
    }

    const TEN: Option<Duration> = Some(Duration::from_nanos(10));

    #[test]
    fn they_are_due_in_the_order_of_their_times_and_once() {
        let mut timers = Timers::default();
        for (when, token) in [(30, 'c'), (10, 'a'), (20, 'b'), (20, 'd')] {
            timers.add(at(when), None, token);
        }
        assert_eq!(timers.next(), Some(at(10)));
        assert_eq!(timers.due(at(9)), None);
        let due: Vec<char> = std::iter::from_fn(|| timers.due(at(25))).collect();
        assert_eq!(due, ['a', 'b', 'd']);
        assert_eq!(timers.due(at(30)), Some('c'));
        assert_eq!((timers.due(at(99)), timers.len()), (None, 0));
    }

    #[test]
    fn a_period_keeps_its_beat_and_missed_ticks_are_one() {
        let mut timers = Timers::default();
        timers.add(at(10), TEN, 'p');
        assert_eq!(timers.due(at(13)), Some('p'));
        assert_eq!(timers.next(), Some(at(20)));
        assert_eq!(timers.due(at(57)), Some('p'));
        assert_eq!((timers.next(), timers.due(at(57))), (Some(at(60)), None));
        assert_eq!(timers.due(at(60)), Some('p'));
        assert_eq!(timers.next(), Some(at(70)));
    }

    #[test]
    fn a_period_of_zero_leaves_the_others_their_turn() {
        let mut timers = Timers::default();
        timers.add(at(10), Some(Duration::ZERO), 'z');
        timers.add(at(10), TEN, 'p');
        let due: String = (0..4).filter_map(|_| timers.due(at(10))).collect();
        assert_eq!(due, "zpzz");
        assert_eq!(timers.due(at(20)), Some('z'));
        assert_eq!(timers.due(at(20)), Some('p'));
    }

    #[test]
    fn times_beyond_the_clock_are_never_due() {
        let mut timers = Timers::default();
        timers.add(at(5), Some(Duration::MAX), 'm');
        assert_eq!(timers.due(at(5)), Some('m'));
        assert_eq!(timers.due(at(u64::MAX - 1)), None);
    }

    #[test]
    fn cancelling_takes_every_one_with_that_token() {
        let mut timers = Timers::default();
        for token in ['a', 'b', 'a'] {
            timers.add(at(1), TEN, token);
        }
        assert!(timers.cancel(&'a') && !timers.cancel(&'a'));
        assert_eq!((timers.due(at(1)), timers.len()), (Some('b'), 1));
    }
}
