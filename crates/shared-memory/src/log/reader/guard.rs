//! Reading a broadcast: a pin before each look, the floor behind it, and what was missed counted exactly.

use super::{Reader, Step};
use crate::atomic::{Ordering, compiler_fence, fence};
use crate::log::Corrupt;
use crate::log::frame::Kind;
use crate::log::page::Page;
use crate::log::pin::Pin;
use crate::log::reader::{IDLE_FRAMES_PER_POLL, Quick};
use crate::log::ring::Ring;
use crate::log::start::Start;
use std::ops::Deref;
use wharf_sys::crash_point;

/// Looks at a floor that changes meanwhile: each time the writer has dropped another eighth of its log.
const LOOKS_AT_THE_FLOOR: u32 = 8;

/// What a poll of a broadcast met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// A message; it stays until the next poll.
    Message,
    /// Nothing yet.
    Empty,
    /// No message yet, but the log was not looked through: poll again before sleeping.
    More,
    /// So many messages were dropped before this reader came by. It goes on behind them.
    Lagged(u64),
    /// The stream goes on in the next generation: give its memory to `next_generation`.
    Moved,
    /// The writer has closed: nothing will follow.
    Closed,
}

/// What a reader of a broadcast keeps beside its place.
#[derive(Debug)]
pub(super) struct Guard {
    /// The writer may drop what this reader has not read.
    drops: bool,
    /// A frame is pinned: `pin` on our page says which.
    pinned: bool,
    generation: u64,
}

impl<R: Ring, P: Deref<Target = Page>> Reader<R, P> {
    /// Makes this the reader of a broadcast, and says so on its page: before the first poll.
    pub(crate) fn into_broadcast(mut self, start: Start, may_drop: bool) -> Self {
        self.guard = Some(Guard { drops: may_drop, pinned: false, generation: start.generation });
        self.begin(start);
        self
    }

    /// The generation that this reader is in.
    pub(crate) fn generation(&self) -> u64 {
        self.guard.as_ref().map_or(0, |guard| guard.generation)
    }

    /// Goes on at `start` in the next generation, whose rings and page these are. What is held of the old one stays as it
    /// is: nobody writes there any more.
    pub(crate) fn renew(&mut self, small: R, large: R, peer: P, start: Start) {
        self.unpin();
        for (track, ring) in self.tracks.iter_mut().zip([small, large]) {
            track.ring = ring;
        }
        self.peer = peer;
        if let Some(guard) = &mut self.guard {
            guard.generation = start.generation;
        }
        // Relaxed: the release of `entered` comes behind it. The old generation has no use for these any more.
        self.own.held_bits.store(0, Ordering::Relaxed);
        self.begin(start);
        // A writer that waits for room waits for us too.
        self.publish();
    }

    fn begin(&mut self, start: Start) {
        self.stand_at(start.ring, start.heads);
        self.taken = start.sequence;
        self.own.taken.store(start.sequence, Ordering::Relaxed);
        for (released, head) in self.own.released.iter().zip(start.heads) {
            // Relaxed: the release of `entered` comes behind it.
            released.store(head, Ordering::Relaxed);
        }
        crash_point!("log.enter.placed");
        // Release pairs with the writer's acquire in `Seat::look`: it believes these positions only when it sees this.
        self.own.entered.store(start.generation + 1, Ordering::Release);
        crash_point!("log.enter.said");
    }

    fn stand_at(&mut self, ring: usize, heads: [u64; 2]) {
        self.current = ring & 1;
        for (track, head) in self.tracks.iter_mut().zip(heads) {
            track.head = head;
            (track.published, track.said) = (head, head);
        }
        self.find_nothing();
        self.lent = 0;
        self.assembly.drop_parts();
    }

    /// The sequence of the message that the last poll found.
    #[inline]
    pub(crate) fn sequence(&self) -> u64 {
        self.taken.saturating_sub(1)
    }

    /// Looks for the next message of a broadcast, releasing the one before.
    #[inline(always)]
    pub(crate) fn poll_broadcast(&mut self) -> Result<Heard, Corrupt> {
        match self.poll_broadcast_quickly() {
            Quick::Message => Ok(Heard::Message),
            Quick::Nothing if self.is_settled() => Ok(Heard::Empty),
            Quick::Nothing | Quick::Unusual => self.poll_broadcast_slowly(),
        }
    }

    /// Looks for a message in the one common case: whole, without flags, readable in place, not dropped. Small enough to
    /// be part of the caller.
    ///
    /// `Nothing` leaves the last frame pinned and untold: whoever means to wait for longer than a few looks asks
    /// [`poll_broadcast`](Self::poll_broadcast) once more.
    #[inline(always)]
    pub(crate) fn poll_broadcast_quickly(&mut self) -> Quick {
        let track = &mut self.tracks[self.current & 1];
        let head = track.head + self.lent;
        track.head = head;
        let due = track.is_due();
        let found = self.look_at(head);
        match found {
            // Behind the look at the header, which is what the caller waits for.
            Quick::Message if due => self.say(),
            Quick::Message => {}
            Quick::Nothing | Quick::Unusual => {
                // The frame before is behind us: stored only here, because a message stores it anew.
                self.lent = 0;
                self.find_nothing();
                if due {
                    self.unpin();
                    self.say();
                }
            }
        }
        found
    }

    /// [`poll_broadcast_quickly`](Self::poll_broadcast_quickly) behind one that found nothing, so that what there was to tell is told:
    /// looks until something stands at the place of the next header, with so many pauses at most behind the close looks. Says how often
    /// it looked in vain, too.
    ///
    /// What must be known of a message before it is taken is looked up while it is waited for.
    #[inline(always)]
    pub(crate) fn poll_broadcast_patiently(&mut self, tries: u32) -> (Quick, u32) {
        let bound = self.bound();
        let (word, vain) = self.watch(tries);
        (self.take_seen(word, bound), vain)
    }

    /// Looks at the place of the next header, and hands the message there out.
    #[inline(always)]
    fn look_at(&mut self, head: u64) -> Quick {
        // Acquire pairs with the writer's release store in `commit_sized`. When it was overwritten meanwhile, it pairs with
        // the barrier behind the raising of the floor, which we therefore see below.
        let word = self.tracks[self.current & 1].ring.word(head).load(Ordering::Acquire);
        self.take_seen(word, self.bound())
    }

    /// Hands out the message whose header was seen at the head, if it is one in the one common case.
    #[inline(always)]
    fn take_seen(&mut self, word: u64, bound: u64) -> Quick {
        let len = word >> 32;
        if word as u32 != Kind::Data as u32 || len >= bound {
            return self.nothing_common(word);
        }
        if self.guarded() {
            self.pin();
            // The word is still what it was: it was read at a place that is not given free even now.
            if self.is_lapped() {
                return Quick::Unusual;
            }
        }
        self.hand_out(len, self.grid.frame(len));
        self.taken += 1;
        Quick::Message
    }

    #[cold]
    fn nothing_common(&self, word: u64) -> Quick {
        if word == 0 && !self.is_lapped() { Quick::Nothing } else { Quick::Unusual }
    }

    /// Nothing to do but to look again: everything is told, and nothing is pinned.
    #[inline(always)]
    fn is_settled(&self) -> bool {
        let track = &self.tracks[self.current & 1];
        track.head == track.published && !self.is_pinned()
    }

    /// Everything but the common case.
    #[inline(never)]
    fn poll_broadcast_slowly(&mut self) -> Result<Heard, Corrupt> {
        let track = &self.tracks[self.current & 1];
        if track.head - track.published >= track.ring.size() / 8 {
            self.publish_unpinned();
        }
        // Bounded as in `follow`. More than a few frames without a message only somebody says who means no good, or a
        // writer that goes around many frames that are held.
        for _ in 0..IDLE_FRAMES_PER_POLL {
            let track = &self.tracks[self.current & 1];
            // Acquire: as above.
            let word = track.ring.word(track.head).load(Ordering::Acquire);
            if word == 0 {
                return Ok(self.nothing());
            }
            if self.guarded() && !self.copy {
                self.pin();
            }
            if self.is_lapped() {
                return self.catch_up();
            }
            match self.one_frame() {
                // Nothing in a broadcast carries: `one_frame` has refused it.
                Ok(Step::Message | Step::Carrying) => return Ok(Heard::Message),
                Ok(Step::Idle | Step::Part) => {}
                Ok(Step::Empty) => return Ok(self.nothing()),
                Ok(Step::Lapped) => return self.catch_up(),
                Ok(Step::Closed) => {
                    self.publish_unpinned();
                    return Ok(Heard::Closed);
                }
                Ok(Step::Moved) => {
                    self.publish_unpinned();
                    return Ok(Heard::Moved);
                }
                // What was dropped while we looked at it may look like anything.
                Err(_) if self.is_lapped() => return self.catch_up(),
                Err(error) => return Err(error),
            }
        }
        self.publish_unpinned();
        Ok(Heard::More)
    }

    /// Releases everything before the head. What is pinned lies there too: while it were, the writer would take it for
    /// something held, and go around it.
    pub(super) fn publish_unpinned(&mut self) {
        self.unpin();
        self.publish();
    }

    fn nothing(&mut self) -> Heard {
        self.unpin();
        if self.is_lapped() {
            return self.catch_up().unwrap_or(Heard::More);
        }
        if self.tracks.iter().any(|track| track.head != track.published) {
            self.publish();
        }
        Heard::Empty
    }

    #[inline(always)]
    fn is_pinned(&self) -> bool {
        self.guard.as_ref().is_some_and(|guard| guard.pinned)
    }

    #[inline(always)]
    fn guarded(&self) -> bool {
        self.guard.as_ref().is_some_and(|guard| guard.drops)
    }

    /// Pins the frame at the head, before the look at the floor.
    #[inline(always)]
    fn pin(&mut self) {
        let ring = self.current & 1;
        let word = Pin { ring, position: self.tracks[ring].head }.pack();
        // A store only where something changes.
        if let Some(guard) = &mut self.guard
            && !guard.pinned
        {
            guard.pinned = true;
        }
        // Release: our reads of the frame that was pinned before are done, and what we hold of it is written down.
        self.own.pin.store(word, Ordering::Release);
        crash_point!("log.pin.said");
        if self.barriers.peer {
            // Store the pin, then load the floor; the writer stores the floor, then loads the pin. It runs the barrier on
            // every processor between its two steps, so here only the compiler must keep the order.
            compiler_fence(Ordering::SeqCst);
        } else {
            // Pairs with the fence in `Writer::raise_floor`.
            fence(Ordering::SeqCst);
        }
    }

    pub(super) fn unpin(&mut self) {
        if let Some(guard) = &mut self.guard
            && std::mem::take(&mut guard.pinned)
        {
            // Release: our reads of the frame are done.
            self.own.pin.store(Pin::NONE, Ordering::Release);
        }
    }

    /// Whether the message that we want next is dropped.
    #[inline(always)]
    pub(super) fn is_lapped(&self) -> bool {
        // Acquire pairs with the release of the floor: its place is written.
        self.guarded() && self.peer.floor.load(Ordering::Acquire) >> 1 > self.taken
    }

    /// Whether the frame just copied may have been overwritten meanwhile: a copier pins nothing.
    pub(super) fn copied_too_late(&self) -> bool {
        if !self.copy || !self.guarded() {
            return false;
        }
        // Acquire: the bytes were read before the floor is. Pairs with the writer's barrier between raising the floor and
        // overwriting anything: who read an overwritten byte sees the floor.
        fence(Ordering::Acquire);
        self.is_lapped()
    }

    /// Goes to the floor, and says how many messages that misses.
    #[cold]
    #[inline(never)]
    fn catch_up(&mut self) -> Result<Heard, Corrupt> {
        self.unpin();
        for _ in 0..LOOKS_AT_THE_FLOOR {
            // Acquire: as in `is_lapped`.
            let floor = self.peer.floor.load(Ordering::Acquire);
            let place = &self.peer.places[(floor & 1) as usize];
            // Acquire: when one of these is from the floor after the next, the look behind sees the next floor at least.
            let [ring, small, large] = [0, 1, 2].map(|word| place[word].load(Ordering::Acquire));
            if self.peer.floor.load(Ordering::Relaxed) != floor {
                continue;
            }
            let generation = self.generation();
            let to = Start { ring: ring as usize, heads: [small, large], sequence: floor >> 1, generation };
            let forward = self.tracks.iter().zip(to.heads).all(|(track, head)| head >= track.head);
            if !forward || ring > 1 || !to.fits(self.grid) || to.sequence <= self.taken {
                return Err(Corrupt::Floor { sequence: to.sequence, wanted: self.taken });
            }
            let missed = to.sequence - self.taken;
            self.taken = to.sequence;
            self.stand_at(to.ring, to.heads);
            self.publish();
            return Ok(Heard::Lagged(missed));
        }
        Ok(Heard::More)
    }

    /// The word that pins the message just found; `None` when it does not lie in a ring.
    pub(crate) fn found_pin(&self) -> Option<(u64, u64)> {
        let (_, position, len) = self.in_ring()?;
        Some((Pin { ring: self.current & 1, position }.pack(), len))
    }
}
