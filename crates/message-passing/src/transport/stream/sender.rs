//! The sending side of a stream: one system call for each message that fits one frame.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use wharf_sys::clock::{Deadline, Instant};
use wharf_sys::crash_point;
use wharf_sys::poll::{self, Interest};

use super::frame::{Header, Kind};
use super::incoming::News;
use super::outgoing::SMALL;
use super::reader::{End, Found, PAYLOAD};
use super::{MOST_AT_ONCE, Patience, Shared};
use crate::aligned::AlignedBytes;
use crate::error::SendError;
use crate::transport::{Ask, Quickly, SendTransport};
use crate::waits::{Announced, Glance, Places, Stir, Waits};

/// The longest sleep without a look at what was heard: what wakes this half may be read by the receiver of the same
/// side, in another thread, before this one runs.
const SLICE: Duration = Duration::from_millis(50);

/// A sender of several messages in one tick looks at the clock with every fourth: the look costs it a twentieth of a message.
const UNLOOKED: u8 = 3;

/// The longest sleep where a wire does not show that there is room again.
const BLINK: Duration = Duration::from_millis(2);

/// A message up to this goes in one frame where its sender will wait for as long as it takes. What the wire does not take of
/// it at once is copied.
const MOST_WHOLE: usize = 128 << 10;

/// How the peer's receiver ended.
#[derive(Clone, Debug)]
enum Gone {
    Closed,
    Died,
    Broken(io::ErrorKind, String),
    Nonsense(String),
}

/// See [`SendTransport`].
pub(crate) struct StreamSender {
    shared: Arc<Shared>,
    /// The most payload of a frame of a whole message.
    in_one: usize,
    /// The most payload of a fragment.
    fragment: usize,
    /// The most payload of a message that [`push_quickly`](Self::push_quickly) tries.
    most_quickly: usize,
    sent: u64,
    /// Fragments were sent whose message was given up, and the peer has not been told yet.
    void: bool,
    /// The kernel's tick in which this half listened last: a sender that only sends listens once a tick, so that it knows
    /// within a few milliseconds of sending that the peer receives no more; with its fourth message from then on at the
    /// latest, if it was fast and is slow now.
    listened: Option<Instant>,
    /// Messages until the next look at the clock.
    unlooked: u8,
    gone: Option<Gone>,
    /// The peer sends no more; what it had said before may still wait to be heard.
    hung_up: bool,
    /// Where a message is read that is the receiver's.
    others: AlignedBytes,
}

impl StreamSender {
    pub(super) fn new(shared: Arc<Shared>, in_one: usize, limit: usize) -> Self {
        let others = AlignedBytes::empty(PAYLOAD);
        let fragment = shared.wire.fragment().max(1);
        // What goes beyond `in_one` goes whole where a rest is waited for, see `push_for_good`.
        let most_quickly = if shared.wire.takes_rests() { in_one.min(SMALL) } else { SMALL }.min(limit);
        Self {
            shared,
            in_one,
            fragment,
            most_quickly,
            sent: 0,
            void: false,
            listened: None,
            unlooked: 0,
            gone: None,
            hung_up: false,
            others,
        }
    }

    /// Listens to the peer, without waiting, and notes its end.
    fn listen(&mut self) -> Result<News, SendError> {
        let shared = self.shared.clone();
        if !shared.wire.is_ours() {
            return Err(SendError::Forked);
        }
        self.listened = Some(Instant::last_tick());
        for _ in 0..MOST_AT_ONCE {
            // Asked for anew with each message, because the inbox has a bound. None: the receiver listens for both.
            let Some(mut turn) = shared.incoming.turn(self.hung_up) else { break };
            match turn.understand(&mut self.others) {
                Some(Found::Message(stored)) => {
                    shared.incoming.keep(&self.others, stored);
                }
                Some(_) => {}
                None if turn.read_on(&*shared.wire, Patience::Now, &mut self.others) => {}
                None => break,
            }
        }
        shared.incoming.nudge().give();
        let news = shared.incoming.news();
        if let Some(taken) = news.taken.filter(|taken| *taken > self.sent) {
            let what = format!("it took {taken} messages of the {} that were sent", self.sent);
            self.gone = Some(Gone::Nonsense(what.clone()));
            return Err(SendError::Protocol(what));
        }
        if self.gone.is_none() {
            self.gone = match (&news.end, news.receiver_closed) {
                (_, true) => Some(Gone::Closed),
                (Some(End::Ended), _) => Some(Gone::Died),
                (Some(End::Broken(kind, what)), _) => Some(Gone::Broken(*kind, what.clone())),
                (Some(End::Nonsense(what)), _) => Some(Gone::Nonsense(what.clone())),
                (None, false) => None,
            };
        }
        Ok(news)
    }

    #[cold]
    fn farewell(&self, gone: &Gone) -> SendError {
        match gone {
            Gone::Closed => SendError::Closed,
            Gone::Died => {
                let taken = self.shared.incoming.news().taken;
                SendError::PeerDied { sent: self.sent, taken: taken.filter(|taken| *taken <= self.sent) }
            }
            Gone::Broken(kind, what) => SendError::System(io::Error::new(*kind, what.clone())),
            Gone::Nonsense(what) => SendError::Protocol(what.clone()),
        }
    }

    #[cold]
    fn trouble(&mut self, error: io::Error) -> SendError {
        let gone = match error.kind() {
            io::ErrorKind::WouldBlock => return SendError::Full,
            io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset | io::ErrorKind::NotConnected => Gone::Died,
            io::ErrorKind::InvalidData => Gone::Nonsense(error.to_string()),
            _ if !self.shared.wire.is_ours() => return SendError::Forked,
            kind => Gone::Broken(kind, format!("the connection is broken: {error}")),
        };
        // What the peer said before decides.
        if let Err(error) = self.listen() {
            return error;
        }
        let gone = self.gone.get_or_insert(gone).clone();
        self.farewell(&gone)
    }

    fn put(&mut self, header: Header, payload: &[u8]) -> Result<(), SendError> {
        let mut outgoing = self.shared.outgoing();
        let outcome = outgoing.put(&*self.shared.wire, header, payload);
        self.shared.note_owing(&outgoing);
        drop(outgoing);
        outcome.map_err(|error| self.trouble(error))
    }

    /// Whether a message may go without a look at anything but the clock. Where it may not, [`begin`](Self::begin) looks.
    #[inline(always)]
    fn may_begin(&mut self) -> bool {
        if self.gone.is_some() | self.void {
            return false;
        }
        match self.unlooked.checked_sub(1) {
            Some(left) => self.unlooked = left,
            None if self.listened == Some(Instant::last_tick()) => self.unlooked = UNLOOKED,
            None => return false,
        }
        true
    }

    /// A message of so many bytes did not go, or not as a whole.
    #[cold]
    #[inline(never)]
    fn sent_in_part(
        &mut self,
        tried: io::Result<bool>,
        len: usize,
        progress: &mut usize,
    ) -> Result<Quickly, SendError> {
        tried.map_err(|error| self.trouble(error))?;
        if len > self.in_one {
            // Its sender comes back: see `push_for_good`.
            *progress = len;
            return Err(SendError::Full);
        }
        crash_point!("stream.send.sent");
        self.sent += 1;
        Ok(Quickly::WithRest)
    }

    /// The payload of the next fragment of so many bytes that are left. The last one is small enough to be written whole
    /// or not at all, so that a message whose sender is told that it was sent needs nobody to come back to it.
    fn fragment_of(&self, left: usize) -> usize {
        if left <= self.in_one { left } else { self.fragment.min(left - self.in_one) }
    }

    fn push_fragments(&mut self, payload: &[u8], progress: &mut usize, ask: Ask) -> Result<(), SendError> {
        // The link's limit for this transport fits 32 bits, and the link has checked it.
        let total = u32::try_from(payload.len())
            .map_err(|_| SendError::TooLarge { len: payload.len(), limit: u32::MAX as usize })?;
        // Every round sends a fragment, so there are at most as many rounds as fragments.
        while let Some(rest) = payload.get(*progress..).filter(|rest| !rest.is_empty()) {
            let part = rest.get(..self.fragment_of(rest.len())).unwrap_or(rest);
            crash_point!("stream.send.fragment");
            let outcome = if *progress == 0 {
                let mut outgoing = self.shared.outgoing();
                let outcome = outgoing.put_first(&*self.shared.wire, total, ask == Ask::WhenTaken, part);
                self.shared.note_owing(&outgoing);
                drop(outgoing);
                outcome.map_err(|error| self.trouble(error))
            } else {
                let len = u32::try_from(part.len()).unwrap_or(u32::MAX);
                self.put(Header { len, kind: Kind::More, ask: false }, part)
            };
            match outcome {
                Ok(()) => {}
                Err(SendError::Full) => return Err(SendError::Full),
                Err(error) => {
                    // The caller does not come back with the rest.
                    self.void = *progress > 0;
                    return Err(error);
                }
            }
            *progress += part.len();
        }
        Ok(())
    }

    /// What every message begins with.
    #[inline]
    fn begin(&mut self) -> Result<(), SendError> {
        match self.unlooked.checked_sub(1) {
            Some(left) => self.unlooked = left,
            None if self.listened == Some(Instant::last_tick()) => self.unlooked = UNLOOKED,
            None => drop(self.listen()?),
        }
        if let Some(gone) = &self.gone {
            return Err(self.farewell(gone));
        }
        if self.void {
            self.say_void()?;
        }
        Ok(())
    }

    /// A large message was handed over in one frame; it is sent once nothing of it is left here.
    fn finish_whole(&mut self) -> Result<(), SendError> {
        self.send_rest()?;
        crash_point!("stream.send.finished");
        self.sent += 1;
        Ok(())
    }

    #[cold]
    fn say_void(&mut self) -> Result<(), SendError> {
        self.put(Header { len: 0, kind: Kind::Void, ask: false }, &[])?;
        self.void = false;
        Ok(())
    }

    /// Whether nothing shows when there is room again.
    fn waits_blindly(&self) -> bool {
        self.shared.outgoing().waits_blindly(&*self.shared.wire)
    }

    /// Sleeps at the wire until something happens that `interest` names, for a slice at most; `Timeout` when the time is
    /// up. Says whether something came in.
    fn sleep(&mut self, writing: bool, reading: bool, deadline: Option<Deadline>) -> Result<bool, SendError> {
        let (Ok(inlet), Ok(outlet)) = (self.shared.wire.inlet(), self.shared.wire.outlet()) else {
            return Err(SendError::Forked);
        };
        let blindly = writing && self.waits_blindly();
        let waits = [
            (inlet, if reading { Interest::READ } else { Interest::NONE }),
            (outlet, if writing && !blindly { Interest::WRITE } else { Interest::NONE }),
        ];
        let slice = Deadline::earlier(deadline, Some(Deadline::after(if blindly { BLINK } else { SLICE })));
        let ready = poll::wait(&waits, slice).map_err(SendError::System)?;
        if ready.is_empty() && deadline.is_some_and(Deadline::passed) {
            return Err(SendError::Timeout);
        }
        let hung_up = ready.hangup(0) || ready.hangup(1);
        self.hung_up |= hung_up;
        Ok(ready.any(0) || hung_up || ready.is_empty())
    }
}

impl SendTransport for StreamSender {
    /// Where it takes one call and nothing has to be done first or afterwards, in as little code as possible: what sleeps most of the
    /// time finds little of its code in the caches.
    #[inline(never)]
    fn push_quickly(&mut self, payload: &[u8], progress: &mut usize) -> Result<Quickly, SendError> {
        if payload.len() > self.most_quickly || !self.may_begin() {
            return Ok(Quickly::Untried);
        }
        let shared = &*self.shared;
        // Otherwise the receiver of this side is at it.
        let Ok(mut outgoing) = shared.outgoing.try_lock() else { return Ok(Quickly::Untried) };
        if payload.len() <= self.in_one {
            crash_point!("stream.send.whole");
        } else {
            crash_point!("stream.send.large");
        }
        let len = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        let header = Header { len, kind: Kind::Whole, ask: false };
        match outgoing.put_quickly(&*shared.wire, header, payload) {
            Some(Ok(true)) => {}
            None => return Ok(Quickly::Untried),
            Some(tried) => {
                shared.note_owing(&outgoing);
                drop(outgoing);
                return self.sent_in_part(tried, payload.len(), progress);
            }
        }
        drop(outgoing);
        crash_point!("stream.send.sent");
        self.sent += 1;
        Ok(Quickly::Sent)
    }

    fn push(&mut self, payload: &[u8], progress: &mut usize, ask: Ask) -> Result<(), SendError> {
        if *progress > 0 && *progress == payload.len() {
            return self.finish_whole();
        }
        self.begin()?;
        if payload.len() <= self.in_one {
            let len = u32::try_from(payload.len()).unwrap_or(u32::MAX);
            crash_point!("stream.send.whole");
            self.put(Header { len, kind: Kind::Whole, ask: ask == Ask::WhenTaken }, payload)?;
        } else {
            self.push_fragments(payload, progress, ask)?;
        }
        crash_point!("stream.send.sent");
        self.sent += 1;
        Ok(())
    }

    fn push_for_good(&mut self, payload: &[u8], progress: &mut usize, ask: Ask) -> Result<(), SendError> {
        if payload.len() <= self.in_one || payload.len() > MOST_WHOLE || self.shared.wire.takes_rests() {
            return self.push(payload, progress, ask);
        }
        self.begin()?;
        let len = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        crash_point!("stream.send.large");
        self.put(Header { len, kind: Kind::Whole, ask: ask == Ask::WhenTaken }, payload)?;
        *progress = payload.len();
        // What this call left behind it sees.
        if self.shared.is_owing() {
            return self.finish_whole();
        }
        self.sent += 1;
        Ok(())
    }

    /// A hint, as whoever asks has just sent: what it left behind it sees, and what the receiver of this side owes besides
    /// is told apart when the rest is sent.
    #[inline]
    fn has_rest(&self) -> bool {
        self.shared.is_owing()
    }

    fn send_rest(&mut self) -> Result<(), SendError> {
        let shared = self.shared.clone();
        let mut outgoing = shared.outgoing();
        let settled = outgoing.settle_rest(&*shared.wire);
        shared.note_owing(&outgoing);
        let left = outgoing.has_rest(&*shared.wire);
        drop(outgoing);
        settled.map_err(|error| self.trouble(error))?;
        match &self.gone {
            Some(gone) if left => Err(self.farewell(gone)),
            None if left => Err(SendError::Full),
            _ => Ok(()),
        }
    }

    fn max_in_one(&self) -> usize {
        self.in_one
    }

    fn abort(&mut self) {
        self.void = true;
        // Told at once if there is room, so that the peer can free its memory; otherwise before the next message.
        let _later = self.say_void();
    }

    fn wait_room(&mut self, _len: usize, deadline: Option<Deadline>) -> Result<(), SendError> {
        // A full queue whose reader has closed shows no event: only what comes in tells.
        let reading = !self.shared.incoming.is_busy() && !self.shared.incoming.is_full();
        if self.sleep(true, reading, deadline)? {
            self.listen()?;
        }
        Ok(())
    }

    fn sent(&self) -> u64 {
        self.sent
    }

    fn taken(&mut self) -> Result<u64, SendError> {
        let news = self.listen()?;
        let taken = news.taken.unwrap_or(0);
        match &self.gone {
            Some(gone) if taken < self.sent => Err(self.farewell(gone)),
            _ => Ok(taken),
        }
    }

    fn wait_taken(&mut self, deadline: Option<Deadline>) -> Result<(), SendError> {
        let shared = self.shared.clone();
        let until = self.sent;
        match shared.incoming.turn(self.hung_up) {
            // While this half sleeps at the wire the receiver sleeps until it is told.
            Some(turn) => {
                if !shared.wire.holds() {
                    self.sleep(shared.is_owing(), true, deadline)?;
                }
                drop(turn);
                shared.incoming.nudge().give();
            }
            None if shared.incoming.is_busy() => shared.incoming.sleep(deadline, |news, _| {
                news.taken.is_some_and(|taken| taken >= until) || news.receiver_closed || news.end.is_some()
            }),
            // The inbox is full: nothing is heard until the receiver of this side takes something, or the peer is gone.
            None => {
                self.sleep(shared.is_owing(), false, deadline)?;
            }
        }
        if shared.is_owing() {
            shared.settle();
        }
        Ok(())
    }

    fn look_at_peer(&mut self) {
        // Every try is a system call that notices.
    }

    fn tries_are_free(&self) -> bool {
        false
    }

    fn close(&mut self) {
        if !self.shared.wire.is_ours() {
            return;
        }
        crash_point!("stream.send.close");
        let mut outgoing = self.shared.outgoing();
        let last = outgoing.close_sender(&*self.shared.wire);
        drop(outgoing);
        if last {
            self.shared.end();
        }
    }
}

impl Waits for StreamSender {
    fn glance(&mut self) -> Glance {
        if self.gone.is_some() || !self.shared.wire.is_ours() { Glance::Ready } else { Glance::Unknown }
    }

    fn announce(&mut self) -> Announced {
        Announced::for_at_most(if self.waits_blindly() { BLINK } else { SLICE })
    }

    fn descriptors(&self) -> io::Result<Places<'_>> {
        let Shared { wire, incoming, .. } = &*self.shared;
        // As in `wait_room`.
        let reading = !incoming.is_busy() && !incoming.is_full();
        let inlet = (wire.inlet()?, if reading { Interest::READ } else { Interest::NONE });
        let outlet = (wire.outlet()?, if self.waits_blindly() { Interest::NONE } else { Interest::WRITE });
        Ok([Some(inlet), Some(outlet), None])
    }

    fn stirred(&mut self, found: &Stir) -> io::Result<bool> {
        let [inlet, outlet, _] = found;
        self.hung_up |= inlet.hangup || outlet.hangup;
        let nothing = !inlet.any() && !outlet.any();
        let listen = inlet.any() || self.hung_up || nothing;
        let trouble = listen && self.listen().is_err();
        let blindly = nothing && self.waits_blindly();
        Ok(trouble || outlet.writable || blindly || self.gone.is_some())
    }
}
