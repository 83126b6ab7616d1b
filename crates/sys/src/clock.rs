//! The monotonic clock: instants and deadlines that saturate instead of overflowing.

use std::fmt;
use std::time::Duration;

use rustix::time::{ClockId, Timespec};

const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// A point on `CLOCK_MONOTONIC`, in nanoseconds since an arbitrary start (boot).
///
/// The clock is the same for every process of one machine (and of one time namespace), so an instant may
/// be compared across processes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(u64);

impl Instant {
    /// The latest instant there is; a deadline there never passes.
    pub const MAX: Instant = Instant(u64::MAX);

    /// The present.
    #[inline]
    pub fn now() -> Instant {
        let now = rustix::time::clock_gettime(ClockId::Monotonic);
        // Both fields are never negative on this clock.
        let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
        let nanos = u64::try_from(now.tv_nsec).unwrap_or(0);
        Instant(seconds.saturating_mul(NANOS_PER_SECOND).saturating_add(nanos))
    }

    /// The present as of the kernel's last tick, up to some milliseconds ago; a fraction of the cost of
    /// [`now`](Self::now). Never later than what `now` says.
    #[inline]
    pub fn last_tick() -> Instant {
        let tick = rustix::time::clock_gettime(ClockId::MonotonicCoarse);
        let seconds = u64::try_from(tick.tv_sec).unwrap_or(0);
        let nanos = u64::try_from(tick.tv_nsec).unwrap_or(0);
        Instant(seconds.saturating_mul(NANOS_PER_SECOND).saturating_add(nanos))
    }

    /// The instant `nanos` after the clock's start.
    pub const fn from_nanos(nanos: u64) -> Instant {
        Instant(nanos)
    }

    /// Nanoseconds since the clock's start.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// The instant `duration` later, at most [`Instant::MAX`].
    pub fn saturating_add(self, duration: Duration) -> Instant {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        Instant(self.0.saturating_add(nanos))
    }

    /// How long after `earlier` this instant is; zero when it is not after it.
    pub fn saturating_since(self, earlier: Instant) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// How long ago this instant was; zero when it is in the future.
    pub fn elapsed(self) -> Duration {
        Instant::now().saturating_since(self)
    }
}

impl fmt::Debug for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:09}s", self.0 / NANOS_PER_SECOND, self.0 % NANOS_PER_SECOND)
    }
}

/// The instant at which a wait gives up.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Deadline(Instant);

impl Deadline {
    /// Gives up `duration` from now; a duration beyond the clock's range means never.
    pub fn after(duration: Duration) -> Deadline {
        Deadline(Instant::now().saturating_add(duration))
    }

    /// Gives up at `instant`.
    pub const fn at(instant: Instant) -> Deadline {
        Deadline(instant)
    }

    /// The instant at which it gives up.
    pub const fn instant(self) -> Instant {
        self.0
    }

    /// The time left, or `None` when the deadline has passed.
    pub fn remaining(self) -> Option<Duration> {
        let now = Instant::now();
        if now >= self.0 { None } else { Some(self.0.saturating_since(now)) }
    }

    /// Whether the deadline has passed.
    pub fn passed(self) -> bool {
        self.remaining().is_none()
    }

    /// The earlier of two deadlines, where `None` means never.
    pub fn earlier(a: Option<Deadline>, b: Option<Deadline>) -> Option<Deadline> {
        match (a, b) {
            (Some(a), Some(b)) => Some(if a <= b { a } else { b }),
            (one, None) => one,
            (None, other) => other,
        }
    }

    /// The absolute time as the kernel takes it. `None` means "never" and asks for no timeout at all:
    /// a time beyond the kernel's range would be refused.
    pub(crate) fn to_timespec(self) -> Option<Timespec> {
        if self.0 == Instant::MAX {
            return None;
        }
        Some(timespec(self.0.0))
    }

    /// The time left as the kernel takes it: zero when passed, `None` for a deadline that never passes.
    pub(crate) fn remaining_timespec(self) -> Option<Timespec> {
        if self.0 == Instant::MAX {
            return None;
        }
        let left = self.remaining().unwrap_or(Duration::ZERO);
        Some(timespec(u64::try_from(left.as_nanos()).unwrap_or(u64::MAX)))
    }
}

fn timespec(nanos: u64) -> Timespec {
    // Neither cast can change the value: u64::MAX nanoseconds are 1.8e10 seconds.
    Timespec { tv_sec: (nanos / NANOS_PER_SECOND) as i64, tv_nsec: (nanos % NANOS_PER_SECOND) as _ }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines_saturate() {
        let never = Deadline::after(Duration::MAX);
        assert_eq!(never.instant(), Instant::MAX);
        assert!(!never.passed());
        assert!(never.to_timespec().is_none());
        assert!(never.remaining_timespec().is_none());
        let past = Deadline::at(Instant::from_nanos(1));
        assert!(past.passed());
        assert_eq!(past.remaining(), None);
        let zero = past.remaining_timespec().map(|t| (t.tv_sec, t.tv_nsec));
        assert_eq!(zero, Some((0, 0)));
    }

    #[test]
    fn the_earlier_deadline_wins_and_none_is_never() {
        let one = Deadline::at(Instant::from_nanos(1));
        let two = Deadline::at(Instant::from_nanos(2));
        assert_eq!(one.min(two), one);
        assert_eq!(Deadline::earlier(Some(two), Some(one)), Some(one));
        assert_eq!(Deadline::earlier(None, Some(two)), Some(two));
        assert_eq!(Deadline::earlier(Some(two), None), Some(two));
        assert_eq!(Deadline::earlier(None, None), None);
    }

    #[test]
    fn the_clock_moves_forward_only() {
        let earlier = Instant::now();
        let later = Instant::now();
        assert!(later >= earlier);
        assert_eq!(earlier.saturating_since(later.saturating_add(Duration::from_secs(1))), Duration::ZERO);
        let tick = Instant::last_tick();
        assert!(tick <= Instant::now() && tick.elapsed() < Duration::from_secs(1));
        let timespec = Deadline::at(Instant::from_nanos(2_500_000_000)).to_timespec();
        assert_eq!(timespec.map(|t| (t.tv_sec, t.tv_nsec)), Some((2, 500_000_000)));
    }
}
