//! Messages larger than one frame, over a link: in parts, and given up half-way.

use super::{LARGE, Writer};
use crate::log::WriteError;
use crate::log::frame::Kind;
use crate::log::page::Page;
use crate::log::ring::Ring;
use std::ops::Deref;
use wharf_sys::crash_point;

/// The usual size of a part of a message that travels in parts.
const PART_BYTES: u64 = 32 * 1024;

impl<R: Ring, P: Deref<Target = Page>> Writer<R, P> {
    /// Largest part of a message that does not fit one frame: small enough that the reader copies one part out of its
    /// caches while the next is written, large enough that the header does not count.
    pub(crate) fn largest_part(&self) -> u64 {
        (self.tracks[LARGE].ring.size() / 4).min(PART_BYTES)
    }

    /// Writes the next parts of a message larger than one frame, of which `done` bytes are already written, and raises
    /// `done`. `Ok` means that the whole message is committed.
    pub(crate) fn try_write_part(
        &mut self,
        message: &[u8],
        done: &mut usize,
        rendezvous: bool,
    ) -> Result<(), WriteError> {
        self.write_parts(message, done, rendezvous, true)?;
        self.tracks[self.current & 1].sent += 1;
        Ok(())
    }

    /// The same for all parts but the last. `Ok` means that what is behind `done` is the last one.
    pub(crate) fn try_write_parts_before_last(&mut self, message: &[u8], done: &mut usize) -> Result<(), WriteError> {
        self.write_parts(message, done, false, false)
    }

    fn write_parts(
        &mut self,
        message: &[u8],
        done: &mut usize,
        rendezvous: bool,
        last_too: bool,
    ) -> Result<(), WriteError> {
        let part = self.largest_part() as usize;
        while *done < message.len() {
            let first = *done == 0;
            let prefix = first.then_some(message.len() as u64);
            let room = part - if first { 8 } else { 0 };
            let end = message.len().min(*done + room);
            let (kind, bytes) = match message.get(*done..end) {
                Some(bytes) if first => (Kind::First, bytes),
                Some(_) if end == message.len() && !last_too => return Ok(()),
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
        Ok(())
    }

    /// Gives up a message of which some parts are committed: readers drop what they have of it.
    pub(crate) fn abort_parts(&mut self) {
        self.abort_due = true;
        self.set_bounds();
        // When there is no room now, the next write says it first.
        let _ = self.settle_abort();
    }

    /// Says the abort that is due, if there is room for it.
    pub(super) fn settle_abort(&mut self) -> Result<(), WriteError> {
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
}
