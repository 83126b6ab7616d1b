//! What was received and waits for somebody who works on it.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::failure::Failure;

/// While so much waits here, nothing more is taken in: whatever waits is a whole message in memory. One that is larger fits
/// where nothing waits.
pub(crate) const MOST_BYTES: usize = 64 << 20;

/// More commands at once help nobody.
pub(crate) const MOST_JOBS: usize = 1024;

/// What waits, and how the work is going.
pub(crate) struct Backlog<T> {
    state: Mutex<State<T>>,
    /// Something waits, or nothing more comes.
    came: Condvar,
    /// There is more room.
    went: Condvar,
    most: usize,
}

struct State<T> {
    /// Each with its size in bytes.
    waiting: VecDeque<(T, usize)>,
    waiting_bytes: usize,
    /// Somebody works on so many.
    running: usize,
    /// Nothing more comes.
    closed: bool,
    /// Why nothing can be worked on any more.
    broken: Option<Failure>,
}

/// Nothing came within the limit.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TookTooLong;

impl<T> Backlog<T> {
    /// For so many that wait or are worked on.
    pub(crate) fn new(most: usize) -> Backlog<T> {
        let state = State { waiting: VecDeque::new(), waiting_bytes: 0, running: 0, closed: false, broken: None };
        Backlog { state: Mutex::new(state), came: Condvar::new(), went: Condvar::new(), most }
    }

    /// Waits for room for one more, at most so long; whether there is some.
    pub(crate) fn wait_for_room(&self, limit: Duration) -> bool {
        let full = |state: &mut State<T>| {
            let (many, much) = (state.waiting.len() + state.running >= self.most, state.waiting_bytes >= MOST_BYTES);
            (many || much) && state.broken.is_none()
        };
        let waited = self.went.wait_timeout_while(self.state(), limit, full);
        !full(&mut waited.unwrap_or_else(PoisonError::into_inner).0)
    }

    /// Waits until nothing waits and nobody works, at most so long; whether that is so.
    pub(crate) fn wait_for_rest(&self, limit: Duration) -> bool {
        let busy = |state: &mut State<T>| (!state.waiting.is_empty() || state.running > 0) && state.broken.is_none();
        let waited = self.went.wait_timeout_while(self.state(), limit, busy);
        !busy(&mut waited.unwrap_or_else(PoisonError::into_inner).0)
    }

    /// Adds one of so many bytes.
    pub(crate) fn push(&self, it: T, bytes: usize) {
        let mut state = self.state();
        state.waiting_bytes += bytes;
        state.waiting.push_back((it, bytes));
        drop(state);
        self.came.notify_one();
    }

    /// Takes the next one, for which [`done`](Self::done) is to be said; waits for it. `None` when no more come.
    pub(crate) fn next(&self) -> Option<T> {
        let mut state = self.state();
        // Ends with one that waits, or when it is closed.
        loop {
            if let Some((it, bytes)) = state.waiting.pop_front() {
                state.running += 1;
                state.waiting_bytes -= bytes;
                drop(state);
                self.went.notify_all();
                return Some(it);
            }
            if state.closed {
                return None;
            }
            state = self.came.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The same where one takes them all; it waits at most so long.
    pub(crate) fn next_within(&self, limit: Duration) -> Result<Option<T>, TookTooLong> {
        let idle = |state: &mut State<T>| state.waiting.is_empty() && !state.closed;
        let waited = self.came.wait_timeout_while(self.state(), limit, idle);
        let late = idle(&mut waited.unwrap_or_else(PoisonError::into_inner).0);
        // Only this one takes: what is there stays until then.
        if late { Err(TookTooLong) } else { Ok(self.next()) }
    }

    /// One that was taken is done.
    pub(crate) fn done(&self) {
        self.state().running -= 1;
        self.went.notify_all();
    }

    /// No more come; what waits is worked on, unless it is `dropped`: then it is the caller's.
    pub(crate) fn close(&self, dropped: bool) -> Vec<T> {
        let mut state = self.state();
        state.closed = true;
        let mut waiting = VecDeque::new();
        if dropped {
            (waiting, state.waiting_bytes) = (std::mem::take(&mut state.waiting), 0);
        }
        drop(state);
        self.came.notify_all();
        waiting.into_iter().map(|(it, _)| it).collect()
    }

    /// Nothing can be worked on any more.
    pub(crate) fn give_up(&self, why: Failure) {
        self.state().broken.get_or_insert(why);
        self.went.notify_all();
    }

    /// Why nothing can be worked on any more, told once.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        self.state().broken.take().map_or(Ok(()), Err)
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_room_for_as_many_as_was_said() {
        let backlog = Backlog::new(2);
        assert_eq!(backlog.next_within(Duration::ZERO), Err(TookTooLong));
        backlog.push('a', 1);
        assert!(backlog.wait_for_room(Duration::ZERO));
        backlog.push('b', 1);
        assert!(!backlog.wait_for_room(Duration::ZERO) && !backlog.wait_for_rest(Duration::ZERO));
        assert_eq!(backlog.next(), Some('a'));
        assert!(!backlog.wait_for_room(Duration::ZERO), "it is worked on");
        backlog.done();
        assert!(backlog.wait_for_room(Duration::ZERO));
        backlog.close(false);
        assert_eq!((backlog.next_within(Duration::ZERO), backlog.next()), (Ok(Some('b')), None));
        assert_eq!(backlog.next_within(Duration::ZERO), Ok(None));
        backlog.done();
        assert!(backlog.wait_for_rest(Duration::ZERO));
    }

    #[test]
    fn what_is_dropped_is_not_worked_on_and_trouble_is_told_once() {
        let backlog = Backlog::new(2);
        backlog.push('a', 1);
        assert_eq!(backlog.close(true), ['a']);
        assert_eq!(backlog.next(), None);
        backlog.give_up(Failure::Failed("first".into()));
        backlog.give_up(Failure::Failed("second".into()));
        assert!(matches!(backlog.check(), Err(Failure::Failed(why)) if why == "first"));
        assert!(backlog.check().is_ok());
    }

    #[test]
    fn no_more_bytes_wait_than_was_said_and_one_that_is_larger() {
        let backlog = Backlog::new(8);
        backlog.push('a', MOST_BYTES - 1);
        assert!(backlog.wait_for_room(Duration::ZERO));
        backlog.push('b', 3 * MOST_BYTES);
        assert!(!backlog.wait_for_room(Duration::ZERO));
        assert_eq!(backlog.next(), Some('a'));
        assert!(!backlog.wait_for_room(Duration::ZERO), "the larger one waits");
        assert_eq!(backlog.next(), Some('b'));
        assert!(backlog.wait_for_room(Duration::ZERO), "what is worked on does not wait");
        backlog.push('c', MOST_BYTES);
        backlog.close(true);
        assert_eq!(backlog.next(), None);
    }
}
