//! Who reads: a cell for each reading process, with its name and how many of its threads read.
//!
//! A cell says nothing about whether reading is allowed: that is for those who enter and leave to find out.

use super::super::owner::Owner;
use crate::atomic::{AtomicU32, AtomicU64, Ordering};

/// One more thread of the process in a cell.
const ONE: u64 = 1 << 32;

/// Who reads in a cell, and how many of its threads.
const fn entry(owner: Owner, threads: u32) -> u64 {
    owner.bits() as u64 | (threads as u64) << 32
}

pub(super) const fn threads(entry: u64) -> u32 {
    (entry >> 32) as u32
}

pub(super) const fn reader(entry: u64) -> Option<Owner> {
    Owner::in_word(entry as u32)
}

/// The cells of a lock.
#[derive(Clone, Copy)]
pub(super) struct Readers<'a, const N: usize> {
    /// Cells from here on were never used.
    pub(super) used: &'a AtomicU32,
    pub(super) cells: &'a [AtomicU64; N],
}

impl<const N: usize> Readers<'_, N> {
    /// Enters the cell that the process has used before and does not use now: one exchange. Returns which it is.
    #[inline(always)]
    pub(super) fn enter_again(self, me: Owner) -> Option<usize> {
        let at = home::<N>(me);
        // SeqCst: our entry comes before our look at the stage in the one order of all such accesses; a writer's closing
        // comes before its look at the cells. So it sees the entry, or we see that it closed. Acquire within it: pairs
        // with the Release of `leave`. Relaxed on failure: nothing follows.
        let entered =
            self.cells[at].compare_exchange(entry(me, 0), entry(me, 1), Ordering::SeqCst, Ordering::Relaxed).is_ok();
        entered.then_some(at)
    }

    /// Adds one thread to a cell of ours, or takes a free one, or one of somebody who is `gone`.
    pub(super) fn enter(self, me: Owner, gone: impl Fn(Owner) -> bool) -> Option<usize> {
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
                // SeqCst: a writer that has not seen the cell counted has not closed the lock when we look at the stage.
                self.used.fetch_max(at as u32 + 1, Ordering::SeqCst);
                // SeqCst and Acquire: as in `enter_again`.
                match cell.compare_exchange(seen, next, Ordering::SeqCst, Ordering::Acquire) {
                    Ok(_) => return Some(at),
                    Err(now) => seen = now,
                }
            }
        }
        None
    }

    /// One thread leaves its cell.
    #[inline(always)]
    pub(super) fn leave(self, at: usize) -> Option<()> {
        // SeqCst: before the caller's look at the stage, so that a writer that closed it does not miss our leaving and we
        // do not miss the writer. Release within it: pairs with the Acquire of the writer's look at the cells; all our
        // reading comes before its writing.
        self.cells.get(at)?.fetch_sub(ONE, Ordering::SeqCst);
        Some(())
    }

    /// The first who reads, if anybody does; `Some(None)` for a cell of nobody.
    pub(super) fn first(self) -> Option<Option<Owner>> {
        // SeqCst, both: after our closing, as in `enter_again` and `enter`. Acquire within it: pairs with the Release of
        // `leave`.
        let used = self.used.load(Ordering::SeqCst) as usize;
        let seen = self.cells.iter().take(used).map(|cell| cell.load(Ordering::SeqCst));
        seen.filter(|&entry| threads(entry) > 0).map(reader).next()
    }

    /// Strikes out every entry of somebody who is `gone`, and those of nobody.
    pub(super) fn strike(self, gone: impl Fn(Owner) -> bool) {
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
