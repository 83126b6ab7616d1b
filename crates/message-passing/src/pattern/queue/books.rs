//! The books of one pusher: what waits, who works on what, what is done, what nobody could do.
//!
//! Logic without I/O and clock: whoever moves the bytes says what happened and when. An item has an *id* for the program that
//! pushed it, a *place* in the books as long as it is kept, and, each time that it is delivered, a *number* on the wire.
//! Numbers only grow, so that what a puller says of a delivery that was taken from it is known to be late.

mod hand;
mod outcomes;
mod shelf;

use std::collections::VecDeque;
use std::time::Duration;

use wharf_sys::clock::Instant;

use self::hand::{Delivery, Hand};
use self::outcomes::Outcomes;
use self::shelf::{Kept, Shelf, Stage};

/// The most items that one puller is given before it settles the first, whatever it asks for.
pub(super) const MOST_CREDIT: usize = 1024;

/// The most items that came back which are looked at for one that can go out. More of them wait for another worker only where that
/// one does nothing.
const MOST_LOOKED_AT: usize = 64;

/// How long an item that was given back waits until whoever failed at it may have it again. Nobody else waits for it, so this only
/// keeps a worker that fails at everything, alone, from doing so as fast as it can.
const FIRST_REST: Duration = Duration::from_millis(1);

/// Each further delivery doubles it, up to this: one that can do its work again is found out soon enough.
const LONGEST_REST: Duration = Duration::from_secs(1);

/// The bounds of the books.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) items: usize,
    pub(super) bytes: usize,
    /// After so many deliveries an item is dead.
    pub(super) deliveries: u32,
    /// How long a puller may be silent about the oldest item that it has.
    pub(super) acknowledge: Option<Duration>,
}

/// What became of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Settled {
    /// A worker has acknowledged it.
    Acknowledged {
        /// How often it was delivered until then.
        deliveries: u32,
    },
    /// It was delivered as often as the queue allows, and nobody acknowledged it: it is among the dead letters.
    Dead {
        /// How often it was delivered.
        deliveries: u32,
    },
}

/// An item that came back to the program that pushed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// How often it was delivered.
    pub deliveries: u32,
    pub(super) id: u64,
}

#[derive(Debug)]
struct Worker {
    key: u64,
    credit: usize,
    has: Hand,
    /// So many it may have now: its credit, or none where something is in the way.
    most: usize,
    /// Since when the oldest of them is the oldest, and whether anything was heard since.
    since: Instant,
    heard: bool,
    /// It was silent for too long, and is given nothing until it is heard again.
    silent: bool,
    /// There is no room on the way to it.
    full: bool,
    /// The highest number that was ever taken from it.
    gone: u64,
}

/// What a puller said cannot be so.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NeverHad {
    pub(super) number: u64,
}

impl NeverHad {
    pub(super) fn words(&self) -> String {
        format!("it speaks of delivery {}, which it never had", self.number)
    }
}

/// See the top of the file.
#[derive(Debug)]
pub(super) struct Books {
    bounds: Bounds,
    shelf: Shelf,
    /// Never delivered yet.
    waiting: VecDeque<usize>,
    /// Delivered before, and first in line.
    again: VecDeque<usize>,
    dead: VecDeque<usize>,
    workers: Vec<Worker>,
    turn: usize,
    next_number: u64,
    outcomes: Outcomes,
    /// What became of the item that was pushed last: whoever pushed it may ask for it still.
    latest: Option<Settled>,
}

impl Books {
    pub(super) fn new(bounds: Bounds) -> Books {
        // Places are 32 bits wide: of more items the memory would be full long before.
        let bounds = Bounds { items: bounds.items.min(u32::MAX as usize), ..bounds };
        Books {
            bounds,
            shelf: Shelf::new(),
            waiting: VecDeque::new(),
            again: VecDeque::new(),
            dead: VecDeque::new(),
            workers: Vec::new(),
            turn: 0,
            next_number: 0,
            outcomes: Outcomes::default(),
            latest: None,
        }
    }

    /// Whether there is room for an item of so many bytes. One is always taken, however large.
    pub(super) fn has_room(&self, len: usize) -> bool {
        let count = self.len();
        count == 0 || (count < self.bounds.items && self.shelf.bytes().saturating_add(len) <= self.bounds.bytes)
    }

    /// For how many more items, and bytes of them, there is room.
    pub(super) fn room(&self) -> (u64, u64) {
        let (items, bytes) =
            (self.bounds.items.saturating_sub(self.len()), self.bounds.bytes.saturating_sub(self.shelf.bytes()));
        (items as u64, bytes as u64)
    }

    /// Enters an item, which waits; its place.
    #[inline]
    pub(super) fn add(&mut self, bytes: &[u8]) -> usize {
        let place = self.keep(bytes, 0, Stage::Waiting);
        self.waiting.push_back(place);
        place
    }

    /// Enters an item that is on its way to the puller that [`next_for_new`](Self::next_for_new) has named, by the number of
    /// [`number`](Self::number); its place.
    #[inline(always)]
    pub(super) fn add_given(&mut self, bytes: &[u8], at: usize, now: Instant) -> usize {
        let place = self.keep(bytes, 1, Stage::Given);
        self.give(place, at, true, now);
        place
    }

    #[inline(always)]
    fn keep(&mut self, bytes: &[u8], deliveries: u32, stage: Stage) -> usize {
        // A store only where something changes.
        if self.latest.is_some() {
            self.latest = None;
        }
        self.shelf.put(bytes, deliveries, stage)
    }

    /// Items that are kept: those that wait, those that somebody has, and the dead letters.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.shelf.len()
    }

    /// Bytes of all that were ever taken in.
    #[inline(always)]
    pub(super) fn bytes_in(&self) -> u64 {
        self.shelf.bytes_in()
    }

    /// Items that nobody has now.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len() + self.again.len()
    }

    /// Items that were neither acknowledged nor given up.
    pub(super) fn unsettled(&self) -> usize {
        self.len() - self.dead.len()
    }

    pub(super) fn join(&mut self, key: u64) {
        self.workers.push(Worker {
            key,
            credit: 0,
            has: Hand::default(),
            most: 0,
            since: Instant::from_nanos(0),
            heard: false,
            silent: false,
            full: false,
            gone: 0,
        });
    }

    fn worker(&mut self, key: u64) -> Option<&mut Worker> {
        self.workers.iter_mut().find(|worker| worker.key == key)
    }

    /// A puller takes so many items at a time.
    pub(super) fn credit(&mut self, key: u64, credit: u64) {
        if let Some(worker) = self.worker(key) {
            worker.credit = usize::try_from(credit).unwrap_or(MOST_CREDIT).min(MOST_CREDIT);
            worker.speaks();
            worker.set_most();
        }
    }

    /// There is no room on the way to this puller, until [`rooms_may_be`](Self::rooms_may_be).
    pub(super) fn no_room(&mut self, key: u64) {
        if let Some(worker) = self.worker(key) {
            worker.full = true;
            worker.set_most();
        }
    }

    /// Whether there was no room on the way to this puller when it was tried last.
    pub(super) fn is_full(&self, key: u64) -> bool {
        self.workers.iter().any(|worker| worker.key == key && worker.full)
    }

    /// Rooms may have appeared.
    pub(super) fn rooms_may_be(&mut self) {
        for worker in self.workers.iter_mut().filter(|worker| worker.full) {
            worker.full = false;
            worker.set_most();
        }
    }

    /// How many items pullers take at a time, all together.
    pub(super) fn credits(&self) -> usize {
        self.workers.iter().map(|worker| worker.credit).sum()
    }

    /// Items that pullers have.
    pub(super) fn in_hand(&self) -> usize {
        self.workers.iter().map(|worker| worker.has.len()).sum()
    }

    /// Whether some puller would be given an item now.
    pub(super) fn anybody_free(&self) -> bool {
        self.workers.iter().any(Worker::is_free)
    }

    /// The next item and who is to have it, if somebody can: of those with credit the one that has the least, by turns.
    /// Whoever had the item before and did not do it has it again only if there is nobody else who takes items, and not at once
    /// if it has failed at it: a worker that is busy is waited for, and the items behind go on.
    #[inline]
    pub(super) fn next(&self, now: Instant) -> Option<(usize, u64)> {
        if self.again.is_empty() {
            let place = *self.waiting.front()?;
            return Some((place, self.next_for(place, now)?));
        }
        self.next_of_those_that_came_back(now)
    }

    #[cold]
    #[inline(never)]
    fn next_of_those_that_came_back(&self, now: Instant) -> Option<(usize, u64)> {
        if !self.anybody_free() {
            return None;
        }
        self.first_in_line().find_map(|place| Some((place, self.next_for(place, now)?)))
    }

    /// Those of which one may be the next, in the order in which they are looked at.
    fn first_in_line(&self) -> impl Iterator<Item = usize> + '_ {
        self.again.iter().take(MOST_LOOKED_AT).chain(self.waiting.front()).copied()
    }

    fn next_for(&self, place: usize, now: Instant) -> Option<u64> {
        let Kept { avoid, rests_until, .. } = *self.shelf.get(place)?;
        let others = || self.workers.iter().any(|it| it.key != avoid && it.takes_items());
        let not_the_same = avoid != 0 && (now < rests_until || others());
        self.least_busy(if not_the_same { avoid } else { 0 }).map(|(_, key)| key)
    }

    /// Who would be given an item now that nobody had before, and which of the pullers that is, if somebody can, and others do not wait
    /// for that before it.
    #[inline(always)]
    pub(super) fn next_for_new(&self) -> Option<(usize, u64)> {
        if self.waiting() == 0 { self.least_busy(0) } else { None }
    }

    /// The number by which the next item is delivered.
    #[inline]
    pub(super) fn number(&self) -> u64 {
        self.next_number + 1
    }

    /// As if so many had been delivered before.
    #[cfg(test)]
    pub(super) fn go_on_behind(&mut self, number: u64) {
        self.next_number = number;
    }

    /// Who is to have the next item, of all but one.
    #[inline(always)]
    fn least_busy(&self, but: u64) -> Option<(usize, u64)> {
        // Words that stay in registers, where an iterator puts its results together in memory.
        let (mut best, mut which, mut least) = (0, 0, usize::MAX);
        // Whose turn it was may have gone.
        let mut at = if self.turn < self.workers.len() { self.turn } else { 0 };
        for _ in 0..self.workers.len() {
            if let Some(worker) = self.workers.get(at) {
                let has = worker.has.len();
                if has < least && has < worker.most && worker.key != but {
                    (best, which, least) = (worker.key, at, has);
                }
            }
            at = if at + 1 < self.workers.len() { at + 1 } else { 0 };
        }
        // No key is 0.
        (best != 0).then_some((which, best))
    }

    /// Bytes of the largest item that may be next in line.
    pub(super) fn next_len(&self) -> usize {
        let there = self.first_in_line().filter_map(|place| self.shelf.get(place));
        there.map(|kept| kept.bytes.len()).max().unwrap_or(0)
    }

    /// The number, the count of deliveries and the bytes with which [`next`](Self::next) is to be delivered.
    pub(super) fn draft(&self, place: usize) -> Option<(u64, u32, &[u8])> {
        let kept = self.shelf.get(place)?;
        Some((self.number(), kept.deliveries.saturating_add(1), &kept.bytes))
    }

    /// The [`next`](Self::next) item is on its way, or a part of it; its number.
    pub(super) fn assign(&mut self, place: usize, key: u64, whole: bool, now: Instant) -> u64 {
        if self.waiting.front() == Some(&place) {
            self.waiting.pop_front();
        } else if let Some(at) = self.again.iter().take(MOST_LOOKED_AT).position(|it| *it == place) {
            self.again.remove(at);
        }
        if let Some(kept) = self.shelf.get_mut(place) {
            kept.deliveries = kept.deliveries.saturating_add(1);
            kept.stage = Stage::Given;
        }
        let at = self.workers.iter().position(|worker| worker.key == key);
        self.give(place, at.unwrap_or(usize::MAX), whole, now)
    }

    #[inline(always)]
    fn give(&mut self, place: usize, at: usize, whole: bool, now: Instant) -> u64 {
        self.next_number += 1;
        let number = self.next_number;
        self.turn = if self.turn + 1 < self.workers.len() { self.turn + 1 } else { 0 };
        if let Some(worker) = self.workers.get_mut(at) {
            if worker.has.is_empty() {
                (worker.since, worker.heard) = (now, false);
            }
            // There are no more places than that, see `Books::new`.
            worker.has.push(Delivery { number, place: place as u32, begun: false, whole });
        }
        number
    }

    /// More of a delivery was sent, or the rest of it: whoever takes it in is not silent, and its time begins now.
    pub(super) fn moved(&mut self, key: u64, number: u64, whole: bool, now: Instant) {
        let Some(worker) = self.worker(key) else { return };
        let Some(at) = worker.has.find(number) else { return };
        if at == 0 {
            worker.since = now;
        }
        if let Some(delivery) = worker.has.get_mut(at) {
            delivery.whole = whole;
        }
    }

    /// Whether this puller still has this delivery.
    pub(super) fn has(&self, key: u64, number: u64) -> bool {
        let worker = self.workers.iter().find(|worker| worker.key == key);
        worker.is_some_and(|worker| worker.has.find(number).is_some())
    }

    /// A delivery was done. `false`: it had been taken from this puller before, so that it is another one's.
    pub(super) fn acknowledge(&mut self, key: u64, number: u64, now: Instant) -> Result<bool, NeverHad> {
        let Some(delivery) = self.take(key, number, now)? else { return Ok(false) };
        self.settle(delivery.place as usize, true);
        Ok(true)
    }

    /// All deliveries up to this one that this puller has still were done.
    pub(super) fn acknowledge_up_to(&mut self, key: u64, number: u64, now: Instant) -> Result<(), NeverHad> {
        let Some(at) = self.workers.iter().position(|worker| worker.key == key) else { return Ok(()) };
        let Some(worker) = self.workers.get_mut(at) else { return Ok(()) };
        if number > worker.highest() {
            return Err(NeverHad { number });
        }
        worker.speaks();
        let mut done = 0;
        // Ends: each round looks at others that it has.
        while let Some(worker) = self.workers.get(at) {
            done += self.shelf.release_quickly(worker.has.places_up_to(number, done));
            let Some(place) = worker.has.places_up_to(number, done).next() else { break };
            done += 1;
            self.settle(place, true);
        }
        if let Some(worker) = self.workers.get_mut(at)
            && done > 0
        {
            worker.has.drop_first(done);
            worker.gone = worker.gone.max(number);
            (worker.since, worker.heard) = (now, false);
        }
        Ok(())
    }

    /// A delivery was given back. `false` as in [`acknowledge`](Self::acknowledge).
    pub(super) fn give_back(&mut self, key: u64, number: u64, now: Instant) -> Result<bool, NeverHad> {
        let Some(delivery) = self.take(key, number, now)? else { return Ok(false) };
        self.redeliver(delivery.place as usize, key, true);
        if let Some(kept) = self.shelf.get_mut(delivery.place as usize) {
            kept.rests_until = now.saturating_add(rest_after(kept.deliveries));
        }
        Ok(true)
    }

    /// A delivery is being worked on.
    pub(super) fn begun(&mut self, key: u64, number: u64) -> Result<(), NeverHad> {
        let Some(worker) = self.worker(key) else { return Ok(()) };
        if number > worker.highest() {
            return Err(NeverHad { number });
        }
        worker.speaks();
        if let Some(at) = worker.has.find(number)
            && let Some(delivery) = worker.has.get_mut(at)
        {
            delivery.begun = true;
        }
        Ok(())
    }

    /// A puller leaves: what is above this number it has never taken. It is given nothing more.
    pub(super) fn bye(&mut self, key: u64, last: u64) {
        let Some(worker) = self.worker(key) else { return };
        worker.credit = 0;
        worker.set_most();
        worker.gone = worker.highest();
        let untouched = worker.has.split_off(worker.has.up_to(last));
        for delivery in untouched {
            self.redeliver(delivery.place as usize, 0, false);
        }
    }

    /// A puller is given nothing more, but what it has stays with it.
    pub(super) fn closing(&mut self, key: u64) {
        if let Some(worker) = self.worker(key) {
            worker.credit = 0;
            worker.set_most();
        }
    }

    /// A puller is gone: what it had goes to others. Items that were delivered for the first time may have been what it died
    /// of, and count; of others it says when it begins.
    pub(super) fn gone(&mut self, key: u64) {
        let Some(at) = self.workers.iter().position(|worker| worker.key == key) else { return };
        // As whoever keeps something beside the books for each of them does.
        let worker = self.workers.swap_remove(at);
        self.take_away(key, worker.has.iter());
    }

    /// Takes back what pullers have been silent about for too long.
    pub(super) fn expire(&mut self, now: Instant) {
        let Some(limit) = self.bounds.acknowledge else { return };
        for at in 0..self.workers.len() {
            let Some(worker) = self.workers.get_mut(at) else { return };
            if worker.has.is_empty() || now < worker.since.saturating_add(limit) {
                continue;
            }
            let key = worker.key;
            worker.gone = worker.highest();
            // Whoever goes on with others keeps them.
            let late = if worker.heard {
                worker.has.remove(0).into_iter().collect()
            } else {
                // One that was sent nothing whole has nothing to say: it takes things in again when there is room on the way.
                worker.silent = worker.has.iter().any(|delivery| delivery.whole);
                worker.set_most();
                worker.has.split_off(0)
            };
            (worker.since, worker.heard) = (now, false);
            self.take_away(key, late);
        }
    }

    /// When [`expire`](Self::expire) is to be called next.
    pub(super) fn next_expiry(&self) -> Option<Instant> {
        let limit = self.bounds.acknowledge?;
        let busy = self.workers.iter().filter(|worker| !worker.has.is_empty());
        busy.map(|worker| worker.since.saturating_add(limit)).min()
    }

    /// When an item that [`next`](Self::next) passes over now may go to whoever failed at it.
    pub(super) fn next_rested(&self, now: Instant) -> Option<Instant> {
        let again = self.again.iter().take(MOST_LOOKED_AT).filter_map(|place| self.shelf.get(*place));
        again.map(|kept| kept.rests_until).filter(|until| *until > now).min()
    }

    /// Whether anything depends on the time: pullers may not be silent for ever, or something rests, perhaps.
    #[inline(always)]
    pub(super) fn needs_the_time(&self) -> bool {
        self.bounds.acknowledge.is_some() || !self.again.is_empty()
    }

    /// The oldest dead letter.
    pub(super) fn take_dead(&mut self) -> Option<DeadLetter> {
        let place = self.dead.pop_front()?;
        self.take_out(place)
    }

    /// How many dead letters wait to be taken.
    pub(super) fn dead(&self) -> usize {
        self.dead.len()
    }

    /// Everything that was neither acknowledged nor given up, in the order in which it was pushed. It is forgotten, and so is
    /// who has it.
    pub(super) fn take_unsettled(&mut self) -> Vec<DeadLetter> {
        self.waiting.clear();
        self.again.clear();
        for worker in &mut self.workers {
            worker.gone = worker.highest();
            worker.has.split_off(0);
        }
        let there = self.shelf.places().iter().enumerate().filter(|(_, kept)| kept.is_unsettled());
        let places: Vec<usize> = there.map(|(place, _)| place).collect();
        let mut taken: Vec<DeadLetter> = places.into_iter().filter_map(|place| self.take_out(place)).collect();
        taken.sort_unstable_by_key(|letter| letter.id);
        taken
    }

    /// The id of the item that was pushed last.
    #[inline(always)]
    pub(super) fn latest_id(&self) -> u64 {
        self.shelf.latest_id()
    }

    /// The outcome of the item that was pushed last is to be kept; its id. It was put at this place, and may be over by now.
    pub(super) fn watch_latest(&mut self, place: usize) -> u64 {
        let latest = self.shelf.latest_id();
        if let Some(settled) = self.latest.take() {
            self.outcomes.keep(latest, settled);
        } else if let Some(kept) = self.shelf.get_mut(place).filter(|kept| kept.id == latest) {
            kept.watched = true;
        }
        latest
    }

    /// What became of an item that is watched.
    pub(super) fn outcome(&self, id: u64) -> Option<Settled> {
        self.outcomes.get(id)
    }

    /// Whether the item of this id, which was put in this place, is still unsettled.
    pub(super) fn is_open(&self, id: u64, place: usize) -> bool {
        self.shelf.get(place).is_some_and(|kept| kept.id == id && kept.is_unsettled())
    }

    /// The outcome was taken.
    pub(super) fn forget_outcome(&mut self, id: u64) {
        self.outcomes.forget(id);
    }

    fn take(&mut self, key: u64, number: u64, now: Instant) -> Result<Option<Delivery>, NeverHad> {
        let Some(worker) = self.worker(key) else { return Ok(None) };
        if number > worker.highest() {
            return Err(NeverHad { number });
        }
        worker.speaks();
        let Some(at) = worker.has.find(number) else { return Ok(None) };
        if at == 0 {
            (worker.since, worker.heard) = (now, false);
        }
        worker.gone = worker.gone.max(number);
        Ok(worker.has.remove(at))
    }

    fn take_away(&mut self, key: u64, deliveries: impl IntoIterator<Item = Delivery>) {
        for delivery in deliveries {
            let first = self.shelf.get(delivery.place as usize).is_some_and(|kept| kept.deliveries == 1);
            self.redeliver(delivery.place as usize, key, delivery.whole && (first || delivery.begun));
        }
    }

    /// An item comes back; whether this delivery counts.
    fn redeliver(&mut self, place: usize, avoid: u64, counts: bool) {
        let Some(kept) = self.shelf.get_mut(place) else { return };
        if !counts {
            kept.deliveries = kept.deliveries.saturating_sub(1);
        }
        (kept.avoid, kept.rests_until) = (avoid, Instant::from_nanos(0));
        if kept.deliveries >= self.bounds.deliveries {
            self.settle(place, false);
        } else {
            kept.stage = Stage::Waiting;
            self.again.push_back(place);
        }
    }

    /// An item is done, or nobody could do it.
    #[inline(never)]
    fn settle(&mut self, place: usize, done: bool) {
        let Some(kept) = self.shelf.get_mut(place) else { return };
        let (id, deliveries) = (kept.id, kept.deliveries);
        let settled = if done { Settled::Acknowledged { deliveries } } else { Settled::Dead { deliveries } };
        let watched = kept.watched;
        if done {
            self.shelf.release(place);
        } else {
            kept.stage = Stage::Dead;
            self.dead.push_back(place);
        }
        if watched {
            self.outcomes.keep(id, settled);
        } else if id == self.shelf.latest_id() {
            self.latest = Some(settled);
        }
    }

    fn take_out(&mut self, place: usize) -> Option<DeadLetter> {
        let kept = self.shelf.get_mut(place)?;
        let letter = DeadLetter { bytes: kept.bytes.clone(), deliveries: kept.deliveries, id: kept.id };
        self.shelf.release(place);
        Some(letter)
    }
}

/// How long an item rests that was delivered so often.
fn rest_after(deliveries: u32) -> Duration {
    // Ten doublings are beyond the longest.
    let doublings = deliveries.saturating_sub(1).min(10);
    FIRST_REST.saturating_mul(1 << doublings).min(LONGEST_REST)
}

impl Worker {
    /// Whether it is given items, now or when it has settled some.
    fn takes_items(&self) -> bool {
        !self.silent && self.credit > 0
    }

    fn is_free(&self) -> bool {
        self.has.len() < self.most
    }

    /// Something that it depends on has changed.
    fn set_most(&mut self) {
        self.most = if self.silent || self.full { 0 } else { self.credit };
    }

    /// It is heard.
    fn speaks(&mut self) {
        self.heard = true;
        if self.silent {
            self.silent = false;
            self.set_most();
        }
    }

    /// Numbers above are nothing that it ever had.
    fn highest(&self) -> u64 {
        self.has.last().map_or(self.gone, |latest| latest.number.max(self.gone))
    }
}

#[cfg(test)]
#[path = "books_tests.rs"]
mod tests;
