//! The thread that moves a pusher's items while the program is elsewhere.
//!
//! A program that is in the pusher's calls moves the items itself, and the thread stays away: it looks once a millisecond
//! whether that is still so, and sleeps until the end of a call that lasts. Only when no call has come for so long, and
//! something is not done, it goes in and sleeps there for pullers; the next call asks it out. When everything is done it sleeps
//! until something is pushed; at an address it goes on to let pullers in.
//!
//! So what they share belongs to the program, which comes and goes with plain stores, and the thread is its visitor
//! ([`biased`]). As a clock that costs the program nothing the thread says when a millisecond has gone by.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle, Thread};
use std::time::Duration;

use wharf_shared_memory::biased::{Entered, Owner, Visitor, biased};
use wharf_sys::fork;

use super::host::News;
use super::outlet::Outlet;
use crate::error::SendError;
use crate::pattern::private_link::Hub;

/// The program is elsewhere when it has called nothing for so long.
const AWAY: Duration = Duration::from_millis(1);

/// Looks after which a call of the program is one that lasts.
const LOOKS_AT_A_CALL: u32 = 10;

/// What a program and its mover share, beside what is moved.
struct Shared {
    hub: Arc<Hub<News>>,
    /// Calls that the program has begun. Written by whoever has the owner.
    calls: AtomicU64,
    /// One of them waits until the mover is outside. It counts as begun long before it comes in, so the count alone would not keep
    /// the mover from going in again before it, and sleeping there.
    waits: AtomicBool,
    /// A millisecond has gone by in which the program has called.
    late: AtomicBool,
    /// Everything is done, and the mover sleeps until it is woken.
    parked: AtomicBool,
    over: AtomicBool,
    /// Held by calls that last.
    lasting: Arc<Mutex<()>>,
    epoch: u32,
}

/// See the top of the file.
pub(super) struct Mover {
    /// The lock is for those who only look, and need nothing exclusively.
    outlet: Mutex<Owner<Outlet>>,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    unpark: Thread,
}

impl Mover {
    pub(super) fn start(outlet: Outlet, hub: Arc<Hub<News>>) -> io::Result<Mover> {
        let shared = Arc::new(Shared {
            hub,
            calls: AtomicU64::new(0),
            waits: AtomicBool::new(false),
            late: AtomicBool::new(false),
            parked: AtomicBool::new(false),
            over: AtomicBool::new(false),
            lasting: Arc::clone(&outlet.lasting),
            epoch: fork::epoch(),
        });
        let (owner, visitor) = biased(outlet);
        let its = Arc::clone(&shared);
        let thread = thread::Builder::new().name("wharf-queue".to_owned()).spawn(move || its.run(&visitor))?;
        let unpark = thread.thread().clone();
        Ok(Mover { outlet: Mutex::new(owner), shared, thread: Some(thread), unpark })
    }

    /// The program comes in; the mover, if it is inside, goes out.
    #[inline]
    pub(super) fn enter(&mut self) -> Result<Entered<'_, Outlet>, SendError> {
        let outlet = self.outlet.get_mut().unwrap_or_else(PoisonError::into_inner);
        self.shared.enter(outlet, &self.unpark)
    }

    /// Comes in to look; `None` in a forked child.
    pub(super) fn look<R>(&self, look: impl FnOnce(&Outlet) -> R) -> Option<R> {
        // In a forked child the lock may be held for ever.
        self.shared.check_ours().ok()?;
        let mut outlet = self.outlet.lock().unwrap_or_else(PoisonError::into_inner);
        self.shared.enter(&mut outlet, &self.unpark).ok().map(|outlet| look(&outlet))
    }

    /// Whether a millisecond has gone by since that was asked last, more or less, in which the program has called.
    #[inline]
    pub(super) fn is_late(&self) -> bool {
        // Relaxed: an hour struck, and nothing more.
        let late = self.shared.late.load(Ordering::Relaxed);
        if late {
            self.shared.late.store(false, Ordering::Relaxed);
        }
        late
    }
}

impl Drop for Mover {
    fn drop(&mut self) {
        let thread = self.thread.take();
        if self.shared.check_ours().is_err() {
            // What is not there cannot be waited for.
            std::mem::forget(thread);
            return;
        }
        self.shared.over.store(true, Ordering::SeqCst);
        self.shared.hub.wake();
        self.unpark.unpark();
        if let Some(thread) = thread {
            // It does not panic.
            let _ = thread.join();
        }
    }
}

impl Shared {
    #[inline]
    fn check_ours(&self) -> Result<(), SendError> {
        // In a forked child there is no mover.
        if self.epoch == fork::epoch() { Ok(()) } else { Err(SendError::Forked) }
    }

    #[inline]
    fn enter<'a>(&self, outlet: &'a mut Owner<Outlet>, mover: &Thread) -> Result<Entered<'a, Outlet>, SendError> {
        self.check_ours()?;
        // Relaxed, a load and a store: nobody else writes it. The way in orders it before the look at `parked`.
        self.calls.store(self.calls.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
        let entered = outlet.enter_after(|| self.ask_out());
        // Relaxed, both: hints to the mover, which looks again in any case. Of its parking and our call one is seen by the other
        // (see `run`).
        if self.waits.load(Ordering::Relaxed) {
            self.waits.store(false, Ordering::Relaxed);
        }
        if self.parked.load(Ordering::Relaxed) {
            self.wake(mover);
        }
        Ok(entered)
    }

    #[cold]
    fn wake(&self, mover: &Thread) {
        // Of several calls one wakes it.
        if self.parked.swap(false, Ordering::SeqCst) {
            mover.unpark();
        }
    }

    #[cold]
    fn ask_out(&self) {
        // SeqCst, before the ring: the mover looks here each time that it was rung, and before it sleeps.
        self.waits.store(true, Ordering::SeqCst);
        self.hub.wake();
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::SeqCst)
    }

    /// The program has called nothing since then, and does not wait to come in.
    fn is_away_since(&self, calls: u64) -> bool {
        !self.waits.load(Ordering::SeqCst) && self.calls.load(Ordering::SeqCst) == calls
    }

    /// Ends with the pusher.
    fn run(&self, outlet: &Visitor<Outlet>) {
        let (mut seen, mut looks) = (0, 0);
        while !self.is_over() {
            thread::park_timeout(AWAY);
            let calls = self.calls.load(Ordering::SeqCst);
            if calls != seen {
                (seen, looks) = (calls, 0);
                self.late.store(true, Ordering::Relaxed);
                continue;
            }
            match outlet.try_visit(|outlet| self.move_items(outlet, calls)) {
                Ok(Some(true)) => self.park(outlet, seen),
                Ok(Some(false)) => {}
                // The program is in a call that waits, and moves them itself. Where the system has taken the barrier back that it
                // has promised, nobody else may.
                Ok(None) | Err(_) if looks >= LOOKS_AT_A_CALL => {
                    drop(self.lasting.lock().unwrap_or_else(PoisonError::into_inner));
                }
                Ok(None) | Err(_) => {}
            }
            looks += 1;
        }
    }

    /// Sleeps until the program calls.
    fn park(&self, outlet: &Visitor<Outlet>, seen: u64) {
        // Relaxed, here and in `enter`: the program says that it calls, comes in and looks here; we say that we park, order it,
        // and look whether it has called. One of the two sees the other.
        self.parked.store(true, Ordering::Relaxed);
        let ordered = outlet.order().is_ok();
        while self.parked.load(Ordering::Relaxed) && self.calls.load(Ordering::Relaxed) == seen && !self.is_over() {
            match ordered {
                true => thread::park(),
                false => thread::park_timeout(AWAY),
            }
        }
        self.parked.store(false, Ordering::Relaxed);
    }

    /// Moves items until the program calls, or everything is done: then `true`.
    fn move_items(&self, outlet: &mut Outlet, calls: u64) -> bool {
        // Each round sleeps until something happens.
        while !self.is_over() && self.is_away_since(calls) {
            outlet.tend();
            if outlet.may_rest() {
                return true;
            }
            // Whoever calls from here on rings, so that the sleep ends.
            if !self.is_away_since(calls) || outlet.sleep(None).is_err() {
                return false;
            }
        }
        false
    }
}
