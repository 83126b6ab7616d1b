//! A region of many equal places, each with one primitive of every kind, for owners that are stopped or killed there.

mod owed;

use std::time::Duration;

use wharf_shared_memory::{
    Attempt, Barrier, BarrierError, Journaled, Latest, LockError, LockFailure, Look, Mutex, MutexGuard, Once,
    ReentrantError, ReentrantMutex, RwLock, RwLockError, Seen, Semaphore, Shared,
};

use crate::board::{Pair, Reading};
use owed::Owed;
pub use owed::Way;

/// Places.
pub const BERTHS: usize = 100;
/// How often the work of a place is done.
pub const ROUNDS: usize = 2;

/// What an owner keeps others from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A mutex.
    Mutex,
    /// A re-entrant mutex, taken twice.
    Reentrant,
    /// A lock for reading; others want to write.
    Read,
    /// A lock for reading, as the one that may become the writer; others want to write.
    Upgradable,
    /// A lock for writing.
    Write,
    /// The only permit.
    Permit,
    /// A journal, in the middle of a change.
    Journaled,
    /// A last value, in the middle of an update.
    Latest,
    /// Work that is done once.
    Once,
    /// A place in a barrier of two.
    Two,
    /// A place in a barrier of four.
    Four,
    /// Nothing: what others wait for is that the owner says something. Nobody says it for one that was killed.
    Owed(Way),
}

/// All kinds, by number.
pub const KINDS: [Kind; 16] = [
    Kind::Mutex,
    Kind::Reentrant,
    Kind::Read,
    Kind::Upgradable,
    Kind::Write,
    Kind::Permit,
    Kind::Journaled,
    Kind::Latest,
    Kind::Once,
    Kind::Two,
    Kind::Four,
    Kind::Owed(Way::Notice),
    Kind::Owed(Way::Manual),
    Kind::Owed(Way::Auto),
    Kind::Owed(Way::Counted),
    Kind::Owed(Way::News),
];

/// How somebody came to what he wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// As the one before had given it back.
    InOrder,
    /// From a dead one, and put in order.
    AfterDeath,
}

/// One primitive of every kind.
#[derive(Shared)]
#[repr(C)]
pub struct Berth {
    plain: Mutex<Pair>,
    again: ReentrantMutex<Pair>,
    book: RwLock<Pair>,
    permit: Semaphore<1>,
    journal: Mutex<Journaled<Pair>>,
    reading: Latest<Reading>,
    works: [Once; ROUNDS],
    two: Barrier<2>,
    four: Barrier<4>,
    owed: Owed,
}

/// All places.
#[derive(Shared)]
#[repr(C)]
pub struct Berths {
    /// One for each owner.
    pub berths: [Berth; BERTHS],
}

impl Berth {
    /// Takes what is there of this kind, changes half of it, does `inside`, changes the rest and gives it back; or does `inside` and
    /// says what is owed.
    ///
    /// An error is the primitive's own; for a barrier that broke it is [`LockFailure::OwnerDied`].
    pub fn hold(
        &self,
        kind: Kind,
        round: usize,
        patience: Duration,
        inside: impl FnOnce(),
    ) -> Result<Found, LockFailure> {
        match kind {
            Kind::Mutex => {
                let (mut pair, found) = sound(self.plain.lock_timeout(patience))?;
                if found == Found::AfterDeath {
                    pair.repair();
                }
                half_way(&mut pair, inside);
                Ok(found)
            }
            Kind::Reentrant => self.again(patience, inside),
            Kind::Read => match self.book.read_timeout(patience) {
                Ok(pair) => {
                    inside();
                    in_order(pair.agrees(), Found::InOrder)
                }
                Err(RwLockError::OwnerDied(died)) => {
                    died.repaired().repair();
                    Ok(Found::AfterDeath)
                }
                Err(other) => Err(other.failure()),
            },
            Kind::Upgradable => self.upgradable(patience, inside),
            Kind::Write => {
                let (mut pair, found) = match self.book.write_timeout(patience) {
                    Ok(pair) => (pair, Found::InOrder),
                    Err(RwLockError::OwnerDied(died)) => (died.repaired(), Found::AfterDeath),
                    Err(other) => return Err(other.failure()),
                };
                if found == Found::AfterDeath {
                    pair.repair();
                }
                half_way(&mut pair, inside);
                Ok(found)
            }
            Kind::Permit => {
                let permit = self.permit.take_timeout(patience)?;
                inside();
                Ok(if permit.owner_died() { Found::AfterDeath } else { Found::InOrder })
            }
            Kind::Journaled => {
                let (mut journal, found) = sound(self.journal.lock_timeout(patience))?;
                journal.update(|pair| half_way(pair, inside));
                in_order(journal.agrees() && journal.check().is_ok(), found)
            }
            Kind::Latest => {
                let next = |reading: Reading| {
                    inside();
                    Reading::of(reading.round().map_or(u64::MAX, |round| round + 1))
                };
                let updated = self.reading.update_timeout(patience, next)?;
                in_order(updated.round() != Some(u64::MAX), Found::InOrder)
            }
            Kind::Once => {
                let mut found = Found::InOrder;
                self.works[round].call_timeout(patience, |attempt| {
                    found = if attempt == Attempt::AfterDeath { Found::AfterDeath } else { Found::InOrder };
                    inside();
                })?;
                Ok(found)
            }
            Kind::Two => meet(&self.two, patience, inside),
            Kind::Four => meet(&self.four, patience, inside),
            Kind::Owed(way) => {
                inside();
                self.owed.say(way, round)?;
                Ok(Found::InOrder)
            }
        }
    }

    /// Takes what an owner keeps others from, and gives it back at once; or hears what it owes.
    pub fn want(&self, kind: Kind, round: usize, patience: Duration) -> Result<Found, LockFailure> {
        match kind {
            // Another reader would not have to wait.
            Kind::Read | Kind::Upgradable => self.hold(Kind::Write, round, patience, || ()),
            Kind::Owed(way) => in_order(self.owed.hear(way, round, patience)?, Found::InOrder),
            other => self.hold(other, round, patience, || ()),
        }
    }

    /// Who has it and who waits for it.
    pub fn look(&self, kind: Kind, round: usize) -> Seen {
        match kind {
            Kind::Mutex => self.plain.look(),
            Kind::Reentrant => self.again.look(),
            Kind::Read | Kind::Upgradable | Kind::Write => self.book.look(),
            Kind::Permit => self.permit.look(),
            Kind::Journaled => self.journal.look(),
            Kind::Latest => self.reading.look(),
            Kind::Once => self.works[round].look(),
            Kind::Two => self.two.look(),
            Kind::Four => self.four.look(),
            Kind::Owed(way) => self.owed.look(way, round),
        }
    }

    /// The last value, which nobody waits for; false if it is not a whole one.
    pub fn reading_is_whole(&self) -> bool {
        self.reading.read().round().is_some()
    }

    /// Looks, does `inside` as the one that may become the writer, and becomes it.
    fn upgradable(&self, patience: Duration, inside: impl FnOnce()) -> Result<Found, LockFailure> {
        let looked = match self.book.upgradable_read_timeout(patience) {
            Ok(looked) => looked,
            Err(RwLockError::OwnerDied(died)) => {
                died.repaired().repair();
                return Ok(Found::AfterDeath);
            }
            Err(other) => return Err(other.failure()),
        };
        let before = *looked;
        inside();
        let mut pair = looked.upgrade()?;
        let agreed = before.agrees() && *pair == before;
        half_way(&mut pair, || ());
        in_order(agreed, Found::InOrder)
    }

    fn again(&self, patience: Duration, inside: impl FnOnce()) -> Result<Found, LockFailure> {
        let (outer, found) = match self.again.lock_timeout(patience) {
            Ok(outer) => (outer, Found::InOrder),
            Err(ReentrantError::OwnerDied(died)) => (died.repaired(), Found::AfterDeath),
            Err(other) => return Err(other.failure()),
        };
        let mut pair = outer.get();
        if found == Found::AfterDeath {
            pair.repair();
        }
        let agreed = pair.agrees();
        pair.left += 1;
        outer.set(pair);
        let inner = self.again.lock().map_err(|error| error.failure())?;
        inside();
        pair = inner.get();
        pair.repair();
        inner.set(pair);
        in_order(agreed, found)
    }
}

/// A failure that no primitive returns here says that a value was not in order.
fn in_order(is: bool, found: Found) -> Result<Found, LockFailure> {
    if is { Ok(found) } else { Err(LockFailure::WouldBlock) }
}

fn half_way(pair: &mut Pair, inside: impl FnOnce()) {
    pair.left += 1;
    std::hint::black_box(&mut *pair);
    inside();
    std::hint::black_box(&mut *pair);
    pair.right += 1;
}

fn sound<'a, T>(found: Result<MutexGuard<'a, T>, LockError<'a, T>>) -> Result<(MutexGuard<'a, T>, Found), LockFailure> {
    match found {
        Ok(guard) => Ok((guard, Found::InOrder)),
        Err(LockError::OwnerDied(died)) => Ok((died.repaired(), Found::AfterDeath)),
        Err(other) => Err(other.failure()),
    }
}

fn meet<const N: usize>(barrier: &Barrier<N>, patience: Duration, inside: impl FnOnce()) -> Result<Found, LockFailure> {
    let plain = |error: BarrierError| match error {
        BarrierError::Failed(failure) => failure,
        _ => LockFailure::OwnerDied,
    };
    let mut member = barrier.join().map_err(plain)?;
    inside();
    member.wait_timeout(patience).map_err(plain)?;
    Ok(Found::InOrder)
}
