//! Giving items out: what a push does, and the way of what waits.

use std::sync::{Arc, PoisonError};

use wharf_shared_memory::board::Counter;
use wharf_sys::clock::{Deadline, Instant};
use wharf_sys::crash_point;

use super::{Begun, Line, Outlet};
use crate::error::SendError;
use crate::options::Policy;
use crate::pattern::queue::frame::{HEAD_BYTES, SHORT_BYTES, short_item};
use crate::transport::Ask;
use crate::transport::log_link::Pushed;
use crate::wait::{self, Limit, Pace};

/// A listener is asked after so many pushes, and before every sleep.
const PUSHES_PER_ACCEPT: u64 = 256;

impl Line {
    /// Sends an item that nobody had before if that takes nothing but stores.
    #[inline(always)]
    fn send_new(&mut self, number: u64, item: &[u8]) -> Pushed {
        if number > self.short_up_to {
            return self.send_in_long(1, number, item);
        }
        self.sender.send_quickly(&[short_item(self.tally.is_some(), number)], item)
    }

    /// The same at the end of a lap, or where it is to be looked how far the puller is.
    #[inline(never)]
    fn send_new_at_the_second_try(&mut self, number: u64, item: &[u8]) -> Pushed {
        let head = if number > self.short_up_to { HEAD_BYTES } else { SHORT_BYTES };
        self.sender.prepare(head + item.len());
        self.send_new(number, item)
    }

    /// Sends any item, with a header that every puller takes and that has room for everything.
    #[inline(never)]
    fn send_in_long(&mut self, deliveries: u32, number: u64, item: &[u8]) -> Pushed {
        self.sender.send_quickly(&self.head(deliveries, number).words(), item)
    }
}

impl Outlet {
    /// Whether there is nothing to do before an item of so many bytes is pushed: it may be so large, pullers were heard a moment ago,
    /// and there is room.
    #[inline(always)]
    pub(in crate::pattern::queue) fn is_ready(&self, len: usize) -> bool {
        len <= self.largest_item
            && self.books.latest_id() < self.quick_items
            && self.books.bytes_in() + len as u64 <= self.quick_bytes
            && !self.hub.has_news()
    }

    /// Does what there is to do before an item of so many bytes is pushed. `limit` says whether and how long to wait for room; without
    /// one the policy does. `late`: pullers were not heard for long.
    #[inline(never)]
    pub(in crate::pattern::queue) fn get_ready(
        &mut self,
        len: usize,
        limit: Option<Option<Limit>>,
        pace: &mut Pace,
        late: bool,
    ) -> Result<(), SendError> {
        if len > self.largest_item {
            return Err(SendError::TooLarge { len, limit: self.largest_item });
        }
        let pushed = self.books.latest_id();
        if pushed.is_multiple_of(PUSHES_PER_ACCEPT) {
            self.accept();
        }
        if late || self.hub.has_news() {
            self.advance();
        } else if pushed - self.heard_at >= self.most_unheard {
            self.advance_quickly();
        }
        if !self.books.has_room(len) {
            self.wait_for_room(len, limit, pace)?;
        }
        self.set_quick();
        Ok(())
    }

    /// Until when [`is_ready`](Self::is_ready): until pullers are to be heard, or a listener to be asked, and as long as there is room
    /// even if nobody settles anything.
    fn set_quick(&mut self) {
        let pushed = self.books.latest_id();
        let unasked = PUSHES_PER_ACCEPT - pushed % PUSHES_PER_ACCEPT;
        let (items, bytes) = self.books.room();
        self.quick_items = (pushed + unasked.min(items)).min(self.heard_at + self.most_unheard);
        self.quick_bytes = self.books.bytes_in().saturating_add(bytes);
    }

    /// Takes an item in, for which everything is ready; where it lies in the books.
    #[inline(always)]
    pub(in crate::pattern::queue) fn push(&mut self, item: &[u8]) -> usize {
        let place = match self.give_at_once(item) {
            Some(place) => place,
            None => self.push_slowly(item),
        };
        self.note_push(item.len());
        place
    }

    /// Enters an item among those that wait, and gives out what can be.
    #[inline(never)]
    fn push_slowly(&mut self, item: &[u8]) -> usize {
        let unheard = self.books.latest_id() - self.heard_at;
        if unheard >= self.most_unheard_while_busy && !self.books.anybody_free() {
            self.advance_quickly();
            self.set_quick();
        }
        let place = self.books.add(item);
        self.give_out();
        place
    }

    /// Gives the item to the puller whose turn it is if that takes nothing but stores; where it lies in the books then.
    #[inline(always)]
    fn give_at_once(&mut self, item: &[u8]) -> Option<usize> {
        let (at, key) = self.books.next_for_new()?;
        let (number, now) = (self.books.number(), self.now());
        // Lines stand as the books name their pullers; by whichever of two ways one comes or goes, it does in both.
        let line = self.lines.get_mut(at).filter(|line| line.key == key)?;
        crash_point!("queue.assign.before");
        let sent = match line.send_new(number, item) {
            Pushed::No => line.send_new_at_the_second_try(number, item),
            sent => sent,
        };
        match sent {
            Pushed::Yes => {}
            Pushed::No => return None,
            Pushed::ToASleeper => self.wake(at)?,
        }
        let place = self.books.add_given(item, at, now);
        crash_point!("queue.assign.sent");
        Some(place)
    }

    /// Wakes the puller that an item was just sent to; `None` when that fails, and the item is still to be given.
    #[cold]
    #[inline(never)]
    fn wake(&mut self, at: usize) -> Option<()> {
        match self.lines.get_mut(at)?.sender.wake() {
            Ok(()) => Some(()),
            Err(error) => {
                self.part_with(at, &error);
                None
            }
        }
    }

    /// Nothing more can be sent to a puller.
    #[cold]
    fn part_with(&mut self, at: usize, why: &SendError) {
        match why {
            // It has not had what it was to be sent, and its link says how it ended.
            SendError::Closed | SendError::PeerDied { .. } => self.close(at),
            // Perhaps it has it, and sleeps on.
            why => self.cut(at, why.to_string()),
        }
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
        let waited = match self.may_go_on(len) {
            true => {
                self.rhythm.found_after(0);
                Ok(Some(()))
            }
            false => self.wait_on_for_room(len, deadline, pace),
        };
        let blocked = u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.count(Counter::BlockedNanos, blocked);
        let waited = waited?;
        if waited.is_some() && self.books.has_room(len) {
            return Ok(());
        }
        self.count(Counter::LostRejected, 1);
        Err(if waited.is_some() { SendError::Full } else { SendError::Timeout })
    }

    /// Whether there is room, or waiting for it is in vain: all that is kept is dead, and only the program takes it away.
    fn may_go_on(&self, len: usize) -> bool {
        self.books.has_room(len) || self.is_done()
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
            self.act(act, deadline, |it| it.may_go_on(len))
        });
        match waited {
            Ok(Some(())) => self.rhythm.found_after_pauses(tries),
            _ => self.rhythm.long(),
        }
        waited
    }

    /// Whoever waits for room in a stream lets pullers get on: each look takes a line away from the one that it hears.
    fn stand_back(&mut self, pace: &Pace) {
        let pauses = self.rhythm.dry(self.books.latest_id());
        if !pace.forbids_spinning() {
            for _ in 0..pauses {
                std::hint::spin_loop();
            }
        }
    }

    /// What [`count_pushes`](Self::count_pushes) does not find in the books.
    #[inline(always)]
    fn note_push(&mut self, len: usize) {
        // Stores only where something changes.
        if len > self.largest {
            self.largest = len;
        }
        let depth = self.books.len();
        if depth > self.deepest {
            self.deepest = depth;
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
            if deliveries > 1 {
                crash_point!("queue.redeliver.before");
            }
            crash_point!("queue.assign.before");
            let mut progress = 0;
            let pushed = match deliveries {
                1 => line.send_new(number, bytes),
                _ => line.send_in_long(deliveries, number, bytes),
            };
            let sent = match pushed {
                Pushed::Yes => Ok(()),
                Pushed::ToASleeper => line.sender.wake(),
                Pushed::No => {
                    self.frame.clear();
                    self.frame.extend_from_slice(&line.head(deliveries, number).write());
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
                Err(error) => self.part_with(at, &error),
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
                Err(error) => self.part_with(at, &error),
            }
        } else if line.sender.half.has_rest() {
            // What is left of it is sent by a later turn.
            let _ = line.sender.half.send_rest();
        }
    }
}
