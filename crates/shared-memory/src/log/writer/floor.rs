//! The floor: what lies before it is dropped, whether its readers have come by or not.
//!
//! The writer raises the floor on its page, then looks at what readers have pinned, and only then gives free what lies
//! before it. A reader pins the frame that it wants to look at, then looks at the floor, and only then at the frame. With
//! a full barrier between the two steps on either side, one of them sees the other: the writer leaves the frame alone, or
//! the reader does.

use super::audience::Audience;
use super::checkpoints::Checkpoint;
use super::{LARGE, Writer};
use crate::atomic::Ordering;
use crate::log::page::Page;
use crate::log::ring::Ring;
use crate::log::{Signals, WriteError};
use std::ops::Deref;
use wharf_sys::crash_point;

/// The part of the large ring that is dropped at one time: rarer raises cost the readers that keep up nothing.
const CHUNKS: u64 = 8;

impl<R: Ring, P: Deref<Target = Page>> Writer<R, P> {
    /// Makes room for a frame by dropping the oldest messages, an eighth of the large ring at least.
    ///
    /// [`WriteError::Full`] when nothing may be dropped here, [`WriteError::Pinned`] when what readers hold is in the way,
    /// or the system refuses the barrier without which it is not known what they hold.
    pub(crate) fn make_room_by_dropping(&mut self, len: u64, signals: &impl Signals) -> Result<(), WriteError> {
        // Each turn raises the floor by a chunk, except perhaps the last.
        for _ in 0..2 * CHUNKS + 2 {
            match self.make_room(len) {
                Err(WriteError::Full) if self.may_drop() => {}
                other => return other,
            }
            if !self.raise_floor(signals) {
                break;
            }
        }
        Err(WriteError::Pinned)
    }

    fn may_drop(&self) -> bool {
        self.audience.as_ref().is_some_and(|audience| audience.terms.may_drop && !audience.terms.grows)
    }

    /// The sequence of the first message that is not dropped.
    pub(crate) fn floor(&self) -> u64 {
        self.audience.as_ref().map_or(0, |audience| audience.floor.sequence)
    }

    /// Drops the oldest messages, a chunk of them. `false` when none may be dropped, or there are none.
    pub(crate) fn drop_chunk(&mut self, signals: &impl Signals) -> bool {
        self.may_drop() && self.raise_floor(signals)
    }

    /// The first message that the next raise of the floor would leave.
    pub(crate) fn next_floor(&self) -> u64 {
        self.audience.as_ref().map_or(0, |audience| self.floor_to_be(audience).sequence.max(audience.floor.sequence))
    }

    fn floor_to_be(&self, audience: &Audience) -> Checkpoint {
        let tails: u64 = self.tracks.iter().map(|track| track.tail).sum();
        let chunk = self.tracks[LARGE].ring.size() / CHUNKS;
        audience.checkpoints.first_from(tails + chunk).unwrap_or(audience.latest)
    }

    /// Raises the floor by a chunk, or to the end. `false` when it stands there already, or may not be believed in.
    fn raise_floor(&mut self, signals: &impl Signals) -> bool {
        let Some(floor) = self.audience.as_ref().map(|audience| self.floor_to_be(audience)) else { return false };
        let Some(audience) = &mut self.audience else { return false };
        if floor.sequence <= audience.floor.sequence {
            return false;
        }
        let at = 1 - (audience.floor_word & 1) as usize;
        write_place(&self.own, at, floor);
        crash_point!("log.floor.placed");
        audience.floor_word = (floor.sequence << 1) | at as u64;
        // Release pairs with the readers' acquire loads: whoever sees this floor finds its place.
        self.own.floor.store(audience.floor_word, Ordering::Release);
        crash_point!("log.floor.raised");
        // Between the floor and our look at the pins. Readers do the same crosswise, see `Reader::guard`. What is pinned
        // cannot be looked at a second time when it is overwritten, so the barrier must have reached everybody.
        if !signals.sure_barrier(self.barriers.own) {
            return false;
        }
        audience.floor = floor;
        true
    }
}

/// Writes where the stream goes on from a floor into the place that the present floor does not use.
fn write_place(page: &Page, at: usize, floor: Checkpoint) {
    let words = [floor.ring as u64, floor.heads[0], floor.heads[1]];
    for (to, word) in page.places[at].iter().zip(words) {
        // Release: a reader that finds a word of ours here finds the present floor too, which uses the other place, and
        // knows that it has read a mixture.
        to.store(word, Ordering::Release);
    }
}
