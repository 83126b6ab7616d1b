//! The order of an announcement against a look: neither side may miss what the other does at the same moment.
//!
//! One side stores what matters and then loads the other's ticket (or its floor); the other stores its ticket and then
//! loads what matters. Without a full barrier between the two steps on both sides each may miss the other.
//!
//! Where both processes are registered for membarrier(2), only the side that goes to sleep runs a barrier, on every
//! processor. The kernel (6.18; docs/waiting.md tells of the experiment) can miss a registered thread with it: one that
//! comes back to a processor which has only idled since before the registration. Its stores then arrive when they do,
//! within a microsecond. So an order by membarrier is not believed at once: whoever sleeps looks once more after
//! [`FIRST_SLEEP`], still announced, and whoever overwrites waits for [`SETTLED`].

use crate::atomic::{Ordering, fence};
use std::time::Duration;
use wharf_sys::clock::Instant;

/// The longest sleep after a fresh announcement that membarrier(2) has ordered. Whoever looks again then finds whatever
/// was sent before the announcement was seen; whatever comes later rings.
pub const FIRST_SLEEP: Duration = Duration::from_millis(1);

/// The longest sleep where the system refuses the barrier that makes a lost wake-up impossible.
const UNORDERED_SLEEP: Duration = Duration::from_millis(10);

/// After this a store of another processor is visible, whether or not a barrier reached it: some thirty times the longest
/// that was measured (0.6 µs, behind a hundred other stores to lines that its reader had written).
const SETTLED: Duration = Duration::from_micros(20);

/// Who pays for the order of an announcement against a look: the side that goes to sleep, by a barrier on every processor
/// (membarrier(2)), or both sides, by a fence each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Barriers {
    /// When this side goes to sleep it runs the barrier, so the peer needs no fence when it looks for our announcement.
    pub own: bool,
    /// When the peer goes to sleep it runs the barrier, so we need no fence.
    pub peer: bool,
}

impl Barriers {
    /// A fence on both sides, in both directions.
    pub const FENCES: Barriers = Barriers { own: false, peer: false };
}

/// What was announced before a sleep: by one end ([`LogReader::announce_unordered`](super::LogReader::announce_unordered)
/// and its like), or by several together.
#[must_use]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Announcement {
    /// Somebody relies on a barrier of ours.
    asymmetric: bool,
    /// Somebody is not known yet to have been seen; the longest sleep before he looks again.
    fresh: Option<Duration>,
}

impl Announcement {
    /// Both of them.
    pub fn and(self, other: Announcement) -> Announcement {
        // `None` is less than any.
        Announcement { asymmetric: self.asymmetric || other.asymmetric, fresh: self.fresh.max(other.fresh) }
    }

    /// Whether somebody is not known yet to have been seen: a sleep is to be no longer than [`FIRST_SLEEP`].
    pub fn is_fresh(self) -> bool {
        self.fresh.is_some()
    }

    /// Orders everything that this thread has announced so before the looks that it takes afterwards. The answer is the
    /// longest that it may sleep before it looks again, announced all the while: whoever found nothing then, and announces
    /// once more without having taken the announcement back, may sleep for as long as he likes (`None`).
    pub fn order_by_system(self) -> Option<Duration> {
        self.order(&Membarrier)
    }

    pub(crate) fn order(self, signals: &impl Signals) -> Option<Duration> {
        match signals.barrier(self.asymmetric) {
            true => self.fresh,
            false => Some(UNORDERED_SLEEP),
        }
    }
}

/// Since when an end has been announced: what tells whether an announcement is fresh.
#[derive(Debug)]
pub(super) struct Standing {
    since: Instant,
    told: u64,
}

impl Standing {
    pub(super) const fn new() -> Standing {
        Standing { since: Instant::from_nanos(0), told: 0 }
    }

    /// An end announces; `still`: and has not taken its last announcement back. `told` is how far the other side has come, as
    /// far as is known: one that has moved may have rung for that announcement already, and then does not ring for it again.
    pub(super) fn announce(&mut self, asymmetric: bool, still: bool, told: u64) -> Announcement {
        if !asymmetric {
            return Announcement::default();
        }
        let now = Instant::now();
        if !still || told != self.told {
            *self = Standing { since: now, told };
        }
        let left = FIRST_SLEEP.saturating_sub(now.saturating_since(self.since));
        Announcement { asymmetric, fresh: Some(left).filter(|left| !left.is_zero()) }
    }
}

/// How one side orders its store before its look, as told at the top of the file.
pub(crate) trait Signals {
    /// Orders the store before from the loads after. With `asymmetric` it also forces that order on every processor
    /// that runs the other side, which then needs no fence of its own. `false` when the system refused.
    fn barrier(&self, asymmetric: bool) -> bool;

    /// The same where nothing can be mended later: it may be believed at once.
    fn sure_barrier(&self, asymmetric: bool) -> bool;
}

/// Orders by membarrier(2) where both sides agreed on it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Membarrier;

impl Signals for Membarrier {
    fn barrier(&self, asymmetric: bool) -> bool {
        if !asymmetric {
            // Pairs with the fences in `Writer::look_for_sleepers` and `Reader::publish`.
            fence(Ordering::SeqCst);
            return true;
        }
        let done = wharf_sys::barrier::global_expedited().is_ok();
        // When the system refuses (a filter installed after connect), order at least our own side.
        fence(Ordering::SeqCst);
        done
    }

    fn sure_barrier(&self, asymmetric: bool) -> bool {
        let done = self.barrier(asymmetric);
        if done && asymmetric {
            let began = Instant::now();
            // The clock ends the loop.
            while began.elapsed() < SETTLED {
                std::hint::spin_loop();
            }
        }
        done
    }
}

/// Plain fences on both sides.
#[cfg(test)]
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fences;

#[cfg(test)]
impl Signals for Fences {
    fn barrier(&self, _asymmetric: bool) -> bool {
        // Pairs with the fences in `Writer::look_for_sleepers` and `Reader::publish`.
        fence(Ordering::SeqCst);
        true
    }

    fn sure_barrier(&self, asymmetric: bool) -> bool {
        self.barrier(asymmetric)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// A system that does what it is asked, or refuses.
    struct System(bool);

    impl Signals for System {
        fn barrier(&self, asymmetric: bool) -> bool {
            self.0 || !asymmetric
        }

        fn sure_barrier(&self, asymmetric: bool) -> bool {
            self.barrier(asymmetric)
        }
    }

    #[test]
    fn only_a_fresh_announcement_that_rests_on_a_barrier_is_looked_behind() {
        let fresh = Announcement { asymmetric: true, fresh: Some(FIRST_SLEEP) };
        let renewed = Announcement { asymmetric: true, fresh: None };
        let fenced = Announcement::default();
        for (announced, ordered, refused) in [
            (fenced, None, None),
            (renewed, None, Some(UNORDERED_SLEEP)),
            (fresh, Some(FIRST_SLEEP), Some(UNORDERED_SLEEP)),
            (fenced.and(renewed), None, Some(UNORDERED_SLEEP)),
            (fenced.and(fresh), Some(FIRST_SLEEP), Some(UNORDERED_SLEEP)),
            (renewed.and(fresh), Some(FIRST_SLEEP), Some(UNORDERED_SLEEP)),
        ] {
            assert_eq!(announced.order(&System(true)), ordered, "{announced:?}");
            assert_eq!(announced.order(&System(false)), refused, "{announced:?}");
        }
    }

    #[test]
    fn an_announcement_is_fresh_until_it_has_stood_for_a_while_with_nothing_told() {
        let mut standing = Standing::new();
        assert!(!standing.announce(false, false, 0).is_fresh(), "fences on both sides");
        let first = standing.announce(true, false, 0);
        assert_eq!(first.fresh, Some(FIRST_SLEEP));
        // Somebody else cut the sleep short.
        let again = standing.announce(true, true, 0);
        assert!(again.fresh <= first.fresh);
        std::thread::sleep(FIRST_SLEEP);
        assert!(!standing.announce(true, true, 0).is_fresh());
        assert!(!standing.announce(true, true, 0).is_fresh(), "it still stands");
        // The other side has moved, and may have rung for it.
        assert_eq!(standing.announce(true, true, 1).fresh, Some(FIRST_SLEEP));
        std::thread::sleep(FIRST_SLEEP);
        assert!(!standing.announce(true, true, 1).is_fresh());
        // It was taken back.
        assert_eq!(standing.announce(true, false, 1).fresh, Some(FIRST_SLEEP));
    }

    #[test]
    fn what_cannot_be_mended_waits_until_stores_have_arrived() {
        assert!(wharf_sys::barrier::register_by(wharf_sys::clock::Deadline::after(Duration::from_secs(30))));
        let began = Instant::now();
        assert!(Membarrier.sure_barrier(true));
        assert!(began.elapsed() >= SETTLED);
    }
}
