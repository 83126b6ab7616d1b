//! A log and its signals as a transport: what `shm:` and `inproc:` links are made of.
//!
//! Messages travel in the log. Signals travel beside it: a doorbell (a pipe, or the lifeline towards a peer that is not
//! trusted) wakes a sleeping receiver, a byte on the lifeline wakes a sender that waits for room or for its message to
//! be taken, and the end of either means that the peer is gone. While neither side sleeps there is no system call at all,
//! but for messages that carry descriptors, which travel over the lifeline ([`carrying`]).

mod carrying;
#[cfg(test)]
mod carrying_tests;
mod waits;

use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;

use wharf_shared_memory::log::{Barriers, LogError, LogReader, LogWriter, Polled, Quick, WriteError};
use wharf_sys::clock::{Deadline, Instant};
use wharf_sys::crash_point;
use wharf_sys::doorbell::{Bell, RingError, Ringer, Wake};
use wharf_sys::fork;
use wharf_sys::poll::{self, Interest};

use self::carrying::{Shipping, Unloading, is_carrying};
use crate::error::{RecvError, SendError};
use crate::message::Message;
use crate::transport::signals::{Half, RingTrouble, Signals};
use crate::transport::vigil::{Silence, Watch};
use crate::transport::{Ask, Frame, PeerMemory, RecvTransport, Room, SendTransport};
use crate::waits::SLICE;

/// Why the peer sends or takes nothing more.
#[derive(Debug, Clone)]
enum End {
    /// It is gone without a word.
    Gone,
    /// It closed.
    Closed,
    /// It broke the rules of the log.
    Nonsense(String),
}

/// Where a receiver sleeps.
#[derive(Debug)]
pub(crate) enum Rest {
    /// At a pipe of this link alone, whose end says that the peer is gone.
    Bell(Bell),
    /// At the lifeline: the peer is not trusted with a pipe.
    Lifeline,
    /// At a bell for many links, which is somebody else's. Nobody waits here in a call; who waits there hears elsewhere that
    /// the peer is gone.
    Elsewhere,
}

/// What became of a quick push.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pushed {
    /// The message is sent.
    Yes,
    /// Nothing was done; ask [`push`](SendTransport::push).
    No,
    /// The message is sent, and its receiver sleeps: [`ring`](LogSender::ring) for it.
    ToASleeper,
}

/// The sending half.
#[derive(Debug)]
pub(crate) struct LogSender {
    log: LogWriter,
    /// The pipe at which the peer's receiver sleeps; without one it sleeps at the lifeline.
    ringer: Option<Ringer>,
    signals: Arc<Signals>,
    /// Forks before this link was made; a child has one more and may not touch it.
    epoch: u32,
    /// The peer may be hostile: nothing is filled in where it can watch.
    hostile: bool,
    end: Option<End>,
    silence: Silence,
    watch: Watch,
    /// The answer of `taken` before.
    taken: u64,
    /// The length of the message that is waited for room for.
    wanted: u64,
    /// What it takes to send descriptors, where this link carries them.
    shipping: Option<Box<Shipping>>,
}

impl LogSender {
    /// `attachments`: the most descriptors with one message, where this link carries any.
    pub(crate) fn new(
        log: LogWriter,
        ringer: Option<Ringer>,
        signals: Arc<Signals>,
        hostile: bool,
        attachments: Option<usize>,
    ) -> Self {
        Self {
            log,
            ringer,
            signals,
            epoch: fork::epoch(),
            hostile,
            end: None,
            silence: Silence::default(),
            watch: Watch::new(),
            taken: 0,
            wanted: 0,
            shipping: attachments.map(|most| Box::new(Shipping::new(most))),
        }
    }

    /// What an ended link reports; `None` while it lives.
    fn ended(&self) -> Option<SendError> {
        Some(match self.end.as_ref()? {
            End::Gone => SendError::PeerDied { sent: self.log.sent(), taken: Some(self.log.taken()) },
            End::Closed => SendError::Closed,
            End::Nonsense(what) => SendError::Protocol(what.clone()),
        })
    }

    /// The peer is gone; a receiver that closed said so before.
    fn note_end(&mut self) {
        let end = if self.log.reader_closed() { End::Closed } else { End::Gone };
        self.end.get_or_insert(end);
    }

    /// Looks at the peer when it is time to; see [`Watch`].
    #[inline(always)]
    fn keep_watch(&mut self) {
        if self.watch.is_due(self.log.sent()) {
            self.look_around();
        }
    }

    #[cold]
    #[inline(never)]
    fn look_around(&mut self) {
        let due = self.watch.wants_a_look(Instant::now(), self.log.sent(), self.log.taken());
        if due || self.signals.known_gone() {
            self.look_at_peer();
        }
    }

    /// Wakes the peer's receiver. A peer that takes nothing more announces that as a sleep.
    #[cold]
    #[inline(never)]
    pub(crate) fn ring(&mut self) -> Result<(), SendError> {
        if self.log.reader_closed() {
            self.end = Some(End::Closed);
            return Err(SendError::Closed);
        }
        crash_point!("shm.ring.before");
        let rung = match &self.ringer {
            Some(ringer) => ringer.ring().map_err(|error| match error {
                RingError::System(error) => RingTrouble::System(error),
                _ => RingTrouble::PeerGone,
            }),
            None => self.signals.ring(Half::Receiver),
        };
        match rung {
            Ok(()) => Ok(()),
            Err(RingTrouble::PeerGone) => {
                self.note_end();
                self.ended().map_or(Ok(()), Err)
            }
            Err(RingTrouble::System(error)) => {
                // The reader still sleeps on this ticket: the next message rings for it again.
                self.log.owe_ring();
                Err(SendError::System(error))
            }
        }
    }

    /// Goes on with the one reader of a link in one direction, which has come: see [`LogWriter::meet`].
    pub(crate) fn meet(&mut self, page: &OwnedFd, barriers: Barriers, hostile: bool) -> Result<(), LogError> {
        self.log.meet(page, barriers)?;
        self.hostile = hostile;
        // What was seen of the connection before says less than the reader's page.
        self.end = None;
        Ok(())
    }

    /// Wakes the peer's receiver if it was found asleep when it was met.
    pub(crate) fn ring_if_asleep(&mut self) -> Result<(), SendError> {
        if self.log.take_must_ring() { self.ring() } else { Ok(()) }
    }

    /// Turns the log's refusal into the link's.
    #[cold]
    #[inline(never)]
    fn refused(&mut self, why: WriteError) -> SendError {
        if let Some(shipping) = &mut self.shipping {
            // It is the log, whatever it was before.
            shipping.blocked = None;
        }
        if self.log.take_must_ring()
            && let Err(error) = self.ring()
        {
            return error;
        }
        match why {
            WriteError::Full => {
                if self.end.is_none() && self.silence.goes_on() {
                    self.look_at_peer();
                }
                self.ended().unwrap_or(SendError::Full)
            }
            WriteError::Closed | WriteError::ReaderClosed => {
                self.end.get_or_insert(End::Closed);
                self.ended().unwrap_or(SendError::Closed)
            }
            other => {
                self.end = Some(End::Nonsense(other.to_string()));
                SendError::Protocol(other.to_string())
            }
        }
    }

    /// Sleeps until the peer rings for this half, it ends, or the deadline passes.
    fn sleep(&mut self, certain: bool, deadline: Option<Deadline>) -> Result<(), SendError> {
        let slice = (!certain).then(|| Deadline::after(SLICE));
        crash_point!("shm.room.sleep");
        match self.signals.wait(Half::Sender, Deadline::earlier(deadline, slice)).map_err(SendError::System)? {
            Wake::PeerGone => self.note_end(),
            Wake::TimedOut if deadline.is_some_and(Deadline::passed) => return Err(SendError::Timeout),
            Wake::Rung | Wake::TimedOut => {}
        }
        Ok(())
    }

    #[inline(always)]
    fn check_ours(&self) -> Result<(), SendError> {
        if self.epoch == fork::epoch() { Ok(()) } else { Err(SendError::Forked) }
    }

    /// Sends a message, `head` and behind it `rest`, if that takes nothing but stores: there is room, and the link has not
    /// ended.
    ///
    /// The answer is a bare word and not a `Result` on purpose. A result of several words is put together in memory,
    /// and reading it back in other widths than it was written waits for every store before it to reach the cache: the
    /// message's own stores, whose lines are the peer's at that moment (docs/performance.md).
    #[inline(always)]
    pub(crate) fn push_quickly(&mut self, head: &[u64], rest: &[u8]) -> Pushed {
        if self.epoch != fork::epoch() {
            return Pushed::No;
        }
        self.keep_watch();
        if self.end.is_some() || !self.log.write_quickly(head, rest) {
            return Pushed::No;
        }
        self.silence.broken();
        if self.log.take_must_ring() { Pushed::ToASleeper } else { Pushed::Yes }
    }
}

impl LogSender {
    /// Has room ready for a message as long as the one that was just pushed.
    #[inline(always)]
    pub(crate) fn prepare(&mut self, len: usize) {
        self.log.prepare(len as u64);
    }
}

impl SendTransport for LogSender {
    #[inline(always)]
    fn push(&mut self, payload: &[u8], progress: &mut usize, ask: Ask) -> Result<(), SendError> {
        self.check_ours()?;
        self.keep_watch();
        if self.end.is_some() {
            return self.ended().map_or(Ok(()), Err);
        }
        let rendezvous = ask == Ask::WhenTaken;
        let written = match self.log.try_write(payload, rendezvous) {
            Err(WriteError::LargerThanFrame { .. }) => self.log.try_write_part(payload, progress, rendezvous),
            other => other,
        };
        match written {
            Ok(()) => {
                self.silence.broken();
                if self.log.take_must_ring() { self.ring() } else { Ok(()) }
            }
            Err(why) => Err(self.refused(why)),
        }
    }

    fn push_with(
        &mut self,
        payload: &[u8],
        fds: &[BorrowedFd<'_>],
        progress: &mut usize,
        ask: Ask,
    ) -> Result<(), SendError> {
        self.push_carrying(payload, fds, progress, ask)
    }

    fn max_attachments(&self) -> Option<usize> {
        self.shipping.as_ref().map(|shipping| shipping.most)
    }

    fn max_in_one(&self) -> usize {
        usize::try_from(self.log.largest_frame()).unwrap_or(usize::MAX)
    }

    fn abort(&mut self) {
        self.log.abort_parts();
        if self.log.take_must_ring() {
            // An error shows again in the next call.
            let _ = self.ring();
        }
    }

    fn wait_room(&mut self, len: usize, deadline: Option<Deadline>) -> Result<(), SendError> {
        self.check_ours()?;
        if let Some(blocked) = self.shipping.as_mut().and_then(|shipping| shipping.blocked.take()) {
            return self.wait_to_ship(blocked, deadline);
        }
        let certain = self.log.announce();
        let outcome = match self.log.look_for_room(len as u64) {
            Err(WriteError::Full) if self.end.is_none() => {
                // Looking may have written a pad for which a sleeping receiver must wake.
                let rung = if self.log.take_must_ring() { self.ring() } else { Ok(()) };
                rung.and_then(|()| self.sleep(certain, deadline))
            }
            // Room, or an end that the next push reports.
            _ => {
                self.signals.did_not_sleep(Half::Sender);
                Ok(())
            }
        };
        self.log.awake();
        outcome
    }

    fn want_room(&mut self, len: usize) {
        self.wanted = len as u64;
    }

    fn sent(&self) -> u64 {
        self.log.sent()
    }

    fn taken(&mut self) -> Result<u64, SendError> {
        self.taken = self.log.taken();
        if self.taken < self.log.sent() {
            if self.end.is_none() && self.log.reader_closed() {
                self.end = Some(End::Closed);
                // The reader published before it closed: look once more.
                self.taken = self.log.taken();
            }
            if self.taken < self.log.sent()
                && let Some(error) = self.ended()
            {
                return Err(error);
            }
        }
        Ok(self.taken)
    }

    fn wait_taken(&mut self, deadline: Option<Deadline>) -> Result<(), SendError> {
        self.check_ours()?;
        let certain = self.log.announce();
        let changed = self.log.taken() != self.taken || self.log.reader_closed() || self.end.is_some();
        let outcome = if changed {
            self.signals.did_not_sleep(Half::Sender);
            Ok(())
        } else {
            self.sleep(certain, deadline)
        };
        self.log.awake();
        outcome
    }

    fn look_at_peer(&mut self) {
        if self.signals.peer_gone() {
            self.note_end();
        }
    }

    fn tries_are_free(&self) -> bool {
        true
    }

    fn is_in_place(&self) -> bool {
        !self.hostile
    }

    #[inline]
    fn try_loan(&mut self, len: usize) -> Result<Option<Room>, SendError> {
        self.check_ours()?;
        if self.hostile {
            return Ok(None);
        }
        self.keep_watch();
        if self.end.is_some() {
            return self.ended().map_or(Ok(None), Err);
        }
        match self.log.try_lend(len as u64) {
            Ok(()) => Ok(Some(Room)),
            Err(WriteError::LargerThanFrame { .. }) => Ok(None),
            Err(why) => Err(self.refused(why)),
        }
    }

    #[inline]
    fn loaned(&self, _room: &Room) -> &[u8] {
        self.log.lent()
    }

    #[inline]
    fn loaned_mut(&mut self, _room: &Room) -> &mut [u8] {
        self.log.lent_mut()
    }

    #[inline]
    fn commit(&mut self, _room: Room, ask: Ask) -> Result<(), SendError> {
        self.check_ours()?;
        if self.log.commit_lent(ask == Ask::WhenTaken) && self.log.take_must_ring() { self.ring() } else { Ok(()) }
    }

    fn give_back(&mut self, _room: Room) {
        self.log.take_back();
    }

    fn close(&mut self) {
        if self.epoch != fork::epoch() {
            return;
        }
        // Closing twice says nothing twice.
        self.log.close();
        if self.log.take_must_ring() {
            // A peer that is gone needs no ring.
            let _ = self.ring();
        }
    }
}

/// A half that is dropped before it became part of a link closes in good order too.
impl Drop for LogSender {
    fn drop(&mut self) {
        self.close();
    }
}

/// The receiving half.
#[derive(Debug)]
pub(crate) struct LogReceiver {
    log: LogReader,
    rest: Rest,
    signals: Arc<Signals>,
    /// Forks before this link was made; a child has one more and may not touch it.
    epoch: u32,
    /// The same number while the next look may be an ordinary one; another one when [`settle`](Self::settle) comes first. So
    /// one comparison stands for both.
    ready_in: u32,
    /// The peer's end of the doorbell has closed.
    gone: bool,
    /// What the peer did against the rules; nothing is believed after it.
    nonsense: Option<String>,
    /// The last poll did not look through all that is there.
    more: bool,
    closed: bool,
    silence: Silence,
    unloading: Unloading,
}

impl LogReceiver {
    /// `attachments`: the most descriptors with one message, where this link carries any.
    pub(crate) fn new(
        log: LogReader,
        rest: Rest,
        signals: Arc<Signals>,
        hostile: bool,
        attachments: Option<usize>,
    ) -> Self {
        Self {
            log,
            rest,
            signals,
            epoch: fork::epoch(),
            ready_in: fork::epoch(),
            gone: false,
            nonsense: None,
            more: false,
            closed: false,
            silence: Silence::default(),
            unloading: Unloading::new(attachments.is_some(), !hostile),
        }
    }

    /// Wakes a sender that waits for room or for its message to be taken.
    #[cold]
    #[inline(never)]
    fn ring(&mut self) {
        crash_point!("shm.release.ring");
        // A peer that is gone needs no ring, and shows at the next wait.
        let _ = self.signals.ring(Half::Sender);
    }

    /// Looks for a message that can be read in place. Anything else: ask [`poll`](RecvTransport::poll).
    #[inline(always)]
    pub(crate) fn poll_quickly(&mut self) -> Quick {
        if self.ready_in != fork::epoch() {
            return Quick::Unusual;
        }
        let found = self.log.poll_quickly();
        if found == Quick::Message {
            self.silence.broken();
        }
        if self.log.take_must_ring() {
            self.ring();
        }
        found
    }

    /// Whether somebody else's bell is rung for this half.
    pub(crate) fn rests_elsewhere(&self) -> bool {
        matches!(self.rest, Rest::Elsewhere)
    }

    /// See [`LogReader::touch_next_line`].
    #[inline(always)]
    pub(crate) fn touch_next_line(&self) {
        self.log.touch_next_line();
    }

    /// The message that [`poll_quickly`](Self::poll_quickly) found.
    #[inline(always)]
    pub(crate) fn in_place(&self) -> Message<'_> {
        Message::in_place_at(self.log.message())
    }

    #[cold]
    #[inline(never)]
    fn nothing(&mut self) -> Result<Option<Frame>, RecvError> {
        if !self.gone && self.silence.goes_on() {
            self.look_at_peer();
            // It may have written between our look at the log and our look at it, so the log decides once more.
            return if self.gone { self.poll() } else { Ok(None) };
        }
        if self.gone {
            // No close in the log: not only the peer's sender has gone, but the peer.
            self.signals.note_gone();
            return Err(RecvError::PeerDied);
        }
        Ok(None)
    }
}

impl RecvTransport for LogReceiver {
    #[inline(always)]
    fn poll(&mut self) -> Result<Option<Frame>, RecvError> {
        if self.ready_in != fork::epoch()
            && let Some(frame) = self.settle()?
        {
            return Ok(Some(frame));
        }
        let polled = self.log.poll();
        if self.log.take_must_ring() {
            self.ring();
        }
        self.more = polled == Ok(Polled::More);
        match polled {
            Ok(Polled::Message) => {
                self.silence.broken();
                Ok(Some(Frame { at: 0, len: 0 }))
            }
            Ok(Polled::Empty) => self.nothing(),
            Ok(Polled::Carrying) => self.found_carrying().map(Some),
            Ok(Polled::More) => Ok(None),
            Ok(Polled::Closed) => Err(RecvError::Closed),
            Err(corrupt) => Err(self.found_nonsense(corrupt.to_string())),
        }
    }

    fn wait(&mut self, deadline: Option<Deadline>) -> Result<Option<Frame>, RecvError> {
        if self.ready_in != fork::epoch()
            && let Some(frame) = self.settle()?
        {
            return Ok(Some(frame));
        }
        let certain = self.log.announce();
        let found = self.poll();
        if self.more || !matches!(found, Ok(None)) {
            self.log.awake();
            if matches!(self.rest, Rest::Lifeline) {
                self.signals.did_not_sleep(Half::Receiver);
            }
            return found;
        }
        crash_point!("shm.recv.sleep");
        // Who is rung for elsewhere and waits here all the same looks again after each slice.
        let slice = (!certain || matches!(self.rest, Rest::Elsewhere)).then(|| Deadline::after(SLICE));
        let until = Deadline::earlier(deadline, slice);
        let woken = match &self.rest {
            Rest::Bell(bell) => bell.wait(until),
            Rest::Lifeline | Rest::Elsewhere => self.signals.wait(Half::Receiver, until),
        };
        self.log.awake();
        match woken {
            Ok(Wake::Rung) => {}
            // Set before the log is looked at once more, so that what was sent before the end is found first.
            Ok(Wake::PeerGone) => self.gone = true,
            Ok(Wake::TimedOut) => {
                let found = self.poll()?;
                return match deadline {
                    Some(deadline) if found.is_none() && deadline.passed() => Err(RecvError::Timeout),
                    _ => Ok(found),
                };
            }
            Err(error) => return Err(RecvError::System(error)),
        }
        self.poll()
    }

    #[inline(always)]
    fn view(&mut self, frame: Frame) -> Message<'_> {
        let in_place = self.log.in_place();
        let bytes = self.log.message();
        if is_carrying(&frame) {
            return Message::carrying(bytes, in_place, self.unloading.cargo());
        }
        if in_place { Message::in_place_at(bytes) } else { Message::private(bytes) }
    }

    fn received(&self) -> u64 {
        self.log.taken()
    }

    fn look_at_peer(&mut self) {
        let now = Some(Deadline::at(Instant::from_nanos(0)));
        self.gone |= match &self.rest {
            Rest::Bell(bell) => {
                bell.as_fd().and_then(|fd| poll::wait(&[(fd, Interest::NONE)], now)).is_ok_and(|ready| ready.hangup(0))
            }
            Rest::Lifeline | Rest::Elsewhere => self.signals.peer_gone(),
        };
    }

    fn tries_are_free(&self) -> bool {
        true
    }

    fn peer_memory(&self) -> Option<PeerMemory<'_>> {
        Some(PeerMemory { mapping: self.log.peer_mapping(), fd: None })
    }

    fn close(&mut self) {
        if self.epoch != fork::epoch() {
            return;
        }
        if !std::mem::replace(&mut self.closed, true) {
            self.log.close();
            // Whether or not it sleeps: a sender that waits for room must learn that none will come.
            self.ring();
            self.signals.close_parcels();
        }
    }
}

/// A half that is dropped before it became part of a link closes in good order too.
impl Drop for LogReceiver {
    fn drop(&mut self) {
        self.close();
    }
}
