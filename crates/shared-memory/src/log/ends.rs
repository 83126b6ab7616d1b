//! The two ends of a log as the layers above hold them: safe, in mapped memory, with messages in place.
#![allow(unsafe_code)]

use super::broadcast::ReaderPage;
use super::mapped::{MappedPage, MappedRing};
use super::page::PAGE_BYTES;
use super::reader::{Polled, Quick, Reader};
use super::side::Terms;
use super::start::Start;
use super::writer::Writer;
use super::{Announcement, Barriers, Corrupt, Geometry, LogError, Membarrier, WriteError, sealed};
use std::os::fd::OwnedFd;
use std::ptr::NonNull;
use std::sync::Arc;
use std::time::Duration;
use wharf_sys::memory::Mapping;

/// The writing end of a log.
#[derive(Debug)]
pub struct LogWriter {
    writer: Writer<MappedRing, MappedPage>,
    /// What is lent; everything else that writes takes it back.
    lent: Option<Lent>,
}

/// Payload bytes lent at the head.
#[derive(Debug, Clone, Copy)]
struct Lent {
    /// Ring and position of the head then. Once it has gone on they are lent no more, and the quick way need not say so.
    at: (usize, u64),
    len: u64,
}

/// A message that was lent and is published: [`LogWriter::published`].
#[derive(Debug)]
pub struct Published(Lent);

impl LogWriter {
    pub(crate) fn new(writer: Writer<MappedRing, MappedPage>) -> LogWriter {
        LogWriter { writer, lent: None }
    }

    /// Meets the one reader of a link in one direction ([`Side::lead`](super::Side::lead)): `page` is the memory that it passed on
    /// before it looked at this log. Ring for it if it sleeps already.
    ///
    /// # Errors
    /// [`LogError::NotSealed`], [`LogError::WrongSize`]: this is no page of a reader. [`LogError::System`].
    pub fn meet(&mut self, page: &OwnedFd, barriers: Barriers) -> Result<(), LogError> {
        let page = sealed::page(&sealed::accept(page, PAGE_BYTES)?)?;
        self.writer.meet_reader(page, barriers);
        Ok(())
    }

    /// From now on a message that finds the small ring full may wait a few microseconds for room there, where it is worth it:
    /// for links whose two sides run on two processors and do not sleep at once.
    pub fn may_linger(&mut self) {
        self.writer.may_linger();
    }

    /// From now on nothing longer than this is written [quickly](Self::write_quickly), or lent so.
    pub fn be_quick_up_to(&mut self, len: u64) {
        self.writer.be_quick_up_to(len);
    }

    /// Writes a message of at most [`largest_frame`](Self::largest_frame) bytes, whole or not at all. With
    /// `rendezvous` the reader says at once when it takes it.
    #[inline(always)]
    pub fn try_write(&mut self, message: &[u8], rendezvous: bool) -> Result<(), WriteError> {
        self.lent = None;
        self.writer.try_write(message, rendezvous)
    }

    /// Writes a message, `head` and behind it `rest`, if that takes nothing but stores. `false`: ask
    /// [`try_write`](Self::try_write).
    #[inline(always)]
    pub fn write_quickly(&mut self, head: &[u64], rest: &[u8]) -> bool {
        self.writer.write_quickly(head, rest)
    }

    /// The same for a message that is answered before there is another: nothing is done for the speed of a stream, which whoever looks
    /// for the answer would wait for.
    #[inline(always)]
    pub fn write_in_turn(&mut self, head: &[u64], rest: &[u8]) -> bool {
        self.writer.write_in_turn(head, rest)
    }

    /// Whether the last message that was written quickly was as long, and room for another is known. Bounds that a caller has of its own
    /// need not be asked again then, if it says [`unready`](Self::unready) as soon as they are reached.
    #[inline(always)]
    pub fn is_ready(&self, len: u64) -> bool {
        self.writer.is_ready(len)
    }

    /// See [`is_ready`](Self::is_ready).
    pub fn unready(&mut self) {
        self.writer.unready();
    }

    /// Tells a number beside the messages, in place of the one before: it is there for the reader, whether or not there is room in
    /// the log, and stays when this process is killed. Messages written before are seen by whoever sees it.
    #[inline(always)]
    pub fn tell(&mut self, tally: u64) {
        self.writer.tell(tally);
    }

    /// Makes room for a message of `len` bytes while there is time for it, so that [`write_quickly`](Self::write_quickly) finds
    /// it; where there is none, the write says so.
    #[inline(always)]
    pub fn prepare(&mut self, len: u64) {
        // What is lent may be filled in already.
        if self.lent_len().is_none() {
            self.writer.prepare(len);
        }
    }

    /// Writes what fits of a larger message, of which `done` bytes are written already; `Ok` when all of it is.
    /// Between two calls only this or [`abort_parts`](Self::abort_parts) may follow.
    pub fn try_write_part(&mut self, message: &[u8], done: &mut usize, rendezvous: bool) -> Result<(), WriteError> {
        self.lent = None;
        self.writer.try_write_part(message, done, rendezvous)
    }

    /// Writes what fits of the parts of a larger message before its last one; `Ok` when only that is left behind `done`:
    /// lend it, and [`commit_lent_carrying`](Self::commit_lent_carrying). Otherwise as [`try_write_part`](Self::try_write_part).
    pub fn try_write_parts_before_last(&mut self, message: &[u8], done: &mut usize) -> Result<(), WriteError> {
        self.lent = None;
        self.writer.try_write_parts_before_last(message, done)
    }

    /// Gives up a message that was written in part; readers never see it.
    pub fn abort_parts(&mut self) {
        self.lent = None;
        self.writer.abort_parts();
    }

    /// Lends room for a message of `len` bytes in place; see [`lent`](Self::lent), [`lent_mut`](Self::lent_mut).
    #[inline]
    pub fn try_lend(&mut self, len: u64) -> Result<(), WriteError> {
        self.lent = None;
        self.writer.make_room(len)?;
        self.open(len);
        Ok(())
    }

    /// [`try_lend`](Self::try_lend) if that takes nothing but what is known already. `false`: ask that.
    #[inline(always)]
    pub fn lend_quickly(&mut self, len: u64) -> bool {
        let fits = self.writer.fits(len);
        if fits {
            self.open(len);
        }
        fits
    }

    #[inline(always)]
    fn open(&mut self, len: u64) {
        self.writer.open(len);
        self.lent = Some(Lent { at: self.writer.place(), len });
    }

    #[inline(always)]
    fn take_lent(&mut self) -> Option<u64> {
        let len = self.lent_len();
        self.lent = None;
        len
    }

    /// How many bytes are lent.
    #[inline(always)]
    fn lent_len(&self) -> Option<u64> {
        self.lent.filter(|lent| lent.at == self.writer.place()).map(|lent| lent.len)
    }

    /// Whether a message of `len` bytes (or a part of a larger one) would be written now.
    pub fn look_for_room(&mut self, len: u64) -> Result<(), WriteError> {
        self.lent = None;
        let part = self.writer.largest_part();
        self.writer.make_room(if len > self.largest_frame() { part } else { len })
    }

    /// The lent bytes: whatever an earlier message left there, or what was filled in. Empty when nothing is lent.
    #[inline]
    pub fn lent(&self) -> &[u8] {
        let Some(len) = self.lent_len() else { return &[] };
        let (ring, position) = self.writer.head();
        // SAFETY: `try_lend` found the bytes at the head free, no reader looks at them before the commit, and the
        // borrow of `self` keeps every call away that would write or commit them.
        unsafe { ring.slice(position, len) }.unwrap_or(&[])
    }

    /// The lent bytes, to be filled. Empty when nothing is lent.
    #[inline]
    pub fn lent_mut(&mut self) -> &mut [u8] {
        let Some(len) = self.lent_len() else { return &mut [] };
        let (ring, position) = self.writer.head();
        // SAFETY: as in `lent`, and the exclusive borrow of `self` makes this the only slice.
        unsafe { ring.slice_mut(position, len) }.unwrap_or(&mut [])
    }

    /// Publishes the lent bytes as a message. `false` when nothing was lent.
    #[inline(always)]
    pub fn commit_lent(&mut self, rendezvous: bool) -> bool {
        match self.take_lent() {
            Some(len) => {
                self.writer.commit_loan(len, rendezvous);
                true
            }
            None => false,
        }
    }

    /// [`commit_lent`](Self::commit_lent) for whoever may want the bytes once more. `None` when nothing was lent.
    pub fn publish_lent(&mut self) -> Option<Published> {
        let lent = self.lent;
        self.commit_lent(false).then_some(lent).flatten().map(Published)
    }

    /// The bytes of the message that was published last. Whatever lies in their place when something was written since.
    pub fn published(&self, message: &Published) -> &[u8] {
        let Lent { at, len } = message.0;
        // SAFETY: of what is published readers only read, and the borrow of `self` keeps every call away that would write.
        unsafe { self.writer.ring_of(at).slice(at.1, len) }.unwrap_or(&[])
    }

    /// Publishes the lent bytes as a message, or as the last part of one, for which descriptors were passed beside the log:
    /// its reader is told [`Polled::Carrying`]. `false` when nothing was lent.
    pub fn commit_lent_carrying(&mut self, last_part: bool, rendezvous: bool) -> bool {
        match self.take_lent() {
            Some(len) => {
                self.writer.commit_carrying(last_part, len, rendezvous);
                true
            }
            None => false,
        }
    }

    /// Takes lent bytes back; nothing is published.
    pub fn take_back(&mut self) {
        self.lent = None;
    }

    /// Most bytes that one frame, and so a loan, holds.
    pub fn largest_frame(&self) -> u64 {
        self.writer.largest_frame()
    }

    /// Messages written.
    #[inline]
    pub fn sent(&self) -> u64 {
        self.writer.sent()
    }

    /// Messages that the reader says it has taken.
    pub fn taken(&self) -> u64 {
        self.writer.taken()
    }

    /// Whether the reader must be rung for; asking clears it.
    #[inline(always)]
    pub fn take_must_ring(&mut self) -> bool {
        self.writer.take_must_ring()
    }

    /// Notes that a ring did not reach the reader, so that the next message asks for another.
    pub fn owe_ring(&mut self) {
        self.writer.owe_ring();
    }

    /// Whether the reader has said that it takes nothing more.
    pub fn reader_closed(&self) -> bool {
        self.writer.reader_closed()
    }

    /// Whether the reader, which has closed or is dead, never had the last message: see `Writer::last_was_missed`.
    pub fn last_was_missed(&self) -> bool {
        self.writer.last_was_missed()
    }

    /// Announces sleep: the reader rings once when it next releases or takes something. Look once more afterwards. The
    /// answer is that of [`Announcement::order_by_system`].
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

    /// Says that nothing follows.
    pub fn close(&mut self) {
        self.lent = None;
        self.writer.close();
    }
}

/// The reading end of a log.
#[derive(Debug)]
pub struct LogReader {
    reader: Reader<MappedRing, MappedPage>,
    /// Where the message that the last poll found begins, if it has a length. It is noted when it is found: looking it up once more for
    /// whoever reads it would come between the message and its answer.
    at: NonNull<u8>,
    peer: Arc<Mapping>,
}

// SAFETY: what it points to is the ring's mapping or the reader's own buffer, both of which move along with it, and it is read only
// through a reference to the whole.
unsafe impl Send for LogReader {}

impl LogReader {
    pub(crate) fn new(reader: Reader<MappedRing, MappedPage>, peer: Arc<Mapping>) -> LogReader {
        LogReader { reader, at: NonNull::dangling(), peer }
    }

    /// Opens a link in one direction as its reader: the memory of its writer, which says that it has `theirs` for its sizes.
    /// What this reader tells stands on `page`, which is to be passed to the writer before this log is looked at.
    ///
    /// # Errors
    /// [`LogError::NotSealed`], [`LogError::WrongSize`]: this is not the memory of such a log. [`LogError::System`].
    pub fn follow(page: &ReaderPage, memory: &OwnedFd, theirs: Geometry, terms: Terms) -> Result<LogReader, LogError> {
        let peer = sealed::accept(memory, theirs.total_bytes())?;
        let peer_page = sealed::page(&peer)?;
        let (small, large) = sealed::rings(&peer, theirs)?;
        let reader = Reader::new(
            small,
            large,
            page.page(),
            peer_page,
            theirs,
            Start::fresh(theirs),
            terms.hostile,
            terms.max_message,
            terms.barriers,
        );
        Ok(LogReader::new(reader, peer))
    }

    /// Releases the message before and looks for the next.
    #[inline(always)]
    pub fn poll(&mut self) -> Result<Polled, Corrupt> {
        let polled = self.reader.poll();
        self.at = self.reader.message_at();
        polled
    }

    /// Looks for a message in the one common case: whole and readable in place. Anything else: ask [`poll`](Self::poll).
    #[inline(always)]
    pub fn poll_quickly(&mut self) -> Quick {
        let found = self.reader.poll_quickly();
        if found == Quick::Message {
            // In place, as everything that is found quickly.
            self.at = self.reader.payload_at();
        }
        found
    }

    /// [`poll_quickly`](Self::poll_quickly) behind one that found nothing: looks until there is something, first for half a microsecond
    /// without a pause, and then with so many pauses at most. Says how often it looked in vain, too.
    #[inline(always)]
    pub fn poll_patiently(&mut self, tries: u32) -> (Quick, u32) {
        self.reader.go_on();
        let next = self.reader.payload_at();
        let (took, word, vain) = self.reader.take_patiently(tries);
        if took {
            self.at = next;
            return (Quick::Message, vain);
        }
        (self.find_otherwise(word), vain)
    }

    #[cold]
    #[inline(never)]
    fn find_otherwise(&mut self, word: u64) -> Quick {
        let found = self.reader.find_otherwise(word);
        self.at = self.reader.message_at();
        found
    }

    /// Asks for the lines some messages ahead: where the writer is known to be further on.
    #[inline(always)]
    pub fn fetch_ahead(&self) {
        self.reader.fetch_ahead();
    }

    /// The message that the last poll found: in the ring when the writer is trusted, else a private copy.
    #[inline(always)]
    pub fn message(&self) -> &[u8] {
        // SAFETY: noted by each poll that found one.
        unsafe { self.reader.message_from(self.at) }
    }

    /// Whether the last message lies in the ring.
    #[inline]
    pub fn in_place(&self) -> bool {
        self.reader.in_ring().is_some()
    }

    /// Messages taken.
    #[inline]
    pub fn taken(&self) -> u64 {
        self.reader.taken()
    }

    /// Whether the writer must be rung for; asking clears it.
    #[inline(always)]
    pub fn take_must_ring(&mut self) -> bool {
        self.reader.take_must_ring()
    }

    /// Announces sleep: the writer rings once when it next commits. Poll once more afterwards. The answer is that of
    /// [`Announcement::order_by_system`].
    pub fn announce(&mut self) -> Option<Duration> {
        self.reader.announce(&Membarrier)
    }

    /// Releases the message before, and announces sleep as one of several announcements that are ordered at once.
    pub fn announce_unordered(&mut self) -> Announcement {
        self.reader.announce_unordered()
    }

    /// What the writer tells beside its messages ([`LogWriter::tell`]); 0 before it has told anything. It is what the writer says: check
    /// it. Messages written before are found by polls from now on.
    #[inline(always)]
    pub fn tally(&self) -> u64 {
        self.reader.tally()
    }

    /// From now on a [`tally`](Self::tally) other than this one is something to wake for, as a message is.
    #[inline(always)]
    pub fn heed(&mut self, tally: u64) {
        self.reader.heed(tally);
    }

    /// Whether the next poll finds anything, be it a message or not, or there is another tally than the one that was
    /// [heeded](Self::heed). Releases nothing.
    #[inline]
    pub fn has_next(&self) -> bool {
        self.reader.has_next()
    }

    /// Takes the announcement back.
    pub fn awake(&mut self) {
        self.reader.awake();
    }

    /// Says that nothing more will be taken.
    pub fn close(&mut self) {
        self.reader.close();
    }

    /// The peer's memory as this process maps it: read-only.
    pub fn peer_mapping(&self) -> &Mapping {
        &self.peer
    }
}
