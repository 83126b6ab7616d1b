//! What others wait for until its owner says it: nobody has it, and nobody says it in the owner's place.

use std::time::Duration;

use wharf_shared_memory::{Auto, Condvar, Counted, Event, Latest, LockFailure, Look, Manual, Mutex, Seen, Shared};

use super::ROUNDS;
use crate::board::Reading;

/// How it is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// By a change under a mutex, and a notice at a condition variable.
    Notice,
    /// By an event that stays set.
    Manual,
    /// By an event that lets one through.
    Auto,
    /// By an event that counts.
    Counted,
    /// By a value newer than the last one.
    News,
}

/// One of each.
#[derive(Shared)]
#[repr(C)]
pub(super) struct Owed {
    said: Mutex<u64>,
    notice: Condvar,
    manual: [Event<Manual>; ROUNDS],
    auto: Event<Auto>,
    counted: Event<Counted>,
    news: Latest<Reading>,
}

impl Owed {
    /// Says it for this round.
    pub(super) fn say(&self, way: Way, round: usize) -> Result<(), LockFailure> {
        match way {
            Way::Notice => {
                *self.said.lock().map_err(|error| error.failure())? += 1;
                self.notice.notify_one()
            }
            Way::Manual => self.manual[round].set().map(drop),
            Way::Auto => self.auto.set(),
            Way::Counted => self.counted.set(),
            Way::News => self.news.write(&Reading::of(saying(round))),
        }
    }

    /// Waits until it was said for this round, once and by nobody else; false if it was said more often, or not as it should be.
    pub(super) fn hear(&self, way: Way, round: usize, patience: Duration) -> Result<bool, LockFailure> {
        match way {
            Way::Notice => {
                let said = self.said.lock_timeout(patience).map_err(|error| error.failure())?;
                let unsaid = |said: &mut u64| *said < saying(round);
                let waited = self.notice.wait_while_timeout(said, patience, unsaid);
                let (said, in_vain) = waited.map_err(|error| error.failure())?;
                if in_vain { Err(LockFailure::Timeout) } else { Ok(*said == saying(round)) }
            }
            Way::Manual => {
                self.manual[round].wait_timeout(patience)?;
                Ok(self.manual[round].reset()?)
            }
            Way::Auto => {
                self.auto.wait_timeout(patience)?;
                Ok(!self.auto.try_wait()?)
            }
            Way::Counted => {
                self.counted.wait_timeout(patience)?;
                Ok(!self.counted.try_wait()?)
            }
            // It has as many versions as were said.
            Way::News => {
                let news = self.news.watch_since(saying(round) - 1).newer_timeout(patience)?;
                Ok(news.round() == Some(saying(round)))
            }
        }
    }

    /// Who waits for it.
    pub(super) fn look(&self, way: Way, round: usize) -> Seen {
        match way {
            Way::Notice => self.notice.look(),
            Way::Manual => self.manual[round].look(),
            Way::Auto => self.auto.look(),
            Way::Counted => self.counted.look(),
            Way::News => self.news.look(),
        }
    }
}

/// How often it has been said in the end of a round.
fn saying(round: usize) -> u64 {
    round as u64 + 1
}
