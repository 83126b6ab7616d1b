//! The receiving end of a link.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use wharf_shared_memory::log::Quick;

use crate::address::Address;
use crate::error::RecvError;
use crate::link::Facts;
use crate::message::Message;
use crate::peer::Peer;
use crate::rhythm::Rhythm;
use crate::transport::channel::{USED, Unused};
use crate::transport::{Frame, PeerMemory, RecvHalf};
use crate::wait::{self, Act, Limit, Pace};
use crate::waits::{Announced, Endpoint, Glance, Places, Seam, Stir, Waits};

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
    rhythm: Rhythm,
    /// Whoever was met since, at the other end of a channel.
    met: Option<Peer>,
    facts: Arc<Facts>,
}

impl Receiver {
    pub(crate) fn new(half: RecvHalf, facts: Arc<Facts>) -> Self {
        let pace = Pace::new(facts.wait, half.tries_are_free(), facts.their_cpu);
        Self { quick_tries: pace.quick_tries(), pace, rhythm: Rhythm::new(), met: None, half, facts }
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

    /// An end of a channel is a receiver like any other from some use on.
    #[inline(always)]
    fn settle(&mut self) {
        if self.half.is_channel() {
            self.settle_channel();
        }
    }

    #[cold]
    #[inline(never)]
    fn settle_channel(&mut self) {
        if let Some((peer, their_cpu)) = self.half.settle() {
            self.met = peer;
            self.pace = Pace::new(self.facts.wait, self.half.tries_are_free(), their_cpu);
            self.quick_tries = self.pace.quick_tries();
        }
    }

    /// Gives up an end of a channel that was not used.
    pub(crate) fn untie(&mut self) -> Result<Unused, &'static str> {
        // Only at the other end of a channel is somebody who was not met when this end was made.
        self.half.untie().map_err(|why| if self.facts.peer.is_met() { why } else { USED })
    }

    #[inline(never)]
    fn try_recv_slowly(&mut self) -> Result<Message<'_>, RecvError> {
        match self.half.poll()? {
            Some(frame) => Ok(self.view(frame)),
            None => Err(RecvError::Empty),
        }
    }

    /// The common case in a few instructions, made part of the caller: a message that lies in a log. Tries once and
    /// `again` times more.
    #[inline(always)]
    pub(crate) fn found_quickly(&mut self, again: u32) -> bool {
        match self.look_quickly(again == 0) {
            Quick::Message => true,
            Quick::Unusual => false,
            Quick::Nothing => again > 0 && self.found_patiently(again),
        }
    }

    /// The first of these tries, which may be the `only` one.
    #[inline(always)]
    fn look_quickly(&mut self, only: bool) -> Quick {
        let RecvHalf::Log(log) = &mut self.half else { return Quick::Unusual };
        let found = log.poll_quickly();
        match found {
            Quick::Message => {
                if self.rhythm.is_behind(log.taken()) {
                    log.fetch_ahead();
                }
            }
            Quick::Nothing if only => self.rhythm.empty(log.taken()),
            Quick::Nothing | Quick::Unusual => {}
        }
        found
    }

    /// The tries behind one that found nothing.
    #[inline(always)]
    fn found_patiently(&mut self, tries: u32) -> bool {
        let RecvHalf::Log(log) = &mut self.half else { return false };
        for _ in 0..self.rhythm.dry(log.taken()) {
            std::hint::spin_loop();
        }
        self.rhythm.looked(log.watch_quickly(tries))
    }

    /// The same for whoever waits for an answer, or for whoever asks next: that is no stream. It is no part of the caller's code, who keeps
    /// so much else in registers that the tries would be slower among it.
    #[inline(never)]
    pub(crate) fn found_in_turn(&mut self, again: u32) -> bool {
        match self.look_quickly(true) {
            Quick::Message => return true,
            Quick::Nothing if again > 0 => {}
            Quick::Nothing | Quick::Unusual => return false,
        }
        let RecvHalf::Log(log) = &mut self.half else { return false };
        log.watch_quickly(again).0 == Quick::Message
    }

    /// One quick look, for whoever looks at many ends by turns. What is no message in a log takes more than that.
    #[inline(always)]
    pub(crate) fn glimpse(&mut self) -> Quick {
        self.look_quickly(true)
    }

    /// What the sender tells beside its messages; whatever it sent before is found from now on. `None` where there is no place for
    /// it. The number is the peer's word.
    #[inline(always)]
    pub(crate) fn tally(&self) -> Option<u64> {
        match &self.half {
            RecvHalf::Log(log) => log.tally(),
            RecvHalf::Channel(_) | RecvHalf::Stream(_) | RecvHalf::Other(_) => None,
        }
    }

    /// From now on a [`tally`](Self::tally) other than this one wakes whoever waits for this receiver beside others.
    #[inline(always)]
    pub(crate) fn heed(&mut self, tally: u64) {
        if let RecvHalf::Log(log) = &mut self.half {
            log.heed(tally);
        }
    }

    /// The message that [`found_quickly`](Self::found_quickly) or [`glimpse`](Self::glimpse) found.
    #[inline(always)]
    pub(crate) fn found_in_place(&self) -> Message<'_> {
        self.half.found_in_place()
    }

    /// Receives the next message; waits for it.
    ///
    /// # Errors
    /// [`RecvError::Closed`] and [`RecvError::PeerDied`] when none will come.
    #[inline(always)]
    pub fn recv(&mut self) -> Result<Message<'_>, RecvError> {
        // As `found_quickly`, but with a return for each of the two ways: what is known of the message on a way is then not looked up
        // again behind both.
        let tries = self.quick_tries;
        match self.look_quickly(tries == 0) {
            Quick::Message => return Ok(self.half.found_in_place()),
            Quick::Nothing if tries > 0 && self.found_patiently(tries) => return Ok(self.half.found_in_place()),
            Quick::Nothing | Quick::Unusual => {}
        }
        // In two steps: what a call returns is put together in memory of the caller's, and of one that returned all of this the quick
        // ways would fill that memory, too.
        let frame = self.recv_slowly()?;
        Ok(self.view_slowly(frame))
    }

    #[cold]
    #[inline(never)]
    fn recv_slowly(&mut self) -> Result<Frame, RecvError> {
        if self.pace.only_sleeps()
            && let Some(frame) = self.half.wait_quickly()
        {
            return Ok(frame);
        }
        self.recv_by_a_call()
    }

    #[inline(never)]
    fn view_slowly(&mut self, frame: Frame) -> Message<'_> {
        self.view(frame)
    }

    /// A half whose tries are system calls, where the one that sleeps is the first.
    #[inline(never)]
    fn recv_by_a_call(&mut self) -> Result<Frame, RecvError> {
        if self.pace.only_sleeps()
            && let RecvHalf::Other(half) = &mut self.half
            && let Some(frame) = half.wait(None)?
        {
            return Ok(frame);
        }
        self.recv_in_earnest()
    }

    #[inline(never)]
    fn recv_in_earnest(&mut self) -> Result<Frame, RecvError> {
        match self.first_try()? {
            Some(frame) => Ok(frame),
            None => self.wait(Limit::Never),
        }
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
        Ok(self.view(frame))
    }

    /// Receives several messages: waits for the first and takes those behind it that are there, `max` at most, in their
    /// order. Says how many they were; `each` has seen every one.
    ///
    /// What ends the batch early (nothing more is there, or the link has ended) is not told now but by the next call, after
    /// the messages that came before it. Over `shm:` the sender learns of the batch as a whole, or of 4 KiB at a time where
    /// that is less; one that sleeps for room is woken by an eighth of the queue.
    ///
    /// ```
    /// # use wharf_message_passing::{Options, RecvError};
    /// # let private = tempfile::tempdir()?;
    /// # let options = Options::new().domain(wharf_sys::directory::Domain::at(private.path())?);
    /// # let mut listener = options.listen("inproc:batch")?;
    /// # let mut link = options.connect("inproc:batch")?;
    /// # let (mut tx, _) = listener.accept()?.split();
    /// for word in ["one", "two", "three"] {
    ///     tx.send(word.as_bytes())?;
    /// }
    /// drop(tx);
    /// let mut bytes = 0;
    /// assert_eq!(link.receiver().recv_many(100, |message| bytes += message.len())?, 3);
    /// assert_eq!(bytes, 11);
    /// assert!(matches!(link.receiver().recv_many(100, |_| ()), Err(RecvError::Closed)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`recv`](Self::recv), when there is no first message. None for a `max` of 0, which receives nothing.
    pub fn recv_many(&mut self, max: usize, mut each: impl FnMut(Message<'_>)) -> Result<usize, RecvError> {
        let Some(more) = max.checked_sub(1) else { return Ok(0) };
        each(self.recv()?);
        Ok(1 + self.take_more(more, each))
    }

    /// [`recv_many`](Self::recv_many) of what is there now.
    ///
    /// # Errors
    /// As [`try_recv`](Self::try_recv), when there is no first message.
    pub fn try_recv_many(&mut self, max: usize, mut each: impl FnMut(Message<'_>)) -> Result<usize, RecvError> {
        let Some(more) = max.checked_sub(1) else { return Ok(0) };
        each(self.try_recv()?);
        Ok(1 + self.take_more(more, each))
    }

    /// [`recv_many`](Self::recv_many) that waits for the first message, at most `limit`.
    ///
    /// # Errors
    /// As [`recv_timeout`](Self::recv_timeout), when there is no first message.
    pub fn recv_many_timeout(
        &mut self,
        max: usize,
        limit: Duration,
        mut each: impl FnMut(Message<'_>),
    ) -> Result<usize, RecvError> {
        let Some(more) = max.checked_sub(1) else { return Ok(0) };
        each(self.recv_timeout(limit)?);
        Ok(1 + self.take_more(more, each))
    }

    /// Takes messages that are there, `most` of them at most. Whatever is in the way of the next one shows again in the call
    /// that asks for it alone.
    #[inline]
    pub(crate) fn take_more(&mut self, most: usize, mut each: impl FnMut(Message<'_>)) -> usize {
        for taken in 0..most {
            match self.try_recv() {
                Ok(message) => each(message),
                Err(_) => return taken,
            }
        }
        most
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
        self.met.as_ref().unwrap_or(&self.facts.peer)
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

    /// Looks for the next message.
    pub(crate) fn poll_frame(&mut self) -> Result<Option<Frame>, RecvError> {
        self.half.poll()
    }

    /// The message that was found.
    #[inline]
    pub(crate) fn view(&mut self, frame: Frame) -> Message<'_> {
        self.settle();
        self.half.view(frame)
    }

    /// Whether a try costs no system call.
    pub(crate) fn tries_are_free(&self) -> bool {
        self.half.tries_are_free()
    }

    /// Whether it is rung for at a bell that is somebody else's.
    pub(crate) fn rests_elsewhere(&self) -> bool {
        matches!(&self.half, RecvHalf::Log(log) if log.rests_elsewhere())
    }

    /// Looks whether the peer still lives, so that the next try reports it.
    pub(crate) fn look_at_peer(&mut self) {
        self.half.look_at_peer();
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

impl Waits for Receiver {
    fn glance(&mut self) -> Glance {
        self.half.glance()
    }

    fn may_spin(&self) -> bool {
        !self.pace.forbids_spinning()
    }

    fn announce(&mut self) -> Announced {
        self.half.announce()
    }

    fn descriptors(&self) -> io::Result<Places<'_>> {
        self.half.descriptors()
    }

    fn stirred(&mut self, found: &Stir) -> io::Result<bool> {
        self.half.stirred(found)
    }

    fn awake(&mut self) {
        self.half.awake();
    }
}

/// Ready when there is a message, or the end. Of a large message that travels in pieces the first piece may be all that is
/// there: [`try_recv`](Receiver::try_recv) then says `Empty`, and [`recv`](Receiver::recv) waits for the rest.
impl Endpoint for Receiver {
    fn seam(&mut self) -> Seam<'_> {
        Seam(self)
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
