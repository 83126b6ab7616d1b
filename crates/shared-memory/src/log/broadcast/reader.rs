//! The reading end of a broadcast, in mapped memory.
#![allow(unsafe_code)]

use super::generations::Generations;
use super::held::Held;
use crate::log::held::Pins;
use crate::log::mapped::{MappedPage, MappedRing};
use crate::log::order::Announcement;
use crate::log::page::PAGE_BYTES;
use crate::log::reader::Reader;
use crate::log::sealed;
use crate::log::{Barriers, Corrupt, Geometry, Heard, LogError, Quick, Start};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::Arc;
use wharf_sys::memory::Mapping;

/// A reader's page, not yet part of a broadcast or of a link in one direction: what the reader brings to the writer.
#[derive(Debug)]
pub struct ReaderPage {
    memory: OwnedFd,
    page: MappedPage,
}

impl ReaderPage {
    /// Its size.
    pub const BYTES: u64 = PAGE_BYTES;

    /// Makes, reserves, maps and seals a page.
    ///
    /// # Errors
    /// [`LogError::NoRoom`], [`LogError::System`].
    pub fn create() -> Result<ReaderPage, LogError> {
        let (memory, mapping) = sealed::make(PAGE_BYTES)?;
        let page = sealed::page(&mapping)?;
        page.write_label(0, 0, 0);
        Ok(ReaderPage { memory, page })
    }

    /// The memory, to be passed to the writer.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.memory.as_fd()
    }

    pub(in crate::log) fn page(&self) -> MappedPage {
        self.page.clone()
    }
}

/// What a reader of a broadcast agrees on with its writer.
#[derive(Debug, Clone, Copy)]
pub struct ReaderTerms {
    /// The writer may be hostile: every message is copied before anybody looks at it.
    ///
    /// `false` is the caller's word, which nothing here can check, that the writer leaves frames alone that this reader
    /// has not released, or has pinned; so the writer must have given it a [trusted](crate::log::SeatTerms::trusted)
    /// seat. Messages are then seen where the writer wrote them.
    pub hostile: bool,
    /// Largest message in bytes that is accepted.
    pub max_message: u64,
    /// Who pays for the order of things when a side goes to sleep; `peer` also says that the writer runs the barrier
    /// before it overwrites what it dropped.
    pub barriers: Barriers,
    /// The writer may drop messages that this reader has not read.
    pub may_drop: bool,
    /// Most bytes of messages that are held in place; what is held beyond that is a copy.
    pub hold_bytes: u64,
}

/// One reader of a broadcast.
#[derive(Debug)]
pub struct BroadcastReader {
    reader: Reader<MappedRing, MappedPage>,
    /// Where the message that the last poll found begins, if it has a length; as in [`LogReader`](crate::log::LogReader).
    at: NonNull<u8>,
    terms: ReaderTerms,
    pins: Arc<Pins<MappedPage>>,
    generations: Generations,
    _page: OwnedFd,
}

// SAFETY: what `at` points to is the ring's mapping or the reader's own buffer, both of which move along with it, and it is read only
// through a reference to the whole.
unsafe impl Send for BroadcastReader {}

impl BroadcastReader {
    /// Opens the log behind `memory`, of the sizes that its writer told, at the start that it told.
    ///
    /// # Errors
    /// [`LogError::NotSealed`], [`WrongSize`](LogError::WrongSize), [`WrongStart`](LogError::WrongStart): this is not
    /// the memory of a log, or not one that begins there.
    pub fn open(
        page: ReaderPage,
        memory: OwnedFd,
        geometry: Geometry,
        start: Start,
        terms: ReaderTerms,
    ) -> Result<BroadcastReader, LogError> {
        let (memory, small, large, peer) = accept(&memory, geometry, start)?;
        let ReaderPage { memory: fd, page } = page;
        let pins = Arc::new(Pins::new(page.clone(), terms.hold_bytes));
        let generations = Generations::new(page.clone(), start.generation(), memory);
        let reader =
            Reader::new(small, large, page, peer, geometry, start, terms.hostile, terms.max_message, terms.barriers);
        let reader = reader.into_broadcast(start, terms.may_drop);
        Ok(BroadcastReader { reader, at: NonNull::dangling(), terms, pins, generations, _page: fd })
    }

    /// Releases the message before and looks for the next.
    ///
    /// # Errors
    /// [`Corrupt`]: the writer breaks the rules of the log; nothing more can be read.
    #[inline(always)]
    pub fn poll(&mut self) -> Result<Heard, Corrupt> {
        let heard = self.reader.poll_broadcast();
        self.at = self.reader.message_at();
        heard
    }

    /// Looks for a message in the one common case: whole and readable in place. Anything else: ask [`poll`](Self::poll).
    ///
    /// When there is nothing, the message before stays pinned and the writer is not told that it was read. That is for a
    /// few looks in a row; before waiting any longer ask [`poll`](Self::poll), which does both.
    #[inline(always)]
    pub fn poll_quickly(&mut self) -> Quick {
        let found = self.reader.poll_broadcast_quickly();
        if found == Quick::Message {
            // In place, as everything that is found quickly.
            self.at = self.reader.payload_at();
        }
        found
    }

    /// [`poll_quickly`](Self::poll_quickly) behind one that found nothing: looks until something stands in the next place, first for half
    /// a microsecond without a pause, and then with so many pauses at most. Says how often it looked in vain, too.
    #[inline(always)]
    pub fn poll_patiently(&mut self, tries: u32) -> (Quick, u32) {
        self.reader.go_on();
        let next = self.reader.payload_at();
        let (found, vain) = self.reader.poll_broadcast_patiently(tries);
        if found == Quick::Message {
            self.at = next;
        }
        (found, vain)
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

    /// The sequence of the last message: how many the writer had sent before it.
    #[inline]
    pub fn sequence(&self) -> u64 {
        self.reader.sequence()
    }

    /// The sequence of the message that comes next.
    #[inline]
    pub fn next_sequence(&self) -> u64 {
        self.reader.taken()
    }

    /// Keeps the last message beyond the next poll: where it is as long as the quota in bytes allows, else as a copy.
    /// Several may be held, and each let go of on any thread.
    pub fn hold(&self) -> Held {
        let kept = self.reader.found_pin().and_then(|(word, len)| {
            let at = self.pins.pin(word, len)?;
            let (start, len) = (self.message().as_ptr(), len as usize);
            // SAFETY: the bytes lie in the ring, in the mapping of this generation, which the held frame keeps; the
            // writer, trusted as it is, leaves them alone until the pin is let go of.
            Some(unsafe {
                Held::pinned(start, len, at, Arc::clone(&self.pins), Arc::clone(self.generations.present()))
            })
        });
        kept.unwrap_or_else(|| Held::copy_of(self.message()))
    }

    /// Bytes of messages that are held in place now.
    pub fn held_bytes(&self) -> u64 {
        self.pins.bytes()
    }

    /// The generation of the log that is read.
    pub fn generation(&self) -> u64 {
        self.reader.generation()
    }

    /// Goes on in the next generation of the log, after [`Heard::Moved`].
    ///
    /// # Errors
    /// As [`open`](Self::open); [`LogError::WrongStart`] also when this is not the next generation, or begins with another
    /// message than the next.
    pub fn next_generation(&mut self, memory: OwnedFd, geometry: Geometry, start: Start) -> Result<(), LogError> {
        if start.generation() != self.generation() + 1 || start.sequence() != self.next_sequence() {
            return Err(LogError::WrongStart { start });
        }
        let (memory, small, large, peer) = accept(&memory, geometry, start)?;
        self.reader.renew(small, large, peer, start);
        self.generations.enter(start.generation(), memory);
        Ok(())
    }

    /// Whether the writer must be rung for; asking clears it.
    #[inline(always)]
    pub fn take_must_ring(&mut self) -> bool {
        self.reader.take_must_ring()
    }

    /// Announces sleep, as one of several announcements that are ordered at once: the writer rings once when it next commits. Poll
    /// once more afterwards.
    pub fn announce_unordered(&mut self) -> Announcement {
        self.reader.announce_unordered()
    }

    /// Whether there seems to be a whole message next: if so, the next [`poll`](Self::poll) has something to say, a message
    /// or why there is none. Takes and releases nothing. `false` tells nothing: poll.
    #[inline]
    pub fn has_message(&self) -> bool {
        self.reader.has_message()
    }

    /// Takes the announcement back.
    pub fn awake(&mut self) {
        self.reader.awake();
    }

    /// Says that nothing more will be taken. What is held stays.
    pub fn close(&mut self) {
        self.reader.close();
    }

    /// What was agreed on.
    pub fn terms(&self) -> ReaderTerms {
        self.terms
    }

    /// The writer's memory as this process maps it: read-only.
    pub fn peer_mapping(&self) -> Option<&Mapping> {
        self.generations.memory()
    }
}

type Accepted = (Arc<Mapping>, MappedRing, MappedRing, MappedPage);

fn accept(memory: &OwnedFd, geometry: Geometry, start: Start) -> Result<Accepted, LogError> {
    if !start.fits(geometry.grid()) {
        return Err(LogError::WrongStart { start });
    }
    let mapping = sealed::accept(memory, geometry.total_bytes())?;
    let page = sealed::page(&mapping)?;
    let (small, large) = sealed::rings(&mapping, geometry)?;
    Ok((mapping, small, large, page))
}
