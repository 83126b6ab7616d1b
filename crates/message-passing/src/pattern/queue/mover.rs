//! The thread that moves a pusher's items while the program is elsewhere.
//!
//! A program that is in the pusher's calls moves the items itself, and the thread stays away: it looks once a millisecond
//! whether that is still so, and sleeps until the end of a call that lasts. Only when no call has come for so long, and
//! something is not done, it goes in and sleeps there for pullers; the next call asks it out. When everything is done it sleeps
//! until something is pushed; at an address it goes on to let pullers in.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread::{self, JoinHandle, Thread};
use std::time::Duration;

use wharf_sys::fork;

use super::host::News;
use super::outlet::Outlet;
use crate::error::SendError;
use crate::pattern::private_link::Hub;

/// The program is elsewhere when it has called nothing for so long.
const AWAY: Duration = Duration::from_millis(1);

/// Looks after which a call of the program is one that lasts.
const LOOKS_AT_A_CALL: u32 = 10;

/// What a program and its mover share.
pub(super) struct Shared {
    outlet: Mutex<Outlet>,
    hub: Arc<Hub<News>>,
    /// Calls that the program has begun.
    calls: AtomicU64,
    /// One of them waits until the mover is outside. It counts as begun long before it comes in, so the count alone would not keep
    /// the mover from going in again before it, and sleeping there.
    waits: AtomicBool,
    /// Everything is done, and the mover sleeps until it is woken.
    parked: AtomicBool,
    over: AtomicBool,
    epoch: u32,
}

/// See the top of the file.
pub(super) struct Mover {
    pub(super) shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    unpark: Thread,
}

impl Mover {
    pub(super) fn start(outlet: Outlet, hub: Arc<Hub<News>>) -> io::Result<Mover> {
        let shared = Arc::new(Shared {
            outlet: Mutex::new(outlet),
            hub,
            calls: AtomicU64::new(0),
            waits: AtomicBool::new(false),
            parked: AtomicBool::new(false),
            over: AtomicBool::new(false),
            epoch: fork::epoch(),
        });
        let its = Arc::clone(&shared);
        let thread = thread::Builder::new().name("wharf-queue".to_owned()).spawn(move || its.run())?;
        let unpark = thread.thread().clone();
        Ok(Mover { shared, thread: Some(thread), unpark })
    }

    /// The program comes in; the mover, if it is inside, goes out.
    #[inline]
    pub(super) fn enter(&self) -> Result<MutexGuard<'_, Outlet>, SendError> {
        let shared = &*self.shared;
        // In a forked child there is no mover, and the lock may be held for ever.
        if shared.epoch != fork::epoch() {
            return Err(SendError::Forked);
        }
        // SeqCst, with the mover's own steps: either it sees this call before it parks, or this call sees that it has parked.
        shared.calls.fetch_add(1, Ordering::SeqCst);
        if shared.parked.load(Ordering::SeqCst) && shared.parked.swap(false, Ordering::SeqCst) {
            self.unpark.unpark();
        }
        match shared.outlet.try_lock() {
            Ok(outlet) => Ok(outlet),
            Err(TryLockError::Poisoned(outlet)) => Ok(outlet.into_inner()),
            Err(TryLockError::WouldBlock) => Ok(shared.ask_out()),
        }
    }
}

impl Drop for Mover {
    fn drop(&mut self) {
        let thread = self.thread.take();
        if self.shared.epoch != fork::epoch() {
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
    #[cold]
    fn ask_out(&self) -> MutexGuard<'_, Outlet> {
        // SeqCst, before the ring: the mover looks here each time that it was rung, and before it sleeps.
        self.waits.store(true, Ordering::SeqCst);
        self.hub.wake();
        let outlet = self.outlet.lock().unwrap_or_else(PoisonError::into_inner);
        self.waits.store(false, Ordering::SeqCst);
        outlet
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::SeqCst)
    }

    /// The program has called nothing since then, and does not wait to come in.
    fn is_away_since(&self, calls: u64) -> bool {
        !self.waits.load(Ordering::SeqCst) && self.calls.load(Ordering::SeqCst) == calls
    }

    /// Ends with the pusher.
    fn run(&self) {
        let (mut seen, mut looks) = (0, 0);
        while !self.is_over() {
            thread::park_timeout(AWAY);
            let calls = self.calls.load(Ordering::SeqCst);
            if calls != seen {
                (seen, looks) = (calls, 0);
                continue;
            }
            let entered = match self.outlet.try_lock() {
                // The program is in a call that waits, and moves them itself. Whoever ends that one wakes who waits for it here.
                Err(TryLockError::WouldBlock) if looks >= LOOKS_AT_A_CALL => self.outlet.lock().ok(),
                tried => tried.ok(),
            };
            looks += 1;
            let all_done = entered.is_some_and(|mut outlet| self.move_items(&mut outlet, calls));
            if all_done {
                self.parked.store(true, Ordering::SeqCst);
                while self.parked.load(Ordering::SeqCst) && self.calls.load(Ordering::SeqCst) == seen && !self.is_over()
                {
                    thread::park();
                }
                self.parked.store(false, Ordering::SeqCst);
            }
        }
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
