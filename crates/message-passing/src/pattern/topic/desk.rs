//! A publisher's desk: its log, who reads it, and for whom it waits. One thread works at it, the node's thread visits.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use wharf_shared_memory::board::{Counter, Counters};
use wharf_shared_memory::log::{
    BroadcastWriter, Departure, Geometry, LogError, Room, SeatId, SeatTerms, Start, WriteError,
};
use wharf_sys::clock::Instant;
use wharf_sys::crash_point;
use wharf_sys::doorbell::Ringer;

use super::patience::{Patience, Place, Verdict};
use super::terms::{CUT_OFF, MOVED, Move, RING};
use super::{DEFAULT_HOLD_BYTES, OnFull};
use crate::node::{Pairing, PairingId};
use crate::transport::log_link::Pushed;

/// Times that one message drops, grows or starts afresh before it is given up: each of these makes room for it, unless the
/// log is at odds with itself.
const MOST_TRIES: u32 = 32;

/// The most seats of one user who is not trusted, and of all of them: a message costs the publisher a look at each, and the
/// seats of a log are for everybody.
const MOST_SEATS_OF_A_STRANGER: usize = 128;
const MOST_SEATS_OF_STRANGERS: usize = 1024;
/// What subscribers hold makes the log grow up to so much: it has room for what one of them may hold unless it says
/// otherwise, and for messages beside that.
const MOST_FOR_HELD: u64 = 2 * DEFAULT_HOLD_BYTES as u64;

/// A log that has grown is as large as was asked for again after so many messages that need no more.
const MODEST_MESSAGES: u64 = 256;

/// Those who are in the way of another generation ring when they move on, but not when they let go of what they hold: so often
/// the publisher looks.
const SLICE: Duration = Duration::from_millis(10);

/// How the other end of a pairing is woken.
#[derive(Clone)]
pub(super) struct Ringing {
    pub(super) pairing: Pairing,
    /// Its bell, if the two trust each other; otherwise it is told over the lifeline.
    pub(super) bell: Option<Arc<Ringer>>,
}

impl Ringing {
    /// Wakes the other end. `false`: the system refused, and it sleeps on. One that is gone needs no ring.
    pub(super) fn ring(&self) -> bool {
        match &self.bell {
            Some(bell) => !matches!(bell.ring(), Err(wharf_sys::doorbell::RingError::System(_))),
            None => {
                // Full: it has been told often enough. Gone: see above.
                let _ = self.pairing.tell(RING, &[], Vec::new());
                true
            }
        }
    }
}

/// One subscriber.
struct Guest {
    seat: SeatId,
    ringing: Ringing,
    /// The device and the number of its page.
    page: (u64, u64),
}

/// Why a message was not written.
#[derive(Debug)]
pub(super) enum Stuck {
    /// No room now. At that instant whoever is in the way loses the oldest.
    Full(Option<Instant>),
    /// The publisher is closed.
    Closed,
    /// No memory for a larger log.
    Memory(LogError),
    /// Nothing made room for it.
    Nowhere,
}

/// See the top of the file.
pub(super) struct Desk {
    pub(super) writer: BroadcastWriter,
    /// The log that was asked for; it begins with a smaller one.
    whole: Geometry,
    guests: Vec<Guest>,
    on_full: OnFull,
    patience: Patience<SeatId>,
    /// Where it counts what was lost with a subscriber, as long as the publisher is open.
    board: Option<Counters>,
    /// How many messages were sent when a larger log than that was needed last.
    needed_at: u64,
}

/// What is missing for a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lack {
    /// Room in the log.
    Room,
    /// A generation may not follow: somebody would lose its seat by it.
    Way,
}

/// What a subscriber gets when it has a seat.
pub(super) struct Seated {
    pub(super) memory: OwnedFd,
    pub(super) geometry: Geometry,
    pub(super) start: Start,
}

impl Desk {
    pub(super) fn new(writer: BroadcastWriter, whole: Geometry, on_full: OnFull) -> Desk {
        let limit = match on_full {
            OnFull::Block { patience } => patience,
            OnFull::Reject | OnFull::DropOldest => None,
        };
        let patience = Patience::new(limit);
        Desk { writer, whole, guests: Vec::new(), on_full, patience, board: None, needed_at: 0 }
    }

    /// Counts there from now on. Nobody else counts what is lost with a subscriber, and whoever works at the desk is alone.
    pub(super) fn count_at(&mut self, counters: Counters) {
        self.board = Some(counters);
    }

    /// Writes a message if that takes nothing but stores.
    #[inline(always)]
    pub(super) fn push_quickly(&mut self, message: &[u8]) -> Pushed {
        if !self.writer.write_quickly(message) {
            return Pushed::No;
        }
        if self.writer.must_ring() { Pushed::ToASleeper } else { Pushed::Yes }
    }

    /// Writes a message, making room as the policy says.
    pub(super) fn push(&mut self, message: &[u8]) -> Result<(), Stuck> {
        self.with_room(message.len() as u64, |writer| writer.try_write(message))
    }

    /// Lends room for a message in the log, making it as the policy says.
    pub(super) fn lend(&mut self, room: &mut Room, len: u64) -> Result<(), Stuck> {
        self.with_room(len, |writer| writer.lend_room(room, len))
    }

    /// Whether there is room now, without dropping anything or deciding that somebody lags.
    pub(super) fn has_room(&mut self, len: u64) -> bool {
        self.lack(len).is_none()
    }

    fn lack(&mut self, len: u64) -> Option<Lack> {
        match self.writer.look_for_room(len) {
            Err(WriteError::Full) if self.is_whole() => Some(Lack::Room),
            // It goes on in fresh memory.
            Err(WriteError::Full | WriteError::LargerThanFrame { .. } | WriteError::Pinned) => {
                self.writer.would_cut_off().next().map(|_| Lack::Way)
            }
            _ => None,
        }
    }

    /// Whether a message of `len` bytes is written if it is tried now; otherwise until when whoever is in the way is waited
    /// for. Drops nothing.
    pub(super) fn is_worth_a_try(&mut self, len: u64) -> Result<(), Option<Instant>> {
        if self.on_full == OnFull::DropOldest {
            return Ok(());
        }
        let outcome = match self.lack(len) {
            None => return Ok(()),
            Some(Lack::Room) => self.verdict(),
            Some(Lack::Way) => self.verdict_on_the_next_generation(),
        };
        match outcome {
            Verdict::Wait(until) => Err(until),
            Verdict::Drop | Verdict::Again => Ok(()),
        }
    }

    fn with_room(
        &mut self,
        len: u64,
        mut act: impl FnMut(&mut BroadcastWriter) -> Result<(), WriteError>,
    ) -> Result<(), Stuck> {
        self.note_need(len);
        for turn in 0..MOST_TRIES {
            match act(&mut self.writer) {
                Ok(()) => return Ok(()),
                // Nobody is in the way before all that was asked for is used.
                Err(WriteError::Full) if !self.is_whole() => self.renew(self.whole)?,
                Err(WriteError::Full) => match self.verdict() {
                    Verdict::Wait(until) => return Err(Stuck::Full(until)),
                    Verdict::Drop => self.drop_oldest(len)?,
                    // They have released something since we looked.
                    Verdict::Again if turn < MOST_TRIES / 2 => {}
                    Verdict::Again => self.drop_oldest(len)?,
                },
                Err(WriteError::LargerThanFrame { .. }) => self.grow(len)?,
                // Nothing is unread, and yet there is no room between what subscribers hold: waiting would not help.
                Err(WriteError::Pinned) => self.start_afresh()?,
                Err(WriteError::Closed) => return Err(Stuck::Closed),
                // What a reader says of itself costs it its seat, not us the message.
                Err(_) => {}
            }
        }
        Err(Stuck::Nowhere)
    }

    fn verdict(&mut self) -> Verdict {
        match self.on_full {
            OnFull::Reject => Verdict::Wait(None),
            OnFull::DropOldest => Verdict::Drop,
            OnFull::Block { .. } => {
                let (sent, floor) = (self.writer.sent(), self.writer.next_floor());
                let writer = &self.writer;
                let places =
                    || writer.behind().map(|(seat, behind)| Place { seat, next: sent.saturating_sub(behind.messages) });
                self.patience.full(Instant::now(), sent, floor, places)
            }
        }
    }

    /// The verdict on those who would lose their seats by the next generation, and with them all that they have not read.
    fn verdict_on_the_next_generation(&mut self) -> Verdict {
        let verdict = match self.on_full {
            OnFull::Reject => Verdict::Wait(None),
            OnFull::DropOldest => Verdict::Drop,
            OnFull::Block { .. } => {
                let (sent, writer) = (self.writer.sent(), &self.writer);
                let places =
                    || writer.behind().map(|(seat, behind)| Place { seat, next: sent.saturating_sub(behind.messages) });
                let in_the_way = |place: &Place<SeatId>| writer.would_cut_off().any(|seat| seat == place.seat);
                self.patience.stuck(Instant::now(), sent, in_the_way, places)
            }
        };
        match verdict {
            Verdict::Wait(until) => {
                let slice = Instant::now().saturating_add(SLICE);
                Verdict::Wait(Some(until.map_or(slice, |until| until.min(slice))))
            }
            other => other,
        }
    }

    fn drop_oldest(&mut self, len: u64) -> Result<(), Stuck> {
        let dropped = match self.on_full {
            // A chunk at a time: who would lose something by the next one is asked for first.
            OnFull::Block { .. } => self.writer.drop_some(),
            OnFull::Reject | OnFull::DropOldest => self.writer.make_room_by_dropping(len),
        };
        match dropped {
            Ok(()) => Ok(()),
            // What subscribers hold is in the way everywhere: they keep it, and the stream goes on elsewhere.
            Err(WriteError::Pinned) => self.start_afresh(),
            // The next try says what is wrong.
            Err(_) => Ok(()),
        }
    }

    /// Whether the log has the capacity that was asked for, or more.
    fn is_whole(&self) -> bool {
        self.writer.geometry().large_bytes() >= self.whole.large_bytes()
    }

    /// Goes on in a log of twice the size, or of the one that was asked for: what subscribers hold fills a few generations
    /// only, whatever they hold.
    fn start_afresh(&mut self) -> Result<(), Stuck> {
        let now = self.writer.geometry();
        let next = match self.is_whole() {
            false => self.whole,
            true if now.large_bytes() < MOST_FOR_HELD => {
                Geometry::for_capacity(now.large_bytes() * 2, now.align()).unwrap_or(now)
            }
            true => now,
        };
        self.renew(next)?;
        self.needed_at = self.writer.sent();
        Ok(())
    }

    /// Notes what a message of `len` bytes needs, and goes back to the log that was asked for when a larger one is needed no
    /// more: every subscriber is past what it was needed for, and holds nothing in place.
    fn note_need(&mut self, len: u64) {
        if self.writer.geometry().large_bytes() <= self.whole.large_bytes() {
            return;
        }
        let sent = self.writer.sent();
        if len > self.whole.largest_message() {
            self.needed_at = sent + 1;
        }
        let is_past = sent >= self.needed_at.saturating_add(MODEST_MESSAGES)
            && self.writer.behind().all(|(_, behind)| sent - behind.messages >= self.needed_at)
            && self.writer.nothing_is_kept();
        // Where there is no memory for it, or the history has a message that needs the larger one, this one does for as long
        // again.
        if is_past && self.renew(self.whole).is_err() {
            self.needed_at = sent;
        }
    }

    /// Goes on in a log in which a message of `len` bytes has room, with as much again beside it.
    fn grow(&mut self, len: u64) -> Result<(), Stuck> {
        let now = self.writer.geometry().large_bytes().max(self.whole.large_bytes());
        let larger = Geometry::for_message(len, now, self.whole.align()).ok_or(Stuck::Nowhere)?;
        self.renew(larger)
    }

    /// Goes on in fresh memory and tells everybody. Who cannot be told loses its seat, and so does, if the policy is to drop,
    /// who is too many generations behind.
    fn renew(&mut self, geometry: Geometry) -> Result<(), Stuck> {
        if self.writer.would_cut_off().next().is_some()
            && let Verdict::Wait(until) = self.verdict_on_the_next_generation()
        {
            return Err(Stuck::Full(until));
        }
        let start = self.writer.start_generation(geometry).map_err(Stuck::Memory)?;
        let bytes = Move { geometry, start }.write();
        let memory = self.writer.fd();
        let mut untold = Vec::new();
        for guest in &self.guests {
            let told = memory
                .try_clone_to_owned()
                .is_ok_and(|memory| guest.ringing.pairing.tell(MOVED, &bytes, vec![memory]).is_ok());
            if !told {
                untold.push(guest.seat);
            }
        }
        crash_point!("topic.move.told");
        for seat in untold {
            self.leave(seat, "it could not be told where the stream goes on");
        }
        Ok(())
    }

    /// Whether one more subscriber, who brings this page, may have a seat.
    pub(super) fn has_a_seat_for(&self, pairing: &Pairing, page: (u64, u64)) -> Result<(), String> {
        if self.guests.iter().any(|guest| guest.page == page) {
            return Err("it brings a page that has a seat already; each subscriber needs its own".to_owned());
        }
        let peer = pairing.peer();
        if peer.is_cooperating() {
            return Ok(());
        }
        let strangers = || self.guests.iter().map(|it| it.ringing.pairing.peer()).filter(|it| !it.is_cooperating());
        let (all, of_this) = (strangers().count(), strangers().filter(|it| it.uid() == peer.uid()).count());
        if of_this >= MOST_SEATS_OF_A_STRANGER || all >= MOST_SEATS_OF_STRANGERS {
            return Err(format!(
                "{of_this} subscribers of this user are there and {all} of users who are not trusted, of at most \
                 {MOST_SEATS_OF_A_STRANGER} and {MOST_SEATS_OF_STRANGERS}: let one leave"
            ));
        }
        Ok(())
    }

    /// Gives a subscriber its seat; everything written from now on reaches it, or is counted as missed.
    pub(super) fn admit(
        &mut self,
        page: OwnedFd,
        page_is: (u64, u64),
        terms: SeatTerms,
        history: u64,
        ringing: Ringing,
    ) -> Result<Seated, LogError> {
        let memory = self.writer.fd().try_clone_to_owned();
        let memory = memory.map_err(|source| LogError::System { doing: "pass the log on", source })?;
        let (seat, start) = self.writer.join(page, terms, history)?;
        self.guests.push(Guest { seat, ringing, page: page_is });
        self.patience.reserve(self.guests.len());
        Ok(Seated { memory, geometry: self.writer.geometry(), start })
    }

    /// Takes the seat of a subscriber that has left or died.
    pub(super) fn dismiss(&mut self, pairing: PairingId, died: bool) {
        if let Some(at) = self.guests.iter().position(|guest| guest.ringing.pairing.id() == pairing) {
            let guest = self.guests.swap_remove(at);
            if died {
                self.count_unread(guest.seat);
            }
            self.writer.leave(guest.seat);
        }
    }

    /// What a subscriber that still has its seat has not taken is lost.
    fn count_unread(&self, seat: SeatId) {
        let behind = self.writer.behind().find(|(it, _)| *it == seat);
        self.count_lost(behind.map_or(0, |(_, behind)| behind.messages));
    }

    fn count_lost(&self, messages: u64) {
        if let Some(board) = &self.board {
            board.add(Counter::LostDied, messages);
        }
    }

    /// Collects whom to wake, and cuts off who has lost its seat.
    pub(super) fn look_around(&mut self, sleepers: &mut Vec<(SeatId, Ringing)>) {
        let mut departed = Vec::new();
        self.writer.take_departed(|seat, why, next| departed.push((seat, why, next)));
        for (seat, why, next) in departed {
            if why != Departure::Closed {
                self.count_lost(self.writer.sent().saturating_sub(next));
            }
            match why {
                // It will say so itself.
                Departure::Closed => self.forget(seat),
                Departure::CutOff { oldest, newest } => {
                    let words = format!(
                        "it keeps generation {oldest} of a log that is at {newest}; hold less, or for less long"
                    );
                    self.leave(seat, &words);
                }
                Departure::Lied(why) => self.leave(seat, &why.to_string()),
                _ => self.leave(seat, "it lost its seat"),
            }
        }
        let guests = &self.guests;
        self.writer.take_rings(|seat| {
            if let Some(guest) = guests.iter().find(|guest| guest.seat == seat) {
                sleepers.push((seat, guest.ringing.clone()));
            }
        });
    }

    /// Takes a seat away and says why.
    fn leave(&mut self, seat: SeatId, why: &str) {
        self.count_unread(seat);
        self.writer.leave(seat);
        if let Some(at) = self.guests.iter().position(|guest| guest.seat == seat) {
            let guest = self.guests.swap_remove(at);
            // One that cannot be told learns it from the end of the stream.
            let told = [&self.writer.sent().to_le_bytes(), why.as_bytes()].concat();
            let _ = guest.ringing.pairing.tell(CUT_OFF, &told, Vec::new());
        }
    }

    fn forget(&mut self, seat: SeatId) {
        self.guests.retain(|guest| guest.seat != seat);
    }

    /// Messages that the slowest subscriber has neither taken nor lost, as far as they have said.
    pub(super) fn backlog(&self) -> u64 {
        self.writer.behind().map(|(_, behind)| behind.messages).max().unwrap_or(0)
    }

    /// How many subscribers there are.
    pub(super) fn guests(&self) -> usize {
        self.guests.len()
    }

    /// Closes the log: what was sent stays readable, and nothing follows.
    pub(super) fn close(&mut self) {
        // Somebody else may have the place on the board before the node's thread is done with this desk.
        self.board = None;
        self.writer.close();
    }
}
