//! A request as the server has it, and the ways to answer.

use std::fmt;
use std::ops::Deref;
use std::time::Duration;

use wharf_sys::clock::Instant;

use super::frame::Kind;
use super::outbox::{Outbox, Without};
use super::spare::{Spare, trim};
use crate::error::SendError;
use crate::peer::Peer;

/// The most bytes of why a call has failed.
pub(super) const MOST_WORDS: usize = 512;

/// A client as its server tells it from others: never used twice in a server's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientId(pub(super) u64);

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "client {}", self.0)
    }
}

/// One request. It can be answered in any order with others, and in any thread.
///
/// One that is dropped without an answer, in a panic too, has failed: its caller is told so at once, if it still waits. Where nobody
/// knows what came of it, because the program ends in the middle of the work, it is to be [abandoned](Self::abandon).
pub struct Request {
    pub(super) ticket: Ticket,
}

/// A request in work: what is asked, and the right to answer it once. Two words, which go in registers.
pub(super) struct Ticket {
    /// `None` when it is answered.
    paper: Option<Box<Paper>>,
    outbox: Outbox,
}

/// What a request brings, in one piece of memory.
#[derive(Default)]
pub(super) struct Paper {
    pub(super) bytes: Vec<u8>,
    pub(super) id: u64,
    deadline: Option<Instant>,
    patience: Duration,
}

/// Memory for a request, and a hold on the outbox of its client. It is there before the request is, while nobody waits.
pub(super) struct Blank {
    paper: Box<Paper>,
    outbox: Outbox,
}

impl Blank {
    pub(super) fn new(mut paper: Box<Paper>, patience: Duration, outbox: Outbox) -> Blank {
        paper.patience = patience;
        Blank { paper, outbox }
    }

    /// Asks for memory for a request as long as the one before, unless there is some.
    #[inline(always)]
    pub(super) fn prepare(&mut self, spare: &Spare) {
        spare.prepare(&mut self.paper.bytes);
    }

    /// A copy of what is asked. Memory in which something as long was before is no larger than it was then.
    #[inline(always)]
    pub(super) fn fill(mut self, bytes: &[u8], spare: &mut Spare) -> Blank {
        if !spare.fill(&mut self.paper.bytes, bytes) {
            trim(&mut self.paper.bytes);
        }
        self
    }

    /// The same, of what is asked in memory of its own.
    pub(super) fn begin(mut self, id: u64, deadline: Option<Instant>, bytes: Vec<u8>) -> Request {
        self.paper.bytes = bytes;
        self.start(id, deadline)
    }

    /// The request, which is begun.
    #[inline(always)]
    pub(super) fn start(mut self, id: u64, deadline: Option<Instant>) -> Request {
        self.paper.id = id;
        self.paper.deadline = deadline;
        Request { ticket: Ticket { paper: Some(self.paper), outbox: self.outbox } }
    }
}

impl Ticket {
    fn bytes(&self) -> &[u8] {
        self.paper.as_ref().map_or(&[], |paper| &paper.bytes)
    }

    /// Its number; 0, which is no request's, when it is answered.
    pub(super) fn id(&self) -> u64 {
        self.paper.as_ref().map_or(0, |paper| paper.id)
    }

    fn patience(&self) -> Duration {
        self.paper.as_ref().map_or(Duration::ZERO, |paper| paper.patience)
    }

    /// Its last word.
    fn last(&mut self, kind: Kind, payload: &[u8], without: Without) -> Result<(), SendError> {
        match self.paper.take() {
            Some(paper) => self.outbox.settle(kind, paper, payload, without),
            None => Ok(()),
        }
    }

    /// The answer.
    #[inline]
    fn reply(&mut self, answer: &[u8]) -> Result<(), SendError> {
        match self.paper.take() {
            Some(paper) => self.outbox.reply(paper, answer),
            None => Ok(()),
        }
    }

    fn time_left(&self) -> Option<Duration> {
        let deadline = self.paper.as_ref()?.deadline;
        deadline.map(|deadline| deadline.saturating_since(Instant::now()))
    }

    /// Whether the caller's time is over.
    fn is_over(&self) -> bool {
        self.time_left().is_some_and(|left| left.is_zero())
    }

    fn is_cancelled(&self) -> bool {
        self.is_over() || self.outbox.is_cancelled(self.id())
    }
}

impl Drop for Ticket {
    #[inline]
    fn drop(&mut self) {
        if self.paper.is_some() {
            self.fail();
        }
    }
}

impl Ticket {
    /// Nothing more is said of it.
    pub(super) fn abandon(&mut self) {
        if let Some(paper) = self.paper.take() {
            self.outbox.forget(paper.id);
        }
    }

    /// It was dropped without an answer.
    #[cold]
    #[inline(never)]
    fn fail(&mut self) {
        if self.is_over() {
            // Its caller has given it up by itself.
            self.outbox.forget(self.id());
        } else {
            // A client that is gone needs no answer.
            let _ = self.last(Kind::Failed, b"the server dropped the request without an answer", Without::Keep);
        }
    }
}

impl Request {
    /// What is asked.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        self.ticket.bytes()
    }

    /// How long the caller still waits; zero when it does not any more, `None` when it waits for ever.
    pub fn time_left(&self) -> Option<Duration> {
        self.ticket.time_left()
    }

    /// Whether nobody waits for the answer any more: it was cancelled, its time is over, or the client is gone. Known at once by
    /// name, and within a tick of the clock over an address, whether or not the server receives meanwhile.
    pub fn is_cancelled(&self) -> bool {
        self.ticket.is_cancelled()
    }

    /// Whose it is.
    pub fn client(&self) -> ClientId {
        ClientId(self.ticket.outbox.number())
    }

    /// The process that asks.
    pub fn peer(&self) -> &Peer {
        // Only a request that is answered, which nobody has any more, is nobody's.
        static NOBODY: Peer = Peer::unmet();
        self.ticket.outbox.peer().unwrap_or(&NOBODY)
    }

    /// Answers. Never waits: what the client has no room for now is kept, and sent on while the server receives.
    ///
    /// # Errors
    /// [`SendError::Closed`] or [`SendError::PeerDied`] when the client is gone; [`SendError::Full`] when it has not read its
    /// answers for so long that it was cut off; [`SendError::TooLarge`] or, over `mq:`, [`SendError::SlotTooSmall`], which its
    /// caller is told.
    #[inline]
    pub fn reply(mut self, answer: &[u8]) -> Result<(), SendError> {
        self.ticket.reply(answer)
    }

    /// Says that the call has failed, and why: at most 512 bytes of it arrive.
    ///
    /// # Errors
    /// As [`reply`](Self::reply).
    pub fn fail(mut self, why: &str) -> Result<(), SendError> {
        self.ticket.last(Kind::Failed, cut(why), Without::Keep)
    }

    /// Lets go of it without a word: its caller waits on, and learns when the server is gone that the outcome is unknown. One that is
    /// [idempotent](super::Call::idempotent) is sent to another server then. For a program that ends in the middle of its work on it: what
    /// is not known is no answer, not even that it has failed.
    pub fn abandon(mut self) {
        self.ticket.abandon();
    }

    /// Answers with several results, one after the other.
    pub fn stream(mut self) -> ReplyStream {
        if let Some(paper) = &mut self.ticket.paper {
            paper.bytes = Vec::new();
        }
        ReplyStream { ticket: self.ticket }
    }
}

impl Deref for Request {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        self.ticket.bytes()
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request").field("client", &self.client()).field("len", &self.len()).finish()
    }
}

/// Several results to one request. Dropping it without [`end`](Self::end), in a panic too, tells the caller that the call has
/// failed, after the results that were sent.
pub struct ReplyStream {
    ticket: Ticket,
}

impl ReplyStream {
    /// Sends one result. Where the client has no room, waits for it, at most the service's
    /// [patience](super::Service::patience). That nobody wants more is known as [`is_cancelled`](Self::is_cancelled) knows it: then
    /// nothing more is sent.
    ///
    /// # Errors
    /// [`SendError::Timeout`] when there was no room for so long: this result was not sent, and the next may be;
    /// [`SendError::Closed`] when nobody waits for more ([`Request::is_cancelled`]); [`SendError::PeerDied`],
    /// [`SendError::TooLarge`].
    pub fn send(&mut self, item: &[u8]) -> Result<(), SendError> {
        self.check()?;
        self.ticket.outbox.say_item(self.ticket.id(), item, self.ticket.patience())
    }

    /// Sends one result if there is room for it now, or some is kept for this client.
    ///
    /// # Errors
    /// [`SendError::Full`] when there is none; otherwise as [`send`](Self::send).
    pub fn try_send(&mut self, item: &[u8]) -> Result<(), SendError> {
        self.check()?;
        self.ticket.outbox.say(Kind::Item, self.ticket.id(), item, Without::Refuse)
    }

    /// How long a send waits for room.
    pub(super) fn patience(&self) -> Duration {
        self.ticket.patience()
    }

    /// The same as [`send`](Self::send), where several have one patience: what is left of it.
    pub(super) fn send_within(&mut self, item: &[u8], patience: &mut Duration) -> Result<(), SendError> {
        match self.try_send(item) {
            Err(SendError::Full) => {}
            outcome => return outcome,
        }
        let began = Instant::now();
        let outcome = self.ticket.outbox.say_item(self.ticket.id(), item, *patience);
        *patience = patience.saturating_sub(began.elapsed());
        outcome
    }

    fn check(&self) -> Result<(), SendError> {
        if self.ticket.is_cancelled() { Err(SendError::Closed) } else { Ok(()) }
    }

    /// Says that there are no more.
    ///
    /// # Errors
    /// As [`Request::reply`].
    pub fn end(mut self) -> Result<(), SendError> {
        self.ticket.last(Kind::End, &[], Without::Keep)
    }

    /// Says that the call has failed, and why.
    ///
    /// # Errors
    /// As [`Request::reply`].
    pub fn fail(mut self, why: &str) -> Result<(), SendError> {
        self.ticket.last(Kind::Failed, cut(why), Without::Keep)
    }

    /// See [`Request::is_cancelled`].
    pub fn is_cancelled(&self) -> bool {
        self.ticket.is_cancelled()
    }

    /// See [`Request::time_left`].
    pub fn time_left(&self) -> Option<Duration> {
        self.ticket.time_left()
    }
}

impl fmt::Debug for ReplyStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplyStream").field("client", &self.ticket.outbox.number()).finish_non_exhaustive()
    }
}

fn cut(words: &str) -> &[u8] {
    let bytes = words.as_bytes();
    bytes.get(..MOST_WORDS).unwrap_or(bytes)
}
