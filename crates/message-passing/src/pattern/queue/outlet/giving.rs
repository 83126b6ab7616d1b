//! Giving items out: what a push does, and the way of what waits.

use std::sync::{Arc, PoisonError};

use wharf_shared_memory::board::Counter;
use wharf_sys::clock::{Deadline, Instant};
use wharf_sys::crash_point;

use super::{Begun, Door, Outlet};
use crate::error::SendError;
use crate::options::Policy;
use crate::pattern::queue::frame::{HEAD_BYTES, Head, Kind};
use crate::transport::Ask;
use crate::transport::log_link::Pushed;
use crate::wait::{self, Limit, Pace};

/// A listener is asked after so many pushes, and before every sleep.
const PUSHES_PER_ACCEPT: u64 = 256;

impl Outlet {
    /// Takes an item in; where it lies in the books. `limit` says whether and how long to wait for room; without one the policy
    /// does. `late`: pullers were not heard for long.
    #[inline]
    pub(in crate::pattern::queue) fn push(
        &mut self,
        item: &[u8],
        limit: Option<Option<Limit>>,
        pace: &mut Pace,
        late: bool,
    ) -> Result<usize, SendError> {
        let largest = self.terms.options.max_message.saturating_sub(HEAD_BYTES);
        if item.len() > largest {
            return Err(SendError::TooLarge { len: item.len(), limit: largest });
        }
        self.pushes = self.pushes.wrapping_add(1);
        if self.pushes.is_multiple_of(PUSHES_PER_ACCEPT) {
            self.accept();
        }
        self.unheard += 1;
        if late || self.hub.has_news() {
            self.advance();
        } else if self.unheard > self.most_unheard
            || (self.unheard > self.most_unheard_while_busy && !self.books.anybody_free())
        {
            self.advance_quickly();
        }
        if !self.books.has_room(item.len()) {
            self.wait_for_room(item.len(), limit, pace)?;
        }
        let place = self.give_at_once(item).unwrap_or_else(|| {
            let place = self.books.add(item);
            self.give_out();
            place
        });
        self.count_push(item.len());
        Ok(place)
    }

    /// Gives the item to a puller if nothing waits before it and that takes nothing but stores; where it lies in the books then.
    #[inline(always)]
    fn give_at_once(&mut self, item: &[u8]) -> Option<usize> {
        let key = self.books.next_for_new()?;
        let now = self.now();
        let line = self.lines.iter_mut().find(|line| line.key == key)?;
        let head = Head { kind: Kind::Item, deliveries: 1, number: self.books.number() };
        crash_point!("queue.assign.before");
        match line.sender.send_quickly(&head.words(), item) {
            Pushed::Yes => {}
            Pushed::No => return None,
            Pushed::ToASleeper => self.wake(key)?,
        }
        let place = self.books.add_given(item, key, now);
        crash_point!("queue.assign.sent");
        Some(place)
    }

    /// Wakes the puller that an item was just sent to; `None` when it is gone, and will not see it.
    #[cold]
    #[inline(never)]
    fn wake(&mut self, key: u64) -> Option<()> {
        let at = self.lines.iter().position(|line| line.key == key)?;
        if self.lines.get_mut(at)?.sender.wake().is_err() {
            self.close(at);
            return None;
        }
        Some(())
    }

    #[cold]
    fn wait_for_room(&mut self, len: usize, limit: Option<Option<Limit>>, pace: &mut Pace) -> Result<(), SendError> {
        let by_policy = || (self.terms.options.policy == Policy::Block).then_some(self.terms.patience);
        let Some(limit) = limit.unwrap_or_else(by_policy) else {
            self.tend();
            if self.books.has_room(len) {
                return Ok(());
            }
            self.count(Counter::LostRejected, 1);
            return Err(SendError::Full);
        };
        let (began, deadline) = (Instant::now(), limit.start());
        self.stand_back(pace);
        self.tend();
        let waited = match self.books.has_room(len) {
            true => {
                self.rhythm.found_after(1);
                Ok(Some(()))
            }
            false => self.wait_on_for_room(len, deadline, pace),
        };
        let blocked = u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.count(Counter::BlockedNanos, blocked);
        waited?.ok_or_else(|| {
            self.count(Counter::LostRejected, 1);
            SendError::Timeout
        })
    }

    fn wait_on_for_room(
        &mut self,
        len: usize,
        deadline: Option<Deadline>,
        pace: &mut Pace,
    ) -> Result<Option<()>, SendError> {
        let lasting = Arc::clone(&self.lasting);
        let _lasting = lasting.lock().unwrap_or_else(PoisonError::into_inner);
        let mut tries = 0;
        let waited = wait::until(pace, deadline, |act| {
            tries += 1;
            self.act(act, deadline, |it| it.books.has_room(len))
        });
        match waited {
            Ok(Some(())) => self.rhythm.found_after(tries),
            _ => self.rhythm.long(),
        }
        waited
    }

    /// Whoever waits for room in a stream lets pullers get on: each look takes a line away from the one that it hears.
    fn stand_back(&mut self, pace: &Pace) {
        let pauses = self.rhythm.dry(self.pushes);
        if !pace.forbids_spinning() {
            for _ in 0..pauses {
                std::hint::spin_loop();
            }
        }
    }

    fn count_push(&self, len: usize) {
        if let Door::Named(registration) = &self.door {
            let (counters, depth) = (registration.counters(), self.books.len() as u64);
            counters.add(Counter::SentMessages, 1);
            counters.add(Counter::SentBytes, len as u64);
            counters.raise(Counter::Largest, len as u64);
            counters.set(Counter::Depth, depth);
            counters.raise(Counter::Deepest, depth);
        }
    }

    /// Gives waiting items to whoever is free, as far as there is room on the way.
    pub(super) fn give_out(&mut self) {
        // Each round gives one out, or finds one puller less.
        let now = self.now();
        while let Some((place, key)) = self.books.next(now) {
            let Some(at) = self.lines.iter().position(|line| line.key == key) else { return };
            let (Some(line), Some((number, deliveries, bytes))) = (self.lines.get_mut(at), self.books.draft(place))
            else {
                return;
            };
            let head = Head { kind: Kind::Item, deliveries, number };
            if deliveries > 1 {
                crash_point!("queue.redeliver.before");
            }
            crash_point!("queue.assign.before");
            let mut progress = 0;
            let sent = match line.sender.send_quickly(&head.words(), bytes) {
                Pushed::Yes => Ok(()),
                Pushed::ToASleeper => line.sender.wake(),
                Pushed::No => {
                    self.frame.clear();
                    self.frame.extend_from_slice(&head.write());
                    self.frame.extend_from_slice(bytes);
                    line.sender.half.push(&self.frame, &mut progress, Ask::Nothing)
                }
            };
            match sent {
                Ok(()) => {
                    let now = self.now();
                    self.books.assign(place, key, true, now);
                    crash_point!("queue.assign.sent");
                    if deliveries > 1 {
                        crash_point!("queue.redeliver.sent");
                    }
                }
                Err(SendError::Full) if progress > 0 => {
                    line.begun = Some(Begun { number, message: self.frame.clone(), progress });
                    let now = self.now();
                    self.books.assign(place, key, false, now);
                    self.books.no_room(key);
                }
                Err(SendError::Full) => self.books.no_room(key),
                Err(_) => self.close(at),
            }
        }
    }

    /// Sends on what was sent to one puller in part.
    pub(super) fn go_on(&mut self, at: usize) {
        let now = self.now();
        let Some(line) = self.lines.get_mut(at) else { return };
        if let Some(begun) = &mut line.begun {
            if !self.books.has(line.key, begun.number) {
                // It goes to another; this one never sees it.
                line.sender.half.abort();
                line.begun = None;
                return;
            }
            let before = begun.progress;
            let outcome = line.sender.half.push(&begun.message, &mut begun.progress, Ask::Nothing);
            if outcome.is_ok() || begun.progress > before {
                self.books.moved(line.key, begun.number, outcome.is_ok(), now);
            }
            match outcome {
                Ok(()) => line.begun = None,
                Err(SendError::Full) => self.books.no_room(line.key),
                Err(_) => self.close(at),
            }
        } else if line.sender.half.has_rest() {
            // What is left of it is sent by a later turn.
            let _ = line.sender.half.send_rest();
        }
    }
}
