//! Many readers or one writer: a cell for each reading process, and a lock word for whoever may close them out.
//!
//! A reader enters itself in a cell and then looks whether the lock is closed; a writer closes it and then looks at the
//! cells. One of the two sees the other. Every entry names its process, so that a dead one can be struck out by proof.
//! `docs/layout.md` draws the words.

use super::raw::{Condition, Nap, OutOfTime, Owner, RawLock, Slept, Surroundings};
use crate::atomic::{AtomicU32, AtomicU64, Ordering, fence, order_update_before_load};

/// Set by the holder of `intent` who wants to be alone.
const CLOSED: u32 = 1;
/// Left behind by a writer who did not put the data in order: readers must come in through `intent` and hear it.
const DOUBT: u32 = 2;
/// Somebody may be asleep on `stage`.
const READERS: u32 = 4;

/// One more thread of the process in a cell.
const ONE: u64 = 1 << 32;

/// Words before the cells, for those who read the lock as words.
#[cfg(not(loom))]
pub(crate) const WORDS_BEFORE_CELLS: usize = 6;

/// Who reads in a cell, and how many of its threads.
const fn entry(owner: Owner, threads: u32) -> u64 {
    owner.bits() as u64 | (threads as u64) << 32
}

const fn threads(entry: u64) -> u32 {
    (entry >> 32) as u32
}

const fn reader(entry: u64) -> Option<Owner> {
    Owner::from_bits(entry as u32 & ((1 << 30) - 1))
}

/// Why a reader did not come in at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Refused {
    /// Somebody is alone with the data, or wants to be, or left it in doubt.
    Closed,
    /// As many processes read as there are cells.
    Full,
}

/// How a reader came in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Entered {
    /// As a reader, in this cell.
    Reading(usize),
    /// Alone: a writer died, and the caller is to repair what it left.
    Alone,
}

/// A lock for readers of up to `N` processes at a time, and writers. All zero is free.
#[derive(Debug)]
#[cfg_attr(not(loom), repr(C))]
pub(crate) struct RawRwLock<const N: usize> {
    /// Held by a writer, by an upgradable reader, and for a moment by a reader that lost a race.
    intent: RawLock,
    stage: AtomicU32,
    /// Raised by every reader that leaves a closed lock; who waits to be alone sleeps here.
    bell: AtomicU32,
    /// Not 0 from the moment that somebody is alone until the data is in order again.
    in_doubt: AtomicU32,
    /// Cells from here on were never used.
    used: AtomicU32,
    cells: [AtomicU64; N],
}

impl<const N: usize> RawRwLock<N> {
    /// A free lock over data in order.
    #[cfg(not(loom))]
    pub(crate) const fn new() -> RawRwLock<N> {
        RawRwLock {
            intent: RawLock::new(),
            stage: AtomicU32::new(0),
            bell: AtomicU32::new(0),
            in_doubt: AtomicU32::new(0),
            used: AtomicU32::new(0),
            cells: [const { AtomicU64::new(0) }; N],
        }
    }

    /// A free lock over data in order, inside a model.
    #[cfg(loom)]
    pub(crate) fn new() -> RawRwLock<N> {
        RawRwLock {
            intent: RawLock::new(),
            stage: AtomicU32::new(0),
            bell: AtomicU32::new(0),
            in_doubt: AtomicU32::new(0),
            used: AtomicU32::new(0),
            cells: std::array::from_fn(|_| AtomicU64::new(0)),
        }
    }

    /// The word that everybody who wants more than to read takes.
    pub(crate) fn intent(&self) -> &RawLock {
        &self.intent
    }

    /// Enters as a reader whose process has used its cell before and does not use it now: one exchange and one load.
    #[inline(always)]
    pub(crate) fn read_free(&self, me: Owner, wake: impl Fn(&AtomicU32)) -> Option<usize> {
        let at = home::<N>(me);
        wharf_sys::crash_point!("rwlock.read.before");
        // SeqCst: our entry comes before our look at `stage` in the one order of all such accesses; a writer's closing
        // comes before its look at the cells. So it sees the entry, or we see that it closed. Acquire within it: pairs
        // with the Release of `leave`. Relaxed on failure: nothing follows.
        let entered =
            self.cells[at].compare_exchange(entry(me, 0), entry(me, 1), Ordering::SeqCst, Ordering::Relaxed).is_ok();
        if !entered {
            return None;
        }
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
        let at = self.enter(me, gone).ok_or(Refused::Full)?;
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
                    self.wait_for_a_cell(me, around)?;
                    continue;
                }
                Err(Refused::Closed) => {}
            }
            // Acquire: pairs with the Release in `open`.
            let stage = self.stage.load(Ordering::Acquire);
            let writer = self.intent.holder();
            match writer {
                // Whoever closed it is at work, and readers get in when it opens.
                Some(owner) if stage & CLOSED != 0 && !in_vain && !around.has_left(owner) => {
                    if !self.mark_reader(stage) {
                        continue;
                    }
                    in_vain = true;
                    match around.sleep(&self.stage, stage | READERS, Nap::Slice) {
                        Slept::Woken => {}
                        Slept::SliceOver | Slept::OutOfTime if around.is_dead(owner) => {}
                        Slept::SliceOver => in_vain = false,
                        Slept::OutOfTime => return Err(OutOfTime),
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
        let entered = self.enter(me, |owner| around.has_left(owner));
        wharf_sys::crash_point!("rwlock.read.let-in");
        self.intent.give_back(Condition::Consistent, wake_one);
        Ok(entered.map(Entered::Reading))
    }

    /// With `intent` just taken: whether the data is in doubt. If it is not, the lock is open afterwards, whatever the
    /// one who died with it had begun.
    pub(crate) fn settle(&self, condition: Condition, wake_all: impl Fn(&AtomicU32)) -> bool {
        // Relaxed: written by holders of `intent` only.
        if self.in_doubt.load(Ordering::Relaxed) != 0 {
            return true;
        }
        if condition == Condition::Inconsistent {
            // It died before it was alone, or as a reader in passing: it changed nothing.
            self.intent.mark_consistent();
        }
        // Relaxed: as above; the other flag is for `open`.
        if self.stage.load(Ordering::Relaxed) & (CLOSED | DOUBT) != 0 {
            self.open(0, wake_all);
        }
        false
    }

    /// Enters alone if nobody holds the lock and the data is in order; otherwise says whether `intent` was taken.
    #[inline(always)]
    pub(crate) fn write_free(&self, me: Owner) -> Result<(), bool> {
        if !self.intent.take_free(me) {
            return Err(false);
        }
        wharf_sys::crash_point!("rwlock.intent.taken");
        // SeqCst and the rest: as in `close`.
        self.stage.fetch_or(CLOSED, Ordering::SeqCst);
        order_update_before_load();
        wharf_sys::crash_point!("rwlock.write.closed");
        if self.first_reader().is_some() || self.condition() == Condition::Inconsistent {
            return Err(true);
        }
        self.begin_alone();
        Ok(())
    }

    /// With `intent` held: closes the lock, waits until all readers have left, and begins to be alone. On failure the
    /// lock is open again and `intent` given back.
    pub(crate) fn be_alone(
        &self,
        me: Owner,
        around: &impl Surroundings,
        wake_all: impl Fn(&AtomicU32),
        wake_one: impl Fn(&AtomicU32) -> bool,
    ) -> Result<Condition, OutOfTime> {
        match self.close(me, around) {
            Ok(condition) => Ok(condition),
            Err(OutOfTime) => {
                self.leave_alone(self.condition(), wake_all, wake_one);
                Err(OutOfTime)
            }
        }
    }

    /// The same for one who keeps `intent` if it fails; then the lock is still closed.
    pub(crate) fn close(&self, me: Owner, around: &impl Surroundings) -> Result<Condition, OutOfTime> {
        // SeqCst: before our look at the cells, as in `read_free`.
        self.stage.fetch_or(CLOSED, Ordering::SeqCst);
        order_update_before_load();
        wharf_sys::crash_point!("rwlock.write.closed");
        self.drain(me, around)?;
        wharf_sys::crash_point!("rwlock.write.drained");
        let condition = self.condition();
        self.begin_alone();
        Ok(condition)
    }

    #[inline(always)]
    fn begin_alone(&self) {
        // Relaxed: whoever comes after us reads it under `intent`.
        self.in_doubt.store(1, Ordering::Relaxed);
        // Before all that we write to the data: a process that is killed after a write has stored this, too.
        fence(Ordering::Release);
        wharf_sys::crash_point!("rwlock.write.alone");
    }

    /// Gives the lock back as one who was alone, or wanted to be.
    #[inline(always)]
    pub(crate) fn leave_alone(
        &self,
        condition: Condition,
        wake_all: impl Fn(&AtomicU32),
        wake_one: impl Fn(&AtomicU32) -> bool,
    ) {
        let left = self.end_alone(condition);
        self.open(left, wake_all);
        wharf_sys::crash_point!("rwlock.write.opened");
        self.intent.give_back(condition, wake_one);
    }

    /// Says that the data is in order, if it is, and returns how to leave `stage`.
    #[inline(always)]
    pub(crate) fn end_alone(&self, condition: Condition) -> u32 {
        wharf_sys::crash_point!("rwlock.write.ending");
        match condition {
            Condition::Consistent => {
                // Release: after all that we wrote to the data, as in `close`.
                self.in_doubt.store(0, Ordering::Release);
                0
            }
            Condition::Inconsistent => DOUBT,
        }
    }

    /// Lets readers in again (or, left in [`DOUBT`], lets them hear of it) and wakes those who wait.
    #[inline(always)]
    pub(crate) fn open(&self, left: u32, wake_all: impl Fn(&AtomicU32)) {
        // Release: pairs with the Acquire of readers' looks at it, so that they see all that we wrote.
        if self.stage.swap(left, Ordering::Release) & READERS != 0 {
            wharf_sys::crash_point!("rwlock.open.before-wake");
            wake_all(&self.stage);
        }
    }

    /// The holder of `intent` enters as a reader too. There is a cell as soon as one of the processes that read leaves;
    /// to one who is alone, at once, since others only look in.
    pub(crate) fn enter_as_holder(&self, me: Owner, around: &impl Surroundings) -> usize {
        // Bound: as in `read`, without a deadline.
        loop {
            if let Some(at) = self.enter(me, |owner| around.has_left(owner)) {
                wharf_sys::crash_point!("rwlock.downgrade.entered");
                return at;
            }
            // Without a deadline this cannot fail.
            let _left = self.wait_for_a_cell(me, around);
        }
    }

    fn wait_for_a_cell(&self, me: Owner, around: &impl Surroundings) -> Result<(), OutOfTime> {
        // Relaxed: only to sleep on. Who leaves an open lock says nothing, so this sleeps for moments.
        match around.sleep(&self.bell, self.bell.load(Ordering::Relaxed), Nap::Moment) {
            Slept::Woken => Ok(()),
            Slept::SliceOver => {
                self.strike(|owner| owner != me && around.is_dead(owner));
                Ok(())
            }
            Slept::OutOfTime => Err(OutOfTime),
        }
    }

    /// A reader leaves its cell.
    #[inline(always)]
    pub(crate) fn leave(&self, at: usize, wake: impl Fn(&AtomicU32)) {
        let Some(cell) = self.cells.get(at) else { return };
        wharf_sys::crash_point!("rwlock.unread.before");
        // SeqCst: before our look at `stage`, so that a writer that closed it does not miss our leaving and we do not
        // miss the writer. Release within it: pairs with the Acquire of the writer's look at the cells; all our
        // reading comes before its writing.
        cell.fetch_sub(ONE, Ordering::SeqCst);
        order_update_before_load();
        // SeqCst: as above.
        if self.stage.load(Ordering::SeqCst) & CLOSED != 0 {
            wharf_sys::crash_point!("rwlock.unread.before-wake");
            // Release: pairs with the Acquire in `drain`; a writer that sleeps on the new number has seen our cell empty.
            self.bell.fetch_add(1, Ordering::Release);
            wake(&self.bell);
        }
    }

    /// Whether the data is in doubt.
    pub(crate) fn condition(&self) -> Condition {
        // Relaxed: under `intent`, or a report.
        if self.in_doubt.load(Ordering::Relaxed) == 0 { Condition::Consistent } else { Condition::Inconsistent }
    }

    /// The lock as words, for a report.
    #[cfg(not(loom))]
    pub(crate) fn words(&self) -> Vec<u32> {
        // Acquire: names are read before the slots that they lead to.
        let (intent, stage) = (self.intent.word(), self.stage.load(Ordering::Acquire));
        // Relaxed, both: a report.
        let (doubt, used) = (self.in_doubt.load(Ordering::Relaxed), self.used.load(Ordering::Relaxed));
        let mut words = vec![intent, 0, stage, 0, doubt, used];
        for cell in self.cells.iter().take(used as usize) {
            let entry = cell.load(Ordering::Acquire);
            words.extend([entry as u32, (entry >> 32) as u32]);
        }
        words
    }

    /// We have entered: stays if the lock is open, and leaves again if not.
    #[inline(always)]
    fn stay_if_open(&self, at: usize, wake: impl Fn(&AtomicU32)) -> Option<usize> {
        order_update_before_load();
        // SeqCst: as in `read_free`. Acquire within it: pairs with the Release in `open`.
        if self.stage.load(Ordering::SeqCst) & (CLOSED | DOUBT) == 0 {
            return Some(at);
        }
        self.leave(at, wake);
        None
    }

    /// Adds one thread to a cell of ours, or takes a free one, or one of somebody who is `gone`.
    fn enter(&self, me: Owner, gone: impl Fn(Owner) -> bool) -> Option<usize> {
        let first = home::<N>(me);
        // Bound: N cells, starting at our own.
        for at in (first..N).chain(0..first) {
            let cell = &self.cells[at];
            // Relaxed: the exchange decides. Acquire where a name leads to a slot, as in `RawLock::take`.
            let mut seen = cell.load(Ordering::Acquire);
            // Bound: a turn fails only because another process or thread entered or left meanwhile.
            loop {
                let owner = reader(seen);
                let next = match (threads(seen), owner) {
                    (0, _) => entry(me, 1),
                    (u32::MAX, _) => break,
                    (_, Some(owner)) if owner == me => seen + ONE,
                    (_, Some(owner)) if !gone(owner) => break,
                    // Gone, or a scribbled cell of nobody.
                    _ => entry(me, 1),
                };
                // SeqCst: a writer that has not seen the cell counted has not closed the lock when we look at `stage`.
                self.used.fetch_max(at as u32 + 1, Ordering::SeqCst);
                // SeqCst and Acquire: as in `read_free`.
                match cell.compare_exchange(seen, next, Ordering::SeqCst, Ordering::Acquire) {
                    Ok(_) => return Some(at),
                    Err(now) => seen = now,
                }
            }
        }
        None
    }

    fn mark_reader(&self, stage: u32) -> bool {
        // Relaxed: the flag carries no data; as in `RawLock::mark_waiting`.
        let marked = self.stage.compare_exchange(stage, stage | READERS, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        if marked {
            wharf_sys::crash_point!("rwlock.read.marked-waiting");
        }
        marked
    }

    /// Waits until every reader has left or is proved dead.
    fn drain(&self, me: Owner, around: &impl Surroundings) -> Result<(), OutOfTime> {
        // Bound: as in `read`.
        loop {
            // Acquire: before the look at the cells, so that a reader that leaves after it changes what we sleep on.
            let bell = self.bell.load(Ordering::Acquire);
            let Some(owner) = self.first_reader() else { return Ok(()) };
            if owner.is_none_or(|owner| around.has_left(owner)) {
                self.strike(|owner| around.has_left(owner));
                continue;
            }
            wharf_sys::crash_point!("rwlock.write.waiting");
            match around.sleep(&self.bell, bell, Nap::Slice) {
                Slept::Woken => {}
                Slept::SliceOver => self.strike(|owner| owner != me && around.is_dead(owner)),
                Slept::OutOfTime => {
                    self.strike(|owner| owner != me && around.is_dead(owner));
                    return if self.first_reader().is_none() { Ok(()) } else { Err(OutOfTime) };
                }
            }
        }
    }

    /// The first who reads, if anybody does; `Some(None)` for a cell of nobody.
    fn first_reader(&self) -> Option<Option<Owner>> {
        // SeqCst, both: after our closing, as in `read_free` and `enter`. Acquire within it: pairs with the Release of
        // `leave`.
        let used = self.used.load(Ordering::SeqCst) as usize;
        let seen = self.cells.iter().take(used).map(|cell| cell.load(Ordering::SeqCst));
        seen.filter(|&entry| threads(entry) > 0).map(reader).next()
    }

    /// Strikes out every entry of somebody who is `gone`, and those of nobody.
    pub(super) fn strike(&self, gone: impl Fn(Owner) -> bool) {
        // Relaxed: the cells that count were seen already.
        for cell in self.cells.iter().take(self.used.load(Ordering::Relaxed) as usize) {
            // Acquire: before the owner's slot is looked at.
            let seen = cell.load(Ordering::Acquire);
            if threads(seen) == 0 || !reader(seen).is_none_or(&gone) {
                continue;
            }
            wharf_sys::crash_point!("rwlock.strike.before");
            // Relaxed: the dead one released nothing; what it read, it read before the kernel ended it. The exchange
            // names its generation, so it cannot hit a newcomer, and nobody adds threads to a dead process.
            let _struck = cell.compare_exchange(seen, 0, Ordering::Relaxed, Ordering::Relaxed);
            wharf_sys::crash_point!("rwlock.strike.after");
        }
    }
}

/// Where an attachment looks for its cell first: each has its own, unless there are more than cells.
#[inline(always)]
fn home<const N: usize>(me: Owner) -> usize {
    let slot = me.slot() as usize;
    // Seldom taken and well predicted; a division on every way is not.
    if slot < N { slot } else { slot % N }
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

/// Reads the words of a lock for readers and writers, as [`RawRwLock::words`] gives them.
#[cfg(not(loom))]
pub(crate) fn decode(words: &[u32]) -> super::look::Said {
    use super::kind::Mode;
    use super::look::Hold;

    let word = |at: usize| words.get(at).copied().unwrap_or(0);
    let mut said = super::raw::decode(word(0));
    let closed = word(2) & CLOSED != 0;
    for hold in &mut said.holds {
        hold.mode = if closed { Mode::Exclusive } else { Mode::UpgradableRead };
    }
    // While somebody is alone, the data is his business.
    said.inconsistent = word(4) != 0 && (said.inconsistent || word(2) & DOUBT != 0);
    let cells = words.get(WORDS_BEFORE_CELLS..).unwrap_or(&[]).as_chunks::<2>().0;
    let entries = cells.iter().map(|&[low, high]| u64::from(low) | u64::from(high) << 32);
    said.holds.extend(entries.take(word(5) as usize).filter(|&entry| threads(entry) > 0).filter_map(|entry| {
        Some(Hold { owner: reader(entry)?, mode: Mode::Read, count: threads(entry), thread: None })
    }));
    said
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::sync::kind::Mode;
    use crate::sync::look::Hold;

    #[test]
    fn its_size_is_what_the_picture_says() {
        assert_eq!((size_of::<RawRwLock<61>>(), align_of::<RawRwLock<61>>()), (512, 8));
    }

    #[test]
    fn words_tell_readers_writers_and_upgradable_readers_apart() {
        let (one, two) = (Owner::new(0, 3), Owner::new(1, 4));
        let said = decode(&[one.bits(), 0, 0, 0, 0, 2, 0, 0, two.bits(), 2]);
        let reads = Hold { owner: two, mode: Mode::Read, count: 2, thread: None };
        assert_eq!(said.holds, [Hold { mode: Mode::UpgradableRead, ..Hold::exclusive(one) }, reads]);
        let said = decode(&[one.bits(), 0, CLOSED, 0, 1, 2, 0, 0, two.bits(), 0]);
        assert_eq!((said.holds, said.inconsistent), (vec![Hold::exclusive(one)], false));
        let said = decode(&[1 << 30, 0, DOUBT, 0, 1, 0]);
        assert_eq!((said.holds.len(), said.inconsistent), (0, true));
        assert_eq!(decode(&[]).holds, []);
    }

    #[test]
    fn a_process_beyond_the_cells_borrows_a_free_one() {
        let lock = RawRwLock::<2>::new();
        let nobody_gone = |_| false;
        let owners = [Owner::new(0, 1), Owner::new(5, 1), Owner::new(9, 1)];
        let cells: Vec<_> = owners.iter().map(|&me| lock.try_read(me, nobody_gone, |_| {})).collect();
        assert_eq!(cells, [Ok(0), Ok(1), Err(Refused::Full)]);
        // More threads of one that is in need no more cells.
        assert_eq!(lock.try_read(owners[1], nobody_gone, |_| {}), Ok(1));
        lock.leave(0, |_| {});
        assert_eq!(lock.try_read(owners[2], nobody_gone, |_| {}), Ok(0));
        // A later generation proves the earlier one gone.
        let newcomer = Owner::new(5, 2);
        assert_eq!(lock.try_read(newcomer, |owner| owner == owners[1], |_| {}), Ok(1));
        lock.leave(1, |_| {});
        assert_eq!(lock.first_reader(), Some(Some(owners[2])));
    }
}
