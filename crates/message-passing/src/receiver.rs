//! The receiving end of a link.

use std::sync::Arc;
use std::time::Duration;

use wharf_shared_memory::log::Quick;

use crate::address::Address;
use crate::error::RecvError;
use crate::link::Facts;
use crate::message::Message;
use crate::peer::Peer;
use crate::transport::{Frame, PeerMemory, RecvHalf};
use crate::wait::{self, Act, Limit, Pace};

/// Quick tries with a pause before those without: some 100 ns, longer than the gap between two messages of a stream whose
/// cores are near, shorter than most answers take (docs/performance.md has the figures).
const PAUSED_TRIES: u32 = 4;

/// The receiving end of a link.
///
/// # When the peer closes or dies
/// Everything that the peer sent before is received first; then every form says [`RecvError::Closed`] or
/// [`RecvError::PeerDied`].
///
/// Dropping a receiver tells the peer that nothing more is received.
pub struct Receiver {
    half: RecvHalf,
    pace: Pace,
    /// Tries that `recv` makes in the caller's own code before it waits in earnest.
    quick_tries: u32,
    facts: Arc<Facts>,
}

impl Receiver {
    pub(crate) fn new(half: RecvHalf, facts: Arc<Facts>) -> Self {
        let pace = Pace::new(facts.wait, half.tries_are_free(), facts.their_cpu);
        Self { quick_tries: pace.quick_tries(), pace, half, facts }
    }

    /// Receives the next message if there is one now.
    ///
    /// # Errors
    /// [`RecvError::Empty`] when there is none; otherwise as [`recv`](Self::recv).
    #[inline(always)]
    pub fn try_recv(&mut self) -> Result<Message<'_>, RecvError> {
        if self.found_quickly(0) {
            return Ok(self.half.found_in_place());
        }
        self.try_recv_slowly()
    }

    #[inline(never)]
    fn try_recv_slowly(&mut self) -> Result<Message<'_>, RecvError> {
        match self.half.poll()? {
            Some(frame) => Ok(self.half.view(frame)),
            None => Err(RecvError::Empty),
        }
    }

    /// The common case in a few instructions, made part of the caller: a message that lies in a log. Tries once and
    /// `again` times more.
    #[inline(always)]
    fn found_quickly(&mut self, again: u32) -> bool {
        let RecvHalf::Log(log) = &mut self.half else { return false };
        let mut left = again;
        loop {
            match log.poll_quickly() {
                Quick::Message => return true,
                Quick::Unusual => return false,
                Quick::Nothing if left == 0 => return false,
                Quick::Nothing => {}
            }
            // Between two messages of a stream a pause lets the sender get ahead. A wait that lasts longer is one for an
            // answer: then the next line is asked for with every look, and no pause stands between it and the message.
            if again - left < PAUSED_TRIES {
                std::hint::spin_loop();
            } else {
                log.touch_next_line();
            }
            left -= 1;
        }
    }

    /// Receives the next message; waits for it.
    ///
    /// # Errors
    /// [`RecvError::Closed`] and [`RecvError::PeerDied`] when none will come.
    #[inline(always)]
    pub fn recv(&mut self) -> Result<Message<'_>, RecvError> {
        if self.found_quickly(self.quick_tries) {
            return Ok(self.half.found_in_place());
        }
        self.recv_slowly()
    }

    #[inline(never)]
    fn recv_slowly(&mut self) -> Result<Message<'_>, RecvError> {
        let frame = match self.first_try()? {
            Some(frame) => frame,
            None => self.wait(Limit::Never)?,
        };
        Ok(self.half.view(frame))
    }

    /// Receives the next message; waits for it, at most `limit`.
    ///
    /// # Errors
    /// [`RecvError::Timeout`] when none came in time; otherwise as [`recv`](Self::recv).
    #[inline]
    pub fn recv_timeout(&mut self, limit: Duration) -> Result<Message<'_>, RecvError> {
        let frame = match self.half.poll()? {
            Some(frame) => frame,
            None => self.wait(Limit::After(limit))?,
        };
        Ok(self.half.view(frame))
    }

    /// Messages received so far.
    pub fn received(&self) -> u64 {
        self.half.received()
    }

    /// The priority of the message that was received last; 0 before the first, and where there are no priorities.
    pub fn priority(&self) -> u16 {
        self.half.priority()
    }

    /// Who sends.
    pub fn peer(&self) -> &Peer {
        &self.facts.peer
    }

    /// The address at which the two sides met.
    pub fn address(&self) -> &Address {
        &self.facts.address
    }

    /// The peer's memory as this side maps it, where the transport has such memory.
    #[doc(hidden)]
    pub fn peer_memory(&self) -> Option<PeerMemory<'_>> {
        self.half.peer_memory()
    }

    /// A try that costs a system call is left out when the sleeping call would find the message itself; where there is nothing
    /// else to do, that call is the first try.
    #[inline]
    fn first_try(&mut self) -> Result<Option<Frame>, RecvError> {
        if self.pace.only_sleeps() {
            return self.half.wait(None);
        }
        if self.pace.sleeps_at_once() {
            return Ok(None);
        }
        self.half.poll()
    }

    #[cold]
    #[inline(never)]
    fn wait(&mut self, limit: Limit) -> Result<Frame, RecvError> {
        let deadline = limit.start();
        let half = &mut self.half;
        let found = wait::until(&mut self.pace, deadline, |act| match act {
            Act::Try => half.poll(),
            Act::Look => {
                half.look_at_peer();
                Ok(None)
            }
            Act::Sleep => match half.wait(deadline) {
                Err(RecvError::Timeout) => Ok(None),
                outcome => outcome,
            },
        });
        self.quick_tries = self.pace.quick_tries();
        found?.ok_or(RecvError::Timeout)
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.half.close();
    }
}

impl std::fmt::Debug for Receiver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Receiver").field("address", &self.facts.address.as_str()).finish_non_exhaustive()
    }
}
