//! For whom a publisher waits, and how long: logic without a clock and without a log.
//!
//! A publisher that blocks waits for the slowest subscriber, so that a short pause of one loses nothing. Who holds it up
//! longer than its patience *lags*: the oldest messages are dropped before it, and from then on the publisher waits for
//! it no more, until it has caught up. So one subscriber that is too slow delays a publisher once.

use std::time::Duration;

use wharf_sys::clock::Instant;

/// How far one subscriber is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place<K> {
    pub(super) seat: K,
    /// The sequence of the message that it wants next, as far as it has said.
    pub(super) next: u64,
}

/// What to do about a full log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Wait for room, at most until then.
    Wait(Option<Instant>),
    /// Drop the oldest.
    Drop,
    /// Nobody is in the way any more: look for room again.
    Again,
}

/// See the top of the file.
#[derive(Debug)]
pub(super) struct Patience<K> {
    limit: Option<Duration>,
    /// The message that waits for room, and since when.
    since: Option<(u64, Instant)>,
    laggards: Vec<K>,
    /// The sequence at which something was dropped last.
    dropped_at: u64,
}

impl<K: Copy + PartialEq> Patience<K> {
    /// Patience of this length; `None` waits for ever.
    pub(super) fn new(limit: Option<Duration>) -> Self {
        Self { limit, since: None, laggards: Vec::new(), dropped_at: 0 }
    }

    /// Makes room for so many laggards, so that becoming one allocates nothing.
    pub(super) fn reserve(&mut self, count: usize) {
        self.laggards.reserve(count.saturating_sub(self.laggards.len()));
    }

    /// There is no room at sequence `sent`, and the next thing to drop is what lies before `floor`. Whoever wants something
    /// of that is in the way, and nobody else would lose anything.
    pub(super) fn full<I: Iterator<Item = Place<K>>>(
        &mut self,
        now: Instant,
        sent: u64,
        floor: u64,
        places: impl Fn() -> I,
    ) -> Verdict {
        self.stuck(now, sent, |place| place.next < floor, places)
    }

    /// The message at sequence `sent` cannot be written unless those who are `in_the_way` lose something.
    pub(super) fn stuck<I: Iterator<Item = Place<K>>>(
        &mut self,
        now: Instant,
        sent: u64,
        is_in_the_way: impl Fn(&Place<K>) -> bool,
        places: impl Fn() -> I,
    ) -> Verdict {
        let Some(limit) = self.limit else { return Verdict::Wait(None) };
        // Many messages find room without coming by here.
        let since = self.since.filter(|(waits, _)| *waits == sent).map_or(now, |(_, since)| since);
        self.since = Some((sent, since));
        let until = since.saturating_add(limit);
        // Who has read all that there was when something was dropped last has caught up. Who is merely slow never gets
        // there: it stands one chunk before the end of the log when the next is dropped.
        let dropped_at = self.dropped_at;
        self.laggards.retain(|seat| places().any(|it| it.seat == *seat && it.next < dropped_at));
        // One look at each: they go on meanwhile, and who was in the way a moment ago may not be now.
        let (mut in_the_way, mut waited_for) = (false, false);
        for place in places().filter(&is_in_the_way) {
            in_the_way = true;
            waited_for |= !self.laggards.contains(&place.seat);
        }
        if !in_the_way {
            return Verdict::Again;
        }
        if waited_for && now < until {
            return Verdict::Wait(Some(until));
        }
        // Bounded by the number of subscribers.
        for place in places().filter(&is_in_the_way) {
            if !self.laggards.contains(&place.seat) {
                self.laggards.push(place.seat);
            }
        }
        self.dropped_at = sent;
        Verdict::Drop
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::from_nanos(millis * 1_000_000)
    }

    fn places<const N: usize>(places: [(char, u64); N]) -> impl Fn() -> std::array::IntoIter<Place<char>, N> {
        move || places.map(|(seat, next)| Place { seat, next }).into_iter()
    }

    fn second() -> Patience<char> {
        Patience::new(Some(Duration::from_secs(1)))
    }

    #[test]
    fn it_waits_for_the_slowest_and_drops_when_that_was_in_vain() {
        let mut patience = second();
        let all = places([('a', 0), ('b', 90)]);
        assert_eq!(patience.full(at(0), 100, 12, &all), Verdict::Wait(Some(at(1000))));
        assert_eq!(patience.full(at(999), 100, 12, &all), Verdict::Wait(Some(at(1000))));
        assert_eq!(patience.full(at(1000), 100, 12, &all), Verdict::Drop);
        assert_eq!(patience.full(at(1001), 112, 24, &all), Verdict::Drop, "it lags by now");
    }

    #[test]
    fn who_lags_delays_nobody_until_it_has_caught_up() {
        let mut patience = second();
        patience.full(at(0), 100, 12, places([('a', 0)]));
        assert_eq!(patience.full(at(1000), 100, 12, places([('a', 0)])), Verdict::Drop);
        // Slow as before: at every later drop it has not read what there was at the one before.
        for turn in 1..10 {
            let (now, sent) = (at(1000 + turn), 100 + turn * 12);
            let all = places([('a', sent - 100), ('b', sent)]);
            assert_eq!(patience.full(now, sent, sent - 88, all), Verdict::Drop);
        }
        // It has read all that there was; when it is slow again, it is waited for again.
        assert_eq!(patience.full(at(5000), 400, 312, places([('a', 300)])), Verdict::Wait(Some(at(6000))));
    }

    #[test]
    fn a_laggard_is_no_excuse_for_one_that_is_slow_for_the_first_time() {
        let mut patience = second();
        let only_a = places([('a', 0), ('b', 60)]);
        patience.full(at(0), 100, 12, &only_a);
        assert_eq!(patience.full(at(1000), 100, 12, &only_a), Verdict::Drop);
        // Now b would lose something too.
        let both = places([('a', 0), ('b', 60)]);
        assert_eq!(patience.full(at(1001), 160, 72, &both), Verdict::Wait(Some(at(2001))));
        assert_eq!(patience.full(at(2001), 160, 72, &both), Verdict::Drop);
        assert_eq!(patience.full(at(2002), 172, 84, &both), Verdict::Drop);
    }

    #[test]
    fn without_a_limit_it_waits_for_ever_and_without_patience_not_at_all() {
        let mut ever = Patience::new(None);
        assert_eq!(ever.full(at(0), 100, 12, places([('a', 0)])), Verdict::Wait(None));
        assert_eq!(ever.full(at(1 << 40), 100, 12, places([('a', 0)])), Verdict::Wait(None));
        let mut none = Patience::new(Some(Duration::ZERO));
        assert_eq!(none.full(at(0), 100, 12, places([('a', 0)])), Verdict::Drop);
    }

    #[test]
    fn nobody_is_waited_for_who_loses_nothing_and_who_has_left_is_forgotten() {
        let mut patience = second();
        assert_eq!(patience.full(at(0), 100, 12, places([('a', 12)])), Verdict::Again);
        // Another message waits anew.
        assert_eq!(patience.full(at(900), 101, 24, places([('a', 12)])), Verdict::Wait(Some(at(1900))));
        assert_eq!(patience.full(at(1900), 101, 24, places([('a', 12)])), Verdict::Drop);
        assert_eq!(patience.laggards, ['a']);
        patience.full(at(1000), 100, 24, places([]));
        assert!(patience.laggards.is_empty());
    }
}
