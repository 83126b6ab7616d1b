//! The incoming direction of one side: read by whichever half needs it first, for both.
//!
//! What the receiver waits for (messages) and what the sender waits for (acknowledgements, the end) come in one stream,
//! and the two halves may be in two threads. Whoever wants something takes the [`Reader`] out and reads; the other,
//! if it waits too, sleeps until it is told. What the sender reads for the receiver goes into an inbox.

use std::mem;
use std::ops::Range;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use wharf_sys::clock::Deadline;

use super::inbox::Inbox;
use super::reader::{Alone, End, Found, Reader, Stored};
use super::wire::{Patience, Wire};
use crate::aligned::{AlignedBytes, NoMemory};
use crate::transport::nudge::Nudge;

/// How long a sleep lasts before it looks around; waking is by notification.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);

/// What both halves know of the incoming direction.
struct State {
    /// Who reads has taken it out.
    reader: Option<Box<Reader>>,
    inbox: Inbox,
    /// The receiver of this side wants no more.
    unwanted: bool,
    news: News,
    /// Threads that sleep until they are told.
    sleepers: usize,
}

/// What the peer has said besides messages.
#[derive(Clone, Debug, Default)]
pub(super) struct News {
    /// Messages that its receiver has taken, as it said last.
    pub(super) taken: Option<u64>,
    /// Its receiver closed in good order.
    pub(super) receiver_closed: bool,
    /// Its sender closed in good order.
    pub(super) sender_closed: bool,
    /// How the stream ended.
    pub(super) end: Option<End>,
}

/// See the top of the file.
pub(super) struct Incoming {
    state: Mutex<State>,
    changed: Condvar,
    /// The inbox takes no more once it holds so many bytes; the last message may go beyond.
    capacity: usize,
    /// For the receiver, from the sender of its side.
    nudge: Nudge,
}

/// The right to read; it goes back when it is dropped, and whoever sleeps is told.
pub(super) struct Turn<'a> {
    incoming: &'a Incoming,
    reader: Option<Box<Reader>>,
    /// Nothing more can be understood.
    ended: bool,
}

/// What the receiver finds when it looks.
pub(super) enum Look<'a> {
    /// A message that the sender of this side has read; it is in the buffer now.
    Kept(Stored),
    /// There is one, and no memory for it now.
    NoMemory(NoMemory),
    /// Nothing is kept, and this side may read.
    Turn(Turn<'a>),
    /// Nothing is kept, and the other half reads.
    Busy,
    /// Nothing is kept, and nothing will come any more.
    Over,
}

impl Incoming {
    pub(super) fn new(reader: Reader, capacity: usize) -> Self {
        let state = State {
            reader: Some(Box::new(reader)),
            inbox: Inbox::default(),
            unwanted: false,
            news: News::default(),
            sleepers: 0,
        };
        Self { state: Mutex::new(state), changed: Condvar::new(), capacity, nudge: Nudge::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it holds the state, and every change to it is one step.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What there is for the receiver.
    #[inline]
    pub(super) fn look(&self, out: &mut AlignedBytes) -> Look<'_> {
        let mut state = self.lock();
        match state.inbox.take(out) {
            Some(Ok(stored)) => return Look::Kept(stored),
            Some(Err(no_memory)) => return Look::NoMemory(no_memory),
            None => {}
        }
        if state.news.sender_closed || state.news.end.is_some() {
            return Look::Over;
        }
        match state.reader.take() {
            Some(reader) => Look::Turn(Turn::new(self, reader)),
            None => Look::Busy,
        }
    }

    /// The reader, for a receiver that looks at nothing else and [gives it back](Self::give_back); `None` where there is something else
    /// to be looked at.
    #[inline(always)]
    fn lend(&self) -> Option<Box<Reader>> {
        let mut state = self.state.try_lock().ok()?;
        if !state.inbox.is_empty() | state.news.sender_closed | state.news.end.is_some() {
            return None;
        }
        state.reader.take()
    }

    /// The end of a turn.
    #[inline(always)]
    fn give_back(&self, reader: Option<Box<Reader>>) {
        let mut state = self.lock();
        state.reader = reader;
        let sleepers = state.sleepers;
        drop(state);
        if sleepers > 0 {
            self.changed.notify_all();
        }
    }

    /// Where a receiver looks at nothing else, see [`Reader::read_alone`]. `None`: there is something else to be looked at, now.
    #[inline(always)]
    pub(super) fn read_alone(&self, wire: &dyn Wire, out: &mut AlignedBytes) -> Option<Stored> {
        let mut reader = self.lend()?;
        match reader.read_alone(wire, out) {
            Alone::Message(stored) => {
                self.give_back(Some(reader));
                Some(stored)
            }
            other => {
                Turn::new(self, reader).take_in(other, out);
                None
            }
        }
    }

    /// The right to read, for the sender; `None` when the other half reads, when the inbox has no room for what may
    /// come, or when nothing will come any more. Of a peer that has hung up no more comes than the system holds already,
    /// so there is room for that.
    pub(super) fn turn(&self, hung_up: bool) -> Option<Turn<'_>> {
        let mut state = self.lock();
        if state.news.end.is_some() || state.inbox.len_bytes() >= self.capacity && !hung_up {
            return None;
        }
        state.reader.take().map(|reader| Turn::new(self, reader))
    }

    /// The right to read, for whoever ends this side: there is nobody left to read for.
    pub(super) fn last_turn(&self) -> Option<Turn<'_>> {
        self.lock().reader.take().map(|reader| Turn::new(self, reader))
    }

    /// Whether the other half reads now.
    pub(super) fn is_busy(&self) -> bool {
        self.lock().reader.is_none()
    }

    /// Whether the inbox takes no more.
    pub(super) fn is_full(&self) -> bool {
        self.lock().inbox.len_bytes() >= self.capacity
    }

    pub(super) fn news(&self) -> News {
        self.lock().news.clone()
    }

    /// Keeps a message for the receiver.
    pub(super) fn keep(&self, message: &AlignedBytes, stored: Stored) {
        let mut state = self.lock();
        if !state.unwanted {
            state.inbox.keep(message, stored);
        }
    }

    /// The receiver of this side wants no more: nothing is kept for it from now on.
    pub(super) fn forget(&self) {
        let mut state = self.lock();
        state.unwanted = true;
        let inbox = mem::take(&mut state.inbox);
        drop(state);
        drop(inbox);
    }

    /// How the sender of this side wakes its receiver where that waits for several ends at once. The sender gives it when it
    /// has read, or no longer reads.
    pub(super) fn nudge(&self) -> &Nudge {
        &self.nudge
    }

    /// Sleeps as long as the other half reads and has told nothing, at most until the deadline. `heard`: what this half
    /// waits for is there.
    pub(super) fn sleep(&self, deadline: Option<Deadline>, heard: impl Fn(&News, bool) -> bool) {
        let longest = Deadline::earlier(deadline, Some(Deadline::after(LONGEST_SLEEP)));
        let Some(left) = longest.and_then(Deadline::remaining) else { return };
        let mut state = self.lock();
        state.sleepers += 1;
        if state.reader.is_none() && !heard(&state.news, !state.inbox.is_empty()) {
            // Once is enough: a wake-up too many is allowed.
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        state.sleepers -= 1;
    }

    fn tell(&self, change: impl FnOnce(&mut News)) {
        let mut state = self.lock();
        change(&mut state.news);
        let sleepers = state.sleepers;
        drop(state);
        if sleepers > 0 {
            self.changed.notify_all();
        }
    }
}

impl<'a> Turn<'a> {
    fn new(incoming: &'a Incoming, reader: Box<Reader>) -> Self {
        Self { incoming, reader: Some(reader), ended: false }
    }

    /// The next thing in what was read already. What concerns both halves is noted; `None` when nothing is complete.
    #[inline]
    pub(super) fn understand(&mut self, out: &mut AlignedBytes) -> Option<Found> {
        let reader = self.reader.as_mut().filter(|_| !self.ended)?;
        match reader.understand(out) {
            Ok(Some(Found::Message(stored))) => Some(Found::Message(stored)),
            Ok(None) => None,
            other => self.note(other),
        }
    }

    /// See [`Reader::hand_over`].
    #[inline]
    pub(super) fn hand_over(&mut self, out: &mut AlignedBytes) -> Range<usize> {
        let Some(reader) = self.reader.as_mut().filter(|_| !self.ended) else { return 0..0 };
        reader.hand_over(out).unwrap_or_else(|end| {
            self.note(Err(end));
            0..0
        })
    }

    #[cold]
    fn note(&mut self, found: Result<Option<Found>, End>) -> Option<Found> {
        self.ended |= found.is_err();
        self.incoming.tell(|news| match &found {
            Ok(Some(Found::Taken { count, closed })) => {
                news.taken = Some(*count);
                news.receiver_closed |= closed;
            }
            Ok(Some(Found::SenderClosed)) => news.sender_closed = true,
            Err(end) => {
                news.end.get_or_insert_with(|| end.clone());
            }
            _ => {}
        });
        found.ok().flatten()
    }

    #[cold]
    #[inline(never)]
    fn take_in(mut self, read: Alone, out: &mut AlignedBytes) {
        if let Alone::Else(read) = read
            && let Some(reader) = &mut self.reader
            && let Err(end) = reader.take_in(read, out)
        {
            self.note(Err(end));
        }
    }

    /// Reads more; `false` when nothing is there now, or ever again. See [`Reader::read_on`].
    #[inline]
    pub(super) fn read_on(&mut self, wire: &dyn Wire, patience: Patience, spare: &mut AlignedBytes) -> bool {
        let Some(reader) = self.reader.as_mut().filter(|_| !self.ended) else { return false };
        match reader.read_on(wire, patience, spare) {
            Ok(more) => more,
            Err(end) => {
                self.note(Err(end));
                false
            }
        }
    }

    /// See [`Reader::throw_away`].
    pub(super) fn throw_away(&mut self, wire: &dyn Wire) -> bool {
        self.reader.as_mut().is_some_and(|reader| reader.throw_away(wire))
    }
}

impl Drop for Turn<'_> {
    #[inline]
    fn drop(&mut self) {
        self.incoming.give_back(self.reader.take());
    }
}
