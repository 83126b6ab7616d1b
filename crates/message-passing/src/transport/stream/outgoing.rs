//! The outgoing direction of one side: frames of its sender, and the words of its receiver between them.

use std::io::{self, IoSlice};
use std::mem;

use super::frame::{HEADER, Header, Kind, WORD, word};
use super::wire::Wire;
use crate::aligned::AlignedBytes;

/// Up to this many bytes are copied behind their header, which is cheaper for the kernel than two parts.
pub(super) const SMALL: usize = 4096;

/// More than so many bytes are copied in pieces of so many: the C library copies 4 KiB by one instruction that takes 27 ns, and half of it
/// in a loop that takes 9 (glibc 2.36 on a processor of family 26; docs/performance.md).
const PIECE: usize = 2048;

/// What one side writes. Both halves do, one at a time.
pub(super) struct Outgoing {
    /// Header and payload of a small message, side by side.
    small: AlignedBytes,
    /// A frame that was written in part: its rest is what lies behind `done`. It never holds more than one frame.
    begun: Vec<u8>,
    done: usize,
    /// What was begun is a word, not the rest of a frame of the sender.
    word_begun: bool,
    /// The wire itself keeps back some of what it took, or of what it says of its own.
    kept_back: bool,
    /// What it took last is a frame of the sender, not a word.
    frame_kept_back: bool,
    /// Messages that were taken and must be acknowledged.
    taken: Option<u64>,
    /// Messages that were taken when the receiver closed, to be told.
    receiver_closed: Option<u64>,
    /// The sender has closed, to be told.
    sender_closed: bool,
    /// The extra room was used. A stream that takes small pieces where it has no room for a frame would let frame after
    /// frame slip into it, so the next frame waits until there is ordinary room.
    in_extra_room: bool,
    /// Halves of this side that have closed.
    closed_halves: u8,
}

impl Outgoing {
    pub(super) fn new() -> Self {
        Self {
            small: AlignedBytes::apart(HEADER + SMALL),
            begun: Vec::new(),
            done: 0,
            word_begun: false,
            kept_back: false,
            frame_kept_back: false,
            taken: None,
            receiver_closed: None,
            sender_closed: false,
            in_extra_room: false,
            closed_halves: 0,
        }
    }

    /// Writes a frame whole or not at all ([`io::ErrorKind::WouldBlock`]), as far as its sender is concerned: what the
    /// wire does not take now is kept, and goes before anything else.
    #[inline]
    pub(super) fn put(&mut self, wire: &dyn Wire, header: Header, payload: &[u8]) -> io::Result<()> {
        self.make_way(wire)?;
        let len = HEADER + payload.len();
        let written = match self.side_by_side(header, payload) {
            Some(frame) => wire.write(&[IoSlice::new(frame)])?,
            None => wire.write(&[IoSlice::new(&header.bytes()), IoSlice::new(payload)])?,
        };
        if written < len { self.keep(wire, &[&header.bytes(), payload], written) } else { self.send_on(wire) }
    }

    /// [`put`](Self::put) of a small frame while nothing is in its way, in as little code as that takes: whether nothing of it is left
    /// here. `None` where it is not so, and then nothing was tried.
    #[inline(always)]
    pub(super) fn put_quickly(&mut self, wire: &dyn Wire, header: Header, payload: &[u8]) -> Option<io::Result<bool>> {
        if self.owes() || self.in_extra_room {
            return None;
        }
        let frame = self.side_by_side(header, payload)?;
        let len = frame.len();
        match wire.write_one(frame)? {
            Ok(written) if written < len => {
                Some(self.keep(wire, &[&header.bytes(), payload], written).map(|()| !self.has_rest(wire)))
            }
            written => Some(written.map(|_| true)),
        }
    }

    /// A frame in one piece, where it is small.
    #[inline(always)]
    fn side_by_side(&mut self, header: Header, payload: &[u8]) -> Option<&[u8]> {
        let (head, body) = self.small.get_mut(..HEADER + payload.len()).split_first_chunk_mut::<HEADER>()?;
        if body.len() != payload.len() {
            return None;
        }
        *head = header.bytes();
        if payload.len() > PIECE {
            copy_in_pieces(payload, body)
        } else {
            body.copy_from_slice(payload)
        }
        Some(self.small.get(..HEADER + payload.len()))
    }

    /// Writes the announcement of a message that comes in fragments together with its first fragment; like
    /// [`put`](Self::put).
    pub(super) fn put_first(&mut self, wire: &dyn Wire, total: u32, ask: bool, part: &[u8]) -> io::Result<()> {
        self.make_way(wire)?;
        let first = Header { len: total, kind: Kind::First, ask }.bytes();
        let more = Header { len: u32::try_from(part.len()).unwrap_or(u32::MAX), kind: Kind::More, ask: false }.bytes();
        let written = wire.write(&[IoSlice::new(&first), IoSlice::new(&more), IoSlice::new(part)])?;
        let len = first.len() + more.len() + part.len();
        if written < len { self.keep(wire, &[&first, &more, part], written) } else { self.send_on(wire) }
    }

    /// Whether something is left to be written that nobody needs to ask for.
    #[inline]
    pub(super) fn owes(&self) -> bool {
        // Without a branch for each.
        self.kept_back
            | (self.done < self.begun.len())
            | self.taken.is_some()
            | self.receiver_closed.is_some()
            | self.sender_closed
    }

    /// Whether what is left to be written are words of the receiver, or the end.
    fn owes_words(&self) -> bool {
        self.word_begun || self.taken.is_some() || self.receiver_closed.is_some() || self.sender_closed
    }

    /// Whether a frame of the sender was written in part.
    pub(super) fn is_in_frame(&self) -> bool {
        self.done < self.begun.len() && !self.word_begun
    }

    /// Whether something of a frame that was taken is not on its way yet: here, or in the wire.
    pub(super) fn has_rest(&self, wire: &dyn Wire) -> bool {
        self.is_in_frame() || self.frame_kept_back && wire.keeps_back()
    }

    /// Whether whoever waits for room must look for it now and then, because the wire does not show it.
    pub(super) fn waits_blindly(&self, wire: &dyn Wire) -> bool {
        self.in_extra_room && !wire.shows_ordinary_room()
    }

    /// Acknowledges so many messages as soon as there is room.
    pub(super) fn acknowledge(&mut self, wire: &dyn Wire, taken: u64) -> io::Result<bool> {
        self.taken = Some(taken);
        self.settle(wire)
    }

    /// Tells the peer that the receiver has closed; `true` for the last half that closes.
    pub(super) fn close_receiver(&mut self, wire: &dyn Wire, taken: u64) -> bool {
        self.taken = None;
        self.receiver_closed = Some(taken);
        self.close_half(wire)
    }

    /// Tells the peer that the sender has closed; `true` for the last half that closes.
    pub(super) fn close_sender(&mut self, wire: &dyn Wire) -> bool {
        self.sender_closed = true;
        self.close_half(wire)
    }

    fn close_half(&mut self, wire: &dyn Wire) -> bool {
        // Nobody waits in a drop. What the room for last words does not hold is lost, and the peer takes it for a death.
        let _said = self.settle(wire);
        self.closed_halves += 1;
        self.closed_halves == 2
    }

    /// Writes what is owed as far as it is the rest of a frame, and what is owed behind it. An error means that some of that rest is not on
    /// its way: the peer may have had a message of which nothing but a word behind it was lost, so whoever writes next is told of that.
    pub(super) fn settle_rest(&mut self, wire: &dyn Wire) -> io::Result<()> {
        let settled = if self.has_rest(wire) { self.settle(wire).map(drop) } else { Ok(()) };
        if self.has_rest(wire) { settled } else { Ok(()) }
    }

    /// Writes what is owed; `false` when some of it must wait.
    pub(super) fn settle(&mut self, wire: &dyn Wire) -> io::Result<bool> {
        if !self.owes() {
            return Ok(true);
        }
        let words = self.owes_words();
        // First without the extra room: most of the time there is room.
        if self.write_owed(wire)? {
            return Ok(true);
        }
        if words || wire.takes_rests() { self.write_into_extra_room(wire) } else { Ok(false) }
    }

    fn write_into_extra_room(&mut self, wire: &dyn Wire) -> io::Result<bool> {
        wire.widen(true);
        let outcome = self.write_owed(wire);
        wire.widen(false);
        self.in_extra_room = true;
        outcome
    }

    /// What a frame finds in its way must go first.
    #[inline]
    fn make_way(&mut self, wire: &dyn Wire) -> io::Result<()> {
        if self.owes() && !self.settle(wire)? || self.in_extra_room && !self.is_out_of_it(wire)? {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(())
    }

    /// Whether there is ordinary room again.
    #[cold]
    fn is_out_of_it(&mut self, wire: &dyn Wire) -> io::Result<bool> {
        self.in_extra_room = !wire.has_ordinary_room()?;
        Ok(!self.in_extra_room)
    }

    /// A frame was taken whole; what the wire has kept back of it goes into the extra room if there is any.
    #[inline]
    fn send_on(&mut self, wire: &dyn Wire) -> io::Result<()> {
        let flushed = wire.flush();
        if matches!(flushed, Ok(true)) {
            return Ok(());
        }
        (self.kept_back, self.frame_kept_back) = (true, true);
        let sent = flushed.and_then(|_| self.write_into_extra_room(wire).map(drop));
        if self.has_rest(wire) { sent } else { Ok(()) }
    }

    fn write_owed(&mut self, wire: &dyn Wire) -> io::Result<bool> {
        // At most the rest of a frame, and one round for each of the three words.
        loop {
            self.kept_back = !wire.flush()?;
            if self.kept_back {
                return Ok(false);
            }
            self.frame_kept_back = false;
            while let Some(rest) = self.begun.get(self.done..).filter(|rest| !rest.is_empty()) {
                match wire.write(&[IoSlice::new(rest)]) {
                    Ok(written) => self.done += written,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                    Err(error) => return Err(error),
                }
            }
            self.begun.clear();
            self.done = 0;
            self.word_begun = self.taken.is_some() || self.receiver_closed.is_some() || self.sender_closed;
            // The peer counts what was taken before it hears that there will be no more.
            if let Some(taken) = self.taken.take() {
                self.begun.extend_from_slice(&word(Kind::Taken, taken));
            } else if let Some(taken) = self.receiver_closed.take() {
                self.begun.extend_from_slice(&word(Kind::ReceiverClosed, taken));
            } else if mem::take(&mut self.sender_closed) {
                self.begun.extend_from_slice(&Header { len: 0, kind: Kind::Close, ask: false }.bytes());
            } else {
                return Ok(true);
            }
        }
    }

    /// Keeps the rest of a frame of which `written` bytes are gone, and writes it into the extra room if there is any.
    #[cold]
    fn keep(&mut self, wire: &dyn Wire, parts: &[&[u8]], written: usize) -> io::Result<()> {
        self.begun.clear();
        self.done = 0;
        self.word_begun = false;
        let mut skip = written;
        for part in parts {
            self.begun.extend_from_slice(part.get(skip.min(part.len())..).unwrap_or(&[]));
            skip = skip.saturating_sub(part.len());
        }
        if wire.takes_rests() { self.write_into_extra_room(wire).map(|_| ()) } else { Ok(()) }
    }
}

/// See [`PIECE`].
#[inline(never)]
fn copy_in_pieces(from: &[u8], to: &mut [u8]) {
    for (from, to) in from.chunks(PIECE).zip(to.chunks_mut(PIECE)) {
        to.copy_from_slice(from);
    }
}

// A word is written like any frame, and fits where the rest of the largest one does.
const _: () = assert!(WORD < SMALL);
