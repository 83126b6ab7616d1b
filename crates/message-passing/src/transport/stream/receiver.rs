//! The receiving side of a stream.

use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use wharf_sys::clock::Deadline;
use wharf_sys::crash_point;
use wharf_sys::poll::{self, Interest};

use super::incoming::{Look, News};
use super::reader::{self, End, Found, PAYLOAD, Stored};
use super::{MOST_AT_ONCE, Patience, Shared};
use crate::aligned::AlignedBytes;
use crate::error::RecvError;
use crate::message::Message;
use crate::transport::{Frame, RecvTransport};
use crate::waits::{Announced, Glance, Places, SLICE, Stir, Waits};

/// The longest sleep at the wire without a look at what is kept: what wakes this half may be read by the sender of the same
/// side, in another thread, before this one runs.
const LONGEST: Duration = Duration::from_millis(50);

/// See [`RecvTransport`].
pub(crate) struct StreamReceiver {
    shared: Arc<Shared>,
    /// The message that was found last, maybe with others behind it.
    message: AlignedBytes,
    /// Where those others are: whole frames that came in the same read.
    more: Range<usize>,
    /// It was found by a look, and nobody has asked for it yet.
    kept: Option<Stored>,
    received: u64,
}

impl StreamReceiver {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, message: AlignedBytes::empty(PAYLOAD), more: 0..0, kept: None, received: 0 }
    }

    /// The next message: one that a look has found, or one that is found with this patience.
    #[inline]
    fn next(&mut self, patience: Option<Patience>) -> Result<Option<Frame>, RecvError> {
        let found = match self.kept.take() {
            Some(kept) if self.shared.wire.is_ours() => Some(kept),
            _ => self.find(patience)?,
        };
        Ok(found.map(|stored| self.taken(stored)))
    }

    /// Looks for a message in what was read already, and reads on with this patience, if with any.
    #[inline]
    fn find(&mut self, patience: Option<Patience>) -> Result<Option<Stored>, RecvError> {
        let Self { shared, message, more, .. } = self;
        if !shared.wire.is_ours() {
            return Err(RecvError::Forked);
        }
        if let Some(stored) = reader::next_of(message, more) {
            return Ok(Some(stored));
        }
        let found = match shared.incoming.look(message) {
            Look::Kept(stored) => Some(stored),
            Look::NoMemory(why) => {
                return Err(RecvError::System(io::Error::new(io::ErrorKind::OutOfMemory, why.to_string())));
            }
            Look::Busy => return Ok(None),
            Look::Over => None,
            Look::Turn(mut turn) => {
                let mut frames = 0;
                // Ends with a message, with the end of the stream, or when nothing is there; where nobody waits and more is
                // read, a peer that floods with anything else ends it, too.
                loop {
                    *more = turn.hand_over(message);
                    if let Some(stored) = reader::next_of(message, more) {
                        break Some(stored);
                    }
                    match turn.understand(message) {
                        Some(Found::Message(stored)) => break Some(stored),
                        Some(Found::SenderClosed) => break None,
                        Some(Found::Taken { .. }) => {}
                        None if patience.is_some_and(|patience| turn.read_on(&*shared.wire, patience, message)) => {}
                        None => break None,
                    }
                    frames += 1;
                    if frames >= MOST_AT_ONCE && patience == Some(Patience::Now) {
                        break None;
                    }
                }
            }
        };
        if found.is_some() {
            return Ok(found);
        }
        match shared.incoming.news() {
            news if news.sender_closed || news.end.is_some() => Err(self.over(news)),
            _ => Ok(None),
        }
    }

    #[inline]
    fn taken(&mut self, stored: Stored) -> Frame {
        self.received += 1;
        if stored.ask {
            crash_point!("stream.recv.acknowledge");
            let mut outgoing = self.shared.outgoing();
            // A peer that is gone needs no answer; the end of the data says so.
            let _later = outgoing.acknowledge(&*self.shared.wire, self.received);
            self.shared.note_owing(&outgoing);
        }
        Frame { at: stored.at, len: stored.len }
    }

    /// Nothing more comes for the receiver. Its peer may have more to say to the sender of this side, which is heard
    /// here as well, so that it is known before this is reported.
    #[cold]
    fn over(&mut self, news: News) -> RecvError {
        if news.end.is_none()
            && let Some(mut turn) = self.shared.incoming.turn(true)
        {
            let mut nothing = AlignedBytes::empty(PAYLOAD);
            for _ in 0..MOST_AT_ONCE {
                if turn.understand(&mut nothing).is_none()
                    && !turn.read_on(&*self.shared.wire, Patience::Now, &mut nothing)
                {
                    break;
                }
            }
        }
        if news.sender_closed {
            return RecvError::Closed;
        }
        match news.end {
            Some(End::Nonsense(what)) => RecvError::Protocol(what),
            Some(End::Broken(kind, what)) => RecvError::System(io::Error::new(kind, what)),
            Some(End::Ended) | None => RecvError::PeerDied,
        }
    }
}

impl RecvTransport for StreamReceiver {
    /// In as little code as possible, as the sender's [`push_quickly`](crate::transport::SendTransport::push_quickly) is; what has come
    /// meanwhile is found by the next call.
    #[inline(never)]
    fn wait_quickly(&mut self) -> Option<Frame> {
        let Self { shared, message, more, kept, .. } = self;
        if kept.is_some() | shared.is_owing() || !shared.is_ours() {
            return None;
        }
        if let Some(stored) = reader::next_of(message, more) {
            return Some(self.taken(stored));
        }
        let stored = shared.incoming.read_alone(&*shared.wire, message)?;
        self.received += 1;
        Some(Frame { at: stored.at, len: stored.len })
    }

    fn poll(&mut self) -> Result<Option<Frame>, RecvError> {
        if self.shared.is_owing() {
            self.shared.settle();
        }
        self.next(Some(Patience::Now))
    }

    fn wait(&mut self, deadline: Option<Deadline>) -> Result<Option<Frame>, RecvError> {
        // Without a deadline the receiving call itself sleeps: one system call instead of two.
        let sleeps = deadline.is_none() && !self.shared.is_owing();
        if let Some(frame) = self.next(sleeps.then_some(Patience::UntilItComes))? {
            return Ok(Some(frame));
        }
        let shared = &self.shared;
        if shared.incoming.is_busy() {
            // The sender of this side reads, and tells.
            shared.incoming.sleep(deadline, |news, kept| kept || news.sender_closed || news.end.is_some());
        } else if !sleeps {
            let (Ok(inlet), Ok(outlet)) = (shared.wire.inlet(), shared.wire.outlet()) else {
                return Err(RecvError::Forked);
            };
            let waits = [(inlet, Interest::READ), (outlet, Interest::WRITE)];
            let waits = if shared.is_owing() { &waits[..] } else { &waits[..1] };
            let slice = Deadline::earlier(deadline, Some(Deadline::after(LONGEST)));
            if !shared.wire.holds()
                && poll::wait(waits, slice).map_err(RecvError::System)?.is_empty()
                && deadline.is_some_and(Deadline::passed)
            {
                return Err(RecvError::Timeout);
            }
        }
        self.poll()
    }

    #[inline]
    fn view(&mut self, frame: Frame) -> Message<'_> {
        Message::private(self.message.get(frame.at..frame.at.saturating_add(frame.len)))
    }

    fn received(&self) -> u64 {
        self.received
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
        self.shared.incoming.forget();
        let mut outgoing = self.shared.outgoing();
        let last = outgoing.close_receiver(&*self.shared.wire, self.received);
        drop(outgoing);
        if last {
            self.shared.end();
        }
    }
}

impl Waits for StreamReceiver {
    /// What was read already is looked through, so that a message that is only half there, or a word for the sender of this
    /// side, is not taken for one.
    fn glance(&mut self) -> Glance {
        if self.kept.is_some() {
            return Glance::Ready;
        }
        // What the wire itself holds shows at no descriptor.
        let patience = self.shared.wire.holds().then_some(Patience::Now);
        match self.find(patience) {
            Ok(Some(stored)) => self.kept = Some(stored),
            // Trouble and the end show again in the next try.
            Err(_) => {}
            Ok(None) => return Glance::Unknown,
        }
        Glance::Ready
    }

    fn announce(&mut self) -> Announced {
        if self.shared.wire.is_ours() && self.shared.is_owing() {
            self.shared.settle();
        }
        match self.shared.incoming.nudge().arm() {
            Ok(()) => Announced::silently(),
            // Without a descriptor to be nudged at, this end looks again by itself.
            Err(_) => Announced::for_at_most(SLICE),
        }
    }

    fn descriptors(&self) -> io::Result<Places<'_>> {
        let Shared { wire, incoming, .. } = &*self.shared;
        // While the sender of this side reads for both, it nudges.
        let inlet = (!incoming.is_busy()).then(|| wire.inlet()).transpose()?;
        let outlet = self.shared.is_owing().then(|| wire.outlet()).transpose()?;
        Ok([
            inlet.map(|inlet| (inlet, Interest::READ)),
            outlet.map(|outlet| (outlet, Interest::WRITE)),
            incoming.nudge().fd().map(|nudge| (nudge, Interest::READ)),
        ])
    }

    fn stirred(&mut self, found: &Stir) -> io::Result<bool> {
        let [inlet, outlet, nudge] = found;
        if nudge.any() {
            self.shared.incoming.nudge().take();
        }
        if outlet.any() {
            self.shared.settle();
        }
        if inlet.any() && self.kept.is_none() {
            match self.find(Some(Patience::Now)) {
                Ok(found) => self.kept = found,
                // As in `glance`.
                Err(_) => return Ok(true),
            }
        }
        Ok(self.glance() == Glance::Ready)
    }

    fn awake(&mut self) {
        self.shared.incoming.nudge().disarm();
    }
}
