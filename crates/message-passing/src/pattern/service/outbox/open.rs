//! Which requests of one client are being worked on, and which of them their caller has given up.

use std::sync::Weak;
use std::sync::atomic::Ordering;

use super::{Front, Outbox, State};

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
        let Some(front) = self.whole.shared() else { return Begun::Over };
        if front.ended.load(Ordering::Relaxed) {
            return Begun::Over;
        }
        if front.seat.load(Ordering::Relaxed) == NOBODY {
            front.seat.store(id, Ordering::Relaxed);
            return Begun::Yes;
        }
        self.begin_beside(front, id)
    }

    #[inline(never)]
    fn begin_beside(&self, front: &Front, id: u64) -> Begun {
        let Ok(mut state) = self.state() else { return Begun::Over };
        state.catch_up(front);
        let cancelled = state.early.contains(&id);
        state.last = id;
        state.early.retain(|early| *early > id);
        if state.open.len() + 1 >= MOST_OPEN {
            return Begun::TooMany;
        }
        state.open.push((id, cancelled));
        Begun::Yes
    }
}

impl State {
    /// Brings together the request in the seat and words that have overtaken it.
    #[inline(always)]
    fn catch_up(&mut self, front: &Front) {
        if !self.early.is_empty() {
            self.catch_up_with_early(front);
        }
    }

    #[cold]
    #[inline(never)]
    fn catch_up_with_early(&mut self, front: &Front) {
        let seated = front.seat.load(Ordering::Relaxed);
        self.seat_cancelled |= seated != NOBODY && self.early.contains(&seated);
        let last = self.last.max(seated);
        self.early.retain(|early| *early > last);
    }

    /// Whether the request sits in the seat, and nobody has given it up: nor any of which that was heard early, which it might be.
    #[inline(always)]
    pub(super) fn sits_undisturbed(&self, front: &Front, id: u64) -> bool {
        front.seat.load(Ordering::Relaxed) == id && !self.seat_cancelled && self.early.is_empty()
    }

    /// The request in the seat is not worked on any more.
    #[inline(always)]
    pub(super) fn leave_seat(&mut self, front: &Front, id: u64) {
        if self.last < id {
            self.last = id;
        }
        // Relaxed: the next that sits down there touches nothing but this word without the lock.
        front.seat.store(NOBODY, Ordering::Relaxed);
    }

    /// A request is not worked on any more; whether its caller had given it up.
    #[inline]
    pub(super) fn release(&mut self, front: &Front, id: u64) -> bool {
        self.catch_up(front);
        if front.seat.load(Ordering::Relaxed) == id {
            let cancelled = std::mem::take(&mut self.seat_cancelled);
            self.leave_seat(front, id);
            return cancelled;
        }
        let at = self.open.iter().position(|(it, _)| *it == id);
        at.is_some_and(|at| self.open.swap_remove(at).1)
    }
}

impl Outbox {
    /// The caller has given this request up.
    pub(in crate::pattern::service) fn cancel(&self, id: u64) {
        // Where nobody may go in any more nobody works on it to an end.
        let (Some(front), Ok(mut state)) = (self.whole.shared(), self.state()) else { return };
        state.catch_up(front);
        let seated = front.seat.load(Ordering::Relaxed);
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
        front.notify_drained();
    }

    /// This request is not worked on any more, and nobody waits for a word of it.
    pub(in crate::pattern::service) fn forget(&self, id: u64) {
        if let Ok((front, mut state)) = self.enter() {
            state.release(front, id);
        }
    }

    /// Whether nobody waits for the answer to this request.
    pub(in crate::pattern::service) fn is_cancelled(&self, id: u64) -> bool {
        if !self.whole.is_ours() {
            return true;
        }
        if let Some(intake) = self.whole.shared().and_then(|front| front.intake.get()).and_then(Weak::upgrade) {
            intake.look_ahead(self);
        }
        let Ok((front, mut state)) = self.enter() else { return true };
        state.catch_up(front);
        let in_seat = state.seat_cancelled && front.seat.load(Ordering::Relaxed) == id;
        state.over.is_some() || in_seat || state.open.iter().any(|(it, cancelled)| *it == id && *cancelled)
    }
}
