//! The receiving half of a log link.

use std::sync::Arc;

use wharf_shared_memory::log::{LogReader, Polled, Quick};
use wharf_sys::clock::{Deadline, Instant};
use wharf_sys::crash_point;
use wharf_sys::doorbell::Wake;
use wharf_sys::fork;
use wharf_sys::poll::{self, Interest};

use super::Rest;
use super::carrying::{Unloading, is_carrying};
use crate::error::RecvError;
use crate::message::Message;
use crate::transport::signals::{Half, Signals};
use crate::transport::vigil::Silence;
use crate::transport::{Frame, PeerMemory, RecvTransport};
use crate::waits::{Rounds, SLICE};

/// The receiving half.
#[derive(Debug)]
pub(crate) struct LogReceiver {
    pub(super) log: LogReader,
    pub(super) rest: Rest,
    pub(super) signals: Arc<Signals>,
    /// Forks before this link was made; a child has one more and may not touch it.
    pub(super) epoch: u32,
    /// The same number while the next look may be an ordinary one; another one when [`settle`](Self::settle) comes first. So
    /// one comparison stands for both.
    pub(super) ready_in: u32,
    /// The peer's end of the doorbell has closed.
    pub(super) gone: bool,
    /// What the peer did against the rules; nothing is believed after it.
    pub(super) nonsense: Option<String>,
    /// The last poll did not look through all that is there.
    pub(super) more: bool,
    pub(super) closed: bool,
    pub(super) silence: Silence,
    pub(super) unloading: Unloading,
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
    pub(super) fn ring(&mut self) {
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
        if self.log.take_must_ring() {
            self.ring();
        }
        found
    }

    /// See [`LogReader::fetch_ahead`].
    #[inline(always)]
    pub(crate) fn fetch_ahead(&self) {
        self.log.fetch_ahead();
    }

    /// What the peer tells beside its messages; see [`LogReader::tally`]. A forked child is told nothing.
    #[inline(always)]
    pub(crate) fn tally(&self) -> Option<u64> {
        (self.epoch == fork::epoch()).then(|| self.log.tally())
    }

    /// See [`LogReader::heed`].
    #[inline(always)]
    pub(crate) fn heed(&mut self, tally: u64) {
        self.log.heed(tally);
    }

    /// Messages taken.
    #[inline(always)]
    pub(crate) fn taken(&self) -> u64 {
        self.log.taken()
    }

    /// Whether somebody else's bell is rung for this half.
    pub(crate) fn rests_elsewhere(&self) -> bool {
        matches!(self.rest, Rest::Elsewhere)
    }

    /// Behind a quick look that found nothing: see [`LogReader::poll_patiently`].
    #[inline(always)]
    pub(crate) fn watch_quickly(&mut self, tries: u32) -> (Quick, u32) {
        self.log.poll_patiently(tries)
    }

    /// The message that [`poll_quickly`](Self::poll_quickly) or [`watch_quickly`](Self::watch_quickly) found.
    #[inline(always)]
    pub(crate) fn bytes_in_place(&self) -> &[u8] {
        self.log.message()
    }

    #[cold]
    #[inline(never)]
    pub(super) fn nothing(&mut self) -> Result<Option<Frame>, RecvError> {
        if !self.gone && self.silence.goes_on(self.log.taken()) {
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
            Ok(Polled::Message) => Ok(Some(Frame { at: 0, len: 0 })),
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
        let mut rounds = Rounds::new();
        let woken = loop {
            let longest = self.log.announce();
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
            let slice = matches!(self.rest, Rest::Elsewhere).then_some(SLICE).or(longest);
            let until = Deadline::earlier(deadline, slice.map(Deadline::after));
            let woken = match &self.rest {
                Rest::Bell(bell) => bell.wait(until),
                Rest::Lifeline | Rest::Elsewhere => self.signals.wait(Half::Receiver, until),
            };
            if !matches!(woken, Ok(Wake::TimedOut)) || !rounds.go_on(deadline) {
                break woken;
            }
        };
        self.log.awake();
        match woken {
            Ok(Wake::Rung) => {}
            // Set before the log is looked at once more, so that what was sent before the end is found first.
            Ok(Wake::PeerGone) => self.gone = true,
            Ok(Wake::TimedOut) => {
                return match self.poll()? {
                    None if deadline.is_some_and(Deadline::passed) => Err(RecvError::Timeout),
                    found => Ok(found),
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
