//! The seats of a log: its readers as the writer sees them, who may come and go.

use super::generation::OLD_GENERATIONS;
use super::{LARGE, SMALL, Writer};
use crate::atomic::{Ordering, fence};
use crate::log::page::{CLOSED, Page};
use crate::log::ring::Ring;
use crate::log::start::Start;
use crate::log::{Barriers, WriteError};
use std::ops::Deref;

/// Most seats of one log: what bounds the time that a commit takes.
pub(crate) const MOST_SEATS: usize = 4096;

/// The number of a seat, never used twice by one writer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeatId(pub(crate) u64);

impl SeatId {
    /// The number.
    pub fn number(self) -> u64 {
        self.0
    }
}

/// What the writer and one reader of a broadcast have agreed on.
#[derive(Debug, Clone, Copy)]
pub struct SeatTerms {
    /// The reader is trusted: frames that it holds are left alone. The pins of one that is not are not looked at, so
    /// that it must copy.
    pub trusted: bool,
    /// Who pays for the order of things when a side goes to sleep; `own` also says that this writer runs the barrier
    /// before it overwrites what it dropped.
    pub barriers: Barriers,
}

/// Why a seat was taken away from its reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Departure {
    /// The reader takes nothing more, and says so.
    #[error("the reader has closed")]
    Closed,
    /// The reader's page says what cannot be.
    #[error("the reader breaks the rules of the log: {0}")]
    Lied(WriteError),
    /// The reader keeps too many old generations of the log.
    #[error(
        "the reader still keeps generation {oldest} of a log that is in generation {newest}, and {OLD_GENERATIONS} old \
         ones are the most: let go of what is held, or hold copies"
    )]
    CutOff {
        /// The oldest that it keeps.
        oldest: u64,
        /// The newest.
        newest: u64,
    },
}

/// How far a reader is behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Behind {
    /// Messages that it has neither taken nor lost, as last told.
    pub messages: u64,
    /// Bytes of the rings that it has not released, as last looked.
    pub bytes: u64,
}

/// A reader as the writer sees it.
#[derive(Debug)]
pub(super) struct Seat<P> {
    pub(super) page: P,
    /// The ticket for which the doorbell was last rung.
    pub(super) rung: u32,
    /// The ticket for which the layer above was last told to ring.
    pub(super) told: u32,
    pub(super) closed: bool,
    /// The reader's page speaks of this generation of the log.
    pub(super) entered: bool,
    /// What the reader had released when we last looked. Only ever raised, and never beyond what was written.
    pub(super) released: [u64; 2],
    /// The sequence from which it is counted in.
    pub(super) from: u64,
    /// The generation in which it joined.
    pub(super) joined: u64,
    pub(super) id: SeatId,
    pub(super) terms: SeatTerms,
    /// Why it must go; `None` while it may stay.
    pub(super) departure: Option<Departure>,
}

impl<P: Deref<Target = Page>> Seat<P> {
    /// The next message that this reader wants, of so many.
    fn next(&self, sent: u64) -> u64 {
        // Acquire pairs with the reader's release of `taken`: what the reader did before it took is visible. Sequences count
        // through all generations, so the word holds whether or not we have seen the reader enter; before it begins it is 0.
        self.page.taken.load(Ordering::Acquire).max(self.from).min(sent)
    }

    pub(super) fn new(page: P, id: SeatId, start: Start, terms: SeatTerms) -> Seat<P> {
        Seat {
            page,
            rung: 0,
            told: 0,
            closed: false,
            entered: false,
            released: start.heads,
            from: start.sequence,
            joined: start.generation,
            id,
            terms,
            departure: None,
        }
    }

    /// Looks at what the reader has released. Each word is read once, checked against what we know, then used.
    pub(super) fn look(&mut self, heads: [u64; 2], generation: u64) -> Result<(), WriteError> {
        if !self.entered {
            // Acquire pairs with the reader's release store, which follows the positions that it begins with. Before that
            // the page says nothing, or speaks of an older generation.
            if self.page.entered.load(Ordering::Acquire) != generation + 1 {
                return Ok(());
            }
            self.entered = true;
        }
        for (which, head) in heads.into_iter().enumerate() {
            // Acquire pairs with the reader's release store in `publish`: its reads of the released frames are done
            // before we overwrite them, and what it pinned before it released more is on its page.
            let told = self.page.released[which].load(Ordering::Acquire);
            let from = self.released[which];
            if told < from || told > head {
                return Err(WriteError::Position { told, from, to: head });
            }
            self.released[which] = told;
        }
        Ok(())
    }
}

impl<R: Ring, P: Deref<Target = Page>> Writer<R, P> {
    /// Adds the reader of a link, which starts at the present end of the log. Returns where that is.
    pub(crate) fn add_reader(&mut self, page: P) -> Start {
        let heads = self.heads();
        let start = Start { ring: self.current, heads, sequence: self.sent(), generation: 0 };
        let terms = SeatTerms { trusted: false, barriers: self.barriers };
        let mut seat = Seat::new(page, SeatId(self.seats.len() as u64), start, terms);
        // The reader of a fresh log may begin later than the writer: until then its page says 0.
        let fresh = self.grid.start();
        seat.entered = true;
        if heads == [fresh, fresh] {
            seat.released = [0, 0];
        }
        self.seats.push(seat);
        start
    }

    /// The one reader of a link has come: what it tells stands on this page from now on, and no longer on the one that
    /// [`add_reader`](Self::add_reader) was given in its place, which said that it has read nothing and does not sleep.
    ///
    /// The layer above has received its page after everything that was written so far. A reader passes its page on first and
    /// looks at the log afterwards; so it either finds what was written before, or its page is here and so is its ticket.
    pub(crate) fn meet_reader(&mut self, page: P, barriers: Barriers)
    where
        P: Clone,
    {
        debug_assert_eq!(self.seats.len(), 1, "a link has one reader");
        for seat in &mut self.seats {
            seat.page = page.clone();
        }
        self.barriers = barriers;
        // The frames before were not followed by a look at this page: pairs with the fence, or the barrier, in
        // `Reader::announce`, as the one in `look_for_sleepers` does for the frames that follow.
        fence(Ordering::SeqCst);
        self.look_for_sleepers();
    }

    /// Gives a reader of a broadcast its seat, which counts from now on. `None` when there are too many.
    pub(crate) fn join(&mut self, page: P, terms: SeatTerms, history_wanted: u64) -> Option<(SeatId, Start)> {
        if self.seats.len() >= MOST_SEATS {
            return None;
        }
        let start = self.start_for(history_wanted);
        let audience = self.audience.as_mut()?;
        let id = SeatId(audience.next_seat);
        audience.next_seat += 1;
        self.seats.push(Seat::new(page, id, start, terms));
        self.reserve_obstacles();
        self.agree_on_barriers();
        Some((id, start))
    }

    /// Takes a seat away; `false` when there is none of that number. What its reader pinned counts no longer.
    pub(crate) fn leave(&mut self, id: SeatId) -> bool {
        let before = self.seats.len();
        self.seats.retain(|seat| seat.id != id);
        let left = self.seats.len() < before;
        if left {
            self.agree_on_barriers();
        }
        left
    }

    /// The barriers that serve every seat: a fence of ours unless each reader runs the barrier, a barrier of ours as
    /// soon as one reader relies on it.
    pub(super) fn agree_on_barriers(&mut self) {
        self.barriers = Barriers {
            own: self.seats.iter().any(|seat| seat.terms.barriers.own),
            peer: self.seats.iter().all(|seat| seat.terms.barriers.peer),
        };
    }

    /// How many readers there are.
    pub(crate) fn seats(&self) -> usize {
        self.seats.len()
    }

    /// Tells which readers sleep on a ticket that has not been rung for; telling clears it.
    pub(crate) fn take_rings(&mut self, mut ring: impl FnMut(SeatId)) {
        if !std::mem::take(&mut self.must_ring) {
            return;
        }
        for seat in &mut self.seats {
            if seat.told != seat.rung {
                seat.told = seat.rung;
                if !seat.closed {
                    ring(seat.id);
                }
            }
        }
    }

    /// Notes that a ring did not reach this reader, so that it is told of again.
    pub(crate) fn owe_ring_to(&mut self, id: SeatId) {
        for seat in self.seats.iter_mut().filter(|seat| seat.id == id) {
            // 0 is no ticket, so it differs from whichever was rung for.
            seat.told = 0;
            self.must_ring = true;
        }
    }

    /// Tells which seats were taken away, why, and which message their readers wanted next; telling clears it.
    pub(crate) fn take_departed(&mut self, mut departed: impl FnMut(SeatId, Departure, u64)) {
        self.seat_out();
        if let Some(audience) = &mut self.audience {
            for (id, why, next) in audience.departed.drain(..) {
                departed(id, why, next);
            }
        }
    }

    /// How far each reader is behind, as last told.
    pub(crate) fn behind(&self) -> impl Iterator<Item = (SeatId, Behind)> {
        let written: u64 = self.heads().iter().sum();
        self.seats.iter().map(move |seat| {
            let bytes = written.saturating_sub(seat.released.iter().sum());
            (seat.id, Behind { messages: self.sent() - self.taken_by(seat), bytes })
        })
    }

    /// The next message that a reader wants, between where it began and what was sent.
    pub(super) fn taken_by(&self, seat: &Seat<P>) -> u64 {
        seat.next(self.sent())
    }

    /// Looks at what the readers have released and pinned, and sets the limits of both rings by it.
    pub(super) fn refresh(&mut self) -> Result<(), WriteError> {
        let heads = self.heads();
        let link = self.audience.is_none();
        let generation = self.audience.as_ref().map_or(0, |audience| audience.generation);
        let mut all_stay = true;
        for seat in &mut self.seats {
            let looked = seat.look(heads, generation);
            // Relaxed: a hint whose only effect is an error a little earlier.
            seat.closed |= seat.page.data_ticket.load(Ordering::Relaxed) == CLOSED;
            match looked {
                Err(error) if link => return Err(error),
                Err(error) => seat.departure = Some(Departure::Lied(error)),
                Ok(()) => {}
            }
            all_stay &= seat.departure.is_none() && !seat.closed;
        }
        if link {
            for which in [SMALL, LARGE] {
                let least = self.seats.iter().map(|seat| seat.released[which]).fold(heads[which], u64::min);
                self.tracks[which].free_up_to(least);
            }
            return if all_stay { Ok(()) } else { Err(WriteError::ReaderClosed) };
        }
        if !all_stay {
            self.seat_out();
        }
        self.free_what_nobody_needs();
        Ok(())
    }

    /// Takes the seats away from readers that have closed or lied.
    pub(super) fn seat_out(&mut self) {
        let (sent, before) = (self.sent(), self.seats.len());
        let Some(audience) = &mut self.audience else { return };
        self.seats.retain(|seat| {
            let why = seat.departure.or(seat.closed.then_some(Departure::Closed));
            if let Some(why) = why {
                audience.departed.push((seat.id, why, seat.next(sent)));
            }
            why.is_none()
        });
        if self.seats.len() < before {
            self.agree_on_barriers();
            // They are to be told as soon as sleepers would be, also where only room is lent from now on.
            self.must_ring = true;
        }
    }
}
