//! Coming in as a reader, at once or after whoever is alone, and leaving.

use super::super::owner::Owner;
use super::super::raw::Condition;
use super::super::surroundings::{Nap, OutOfTime, Slept, Surroundings};
use super::{ASLEEP, CLOSED, DOUBT, Entered, RawRwLock, Reads, Refused};
use crate::atomic::{AtomicU32, Ordering, order_update_before_load};

impl<const N: usize> RawRwLock<N> {
    /// Enters as a reader whose process has used its cell before and does not use it now: one exchange and one load.
    #[inline(always)]
    pub(crate) fn read_free(&self, me: Owner, wake: impl Fn(&AtomicU32)) -> Option<usize> {
        wharf_sys::crash_point!("rwlock.read.before");
        let at = self.readers().enter_again(me)?;
        wharf_sys::crash_point!("rwlock.read.entered");
        self.stay_if_open(at, wake)
    }

    /// Enters as a reader in whatever cell there is.
    pub(crate) fn try_read(
        &self,
        me: Owner,
        gone: impl Fn(Owner) -> bool,
        wake: impl Fn(&AtomicU32),
    ) -> Result<usize, Refused> {
        // Relaxed: a shortcut past entering in vain.
        if self.stage.load(Ordering::Relaxed) & (CLOSED | DOUBT) != 0 {
            return Err(Refused::Closed);
        }
        let at = self.readers().enter(me, gone).ok_or(Refused::Full)?;
        wharf_sys::crash_point!("rwlock.read.entered");
        self.stay_if_open(at, wake).ok_or(Refused::Closed)
    }

    /// Enters as a reader, waiting while a live process is alone with the data or wants to be.
    pub(crate) fn read(
        &self,
        me: Owner,
        around: &impl Surroundings,
        wake_all: impl Fn(&AtomicU32) + Copy,
        wake_one: impl Fn(&AtomicU32) -> bool + Copy,
    ) -> Result<Entered, OutOfTime> {
        let mut in_vain = false;
        // Bound: a turn enters, sleeps up to a slice, or follows a change by somebody who thereby moved on; `around`
        // ends it at the deadline. Without one it waits as long as live processes exclude readers, which is what
        // the caller asked for.
        loop {
            match self.try_read(me, |owner| around.has_left(owner), wake_all) {
                Ok(at) => return Ok(Entered::Reading(at)),
                Err(Refused::Full) => {
                    if self.wait_for_a_cell(me, around).is_ok() {
                        continue;
                    }
                    // Whoever has no time to wait sees the dead as well, or somebody who only tries would never get past them.
                    self.readers().strike(|owner| owner != me && around.is_dead(owner));
                    let last = self.try_read(me, |owner| around.has_left(owner), wake_all);
                    return last.map(Entered::Reading).map_err(|_| OutOfTime);
                }
                Err(Refused::Closed) => {}
            }
            // Relaxed: it says only what to try next. An exchange of this word decides whether we sleep on it, our own entry
            // whether we read, and `intent` orders whatever we find as its holder.
            let stage = self.stage.load(Ordering::Relaxed);
            let writer = self.intent.holder();
            match writer {
                // Whoever closed it is at work, and readers get in when it opens.
                Some(owner) if stage & CLOSED != 0 && !in_vain && !around.has_left(owner) => {
                    if !self.mark_reader(stage) {
                        continue;
                    }
                    let slept = around.sleep(&self.stage, stage | ASLEEP, Nap::Slice);
                    in_vain = slept == Slept::Woken;
                    // Whoever holds it now, as in `RawLock::take`.
                    if !in_vain && self.intent.take_from_dead(me, |owner| around.is_dead(owner)) {
                        let died = Condition::Inconsistent;
                        if let Some(entered) = self.read_as_holder(me, died, around, wake_all, wake_one)? {
                            return Ok(entered);
                        }
                    } else if slept == Slept::OutOfTime {
                        return Err(OutOfTime);
                    }
                }
                // Open again meanwhile.
                _ if stage & (CLOSED | DOUBT) == 0 => {}
                // In doubt, or closed by a dead one, or somebody else closed it again before we came in: the queue of
                // those who want more than to read is fair, and its holder can let itself in.
                _ => match self.intent.take(me, &Brief(around)) {
                    Ok(condition) => {
                        if let Some(entered) = self.read_as_holder(me, condition, around, wake_all, wake_one)? {
                            return Ok(entered);
                        }
                    }
                    Err(OutOfTime) if around.is_out_of_time() => return Err(OutOfTime),
                    Err(OutOfTime) => in_vain = false,
                },
            }
        }
    }

    /// With `intent` just taken: enters as a reader and gives it back, or stays alone if the data is in doubt.
    pub(crate) fn read_as_holder(
        &self,
        me: Owner,
        condition: Condition,
        around: &impl Surroundings,
        wake_all: impl Fn(&AtomicU32) + Copy,
        wake_one: impl Fn(&AtomicU32) -> bool,
    ) -> Result<Option<Entered>, OutOfTime> {
        if self.settle(condition, wake_all) {
            return self.be_alone(me, around, wake_all, wake_one).map(|_| Some(Entered::Alone));
        }
        let entered = self.readers().enter(me, |owner| around.has_left(owner));
        wharf_sys::crash_point!("rwlock.read.let-in");
        self.intent.give_back(Condition::Consistent, wake_one);
        Ok(entered.map(Entered::Reading))
    }

    /// One who is alone goes on as a reader. It enters a cell while everybody else is kept out, and opens the lock then: the
    /// other way round, those who waited to read could take every cell before it.
    pub(crate) fn downgrade(
        &self,
        me: Owner,
        gone: impl Fn(Owner) -> bool,
        wake_all: impl Fn(&AtomicU32),
        wake_one: impl Fn(&AtomicU32) -> bool,
    ) -> Reads {
        let cell = self.enter_as_holder(me, gone);
        let left = self.end_alone(Condition::Consistent);
        wharf_sys::crash_point!("rwlock.downgrade.ended");
        self.open(left, wake_all);
        self.keep(cell, wake_one)
    }

    /// An upgradable reader goes on as an ordinary one.
    pub(crate) fn downgrade_upgradable(
        &self,
        me: Owner,
        gone: impl Fn(Owner) -> bool,
        wake_one: impl Fn(&AtomicU32) -> bool,
    ) -> Reads {
        let cell = self.enter_as_holder(me, gone);
        self.keep(cell, wake_one)
    }

    /// The holder of `intent` enters as a reader too, if there is a cell. All of them can be taken even while it is alone:
    /// by those who have entered in passing and do not leave before they have seen that the lock is closed.
    fn enter_as_holder(&self, me: Owner, gone: impl Fn(Owner) -> bool) -> Option<usize> {
        let cell = self.readers().enter(me, gone);
        wharf_sys::crash_point!("rwlock.downgrade.entered");
        cell
    }

    /// The holder of `intent` keeps its cell; without one it keeps `intent`, which keeps writers out as well. So it never
    /// waits for a cell.
    fn keep(&self, cell: Option<usize>, wake_one: impl Fn(&AtomicU32) -> bool) -> Reads {
        match cell {
            Some(at) => {
                self.intent.give_back(Condition::Consistent, wake_one);
                Reads::InCell(at)
            }
            None => Reads::AsHolder,
        }
    }

    /// One who goes on as a reader without a cell gives back what it kept.
    #[cold]
    #[inline(never)]
    pub(crate) fn leave_as_holder(&self, wake_one: impl Fn(&AtomicU32) -> bool) {
        wharf_sys::crash_point!("rwlock.unread.as-holder");
        self.intent.give_back(Condition::Consistent, wake_one);
    }

    fn wait_for_a_cell(&self, me: Owner, around: &impl Surroundings) -> Result<(), OutOfTime> {
        wharf_sys::crash_point!("rwlock.read.no-cell");
        // Relaxed: only to sleep on. Who leaves an open lock says nothing, so this sleeps for moments; for longer ones the longer
        // it takes, because after each the life of everybody who reads is looked into.
        match around.sleep(&self.bell, self.bell.load(Ordering::Relaxed), Nap::Growing) {
            Slept::Woken => Ok(()),
            Slept::SliceOver => {
                self.readers().strike(|owner| owner != me && around.is_dead(owner));
                Ok(())
            }
            Slept::OutOfTime => Err(OutOfTime),
        }
    }

    /// A reader leaves its cell.
    #[inline(always)]
    pub(crate) fn leave(&self, at: usize, wake: impl Fn(&AtomicU32)) {
        wharf_sys::crash_point!("rwlock.unread.before");
        if self.readers().leave(at).is_none() {
            return;
        }
        order_update_before_load();
        // SeqCst: after our leaving, as in `Readers::leave`.
        if self.stage.load(Ordering::SeqCst) & CLOSED != 0 {
            wharf_sys::crash_point!("rwlock.unread.before-wake");
            // Release: pairs with the Acquire in `drain`; a writer that sleeps on the new number has seen our cell empty.
            self.bell.fetch_add(1, Ordering::Release);
            wake(&self.bell);
        }
    }

    /// We have entered: stays if the lock is open, and leaves again if not.
    #[inline(always)]
    fn stay_if_open(&self, at: usize, wake: impl Fn(&AtomicU32)) -> Option<usize> {
        order_update_before_load();
        // SeqCst: after our entry, as in `Readers::enter_again`. Acquire within it: pairs with the Release in `open`.
        if self.stage.load(Ordering::SeqCst) & (CLOSED | DOUBT) == 0 {
            return Some(at);
        }
        self.leave(at, wake);
        None
    }

    fn mark_reader(&self, stage: u32) -> bool {
        // Relaxed: the flag carries no data; as in `RawLock::mark_waiting`.
        let marked = self.stage.compare_exchange(stage, stage | ASLEEP, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        if marked {
            wharf_sys::crash_point!("rwlock.read.marked-waiting");
        }
        marked
    }
}

/// The surroundings of one who waits for a slice at most.
struct Brief<'a, S>(&'a S);

impl<S: Surroundings> Surroundings for Brief<'_, S> {
    fn spins(&self) -> u32 {
        self.0.spins()
    }

    fn sleep(&self, word: &AtomicU32, expected: u32, nap: Nap) -> Slept {
        match self.0.sleep(word, expected, nap) {
            Slept::SliceOver if nap == Nap::Slice => Slept::OutOfTime,
            other => other,
        }
    }

    fn is_out_of_time(&self) -> bool {
        self.0.is_out_of_time()
    }

    fn now(&self) -> u32 {
        self.0.now()
    }

    fn has_left(&self, owner: Owner) -> bool {
        self.0.has_left(owner)
    }

    fn is_dead(&self, owner: Owner) -> bool {
        self.0.is_dead(owner)
    }
}
