//! How long the peer may let this side wait: one limit for meeting it and for the first thing that it has to do, and the same limit
//! for each thing after that.

use std::time::{Duration, Instant};

/// See the top of the file.
pub(crate) struct Patience {
    limit: Option<Duration>,
    /// Until the peer has done something.
    first: Option<Instant>,
}

impl Patience {
    /// It begins now.
    pub(crate) fn begin(limit: Option<Duration>) -> Patience {
        Patience { limit, first: limit.map(|limit| Instant::now() + limit) }
    }

    /// How long the peer may take for the next thing.
    pub(crate) fn left(&self) -> Option<Duration> {
        match self.first {
            Some(end) => Some(end.saturating_duration_since(Instant::now())),
            None => self.limit,
        }
    }

    /// The peer has done something, or it is not on it that this side has waited.
    pub(crate) fn renew(&mut self) {
        self.first = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_meeting_took_is_missing_until_the_peer_has_done_something() {
        let hour = Duration::from_secs(3600);
        let mut patience = Patience::begin(Some(hour));
        let (one, other) = (patience.left().expect("a limit"), patience.left().expect("a limit"));
        assert!(other <= one && one <= hour);
        std::thread::sleep(Duration::from_millis(1));
        assert!(patience.left().expect("a limit") < hour);
        patience.renew();
        assert_eq!(patience.left(), Some(hour));
        let spent = Patience::begin(Some(Duration::ZERO));
        assert_eq!(spent.left(), Some(Duration::ZERO));
        assert_eq!(Patience::begin(None).left(), None);
    }
}
