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
    /// The sequence of the message that it wants next.
    pub(super) next: u64,
    /// Bytes that it has not released.
    pub(super) bytes: u64,
}

/// What to do about a full log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Wait for room, at most until then.
    Wait(Option<Instant>),
    /// Drop the oldest.
    Drop,
}

/// See the top of the file.
#[derive(Debug)]
pub(super) struct Patience<K> {
    limit: Option<Duration>,
    /// Since when the present message has been waiting for room.
    since: Option<Instant>,
    laggards: Vec<K>,
    /// The sequence at which something was dropped last.
    dropped_at: u64,
}

impl<K: Copy + PartialEq> Patience<K> {
    /// Patience of this length; `None` waits for ever.
    pub(super) fn new(limit: Option<Duration>) -> Self {
        Self { limit, since: None, laggards: Vec::new(), dropped_at: 0 }
    }

    /// There is no room at sequence `sent`. A subscriber counts as holding things up when it is within `chunk` bytes of the
    /// slowest: that is what is dropped at a time, so these are the ones that would lose something.
    pub(super) fn full<I: Iterator<Item = Place<K>>>(
        &mut self,
        now: Instant,
        sent: u64,
        chunk: u64,
        places: impl Fn() -> I,
    ) -> Verdict {
        let since = *self.since.get_or_insert(now);
        // Who has read all that there was when something was dropped last has caught up. Who is merely slow never gets
        // there: it stands one chunk before the end of the log when the next is dropped.
        let dropped_at = self.dropped_at;
        self.laggards.retain(|seat| places().any(|it| it.seat == *seat && it.next < dropped_at));
        let slowest = places().map(|it| it.bytes).max().unwrap_or(0);
        let in_the_way = || places().filter(|it| it.bytes > 0 && it.bytes.saturating_add(chunk) >= slowest);
        let Some(limit) = self.limit else { return Verdict::Wait(None) };
        let until = since.saturating_add(limit);
        if now < until && in_the_way().any(|it| !self.laggards.contains(&it.seat)) {
            return Verdict::Wait(Some(until));
        }
        // Bounded by the number of subscribers.
        for place in in_the_way() {
            if !self.laggards.contains(&place.seat) {
                self.laggards.push(place.seat);
            }
        }
        self.dropped_at = sent;
        Verdict::Drop
    }

    /// The message that waited is written, or given up.
    pub(super) fn over(&mut self) {
        self.since = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHUNK: u64 = 100;

    fn at(millis: u64) -> Instant {
        Instant::from_nanos(millis * 1_000_000)
    }

    fn place(seat: char, next: u64, bytes: u64) -> Place<char> {
        Place { seat, next, bytes }
    }

    fn second() -> Patience<char> {
        Patience::new(Some(Duration::from_secs(1)))
    }

    #[test]
    fn it_waits_for_the_slowest_and_drops_when_that_was_in_vain() {
        let mut patience = second();
        let places = [place('a', 0, 800), place('b', 90, 10)];
        let full = |patience: &mut Patience<char>, now| patience.full(now, 100, CHUNK, || places.iter().copied());
        assert_eq!(full(&mut patience, at(0)), Verdict::Wait(Some(at(1000))));
        assert_eq!(full(&mut patience, at(999)), Verdict::Wait(Some(at(1000))));
        assert_eq!(full(&mut patience, at(1000)), Verdict::Drop);
        patience.over();
        assert_eq!(full(&mut patience, at(1001)), Verdict::Drop, "they lag by now");
    }

    #[test]
    fn who_lags_delays_nobody_until_it_has_caught_up() {
        let mut patience = second();
        let mut full = |now, sent, places: &[Place<char>]| patience.full(now, sent, CHUNK, || places.iter().copied());
        full(at(0), 100, &[place('a', 0, 800)]);
        assert_eq!(full(at(1000), 100, &[place('a', 0, 800)]), Verdict::Drop);
        // Slow as before: at every later drop it has not read what there was at the one before.
        for turn in 1..10 {
            let (now, sent) = (at(1000 + turn), 100 + turn * 12);
            assert_eq!(full(now, sent, &[place('a', sent - 100, 800), place('b', sent, 0)]), Verdict::Drop);
        }
        patience.over();
        // It has read all that there was; when it is slow again, it is waited for again.
        let places = [place('a', 300, 800)];
        assert_eq!(patience.full(at(5000), 400, CHUNK, || places.iter().copied()), Verdict::Wait(Some(at(6000))));
    }

    #[test]
    fn a_laggard_is_no_excuse_for_one_that_is_slow_for_the_first_time() {
        let mut patience = second();
        let both = [place('a', 0, 800), place('b', 5, 750)];
        let only_a = [place('a', 0, 800), place('b', 60, 300)];
        patience.full(at(0), 100, CHUNK, || only_a.iter().copied());
        assert_eq!(patience.full(at(1000), 100, CHUNK, || only_a.iter().copied()), Verdict::Drop);
        patience.over();
        // Now b is in the way too, within what would be dropped.
        assert_eq!(patience.full(at(1001), 110, CHUNK, || both.iter().copied()), Verdict::Wait(Some(at(2001))));
        assert_eq!(patience.full(at(2001), 110, CHUNK, || both.iter().copied()), Verdict::Drop);
        patience.over();
        assert_eq!(patience.full(at(2002), 120, CHUNK, || both.iter().copied()), Verdict::Drop);
    }

    #[test]
    fn without_a_limit_it_waits_for_ever_and_without_patience_not_at_all() {
        let places = [place('a', 0, 800)];
        let mut ever = Patience::new(None);
        assert_eq!(ever.full(at(0), 1, CHUNK, || places.iter().copied()), Verdict::Wait(None));
        assert_eq!(ever.full(at(1 << 40), 1, CHUNK, || places.iter().copied()), Verdict::Wait(None));
        let mut none = Patience::new(Some(Duration::ZERO));
        assert_eq!(none.full(at(0), 1, CHUNK, || places.iter().copied()), Verdict::Drop);
    }

    #[test]
    fn one_that_has_left_is_forgotten() {
        let mut patience = second();
        let places = [place('a', 0, 800)];
        patience.full(at(0), 100, CHUNK, || places.iter().copied());
        patience.full(at(1000), 100, CHUNK, || places.iter().copied());
        patience.full(at(1000), 100, CHUNK, std::iter::empty);
        assert!(patience.laggards.is_empty());
    }
}
