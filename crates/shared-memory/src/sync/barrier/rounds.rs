//! The words of a barrier: which round it is, how many have arrived, who belongs to it, and whether it is broken.
//!
//! One word holds the round, the arrivals and the break, so that the last arrival ends the round in the same exchange, and
//! a break can never hit a round that has ended. Members have a cell each, by which a death is noticed.

use crate::atomic::{AtomicU32, Ordering, fence};
use crate::sync::owner::Owner;
use crate::sync::surroundings::{Nap, Slept, Surroundings};

/// A member died; nobody waits until somebody makes it whole again.
const BROKEN: u32 = 1 << 31;
const ARRIVED_BITS: u32 = 10;
const ARRIVED: u32 = (1 << ARRIVED_BITS) - 1;
/// Rounds that ended, modulo four: a member that waits tells its own round from the next, and the one after that cannot end
/// without it.
const ROUND: u32 = 1 << ARRIVED_BITS;
const ROUND_BITS: u32 = 2;
const ROUNDS: u32 = ((1 << ROUND_BITS) - 1) << ARRIVED_BITS;
/// Repairs so far.
const REPAIR: u32 = 1 << (ARRIVED_BITS + ROUND_BITS);
const REPAIRS: u32 = BROKEN - REPAIR;

/// The most members that a barrier can have.
#[cfg(not(loom))]
pub(crate) const MAX_MEMBERS: usize = ARRIVED as usize;

/// Up to so many members, each waiter looks after all of them at the end of each slice.
const FEW: usize = 16;

/// The words of a barrier, wherever they lie.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rounds<'a> {
    pub(crate) state: &'a AtomicU32,
    /// Who died, as the last break names it.
    pub(crate) dead: &'a AtomicU32,
    /// One cell for each member: zero, or its owner's bits.
    pub(crate) members: &'a [AtomicU32],
}

/// What the words of a barrier, read from its start, say about a break: `None` if it is whole, else whose death broke it,
/// if that was written down.
#[cfg(not(loom))]
pub(crate) fn broken_by(words: &[u32]) -> Option<Option<Owner>> {
    let &[state, dead, ..] = words else { return None };
    (state & BROKEN != 0).then_some(Owner::in_word(dead))
}

/// How a wait ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Ended {
    /// All have arrived. True for the one that came last.
    Complete(bool),
    /// A member died.
    Broken,
    /// Time was up, and the caller does not count as arrived any more.
    OutOfTime,
}

/// Why there was no place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum NoPlace {
    /// Every place belongs to a member that is not proved dead.
    Full,
    /// A member is dead, so the barrier is broken now.
    Broken,
}

impl Rounds<'_> {
    /// Takes a place for `me`; `is_dead` judges those who have one when all are taken.
    pub(crate) fn join(
        self,
        me: Owner,
        mut is_dead: impl FnMut(Owner) -> bool,
        wake_all: impl Fn(&AtomicU32),
    ) -> Result<usize, NoPlace> {
        for (at, cell) in self.members.iter().enumerate() {
            // Relaxed: the exchange decides. A scribbled word that names nobody is a free place, too.
            let word = cell.load(Ordering::Relaxed);
            // Release: pairs with the Acquire in `owner_at`, so that who reads our name there also sees our slot say so.
            // Acquire: pairs with the Release in `leave` and `rearm`, so that we see what was done before the place was given up.
            if Owner::in_word(word).is_none()
                && cell.compare_exchange(word, me.bits(), Ordering::AcqRel, Ordering::Relaxed).is_ok()
            {
                wharf_sys::crash_point!("barrier.join.after");
                return Ok(at);
            }
        }
        match self.find_dead(0, self.members.len(), &mut is_dead) {
            Some((at, dead)) => {
                self.break_and_wake(at, dead, &wake_all);
                Err(NoPlace::Broken)
            }
            None => Err(NoPlace::Full),
        }
    }

    /// Gives the place `at` back.
    pub(crate) fn leave(self, at: usize, me: Owner) {
        if let Some(cell) = self.members.get(at) {
            // Release: pairs with the Acquire in `join`. It fails only if the place is not ours any more: others took us for
            // gone.
            let _left = cell.compare_exchange(me.bits(), 0, Ordering::Release, Ordering::Relaxed);
        }
    }

    /// Arrives, and waits until all have. `at` is the caller's place.
    pub(crate) fn wait(self, at: usize, around: &impl Surroundings, wake_all: impl Fn(&AtomicU32)) -> Ended {
        wharf_sys::crash_point!("barrier.wait.before");
        let mine = match self.arrive() {
            Arrival::Waits(mine) => mine,
            Arrival::Last => {
                wharf_sys::crash_point!("barrier.wait.completed");
                wake_all(self.state);
                return Ended::Complete(true);
            }
            Arrival::Broken => return Ended::Broken,
        };
        wharf_sys::crash_point!("barrier.wait.arrived");
        let mut turn = 0_usize;
        // Bound: a turn sleeps up to a slice, or somebody arrived; `around` ends it at the deadline. Without a deadline it
        // waits until all live members have arrived, which is what the caller asked for.
        loop {
            // Acquire: pairs with the Release of the last arrival and of a break.
            let state = self.state.load(Ordering::Acquire);
            if let Some(ended) = verdict(state, mine) {
                return ended;
            }
            let left = self.find_dead(0, self.members.len(), |owner| around.has_left(owner));
            if let Some((at, dead)) = left {
                self.break_and_wake(at, dead, &wake_all);
                continue;
            }
            let slept = around.sleep(self.state, state, Nap::Slice);
            if slept == Slept::Woken {
                continue;
            }
            let (start, looks) = self.share(at, turn, state & ARRIVED);
            turn += 1;
            if let Some((at, dead)) = self.find_dead(start, looks, |owner| around.is_dead(owner)) {
                self.break_and_wake(at, dead, &wake_all);
            } else if slept == Slept::OutOfTime {
                return self.withdraw(mine);
            }
        }
    }

    /// Whose deaths a waiter looks for at the end of a slice. Of few members, all. Of many, each waiter takes a share that
    /// changes with each turn: together they ask four times as often as there are members, instead of its square, and a
    /// death goes unnoticed for a slice once in fifty times.
    fn share(self, at: usize, turn: usize, arrived: u32) -> (usize, usize) {
        let len = self.members.len();
        if len <= FEW {
            return (0, len);
        }
        let scattered = (at * 31 + turn).wrapping_mul(0x9e37_79b9) >> 8;
        (scattered % len, (4 * len).div_ceil(arrived.max(1) as usize).min(len))
    }

    /// Arrives if that completes the round; `None` if others are missing, and then nothing has changed.
    pub(crate) fn try_complete(self, wake_all: impl Fn(&AtomicU32)) -> Option<Ended> {
        // Acquire: as in `wait`.
        let mut state = self.state.load(Ordering::Acquire);
        // Bound: as in `arrive`.
        loop {
            if state & BROKEN != 0 {
                return Some(Ended::Broken);
            }
            if !self.is_last(state) {
                return None;
            }
            // Release and Acquire: as in `arrive`.
            match self.state.compare_exchange(state, completed(state), Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => {
                    wharf_sys::crash_point!("barrier.try.completed");
                    wake_all(self.state);
                    return Some(Ended::Complete(true));
                }
                Err(now) => state = now,
            }
        }
    }

    /// Counts the caller in.
    pub(super) fn arrive(self) -> Arrival {
        // Relaxed: the exchange decides.
        let mut state = self.state.load(Ordering::Relaxed);
        // Bound: a turn fails only because another member arrived, withdrew, broke or repaired it meanwhile.
        loop {
            if state & BROKEN != 0 {
                // Acquire: pairs with the Release in `break_for`, before the name is read.
                fence(Ordering::Acquire);
                return Arrival::Broken;
            }
            let last = self.is_last(state);
            let next = if last { completed(state) } else { state + 1 };
            // Release: pairs with the Acquire of whoever sees the round complete, through the exchanges of those who come
            // after us: all that each did before it arrived is seen by all who go on. Acquire: the last one sees it here.
            match self.state.compare_exchange(state, next, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) if last => return Arrival::Last,
                Ok(_) => return Arrival::Waits(next),
                Err(now) => state = now,
            }
        }
    }

    /// Whether one more completes the round.
    fn is_last(self, state: u32) -> bool {
        (state & ARRIVED) as usize + 1 >= self.members.len()
    }

    /// Counts the caller, who arrived at `mine`, out again, unless its wait has ended meanwhile.
    fn withdraw(self, mine: u32) -> Ended {
        // Acquire, here and on failure: as in `wait`.
        let mut state = self.state.load(Ordering::Acquire);
        // Bound: as in `arrive`.
        loop {
            if let Some(ended) = verdict(state, mine) {
                return ended;
            }
            // Not zero: we are counted. A scribbled count stays what it is.
            let next = if state & ARRIVED == 0 { state } else { state - 1 };
            // Relaxed: who gives up tells the others nothing, and goes on with nothing of theirs. It is an exchange, so it stays in
            // the chain that `arrive` tells of: whoever completes the round sees what those did who arrived before.
            match self.state.compare_exchange(state, next, Ordering::Relaxed, Ordering::Acquire) {
                Ok(_) => return Ended::OutOfTime,
                Err(now) => state = now,
            }
        }
    }

    /// The first dead member among so many places from `start` on.
    fn find_dead(self, start: usize, looks: usize, mut is_dead: impl FnMut(Owner) -> bool) -> Option<(usize, Owner)> {
        let (before, from) = self.members.split_at_checked(start)?;
        let places = (start..).zip(from).chain((0..).zip(before));
        // Bound: the number of places.
        places.take(looks).filter_map(|(at, _)| Some((at, self.owner_at(at)?))).find(|&(_, owner)| is_dead(owner))
    }

    fn owner_at(self, at: usize) -> Option<Owner> {
        // Acquire: pairs with the Release in `join`. The owner had entered its generation into its slot before; without this
        // we could read its name here, an older generation there, and take a newcomer for dead.
        Owner::in_word(self.members.get(at)?.load(Ordering::Acquire))
    }

    fn break_and_wake(self, at: usize, dead: Owner, wake_all: &impl Fn(&AtomicU32)) {
        if self.break_for(at, dead) {
            wharf_sys::crash_point!("barrier.break.broken");
            wake_all(self.state);
        }
    }

    /// Breaks the barrier because `dead`, in place `at`, is proved dead. False if somebody else did, or has repaired it.
    pub(crate) fn break_for(self, at: usize, dead: Owner) -> bool {
        // Bound: a turn fails only because another member arrived, withdrew, broke or repaired it meanwhile.
        loop {
            // Acquire: before the place is looked at. A repair empties the place before it changes this word; so if the place
            // still names the dead one, and this word then has not changed, no repair came in between.
            let state = self.state.load(Ordering::Acquire);
            if state & BROKEN != 0 || self.owner_at(at) != Some(dead) {
                return false;
            }
            // Relaxed: published by the exchange below. Of several that break it at once any may leave its name: all are
            // names of the dead.
            self.dead.store(dead.bits(), Ordering::Relaxed);
            wharf_sys::crash_point!("barrier.break.named");
            // Release: pairs with the Acquire of whoever sees it broken and reads the name. Relaxed on failure: it is looked at
            // anew.
            let broken = self.state.compare_exchange(state, state | BROKEN, Ordering::Release, Ordering::Relaxed);
            if broken.is_ok() {
                return true;
            }
        }
    }

    /// Who died, as the last break names it.
    pub(crate) fn dead(self) -> Option<Owner> {
        // Relaxed: read by one that has seen the break with Acquire.
        Owner::in_word(self.dead.load(Ordering::Relaxed))
    }

    pub(crate) fn is_broken(self) -> bool {
        // Acquire: pairs with the Release in `rearm`: who sees it whole again sees what was done before that.
        self.state.load(Ordering::Acquire) & BROKEN != 0
    }

    /// Makes a broken barrier whole: the places of the dead are free, nobody has arrived. False if it was not broken.
    ///
    /// One at a time, under a lock. A place may be emptied only while the barrier is broken: emptied in a whole one it would take
    /// a death away of which nobody has heard. No exchange of one word can make sure of that; but while we hold the lock nobody
    /// else makes it whole, and whoever held it before is done, or dead and writes nothing any more.
    pub(crate) fn rearm(self, mut is_dead: impl FnMut(Owner) -> bool) -> bool {
        // Acquire: pairs with the Release in `break_for`, so that the place of the one that it was broken for names that one to us,
        // too.
        let state = self.state.load(Ordering::Acquire);
        if state & BROKEN == 0 {
            return false;
        }
        for at in 0..self.members.len() {
            if let (Some(owner), Some(cell)) = (self.owner_at(at), self.members.get(at))
                && is_dead(owner)
            {
                // Release: pairs with the Acquire in `join`. Failure means that the dead one left just before it died.
                let _emptied = cell.compare_exchange(owner.bits(), 0, Ordering::Release, Ordering::Relaxed);
                wharf_sys::crash_point!("barrier.rearm.emptied");
            }
        }
        let whole = (state & ROUNDS) | ((state & REPAIRS).wrapping_add(REPAIR) & REPAIRS);
        // Release: whoever sees it whole sees the places of the dead empty, see `break_for`. Relaxed on failure: nobody but us
        // changes the word of a broken barrier, so only a scribbler makes it fail.
        let made_whole = self.state.compare_exchange(state, whole, Ordering::Release, Ordering::Relaxed).is_ok();
        wharf_sys::crash_point!("barrier.rearm.whole");
        made_whole
    }
}

/// The word after the last arrival: nobody has arrived at the next round.
const fn completed(state: u32) -> u32 {
    (state & !(ARRIVED | ROUNDS)) | ((state & ROUNDS).wrapping_add(ROUND) & ROUNDS)
}

/// What became of one that arrived.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Arrival {
    /// Others are missing. What the word said after it arrived.
    Waits(u32),
    /// Nobody is missing any more.
    Last,
    /// A member is dead.
    Broken,
}

/// How the wait of one that arrived at `mine` has ended when the word says `state`; `None` while it has not.
fn verdict(state: u32, mine: u32) -> Option<Ended> {
    if (state ^ mine) & ROUNDS != 0 {
        // Our round is complete, whatever became of the next.
        return Some(Ended::Complete(false));
    }
    let broken = state & BROKEN != 0 || (state ^ mine) & REPAIRS != 0;
    broken.then_some(Ended::Broken)
}
