//! The reading end of a log: follows frames, checks every one, and tells the writer what it is done with.
//!
//! A reader trusts nothing that it reads: a header is loaded once, taken apart, bounded, and only then used. Towards a
//! writer that is not trusted the payload is copied out in one pass before anybody looks at it.

mod closely;
mod guard;
mod quick;

pub use guard::Heard;

use super::assembly::Assembly;
use super::frame::{CARRIES, Grid, Header, Kind, RENDEZVOUS, REWIND, ends_inside};
use super::order::Standing;
use super::page::{CLOSED, Page};
use super::ring::Ring;
use super::start::Start;
use super::writer::{LARGE, SMALL, fresh_ticket};
use super::{Announcement, Barriers, Corrupt, Geometry, Signals};
use crate::atomic::{Ordering, compiler_fence, fence};
use guard::Guard;
use std::ops::Deref;
use std::time::Duration;
use wharf_sys::crash_point;

/// Frames without a message that one poll follows before it reports "nothing yet": a writer that does its job never
/// makes more than a pad, a switch, an abort and a pad; one that says switches for ever gets no more of our time.
const IDLE_FRAMES_PER_POLL: u32 = 8;

/// Parts of a message that one poll takes before it reports "there is more": the caller looks at its deadline between.
const PARTS_PER_POLL: u32 = 256;

/// The most bytes after which a reader says how far it is, in whatever ring: a writer in the large ring comes back to the small one
/// when it sees that its readers have all but caught up.
const SAID_AFTER_AT_MOST: u64 = 4096;

/// One ring as its reader sees it.
#[derive(Debug)]
struct Track<R> {
    ring: R,
    /// Position of the next header to look at.
    head: u64,
    /// What the writer was last told, and rung for if it slept.
    published: u64,
    /// What it can see, which may be more.
    said: u64,
}

impl<R: Ring> Track<R> {
    /// Whether it is time to say how far we are.
    #[inline(always)]
    fn is_due(&self) -> bool {
        self.head - self.said >= (self.ring.size() / 8).min(SAID_AFTER_AT_MOST)
    }
}

/// What a poll saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Polled {
    /// A message; it stays until the next poll.
    Message,
    /// A message for which descriptors were passed beside the log.
    Carrying,
    /// Nothing yet.
    Empty,
    /// No message yet, but the log was not looked through: poll again before sleeping.
    More,
    /// The writer has closed: nothing will follow.
    Closed,
}

/// What a quick look saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quick {
    /// A message that can be read in place.
    Message,
    /// Nothing yet.
    Nothing,
    /// Something that takes more than a quick look.
    Unusual,
}

/// What one frame turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// It is not written yet.
    Empty,
    /// Nothing that a user sees.
    Idle,
    /// A part of a message, and not the last.
    Part,
    /// A message, or its last part.
    Message,
    /// The same, and descriptors were passed for it. Links only.
    Carrying,
    /// The end.
    Closed,
    /// The end of this generation.
    Moved,
    /// It was dropped while we looked at it.
    Lapped,
}

/// One reader of a log.
#[derive(Debug)]
pub(crate) struct Reader<R, P> {
    tracks: [Track<R>; 2],
    current: usize,
    grid: Grid,
    /// This side's own page, which the writer reads.
    own: P,
    /// The writer's page.
    peer: P,
    /// The message that the last poll found lies in the assembly buffer, unless its frame is [`lent`](Self::lent).
    copied: bool,
    /// Its length; 0 if there is none.
    len: u64,
    /// Bytes of the frame in the current ring that was handed out by the last poll, behind the header at its head, and is released by
    /// the next; 0 if there is none.
    lent: u64,
    taken: u64,
    assembly: Assembly,
    /// Copy every message before it is looked at.
    copy: bool,
    max_message: u64,
    next_ticket: u32,
    /// The writer's ticket for which it was last rung.
    rung: u32,
    must_ring: bool,
    barriers: Barriers,
    standing: Standing,
    /// The latest tally that somebody has heeded.
    heeded: Option<u64>,
    /// What reading a broadcast needs beside all that; `None` for a link.
    guard: Option<Guard>,
}

impl<R: Ring, P: Deref<Target = Page>> Reader<R, P> {
    #[allow(clippy::too_many_arguments)] // one place makes it, from the terms agreed at connect
    pub(crate) fn new(
        small: R,
        large: R,
        own: P,
        peer: P,
        geometry: Geometry,
        start: Start,
        copy: bool,
        max_message: u64,
        barriers: Barriers,
    ) -> Self {
        let track = |ring: R, which: usize| Track {
            ring,
            head: start.heads[which],
            published: start.heads[which],
            said: start.heads[which],
        };
        for which in [SMALL, LARGE] {
            // Release, as every store to these words; the writer counts us in only after the handshake anyway.
            own.released[which].store(start.heads[which], Ordering::Release);
        }
        Reader {
            tracks: [track(small, SMALL), track(large, LARGE)],
            current: start.ring,
            grid: geometry.grid(),
            own,
            peer,
            copied: false,
            len: 0,
            lent: 0,
            taken: 0,
            assembly: Assembly::new(max_message),
            copy,
            max_message,
            next_ticket: 1,
            rung: 0,
            must_ring: false,
            barriers,
            standing: Standing::new(),
            heeded: None,
            guard: None,
        }
    }

    /// Looks for the next message, releasing the one before.
    #[inline(always)]
    pub(crate) fn poll(&mut self) -> Result<Polled, Corrupt> {
        let track = &mut self.tracks[self.current & 1];
        let size = track.ring.size();
        track.head += self.lent;
        self.lent = 0;
        // An eighth of the ring: often enough that the writer seldom waits, seldom enough that the line with our
        // position stays ours for many messages.
        if track.head - track.published >= size / 8 {
            self.publish();
        }
        let track = &self.tracks[self.current & 1];
        // Acquire pairs with the writer's release store in `commit_sized`.
        let word = track.ring.word(track.head).load(Ordering::Acquire);
        if word == 0 {
            self.find_nothing();
            let track = &self.tracks[self.current & 1];
            if track.head != track.published {
                self.publish();
            }
            return Ok(Polled::Empty);
        }
        let len = word >> 32;
        // The common case in one comparison: a whole message, no flags, in place, that ends inside the ring.
        if word as u32 == Kind::Data as u32
            && !self.copy
            && ends_inside(track.head & (size - 1), len, size)
            && len <= self.max_message
        {
            self.hand_out(len, self.grid.frame(len));
            self.taken += 1;
            return Ok(Polled::Message);
        }
        self.follow()
    }

    /// Everything but the common case: flags, parts, pads, switches, the close, copies, nonsense.
    #[inline(never)]
    fn follow(&mut self) -> Result<Polled, Corrupt> {
        self.find_nothing();
        let looked = self.follow_frames();
        if looked.is_err() {
            // From now on every message takes this path, where the caller can refuse it.
            self.copy = true;
        }
        looked
    }

    fn follow_frames(&mut self) -> Result<Polled, Corrupt> {
        let (mut idle, mut parts) = (0, 0);
        // Ends: every turn returns, or counts one of the two up.
        while idle < IDLE_FRAMES_PER_POLL && parts < PARTS_PER_POLL {
            match self.one_frame()? {
                Step::Empty => {
                    self.publish();
                    return Ok(Polled::Empty);
                }
                Step::Message => return Ok(Polled::Message),
                Step::Carrying => return Ok(Polled::Carrying),
                Step::Closed => {
                    self.publish();
                    return Ok(Polled::Closed);
                }
                Step::Part => parts += 1,
                Step::Idle => idle += 1,
                // A link has one generation and no floor.
                Step::Moved | Step::Lapped => {
                    let at = self.tracks[self.current & 1].head;
                    return Err(Corrupt::Header { word: Header::pack(Kind::Move, 0, 0), at });
                }
            }
        }
        self.publish();
        Ok(Polled::More)
    }

    /// Follows the frame at the head.
    fn one_frame(&mut self) -> Result<Step, Corrupt> {
        let track = &mut self.tracks[self.current & 1];
        // Acquire: as in `poll`. The word is loaded again, and only this copy is used.
        let word = track.ring.word(track.head).load(Ordering::Acquire);
        if word == 0 {
            return Ok(Step::Empty);
        }
        let size = track.ring.size();
        let offset = track.head & (size - 1);
        let at = track.head;
        let Some(header) = Header::unpack(word) else {
            return Err(Corrupt::Header { word, at });
        };
        let len = u64::from(header.len);
        let carries = matches!(header.kind, Kind::Data | Kind::First | Kind::More | Kind::Last);
        let counts = header.kind == Kind::Skip;
        if (carries && !ends_inside(offset, len, size)) || (!carries && !counts && len != 0) {
            return Err(Corrupt::Length { len, room: size.saturating_sub(offset + 8), at });
        }
        // Only what ends a message of a link has descriptors; a broadcast has nowhere to pass them.
        let ends = matches!(header.kind, Kind::Data | Kind::Last) && self.guard.is_none();
        if header.flags & CARRIES != 0 && !ends {
            return Err(Corrupt::Header { word, at });
        }
        let frame = match (header.flags & REWIND != 0, header.kind) {
            (false, Kind::Pad) => self.grid.to_next_lap(offset, size),
            (false, Kind::Skip) if len * 8 <= size && len > 0 && self.grid.holds(at + len * 8) => len * 8,
            (_, Kind::Skip) => return Err(Corrupt::Header { word, at }),
            (false, _) => self.grid.frame(len),
            (true, Kind::Data) => self.grid.frame_and_rest(offset, self.grid.frame(len), size),
            (true, _) => return Err(Corrupt::Header { word, at }),
        };
        match header.kind {
            Kind::Data => {
                if len > self.max_message {
                    return Err(Corrupt::Limit { len, limit: self.max_message });
                }
                if self.assembly.is_unfinished() {
                    return Err(Corrupt::Part { have: 0, got: len, total: 0 });
                }
                if !self.copy {
                    self.hand_out(len, frame);
                    return Ok(self.take(header.flags));
                }
                if !self.assembly.whole(&track.ring, at, len) {
                    return Err(Corrupt::Memory { len });
                }
            }
            // A broadcast has no messages in parts.
            Kind::First | Kind::More | Kind::Last if self.guard.is_some() => {
                return Err(Corrupt::Header { word, at });
            }
            Kind::First | Kind::More | Kind::Last => {
                let whole = self.assembly.part(&track.ring, at, header.kind, len)?;
                if !whole {
                    track.head += frame;
                    if track.head - track.published >= size / 8 {
                        self.publish();
                    }
                    return Ok(Step::Part);
                }
            }
            _ => {}
        }
        // Until here nothing has changed that anybody sees.
        if self.copied_too_late() {
            return Ok(Step::Lapped);
        }
        match header.kind {
            Kind::Close => return Ok(Step::Closed),
            Kind::Move => return Ok(Step::Moved),
            _ => self.tracks[self.current & 1].head += frame,
        }
        match header.kind {
            Kind::Data | Kind::Last => {
                (self.copied, self.len) = (true, self.assembly.message().len() as u64);
                return Ok(self.take(header.flags));
            }
            Kind::Abort => self.assembly.drop_parts(),
            Kind::Switch => {
                self.current ^= 1;
                // The writer may come back to a ring only when it knows it free.
                self.publish_unpinned();
            }
            _ => {}
        }
        Ok(Step::Idle)
    }

    fn take(&mut self, flags: u8) -> Step {
        self.taken += 1;
        // A writer of descriptors counts those on their way by what we say.
        if flags & (RENDEZVOUS | CARRIES) != 0 {
            self.publish();
        }
        if flags & CARRIES == 0 { Step::Message } else { Step::Carrying }
    }

    /// The message that the last poll found, unless it lies in the ring: then [`Reader::in_ring`] says where.
    #[inline(always)]
    pub(crate) fn copied(&self) -> &[u8] {
        match self.copied && self.lent == 0 {
            true => self.assembly.message(),
            false => &[],
        }
    }

    /// Ring, position and length of the message that the last poll found, when it is to be read in place.
    #[inline(always)]
    pub(crate) fn in_ring(&self) -> Option<(&R, u64, u64)> {
        let track = &self.tracks[self.current & 1];
        (self.lent != 0).then_some((&track.ring, track.head, self.len))
    }

    /// Messages taken so far.
    pub(crate) fn taken(&self) -> u64 {
        self.taken
    }

    /// Says how far we are in the current ring. Who sleeps until there is room is told as seldom as ever, an eighth of the ring at a
    /// time: woken for less, it would soon sleep again.
    #[cold]
    #[inline(never)]
    pub(super) fn say(&mut self) {
        let current = self.current & 1;
        let track = &mut self.tracks[current];
        if track.head - track.published >= track.ring.size() / 8 {
            return self.publish();
        }
        track.said = track.head;
        // Release: as in `publish`.
        self.own.released[current].store(track.head, Ordering::Release);
    }

    /// Tells the writer how far we are, and notes whether it sleeps on that.
    #[cold]
    #[inline(never)]
    pub(crate) fn publish(&mut self) {
        for which in [SMALL, LARGE] {
            let track = &mut self.tracks[which];
            (track.published, track.said) = (track.head, track.head);
            // Release pairs with the writer's acquire load in `refresh`: our reads of these frames are done.
            self.own.released[which].store(track.head, Ordering::Release);
        }
        // Release pairs with the acquire load in `Writer::taken`.
        self.own.taken.store(self.taken, Ordering::Release);
        crash_point!("log.publish.told");
        if self.barriers.peer {
            // As in `Writer::look_for_sleepers`, with the parts exchanged: the sleeping writer runs the barrier.
            compiler_fence(Ordering::SeqCst);
        } else {
            // Pairs with the fence in `Writer::announce`.
            fence(Ordering::SeqCst);
        }
        // Relaxed: ordered by the fences above.
        let ticket = self.peer.room_ticket.load(Ordering::Relaxed);
        if ticket != 0 && ticket != self.rung {
            self.rung = ticket;
            self.must_ring = true;
        }
    }

    /// Whether the writer sleeps on a ticket that it has not been rung for; asking clears it.
    #[inline(always)]
    pub(crate) fn take_must_ring(&mut self) -> bool {
        // Asked after every message: a store only where something changes.
        let must = self.must_ring;
        if must {
            self.must_ring = false;
        }
        must
    }

    /// What the writer tells beside its messages. Whatever it wrote before is found by polls from now on.
    #[inline(always)]
    pub(crate) fn tally(&self) -> u64 {
        // Acquire pairs with the release store in `Writer::tell`.
        self.peer.tally.load(Ordering::Acquire)
    }

    /// From now on a tally other than this one is something to wake for.
    #[inline(always)]
    pub(crate) fn heed(&mut self, tally: u64) {
        self.heeded = Some(tally);
    }

    /// Whether the next poll finds anything, be it a message or not, or there is another tally than the one that was heeded. Releases
    /// nothing, and follows nothing.
    #[inline]
    pub(crate) fn has_next(&self) -> bool {
        let track = &self.tracks[self.current & 1];
        // Acquire: as in `poll`, though nothing is read behind it: the poll that follows then sees no less.
        track.ring.word(track.head + self.lent).load(Ordering::Acquire) != 0
            || self.heeded.is_some_and(|heeded| self.tally() != heeded)
    }

    /// Whether there seems to be a whole message next: if so, the next poll has something to say. Releases nothing.
    #[inline]
    pub(crate) fn has_message(&self) -> bool {
        let track = &self.tracks[self.current & 1];
        // Acquire: as in `has_next`.
        track.ring.word(track.head + self.lent).load(Ordering::Acquire) as u32 == Kind::Data as u32
    }

    /// Announces that this reader is about to sleep. After this, poll once more before sleeping.
    /// The answer is the longest that it may sleep before it polls again.
    pub(crate) fn announce(&mut self, signals: &impl Signals) -> Option<Duration> {
        self.announce_unordered().order(signals)
    }

    /// Releases the message before and announces sleep, but orders nothing. One order ([`Announcement::order`]) does for any
    /// number of announcements.
    pub(crate) fn announce_unordered(&mut self) -> Announcement {
        self.go_on();
        // A sleeper looks at nothing, and a writer that drops must not have to go round it.
        self.unpin();
        self.publish();
        self.next_ticket = fresh_ticket(self.next_ticket);
        // Relaxed: nobody else writes there.
        let still = self.own.data_ticket.load(Ordering::Relaxed) != 0;
        let announcement = self.standing.announce(self.barriers.own, still, self.told());
        // The barrier orders it before our next look at the header. Release pairs with the acquire load in `Writer::last_was_missed`:
        // whoever sees us asleep sees what was published above.
        self.own.data_ticket.store(self.next_ticket, Ordering::Release);
        crash_point!("log.announce.said");
        announcement
    }

    /// How far the writer has come, as far as it was followed, as one number that changes with whatever it rings for.
    fn told(&self) -> u64 {
        self.tracks[SMALL].head.wrapping_add(self.tracks[LARGE].head).wrapping_add(self.tally())
    }

    /// Takes the announcement back.
    pub(crate) fn awake(&mut self) {
        // A store only where something changes: the writer looks there with every message.
        if self.own.data_ticket.load(Ordering::Relaxed) != 0 {
            // Relaxed: a writer that still sees the ticket rings once too often, which is harmless.
            self.own.data_ticket.store(0, Ordering::Relaxed);
        }
    }

    /// Says that nothing more will be taken.
    pub(crate) fn close(&mut self) {
        self.publish();
        // Release: everything published before stays visible with it; the writer reads it as a hint, then once more
        // when it is rung.
        self.own.data_ticket.store(CLOSED, Ordering::Release);
    }
}
