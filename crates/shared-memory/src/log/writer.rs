//! The writing end of a log: finds room, lends it, commits frames, and knows what its readers have released.
//!
//! Two rings serve one stream of frames. The *small* ring stays warm in the caches while the readers keep up; when it
//! is full the writer says [`Kind::Switch`] and goes on in the *large* one, and it comes back when the readers have
//! caught up. Each ring is an ordinary ring with counts of its own; the order of frames is the order in which a reader
//! meets them, following the switches.

use super::frame::{Grid, HEADER_BYTES, Header, Kind, RENDEZVOUS, REWIND, ends_inside};
use super::page::{CLOSED, Page};
use super::ring::Ring;
use super::{Barriers, Geometry, Signals, WriteError};
use crate::atomic::{Ordering, compiler_fence, fence};
use std::ops::Deref;
use wharf_sys::crash_point;

/// Index of the small ring.
pub(crate) const SMALL: usize = 0;
/// Index of the large ring.
pub(crate) const LARGE: usize = 1;

/// After so many bytes in the large ring the writer looks whether it may come back to the small one. One small ring's
/// worth: rarer would keep a caught-up stream in cold memory, more often would fetch the readers' page for nothing.
const REVIEW_BYTES: u64 = 16 * 1024;

/// The usual size of a part of a message that travels in parts.
const PART_BYTES: u64 = 32 * 1024;

/// One ring as its writer sees it, in a cache line of its own: what changes with every message stands together, because each
/// further line that is stored to delays the stores to the peer's lines (docs/performance.md).
#[derive(Debug)]
#[repr(C, align(64))]
struct Track<R> {
    /// Position of the next header; the word there is zero.
    head: u64,
    /// Messages of which the last frame stands in this ring.
    sent: u64,
    /// Position that no byte may reach: released by every reader, plus the size.
    limit: u64,
    ring: R,
}

/// A reader as the writer sees it.
#[derive(Debug)]
struct Seat<P> {
    page: P,
    /// What the reader had released when we last looked. Only ever raised, and never beyond what was written.
    released: [u64; 2],
    /// The ticket for which the doorbell was last rung.
    rung: u32,
    closed: bool,
}

/// The one writer of a log.
#[derive(Debug)]
pub(crate) struct Writer<R, P> {
    tracks: [Track<R>; 2],
    current: usize,
    /// Fast-path bound on a payload in the current ring; 0 sends everything through the slow path.
    payload_bound: u64,
    /// Fast-path bound on positions in the current ring: its limit, or the next review.
    position_bound: u64,
    grid: Grid,
    seats: Vec<Seat<P>>,
    /// This side's own page: the writer's ticket is there.
    own: P,
    next_ticket: u32,
    barriers: Barriers,
    /// Some reader sleeps on a ticket that has not been rung for.
    must_ring: bool,
    /// Parts of a message were committed and the rest never will be.
    abort_due: bool,
    closed: bool,
}

impl<R: Ring, P: Deref<Target = Page>> Writer<R, P> {
    /// A writer of fresh (zeroed) rings without readers.
    pub(crate) fn new(small: R, large: R, own: P, geometry: Geometry, barriers: Barriers) -> Self {
        let grid = geometry.grid();
        let track = |ring: R| Track { head: grid.start(), sent: 0, limit: ring.size(), ring };
        let mut writer = Writer {
            tracks: [track(small), track(large)],
            current: SMALL,
            payload_bound: 0,
            position_bound: 0,
            grid,
            seats: Vec::new(),
            own,
            next_ticket: 1,
            barriers,
            must_ring: false,
            abort_due: false,
            closed: false,
        };
        writer.set_bounds();
        writer
    }

    /// Adds a reader, which starts at the present end of the log. Returns where that is.
    pub(crate) fn add_reader(&mut self, page: P) -> Start {
        let heads = [self.tracks[SMALL].head, self.tracks[LARGE].head];
        // The reader of a fresh log may begin later than the writer: until then its page says 0.
        let start = self.grid.start();
        let released = if heads == [start, start] { [0, 0] } else { heads };
        self.seats.push(Seat { page, released, rung: 0, closed: false });
        Start { ring: self.current, heads }
    }

    /// Messages committed so far.
    #[inline]
    pub(crate) fn sent(&self) -> u64 {
        self.tracks[SMALL].sent + self.tracks[LARGE].sent
    }

    /// Messages that every reader has taken, as last told; never more than were sent.
    pub(crate) fn taken(&self) -> u64 {
        // Acquire pairs with the reader's release of `taken`: what the reader did before it took is visible.
        let least = self.seats.iter().map(|seat| seat.page.taken.load(Ordering::Acquire)).min();
        least.unwrap_or(u64::MAX).min(self.sent())
    }

    /// Largest payload of one frame.
    pub(crate) fn largest_frame(&self) -> u64 {
        self.grid.largest(self.tracks[LARGE].ring.size())
    }

    /// Largest part of a message that does not fit one frame: small enough that the reader copies one part out of its
    /// caches while the next is written, large enough that the header does not count.
    pub(crate) fn largest_part(&self) -> u64 {
        (self.tracks[LARGE].ring.size() / 4).min(PART_BYTES)
    }

    fn largest_in(&self, which: usize) -> u64 {
        let size = self.tracks[which].ring.size();
        // A quarter of the small ring: a larger message would push the warm window out each time it passes.
        if which == SMALL { (size / 4).min(self.grid.largest(size)) } else { self.grid.largest(size) }
    }

    /// Writes a whole message as one frame.
    #[inline(always)]
    pub(crate) fn try_write(&mut self, payload: &[u8], rendezvous: bool) -> Result<(), WriteError> {
        self.make_room(payload.len() as u64)?;
        let track = &self.tracks[self.current & 1];
        if !track.ring.put(track.head, None, payload) {
            return Err(WriteError::Full);
        }
        self.commit(Kind::Data, rendezvous, payload.len() as u64);
        self.tracks[self.current & 1].sent += 1;
        Ok(())
    }

    /// Writes the next part of a message larger than one frame, of which `done` bytes are already written, and raises
    /// `done`. `Ok` means that the whole message is committed.
    pub(crate) fn try_write_part(
        &mut self,
        message: &[u8],
        done: &mut usize,
        rendezvous: bool,
    ) -> Result<(), WriteError> {
        let part = self.largest_part() as usize;
        while *done < message.len() {
            let first = *done == 0;
            let prefix = first.then_some(message.len() as u64);
            let room = part - if first { 8 } else { 0 };
            let end = message.len().min(*done + room);
            let (kind, bytes) = match message.get(*done..end) {
                Some(bytes) if first => (Kind::First, bytes),
                Some(bytes) if end == message.len() => (Kind::Last, bytes),
                Some(bytes) => (Kind::More, bytes),
                None => return Err(WriteError::Full),
            };
            let len = bytes.len() as u64 + if first { 8 } else { 0 };
            self.make_room(len)?;
            let track = &self.tracks[self.current & 1];
            if !track.ring.put(track.head, prefix, bytes) {
                return Err(WriteError::Full);
            }
            crash_point!("log.part.filled");
            self.commit(kind, rendezvous && kind == Kind::Last, len);
            *done = end;
        }
        self.tracks[self.current & 1].sent += 1;
        Ok(())
    }

    /// Gives up a message of which some parts are committed: readers drop what they have of it.
    pub(crate) fn abort_parts(&mut self) {
        self.abort_due = true;
        self.set_bounds();
        // When there is no room now, the next write says it first.
        let _ = self.settle_abort();
    }

    /// Writes a whole message if that takes nothing but stores: the common case, small enough to be part of the caller.
    /// `false`: ask [`Writer::try_write`], which says why or does what it takes.
    #[inline(always)]
    pub(crate) fn write_quickly(&mut self, payload: &[u8]) -> bool {
        let len = payload.len() as u64;
        if !self.has_room(len) {
            return false;
        }
        if self.current != SMALL {
            return self.try_write(payload, false).is_ok();
        }
        let frame = self.grid.frame(len);
        let track = &mut self.tracks[SMALL];
        // Orderings: as in `commit_sized`. Here the next header is cleared before the payload, which is filled in from its
        // end: what goes into one line then stands together among the stores that wait for the peer to give its lines up
        // (docs/performance.md). A word that no reader looks at yet may be cleared at any time.
        track.ring.word(track.head + frame).store(0, Ordering::Relaxed);
        if !track.ring.put(track.head, None, payload) {
            return false;
        }
        crash_point!("log.commit.cleared");
        track.ring.word(track.head).store(Header::pack(Kind::Data, 0, len as u32), Ordering::Release);
        crash_point!("log.commit.written");
        track.head += frame;
        track.sent += 1;
        self.look_for_sleepers();
        true
    }

    /// Makes sure that a frame with `len` bytes of payload fits at the head of the current ring.
    #[inline(always)]
    pub(crate) fn make_room(&mut self, len: u64) -> Result<(), WriteError> {
        if self.has_room(len) { Ok(()) } else { self.make_room_slowly(len) }
    }

    /// Whether a frame fits the current ring as far as is known without looking at the readers.
    #[inline(always)]
    fn has_room(&self, len: u64) -> bool {
        let track = &self.tracks[self.current & 1];
        let offset = track.head & (track.ring.size() - 1);
        len <= self.payload_bound
            && track.head + self.grid.frame(len) + self.grid.reserve() <= self.position_bound
            && ends_inside(offset, len, track.ring.size())
    }

    #[cold]
    #[inline(never)]
    fn make_room_slowly(&mut self, len: u64) -> Result<(), WriteError> {
        if self.closed {
            return Err(WriteError::Closed);
        }
        let limit = self.largest_frame();
        if len > limit {
            return Err(WriteError::LargerThanFrame { limit });
        }
        self.refresh()?;
        self.settle_abort()?;
        let fits_small = len <= self.largest_in(SMALL);
        let found = if self.current == SMALL {
            (fits_small && self.fit(SMALL, len)) || self.fit(LARGE, len)
        } else {
            let backlog = self.tracks[LARGE].head - (self.tracks[LARGE].limit - self.tracks[LARGE].ring.size());
            let caught_up = backlog <= self.tracks[SMALL].ring.size() / 2;
            (fits_small && caught_up && self.fit(SMALL, len))
                || self.fit(LARGE, len)
                || (fits_small && self.fit(SMALL, len))
        };
        self.set_bounds();
        if found { Ok(()) } else { Err(WriteError::Full) }
    }

    /// Whether a frame fits ring `which`; switches there, and pads to its next lap, when that is what it takes.
    fn fit(&mut self, which: usize, len: u64) -> bool {
        let track = &self.tracks[which];
        let size = track.ring.size();
        let offset = track.head & (size - 1);
        let (frame, reserve) = (self.grid.frame(len), self.grid.reserve());
        let pad = if ends_inside(offset, len, size) { 0 } else { self.grid.to_next_lap(offset, size) };
        let fits = track.head + pad + frame + reserve <= track.limit;
        // Never fits behind a pad, even with everything released: send the pad ahead and wait until it is skipped.
        let pad_ahead = !fits && pad + frame + reserve > size && track.head + pad + reserve <= track.limit;
        if !fits && !pad_ahead {
            return false;
        }
        if self.current != which {
            self.commit(Kind::Switch, false, 0);
            crash_point!("log.switch.said");
            self.current = which;
        }
        if pad > 0 {
            self.commit_sized(Header::pack(Kind::Pad, 0, 0), pad);
        }
        fits
    }

    /// Says the abort that is due, if there is room for it.
    fn settle_abort(&mut self) -> Result<(), WriteError> {
        if self.abort_due {
            if !self.fit(self.current, 0) {
                return Err(WriteError::Full);
            }
            self.commit(Kind::Abort, false, 0);
            self.abort_due = false;
            self.set_bounds();
        }
        Ok(())
    }

    fn set_bounds(&mut self) {
        let track = &self.tracks[self.current & 1];
        self.payload_bound = if self.abort_due || self.closed { 0 } else { self.largest_in(self.current) };
        self.position_bound = match self.current {
            SMALL => track.limit,
            _ => track.limit.min(track.head + REVIEW_BYTES),
        };
        if self.payload_bound == 0 {
            self.position_bound = 0;
        }
    }

    /// Looks at what the readers have released. Each word is read once, checked against what we know, then used.
    fn refresh(&mut self) -> Result<(), WriteError> {
        for which in [SMALL, LARGE] {
            let mut least = self.tracks[which].head;
            for seat in &mut self.seats {
                // Acquire pairs with the reader's release store in `publish`: its reads of the released frames are
                // done before we overwrite them.
                let told = seat.page.released[which].load(Ordering::Acquire);
                if told < seat.released[which] || told > self.tracks[which].head {
                    return Err(WriteError::Position { told, from: seat.released[which], to: self.tracks[which].head });
                }
                seat.released[which] = told;
                least = least.min(told);
            }
            self.tracks[which].limit = least + self.tracks[which].ring.size();
        }
        for seat in &mut self.seats {
            // Relaxed: a hint whose only effect is an error a little earlier.
            seat.closed |= seat.page.data_ticket.load(Ordering::Relaxed) == CLOSED;
        }
        if self.seats.iter().any(|seat| seat.closed) { Err(WriteError::ReaderClosed) } else { Ok(()) }
    }

    /// Commits the frame at the head, whose payload is in place, and notes which readers must be rung for.
    #[inline(always)]
    pub(crate) fn commit(&mut self, kind: Kind, rendezvous: bool, len: u64) {
        let flags = if rendezvous { RENDEZVOUS } else { 0 };
        let frame = self.grid.frame(len);
        if self.current != SMALL && kind == Kind::Data {
            self.commit_large(flags, frame, len);
        } else {
            self.commit_sized(Header::pack(kind, flags, len as u32), frame);
        }
    }

    /// Commits a message in the large ring. When everything before it is released and it stands in the second half, the
    /// next one goes back to the start of the ring, so that a reader that keeps up is served from memory that is warm
    /// and mapped on both sides, whatever the size of the ring. Half of the ring, and this message, still fit then.
    fn commit_large(&mut self, flags: u8, frame: u64, len: u64) {
        let track = &self.tracks[self.current & 1];
        let size = track.ring.size();
        let offset = track.head & (size - 1);
        let all = self.grid.frame_and_rest(offset, frame, size);
        let alone = track.limit - size == track.head;
        if alone && offset >= size / 2 && track.head + all + self.grid.reserve() <= track.limit {
            self.commit_sized(Header::pack(Kind::Data, flags | REWIND, len as u32), all);
        } else {
            self.commit_sized(Header::pack(Kind::Data, flags, len as u32), frame);
        }
    }

    #[inline(always)]
    fn commit_sized(&mut self, header: u64, bytes: u64) {
        let track = &mut self.tracks[self.current & 1];
        // Relaxed: ordered before the header by the release store below, and no reader looks at the next header
        // before it has seen this one.
        track.ring.word(track.head + bytes).store(0, Ordering::Relaxed);
        crash_point!("log.commit.cleared");
        // Release pairs with the reader's acquire load of the same word: payload and cleared next header are visible
        // to whoever sees this header.
        track.ring.word(track.head).store(header, Ordering::Release);
        crash_point!("log.commit.written");
        track.head += bytes;
        self.look_for_sleepers();
    }

    /// After a commit: has any reader announced that it sleeps?
    #[inline(always)]
    fn look_for_sleepers(&mut self) {
        if self.barriers.peer {
            // Store the header, then load the ticket; the reader stores the ticket, then loads the header. One of the
            // two must see the other. The reader's process-wide barrier (membarrier) stands between its two steps on
            // every processor, ours included, so here only the compiler must keep the order.
            compiler_fence(Ordering::SeqCst);
        } else {
            // The same argument with a fence on both sides; pairs with the fence in `Reader::announce`.
            fence(Ordering::SeqCst);
        }
        for seat in &mut self.seats {
            // Relaxed: ordered by the fences above.
            let ticket = seat.page.data_ticket.load(Ordering::Relaxed);
            if ticket != 0 && ticket != seat.rung {
                seat.rung = ticket;
                seat.closed |= ticket == CLOSED;
                self.must_ring = true;
            }
        }
    }

    /// Whether some reader sleeps on a ticket that has not been rung for; asking clears it.
    #[inline(always)]
    pub(crate) fn take_must_ring(&mut self) -> bool {
        // Asked after every message: a store only where something changes.
        let must = self.must_ring;
        if must {
            self.must_ring = false;
        }
        must
    }

    /// Notes that a ring did not reach its reader, so that the next commit asks for another.
    pub(crate) fn owe_ring(&mut self) {
        self.must_ring = true;
    }

    /// Whether a reader has said that it takes nothing more.
    pub(crate) fn reader_closed(&self) -> bool {
        self.seats.iter().any(|seat| seat.closed || seat.page.data_ticket.load(Ordering::Relaxed) == CLOSED)
    }

    /// Announces that this writer is about to sleep until readers release something. After this, and after
    /// [`Signals::barrier`], look once more before sleeping.
    pub(crate) fn announce(&mut self, signals: &impl Signals) -> bool {
        self.next_ticket = fresh_ticket(self.next_ticket);
        // Relaxed: the barrier orders it before our next look at the readers' positions.
        self.own.room_ticket.store(self.next_ticket, Ordering::Relaxed);
        signals.barrier(self.barriers.own)
    }

    /// Takes the announcement back.
    pub(crate) fn awake(&mut self) {
        // Relaxed: a reader that still sees the ticket rings once too often, which is harmless.
        self.own.room_ticket.store(0, Ordering::Relaxed);
    }

    /// Says that nothing follows. Room for this is always kept.
    pub(crate) fn close(&mut self) {
        if !self.closed {
            self.commit(Kind::Close, false, 0);
            crash_point!("log.close.said");
            self.closed = true;
            self.set_bounds();
        }
    }

    /// The ring and position at which the next frame's payload is filled, for loans.
    #[inline]
    pub(crate) fn head(&self) -> (&R, u64) {
        let track = &self.tracks[self.current & 1];
        (&track.ring, track.head)
    }

    /// Counts a message that was filled in place and committed.
    #[inline]
    pub(crate) fn commit_loan(&mut self, len: u64, rendezvous: bool) {
        self.commit(Kind::Data, rendezvous, len);
        self.tracks[self.current & 1].sent += 1;
    }
}

/// Where a reader that joins now begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Start {
    pub(crate) ring: usize,
    pub(crate) heads: [u64; 2],
}

impl Start {
    /// The beginning of a log that nothing has been written to.
    pub(crate) fn fresh(geometry: Geometry) -> Start {
        let start = geometry.grid().start();
        Start { ring: SMALL, heads: [start, start] }
    }
}

/// The next ticket number: never 0 (awake) and never [`CLOSED`].
pub(crate) fn fresh_ticket(last: u32) -> u32 {
    match last.wrapping_add(1) {
        0 | CLOSED => 1,
        next => next,
    }
}

const _: () = assert!(HEADER_BYTES == 8);
