//! Which requests of one client are being worked on, and which of them their caller has given up.

use std::sync::Weak;
use std::sync::atomic::Ordering;

use super::{Outbox, State};

/// The most requests that are given up before they are received; of more the oldest are not known.
const MOST_EARLY: usize = crate::pattern::service::calls::MOST_CALLS;

/// The most requests of one client that are worked on at once; more are refused.
pub(in crate::pattern::service) const MOST_OPEN: usize = crate::pattern::service::calls::MOST_CALLS;

/// No request: their numbers begin at 1.
pub(super) const NOBODY: u64 = 0;

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::pattern::service) enum Begun {
    /// It is open.
    Yes,
    /// It is not: others are.
    TooMany,
    /// It is not: nothing can be said to its client.
    Over,
}

impl Outbox {
    /// Notes a request as begun, unless too many are open. For whoever receives requests alone.
    #[inline(always)]
    pub(in crate::pattern::service) fn begin(&self, id: u64) -> Begun {
        // Relaxed, all three: who answers a request was given it by this thread, and whoever else looks holds the lock and makes
        // do with what was there before (see the struct).
        if self.ended.load(Ordering::Relaxed) {
            return Begun::Over;
        }
        if self.seat.load(Ordering::Relaxed) == NOBODY {
            self.seat.store(id, Ordering::Relaxed);
            return Begun::Yes;
        }
        self.begin_beside(id)
    }

    #[inline(never)]
    fn begin_beside(&self, id: u64) -> Begun {
        let mut state = self.state();
        self.catch_up(&mut state);
        let cancelled = state.early.contains(&id);
        state.last = id;
        state.early.retain(|early| *early > id);
        if state.open.len() + 1 >= MOST_OPEN {
            return Begun::TooMany;
        }
        state.open.push((id, cancelled));
        Begun::Yes
    }

    /// Brings together the request in the seat and words that have overtaken it.
    #[inline(always)]
    pub(super) fn catch_up(&self, state: &mut State) {
        if !state.early.is_empty() {
            self.catch_up_with_early(state);
        }
    }

    #[cold]
    #[inline(never)]
    fn catch_up_with_early(&self, state: &mut State) {
        let seated = self.seat.load(Ordering::Relaxed);
        state.seat_cancelled |= seated != NOBODY && state.early.contains(&seated);
        let last = state.last.max(seated);
        state.early.retain(|early| *early > last);
    }

    /// A request is not worked on any more; whether its caller had given it up.
    #[inline]
    pub(super) fn release(&self, state: &mut State, id: u64) -> bool {
        self.catch_up(state);
        if self.seat.load(Ordering::Relaxed) == id {
            state.last = state.last.max(id);
            let cancelled = std::mem::take(&mut state.seat_cancelled);
            // Relaxed: the next that sits down there touches nothing but this word without the lock.
            self.seat.store(NOBODY, Ordering::Relaxed);
            return cancelled;
        }
        let at = state.open.iter().position(|(it, _)| *it == id);
        at.is_some_and(|at| state.open.swap_remove(at).1)
    }

    /// The caller has given this request up.
    pub(in crate::pattern::service) fn cancel(&self, id: u64) {
        let mut state = self.state();
        self.catch_up(&mut state);
        let seated = self.seat.load(Ordering::Relaxed);
        if seated == id && id != NOBODY {
            state.seat_cancelled = true;
        } else if let Some((_, cancelled)) = state.open.iter_mut().find(|(it, _)| *it == id) {
            *cancelled = true;
        } else if id > state.last.max(seated) {
            if state.early.len() == MOST_EARLY {
                state.early.remove(0);
            }
            state.early.push(id);
        } else {
            return;
        }
        // Whoever streams to it waits no longer.
        self.drained.notify_all();
    }

    /// This request is not worked on any more, and nobody waits for a word of it.
    pub(in crate::pattern::service) fn forget(&self, id: u64) {
        if self.check_ours().is_ok() {
            self.release(&mut self.state(), id);
        }
    }

    /// Whether nobody waits for the answer to this request.
    pub(in crate::pattern::service) fn is_cancelled(&self, id: u64) -> bool {
        if self.check_ours().is_err() {
            return true;
        }
        if let Some(intake) = self.intake.get().and_then(Weak::upgrade) {
            intake.look_ahead(self);
        }
        let mut state = self.state();
        self.catch_up(&mut state);
        let in_seat = state.seat_cancelled && self.seat.load(Ordering::Relaxed) == id;
        state.over.is_some() || in_seat || state.open.iter().any(|(it, cancelled)| *it == id && *cancelled)
    }
}
