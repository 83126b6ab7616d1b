//! The writing end of a broadcast, in mapped memory.
#![allow(unsafe_code)]

use super::room::Loans;
use crate::log::mapped::{MappedPage, MappedRing};
use crate::log::order::{Announcement, Membarrier};
use crate::log::page::PAGE_BYTES;
use crate::log::sealed;
use crate::log::writer::{Behind, BroadcastTerms, Departure, MOST_SEATS, SeatId, SeatTerms, Writer};
use crate::log::{Barriers, Geometry, LogError, Start, WriteError};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;
use wharf_sys::memory::Mapping;

/// The one writer of a broadcast.
///
/// A message is one frame, and a frame holds at most [`largest_frame`](Self::largest_frame) bytes, a little less than half
/// of the large ring; a larger one needs a larger [generation](Self::start_generation).
#[derive(Debug)]
pub struct BroadcastWriter {
    writer: Writer<MappedRing, MappedPage>,
    memory: OwnedFd,
    geometry: Geometry,
    /// Payload bytes lent at the head; everything else that writes takes them back first.
    lent: Option<u64>,
    /// Whether room is lent as a value of its own: then nothing is written.
    pub(super) loans: Loans,
}

impl BroadcastWriter {
    /// Makes the memory of a log that nobody reads yet.
    ///
    /// # Errors
    /// [`LogError::NoRoom`] when the machine has no memory for it, [`LogError::System`].
    pub fn create(geometry: Geometry, terms: BroadcastTerms) -> Result<BroadcastWriter, LogError> {
        let (memory, small, large, page) = make(geometry)?;
        let writer = Writer::new(small, large, page, geometry, Barriers::FENCES).into_broadcast(terms);
        Ok(BroadcastWriter { writer, memory, geometry, lent: None, loans: Loans::new() })
    }

    /// The memory of the present generation, to be passed to readers.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.memory.as_fd()
    }

    /// Its sizes, to be told to readers.
    pub fn geometry(&self) -> Geometry {
        self.geometry
    }

    /// The present generation, counted from 0.
    pub fn generation(&self) -> u64 {
        self.writer.generation()
    }

    /// Gives the reader that brings this page a seat. It counts from the moment this returns: what is written afterwards
    /// reaches the reader or is counted as missed. `history_wanted` lets it begin so many messages back, as far as the
    /// history that was asked for at creation goes.
    ///
    /// # Errors
    /// [`LogError::NotSealed`], [`WrongSize`](LogError::WrongSize): this is no reader's page;
    /// [`TooManyReaders`](LogError::TooManyReaders).
    pub fn join(&mut self, page: OwnedFd, terms: SeatTerms, history_wanted: u64) -> Result<(SeatId, Start), LogError> {
        let page = sealed::page(&sealed::accept(&page, PAGE_BYTES)?)?;
        self.writer.join(page, terms, history_wanted).ok_or(LogError::TooManyReaders { limit: MOST_SEATS })
    }

    /// Takes a seat away: the reader has closed, died, or is not wanted. `false` when it had none. What it pinned counts no
    /// longer, so a reader that still lives must be told.
    pub fn leave(&mut self, seat: SeatId) -> bool {
        self.writer.leave(seat)
    }

    /// How many readers have a seat.
    pub fn seats(&self) -> usize {
        self.writer.seats()
    }

    /// Tells which seats were taken away from their readers, why, and which message these wanted next, as far as they had
    /// said; telling clears it. Looked at when the log is full, when readers are to be rung for, and here.
    pub fn take_departed(&mut self, departed: impl FnMut(SeatId, Departure, u64)) {
        self.writer.take_departed(departed);
    }

    /// Writes a message, whole or not at all.
    #[inline(always)]
    pub fn try_write(&mut self, message: &[u8]) -> Result<(), WriteError> {
        self.expect_nothing_lent()?;
        self.lent = None;
        self.writer.try_write(message, false)
    }

    /// Writes a message if that takes nothing but stores. `false`: ask [`try_write`](Self::try_write).
    #[inline(always)]
    pub fn write_quickly(&mut self, message: &[u8]) -> bool {
        // What is lent is taken back by `try_write`: asked for each message, a store here would be one for each message. Whoever has got
        // ready for it has lent nothing since.
        if !self.writer.is_ready(message.len() as u64) && (self.loans.is_out() || self.lent.is_some()) {
            return false;
        }
        self.writer.write_quickly(&[], message)
    }

    /// From now on nothing longer than this is written [quickly](Self::write_quickly).
    pub fn be_quick_up_to(&mut self, len: u64) {
        self.writer.be_quick_up_to(len);
    }

    /// Lends room for a message of `len` bytes in place; see [`lent_mut`](Self::lent_mut).
    #[inline]
    pub fn try_lend(&mut self, len: u64) -> Result<(), WriteError> {
        self.expect_nothing_lent()?;
        self.lent = None;
        self.writer.make_room(len)?;
        self.writer.open(len);
        self.writer.unready();
        self.lent = Some(len);
        Ok(())
    }

    /// Whether a message of `len` bytes would be written now.
    pub fn look_for_room(&mut self, len: u64) -> Result<(), WriteError> {
        self.expect_nothing_lent()?;
        self.lent = None;
        self.writer.make_room(len)
    }

    /// Makes room for a message of `len` bytes by dropping the oldest, an eighth of the log at least. Who is lapped learns
    /// it from the log itself.
    ///
    /// # Errors
    /// [`WriteError::Full`] when the terms do not allow it; [`WriteError::Pinned`] when what readers hold leaves no room:
    /// [start a generation](Self::start_generation).
    pub fn make_room_by_dropping(&mut self, len: u64) -> Result<(), WriteError> {
        self.expect_nothing_lent()?;
        self.lent = None;
        self.writer.make_room_by_dropping(len, &Membarrier)
    }

    /// Drops the oldest messages, an eighth of the log or a little more: those before [`next_floor`](Self::next_floor).
    ///
    /// # Errors
    /// [`WriteError::Pinned`] when there are none that may be dropped.
    pub fn drop_some(&mut self) -> Result<(), WriteError> {
        self.expect_nothing_lent()?;
        self.lent = None;
        if self.writer.drop_chunk(&Membarrier) { Ok(()) } else { Err(WriteError::Pinned) }
    }

    /// The first message that is left when some are dropped next: whoever wants an earlier one would lose it.
    pub fn next_floor(&self) -> u64 {
        self.writer.next_floor()
    }

    /// The lent bytes: whatever an earlier message left there, or what was filled in. Empty when nothing is lent.
    #[inline]
    pub fn lent(&self) -> &[u8] {
        let Some(len) = self.lent else { return &[] };
        let (ring, position) = self.writer.head();
        // SAFETY: `try_lend` found the bytes at the head free, no reader looks at them before the commit, and the
        // borrow of `self` keeps every call away that would write or commit them.
        unsafe { ring.slice(position, len) }.unwrap_or(&[])
    }

    /// The lent bytes, to be filled. Empty when nothing is lent.
    #[inline]
    pub fn lent_mut(&mut self) -> &mut [u8] {
        let Some(len) = self.lent else { return &mut [] };
        let (ring, position) = self.writer.head();
        // SAFETY: as in `lent`, and the exclusive borrow of `self` makes this the only slice.
        unsafe { ring.slice_mut(position, len) }.unwrap_or(&mut [])
    }

    /// Publishes the lent bytes as a message. `false` when nothing was lent.
    #[inline]
    pub fn commit_lent(&mut self) -> bool {
        let lent = self.lent.take();
        if let Some(len) = lent {
            self.writer.commit_loan(len, false);
        }
        lent.is_some()
    }

    /// Takes lent bytes back; nothing is published.
    pub fn take_back(&mut self) {
        self.lent = None;
    }

    /// Most bytes of one message in this generation.
    pub fn largest_frame(&self) -> u64 {
        self.writer.largest_frame()
    }

    /// Messages written, in all generations; the next has this sequence.
    #[inline]
    pub fn sent(&self) -> u64 {
        self.writer.sent()
    }

    /// The first sequence of this generation that is not dropped.
    pub fn floor(&self) -> u64 {
        self.writer.floor()
    }

    /// Messages that every reader has taken or missed, as last told.
    pub fn taken(&self) -> u64 {
        self.writer.taken()
    }

    /// How far each reader is behind, as last told.
    pub fn behind(&self) -> impl Iterator<Item = (SeatId, Behind)> {
        self.writer.behind()
    }

    /// Whether somebody must be rung for, or told that it has lost its seat: ask [`take_departed`](Self::take_departed), then
    /// [`take_rings`](Self::take_rings) whom.
    #[inline(always)]
    pub fn must_ring(&self) -> bool {
        self.writer.must_ring()
    }

    /// Tells which readers sleep on a ticket that has not been rung for; telling clears it.
    pub fn take_rings(&mut self, ring: impl FnMut(SeatId)) {
        self.writer.take_rings(ring);
    }

    /// Notes that a ring did not reach this reader, so that it is told of again.
    pub fn owe_ring(&mut self, seat: SeatId) {
        self.writer.owe_ring_to(seat);
    }

    /// Announces sleep: a reader rings once when it next releases something. Look once more afterwards. The answer is that
    /// of [`Announcement::order_by_system`].
    pub fn announce(&mut self) -> Option<Duration> {
        self.writer.announce(&Membarrier)
    }

    /// Announces sleep as one of several announcements that are ordered at once.
    pub fn announce_unordered(&mut self) -> Announcement {
        self.writer.announce_unordered()
    }

    /// Takes the announcement back.
    pub fn awake(&mut self) {
        self.writer.awake();
    }

    /// Readers that would lose their seats by the next [generation](Self::start_generation): those that are that far behind, or
    /// hold messages in memory that old.
    pub fn would_cut_off(&self) -> impl Iterator<Item = SeatId> {
        self.writer.would_cut_off()
    }

    /// Whether every reader has come to the present generation, and holds nothing in place.
    pub fn nothing_is_kept(&self) -> bool {
        self.writer.nothing_is_kept()
    }

    /// Goes on in fresh memory with the same alignment: larger for a message that does not fit, or because readers hold too
    /// much, smaller when that is over. It must have room for each message of the history that goes along. Whoever has a seat must then be passed [`fd`](Self::fd), [`geometry`](Self::geometry) and
    /// the start that this returns, in the order of the generations.
    ///
    /// # Errors
    /// [`LogError::NoRoom`], [`LogError::System`]: nothing has changed. [`LogError::WrongSuccessor`].
    pub fn start_generation(&mut self, geometry: Geometry) -> Result<Start, LogError> {
        if self.loans.is_out() {
            return Err(LogError::Lent);
        }
        self.lent = None;
        let now = self.geometry;
        let larger = geometry.small_bytes >= now.small_bytes && geometry.large_bytes >= now.large_bytes;
        if geometry.align != now.align || !(larger || self.writer.largest_kept() <= geometry.largest_message()) {
            return Err(LogError::WrongSuccessor);
        }
        let (memory, small, large, page) = make(geometry)?;
        let start = self.writer.renew(small, large, page, geometry).map_err(|_| LogError::WrongSuccessor)?;
        self.memory = memory;
        self.geometry = geometry;
        Ok(start)
    }

    /// Says that nothing follows. Does nothing while [room](Self::lend_room) is lent: take it back first.
    pub fn close(&mut self) {
        if self.loans.is_out() {
            return;
        }
        self.lent = None;
        self.writer.close();
    }
}

impl BroadcastWriter {
    #[inline(always)]
    fn expect_nothing_lent(&self) -> Result<(), WriteError> {
        if self.loans.is_out() { Err(WriteError::Lent) } else { Ok(()) }
    }

    /// The memory in which the next message is written.
    #[inline]
    pub(super) fn mapping(&self) -> &Arc<Mapping> {
        self.writer.head().0.mapping()
    }

    /// Publishes so many bytes at the head, which were filled in place.
    #[inline]
    pub(super) fn commit_bytes(&mut self, len: u64) -> bool {
        self.lent = None;
        self.writer.commit_loan(len, false);
        true
    }
}

fn make(geometry: Geometry) -> Result<(OwnedFd, MappedRing, MappedRing, MappedPage), LogError> {
    let (memory, mapping) = sealed::make(geometry.total_bytes())?;
    let page = sealed::page(&mapping)?;
    page.write_label(geometry.align, geometry.small_bytes, geometry.large_bytes);
    let (small, large) = sealed::rings(&mapping, geometry)?;
    Ok((memory, small, large, page))
}
