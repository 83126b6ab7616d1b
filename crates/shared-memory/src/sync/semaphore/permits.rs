//! The cells of a semaphore: one for each permit, which says in one word whether it is there, and who has it.

use crate::atomic::{AtomicU32, Ordering, fence};
use crate::sync::owner::Owner;
use crate::sync::sleepers::Sleepers;
use crate::sync::surroundings::{Slept, Surroundings};

/// In a cell that nobody owns: the permit is in the other of the two states that such a cell can have. Zero means *free*
/// in the first cells and *absent* in the others, so that fresh memory is a semaphore as its type says.
const OTHER: u32 = 1 << 30;

/// The words of a semaphore, wherever they lie.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Permits<'a> {
    pub(crate) sleepers: &'a Sleepers,
    /// How often a permit became free or absent: one that looks through the cells and finds none knows by it whether it
    /// has missed one that moved behind its back.
    pub(crate) moves: &'a AtomicU32,
    /// Cells whose permit is there at first.
    pub(crate) free_first: &'a [AtomicU32],
    /// Cells whose permit is absent at first.
    pub(crate) absent_first: &'a [AtomicU32],
}

/// Every permit is there already.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct AllThere;

/// One cell, with the words by which it says that it has no owner.
#[derive(Clone, Copy)]
struct Cell<'a> {
    word: &'a AtomicU32,
    free: u32,
    absent: u32,
}

impl Cell<'_> {
    /// Scribbled words that name nobody read as one of the two states, too.
    fn says_free(self, word: u32) -> bool {
        Owner::in_word(word).is_none() && word & OTHER == self.free
    }

    fn says_absent(self, word: u32) -> bool {
        Owner::in_word(word).is_none() && word & OTHER == self.absent
    }
}

impl<'a> Permits<'a> {
    /// How many permits there are at most.
    pub(crate) fn len(self) -> usize {
        self.free_first.len() + self.absent_first.len()
    }

    fn cell(self, at: usize) -> Option<Cell<'a>> {
        match self.free_first.get(at) {
            Some(word) => Some(Cell { word, free: 0, absent: OTHER }),
            None => {
                let word = self.absent_first.get(at.checked_sub(self.free_first.len())?)?;
                Some(Cell { word, free: OTHER, absent: 0 })
            }
        }
    }

    /// All cells once, from the one after `start` on.
    fn cells_from(self, start: usize) -> impl Iterator<Item = (usize, Cell<'a>)> {
        let len = self.len();
        let start = start % len.max(1);
        // Bound: as many as there are.
        (start..len).chain(0..start).filter_map(move |at| Some((at, self.cell(at)?)))
    }

    /// Takes a free permit for `me`; `None` if at one moment there was none.
    #[inline]
    pub(crate) fn take(self, me: Owner) -> Option<usize> {
        self.find(me.slot() as usize, Cell::says_free, me.bits())
    }

    /// Puts a permit there that was absent.
    pub(crate) fn give(self, wake: impl Fn(&AtomicU32, u32) -> usize) -> Result<(), AllThere> {
        // The first cell that is absent becomes free, which is the other of its two states.
        loop {
            let moves = self.moves();
            for (_, cell) in self.cells_from(0) {
                // Relaxed: the exchange decides.
                let word = cell.word.load(Ordering::Relaxed);
                // Release: pairs with the Acquire in `find`: what the giver did is seen by whom it lets go on.
                if cell.says_absent(word)
                    && cell.word.compare_exchange(word, cell.free, Ordering::Release, Ordering::Relaxed).is_ok()
                {
                    wharf_sys::crash_point!("semaphore.give.given");
                    self.moved();
                    self.sleepers.wake_one(wake);
                    return Ok(());
                }
            }
            // Bound: a turn more only because another process freed or took away a permit meanwhile.
            if self.moves() == moves {
                return Err(AllThere);
            }
        }
    }

    /// Exchanges the first cell that `fits` for one that says `mine`.
    fn find(self, start: usize, fits: impl Fn(Cell<'a>, u32) -> bool, mine: u32) -> Option<usize> {
        // Bound: a turn more only because another process freed or took away a permit meanwhile.
        loop {
            let moves = self.moves();
            for (at, cell) in self.cells_from(start) {
                // Relaxed: the exchange decides.
                let word = cell.word.load(Ordering::Relaxed);
                // Acquire: pairs with the Release of `give_back` and `give`. Release: pairs with the Acquire in
                // `take_from_dead`, so that who reads our name there also sees our slot say so.
                if fits(cell, word)
                    && cell.word.compare_exchange(word, mine, Ordering::AcqRel, Ordering::Relaxed).is_ok()
                {
                    return Some(at);
                }
            }
            if self.moves() == moves {
                return None;
            }
        }
    }

    fn moves(self) -> u32 {
        // Acquire fence: the loads of the cells before this come before it. Acquire load: those after it come after it.
        fence(Ordering::Acquire);
        self.moves.load(Ordering::Acquire)
    }

    fn moved(self) {
        // Release: pairs with the Acquire in `moves`: who sees it sees the cell that moved. A death before it leaves a cell
        // that moved unseen by those who were looking just then, as if it had moved a little later.
        self.moves.fetch_add(1, Ordering::Release);
    }

    /// Takes a permit whose owner is proved dead.
    pub(crate) fn take_from_dead(self, me: Owner, mut is_dead: impl FnMut(Owner) -> bool) -> Option<usize> {
        let mut alive = None;
        for (at, cell) in self.cells_from(me.slot() as usize) {
            // Acquire: pairs with the Release of the exchange that took the permit. Its owner had entered its generation
            // into its slot before; without this we could read its name here, an older generation there, and take a
            // newcomer for dead.
            let word = cell.word.load(Ordering::Acquire);
            let Some(owner) = Owner::in_word(word) else { continue };
            // Permits of one owner often lie side by side.
            if alive == Some(owner) {
                continue;
            }
            if !is_dead(owner) {
                alive = Some(owner);
                continue;
            }
            wharf_sys::crash_point!("semaphore.reclaim.before");
            // The exchange names the dead one's slot *and* generation, so it can never hit a newcomer. Ordering as in
            // `find`; the dead one's stores are visible because the kernel ended it before it told us so.
            if cell.word.compare_exchange(word, me.bits(), Ordering::AcqRel, Ordering::Relaxed).is_ok() {
                wharf_sys::crash_point!("semaphore.reclaim.after");
                return Some(at);
            }
        }
        None
    }

    /// Takes a permit, waiting while there is none; `None` when time is up. Says whether its last owner died with it.
    pub(crate) fn wait(self, me: Owner, around: &impl Surroundings) -> Option<(usize, bool)> {
        self.sleepers.wait(around, |slept| {
            if let Some(at) = self.take(me) {
                return Some((at, false));
            }
            let asks = slept != Slept::Woken;
            let is_dead = |owner| around.has_left(owner) || asks && around.is_dead(owner);
            self.take_from_dead(me, is_dead).map(|at| (at, true))
        })
    }

    /// Makes the permit in cell `at`, which `me` owns, free for anybody.
    pub(crate) fn give_back(self, at: usize, me: Owner, wake: impl Fn(&AtomicU32, u32) -> usize) {
        wharf_sys::crash_point!("semaphore.release.before");
        if self.end(at, me, |cell| cell.free) {
            wharf_sys::crash_point!("semaphore.release.after");
            self.moved();
            self.sleepers.wake_one(wake);
        }
    }

    /// Takes the permit in cell `at`, which `me` owns, out of the semaphore.
    pub(crate) fn forget(self, at: usize, me: Owner) {
        if self.end(at, me, |cell| cell.absent) {
            wharf_sys::crash_point!("semaphore.forget.after");
            self.moved();
        }
    }

    fn end(self, at: usize, me: Owner, state: impl FnOnce(Cell<'_>) -> u32) -> bool {
        let Some(cell) = self.cell(at) else { return false };
        // Release: pairs with the Acquire of whoever takes it next. It fails only if the permit is not ours any more: others
        // took us for gone, because this attachment was given up.
        cell.word.compare_exchange(me.bits(), state(cell), Ordering::Release, Ordering::Relaxed).is_ok()
    }

    /// How many permits are free at this moment.
    pub(crate) fn free(self) -> usize {
        // Relaxed: a report, out of date as soon as it is made.
        self.cells_from(0).filter(|(_, cell)| cell.says_free(cell.word.load(Ordering::Relaxed))).count()
    }
}
