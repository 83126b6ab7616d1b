//! What the writer of a broadcast keeps beside its rings: who left, what is dropped, what is kept, what is in the way.

use super::checkpoints::{Checkpoint, Checkpoints};
use super::obstacles::Obstacles;
use super::seats::{Departure, SeatId};
use super::{LARGE, SMALL, Writer};
use crate::log::page::Page;
use crate::log::ring::Ring;
use std::ops::Deref;

/// What the readers of a broadcast can expect of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BroadcastTerms {
    /// The oldest messages may be dropped under readers that are behind; readers must be told so when they open.
    pub may_drop: bool,
    /// Messages that are kept for readers to come, as far as there is room. With any the stream stays in the large ring.
    pub history: u64,
    /// The first generation is a small beginning: when it is full, the layer above starts a larger one, so no history is given
    /// up for room in it.
    pub grows: bool,
}

#[derive(Debug)]
pub(super) struct Audience {
    pub(super) terms: BroadcastTerms,
    pub(super) generation: u64,
    pub(super) next_seat: u64,
    /// Seats taken away that the layer above has not been told of, and which message their readers wanted next.
    pub(super) departed: Vec<(SeatId, Departure, u64)>,
    pub(super) checkpoints: Checkpoints,
    /// The first place behind the last message, as of the last slow look.
    pub(super) latest: Checkpoint,
    /// What lies before it is dropped.
    pub(super) floor: Checkpoint,
    /// The word on the page that says so.
    pub(super) floor_word: u64,
    /// What lies behind it is kept for readers to come.
    pub(super) kept: Checkpoint,
    pub(super) obstacles: [Obstacles; 2],
}

impl Audience {
    /// For rings in which nothing is written and message `sequence` comes first.
    pub(super) fn new(terms: BroadcastTerms, generation: u64, start: Checkpoint, large_bytes: u64) -> Audience {
        Audience {
            terms,
            generation,
            next_seat: 0,
            departed: Vec::new(),
            checkpoints: Checkpoints::new(large_bytes),
            latest: start,
            floor: start,
            floor_word: 0,
            kept: start,
            obstacles: Default::default(),
        }
    }

    /// Whether checkpoints are of use to anybody.
    pub(super) fn notes(&self) -> bool {
        // A log that grows drops nothing before that.
        (self.terms.may_drop && !self.terms.grows) || self.terms.history > 0
    }
}

impl<R: Ring, P: Deref<Target = Page>> Writer<R, P> {
    /// Makes this the writer of a broadcast: before anything is written, and before anybody has joined.
    pub(crate) fn into_broadcast(mut self, terms: BroadcastTerms) -> Self {
        self.current = if terms.history > 0 { LARGE } else { SMALL };
        let start = self.here();
        self.audience = Some(Audience::new(terms, 0, start, self.tracks[LARGE].ring.size()));
        self.agree_on_barriers();
        self.set_bounds();
        self
    }

    /// Where the stream stands.
    pub(super) fn here(&self) -> Checkpoint {
        Checkpoint { sequence: self.sent(), ring: self.current, heads: self.heads() }
    }

    /// Remembers where the stream stands, before a pad, a switch or a jump moves it on: all of these are written on the
    /// slow way only, which comes by here first.
    pub(super) fn note_checkpoint(&mut self) {
        let here = self.here();
        if let Some(audience) = &mut self.audience
            && audience.notes()
        {
            if audience.latest.sequence != here.sequence {
                audience.latest = here;
            }
            audience.checkpoints.note(audience.latest);
        }
    }

    /// What every reader has released or lost, as far as is known.
    pub(super) fn released_by_all(&self) -> [u64; 2] {
        let floor = self.audience.as_ref().map_or([0, 0], |audience| audience.floor.heads);
        let mut least = self.heads();
        for seat in &self.seats {
            for which in [SMALL, LARGE] {
                least[which] = least[which].min(seat.released[which].max(floor[which]));
            }
        }
        least
    }

    /// Gives free what every reader has released or lost, unless it is history or somebody holds it.
    pub(super) fn free_what_nobody_needs(&mut self) {
        let (mut least, sent) = (self.released_by_all(), self.sent());
        let Some(audience) = &mut self.audience else { return };
        if audience.terms.history > 0 {
            audience.advance_history(sent);
            for which in [SMALL, LARGE] {
                least[which] = least[which].min(audience.kept.heads[which]);
            }
        }
        self.note_obstacles(least);
        for which in [SMALL, LARGE] {
            self.tracks[which].free_up_to(least[which]);
            self.stop_at_obstacles(which);
        }
        if let Some(audience) = &mut self.audience {
            audience.checkpoints.forget_before(least);
        }
    }
}
