//! The writing end of a log: finds room, lends it, commits frames, and knows what its readers have released.
//!
//! Two rings serve one stream of frames. The *small* ring stays warm in the caches while the readers keep up; when it
//! is full the writer says [`Kind::Switch`] and goes on in the *large* one, and it comes back when the readers have
//! caught up. Each ring is an ordinary ring with counts of its own; the order of frames is the order in which a reader
//! meets them, following the switches.

mod audience;
mod checkpoints;
mod floor;
mod generation;
mod history;
mod linger;
mod obstacles;
mod opening;
mod parts;
mod room;
mod seats;

pub use audience::BroadcastTerms;
pub(crate) use seats::MOST_SEATS;
pub use seats::{Behind, Departure, SeatId, SeatTerms};

use super::frame::{CARRIES, Grid, HEADER_BYTES, Header, Kind, RENDEZVOUS, REWIND};
use super::order::Standing;
use super::page::{CLOSED, Page};
use super::ring::Ring;
use super::{Announcement, Barriers, Geometry, Signals, WriteError};
use crate::atomic::{Ordering, compiler_fence, fence};
use audience::Audience;
use linger::Linger;
use seats::Seat;
use std::ops::Deref;
use std::time::Duration;
use wharf_sys::crash_point;

/// Index of the small ring.
pub(crate) const SMALL: usize = 0;
/// Index of the large ring.
pub(crate) const LARGE: usize = 1;

/// No message is as long.
const NOT_READY: u64 = u64::MAX;

/// One ring as its writer sees it, in a cache line of its own: what changes with every message stands together, because each
/// further line that is stored to delays the stores to the peer's lines (docs/performance.md).
#[derive(Debug)]
#[repr(C, align(64))]
struct Track<R> {
    /// Position of the next header; the word there is zero.
    head: u64,
    /// Position of the last header that was cleared before the frame in front of it was filled in; see [`Writer::open`]. The word there is
    /// zero until the head has gone beyond it: whoever fills in more opens more, and what is filled in without that is committed.
    cleared: u64,
    /// Position that no byte may reach: the tail plus the size, or the first frame that somebody holds before that.
    limit: u64,
    /// Messages of which the last frame stands in this ring. Not beside `head`: the compiler would make one store of 16 bytes of the
    /// two, out of which the next message reads eight.
    sent: u64,
    /// What lies before it is free, but for frames that somebody holds.
    tail: u64,
    ring: R,
}

impl<R: Ring> Track<R> {
    fn new(ring: R, grid: Grid) -> Track<R> {
        Track { head: grid.start(), sent: 0, cleared: 0, limit: ring.size(), tail: 0, ring }
    }

    /// Whether all that was written is known to be released, and nothing is held.
    #[inline(always)]
    fn is_alone(&self) -> bool {
        self.limit - self.ring.size() == self.head
    }

    fn free_up_to(&mut self, tail: u64) {
        self.tail = tail;
        self.limit = tail + self.ring.size();
    }
}

/// The one writer of a log.
#[derive(Debug)]
pub(crate) struct Writer<R, P> {
    tracks: [Track<R>; 2],
    current: usize,
    /// Fast-path bound on a payload in the current ring; 0 sends everything through the slow path.
    payload_bound: u64,
    /// The next message finds room at the head of the small ring if it has this length; [`NOT_READY`] if nothing is known.
    ready: u64,
    /// Nothing longer is sent through the fast path, whatever the ring.
    quick_bound: u64,
    /// Fast-path bound on where a frame in the current ring may end: its limit without the reserve, the next review, or the end of the
    /// lap, whichever comes first.
    position_bound: u64,
    grid: Grid,
    seats: Vec<Seat<P>>,
    /// This side's own page: the writer's ticket is there.
    own: P,
    next_ticket: u32,
    barriers: Barriers,
    standing: Standing,
    /// Some reader sleeps on a ticket that has not been rung for, or has lost its seat.
    must_ring: bool,
    /// Parts of a message were committed and the rest never will be.
    abort_due: bool,
    closed: bool,
    /// Whether to wait for room in the small ring.
    linger: Linger,
    /// What a broadcast needs beside all that; `None` for a link.
    audience: Option<Audience>,
}

impl<R: Ring, P: Deref<Target = Page>> Writer<R, P> {
    /// A writer of fresh (zeroed) rings without readers.
    pub(crate) fn new(small: R, large: R, own: P, geometry: Geometry, barriers: Barriers) -> Self {
        let grid = geometry.grid();
        let mut writer = Writer {
            tracks: [Track::new(small, grid), Track::new(large, grid)],
            current: SMALL,
            payload_bound: 0,
            ready: NOT_READY,
            quick_bound: u64::MAX,
            position_bound: 0,
            grid,
            seats: Vec::new(),
            own,
            next_ticket: 1,
            barriers,
            standing: Standing::new(),
            must_ring: false,
            abort_due: false,
            closed: false,
            linger: Linger::default(),
            audience: None,
        };
        writer.set_bounds();
        writer
    }

    /// It may wait for a moment for room in the small ring: there are two processors, and both sides have time to spin.
    pub(crate) fn may_linger(&mut self) {
        self.linger.allow();
    }

    /// Sends nothing longer than this through the fast path, so that whoever has a limit of its own need not ask for it there.
    pub(crate) fn be_quick_up_to(&mut self, len: u64) {
        self.quick_bound = len;
        self.set_bounds();
    }

    fn heads(&self) -> [u64; 2] {
        [self.tracks[SMALL].head, self.tracks[LARGE].head]
    }

    /// Messages committed so far.
    #[inline]
    pub(crate) fn sent(&self) -> u64 {
        self.tracks[SMALL].sent + self.tracks[LARGE].sent
    }

    /// Messages that every reader has taken, as last told; never more than were sent.
    pub(crate) fn taken(&self) -> u64 {
        self.seats.iter().map(|seat| self.taken_by(seat)).min().unwrap_or(self.sent())
    }

    /// Largest payload of one frame.
    pub(crate) fn largest_frame(&self) -> u64 {
        self.largest_in(LARGE)
    }

    /// Writes a whole message as one frame.
    #[inline(always)]
    pub(crate) fn try_write(&mut self, payload: &[u8], rendezvous: bool) -> Result<(), WriteError> {
        self.make_room(payload.len() as u64)?;
        self.open(payload.len() as u64);
        let track = &self.tracks[self.current & 1];
        if !track.ring.put(track.head, &[], payload) {
            return Err(WriteError::Full);
        }
        self.commit(Kind::Data, rendezvous, payload.len() as u64);
        self.tracks[self.current & 1].sent += 1;
        Ok(())
    }

    /// Writes a whole message, `prefix` and behind it `payload`, if that takes nothing but stores: the common case, small
    /// enough to be part of the caller. `false`: ask [`Writer::try_write`], which says why or does what it takes.
    #[inline(always)]
    pub(crate) fn write_quickly(&mut self, prefix: &[u64], payload: &[u8]) -> bool {
        self.write(prefix, payload, true)
    }

    /// The same for a message that is answered before there is another. Lines ahead are not taken back: that is for streams, and here
    /// whoever looks for the answer would wait until they had come.
    #[inline(always)]
    pub(crate) fn write_in_turn(&mut self, prefix: &[u64], payload: &[u8]) -> bool {
        self.write(prefix, payload, false)
    }

    #[inline(always)]
    fn write(&mut self, prefix: &[u64], payload: &[u8], in_stream: bool) -> bool {
        let len = (size_of_val(prefix) + payload.len()) as u64;
        if len != self.ready {
            if !self.has_room(len) {
                return false;
            }
            if self.current != SMALL && self.tracks[LARGE].is_alone() {
                return match *prefix {
                    [] => self.write_alone([0; 2], 0, payload, len),
                    [word] => self.write_alone([word, 0], 1, payload, len),
                    [first, second] => self.write_alone([first, second], 2, payload, len),
                    _ => false,
                };
            }
        }
        let frame = self.grid.frame(len);
        let track = &mut self.tracks[self.current & 1];
        let Some(place) = track.ring.place(track.head, len) else { return false };
        let (header, next) = (track.ring.word(track.head), track.ring.word(track.head + frame));
        // Orderings: as in `commit_sized`. Here the next header is cleared before the payload, which is filled in from its
        // end: what goes into one line then stands together among the stores that wait for the peer to give its lines up
        // (docs/performance.md). A word that no reader looks at yet may be cleared at any time.
        next.store(0, Ordering::Relaxed);
        track.ring.fill(place, prefix, payload);
        crash_point!("log.commit.cleared");
        header.store(Header::pack(Kind::Data, 0, len as u32), Ordering::Release);
        crash_point!("log.commit.written");
        track.head += frame;
        track.sent += 1;
        self.look_for_sleepers();
        if in_stream {
            self.open_ahead(frame);
        }
        self.get_ready(len);
        true
    }

    /// Looks whether another message as long as the one before would be written quickly: while its peer reads that one, and not
    /// between its own question and the answer.
    #[inline(always)]
    fn get_ready(&mut self, len: u64) {
        let ready = if self.current == SMALL && self.has_room(len) { len } else { NOT_READY };
        // A store only where something changes.
        if self.ready != ready {
            self.ready = ready;
        }
    }

    /// Whether a message of `len` bytes is one that was got ready for.
    #[inline(always)]
    pub(crate) fn is_ready(&self, len: u64) -> bool {
        self.ready == len
    }

    /// The next message is to be looked at like the first.
    pub(crate) fn unready(&mut self) {
        self.ready = NOT_READY;
    }

    /// The same in the large ring where all before is released: the next message may go back to its start. The prefix comes by value,
    /// in registers: for a slice each message, also one that does not come here, would put it together in memory.
    #[cold]
    #[inline(never)]
    fn write_alone(&mut self, prefix: [u64; 2], words: usize, payload: &[u8], len: u64) -> bool {
        self.open(len);
        let track = &self.tracks[self.current & 1];
        let prefix = prefix.get(..words).unwrap_or_default();
        if !track.ring.put(track.head, prefix, payload) {
            return false;
        }
        self.commit_loan(len, false);
        true
    }

    /// Makes room for a message of `len` bytes before it is there, so that it is written quickly: looks at the readers, and
    /// says the pad at the end of a lap. What stands in its way is told when it is written.
    #[inline(always)]
    pub(crate) fn prepare(&mut self, len: u64) {
        if !self.has_room(len) {
            // Whom a pad must be rung for, is rung for with the next message.
            let _ = self.make_room_slowly(len);
        }
    }

    /// Makes sure that a frame with `len` bytes of payload fits at the head of the current ring.
    #[inline(always)]
    pub(crate) fn make_room(&mut self, len: u64) -> Result<(), WriteError> {
        if self.fits(len) { Ok(()) } else { self.make_room_slowly(len) }
    }

    /// Whether a frame fits as far as is known without looking at the readers, a large one of a link's too.
    #[inline(always)]
    pub(crate) fn fits(&self, len: u64) -> bool {
        self.has_room(len) || self.has_room_for_large(len)
    }

    /// Clears the header behind a message of `len` bytes that is going to be filled in at the head, for which there is room, and of
    /// which it is not known whether it will be committed.
    ///
    /// Stores reach the cache in the order of the program. If this one came between the message and its header, whoever waits for the
    /// header would take the header's line back while the writer waits for this word's line, once more for each message
    /// (docs/performance.md).
    #[inline(always)]
    pub(crate) fn open(&mut self, len: u64) {
        let frame = self.grid.frame(len);
        let bytes = match self.current {
            SMALL => frame,
            _ => self.reach(len, frame).unwrap_or(frame),
        };
        let track = &mut self.tracks[self.current & 1];
        track.cleared = track.head + bytes;
        // Relaxed: ordered before the header by the release store in `commit_sized`, and no reader looks there before it has seen that.
        track.ring.word(track.cleared).store(0, Ordering::Relaxed);
    }

    /// Whether a frame fits the current ring as far as is known without looking at the readers.
    #[inline(always)]
    fn has_room(&self, len: u64) -> bool {
        let track = &self.tracks[self.current & 1];
        len <= self.payload_bound && track.head + self.grid.frame(len) <= self.position_bound
    }

    /// Commits the frame at the head, whose payload is in place, and notes which readers must be rung for.
    #[inline(always)]
    pub(crate) fn commit(&mut self, kind: Kind, rendezvous: bool, len: u64) {
        self.commit_flagged(kind, if rendezvous { RENDEZVOUS } else { 0 }, len);
    }

    #[inline(always)]
    fn commit_flagged(&mut self, kind: Kind, flags: u8, len: u64) {
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
    ///
    /// Of a link's large frames the one before may still be read: its reader has had no time yet to say that it is done.
    fn commit_large(&mut self, flags: u8, frame: u64, len: u64) {
        match self.reach(len, frame) {
            Some(all) => self.commit_sized(Header::pack(Kind::Data, flags | REWIND, len as u32), all),
            None => self.commit_sized(Header::pack(Kind::Data, flags, len as u32), frame),
        }
        if self.is_large(len) {
            self.look_ahead();
        }
    }

    /// How far a frame in the large ring reaches if the next one is to go back to the start.
    #[inline(always)]
    fn reach(&self, len: u64, frame: u64) -> Option<u64> {
        let track = &self.tracks[self.current & 1];
        let size = track.ring.size();
        let offset = track.head & (size - 1);
        let all = self.grid.frame_and_rest(offset, frame, size);
        let waits = track.head - (track.limit - size);
        let keeps_up = waits == 0 || (self.is_large(len) && waits <= frame);
        (keeps_up && offset >= size / 2 && track.head + all + self.grid.reserve() <= track.limit).then_some(all)
    }

    #[inline(always)]
    fn commit_sized(&mut self, header: u64, bytes: u64) {
        self.unready();
        let track = &mut self.tracks[self.current & 1];
        if track.cleared != track.head + bytes {
            // Relaxed: ordered before the header by the release store below, and no reader looks at the next header
            // before it has seen this one.
            track.ring.word(track.head + bytes).store(0, Ordering::Relaxed);
        }
        crash_point!("log.commit.cleared");
        // Release pairs with the reader's acquire load of the same word: payload and cleared next header are visible
        // to whoever sees this header.
        track.ring.word(track.head).store(header, Ordering::Release);
        crash_point!("log.commit.written");
        track.head += bytes;
        self.look_for_sleepers();
    }

    /// After a commit, or a tally: has any reader announced that it sleeps?
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

    /// Tells a number beside the messages, in place of the one before. Whoever reads it finds all messages that were committed before.
    #[inline(always)]
    pub(crate) fn tell(&mut self, tally: u64) {
        // Release pairs with the acquire load in `Reader::tally`: the messages before are visible with it.
        self.own.tally.store(tally, Ordering::Release);
        crash_point!("log.tally.told");
        self.look_for_sleepers();
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

    /// Whether some reader sleeps on a ticket that has not been rung for.
    #[inline(always)]
    pub(crate) fn must_ring(&self) -> bool {
        self.must_ring
    }

    /// Notes that a ring did not reach its reader, so that the next commit asks for another.
    pub(crate) fn owe_ring(&mut self) {
        self.must_ring = true;
    }

    /// Whether a reader has said that it takes nothing more.
    pub(crate) fn reader_closed(&self) -> bool {
        self.seats.iter().any(|seat| seat.closed || seat.page.data_ticket.load(Ordering::Relaxed) == CLOSED)
    }

    /// Whether no reader has had the last message, of readers that have closed or are dead: each has told how far it was when it
    /// closed or fell asleep, and is as asleep still. Where one was awake when it died nobody knows, and the answer is no.
    pub(crate) fn last_was_missed(&self) -> bool {
        self.seats.iter().all(|seat| {
            // Acquire pairs with the release stores of `Reader::close` and `Reader::announce_unordered`: what it had taken by then is
            // visible. A reader takes its announcement back before its program has another message (`Reader::awake`), so one that is
            // asleep has taken nothing since. That it sleeps does not say so alone: it may have fallen asleep behind the message,
            // which it found by itself before we looked for sleepers.
            seat.page.data_ticket.load(Ordering::Acquire) != 0 && self.taken_by(seat) < self.sent()
        })
    }

    /// Announces that this writer is about to sleep until readers release something. After this look once more before
    /// sleeping. The answer is the longest that it may sleep before it looks again.
    pub(crate) fn announce(&mut self, signals: &impl Signals) -> Option<Duration> {
        self.announce_unordered().order(signals)
    }

    /// Announces the same, but orders nothing, as `Reader::announce_unordered`.
    pub(crate) fn announce_unordered(&mut self) -> Announcement {
        self.next_ticket = fresh_ticket(self.next_ticket);
        // Relaxed: nobody else writes there.
        let still = self.own.room_ticket.load(Ordering::Relaxed) != 0;
        let announcement = self.standing.announce(self.barriers.own, still, self.told());
        // Relaxed: the barrier orders it before our next look at the readers' positions.
        self.own.room_ticket.store(self.next_ticket, Ordering::Relaxed);
        announcement
    }

    /// How far the readers have come, as one number that changes when any of them tells something.
    fn told(&self) -> u64 {
        // Relaxed: before the ticket, so that whatever changes later rings or is seen as a change.
        let words = self.seats.iter().flat_map(|seat| seat.page.released.iter().chain([&seat.page.taken]));
        words.fold(0, |sum, word| sum.wrapping_add(word.load(Ordering::Relaxed)))
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

    /// Which ring, and the position there of the next header.
    #[inline(always)]
    pub(crate) fn place(&self) -> (usize, u64) {
        (self.current, self.tracks[self.current & 1].head)
    }

    /// The ring of a [`place`](Self::place).
    pub(crate) fn ring_of(&self, place: (usize, u64)) -> &R {
        &self.tracks[place.0 & 1].ring
    }

    /// The ring and position at which the next frame's payload is filled, for loans.
    #[inline]
    pub(crate) fn head(&self) -> (&R, u64) {
        let track = &self.tracks[self.current & 1];
        (&track.ring, track.head)
    }

    /// Commits the last frame of a message for which descriptors were passed beside the log, and counts the message. Of a
    /// message in parts this is its last part. The release store of the header comes after they were passed.
    pub(crate) fn commit_carrying(&mut self, last_part: bool, len: u64, rendezvous: bool) {
        let kind = if last_part { Kind::Last } else { Kind::Data };
        self.commit_flagged(kind, CARRIES | if rendezvous { RENDEZVOUS } else { 0 }, len);
        self.tracks[self.current & 1].sent += 1;
    }

    /// Counts a message that was filled in place and committed.
    #[inline(always)]
    pub(crate) fn commit_loan(&mut self, len: u64, rendezvous: bool) {
        self.commit(Kind::Data, rendezvous, len);
        self.tracks[self.current & 1].sent += 1;
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
