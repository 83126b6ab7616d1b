//! The common case of reading: a whole message without flags, in place, that comes at once or is waited for.
//!
//! All of it is to be part of the caller's code, and the less of it stands between a message and its answer the better: what must be
//! known of a message before it is taken is looked up while it is waited for, and everything else is in functions apart
//! (docs/performance.md).

use super::closely::{CLOSE_LOOKS, look_closely};
use super::{Quick, Reader};
use crate::atomic::Ordering;
use crate::log::frame::{HEADER_BYTES, Header, Kind, REWIND, ends_inside};
use crate::log::page::Page;
use crate::log::ring::{LINE_BYTES, Ring};
use std::hint::{black_box, spin_loop};
use std::ops::Deref;

/// How far ahead a reader that is behind asks for lines.
const FETCHES_AHEAD: u64 = 512;

impl<R: Ring, P: Deref<Target = Page>> Reader<R, P> {
    /// Looks for a message in the one common case: whole, without flags, readable in place. Small enough to be part of
    /// the caller.
    #[inline(always)]
    pub(crate) fn poll_quickly(&mut self) -> Quick {
        let track = &mut self.tracks[self.current & 1];
        let head = track.head + self.lent;
        track.head = head;
        let due = track.is_due();
        // Acquire: as in `poll`.
        let word = track.ring.word(head).load(Ordering::Acquire);
        let found = if self.takes(head, word) { Quick::Message } else { self.find_otherwise(word) };
        // Behind the look at the header, which is what the caller waits for.
        if due {
            self.say();
        }
        found
    }

    /// Takes the message with this header at `head` if it is one in the one common case.
    #[inline(always)]
    pub(super) fn takes(&mut self, head: u64, word: u64) -> bool {
        let len = word >> 32;
        let size = self.tracks[self.current & 1].ring.size();
        let is_common = word as u32 == Kind::Data as u32
            && !self.copy
            && ends_inside(head & (size - 1), len, size)
            && len <= self.max_message;
        if is_common {
            self.hand_out(len, self.grid.frame(len));
            self.taken += 1;
        } else {
            self.lent = 0;
            self.find_nothing();
        }
        is_common
    }

    /// Gives the message of so many bytes at the head to the caller, in a frame of `frame` bytes that the next poll releases.
    ///
    /// No more stores than these, as on the writer's side: what a reader stores for each message keeps it from asking for the lines of
    /// the next ones while it waits for a line (docs/performance.md).
    #[inline(always)]
    pub(super) fn hand_out(&mut self, len: u64, frame: u64) {
        self.len = len;
        self.lent = frame;
    }

    #[inline(always)]
    pub(super) fn find_nothing(&mut self) {
        (self.copied, self.len) = (false, 0);
    }

    /// Goes on in the next lap. Where rings are small a pad comes with every few messages, and none of them shall take whoever
    /// waits for an answer off the quick way.
    #[cold]
    #[inline(never)]
    pub(super) fn pass_pad(&mut self) -> Quick {
        let track = &mut self.tracks[self.current & 1];
        let size = track.ring.size();
        track.head += self.grid.to_next_lap(track.head & (size - 1), size);
        let head = track.head;
        // Acquire: as in `poll`.
        let word = track.ring.word(head).load(Ordering::Acquire);
        match self.takes(head, word) {
            true => Quick::Message,
            false if word == 0 => Quick::Nothing,
            false => Quick::Unusual,
        }
    }

    /// Takes the message with this header, behind which its writer goes back to the start of the ring. Large messages that are
    /// answered one by one all come so.
    #[inline(never)]
    pub(super) fn take_rewinding(&mut self, word: u64) -> Quick {
        let track = &self.tracks[self.current & 1];
        let (size, len) = (track.ring.size(), word >> 32);
        let offset = track.head & (size - 1);
        if self.copy || !ends_inside(offset, len, size) || len > self.max_message {
            return Quick::Unusual;
        }
        self.hand_out(len, self.grid.frame_and_rest(offset, self.grid.frame(len), size));
        self.taken += 1;
        Quick::Message
    }

    /// Looks whether anything stands at the place of the next header, behind a quick look that found nothing: with close looks first,
    /// then with so many pauses at most. Says what it saw last, and how often it looked in vain.
    ///
    /// A pause takes 23 ns on family 26, and a near answer is there after three: what ends a wait with the first looks is found when it
    /// comes, and not up to a pause later (docs/performance.md).
    ///
    /// It looks at the line behind the header, too. A message of up to 64 bytes ends there: asked for together with the header, the
    /// two lines come side by side when it has been written, and not one after the other. Nothing else is done between two looks:
    /// what comes between them makes every message later.
    #[inline(always)]
    pub(super) fn watch(&self, tries: u32) -> (u64, u32) {
        let track = &self.tracks[self.current & 1];
        let (header, behind) = (track.ring.word(track.head), track.ring.word(track.head + LINE_BYTES));
        let (word, vain) = look_closely(header, behind);
        if word != 0 {
            return (word, vain);
        }
        for vain in 0..tries {
            spin_loop();
            // Relaxed: nothing is concluded from it. The black box keeps the load, whose value nobody needs.
            black_box(behind.load(Ordering::Relaxed));
            // Acquire: as in `poll`.
            let word = header.load(Ordering::Acquire);
            if word != 0 {
                return (word, CLOSE_LOOKS + vain);
            }
        }
        (0, CLOSE_LOOKS.saturating_add(tries))
    }

    /// Goes on to the place of the next header. A quick look that found nothing has done so; nothing is left of the message before in
    /// either case.
    #[inline(always)]
    pub(crate) fn go_on(&mut self) {
        self.tracks[self.current & 1].head += std::mem::take(&mut self.lent);
        self.find_nothing();
    }

    /// [`poll_quickly`](Self::poll_quickly) behind one that found nothing, and behind [`go_on`](Self::go_on): looks until there is
    /// something, with so many pauses at most behind the close looks. Says whether it took a message at the [place](Self::place) of the
    /// next, what header it saw there, and how often it looked in vain. A header that it did not take it for is for
    /// [`find_otherwise`](Self::find_otherwise).
    ///
    /// What must be known of a message before it is taken is looked up while it is waited for.
    #[inline(always)]
    pub(crate) fn take_patiently(&mut self, tries: u32) -> (bool, u64, u32) {
        let (bound, grid) = (self.bound(), self.grid);
        let (word, vain) = self.watch(tries);
        let len = word >> 32;
        let takes = word as u32 == Kind::Data as u32 && len < bound;
        if takes {
            self.hand_out(len, grid.frame(len));
            self.taken += 1;
        }
        (takes, word, vain)
    }

    /// Ring and position of the header that was found, or of the next one.
    #[inline(always)]
    pub(crate) fn place(&self) -> (&R, u64) {
        let track = &self.tracks[self.current & 1];
        (&track.ring, track.head)
    }

    /// Length of the message that the last poll found; 0 if it found none.
    #[inline(always)]
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// One more than the longest message that may be read in place at the head.
    #[inline(always)]
    pub(super) fn bound(&self) -> u64 {
        let track = &self.tracks[self.current & 1];
        let size = track.ring.size();
        let room = size - HEADER_BYTES - (track.head & (size - 1));
        if self.copy { 0 } else { room.min(self.max_message) + 1 }
    }

    /// What a header says that is no message in the one common case.
    #[inline(always)]
    pub(crate) fn find_otherwise(&mut self, word: u64) -> Quick {
        match word {
            0 => Quick::Nothing,
            _ if word == Header::pack(Kind::Pad, 0, 0) => self.pass_pad(),
            _ if word as u32 == Header::pack(Kind::Data, REWIND, 0) as u32 => self.take_rewinding(word),
            _ => Quick::Unusual,
        }
    }

    /// Asks for the lines some messages ahead, for a reader that knows its writer further on.
    #[inline(always)]
    pub(crate) fn fetch_ahead(&self) {
        let track = &self.tracks[self.current & 1];
        track.ring.fetch(track.head + FETCHES_AHEAD);
        track.ring.fetch(track.head + FETCHES_AHEAD + LINE_BYTES);
    }
}
