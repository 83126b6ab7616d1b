//! Turns a stream of bytes back into messages: small ones through a buffer, many for one system call, large ones
//! straight into their place.

use std::io::{self, IoSliceMut};
use std::mem;
use std::ops::Range;

use wharf_sys::clock::Instant;

use super::frame::{HEADER, Header, Kind, WORD};
use super::lull::Lull;
use super::wire::{Patience, Wire};
use crate::aligned::{AlignedBytes, NoMemory};

/// Bytes read ahead: a stream of small messages costs one system call for each 32 KiB.
const BUFFER: usize = 32 << 10;

/// After a message of at least this many bytes the next is expected to be like it, and what comes behind its header goes
/// straight to its place. Copying less than this through the buffer costs less than the system call that it saves.
const LARGE: usize = BUFFER / 2;

/// Where a message begins in its buffer: behind its header, which may have come with it. It is aligned there.
pub(super) const PAYLOAD: usize = HEADER;

/// A message of more bytes than this that comes alone is not copied out of what was read ahead: it keeps that memory.
const COPIED: usize = 512;

/// Nor are messages that come together and have so many bytes with their headers.
const HANDED_OVER: usize = 4 << 10;

/// The most that is read on such an expectation; when it is wrong, so much is copied once.
const MOST_EXPECTED: usize = 128 << 10;

/// The first room for a message that does not come with one read; it doubles with what has come.
const FIRST_ROOM: usize = 64 << 10;

/// Room beyond this is given back after [`SMALL_IN_A_ROW`] messages that did not need it.
const KEPT_BYTES: usize = 4 << 20;
const SMALL_IN_A_ROW: u32 = 256;

/// A message that is coming.
#[derive(Debug)]
struct Coming {
    /// The length of the whole message.
    total: usize,
    /// The bytes that have come.
    filled: usize,
    /// The bytes of the present frame that have not.
    left: usize,
    /// The sender wants to know when it is taken.
    ask: bool,
    /// It comes in fragments, so it can be given up.
    in_fragments: bool,
}

/// How a stream ended.
#[derive(Clone, Debug)]
pub(super) enum End {
    /// Without another word; what the peer had said before decides what that means.
    Ended,
    /// Between here and the peer.
    Broken(io::ErrorKind, String),
    /// In nonsense.
    Nonsense(String),
}

/// What was found in a stream.
#[derive(Debug)]
pub(super) enum Found {
    /// A message, in the buffer that was given for it.
    Message(Stored),
    /// The peer's sender sends no more.
    SenderClosed,
    /// The peer's receiver has taken so many messages; it may receive no more.
    Taken { count: u64, closed: bool },
}

/// What came of [`Reader::read_alone`].
pub(super) enum Alone {
    /// A message came, and nothing else; it is in the buffer that was given for it.
    Message(Stored),
    /// Something else came there, or the end. It is [taken in](Reader::take_in) next.
    Else(io::Result<usize>),
    /// Nothing was read.
    Untried,
}

/// A message in memory that its receiver has to itself: whether it was copied there, or came there with its header in one read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stored {
    pub(super) at: usize,
    pub(super) len: usize,
    pub(super) ask: bool,
}

impl Stored {
    /// A message in a buffer of its own, behind room for a header.
    #[inline]
    pub(super) fn alone(len: usize, ask: bool) -> Self {
        Self { at: PAYLOAD, len, ask }
    }

    /// Where it lies in its memory.
    #[inline]
    pub(super) fn range(self) -> Range<usize> {
        self.at..self.at + self.len
    }
}

/// The first of the messages whose frames were [handed over](Reader::hand_over); the others stay there.
#[inline]
pub(super) fn next_of(memory: &AlignedBytes, frames: &mut Range<usize>) -> Option<Stored> {
    let header = memory.get(frames.clone()).first_chunk::<HEADER>()?;
    let Header { len, ask, .. } = Header::read(*header).ok()?;
    let stored = Stored { at: frames.start + HEADER, len: len as usize, ask };
    frames.start = stored.range().end;
    Some(stored)
}

/// See the top of the file.
pub(super) struct Reader {
    /// What was read ahead: the bytes from `start` to `end`.
    buffer: AlignedBytes,
    start: usize,
    end: usize,
    coming: Option<Coming>,
    /// The bytes of the message that is coming, from [`PAYLOAD`] on.
    place: AlignedBytes,
    /// The largest message of this link.
    limit: usize,
    /// Messages start on a multiple of this: 8 or 64.
    align: usize,
    /// The length of the last message: the next may be like it.
    last: usize,
    /// Payload in the place that came behind a header nobody has looked at yet: it ends what was read ahead.
    expected: usize,
    /// Up to here what was read ahead is copied out, message by message: handing it over was found not to be worth while.
    copied_until: usize,
    lull: Lull,
    /// Behind a message of at least this many bytes, of which nothing came along that is not understood yet, a receiver that sleeps for
    /// the next asks for no more than one like it.
    one_by_one: usize,
    small_in_a_row: u32,
    sender_closed: bool,
    taken: u64,
    receiver_closed: bool,
}

impl Reader {
    pub(super) fn new(limit: usize, align: usize, their_cpu: Option<usize>, one_by_one: usize) -> Self {
        Self {
            buffer: AlignedBytes::empty(PAYLOAD),
            start: 0,
            end: 0,
            coming: None,
            place: AlignedBytes::empty(PAYLOAD),
            limit,
            align,
            last: 0,
            expected: 0,
            copied_until: 0,
            lull: Lull::new(their_cpu),
            one_by_one,
            small_in_a_row: 0,
            sender_closed: false,
            taken: 0,
            receiver_closed: false,
        }
    }

    /// The next thing in what was read already; a message goes to `out`.
    #[inline]
    pub(super) fn understand(&mut self, out: &mut AlignedBytes) -> Result<Option<Found>, End> {
        // Every round consumes a header or a piece of a payload, so what was read bounds their number.
        loop {
            if let Some(coming) = &mut self.coming {
                if coming.left > 0 && self.start < self.end {
                    self.copy_on()?;
                    continue;
                }
                if coming.left > 0 {
                    return Ok(None);
                }
                if coming.filled == coming.total {
                    let stored = Stored::alone(coming.total, coming.ask);
                    self.coming = None;
                    mem::swap(out, &mut self.place);
                    return self.found(stored, out).map(Some);
                }
            }
            let rest = self.buffer.get(self.start..self.end);
            let Some((header, rest)) = rest.split_first_chunk::<HEADER>() else { return Ok(None) };
            let header = Header::read(*header).map_err(End::Nonsense)?;
            let len = header.len as usize;
            if header.kind == Kind::Whole && self.coming.is_none() && !self.sender_closed {
                if len > self.limit {
                    return Err(self.too_large(len));
                }
                self.start += HEADER;
                if self.expected > 0 {
                    let filled = self.expected.min(len);
                    self.read_too_much(filled)?;
                    let left = len - filled;
                    self.coming = Some(Coming { total: len, filled, left, ask: header.ask, in_fragments: false });
                    continue;
                }
                if let Some(payload) = rest.get(..len) {
                    let stored = Stored::alone(len, header.ask);
                    if self.start == PAYLOAD && rest.len() == len && len > COPIED {
                        mem::swap(out, &mut self.buffer);
                        (self.start, self.end) = (0, 0);
                    } else {
                        out.grow(PAYLOAD + len, 0).map_err(no_memory)?;
                        out.get_mut(stored.range()).copy_from_slice(payload);
                        self.start += len;
                    }
                    return self.found(stored, out).map(Some);
                }
                self.coming = Some(Coming { total: len, filled: 0, left: len, ask: header.ask, in_fragments: false });
                continue;
            }
            if self.expected > 0 {
                self.read_too_much(0)?;
                continue;
            }
            match self.understand_seldom(header)? {
                Some(Some(found)) => return Ok(Some(found)),
                Some(None) => {}
                None => return Ok(None),
            }
        }
    }

    /// Where several whole messages lie at the front of what was read ahead, gives its memory away in exchange for `out`; says
    /// where in `out` their frames are then, for [`next_of`]. Nothing happens where that is not worth while.
    #[inline]
    pub(super) fn hand_over(&mut self, out: &mut AlignedBytes) -> Result<Range<usize>, End> {
        let short = self.end - self.start < HANDED_OVER || self.start < self.copied_until;
        if short || self.coming.is_some() || self.expected > 0 || self.sender_closed {
            return Ok(0..0);
        }
        let (mut until, mut last, mut messages) = (self.start, self.last, 0_u32);
        // Every round passes a header. What lies on a multiple of the alignment has its payload on one, see `PAYLOAD`.
        while until.is_multiple_of(self.align)
            && let Some((header, rest)) = self.buffer.get(until..self.end).split_first_chunk::<HEADER>()
            && let Ok(Header { len, kind: Kind::Whole, .. }) = Header::read(*header)
            && len as usize <= self.limit.min(rest.len())
        {
            last = len as usize;
            until += HEADER + last;
            messages += 1;
        }
        let (handed, rest) = (until - self.start, self.end - until);
        if out.len() > 2 * BUFFER && self.place.len() < out.len() {
            // The memory of a large message is kept for the next one.
            mem::swap(out, &mut self.place);
        }
        if handed < HANDED_OVER || rest > handed || out.len() > 2 * BUFFER {
            self.copied_until = until.max(self.start + 1);
            return Ok(0..0);
        }
        if self.place.len() > KEPT_BYTES {
            self.small_in_a_row += messages;
            if self.small_in_a_row > SMALL_IN_A_ROW {
                self.small_in_a_row = 0;
                self.place.shrink(0).map_err(no_memory)?;
            }
        }
        // What was left where a large message was expected may be more than is read ahead otherwise.
        out.grow(BUFFER.max(rest), 0).map_err(no_memory)?;
        out.get_mut(..rest).copy_from_slice(self.buffer.get(until..self.end));
        mem::swap(out, &mut self.buffer);
        let frames = self.start..until;
        (self.start, self.end, self.last) = (0, rest, last);
        Ok(frames)
    }

    /// Every frame but a whole message; `None` when it has not come whole.
    #[cold]
    fn understand_seldom(&mut self, header: Header) -> Result<Option<Option<Found>>, End> {
        let len = header.len as usize;
        match (header.kind, &mut self.coming) {
            (Kind::Taken | Kind::ReceiverClosed, _) => {
                let Some(word) = self.buffer.get(self.start..self.end).first_chunk::<WORD>() else {
                    return Ok(None);
                };
                let &[.., a, b, c, d, e, f, g, h] = word;
                let count = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
                self.start += WORD;
                if self.receiver_closed || count < self.taken {
                    return Err(End::Nonsense(format!("it has taken {count} messages after it had taken more")));
                }
                self.taken = count;
                self.receiver_closed = header.kind == Kind::ReceiverClosed;
                Ok(Some(Some(Found::Taken { count, closed: self.receiver_closed })))
            }
            (Kind::First, None) if !self.sender_closed => {
                if len > self.limit {
                    return Err(self.too_large(len));
                }
                self.start += HEADER;
                self.coming = Some(Coming { total: len, filled: 0, left: 0, ask: header.ask, in_fragments: true });
                Ok(Some(None))
            }
            (Kind::More, Some(coming)) if coming.in_fragments && len <= coming.total - coming.filled => {
                self.start += HEADER;
                coming.left = len;
                Ok(Some(None))
            }
            (Kind::Void, Some(_)) => {
                self.start += HEADER;
                self.coming = None;
                Ok(Some(None))
            }
            // Closing in the middle of a message gives the message up.
            (Kind::Close, _) if !self.sender_closed => {
                self.start += HEADER;
                self.coming = None;
                self.sender_closed = true;
                Ok(Some(Some(Found::SenderClosed)))
            }
            (kind, coming) => {
                let state = match coming {
                    _ if self.sender_closed => "after it had closed".to_owned(),
                    Some(coming) => format!("after {} of {} bytes of a message", coming.filled, coming.total),
                    None => "between two messages".to_owned(),
                };
                Err(End::Nonsense(format!("a frame of kind {kind:?} with {len} bytes came {state}")))
            }
        }
    }

    /// Reads more; `false` when nothing is there now. What lies in `spare` is needed no more: the next message comes into the
    /// same memory as the one before, which the processor has at hand.
    pub(super) fn read_on(
        &mut self,
        wire: &dyn Wire,
        patience: Patience,
        spare: &mut AlignedBytes,
    ) -> Result<bool, End> {
        if self.buffer.len() < BUFFER {
            self.buffer.grow(BUFFER, self.end).map_err(no_memory)?;
        }
        self.copied_until = 0;
        let read = match &mut self.coming {
            Some(coming) if coming.left > 0 => {
                make_room(&mut self.place, coming)?;
                (self.start, self.end) = (0, 0);
                let at = PAYLOAD + coming.filled;
                let room = coming.left.min(self.place.len() - at);
                let straight = self.place.get_mut(at..at + room);
                // Behind the last byte of a frame the next header is read along.
                let ahead = match room == coming.left {
                    true if coming.filled + room < coming.total || coming.total >= LARGE => HEADER,
                    true => BUFFER,
                    false => 0,
                };
                let ahead = self.buffer.get_mut(..ahead);
                let read = wire.read(&mut [IoSliceMut::new(straight), IoSliceMut::new(ahead)], patience);
                if let Ok(read) = read {
                    let placed = read.min(room);
                    coming.filled += placed;
                    coming.left -= placed;
                    self.end = read - placed;
                }
                read
            }
            None if self.start == self.end && self.last >= LARGE => {
                (self.start, self.end) = (0, 0);
                let expected = self.last.min(MOST_EXPECTED);
                mem::swap(&mut self.place, spare);
                self.place.grow(PAYLOAD + expected, 0).map_err(no_memory)?;
                let header = self.buffer.get_mut(..HEADER);
                let straight = self.place.get_mut(PAYLOAD..PAYLOAD + expected);
                let read = wire.read(&mut [IoSliceMut::new(header), IoSliceMut::new(straight)], patience);
                if let Ok(read) = read {
                    self.end = read.min(HEADER);
                    self.expected = read - self.end;
                }
                read
            }
            _ => {
                if self.start < self.end {
                    self.buffer.get_mut(..).copy_within(self.start..self.end, 0);
                } else if (BUFFER..=2 * BUFFER).contains(&spare.len()) {
                    mem::swap(&mut self.buffer, spare);
                }
                (self.start, self.end) = (0, self.end - self.start);
                let until = if self.last >= LARGE && self.end < HEADER { HEADER } else { BUFFER };
                let room = self.buffer.get_mut(self.end..until);
                if self.end == 0 && patience == Patience::UntilItComes && spare.len() < BUFFER {
                    // For `read_alone`, from the next message on; without memory for it, messages go on as this one does.
                    let _none = spare.grow(BUFFER, 0);
                }
                let lulled = (patience == Patience::UntilItComes && self.lull.is_due()).then(Lull::pass);
                let read = wire.read(&mut [IoSliceMut::new(room)], patience);
                if let Ok(read) = read {
                    self.end += read;
                    let took = lulled.map(Instant::elapsed);
                    self.lull.note(read / (HEADER + self.last), self.end == until, took);
                }
                read
            }
        };
        outcome(read)
    }

    /// Sleeps until something comes, and reads it straight into `out`: between two small messages, where the next is expected to come
    /// as they did, or as the last one alone where the wire [would rather](Wire::one_by_one) have that.
    #[inline(always)]
    pub(super) fn read_alone(&mut self, wire: &dyn Wire, out: &mut AlignedBytes) -> Alone {
        let between = self.start == self.end && self.coming.is_none() & (self.expected == 0) & !self.sender_closed;
        let usual = (BUFFER..=2 * BUFFER).contains(&out.len()) & (self.place.len() <= KEPT_BYTES);
        let one = self.reads_one();
        if !between | !usual | (self.last >= LARGE) | (self.lull.may_be_due() & !one) {
            return Alone::Untried;
        }
        let read = wire.read_one(out.get_mut(..self.most_alone()));
        if let Ok(read) = read
            && let Some(len) = read.checked_sub(HEADER).filter(|len| *len <= self.limit)
            && out.get(..HEADER)
                == (Header { len: u32::try_from(len).unwrap_or(u32::MAX), kind: Kind::Whole, ask: false }).bytes()
        {
            self.last = len;
            self.lull.note_alone();
            return Alone::Message(Stored::alone(len, false));
        }
        Alone::Else(read)
    }

    /// Whether the next message is read by itself, although more may be there.
    #[inline(always)]
    fn reads_one(&self) -> bool {
        self.last >= self.one_by_one
    }

    /// How many bytes [`read_alone`](Self::read_alone) asks for.
    #[inline(always)]
    fn most_alone(&self) -> usize {
        if self.reads_one() { HEADER + self.last } else { BUFFER }
    }

    /// Takes in what [`read_alone`](Self::read_alone) has read into `out`.
    pub(super) fn take_in(&mut self, read: io::Result<usize>, out: &mut AlignedBytes) -> Result<(), End> {
        if let Ok(read) = read {
            mem::swap(&mut self.buffer, out);
            (self.start, self.end, self.copied_until) = (0, read, 0);
            self.lull.note(read / (HEADER + self.last), read == self.most_alone(), None);
        }
        outcome(read).map(drop)
    }

    /// Throws away what has come, as much as one buffer holds; `false` when nothing is there now, or ever again.
    pub(super) fn throw_away(&mut self, wire: &dyn Wire) -> bool {
        if self.buffer.len() < BUFFER && self.buffer.grow(BUFFER, 0).is_err() {
            return false;
        }
        let thrown = wire.read(&mut [IoSliceMut::new(self.buffer.get_mut(..BUFFER))], Patience::Now);
        thrown.is_ok_and(|thrown| thrown > 0)
    }

    /// What came behind a header is not all its message's: what lies behind the first `kept` bytes of it was read ahead.
    fn read_too_much(&mut self, kept: usize) -> Result<(), End> {
        let surplus = self.place.get(PAYLOAD + kept..PAYLOAD + self.expected);
        self.expected = 0;
        let end = self.end + surplus.len();
        self.buffer.grow(end, self.end).map_err(no_memory)?;
        self.buffer.get_mut(self.end..end).copy_from_slice(surplus);
        self.end = end;
        Ok(())
    }

    /// Moves what was read ahead to the message that is coming.
    fn copy_on(&mut self) -> Result<(), End> {
        let Some(coming) = &mut self.coming else { return Ok(()) };
        make_room(&mut self.place, coming)?;
        let at = PAYLOAD + coming.filled;
        let room = coming.left.min(self.place.len() - at).min(self.end - self.start);
        let piece = self.buffer.get(self.start..self.start + room);
        self.place.get_mut(at..at + room).copy_from_slice(piece);
        coming.filled += room;
        coming.left -= room;
        self.start += room;
        Ok(())
    }

    /// A message is complete. Gives the memory of unusually large ones back, once it has not been needed for a while.
    #[inline]
    fn found(&mut self, stored: Stored, out: &mut AlignedBytes) -> Result<Found, End> {
        self.last = stored.len;
        if out.len().max(self.place.len()) > KEPT_BYTES {
            self.small_in_a_row = if stored.len < KEPT_BYTES { self.small_in_a_row + 1 } else { 0 };
            if self.small_in_a_row > SMALL_IN_A_ROW {
                self.small_in_a_row = 0;
                self.place.shrink(0).map_err(no_memory)?;
                let mut smaller = AlignedBytes::zeroed(PAYLOAD, stored.range().end).map_err(no_memory)?;
                smaller.get_mut(stored.range()).copy_from_slice(out.get(stored.range()));
                *out = smaller;
            }
        }
        Ok(Found::Message(stored))
    }

    #[cold]
    fn too_large(&self, len: usize) -> End {
        End::Nonsense(format!("a message of {len} bytes, the limit of this link is {}", self.limit))
    }
}

/// Whether a read has brought anything now.
#[inline]
fn outcome(read: io::Result<usize>) -> Result<bool, End> {
    match read {
        Ok(0) => Err(End::Ended),
        Ok(_) => Ok(true),
        Err(error) => match error.kind() {
            io::ErrorKind::WouldBlock => Ok(false),
            // The peer is gone: what it had not read was thrown away, what it had sent has been read.
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::UnexpectedEof => {
                Err(End::Ended)
            }
            io::ErrorKind::InvalidData => Err(End::Nonsense(error.to_string())),
            kind => Err(End::Broken(kind, format!("the connection is broken: {error}"))),
        },
    }
}

/// Makes room for more of a message. It doubles, so memory grows with what has come and not with what was announced.
fn make_room(place: &mut AlignedBytes, coming: &Coming) -> Result<(), End> {
    let filled = PAYLOAD + coming.filled;
    if place.len() > filled {
        return Ok(());
    }
    let room = (coming.filled * 2).max(FIRST_ROOM).min(coming.total);
    place.grow(PAYLOAD + room, filled).map_err(no_memory)
}

#[cold]
fn no_memory(why: NoMemory) -> End {
    End::Broken(io::ErrorKind::OutOfMemory, why.to_string())
}

#[cfg(test)]
#[path = "reader_tests.rs"]
mod tests;
