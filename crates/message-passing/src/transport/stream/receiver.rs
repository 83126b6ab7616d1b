//! The receiving side of a stream.

use std::io;
use std::sync::Arc;

use wharf_sys::clock::Deadline;
use wharf_sys::crash_point;
use wharf_sys::poll::{self, Interest};

use super::incoming::{Look, News};
use super::reader::{End, Found, Stored};
use super::{MOST_AT_ONCE, Patience, Shared};
use crate::aligned::AlignedBytes;
use crate::error::RecvError;
use crate::message::Message;
use crate::transport::{Frame, RecvTransport};

/// See [`RecvTransport`].
pub(super) struct StreamReceiver {
    shared: Arc<Shared>,
    /// The message that was found last.
    message: AlignedBytes,
    received: u64,
}

impl StreamReceiver {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, message: AlignedBytes::empty(0), received: 0 }
    }

    /// Looks for a message in what was read already, and reads on with this patience, if with any.
    #[inline]
    fn next(&mut self, patience: Option<Patience>) -> Result<Option<Frame>, RecvError> {
        let Self { shared, message, .. } = self;
        if !shared.wire.is_ours() {
            return Err(RecvError::Forked);
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
                // Ends with a message, with the end of the stream, or when nothing is there; where nobody waits, a peer
                // that floods with anything else ends it, too.
                loop {
                    match turn.understand(message) {
                        Some(Found::Message(stored)) => break Some(stored),
                        Some(Found::SenderClosed) => break None,
                        Some(Found::Taken { .. }) => {}
                        None if patience.is_some_and(|patience| turn.read_on(&*shared.wire, patience, message)) => {}
                        None => break None,
                    }
                    frames += 1;
                    if frames >= MOST_AT_ONCE && patience != Some(Patience::UntilItComes) {
                        break None;
                    }
                }
            }
        };
        if let Some(stored) = found {
            return Ok(Some(self.taken(stored)));
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
        Frame { at: 0, len: stored.len }
    }

    /// Nothing more comes for the receiver. Its peer may have more to say to the sender of this side, which is heard
    /// here as well, so that it is known before this is reported.
    #[cold]
    fn over(&mut self, news: News) -> RecvError {
        if news.end.is_none()
            && let Some(mut turn) = self.shared.incoming.turn(true)
        {
            let mut nothing = AlignedBytes::empty(0);
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
            if !shared.wire.holds() && poll::wait(waits, deadline).map_err(RecvError::System)?.is_empty() {
                return Err(RecvError::Timeout);
            }
        }
        self.poll()
    }

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
