//! Room for the next frame: in which ring, behind which pad, and what to say when there is none.

use super::{LARGE, SMALL, Writer};
use crate::log::WriteError;
use crate::log::frame::{Header, Kind, ends_inside};
use crate::log::page::Page;
use crate::log::ring::Ring;
use std::ops::Deref;
use wharf_sys::crash_point;

/// After so many bytes in the large ring the writer looks whether it may come back to the small one. One small ring's
/// worth: rarer would keep a caught-up stream in cold memory, more often would fetch the readers' page for nothing.
const REVIEW_BYTES: u64 = 16 * 1024;

/// It comes back when its readers are no more than so many small rings behind. What is left in the large one they read while
/// it fills the small one.
const COMES_BACK_AT: u64 = 2;

impl<R: Ring, P: Deref<Target = Page>> Writer<R, P> {
    pub(super) fn largest_in(&self, which: usize) -> u64 {
        let size = self.tracks[which].ring.size();
        // A quarter of the small ring: a larger message would push the warm window out each time it passes.
        match which {
            SMALL => (size / 4).min(self.grid.largest(size)),
            // So that a frame fits whatever stands at the head, once everything before it is dropped.
            _ if self.audience.is_some() => self.grid.largest_in_half(size),
            _ => self.grid.largest(size),
        }
    }

    #[cold]
    #[inline(never)]
    pub(super) fn make_room_slowly(&mut self, len: u64) -> Result<(), WriteError> {
        if self.closed {
            return Err(WriteError::Closed);
        }
        let limit = self.largest_frame();
        if len > limit {
            return Err(WriteError::LargerThanFrame { limit });
        }
        self.note_checkpoint();
        self.refresh()?;
        self.settle_abort()?;
        self.linger(len)?;
        let grows = self.audience.as_ref().is_some_and(|audience| audience.terms.grows);
        let found = self.find_room(len) || (!grows && self.find_room_in_history(len));
        self.set_bounds();
        match found {
            true => Ok(()),
            // Everything is released, and still there is no room: waiting would not help.
            false if self.has_obstacles(LARGE) && self.tracks[LARGE].tail == self.tracks[LARGE].head => {
                Err(WriteError::Pinned)
            }
            false => Err(WriteError::Full),
        }
    }

    /// Whether a frame is so large that the writer would look at its reader for each of them. It looks when it has committed one
    /// instead, while the reader is at work, so that no look stands between an answer and its question.
    pub(super) fn is_large(&self, len: u64) -> bool {
        self.audience.is_none() && len >= REVIEW_BYTES
    }

    /// Whether a large frame fits the large ring as far as is known without looking at the reader.
    pub(super) fn has_room_for_large(&self, len: u64) -> bool {
        let track = &self.tracks[LARGE];
        let offset = track.head & (track.ring.size() - 1);
        self.current != SMALL
            && self.is_large(len)
            && len <= self.payload_bound
            && track.head + self.grid.frame(len) + self.grid.reserve() <= track.limit
            && ends_inside(offset, len, track.ring.size())
    }

    /// Looks at the reader before there is a need to.
    pub(super) fn look_ahead(&mut self) {
        // What is wrong with it is found, and told, by the next look that there is a need for.
        let _ = self.refresh();
        self.set_bounds();
    }

    pub(super) fn find_room(&mut self, len: u64) -> bool {
        let stays_large = self.audience.as_ref().is_some_and(|audience| audience.terms.history > 0);
        let fits_small = len <= self.largest_in(SMALL) && !stays_large;
        if self.current == SMALL {
            (fits_small && self.fit(SMALL, len)) || self.fit(LARGE, len)
        } else {
            let backlog = self.tracks[LARGE].head - self.tracks[LARGE].tail;
            let caught_up = backlog <= COMES_BACK_AT * self.tracks[SMALL].ring.size();
            (fits_small && caught_up && self.fit(SMALL, len))
                || self.fit(LARGE, len)
                || (fits_small && self.fit(SMALL, len))
        }
    }

    /// Whether a frame fits ring `which`; switches there, and pads to its next lap, when that is what it takes.
    pub(super) fn fit(&mut self, which: usize, len: u64) -> bool {
        if self.has_obstacles(which) {
            self.go_around(which, len);
        }
        let track = &self.tracks[which];
        let size = track.ring.size();
        let (frame, reserve) = (self.grid.frame(len), self.grid.reserve());
        let pad = self.pad_before(which, len);
        let fits = track.head + pad + frame + reserve <= track.limit;
        // Never fits behind a pad, even with everything released: send the pad ahead and wait until it is skipped.
        let pad_ahead = !fits && pad + frame + reserve > size && track.head + pad + reserve <= track.limit;
        if !fits && !pad_ahead {
            return false;
        }
        self.switch_to(which);
        if pad > 0 {
            self.commit_sized(Header::pack(Kind::Pad, 0, 0), pad);
        }
        fits
    }

    /// Bytes of the pad that a frame needs before it in ring `which`.
    pub(super) fn pad_before(&self, which: usize, len: u64) -> u64 {
        let track = &self.tracks[which];
        let size = track.ring.size();
        let offset = track.head & (size - 1);
        if ends_inside(offset, len, size) { 0 } else { self.grid.to_next_lap(offset, size) }
    }

    pub(super) fn switch_to(&mut self, which: usize) {
        if self.current != which {
            self.commit(Kind::Switch, false, 0);
            crash_point!("log.switch.said");
            self.current = which;
        }
    }

    pub(super) fn set_bounds(&mut self) {
        self.unready();
        let track = &self.tracks[self.current & 1];
        self.payload_bound =
            if self.abort_due || self.closed { 0 } else { self.largest_in(self.current).min(self.quick_bound) };
        self.position_bound = match self.current {
            SMALL => track.limit,
            _ => track.limit.min(track.head + REVIEW_BYTES),
        };
        if let Some(audience) = self.audience.as_ref().filter(|audience| audience.notes()) {
            // The slow way is where checkpoints are noted.
            self.position_bound = self.position_bound.min(track.head + audience.checkpoints.spacing());
        }
        // The end of the lap, beyond which the next frame needs a pad. What a frame of a coarse grid leaves behind its payload could
        // reach further: such a one takes the slow way.
        let size = track.ring.size();
        let lap_end = (track.head & !(size - 1)) + size;
        self.position_bound = self.position_bound.saturating_sub(self.grid.reserve()).min(lap_end);
        if self.payload_bound == 0 {
            self.position_bound = 0;
        }
    }
}
