//! The root of the region in which processes die at permits, events, barriers, work done once and commits.

use std::thread;

use wharf_shared_memory::{
    Auto, Barrier, BarrierError, Counted, Event, Journaled, Latest, LockError, LockFailure, Mutex, MutexGuard, Once,
    Semaphore, Shared,
};

use crate::board::Pair;
use crate::process::PATIENCE;

/// One of each.
#[derive(Shared)]
#[repr(C)]
pub struct Yard {
    /// Lets one in at a time.
    pub one: Semaphore<1>,
    /// Permits that somebody gives.
    pub later: Semaphore<0, 4>,
    /// Done by one process.
    pub once: Once,
    /// Set once, for all.
    pub gate: Event,
    /// Set for one at a time, remembered once.
    pub bell: Event<Auto>,
    /// Set for one at a time.
    pub items: Event<Counted>,
    /// One that waits for nobody.
    pub alone: Barrier<1>,
    /// Two that wait for each other.
    pub two: Barrier<2>,
    /// Three that wait for each other.
    pub three: Barrier<3>,
    /// Four that wait for each other.
    pub four: Barrier<4>,
    /// Five that wait for each other.
    pub five: Barrier<5>,
    /// Written, and watched.
    pub number: Latest<u64>,
    /// Changed by commits.
    pub pair: Mutex<Journaled<Pair>>,
}

impl Yard {
    /// Takes the lock on the pair, which is in order whoever died; says whether somebody had.
    pub fn open(&self) -> Result<(MutexGuard<'_, Journaled<Pair>>, bool), LockFailure> {
        match self.pair.lock_timeout(PATIENCE) {
            Ok(pair) => Ok((pair, false)),
            Err(LockError::OwnerDied(pair)) => Ok((pair.repaired(), true)),
            Err(other) => Err(other.failure()),
        }
    }

    /// Checks that everything in it works, whoever died in it.
    ///
    /// # Panics
    /// When something does not.
    pub fn assert_works(&self, what: &str) {
        drop(self.one.take_timeout(PATIENCE).unwrap_or_else(|error| panic!("{what}: one: {error}")));
        // Bound: there are four.
        while self.later.give().is_ok() {}
        for _ in 0..4 {
            self.later.take_timeout(PATIENCE).unwrap_or_else(|error| panic!("{what}: later: {error}")).forget();
        }
        assert!(self.later.try_take().is_err(), "{what}: a permit too many");
        self.once.call_timeout(PATIENCE, |_| ()).unwrap_or_else(|error| panic!("{what}: once: {error}"));
        assert!(self.once.is_done(), "{what}");
        self.gate
            .set()
            .and_then(|_| self.gate.wait_timeout(PATIENCE))
            .unwrap_or_else(|error| panic!("{what}: gate: {error}"));
        self.items
            .set()
            .and_then(|()| self.items.wait_timeout(PATIENCE))
            .unwrap_or_else(|error| panic!("{what}: {error}"));
        self.bell
            .set()
            .and_then(|()| self.bell.wait_timeout(PATIENCE))
            .unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_goes_round(&self.alone, what);
        assert_goes_round(&self.two, what);
        assert_goes_round(&self.three, what);
        assert_goes_round(&self.four, what);
        assert_goes_round(&self.five, what);
        let mut watch = self.number.watch();
        self.number.update(|number| number + 1).unwrap_or_else(|error| panic!("{what}: number: {error}"));
        assert!(watch.newer_timeout(PATIENCE).is_ok(), "{what}: number");
        let (pair, _) = self.open().unwrap_or_else(|error| panic!("{what}: pair: {error}"));
        assert!(pair.check().is_ok() && pair.agrees(), "{what}: {pair:?}");
    }
}

/// Puts `N` new members into a barrier whose other members are dead, and lets them go round twice.
fn assert_goes_round<const N: usize>(barrier: &Barrier<N>, what: &str) {
    let mut members = Vec::new();
    // Bound: each turn takes a place or frees those of the dead.
    for _ in 0..2 * N + 2 {
        if members.len() == N {
            break;
        }
        match barrier.join() {
            Ok(member) => members.push(member),
            Err(BarrierError::Broken { .. }) => drop(barrier.rearm()),
            Err(other) => panic!("{what}: {other}"),
        }
    }
    // Broken before anybody had noticed that, it has places and lets nobody through.
    let _ = barrier.rearm();
    assert_eq!(members.len(), N, "{what}: no room in the barrier");
    // Arrivals of the dead that nobody noticed end with their first round.
    let round = |members: &mut Vec<_>| {
        thread::scope(|scope| {
            let each = |member: &mut wharf_shared_memory::Member<'_>| member.wait_timeout(PATIENCE).is_ok();
            let waits: Vec<_> = members.iter_mut().map(|member| scope.spawn(move || each(member))).collect();
            waits.into_iter().all(|wait| wait.join().unwrap_or(false))
        })
    };
    assert!(round(&mut members) && round(&mut members), "{what}: the barrier lets nobody through");
}
