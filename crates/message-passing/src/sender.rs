//! The sending end of a link.

mod attachments;

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::Duration;

use wharf_sys::clock::Deadline;

use crate::address::Address;
use crate::aligned::{AlignedBytes, NoMemory};
use crate::error::SendError;
use crate::link::Facts;
use crate::loan::Loan;
use crate::options::Policy;
use crate::peer::Peer;
use crate::room::Room;
use crate::transport::channel::{USED, Unused};
use crate::transport::log_link::Pushed;
use crate::transport::{self, Ask, Quickly, SendHalf};
use crate::wait::{self, Act, Limit, Pace};

/// The sending end of a link.
///
/// # When full
/// [`try_send`](Self::try_send) says [`SendError::Full`]; [`send`](Self::send) waits, or with
/// [`Policy::Reject`] says `Full` too; [`send_timeout`](Self::send_timeout) waits for a time.
///
/// # When the peer closes or dies
/// Every form says [`SendError::Closed`] or [`SendError::PeerDied`]; the latter with the number of messages
/// sent and, where the transport can tell, taken.
///
/// Dropping a sender tells the peer that nothing more comes; the peer first receives everything that was sent. It does not
/// wait: over `tcp:`, `tls:` and `ws:`, where the system's buffer may be full of what is on its way, the word can find no room, and
/// the peer then sees a death, after everything that [`send`](Self::send) has sent.
pub struct Sender {
    pub(crate) half: SendHalf,
    room: Pace,
    taken: Pace,
    policy: Policy,
    limit: usize,
    /// The private buffer of loans that are not in place.
    pub(crate) spare: AlignedBytes,
    /// See [`park`](Self::park).
    parked: Result<(), SendError>,
    /// Whoever was met since, at the other end of a channel.
    met: Option<Peer>,
    facts: Arc<Facts>,
}

impl Sender {
    pub(crate) fn new(mut half: SendHalf, facts: Arc<Facts>) -> Self {
        let free = half.tries_are_free();
        half.be_quick_up_to(facts.limit);
        Self {
            room: Pace::new(facts.wait, free, facts.their_cpu),
            taken: Pace::new(facts.wait, free, facts.their_cpu),
            policy: facts.policy,
            limit: facts.limit,
            spare: AlignedBytes::empty(0),
            parked: Ok(()),
            met: None,
            half,
            facts,
        }
    }

    /// Sends a message if there is room for it now.
    ///
    /// # Errors
    /// [`SendError::Full`] when there is none, [`SendError::NeedsWait`] when the message is so large that it
    /// travels in pieces; otherwise as [`send`](Self::send).
    #[inline(always)]
    pub fn try_send(&mut self, message: &[u8]) -> Result<(), SendError> {
        match self.send_quickly(&[], message) {
            Pushed::Yes => return Ok(()),
            Pushed::No => self.park(|sender| sender.try_send_slowly(message)),
            Pushed::ToASleeper => self.park(Sender::wake),
        }
        self.parked()
    }

    /// Does what is not quick and leaves its outcome in this sender. A result that a call returns is put together in memory
    /// of the caller's, and then every message stores one, the quick ones too: a place less among the stores that wait for
    /// the peer's lines (docs/performance.md).
    #[cold]
    #[inline(never)]
    fn park(&mut self, slowly: impl FnOnce(&mut Self) -> Result<(), SendError>) {
        self.parked = slowly(self);
    }

    /// What [`park`](Self::park) left.
    #[inline(always)]
    fn parked(&mut self) -> Result<(), SendError> {
        std::mem::replace(&mut self.parked, Ok(()))
    }

    /// The common case in a few instructions, made part of the caller: a log with room. The message is `head` and behind it
    /// `rest`, which nobody has to put together.
    #[inline(always)]
    pub(crate) fn send_quickly(&mut self, head: &[u64], rest: &[u8]) -> Pushed {
        match &mut self.half {
            SendHalf::Log(log) => log.push_quickly(head, rest),
            _ => Pushed::No,
        }
    }

    /// The same for a message that is answered before there is another.
    #[inline(always)]
    pub(crate) fn send_in_turn(&mut self, head: &[u64], rest: &[u8]) -> Pushed {
        match &mut self.half {
            SendHalf::Log(log) => log.push_in_turn(head, rest),
            _ => Pushed::No,
        }
    }

    /// Lends room in place in a few instructions, made part of the caller, in the same common case.
    #[inline(always)]
    fn lend_quickly(&mut self, len: usize) -> bool {
        match &mut self.half {
            SendHalf::Log(log) => log.lend_quickly(len),
            _ => false,
        }
    }

    /// Sends what was lent in place.
    #[inline(always)]
    pub(crate) fn send_lent(&mut self, room: transport::Room) -> Result<(), SendError> {
        let pushed = match &mut self.half {
            SendHalf::Log(log) => log.commit_quickly(),
            _ => Pushed::No,
        };
        match pushed {
            Pushed::Yes => return Ok(()),
            Pushed::No => self.park(|sender| sender.half.commit(room, Ask::Nothing)),
            Pushed::ToASleeper => self.park(Sender::wake),
        }
        self.parked()
    }

    /// [`send_quickly`](Self::send_quickly) that is no part of the caller's code: for the rarer of two ways.
    #[inline(never)]
    pub(crate) fn send_quickly_apart(&mut self, head: &[u64], rest: &[u8]) -> Pushed {
        self.send_quickly(head, rest)
    }

    /// Tells a number beside the messages, in place of the one before, to a receiver that reads it ([`Receiver::tally`]): a store,
    /// whether or not there is room. Only a log has a place for it.
    ///
    /// [`Receiver::tally`]: crate::Receiver::tally
    #[inline(always)]
    pub(crate) fn tell(&mut self, tally: u64) -> Pushed {
        match &mut self.half {
            SendHalf::Log(log) => log.tell(tally),
            SendHalf::Channel(_) | SendHalf::Stream(_) | SendHalf::Other(_) => Pushed::No,
        }
    }

    /// Has room ready for the next message, if that is as long as the one that was just sent: for senders that wait for an
    /// answer, and so have time for it now and none later.
    #[inline(always)]
    pub(crate) fn prepare(&mut self, len: usize) {
        if let SendHalf::Log(log) = &mut self.half {
            log.prepare(len);
        }
    }

    /// Wakes the receiver of the message that was just sent. [`SendError::Closed`] and [`SendError::PeerDied`] say that it has not had
    /// the message, as those of every push do.
    #[cold]
    #[inline(never)]
    pub(crate) fn wake(&mut self) -> Result<(), SendError> {
        match &mut self.half {
            SendHalf::Log(log) => log.wake(),
            SendHalf::Channel(_) | SendHalf::Stream(_) | SendHalf::Other(_) => Ok(()),
        }
    }

    /// Wakes the receiver for what was just told beside the messages.
    #[cold]
    #[inline(never)]
    pub(crate) fn ring(&mut self) -> Result<(), SendError> {
        match &mut self.half {
            SendHalf::Log(log) => log.ring(),
            SendHalf::Channel(_) | SendHalf::Stream(_) | SendHalf::Other(_) => Ok(()),
        }
    }

    /// An end of a channel is made ready at its first use, and is a sender like any other from some use on.
    #[inline]
    fn settle(&mut self) -> Result<(), SendError> {
        if let Some((peer, their_cpu)) = self.half.settle()? {
            self.half.be_quick_up_to(self.limit);
            self.met = peer;
            self.room = Pace::new(self.facts.wait, self.half.tries_are_free(), their_cpu);
            self.taken = Pace::new(self.facts.wait, self.half.tries_are_free(), their_cpu);
        }
        Ok(())
    }

    /// Gives up an end of a channel that was not used.
    pub(crate) fn untie(&mut self) -> Result<Unused, &'static str> {
        // Only at the other end of a channel is somebody who was not met when this end was made.
        self.half.untie().map_err(|why| if self.facts.peer.is_met() { why } else { USED })
    }

    #[inline(never)]
    fn try_send_slowly(&mut self, message: &[u8]) -> Result<(), SendError> {
        self.check(message.len())?;
        self.settle()?;
        let limit = self.half.max_in_one();
        if message.len() > limit {
            return Err(SendError::NeedsWait { len: message.len(), limit });
        }
        self.half.push(message, &mut 0, Ask::Nothing)
    }

    /// Sends a message; waits for room (see *When full*).
    ///
    /// # Errors
    /// [`SendError::TooLarge`] above [`max_message`](Self::max_message), [`SendError::Closed`] and
    /// [`SendError::PeerDied`] when nobody will receive it.
    #[inline(always)]
    pub fn send(&mut self, message: &[u8]) -> Result<(), SendError> {
        match self.send_quickly(&[], message) {
            Pushed::Yes => return Ok(()),
            Pushed::No if self.send_by_a_call(message) => return Ok(()),
            Pushed::No => {}
            Pushed::ToASleeper => self.park(Sender::wake),
        }
        self.parked()
    }

    /// The common case of a half whose tries are system calls: whether the message is sent. Otherwise the outcome is parked.
    #[cold]
    #[inline(never)]
    fn send_by_a_call(&mut self, message: &[u8]) -> bool {
        let mut progress = 0;
        let tried = match &mut self.half {
            _ if self.policy == Policy::Reject || message.len() > self.limit => Ok(Quickly::Untried),
            half => half.push_quickly(message, &mut progress),
        };
        match tried {
            Ok(Quickly::Sent) => return true,
            Ok(Quickly::Untried) => self.park(|sender| sender.send_slowly(message)),
            tried => self.park(|sender| sender.push_on(message, progress, tried)),
        }
        false
    }

    fn send_slowly(&mut self, message: &[u8]) -> Result<(), SendError> {
        if self.policy == Policy::Reject {
            return self.try_send(message);
        }
        self.check(message.len())?;
        self.settle()?;
        let mut progress = 0;
        // A try that costs a system call is left out when the sleeping call would send the message itself.
        if self.half.tries_by_sleeping() && self.room.sleeps_at_once() {
            return match self.half.push_asleep(message, &mut progress, Ask::Nothing, None) {
                Ok(true) => Ok(()),
                Ok(false) => self.push_slowly(message, &[], progress, Ask::Nothing, None),
                Err(error) => Err(error),
            };
        }
        match self.half.push_for_good(message, &mut progress, Ask::Nothing) {
            Err(SendError::Full) => self.push_slowly(message, &[], progress, Ask::Nothing, None),
            Ok(()) if self.half.has_rest() => self.send_rest(None),
            outcome => outcome,
        }
    }

    /// Goes on where the quick try left something to be done.
    fn push_on(&mut self, message: &[u8], progress: usize, tried: Result<Quickly, SendError>) -> Result<(), SendError> {
        match tried {
            Ok(Quickly::WithRest) => self.send_rest(None),
            Err(SendError::Full) => self.push_slowly(message, &[], progress, Ask::Nothing, None),
            other => other.map(drop),
        }
    }

    /// Sends a message; waits for room, at most `limit`.
    ///
    /// # Errors
    /// [`SendError::Timeout`] when there was no room in time: the message was not sent, not even in part.
    /// Otherwise as [`send`](Self::send).
    #[inline]
    pub fn send_timeout(&mut self, message: &[u8], limit: Duration) -> Result<(), SendError> {
        self.check(message.len())?;
        self.settle()?;
        let mut progress = 0;
        match self.half.push(message, &mut progress, Ask::Nothing) {
            Err(SendError::Full) => self.push_slowly(message, &[], progress, Ask::Nothing, Limit::After(limit).start()),
            Ok(()) if self.half.has_rest() => self.send_rest(Limit::After(limit).start()),
            outcome => outcome,
        }
    }

    /// Sends a message and returns when the peer's `recv` has returned it.
    ///
    /// # Errors
    /// [`SendError::Timeout`] when there was no room within `limit`, and [`SendError::NotTaken`] when the message
    /// was sent but not taken in time: it stays in the queue. Otherwise as [`send`](Self::send).
    pub fn send_rendezvous(&mut self, message: &[u8], limit: Option<Duration>) -> Result<(), SendError> {
        self.check(message.len())?;
        self.settle()?;
        let deadline = limit.map_or(Limit::Never, Limit::After).start();
        let mut progress = 0;
        match self.half.push(message, &mut progress, Ask::WhenTaken) {
            Err(SendError::Full) => self.push_slowly(message, &[], progress, Ask::WhenTaken, deadline)?,
            outcome => outcome?,
        }
        self.wait_taken(deadline)
    }

    /// [`try_send`](Self::try_send) with a priority.
    ///
    /// # Errors
    /// As [`try_send`](Self::try_send), and [`SendError::NoSuchPriority`].
    pub fn try_send_with_priority(&mut self, message: &[u8], priority: u16) -> Result<(), SendError> {
        self.with_priority(priority, |sender| sender.try_send(message))
    }

    /// Sends a message with a priority: it is received before every message of a lower one that still waits, and after
    /// those of its own and of higher ones that were sent before it. [`send`](Self::send) uses 0, the lowest.
    ///
    /// Only `mq:` links have more than that ([`highest_priority`](Self::highest_priority)). Where messages overtake each
    /// other, [`sent`](Self::sent) and the numbers of [`SendError::PeerDied`] count messages and do not say which;
    /// [`send_rendezvous_with_priority`](Self::send_rendezvous_with_priority) waits for its own message alone; and the end
    /// of the link is received after every message, whatever its priority. A full queue is full for every priority,
    /// and a receiver that never catches up with the high ones never sees the low ones.
    ///
    /// # Errors
    /// As [`send`](Self::send), and [`SendError::NoSuchPriority`].
    pub fn send_with_priority(&mut self, message: &[u8], priority: u16) -> Result<(), SendError> {
        self.with_priority(priority, |sender| sender.send(message))
    }

    /// [`send_timeout`](Self::send_timeout) with a priority.
    ///
    /// # Errors
    /// As [`send_timeout`](Self::send_timeout), and [`SendError::NoSuchPriority`].
    pub fn send_timeout_with_priority(
        &mut self,
        message: &[u8],
        priority: u16,
        limit: Duration,
    ) -> Result<(), SendError> {
        self.with_priority(priority, |sender| sender.send_timeout(message, limit))
    }

    /// [`send_rendezvous`](Self::send_rendezvous) with a priority.
    ///
    /// # Errors
    /// As [`send_rendezvous`](Self::send_rendezvous), and [`SendError::NoSuchPriority`].
    pub fn send_rendezvous_with_priority(
        &mut self,
        message: &[u8],
        priority: u16,
        limit: Option<Duration>,
    ) -> Result<(), SendError> {
        self.with_priority(priority, |sender| sender.send_rendezvous(message, limit))
    }

    /// The highest priority of a message on this link; 0, which is also the lowest, where there are no priorities.
    pub fn highest_priority(&self) -> u16 {
        self.half.highest_priority()
    }

    fn with_priority(
        &mut self,
        priority: u16,
        send: impl FnOnce(&mut Self) -> Result<(), SendError>,
    ) -> Result<(), SendError> {
        let highest = self.half.highest_priority();
        if priority > highest {
            return Err(SendError::NoSuchPriority { priority, highest });
        }
        self.half.set_priority(priority);
        let outcome = send(self);
        self.half.set_priority(0);
        outcome
    }

    /// Gives `len` bytes to fill and send, if there is room for them now.
    ///
    /// The bytes lie where the peer will read them when [`is_in_place`](Self::is_in_place) says so, otherwise in
    /// a private buffer that is copied when it is sent. Their first content is unspecified: whatever earlier
    /// messages left, or zero.
    ///
    /// # Errors
    /// As [`try_send`](Self::try_send).
    #[inline(always)]
    pub fn try_loan(&mut self, len: usize) -> Result<Loan<'_>, SendError> {
        self.lend(len, Policy::Reject)
    }

    /// Gives `len` bytes to fill and send; waits for room (see *When full*).
    ///
    /// ```
    /// # use wharf_message_passing::Options;
    /// # let private = tempfile::tempdir()?;
    /// # let options = Options::new().domain(wharf_sys::directory::Domain::at(private.path())?);
    /// # let mut listener = options.listen("unix:loans")?;
    /// # let there = std::thread::spawn(move || listener.accept()?.recv().map(|it| it.to_vec()).map_err(Box::<dyn std::error::Error + Send + Sync>::from));
    /// let mut link = options.connect("unix:loans")?;
    /// let mut loan = link.loan(3)?;
    /// loan.copy_from_slice(b"abc");
    /// loan.send()?;
    /// # assert_eq!(there.join().unwrap().unwrap(), b"abc");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`send`](Self::send).
    #[inline(always)]
    pub fn loan(&mut self, len: usize) -> Result<Loan<'_>, SendError> {
        self.lend(len, self.policy)
    }

    #[inline(always)]
    fn lend(&mut self, len: usize, when_full: Policy) -> Result<Loan<'_>, SendError> {
        if self.lend_quickly(len) {
            return Ok(Loan::new(self, Some(transport::Room), len));
        }
        let room = self.lend_in_earnest(len, when_full);
        self.parked()?;
        Ok(Loan::new(self, room, len))
    }

    /// The room that is lent, or none where the private buffer will do. The outcome is parked.
    #[cold]
    #[inline(never)]
    fn lend_in_earnest(&mut self, len: usize, when_full: Policy) -> Option<transport::Room> {
        let mut lent = None;
        self.park(|sender| {
            sender.check(len)?;
            sender.settle()?;
            lent = match sender.half.try_loan(len) {
                Err(SendError::Full) if when_full == Policy::Block => sender.loan_slowly(len)?,
                outcome => outcome?,
            };
            if lent.is_none() {
                // Bounded by the link's message limit, which was checked; kept for the next loan.
                sender.spare.grow(len, 0).map_err(out_of_memory)?;
            }
            Ok(())
        });
        lent
    }

    /// Waits, in a [`Selector`](crate::Selector), for room for a message of `len` bytes. Room is ready when a
    /// [`try_send`](Self::try_send) of so many bytes is worth a call, which may still say [`SendError::Full`], and when the
    /// peer is gone.
    pub fn room(&mut self, len: usize) -> Room<'_> {
        Room::new(self, len)
    }

    /// The largest message that this link carries, in bytes.
    #[inline]
    pub fn max_message(&self) -> usize {
        self.limit
    }

    /// Whether loans of usual size lie where the peer reads them, so that nothing is copied.
    pub fn is_in_place(&self) -> bool {
        self.half.is_in_place()
    }

    /// Messages sent so far.
    pub fn sent(&self) -> u64 {
        self.half.sent()
    }

    /// Who receives.
    pub fn peer(&self) -> &Peer {
        self.met.as_ref().unwrap_or(&self.facts.peer)
    }

    /// The address at which the two sides met.
    pub fn address(&self) -> &Address {
        &self.facts.address
    }

    /// Whether nobody may spin until there is room.
    pub(crate) fn forbids_spinning(&self) -> bool {
        self.room.forbids_spinning()
    }

    /// What it does when there is no room.
    #[cfg(feature = "tokio")]
    pub(crate) fn policy(&self) -> Policy {
        self.policy
    }

    #[inline]
    pub(crate) fn check(&self, len: usize) -> Result<(), SendError> {
        if len > self.limit {
            return Err(self.half.too_large(len, self.limit));
        }
        Ok(())
    }

    /// Goes on after the first try found no room.
    #[cold]
    #[inline(never)]
    pub(crate) fn push_slowly(
        &mut self,
        message: &[u8],
        fds: &[BorrowedFd<'_>],
        mut progress: usize,
        ask: Ask,
        deadline: Option<Deadline>,
    ) -> Result<(), SendError> {
        let half = &mut self.half;
        let outcome = wait::until(&mut self.room, deadline, |act| match act {
            Act::Try => full_is_none(half.push_with(message, fds, &mut progress, ask)),
            Act::Look => {
                half.look_at_peer();
                Ok(None)
            }
            // A call that sends while it sleeps takes the bytes alone.
            Act::Sleep if !fds.is_empty() => timeout_is_none(half.wait_room(message.len(), deadline)),
            Act::Sleep => match half.push_asleep(message, &mut progress, ask, deadline) {
                Ok(sent) => Ok(sent.then_some(())),
                Err(SendError::Timeout) => Ok(None),
                Err(error) => Err(error),
            },
        });
        let outcome = outcome.and_then(|sent| sent.ok_or(SendError::Timeout));
        if outcome.is_err() && progress > 0 {
            self.half.abort();
        }
        outcome?;
        if self.half.has_rest() { self.send_rest(deadline) } else { Ok(()) }
    }

    /// Whoever waits for room waits for the rest of the message as well, which the transport may have kept: this end may not
    /// be called again, and the peer would miss it for as long. What the deadline leaves goes with the next call of either
    /// end of this side.
    #[cold]
    #[inline(never)]
    fn send_rest(&mut self, deadline: Option<Deadline>) -> Result<(), SendError> {
        let half = &mut self.half;
        wait::until(&mut self.room, deadline, |act| match act {
            Act::Try => full_is_none(half.send_rest()),
            Act::Look => {
                half.look_at_peer();
                Ok(None)
            }
            Act::Sleep => timeout_is_none(half.wait_room(0, deadline)).map(|_| None),
        })
        .map(|_| ())
    }

    #[cold]
    #[inline(never)]
    fn loan_slowly(&mut self, len: usize) -> Result<Option<transport::Room>, SendError> {
        let half = &mut self.half;
        wait::until(&mut self.room, None, |act| match act {
            Act::Try => full_is_none(half.try_loan(len)),
            Act::Look => {
                half.look_at_peer();
                Ok(None)
            }
            Act::Sleep => timeout_is_none(half.wait_room(len, None)).map(|_| None),
        })
        // Without a deadline the wait ends with an answer or an error.
        .map(Option::flatten)
    }

    fn wait_taken(&mut self, deadline: Option<Deadline>) -> Result<(), SendError> {
        let until = self.half.sent();
        if self.half.taken()? >= until {
            return Ok(());
        }
        let half = &mut self.half;
        wait::until(&mut self.taken, deadline, |act| match act {
            Act::Try => Ok((half.taken()? >= until).then_some(())),
            Act::Look => {
                half.look_at_peer();
                Ok(None)
            }
            Act::Sleep => timeout_is_none(half.wait_taken(deadline)),
        })?
        .ok_or(SendError::NotTaken)
    }
}

#[cold]
fn out_of_memory(why: NoMemory) -> SendError {
    SendError::System(io::Error::new(io::ErrorKind::OutOfMemory, why.to_string()))
}

/// No room yet: no answer yet.
fn full_is_none<T>(outcome: Result<T, SendError>) -> Result<Option<T>, SendError> {
    match outcome {
        Ok(done) => Ok(Some(done)),
        Err(SendError::Full) => Ok(None),
        Err(error) => Err(error),
    }
}

/// A sleep brings no answer by itself, and the clock is read by whoever slept.
fn timeout_is_none(outcome: Result<(), SendError>) -> Result<Option<()>, SendError> {
    match outcome {
        Ok(()) | Err(SendError::Timeout) => Ok(None),
        Err(error) => Err(error),
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.half.close();
    }
}

impl std::fmt::Debug for Sender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sender").field("address", &self.facts.address.as_str()).finish_non_exhaustive()
    }
}
