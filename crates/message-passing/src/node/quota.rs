//! How much a peer may say in a while: whoever floods a node is heard slowly, and the others as ever.

use std::time::Duration;

use wharf_sys::clock::Instant;

/// Records that may come at once: more than opening a thousand endpoints takes.
const BURST: u64 = 8192;

/// How long each of them takes to be allowed again: 10,000 a second, a few percent of a core.
const EACH: Duration = Duration::from_micros(100);

/// How long a peer that has said too much is not heard: long enough to be worth the system calls.
const PAUSE: Duration = Duration::from_millis(10);

/// See the top of the file. Takes the time as an argument.
#[derive(Debug, Default)]
pub(super) struct Quota {
    /// When everything that was said is paid for.
    paid: Option<Instant>,
}

impl Quota {
    /// One more record was heard; until when no more are, if that was too much.
    pub(super) fn spend(&mut self, now: Instant) -> Option<Instant> {
        let paid = self.paid.map_or(now, |paid| paid.max(now)).saturating_add(EACH);
        self.paid = Some(paid);
        let credit = EACH.saturating_mul(u32::try_from(BURST).unwrap_or(u32::MAX));
        (paid.saturating_since(now) > credit).then(|| now.saturating_add(PAUSE))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_free_and_a_flood_is_slowed_to_its_rate() {
        let start = Instant::from_nanos(1);
        let mut quota = Quota::default();
        let mut now = start;
        let mut heard = 0_u64;
        while quota.spend(now).is_none() {
            heard += 1;
        }
        assert_eq!(heard, BURST);
        // A second of pauses: as many records as the rate allows, give or take those of one pause.
        while now.saturating_since(start) < Duration::from_secs(1) {
            heard += 1;
            if let Some(until) = quota.spend(now) {
                now = until;
            }
        }
        let allowed = BURST + 10_000;
        assert!((allowed - 200..=allowed + 200).contains(&heard), "{heard}");
    }

    #[test]
    fn whoever_was_silent_may_speak_again() {
        let mut quota = Quota::default();
        let now = Instant::from_nanos(1);
        while quota.spend(now).is_none() {}
        assert_eq!(quota.spend(now.saturating_add(Duration::from_secs(10))), None);
    }
}
