//! What a pusher's calls and its mover move: takes pullers in, hears what they say, gives items out, and sleeps for all of them.

mod giving;

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use wharf_shared_memory::board::Counter;
use wharf_shared_memory::log::Quick;
use wharf_sys::clock::{Deadline, Instant};
use wharf_sys::crash_point;
use wharf_sys::doorbell::Bell;
use wharf_sys::poll::Found;

use super::Terms;
use super::books::{Books, Bounds, Settled};
use super::frame::{HEAD_BYTES, Head, Kind, MOST_IN_SHORT};
use super::host::News;
use super::pusher::PushId;
use crate::error::{RecvError, SendError};
use crate::link::Link;
use crate::node::{Pairing, Registration};
use crate::pattern::private_link::entrance::Entrance;
use crate::pattern::private_link::rest::{self, Own};
use crate::pattern::private_link::{CUT_OFF, Hub};
use crate::receiver::Receiver;
use crate::rhythm::Rhythm;
use crate::sender::Sender;
use crate::wait::{self, Act, Limit, Pace};
use crate::waits::{Announced, Glance, Waits};

/// The most messages of one puller that are taken in one turn.
const MOST_AT_ONCE: usize = 256;

/// So many pushes go by until pullers are heard, if there is no other reason to: an eighth of what pullers take at a time, so that
/// the pusher knows well enough who has the least, and within these bounds. A look takes the line with the latest words away from
/// the puller that writes there; one that comes late finds many of them in lines that he is done with (docs/performance.md).
const FEWEST_PUSHES_PER_LOOK: u64 = 8;
const MOST_PUSHES_PER_LOOK: u64 = 64;

/// While nobody is free, so many of the items that pullers have stand for one push that goes by until they are heard. They are
/// busy meanwhile.
const ITEMS_PER_PUSH_UNHEARD: usize = 8;

/// So many looks see no more than a quick one does until the next sees everything.
const MOST_QUICK_LOOKS: u32 = 64;

/// Where pullers come from.
#[allow(clippy::large_enum_variant, reason = "one per pusher")]
pub(super) enum Door {
    Named(Registration),
    Listening(Entrance),
}

/// One puller, as long as anything can come from it.
struct Line {
    key: u64,
    sender: Sender,
    receiver: Receiver,
    pairing: Option<Pairing>,
    /// It takes no more items.
    closing: bool,
    /// What it tells beside its messages, as it was read last: it has done everything up to this delivery of which no message says
    /// anything else. `None` where there is no place for that.
    tally: Option<u64>,
    /// Up to this number it takes deliveries with a short header.
    short_up_to: u64,
    /// An item that is sent in part: nothing else can be sent before.
    begun: Option<Begun>,
}

struct Begun {
    number: u64,
    message: Vec<u8>,
    progress: usize,
}

/// The time, by a call.
#[inline(never)]
fn now() -> Instant {
    Instant::now()
}

impl Line {
    /// The header of an item for this puller.
    #[inline(always)]
    fn head(&self, deliveries: u32, number: u64) -> Head {
        Head::item(self.tally.is_some(), deliveries, number)
    }
}

/// See the top of the file.
pub(super) struct Outlet {
    pub(super) door: Door,
    lines: Vec<Line>,
    hub: Arc<Hub<News>>,
    bell: Bell,
    pub(super) books: Books,
    /// The most bytes of an item.
    largest_item: usize,
    /// Until so many items, and so many bytes of them, have come, there is nothing to do before a push.
    quick_items: u64,
    quick_bytes: u64,
    /// How many items had come when pullers were heard last, and after how many more they are heard again: at the latest, and while
    /// nobody is free.
    heard_at: u64,
    /// Quick looks since they were looked at thoroughly.
    quick_looks: u32,
    most_unheard: u64,
    most_unheard_while_busy: u64,
    /// What is still to be counted on the board, which is done whenever pullers are heard: what came before that is counted already,
    /// and the largest item and the most items since.
    counted: u64,
    counted_bytes: u64,
    largest: usize,
    deepest: usize,
    /// Whether pushes that find no room come as a stream, and how long the next one stands back.
    rhythm: Rhythm,
    next_key: u64,
    frame: Vec<u8>,
    found: Vec<Found>,
    /// Pullers that were cut off, and why: the latest.
    pub(super) cut_off: u64,
    pub(super) last_cut_off: Option<String>,
    /// Held as long as a call of the program waits.
    pub(super) lasting: Arc<Mutex<()>>,
    terms: Terms,
}

impl Outlet {
    pub(super) fn new(door: Door, hub: Arc<Hub<News>>, bell: Bell, terms: &Terms) -> Outlet {
        let bounds = Bounds {
            items: terms.most_items,
            bytes: terms.most_bytes,
            deliveries: terms.most_deliveries,
            acknowledge: terms.acknowledge,
        };
        Outlet {
            door,
            lines: Vec::new(),
            hub,
            bell,
            books: Books::new(bounds),
            largest_item: terms.options.max_message.saturating_sub(HEAD_BYTES),
            quick_items: 0,
            quick_bytes: 0,
            heard_at: 0,
            quick_looks: 0,
            most_unheard: FEWEST_PUSHES_PER_LOOK,
            most_unheard_while_busy: 0,
            counted: 0,
            counted_bytes: 0,
            largest: 0,
            deepest: 0,
            rhythm: Rhythm::new(),
            next_key: 0,
            frame: Vec::new(),
            found: Vec::new(),
            cut_off: 0,
            last_cut_off: None,
            lasting: Arc::default(),
            terms: terms.clone(),
        }
    }

    pub(super) fn wait_for(&mut self, item: PushId, pace: &mut Pace, limit: Limit) -> Result<Settled, SendError> {
        let PushId { id, place } = item;
        if self.books.outcome(id).is_none() && !self.books.is_open(id, place) {
            return Err(SendError::Closed);
        }
        self.wait_until(pace, limit, |it| it.books.outcome(id).is_some())?;
        let outcome = self.books.outcome(id).ok_or(SendError::NotSettled)?;
        self.books.forget_outcome(id);
        Ok(outcome)
    }

    pub(super) fn wait_until(
        &mut self,
        pace: &mut Pace,
        limit: Limit,
        ready: impl Fn(&Self) -> bool,
    ) -> Result<(), SendError> {
        self.tend();
        if ready(self) {
            return Ok(());
        }
        let deadline = limit.start();
        let lasting = Arc::clone(&self.lasting);
        let _lasting = lasting.lock().unwrap_or_else(PoisonError::into_inner);
        wait::until(pace, deadline, |act| self.act(act, deadline, &ready))?.ok_or(SendError::NotSettled)
    }

    /// Whoever has connected comes in, and everything is done that can be without waiting.
    pub(super) fn tend(&mut self) {
        self.accept();
        self.advance();
    }

    /// Whether nothing can happen before the program's next call that is this pusher's to do.
    pub(super) fn may_rest(&self) -> bool {
        // By name the node meets pullers meanwhile; at an address nobody else does.
        self.is_done() && matches!(self.door, Door::Named(_))
    }

    /// Pullers that take items.
    pub(super) fn pullers(&self) -> usize {
        self.lines.iter().filter(|line| !line.closing).count()
    }

    /// Whether everything is settled.
    pub(super) fn is_done(&self) -> bool {
        self.books.unsettled() == 0
    }

    fn count(&self, counter: Counter, more: u64) {
        if let Door::Named(registration) = &self.door {
            registration.counters().add(counter, more);
        }
    }

    /// One step of waiting for `ready`.
    fn act(
        &mut self,
        act: Act,
        deadline: Option<Deadline>,
        ready: impl Fn(&Self) -> bool,
    ) -> Result<Option<()>, SendError> {
        match act {
            Act::Try => {
                self.advance_quickly();
                return Ok(ready(self).then_some(()));
            }
            Act::Look => {
                self.lines.iter_mut().for_each(|line| line.receiver.look_at_peer());
                self.accept();
            }
            Act::Sleep => {
                self.sleep(deadline).map_err(SendError::System)?;
                self.accept();
            }
        }
        self.advance();
        Ok(ready(self).then_some(()))
    }

    /// Takes in everybody who has connected.
    fn accept(&mut self) {
        // Bounded by those who wait at this moment, of whom a listener keeps so many.
        for _ in 0..1024 {
            let Door::Listening(entrance) = &mut self.door else { return };
            let Some(link) = entrance.take(self.lines.len()) else { return };
            self.add(link, None);
        }
    }

    fn add(&mut self, link: Link, pairing: Option<Pairing>) {
        let (sender, mut receiver) = link.split();
        let tally = receiver.tally().map(|_| 0);
        if let Some(tally) = tally {
            receiver.heed(tally);
        }
        self.next_key += 1;
        let key = self.next_key;
        self.books.join(key);
        let (theirs, ours) = (sender.max_message(), self.terms.options.max_message);
        self.lines.push(Line { key, sender, receiver, pairing, closing: false, tally, short_up_to: 0, begun: None });
        if theirs < ours {
            let why = format!(
                "expected a puller for items of up to {ours} bytes with their headers, found one for up to {theirs}"
            );
            self.cut(self.lines.len() - 1, why);
        }
    }

    /// Takes in who has come, and leaves who has gone.
    fn hear(&mut self) {
        if !self.hub.has_news() {
            return;
        }
        for news in self.hub.take() {
            match news {
                News::Joined(pairing, link) => self.add(*link, Some(pairing)),
                News::Left(pairing) => {
                    let left = |it: &&mut Line| it.pairing.as_ref().is_some_and(|its| its.id() == pairing);
                    if let Some(line) = self.lines.iter_mut().find(left) {
                        // Its link says what it has done before, and how it ended.
                        line.closing = true;
                        line.receiver.look_at_peer();
                        self.books.closing(line.key);
                    }
                }
            }
        }
    }

    /// Everything that can be done without waiting.
    pub(super) fn advance(&mut self) {
        self.quick_looks = 0;
        self.hear();
        // Backwards: one that is lost is replaced by one that was looked at.
        for at in (0..self.lines.len()).rev() {
            self.receive(at, true);
        }
        self.go_on_with_all();
    }

    /// The same, for those who come by often: of those that have nothing to say it is not asked whether they are there.
    fn advance_quickly(&mut self) {
        self.quick_looks += 1;
        if self.quick_looks >= MOST_QUICK_LOOKS {
            return self.advance();
        }
        self.hear();
        // Backwards, as above.
        for at in (0..self.lines.len()).rev() {
            self.receive(at, false);
        }
        self.go_on_with_all();
    }

    fn go_on_with_all(&mut self) {
        self.books.expire(self.now());
        self.books.rooms_may_be();
        for at in 0..self.lines.len() {
            self.go_on(at);
        }
        self.give_out();
        self.count_pushes();
        self.heard_at = self.books.latest_id();
        let credits = self.books.credits() as u64 / 8;
        self.most_unheard = credits.clamp(FEWEST_PUSHES_PER_LOOK, MOST_PUSHES_PER_LOOK);
        let busy = (self.books.in_hand() / ITEMS_PER_PUSH_UNHEARD) as u64;
        self.most_unheard_while_busy = busy.min(FEWEST_PUSHES_PER_LOOK);
    }

    /// Counts on the board what was pushed since the last time.
    fn count_pushes(&mut self) {
        let Door::Named(registration) = &self.door else { return };
        let (counters, (ids, bytes)) = (registration.counters(), (self.books.latest_id(), self.books.bytes_in()));
        counters.add(Counter::SentMessages, ids - self.counted);
        counters.add(Counter::SentBytes, bytes - self.counted_bytes);
        counters.raise(Counter::Largest, self.largest as u64);
        counters.raise(Counter::Deepest, self.deepest as u64);
        counters.set(Counter::Depth, self.books.len() as u64);
        (self.counted, self.counted_bytes) = (ids, bytes);
    }

    #[inline(always)]
    fn now(&self) -> Instant {
        // Without need nobody looks at the clock.
        if self.books.needs_the_time() { now() } else { Instant::from_nanos(0) }
    }

    /// What one puller has to say. `thoroughly`: what is not seen at once is looked for, its end too.
    fn receive(&mut self, at: usize, thoroughly: bool) {
        let now = self.now();
        // Before the messages: all that were sent before it are found, and heard before it counts.
        let Some(tally) = self.lines.get_mut(at).map(|line| line.receiver.tally()) else { return };
        crash_point!("queue.tally.read");
        for _ in 0..MOST_AT_ONCE {
            let Some(line) = self.lines.get_mut(at) else { return };
            let message = match line.receiver.glimpse() {
                Quick::Message => line.receiver.found_in_place(),
                Quick::Nothing if !thoroughly => {
                    self.count_up(at, tally, now);
                    return;
                }
                Quick::Nothing | Quick::Unusual => match line.receiver.poll_frame() {
                    Ok(Some(frame)) => line.receiver.view(frame),
                    Ok(None) => {
                        self.count_up(at, tally, now);
                        return;
                    }
                    Err(RecvError::Closed | RecvError::PeerDied) => {
                        // It may have told more between our look and its end.
                        let tally = line.receiver.tally();
                        if self.count_up(at, tally, now) {
                            self.lose(at);
                        }
                        return;
                    }
                    Err(error) => return self.cut(at, error.to_string()),
                },
            };
            let (key, books) = (line.key, &mut self.books);
            let said = match Head::read(&message) {
                Ok((Head { kind, number, takes_short, .. }, _)) => match kind {
                    Kind::Acknowledge => books.acknowledge(key, number, now).map(drop),
                    // Its rest begins now, whether or not anything has needed the time before.
                    Kind::GiveBack => books.give_back(key, number, Instant::now()).map(drop),
                    Kind::Begun => books.begun(key, number),
                    Kind::Credit => {
                        line.short_up_to = if takes_short { MOST_IN_SHORT } else { 0 };
                        if !line.closing {
                            books.credit(key, number);
                        }
                        Ok(())
                    }
                    Kind::Bye => {
                        line.closing = true;
                        books.bye(key, number);
                        Ok(())
                    }
                    Kind::Item => return self.cut(at, "expected what a puller says, found an item".to_owned()),
                },
                Err(why) => return self.cut(at, why),
            };
            crash_point!("queue.answer.heard");
            if let Err(never) = said {
                return self.cut(at, never.words());
            }
        }
    }

    /// What one puller told beside its messages, before those that were all heard by now. `false`: it is cut off.
    #[inline]
    fn count_up(&mut self, at: usize, told: Option<u64>, now: Instant) -> bool {
        let Some(line) = self.lines.get_mut(at) else { return false };
        let (Some(told), Some(before)) = (told, line.tally) else { return true };
        if told == before {
            return true;
        }
        line.tally = Some(told);
        line.receiver.heed(told);
        let said = match told > before {
            true => self.books.acknowledge_up_to(line.key, told, now).map_err(|never| never.words()),
            false => Err(format!("it takes back that it has done what it was given up to delivery {before}")),
        };
        crash_point!("queue.tally.heard");
        match said {
            Ok(()) => true,
            Err(why) => {
                self.cut(at, why);
                false
            }
        }
    }

    /// A puller is gone.
    fn lose(&mut self, at: usize) {
        if at < self.lines.len() {
            let line = self.lines.swap_remove(at);
            self.books.gone(line.key);
            if let (Door::Named(registration), Some(pairing)) = (&self.door, &line.pairing) {
                registration.cut_off(pairing.id());
            }
        }
    }

    /// A puller has broken the rules, or the system refuses to wake it.
    fn cut(&mut self, at: usize, why: String) {
        if let Some(pairing) = self.lines.get(at).and_then(|line| line.pairing.as_ref()) {
            // One that is gone does not hear it, and needs not.
            let _ = pairing.tell(CUT_OFF, why.as_bytes(), Vec::new());
        }
        self.cut_off += 1;
        self.last_cut_off = Some(why);
        self.lose(at);
    }

    /// Nothing more can be sent to a puller; its link says how it ended.
    fn close(&mut self, at: usize) {
        if let Some(line) = self.lines.get_mut(at) {
            line.closing = true;
            line.begun = None;
            line.receiver.look_at_peer();
            self.books.closing(line.key);
        }
    }

    pub(super) fn sleep(&mut self, deadline: Option<Deadline>) -> io::Result<()> {
        let (waiting, next) = (self.books.waiting() > 0, self.books.next_len());
        let due = [self.books.next_expiry(), self.books.next_rested(self.now())].into_iter().flatten().min();
        let mut deadline = Deadline::earlier(deadline, due.map(Deadline::at));
        let mut own = Own { bell: &self.bell, rung: self.hub.has_news() };
        let mut announced = Announced::default();
        let (mut rooms, mut quiet) = (Vec::new(), Vec::new());
        let mut ends: Vec<&mut dyn Waits> = Vec::with_capacity(self.lines.len() + 2);
        ends.push(&mut own);
        if let Door::Listening(entrance) = &mut self.door {
            match entrance.rest() {
                Ok(listener) => ends.push(listener),
                Err(until) => deadline = Deadline::earlier(deadline, Some(until)),
            }
        }
        for line in &mut self.lines {
            // Where nobody waits for room there is some, and one that has closed has it for ever.
            let full = waiting && self.books.is_full(line.key);
            if !line.closing && (full || line.begun.is_some() || line.sender.half.has_rest()) {
                let len = line.begun.as_ref().map_or(HEAD_BYTES + next, |begun| begun.message.len());
                rooms.push(line.sender.room(len));
            }
            // A puller that is trusted rings at our bell, and that it is gone is told by the node.
            if line.receiver.rests_elsewhere() && !line.closing {
                announced = announced.and(line.receiver.announce());
                quiet.push(&mut line.receiver);
            } else {
                ends.push(&mut line.receiver);
            }
        }
        ends.extend(rooms.iter_mut().map(|room| room as &mut dyn Waits));
        crash_point!("queue.pusher.sleep");
        let mut glance = || quiet.iter_mut().any(|receiver| receiver.glance() == Glance::Ready);
        let slept = rest::sleep(&mut ends, &mut announced, &mut glance, deadline, &mut self.found);
        quiet.iter_mut().for_each(|receiver| receiver.awake());
        if let Door::Named(registration) = &self.door {
            registration.counters().add(Counter::Sleeps, 1);
        }
        slept
    }
}
