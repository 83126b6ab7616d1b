//! History: messages that are kept for readers to come, and the walk to where one of them begins.

use super::audience::Audience;
use super::checkpoints::Checkpoint;
use super::{Track, Writer};
use crate::atomic::Ordering;
use crate::log::frame::{Grid, Header, Kind, REWIND};
use crate::log::page::Page;
use crate::log::ring::Ring;
use crate::log::start::Start;
use std::ops::Deref;

impl Audience {
    /// Lets go of what is older than was asked for, or dropped.
    pub(super) fn advance_history(&mut self, sent: u64) {
        let oldest = sent.saturating_sub(self.terms.history);
        let due = self.checkpoints.last_before(oldest);
        for later in [due, Some(self.floor)].into_iter().flatten() {
            if later.bytes() > self.kept.bytes() {
                self.kept = later;
            }
        }
    }

    /// Lets go of the oldest of it. `false` when nothing is kept any more.
    fn forget_some(&mut self) -> bool {
        let next = self.checkpoints.first_from(self.kept.bytes() + 1).unwrap_or(self.latest);
        let some = next.bytes() > self.kept.bytes();
        self.kept = next;
        some
    }
}

impl<R: Ring, P: Deref<Target = Page>> Writer<R, P> {
    /// Whether history keeps something that no reader needs: only then letting go of it gives room.
    fn keeps_more_than_readers(&self) -> bool {
        let released = self.released_by_all();
        let kept = self.audience.as_ref().filter(|audience| audience.terms.history > 0).map(|audience| audience.kept);
        kept.is_some_and(|kept| kept.heads.iter().zip(released).any(|(&kept, released)| kept < released))
    }

    /// Looks for room at the cost of history, oldest first: it never keeps a message out.
    pub(super) fn find_room_in_history(&mut self, len: u64) -> bool {
        // Ends: each turn lets go of a checkpoint, of which there is a bounded number.
        while self.keeps_more_than_readers() && self.audience.as_mut().is_some_and(Audience::forget_some) {
            self.free_what_nobody_needs();
            if self.find_room(len) {
                return true;
            }
        }
        false
    }

    /// Where a reader begins that joins now and wants so many of the last messages.
    pub(super) fn start_for(&self, history_wanted: u64) -> Start {
        let here = self.here();
        let (from, generation) = match &self.audience {
            None => (here, 0),
            Some(audience) => {
                let wanted = self.sent() - history_wanted.min(audience.terms.history).min(self.sent());
                let from = if wanted < self.sent() { self.walk_to(audience, wanted) } else { None };
                (from.unwrap_or(here), audience.generation)
            }
        };
        Start { ring: from.ring, heads: from.heads, sequence: from.sequence, generation }
    }

    /// The end of the message before `wanted`, or the oldest that is kept.
    fn walk_to(&self, audience: &Audience, wanted: u64) -> Option<Checkpoint> {
        let wanted = wanted.max(audience.kept.sequence);
        let near = audience.checkpoints.last_before(wanted);
        let from = near.filter(|near| near.bytes() >= audience.kept.bytes()).unwrap_or(audience.kept);
        let mut walk = Walk { grid: self.grid, at: from };
        while walk.at.sequence < wanted {
            walk.next(&self.tracks)?;
        }
        Some(walk.at)
    }
}

/// Follows the frames of one's own rings from message to message.
#[derive(Debug)]
pub(super) struct Walk {
    pub(super) grid: Grid,
    pub(super) at: Checkpoint,
}

impl Walk {
    /// The ring, the position and the length of the next message; `None` at the end of what is written.
    pub(super) fn next<R: Ring>(&mut self, tracks: &[Track<R>; 2]) -> Option<(usize, u64, u64)> {
        // Ends: every turn follows a frame that this process wrote, up to the zero header behind the last.
        loop {
            let ring = self.at.ring & 1;
            let track = &tracks[ring];
            let head = &mut self.at.heads[ring];
            let (at, size) = (*head, track.ring.size());
            let offset = at & (size - 1);
            // Relaxed: this process wrote it.
            let header = Header::unpack(track.ring.word(at).load(Ordering::Relaxed))?;
            let len = u64::from(header.len);
            match header.kind {
                Kind::Data => {
                    let frame = self.grid.frame(len);
                    let rewinds = header.flags & REWIND != 0;
                    *head += if rewinds { self.grid.frame_and_rest(offset, frame, size) } else { frame };
                    self.at.sequence += 1;
                    return Some((ring, at, len));
                }
                Kind::Pad => *head += self.grid.to_next_lap(offset, size),
                Kind::Skip => *head += len * 8,
                Kind::Switch => {
                    *head += self.grid.frame(0);
                    self.at.ring = 1 - ring;
                }
                // A broadcast has no messages in parts, and nothing follows the rest.
                _ => return None,
            }
        }
    }
}
