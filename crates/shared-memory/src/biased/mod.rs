//! A value that one thread uses all the time and others visit now and then, at the visitors' cost.
//!
//! A publisher writes its log millions of times a second; the thread that admits and dismisses its subscribers touches
//! it a few times in its life. A mutex would cost the publisher two locked instructions a message. Here the owner's way
//! in and out is two plain stores and a load, and whoever visits pays for the order with a barrier on every processor
//! that runs this process (membarrier(2)): the idea of biased locks (Kawachiya, Koseki, Onodera, OOPSLA 2002) with
//! their asymmetric fence.
//!
//! *Owner*: say that it is inside, then look whether a visitor wants in. *Visitor*: say that it wants in, then look
//! whether the owner is inside. One of the two sees the other, because the visitor's barrier stands between its two
//! steps on the owner's processor as well. Where the system offers no such barrier, both fence.
//!
//! * The owner must not sleep while it is inside, for a visitor waits as long as it is. An owner that is not inside,
//!   whatever else it does, delays nobody.
//! * Visitors are one at a time. While one is inside, the owner waits; one that stays for longer is asked out before
//!   ([`Owner::enter_after`]).
#![allow(unsafe_code)]

mod counted;
mod leaning;
#[cfg(all(test, loom))]
mod model;

pub use self::counted::Counted;
pub use self::leaning::{Inside, Leaning};

use std::io;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, PoisonError, TryLockError};

use crate::atomic::{AtomicBool, Mutex, Ordering, UnsafeCell, compiler_fence, fence, spin_loop, yield_now};

/// Looks that a visitor takes with pauses before it lets others run: about a microsecond, as long as a message takes.
const LOOKS_WITH_PAUSE: u32 = 64;

/// Looks that a visitor takes before it naps between them: the owner's thread may need this processor.
#[cfg(not(loom))]
const LOOKS_BEFORE_NAPS: u32 = 256;

/// The nap between two looks: next to nothing beside a message that takes longer than all the looks before.
#[cfg(not(loom))]
const NAP: std::time::Duration = std::time::Duration::from_micros(50);

/// The owner's hold on the value.
#[derive(Debug)]
pub struct Owner<T> {
    cell: Arc<Cell<T>>,
}

/// A hold on the value for those who visit it; cheap to clone.
#[derive(Debug)]
pub struct Visitor<T> {
    cell: Arc<Cell<T>>,
}

impl<T> Clone for Visitor<T> {
    fn clone(&self) -> Self {
        Visitor { cell: Arc::clone(&self.cell) }
    }
}

#[derive(Debug)]
#[repr(align(64))]
struct Cell<T> {
    /// Written by the owner only.
    inside: AtomicBool,
    /// Written by whoever holds `turn` only.
    wanted: AtomicBool,
    /// Visitors run the barrier; otherwise both sides fence.
    asymmetric: bool,
    value: UnsafeCell<T>,
    /// Between visitors, and what the owner waits for while one is inside.
    turn: Mutex<()>,
}

// SAFETY: the value is reached by one thread at a time (see `Owner::enter` and `Visitor::visit`), which may be any: so it
// must be `Send`, and nothing more. Everything else is atomics and a mutex.
unsafe impl<T: Send> Sync for Cell<T> {}

/// Makes a value with one owner and any number of visitors.
pub fn biased<T>(value: T) -> (Owner<T>, Visitor<T>) {
    cell(value, wharf_sys::barrier::register_private())
}

fn cell<T>(value: T, asymmetric: bool) -> (Owner<T>, Visitor<T>) {
    let cell = Arc::new(Cell {
        inside: AtomicBool::new(false),
        wanted: AtomicBool::new(false),
        asymmetric,
        value: UnsafeCell::new(value),
        turn: Mutex::new(()),
    });
    (Owner { cell: Arc::clone(&cell) }, Visitor { cell })
}

impl<T> Owner<T> {
    /// Works on the value. Must not sleep meanwhile, nor visit the same value.
    #[inline(always)]
    pub fn with<R>(&mut self, work: impl FnOnce(&mut T) -> R) -> R {
        let entered = self.enter();
        entered.cell.value.with_mut(|value| {
            // SAFETY: as in `Entered::deref_mut`, and `entered` is not used meanwhile.
            work(unsafe { &mut *value })
        })
    }

    /// Goes in, until what this returns is dropped. [`with`](Self::with) for work that must be part of its caller's code: a
    /// closure is that at the compiler's pleasure.
    #[inline(always)]
    pub fn enter(&mut self) -> Entered<'_, T> {
        self.enter_after(|| ())
    }

    /// The same with visitors who stay, and sleep, until they are asked out: where one wants in or is inside, `ask` is called
    /// before it is waited for. It is called from outside, and what it leaves for the visitor is there when that one comes out.
    #[inline(always)]
    pub fn enter_after(&mut self, ask: impl FnOnce()) -> Entered<'_, T> {
        let cell = &*self.cell;
        // Relaxed: the fence orders it before the look at `wanted`.
        cell.inside.store(true, Ordering::Relaxed);
        if cell.asymmetric {
            // The visitor's barrier orders the two on our processor; only the compiler must keep them so.
            compiler_fence(Ordering::SeqCst);
        } else {
            // Pairs with the fence in `Cell::order`.
            fence(Ordering::SeqCst);
        }
        // Acquire pairs with the release in `Wanting::drop`: what the visitor before did is done.
        if cell.wanted.load(Ordering::Acquire) {
            cell.enter_after_visitor(ask);
        }
        Entered { cell, _owner: PhantomData }
    }

    /// Another hold for visitors.
    pub fn visitor(&self) -> Visitor<T> {
        Visitor { cell: Arc::clone(&self.cell) }
    }
}

impl<T> Visitor<T> {
    /// Works on the value when the owner is not inside. Must not sleep meanwhile, for the owner waits.
    ///
    /// # Errors
    /// What the system says when it refuses the barrier that it has promised (a system-call filter installed later):
    /// then nobody but the owner can use the value, and nothing was done.
    pub fn visit<R>(&self, work: impl FnOnce(&mut T) -> R) -> io::Result<R> {
        let cell = &*self.cell;
        // A visitor that panicked has left the value as valid as any `&mut` does.
        let _turn = cell.turn.lock().unwrap_or_else(PoisonError::into_inner);
        // Relaxed: the barrier orders it before the look at `inside`. It falls before `_turn`.
        cell.wanted.store(true, Ordering::Relaxed);
        let _wanting = Wanting(&cell.wanted);
        cell.order()?;
        let mut looks = 0;
        // Bound: the owner does not sleep inside. Acquire pairs with the release in `Entered::drop`: what the owner did
        // inside is done.
        while cell.inside.load(Ordering::Acquire) {
            pause(looks);
            looks += 1;
        }
        Ok(cell.value.with_mut(|value| {
            // SAFETY: no other visitor, for this one has the turn. Not the owner: it was seen outside after `wanted` was
            // said and the barrier was through, so when it comes in again it sees `wanted` and waits for the turn.
            work(unsafe { &mut *value })
        }))
    }

    /// The same, unless the owner is inside, or about to be: then `None`, at once. One who is inside may sleep if the owner
    /// asks it out before it comes in itself ([`Owner::enter_after`]).
    ///
    /// # Errors
    /// As [`visit`](Self::visit).
    pub fn try_visit<R>(&self, work: impl FnOnce(&mut T) -> R) -> io::Result<Option<R>> {
        let cell = &*self.cell;
        let _turn = match cell.turn.try_lock() {
            Ok(turn) => turn,
            // As in `visit`.
            Err(TryLockError::Poisoned(turn)) => turn.into_inner(),
            Err(TryLockError::WouldBlock) => return Ok(None),
        };
        // Orderings: as in `visit`.
        cell.wanted.store(true, Ordering::Relaxed);
        let _wanting = Wanting(&cell.wanted);
        cell.order()?;
        if cell.inside.load(Ordering::Acquire) {
            return Ok(None);
        }
        Ok(Some(cell.value.with_mut(|value| {
            // SAFETY: as in `visit`: this one has the turn, and the owner, which was outside after `wanted` was said and the
            // barrier was through, waits for it.
            work(unsafe { &mut *value })
        })))
    }

    /// Orders what this thread has stored before what it loads next, with regard to an owner that stores before it comes in
    /// and loads what it comes for when it is in: one of the two sees what the other has stored.
    ///
    /// # Errors
    /// As [`visit`](Self::visit): then nothing is ordered.
    pub fn order(&self) -> io::Result<()> {
        self.cell.order()
    }
}

impl<T> Cell<T> {
    /// The owner's way in when a visitor wants in or is inside.
    #[cold]
    #[inline(never)]
    fn enter_after_visitor(&self, ask: impl FnOnce()) {
        // Release, although nothing was done inside: a visitor that sees this store and not the one in `Entered::drop` must
        // see what was done before that one too. (Where both sides fence, the fence before `wanted` was looked at says so as
        // well, which is why the model cannot tell.)
        self.inside.store(false, Ordering::Release);
        ask();
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        // Whoever wants in says so while it has the turn, and takes it back before it gives the turn away: so nobody
        // wants in now, and whoever takes the turn after us sees us inside. Relaxed: the turn orders it.
        self.inside.store(true, Ordering::Relaxed);
    }

    fn order(&self) -> io::Result<()> {
        order(self.asymmetric)
    }
}

/// The owner is inside; dropped, also by a panic, when it is not any more.
///
/// It must not be forgotten, for then visitors wait for ever.
#[derive(Debug)]
pub struct Entered<'a, T> {
    cell: &'a Cell<T>,
    /// It borrows the owner exclusively, and stays in its thread.
    _owner: PhantomData<*mut T>,
}

impl<T> Deref for Entered<'_, T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        // SAFETY: as in `deref_mut`.
        self.cell.value.with(|value| unsafe { &*value })
    }
}

impl<T> DerefMut for Entered<'_, T> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: no other owner, for it is borrowed exclusively as long as `self` lives. No visitor: it uses the value only
        // after it has said so and then seen the owner outside, and while it does, the owner sees `wanted` and waits.
        self.cell.value.with_mut(|value| unsafe { &mut *value })
    }
}

impl<T> Drop for Entered<'_, T> {
    #[inline(always)]
    fn drop(&mut self) {
        // Release pairs with the visitor's acquire load: our work is done.
        self.cell.inside.store(false, Ordering::Release);
    }
}

/// A visitor wants in, or is inside; dropped when it is not any more.
struct Wanting<'a>(&'a AtomicBool);

impl Drop for Wanting<'_> {
    fn drop(&mut self) {
        // Release pairs with the owner's acquire load: our work is done.
        self.0.store(false, Ordering::Release);
    }
}

/// The visitor's half of the order.
fn order(asymmetric: bool) -> io::Result<()> {
    if asymmetric {
        wharf_sys::barrier::private_expedited()?;
    }
    // Pairs with the fence in `Owner::enter`, or is what the barrier leaves to the compiler.
    fence(Ordering::SeqCst);
    Ok(())
}

fn pause(looks: u32) {
    if looks < LOOKS_WITH_PAUSE {
        spin_loop();
        return;
    }
    #[cfg(not(loom))]
    if looks >= LOOKS_BEFORE_NAPS {
        std::thread::sleep(NAP);
        return;
    }
    yield_now();
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::thread;

    /// Two words that are equal whenever nobody is inside.
    pub(super) fn add(value: &mut (u64, u64)) {
        assert_eq!(value.0, value.1);
        value.0 = std::hint::black_box(value.0) + 1;
        value.1 = std::hint::black_box(value.1) + 1;
    }

    #[test]
    fn owner_and_visitors_never_meet_with_and_without_the_barrier() {
        for asymmetric in [wharf_sys::barrier::register_private(), false] {
            let (mut owner, visitor) = cell((0, 0), asymmetric);
            thread::scope(|scope| {
                let visits: Vec<_> = (0..2)
                    .map(|_| {
                        let visitor = visitor.clone();
                        scope.spawn(move || (0..500).for_each(|_| visitor.visit(add).unwrap()))
                    })
                    .collect();
                let mut works = 0_u64;
                while works < 100_000 || visits.iter().any(|visit| !visit.is_finished()) {
                    owner.with(add);
                    works += 1;
                }
                assert_eq!(owner.with(|value| *value), (works + 1000, works + 1000));
            });
        }
    }

    #[test]
    fn who_stays_inside_is_asked_out_and_who_only_tries_does_not_wait() {
        for asymmetric in [wharf_sys::barrier::register_private(), false] {
            let (mut owner, visitor) = cell(0_u64, asymmetric);
            let entered = owner.enter();
            assert_eq!(visitor.try_visit(|value| *value).unwrap(), None);
            drop(entered);
            // One that stays until it is asked out, and comes back as long as it may.
            let (asked, over) = (std::sync::atomic::AtomicBool::new(false), std::sync::atomic::AtomicBool::new(false));
            let stay = |value: &mut u64| {
                *value += 1;
                while !asked.load(Ordering::SeqCst) {
                    thread::yield_now();
                }
            };
            thread::scope(|scope| {
                let visits = scope.spawn(|| {
                    let mut visits = 0;
                    while !over.load(Ordering::SeqCst) {
                        visits += u64::from(visitor.try_visit(stay).unwrap().is_some());
                    }
                    visits
                });
                let mut before = 0;
                for _ in 0..20 {
                    asked.store(false, Ordering::SeqCst);
                    while *owner.enter_after(|| asked.store(true, Ordering::SeqCst)) == before {}
                    before = *owner.enter_after(|| asked.store(true, Ordering::SeqCst));
                }
                over.store(true, Ordering::SeqCst);
                asked.store(true, Ordering::SeqCst);
                let visits = visits.join().unwrap();
                assert!(visits >= 20 && *owner.enter() == visits);
            });
        }
    }

    #[test]
    fn an_idle_owner_keeps_nobody_out_and_a_panic_lets_the_other_in() {
        let (mut owner, visitor) = biased(7);
        assert_eq!(visitor.visit(|value| *value).unwrap(), 7);
        let inside = |_: &mut i32| std::panic::resume_unwind(Box::new("inside"));
        let work = std::panic::AssertUnwindSafe(|| owner.with(inside));
        assert!(std::panic::catch_unwind(work).is_err());
        assert!(visitor.visit(|value| *value = 8).is_ok());
        let work = std::panic::AssertUnwindSafe(|| visitor.visit(inside));
        assert!(std::panic::catch_unwind(work).is_err());
        assert_eq!((owner.with(|value| *value), visitor.visit(|value| *value).unwrap()), (8, 8));
    }
}
