//! Generations: the stream goes on in fresh memory, because a message does not fit or because readers hold too much.
//!
//! Sealed memory can neither grow nor be taken back. So the writer makes other memory, says [`Kind::Move`] in the old
//! log, and goes on in the new one; whoever still holds something of the old one keeps it, and is in nobody's way.

use super::audience::{Audience, BroadcastTerms};
use super::checkpoints::Checkpoint;
use super::history::Walk;
use super::seats::{Departure, Seat, SeatId};
use super::{LARGE, SMALL, Track, Writer};
use crate::atomic::Ordering;
use crate::log::frame::Kind;
use crate::log::page::{CLOSED, Page};
use crate::log::ring::Ring;
use crate::log::start::Start;
use crate::log::{Geometry, WriteError};
use std::ops::Deref;
use wharf_sys::crash_point;

/// Old generations that a reader may keep, or be behind.
pub(crate) const OLD_GENERATIONS: u64 = 4;

impl<R: Ring, P: Deref<Target = Page>> Writer<R, P> {
    /// The present generation.
    pub(crate) fn generation(&self) -> u64 {
        self.audience.as_ref().map_or(0, |audience| audience.generation)
    }

    /// Readers that would lose their seats if the stream went on in another generation now: those that are that far behind, or
    /// keep memory that old.
    pub(crate) fn would_cut_off(&self) -> impl Iterator<Item = SeatId> {
        let present = self.generation();
        let lives = |seat: &&Seat<P>| {
            // Relaxed: a hint whose only effect is a seat that is given up a little earlier.
            seat.departure.is_none() && !seat.closed && seat.page.data_ticket.load(Ordering::Relaxed) != CLOSED
        };
        let far = move |seat: &&Seat<P>| present + 1 - seat.oldest(present) > OLD_GENERATIONS;
        self.seats.iter().filter(lives).filter(far).map(|seat| seat.id)
    }

    /// Whether every reader has come to the present generation, and keeps nothing, neither of this nor of an older one.
    pub(crate) fn nothing_is_kept(&self) -> bool {
        let present = self.generation();
        // Acquire: as in `look`. Of a reader that is not trusted nothing is left alone.
        let holds = |seat: &Seat<P>| seat.terms.trusted && seat.page.held_bits.load(Ordering::Acquire) != 0;
        self.seats.iter().all(|seat| seat.oldest(present) == present && !holds(seat))
    }

    /// The largest message that goes along into the next generation.
    pub(crate) fn largest_kept(&self) -> u64 {
        let history = self.audience.as_ref().map_or(0, |audience| audience.terms.history);
        let kept = self.start_for(history);
        let at = Checkpoint { sequence: kept.sequence, ring: kept.ring, heads: kept.heads };
        let mut walk = Walk { grid: self.grid, at };
        std::iter::from_fn(|| walk.next(&self.tracks)).map(|(_, _, len)| len).max().unwrap_or(0)
    }

    /// Goes on in fresh rings with the same alignment, in which the largest message of the history has room. History comes
    /// along, as much of it as there is room for. Returns where the readers that have a seat begin there.
    ///
    /// Readers that are too far behind, or keep too much, lose their seats ([`Departure::CutOff`]).
    pub(crate) fn renew(&mut self, small: R, large: R, own: P, geometry: Geometry) -> Result<Start, WriteError> {
        let Some(audience) = self.audience.as_ref().filter(|_| !self.closed) else {
            return Err(WriteError::Closed);
        };
        let kept = self.start_for(audience.terms.history);
        // Release, as `awake`: nobody waits in the old log any more.
        self.own.room_ticket.store(0, Ordering::Release);
        self.commit(Kind::Move, false, 0);
        crash_point!("log.move.said");
        let old = std::mem::replace(&mut self.tracks, [Track::new(small, self.grid), Track::new(large, self.grid)]);
        self.own = own;
        self.grid = geometry.grid();
        let Some(before) = self.audience.take() else { return Err(WriteError::Closed) };
        self.current = if before.terms.history > 0 { LARGE } else { SMALL };
        self.tracks[SMALL].sent = kept.sequence;
        self.tracks[LARGE].sent = 0;
        let generation = before.generation + 1;
        let terms = BroadcastTerms { grows: false, ..before.terms };
        let fresh = Audience::new(terms, generation, self.here(), self.tracks[LARGE].ring.size());
        self.audience = Some(Audience { next_seat: before.next_seat, departed: before.departed, ..fresh });
        self.set_bounds();
        // Nobody waits for history: those who have a seat have met it in the old log.
        let mut seats = std::mem::take(&mut self.seats);
        self.bring_history(&old, kept);
        let start = self.start_for(0);
        for seat in &mut seats {
            seat.move_on(start);
        }
        self.seats = seats;
        self.reserve_obstacles();
        self.seat_out();
        Ok(start)
    }

    /// Writes the messages from `kept` on once more. Rings in which each of them has room take them, or forget the oldest.
    fn bring_history(&mut self, old: &[Track<R>; 2], kept: Start) {
        let at = Checkpoint { sequence: kept.sequence, ring: kept.ring, heads: kept.heads };
        let mut walk = Walk { grid: self.grid, at };
        let mut message = Vec::new();
        while let Some((ring, position, len)) = walk.next(old) {
            message.clear();
            if old[ring].ring.append_to(position, 0, len, &mut message) {
                let written = self.try_write(&message, false);
                debug_assert_eq!(written, Ok(()), "each has room once the older ones are forgotten");
            }
        }
    }
}

impl<P: Deref<Target = Page>> Seat<P> {
    /// The oldest generation that the reader is in, or keeps, where `present` is the newest.
    fn oldest(&self, present: u64) -> u64 {
        // Acquire, both: as in `look`. What a reader says is bounded by what it can be.
        let told = self.page.entered.load(Ordering::Acquire).saturating_sub(1);
        let entered = told.clamp(self.joined, present);
        let keeps = self.page.oldest.load(Ordering::Acquire).clamp(self.joined, present);
        if self.terms.trusted { entered.min(keeps) } else { entered }
    }

    /// Counts the reader as standing at the beginning of a new generation, until it says otherwise.
    fn move_on(&mut self, start: Start) {
        let oldest = self.oldest(start.generation - 1);
        if start.generation - oldest > OLD_GENERATIONS {
            self.departure = Some(Departure::CutOff { oldest, newest: start.generation });
        }
        self.entered = false;
        self.released = start.heads;
    }
}
