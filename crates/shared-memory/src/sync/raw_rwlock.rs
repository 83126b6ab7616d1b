//! Many readers or one writer: a cell for each reading process, and a lock word for whoever may close them out.
//!
//! A reader enters itself in a cell and then looks whether the lock is closed; a writer closes it and then looks at the
//! cells. One of the two sees the other. Every entry names its process, so that a dead one can be struck out by proof.
//! `docs/layout.md` draws the words.

mod readers;
mod reading;
mod writing;

#[cfg(any(loom, test))]
use super::owner::Owner;
use super::raw::{Condition, RawLock};
use crate::atomic::{AtomicU32, AtomicU64, Ordering};
use readers::Readers;

/// Set by the holder of `intent` who wants to be alone.
const CLOSED: u32 = 1;
/// Left behind by a writer who did not put the data in order: readers must come in through `intent` and hear it.
const DOUBT: u32 = 2;
/// Somebody may be asleep on `stage`.
const ASLEEP: u32 = 4;

/// Words before the cells, for those who read the lock as words.
#[cfg(not(loom))]
pub(crate) const WORDS_BEFORE_CELLS: usize = 6;

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

/// What one has who went on as a reader.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Reads {
    /// This cell.
    InCell(usize),
    /// `intent`, since there was no cell.
    AsHolder,
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

    /// Strikes out those who are `gone`, at a moment that a model chooses.
    #[cfg(loom)]
    pub(crate) fn strike(&self, gone: impl Fn(Owner) -> bool) {
        self.readers().strike(gone);
    }

    /// The cells.
    #[inline(always)]
    fn readers(&self) -> Readers<'_, N> {
        Readers { used: &self.used, cells: &self.cells }
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

    /// Lets readers in again (or, left in [`DOUBT`], lets them hear of it) and wakes those who wait.
    #[inline(always)]
    pub(crate) fn open(&self, left: u32, wake_all: impl Fn(&AtomicU32)) {
        // Release: pairs with the Acquire of readers' looks at it, so that they see all that we wrote.
        if self.stage.swap(left, Ordering::Release) & ASLEEP != 0 {
            wharf_sys::crash_point!("rwlock.open.before-wake");
            wake_all(&self.stage);
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
    // Whoever left it in doubt said so in `intent`, too; whoever repairs it takes that back before he gives it back. A death before
    // anybody was alone left no doubt.
    said.inconsistent &= word(4) != 0;
    let cells = words.get(WORDS_BEFORE_CELLS..).unwrap_or(&[]).as_chunks::<2>().0;
    let entries = cells.iter().map(|&[low, high]| u64::from(low) | u64::from(high) << 32);
    said.holds.extend(entries.take(word(5) as usize).filter(|&entry| readers::threads(entry) > 0).filter_map(
        |entry| {
            Some(Hold {
                owner: readers::reader(entry)?,
                mode: Mode::Read,
                count: readers::threads(entry),
                thread: None,
            })
        },
    ));
    said
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::sync::kind::Mode;
    use crate::sync::look::Hold;
    use crate::sync::surroundings::Slept;
    use crate::sync::surroundings::script::Script;

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
        let said = decode(&[1 << 30 | one.bits(), 0, CLOSED | DOUBT, 0, 1, 0]);
        assert_eq!((said.holds.len(), said.inconsistent), (1, true), "taken, and not repaired yet");
        let said = decode(&[one.bits(), 0, CLOSED | DOUBT, 0, 1, 0]);
        assert_eq!((said.holds.len(), said.inconsistent), (1, false), "repaired, and held still");
        assert!(!decode(&[1 << 30, 0, 0, 0, 0, 0]).inconsistent, "one died before it was alone");
        assert_eq!(decode(&[]).holds, []);
    }

    #[test]
    fn a_reader_that_finds_the_writer_dead_comes_in_without_another_sleep() {
        let [writer, next, me] = [0, 1, 2].map(|slot| Owner::new(slot, 1));
        let lock = RawRwLock::<3>::new();
        // Alone, and dead in the middle of a change.
        assert_eq!(lock.write_free(writer), Ok(()));
        let around = Script::new(writer, |_| Slept::SliceOver);
        assert_eq!(lock.read(me, &around, |_| {}, |_| true), Ok(Entered::Alone));
        assert_eq!(around.sleeps(), 1);
        lock.leave_alone(Condition::Consistent, |_| {}, |_| true);
        // Another one closed it and died while the reader slept behind the first.
        assert_eq!(lock.write_free(writer), Ok(()));
        let around = Script::new(next, |_| {
            lock.leave_alone(Condition::Consistent, |_| {}, |_| true);
            assert_eq!(lock.write_free(next), Ok(()));
            Slept::SliceOver
        });
        assert_eq!(lock.read(me, &around, |_| {}, |_| true), Ok(Entered::Alone));
        assert_eq!(around.sleeps(), 1);
    }

    #[test]
    fn a_reader_without_time_gets_past_dead_readers_and_not_past_living_ones() {
        let [dead, living, me] = [0, 1, 2].map(|slot| Owner::new(slot, 1));
        for (reader, expected) in [(dead, Ok(Entered::Reading(0))), (living, Err(crate::sync::surroundings::OutOfTime))]
        {
            let lock = RawRwLock::<1>::new();
            assert_eq!(lock.try_read(reader, |_| false, |_| {}), Ok(0));
            let around = Script::new(dead, |_| Slept::OutOfTime);
            assert_eq!(lock.read(me, &around, |_| {}, |_| true), expected);
        }
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
        assert_eq!(lock.readers().first(), Some(Some(owners[2])));
    }

    #[test]
    fn one_who_goes_on_as_a_reader_has_its_cell_before_those_who_waited() {
        let [me, one, two] = [0, 1, 2].map(|slot| Owner::new(slot, 1));
        let lock = RawRwLock::<2>::new();
        assert_eq!(lock.write_free(me), Ok(()));
        lock.stage.fetch_or(ASLEEP, Ordering::Relaxed);
        // Whoever waited comes in as soon as the lock opens.
        let came_in = std::cell::RefCell::new(Vec::new());
        let come = |_: &AtomicU32| {
            came_in.borrow_mut().extend([one, two].map(|owner| lock.try_read(owner, |_| false, |_| {})));
        };
        assert_eq!(lock.downgrade(me, |_| false, come, |_| true), Reads::InCell(0));
        assert_eq!(*came_in.borrow(), [Ok(1), Err(Refused::Full)]);
        assert_eq!((lock.intent().holder(), lock.condition()), (None, Condition::Consistent));
        // A writer that comes then waits for both readers.
        assert_eq!(lock.write_free(two), Err(true));
        assert_eq!(lock.readers().first(), Some(Some(me)));
    }

    #[test]
    fn one_who_finds_no_cell_goes_on_as_a_reader_all_the_same() {
        let [me, one, two] = [0, 1, 2].map(|slot| Owner::new(slot, 1));
        for alone in [true, false] {
            let lock = RawRwLock::<1>::new();
            if alone {
                assert_eq!(lock.write_free(me), Ok(()));
                // In passing, and stopped before it has looked whether the lock is closed.
                assert_eq!(lock.readers().enter(one, |_| false), Some(0));
                assert_eq!(lock.downgrade(me, |_| false, |_| {}, |_| true), Reads::AsHolder);
            } else {
                assert!(lock.intent().take_free(me));
                assert_eq!(lock.try_read(one, |_| false, |_| {}), Ok(0));
                assert_eq!(lock.downgrade_upgradable(me, |_| false, |_| true), Reads::AsHolder);
            }
            // It keeps writers out, and lets readers in.
            assert_eq!(lock.write_free(two), Err(false));
            lock.leave(0, |_| {});
            assert_eq!(lock.try_read(two, |_| false, |_| {}), Ok(0));
            lock.leave(0, |_| {});
            lock.leave_as_holder(|_| true);
            assert_eq!(lock.write_free(two), Ok(()));
        }
    }

    #[test]
    fn one_who_dies_as_a_reader_without_a_cell_leaves_no_doubt() {
        let [me, one, two] = [0, 1, 2].map(|slot| Owner::new(slot, 1));
        let lock = RawRwLock::<1>::new();
        assert_eq!(lock.write_free(me), Ok(()));
        assert_eq!(lock.readers().enter(one, |_| false), Some(0));
        assert_eq!(lock.downgrade(me, |_| false, |_| {}, |_| true), Reads::AsHolder);
        lock.leave(0, |_| {});
        let around = Script::new(me, |_| Slept::SliceOver);
        assert_eq!(lock.intent().take(two, &around), Ok(Condition::Inconsistent));
        assert!(!lock.settle(Condition::Inconsistent, |_| {}));
    }
}
