//! The sending half of a log link.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;

use wharf_shared_memory::log::{Barriers, LogError, LogWriter, WriteError};
use wharf_sys::clock::{Deadline, Instant};
use wharf_sys::crash_point;
use wharf_sys::doorbell::{RingError, Ringer, Wake};
use wharf_sys::fork;

use super::Pushed;
use super::carrying::Shipping;
use crate::aligned::AlignedBytes;
use crate::error::SendError;
use crate::transport::signals::{Half, RingTrouble, Signals};
use crate::transport::vigil::{Silence, Watch};
use crate::transport::{Ask, Room, SendTransport};
use crate::waits::Rounds;

/// Why the peer sends or takes nothing more.
#[derive(Debug, Clone)]
pub(super) enum End {
    /// It is gone without a word.
    Gone,
    /// It closed.
    Closed,
    /// It broke the rules of the log.
    Nonsense(String),
}

/// The sending half.
#[derive(Debug)]
pub(crate) struct LogSender {
    pub(super) log: LogWriter,
    /// The pipe at which the peer's receiver sleeps; without one it sleeps at the lifeline.
    pub(super) ringer: Option<Ringer>,
    pub(super) signals: Arc<Signals>,
    /// Forks before this link was made; a child has one more and may not touch it.
    pub(super) epoch: u32,
    /// The same number until the link has ended; another one then. So one comparison stands for both.
    ready_in: u32,
    /// The peer may be hostile: nothing is filled in where it can watch.
    pub(super) hostile: bool,
    /// Set by [`end_as`](Self::end_as).
    pub(super) end: Option<End>,
    pub(super) silence: Silence,
    pub(super) watch: Watch,
    /// The answer of `taken` before.
    pub(super) taken: u64,
    /// The length of the message that is waited for room for.
    pub(super) wanted: u64,
    /// How often something was told beside the messages.
    pub(super) told: u64,
    /// What it takes to send descriptors, where this link carries them.
    pub(super) shipping: Option<Box<Shipping>>,
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
            ready_in: fork::epoch(),
            hostile,
            end: None,
            silence: Silence::default(),
            watch: Watch::new(),
            taken: 0,
            wanted: 0,
            told: 0,
            shipping: attachments.map(|most| Box::new(Shipping::new(most))),
        }
    }

    /// From now on nothing longer than this is pushed quickly, or lent so.
    pub(crate) fn be_quick_up_to(&mut self, limit: usize) {
        self.log.be_quick_up_to(limit as u64);
    }

    /// What an ended link reports; `None` while it lives.
    pub(super) fn ended(&self) -> Option<SendError> {
        Some(match self.end.as_ref()? {
            End::Gone => SendError::PeerDied { sent: self.log.sent(), taken: Some(self.log.taken()) },
            End::Closed => SendError::Closed,
            End::Nonsense(what) => SendError::Protocol(what.clone()),
        })
    }

    /// Ends the link for this half, unless it has ended before.
    fn end_as(&mut self, end: End) {
        self.end.get_or_insert(end);
        self.ready_in = !self.epoch;
    }

    /// The peer is gone; a receiver that closed said so before.
    pub(super) fn note_end(&mut self) {
        let end = if self.log.reader_closed() { End::Closed } else { End::Gone };
        self.end_as(end);
    }

    /// Looks at the peer when it is time to; see [`Watch`].
    #[inline(always)]
    pub(super) fn keep_watch(&mut self) {
        if self.watch.is_due(self.log.sent() + self.told) {
            self.look_around();
        }
    }

    #[cold]
    #[inline(never)]
    fn look_around(&mut self) {
        let log = &self.log;
        let due = self.watch.wants_a_look(Instant::now(), log.sent() + self.told, || log.taken());
        if due || self.signals.known_gone() {
            self.look_at_peer();
        }
    }

    /// Looks at the peer when it is time to, and says whether the link has ended.
    #[cold]
    #[inline(never)]
    fn ends_at_a_look(&mut self) -> bool {
        self.look_around();
        self.end.is_some()
    }

    /// Wakes the peer's receiver for a message that was just written. [`SendError::Closed`] and [`SendError::PeerDied`] say that the
    /// peer has not had it. Where it has, or may have, before it was to be woken, the end shows with what comes next.
    #[cold]
    #[inline(never)]
    pub(crate) fn wake(&mut self) -> Result<(), SendError> {
        match self.ring() {
            Err(SendError::Closed | SendError::PeerDied { .. }) if !self.log.last_was_missed() => Ok(()),
            rung => rung,
        }
    }

    /// The same where it was found asleep: behind a message, or when it was met.
    #[inline(always)]
    pub(crate) fn wake_if_asleep(&mut self) -> Result<(), SendError> {
        if self.log.take_must_ring() { self.wake() } else { Ok(()) }
    }

    /// Wakes the peer's receiver. A peer that takes nothing more announces that as a sleep.
    #[cold]
    #[inline(never)]
    pub(crate) fn ring(&mut self) -> Result<(), SendError> {
        if self.log.reader_closed() {
            self.end_as(End::Closed);
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
        self.ready_in = self.epoch;
        Ok(())
    }

    /// Turns the log's refusal into the link's.
    #[cold]
    #[inline(never)]
    pub(super) fn refused(&mut self, why: WriteError) -> SendError {
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
                if self.end.is_none() && self.silence.goes_on(self.log.sent()) {
                    self.look_at_peer();
                }
                self.ended().unwrap_or(SendError::Full)
            }
            WriteError::Closed | WriteError::ReaderClosed => {
                self.end_as(End::Closed);
                self.ended().unwrap_or(SendError::Closed)
            }
            other => {
                self.end_as(End::Nonsense(other.to_string()));
                SendError::Protocol(other.to_string())
            }
        }
    }

    /// Announces sleep, looks whether what is waited for is there, and otherwise sleeps: until the peer rings for this half,
    /// until it ends, or until the deadline passes.
    pub(super) fn sleep_unless(
        &mut self,
        deadline: Option<Deadline>,
        mut is_there: impl FnMut(&mut LogSender) -> Result<bool, SendError>,
    ) -> Result<(), SendError> {
        let mut rounds = Rounds::new();
        let outcome = loop {
            let longest = self.log.announce();
            match is_there(self) {
                Ok(false) => {}
                Ok(true) => {
                    self.signals.did_not_sleep(Half::Sender);
                    break Ok(());
                }
                Err(error) => break Err(error),
            }
            crash_point!("shm.room.sleep");
            match self.signals.wait(Half::Sender, Deadline::earlier(deadline, longest.map(Deadline::after))) {
                Ok(Wake::TimedOut) if rounds.go_on(deadline) => {}
                Ok(Wake::TimedOut) if deadline.is_some_and(Deadline::passed) => break Err(SendError::Timeout),
                Ok(Wake::Rung | Wake::TimedOut) => break Ok(()),
                Ok(Wake::PeerGone) => {
                    self.note_end();
                    break Ok(());
                }
                Err(error) => break Err(SendError::System(error)),
            }
        };
        self.log.awake();
        outcome
    }

    #[inline(always)]
    pub(super) fn check_ours(&self) -> Result<(), SendError> {
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
        self.push_as(head, rest, true)
    }

    /// The same for a message that is answered before there is another: see [`LogWriter::write_in_turn`].
    #[inline(always)]
    pub(crate) fn push_in_turn(&mut self, head: &[u64], rest: &[u8]) -> Pushed {
        self.push_as(head, rest, false)
    }

    #[inline(always)]
    fn push_as(&mut self, head: &[u64], rest: &[u8], in_stream: bool) -> Pushed {
        if self.ready_in != fork::epoch() {
            return Pushed::No;
        }
        let len = (size_of_val(head) + rest.len()) as u64;
        if !self.log.is_ready(len) && self.watch.is_due(self.log.sent()) && self.ends_at_a_look() {
            return Pushed::No;
        }
        let written = match in_stream {
            true => self.log.write_quickly(head, rest),
            false => self.log.write_in_turn(head, rest),
        };
        if !written {
            return Pushed::No;
        }
        if self.watch.is_due(self.log.sent()) {
            self.log.unready();
        }
        if self.log.take_must_ring() { Pushed::ToASleeper } else { Pushed::Yes }
    }
}

impl LogSender {
    /// Lends room for a message of `len` bytes if that takes nothing but what is known already, and the link has not ended.
    #[inline(always)]
    pub(crate) fn lend_quickly(&mut self, len: usize) -> bool {
        if self.ready_in != fork::epoch() || self.hostile {
            return false;
        }
        if self.watch.is_due(self.log.sent()) && self.ends_at_a_look() {
            return false;
        }
        self.log.lend_quickly(len as u64)
    }

    /// Publishes what was lent; a forked child may not.
    #[inline(always)]
    pub(crate) fn commit_quickly(&mut self) -> Pushed {
        if self.epoch != fork::epoch() || !self.log.commit_lent(false) {
            return Pushed::No;
        }
        if self.log.take_must_ring() { Pushed::ToASleeper } else { Pushed::Yes }
    }

    /// Tells a number beside the messages, see [`LogWriter::tell`], unless the link has ended. The answer is that of
    /// [`push_quickly`](Self::push_quickly).
    #[inline(always)]
    pub(crate) fn tell(&mut self, tally: u64) -> Pushed {
        if self.epoch != fork::epoch() {
            return Pushed::No;
        }
        self.keep_watch();
        if self.end.is_some() {
            return Pushed::No;
        }
        self.told += 1;
        self.log.tell(tally);
        if self.log.take_must_ring() { Pushed::ToASleeper } else { Pushed::Yes }
    }

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
            Ok(()) => self.wake_if_asleep(),
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
        self.sleep_unless(deadline, |it| match it.log.look_for_room(len as u64) {
            Err(WriteError::Full) if it.end.is_none() => {
                // Looking may have written a pad for which a sleeping receiver must wake.
                let rung = if it.log.take_must_ring() { it.ring() } else { Ok(()) };
                rung.map(|()| false)
            }
            // Room, or an end that the next push reports.
            _ => Ok(true),
        })
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
                self.end_as(End::Closed);
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
        self.sleep_unless(deadline, |it| Ok(it.log.taken() != it.taken || it.log.reader_closed() || it.end.is_some()))
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
        if self.log.commit_lent(ask == Ask::WhenTaken) { self.wake_if_asleep() } else { Ok(()) }
    }

    fn commit_or_keep(&mut self, room: Room, spare: &mut AlignedBytes) -> Result<(), (SendError, Option<Room>)> {
        if let Err(error) = self.check_ours() {
            return Err((error, Some(room)));
        }
        let Some(message) = self.log.publish_lent() else { return Ok(()) };
        self.wake_if_asleep().map_err(|error| {
            let bytes = self.log.published(&message);
            match spare.grow(bytes.len(), 0) {
                Ok(()) => spare.get_mut(..bytes.len()).copy_from_slice(bytes),
                Err(_) => *spare = AlignedBytes::empty(0),
            }
            (error, None)
        })
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
