//! The giving end of a queue.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use wharf_shared_memory::board::Counter;
use wharf_sys::clock::{Deadline, Instant};
use wharf_sys::crash_point;
use wharf_sys::doorbell::{self, Bell};
use wharf_sys::poll::Found;

use super::Terms;
use super::books::{Books, Bounds, DeadLetter, Settled};
use super::frame::{HEAD_BYTES, Head, Kind};
use crate::address::Address;
use crate::error::{ConnectError, RecvError, SendError};
use crate::handshake::Payload;
use crate::link::Link;
use crate::listener::Listener;
use crate::node::{DEFAULT_PATIENCE, EndpointSpec, Filter, Node, NodeError, Pairing, Part, Pattern, Registration};
use crate::options::Policy;
use crate::pattern::service::guest::CUT_OFF;
use crate::pattern::service::host::{Host, Hub, News};
use crate::pattern::service::rest::{self, Own};
use crate::receiver::Receiver;
use crate::sender::Sender;
use crate::transport::Ask;
use crate::wait::{self, Act, Limit, Pace};
use crate::waits::Waits;

/// The most messages of one puller that are taken in one turn.
const MOST_AT_ONCE: usize = 256;

/// So many pushes go by until pullers are heard, if there is no other reason to.
const PUSHES_PER_LOOK: u32 = 8;

/// A listener is asked after so many pushes, and before every sleep.
const PUSHES_PER_ACCEPT: u32 = 256;

/// An item whose outcome is to be learnt later: [`Pusher::outcome`], [`Pusher::wait`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PushId(u64);

/// The giving end of a queue: each item goes to one of the pullers, and is kept until that one has acknowledged it.
///
/// ```
/// # let private = tempfile::tempdir()?;
/// # let domain = wharf_sys::directory::Domain::at(private.path())?;
/// use wharf_message_passing::{NodeOptions, Settled};
///
/// let node = NodeOptions::new().domain(domain).open()?;
/// let mut puller = node.queue("thumbs").puller()?;
/// let working = std::thread::spawn(move || {
///     let item = puller.recv().unwrap();
///     assert_eq!(item.bytes(), b"cat.png");
///     item.ack().unwrap();
/// });
/// let mut pusher = node.queue("thumbs").pusher()?;
/// let outcome = pusher.push(b"cat.png")?.acked()?;
/// assert_eq!(outcome, Settled::Acknowledged { deliveries: 1 });
/// # working.join().unwrap();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Who moves the items
/// The pusher's calls do: each of them also takes acknowledgements in, gives waiting items out, and gives those of a dead puller
/// to others. No thread does it in between. A program that has pushed everything calls [`flush`](Self::flush), which waits until
/// all of it is done.
///
/// # When full
/// It keeps at most [`most_items`](super::Queue::most_items) items of at most [`most_bytes`](super::Queue::most_bytes)
/// together: those that wait, those that somebody works on, and dead letters. Then a push waits, at most for the queue's
/// [`patience`](super::Queue::patience), or says [`SendError::Full`], as the [`policy`](super::Queue::policy) says. The item
/// was only borrowed and is not pushed then.
///
/// # When a puller dies
/// What it had goes to others, ahead of everything that waits. Items that come back too often are
/// [dead letters](Self::dead_letter).
///
/// # When the pusher dies
/// What waits dies with it. What pullers have received already they can finish; nobody asks for it again. One that leaves in
/// good order can [take back](Self::take_unsettled) what is not done.
pub struct Pusher {
    outlet: Outlet,
    pace: Pace,
}

/// Where pullers come from.
#[allow(clippy::large_enum_variant, reason = "one per pusher")]
enum Door {
    Named(Registration),
    Listening(Listener),
}

/// One puller, as long as anything can come from it.
struct Line {
    key: u64,
    sender: Sender,
    receiver: Receiver,
    pairing: Option<Pairing>,
    /// It takes no more items.
    closing: bool,
    /// An item that is sent in part: nothing else can be sent before.
    begun: Option<Begun>,
}

struct Begun {
    number: u64,
    message: Vec<u8>,
    progress: usize,
}

struct Outlet {
    door: Door,
    lines: Vec<Line>,
    hub: Arc<Hub<News>>,
    bell: Bell,
    books: Books,
    pushes: u32,
    next_key: u64,
    frame: Vec<u8>,
    found: Vec<Found>,
    /// Pullers that were cut off because they broke the rules, and why: the latest.
    cut_off: u64,
    last_cut_off: Option<String>,
    terms: Terms,
}

impl Pusher {
    pub(super) fn open(node: &Node, name: &str, payload: Payload, terms: &Terms) -> Result<Pusher, NodeError> {
        let filter = Filter::exact(name)?;
        let (bell, ringer) = doorbell::crowd().map_err(NodeError::system("make the pusher's doorbell"))?;
        let hub = Arc::new(Hub::new(ringer));
        let host = Host { hub: Arc::clone(&hub), options: terms.options.clone(), name: name.to_owned() };
        let spec = EndpointSpec {
            pattern: Pattern::Queue,
            part: Part::Host,
            name: filter,
            payload: Some(payload),
            options: [
                terms.most_items as u64,
                terms.most_bytes as u64,
                u64::from(terms.most_deliveries),
                terms.options.max_message as u64,
            ],
            patience: DEFAULT_PATIENCE,
        };
        let registration = node.register(spec, Arc::new(host))?;
        crash_point!("queue.pusher.open");
        Ok(Pusher::new(Door::Named(registration), hub, bell, terms))
    }

    pub(super) fn listen(address: &str, payload: Payload, terms: &Terms) -> Result<Pusher, ConnectError> {
        let listener = Listener::open(Address::parse(address)?, terms.options.clone(), payload)?;
        let (bell, ringer) =
            doorbell::crowd().map_err(|error| ConnectError::system("make the pusher's doorbell", error))?;
        Ok(Pusher::new(Door::Listening(listener), Arc::new(Hub::new(ringer)), bell, terms))
    }

    fn new(door: Door, hub: Arc<Hub<News>>, bell: Bell, terms: &Terms) -> Pusher {
        let bounds = Bounds {
            items: terms.most_items,
            bytes: terms.most_bytes,
            deliveries: terms.most_deliveries,
            acknowledge: terms.acknowledge,
        };
        let outlet = Outlet {
            door,
            lines: Vec::new(),
            hub,
            bell,
            books: Books::new(bounds),
            pushes: 0,
            next_key: 0,
            frame: Vec::new(),
            found: Vec::new(),
            cut_off: 0,
            last_cut_off: None,
            terms: terms.clone(),
        };
        Pusher { outlet, pace: Pace::new(terms.options.wait, true, None) }
    }

    /// Pushes an item: gives it to a puller, or keeps it until one is free. Where there is no room it does what the queue's
    /// [policy](super::Queue::policy) says.
    ///
    /// # Errors
    /// [`SendError::Full`] (reject) or [`SendError::Timeout`] (block, after the queue's patience) when there was no room;
    /// [`SendError::TooLarge`]; [`SendError::System`], [`SendError::Forked`].
    pub fn push(&mut self, item: &[u8]) -> Result<Pushed<'_>, SendError> {
        let limit = match self.outlet.terms.options.policy {
            Policy::Block => Some(self.outlet.terms.patience),
            Policy::Reject => None,
        };
        self.push_within(item, limit)
    }

    /// The same; waits for room at most `limit`, whatever the policy.
    ///
    /// # Errors
    /// [`SendError::Timeout`]; otherwise as [`push`](Self::push).
    pub fn push_timeout(&mut self, item: &[u8], limit: Duration) -> Result<Pushed<'_>, SendError> {
        self.push_within(item, Some(Limit::After(limit)))
    }

    /// The same; waits for nothing.
    ///
    /// # Errors
    /// [`SendError::Full`]; otherwise as [`push`](Self::push).
    pub fn try_push(&mut self, item: &[u8]) -> Result<Pushed<'_>, SendError> {
        self.push_within(item, None)
    }

    fn push_within(&mut self, item: &[u8], limit: Option<Limit>) -> Result<Pushed<'_>, SendError> {
        let outlet = &mut self.outlet;
        outlet.check_ours()?;
        let largest = outlet.terms.options.max_message.saturating_sub(HEAD_BYTES);
        if item.len() > largest {
            return Err(SendError::TooLarge { len: item.len(), limit: largest });
        }
        outlet.pushes = outlet.pushes.wrapping_add(1);
        if outlet.pushes.is_multiple_of(PUSHES_PER_ACCEPT) {
            outlet.accept()?;
        }
        if outlet.pushes.is_multiple_of(PUSHES_PER_LOOK) || !outlet.books.anybody_free() || outlet.hub.has_news() {
            outlet.advance();
        }
        if !outlet.books.has_room(item.len()) {
            self.wait_for_room(item.len(), limit)?;
        }
        let outlet = &mut self.outlet;
        let place = outlet.books.add(item);
        outlet.count_push(item.len());
        outlet.give_out();
        Ok(Pushed { pusher: self, place })
    }

    #[cold]
    fn wait_for_room(&mut self, len: usize, limit: Option<Limit>) -> Result<(), SendError> {
        let outlet = &mut self.outlet;
        outlet.accept()?;
        outlet.advance();
        if outlet.books.has_room(len) {
            return Ok(());
        }
        let Some(limit) = limit else {
            outlet.count(Counter::LostRejected, 1);
            return Err(SendError::Full);
        };
        let (began, deadline) = (Instant::now(), limit.start());
        let waited =
            wait::until(&mut self.pace, deadline, |act| outlet.act(act, deadline, |it| it.books.has_room(len)));
        let blocked = u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX);
        outlet.count(Counter::BlockedNanos, blocked);
        match waited? {
            Some(()) => Ok(()),
            None => {
                outlet.count(Counter::LostRejected, 1);
                Err(SendError::Timeout)
            }
        }
    }

    /// Waits until every item is settled: acknowledged, or a dead letter; at most `limit`.
    ///
    /// # Errors
    /// [`SendError::Timeout`] when some are not; [`SendError::System`], [`SendError::Forked`].
    pub fn flush(&mut self, limit: Duration) -> Result<(), SendError> {
        self.wait_until(Limit::After(limit), |it| it.books.unsettled() == 0)
    }

    /// What became of an item; waits for it, at most `limit`. It is told once.
    ///
    /// # Errors
    /// [`SendError::Timeout`] when nothing has yet; [`SendError::Closed`] when it was told before, or taken back;
    /// [`SendError::System`], [`SendError::Forked`].
    pub fn wait(&mut self, item: PushId, limit: Duration) -> Result<Settled, SendError> {
        self.wait_within(item, Limit::After(limit))
    }

    fn wait_within(&mut self, item: PushId, limit: Limit) -> Result<Settled, SendError> {
        self.outlet.check_ours()?;
        if self.outlet.books.outcome(item.0).is_none() && !self.outlet.books.is_open(item.0) {
            return Err(SendError::Closed);
        }
        self.wait_until(limit, |it| it.books.outcome(item.0).is_some())?;
        let outcome = self.outlet.books.outcome(item.0).ok_or(SendError::Timeout)?;
        self.outlet.books.forget_outcome(item.0);
        Ok(outcome)
    }

    /// What has become of an item by now; `None` when it is not settled. It is told once.
    ///
    /// # Errors
    /// As [`wait`](Self::wait).
    pub fn outcome(&mut self, item: PushId) -> Result<Option<Settled>, SendError> {
        match self.wait_within(item, Limit::After(Duration::ZERO)) {
            Ok(settled) => Ok(Some(settled)),
            Err(SendError::Timeout) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn wait_until(&mut self, limit: Limit, mut ready: impl FnMut(&mut Outlet) -> bool) -> Result<(), SendError> {
        let outlet = &mut self.outlet;
        outlet.check_ours()?;
        outlet.accept()?;
        outlet.advance();
        if ready(outlet) {
            return Ok(());
        }
        let deadline = limit.start();
        let waited = wait::until(&mut self.pace, deadline, |act| outlet.act(act, deadline, &mut ready))?;
        waited.ok_or(SendError::Timeout)
    }

    /// The oldest item that was delivered as often as the queue allows and never acknowledged; `None` when there is none.
    ///
    /// # Errors
    /// [`SendError::Forked`], [`SendError::System`].
    pub fn dead_letter(&mut self) -> Result<Option<DeadLetter>, SendError> {
        self.outlet.check_ours()?;
        self.outlet.accept()?;
        self.outlet.advance();
        Ok(self.outlet.books.take_dead())
    }

    /// Takes back every item that is neither acknowledged nor a dead letter, in the order in which they were pushed. Some of
    /// them may be worked on at this moment: what is said of these later is ignored.
    pub fn take_unsettled(&mut self) -> Vec<DeadLetter> {
        if self.outlet.check_ours().is_err() {
            return Vec::new();
        }
        self.outlet.advance();
        self.outlet.books.take_unsettled()
    }

    /// Dead letters that were not taken.
    pub fn dead_letters(&self) -> usize {
        self.outlet.books.dead()
    }

    /// Items that wait for a puller.
    pub fn waiting(&self) -> usize {
        self.outlet.books.waiting()
    }

    /// Items that are neither acknowledged nor dead letters: those that wait, and those that pullers have.
    pub fn unsettled(&self) -> usize {
        self.outlet.books.unsettled()
    }

    /// How many pullers it has now.
    pub fn pullers(&mut self) -> usize {
        if self.outlet.check_ours().is_err() {
            return 0;
        }
        // What comes to light here is told by the next call that pushes.
        let _ = self.outlet.accept();
        self.outlet.advance();
        self.outlet.lines.iter().filter(|line| !line.closing).count()
    }

    /// How many pullers were cut off because they broke the rules, and why the latest was.
    pub fn cut_off(&self) -> (u64, Option<&str>) {
        (self.outlet.cut_off, self.outlet.last_cut_off.as_deref())
    }

    /// The address at which it listens; `None` when it is met by name.
    pub fn address(&self) -> Option<&Address> {
        match &self.outlet.door {
            Door::Named(_) => None,
            Door::Listening(listener) => Some(listener.address()),
        }
    }
}

impl Outlet {
    fn check_ours(&self) -> Result<(), SendError> {
        match self.bell.as_fd() {
            Ok(_) => Ok(()),
            Err(_) => Err(SendError::Forked),
        }
    }

    fn count(&self, counter: Counter, more: u64) {
        if let Door::Named(registration) = &self.door {
            registration.counters().add(counter, more);
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

    /// One step of waiting for `ready`.
    fn act(
        &mut self,
        act: Act,
        deadline: Option<Deadline>,
        mut ready: impl FnMut(&mut Self) -> bool,
    ) -> Result<Option<()>, SendError> {
        match act {
            Act::Try => {}
            Act::Look => {
                self.lines.iter_mut().for_each(|line| line.receiver.look_at_peer());
                self.accept()?;
            }
            Act::Sleep => {
                self.sleep(deadline).map_err(SendError::System)?;
                self.accept()?;
            }
        }
        self.advance();
        Ok(ready(self).then_some(()))
    }

    /// Takes in everybody who has connected.
    fn accept(&mut self) -> Result<(), SendError> {
        // Bounded by those who wait at this moment, of whom a listener keeps so many.
        for _ in 0..1024 {
            let Door::Listening(listener) = &mut self.door else { return Ok(()) };
            match listener.try_accept() {
                Ok(link) => self.add(link, None),
                Err(ConnectError::NobodyWaiting) => break,
                Err(error) => return Err(SendError::System(io::Error::other(error.to_string()))),
            }
        }
        Ok(())
    }

    fn add(&mut self, link: Link, pairing: Option<Pairing>) {
        let (sender, receiver) = link.split();
        self.next_key += 1;
        let key = self.next_key;
        self.books.join(key);
        let (theirs, ours) = (sender.max_message(), self.terms.options.max_message);
        self.lines.push(Line { key, sender, receiver, pairing, closing: false, begun: None });
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
    fn advance(&mut self) {
        self.hear();
        // Backwards: one that is lost is replaced by one that was looked at.
        for at in (0..self.lines.len()).rev() {
            self.receive(at);
        }
        if self.books.has_deadline() {
            self.books.expire(Instant::now());
        }
        self.books.rooms_may_be();
        for at in 0..self.lines.len() {
            self.go_on(at);
        }
        self.give_out();
        if let Door::Named(registration) = &self.door {
            registration.counters().set(Counter::Depth, self.books.len() as u64);
        }
    }

    fn now(&self) -> Instant {
        // Only whoever has a deadline looks at the clock.
        if self.books.has_deadline() { Instant::now() } else { Instant::from_nanos(0) }
    }

    /// What one puller has to say.
    fn receive(&mut self, at: usize) {
        let now = self.now();
        for _ in 0..MOST_AT_ONCE {
            let Some(line) = self.lines.get_mut(at) else { return };
            let frame = match line.receiver.poll_frame() {
                Ok(Some(frame)) => frame,
                Ok(None) => return,
                Err(RecvError::Closed | RecvError::PeerDied) => return self.lose(at),
                Err(error) => return self.cut(at, error.to_string()),
            };
            let message = line.receiver.view(frame);
            let (key, books) = (line.key, &mut self.books);
            let said = match Head::read(&message) {
                Ok((Head { kind, number, .. }, _)) => match kind {
                    Kind::Acknowledge => books.acknowledge(key, number, now).map(drop),
                    Kind::GiveBack => books.give_back(key, number, now).map(drop),
                    Kind::Begun => books.begun(key, number),
                    Kind::Credit => {
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
                return self.cut(at, format!("it speaks of delivery {}, which it never had", never.number));
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

    /// A puller has broken the rules.
    fn cut(&mut self, at: usize, why: String) {
        if let Some(pairing) = self.lines.get(at).and_then(|line| line.pairing.as_ref()) {
            // One that is gone does not hear it, and needs not.
            let _ = pairing.tell(CUT_OFF, why.as_bytes(), Vec::new());
        }
        self.cut_off += 1;
        self.last_cut_off = Some(why);
        self.lose(at);
    }

    /// Sends on what was sent to one puller in part.
    fn go_on(&mut self, at: usize) {
        let Some(line) = self.lines.get_mut(at) else { return };
        if let Some(begun) = &mut line.begun {
            if !self.books.has(line.key, begun.number) {
                // It goes to another; this one never sees it.
                line.sender.half.abort();
                line.begun = None;
                return;
            }
            match line.sender.half.push(&begun.message, &mut begun.progress, Ask::Nothing) {
                Ok(()) => line.begun = None,
                Err(SendError::Full) => self.books.no_room(line.key),
                Err(_) => self.close(at),
            }
        } else if line.sender.half.has_rest() {
            // What is left of it is sent by a later turn.
            let _ = line.sender.half.send_rest();
        }
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

    /// Gives waiting items to whoever is free, as far as there is room on the way.
    fn give_out(&mut self) {
        // Each round gives one out, or finds one puller less.
        while let Some((place, key)) = self.books.next() {
            let Some(at) = self.lines.iter().position(|line| line.key == key) else { return };
            let (Some(line), Some((number, deliveries, bytes))) = (self.lines.get_mut(at), self.books.draft(place))
            else {
                return;
            };
            self.frame.clear();
            self.frame.extend_from_slice(&Head { kind: Kind::Item, deliveries, number }.write());
            self.frame.extend_from_slice(bytes);
            if deliveries > 1 {
                crash_point!("queue.redeliver.before");
            }
            crash_point!("queue.assign.before");
            let mut progress = 0;
            match line.sender.half.push(&self.frame, &mut progress, Ask::Nothing) {
                Ok(()) => {
                    let now = self.now();
                    self.books.assign(place, key, now);
                    crash_point!("queue.assign.sent");
                    if deliveries > 1 {
                        crash_point!("queue.redeliver.sent");
                    }
                }
                Err(SendError::Full) if progress > 0 => {
                    line.begun = Some(Begun { number, message: self.frame.clone(), progress });
                    let now = self.now();
                    self.books.assign(place, key, now);
                    self.books.no_room(key);
                }
                Err(SendError::Full) => self.books.no_room(key),
                Err(_) => self.close(at),
            }
        }
    }

    fn sleep(&mut self, deadline: Option<Deadline>) -> io::Result<()> {
        let (waiting, next) = (self.books.waiting() > 0, self.books.next_len());
        let deadline = Deadline::earlier(deadline, self.books.next_expiry().map(Deadline::at));
        let mut own = Own { bell: &self.bell, rung: self.hub.has_news() };
        let mut rooms = Vec::new();
        let mut ends: Vec<&mut dyn Waits> = Vec::with_capacity(2 * self.lines.len() + 2);
        ends.push(&mut own);
        if let Door::Listening(listener) = &mut self.door {
            ends.push(listener);
        }
        for line in &mut self.lines {
            // Where nobody waits for room there is some, and one that has closed has it for ever.
            let full = waiting && self.books.is_full(line.key);
            if !line.closing && (full || line.begun.is_some() || line.sender.half.has_rest()) {
                let len = line.begun.as_ref().map_or(HEAD_BYTES + next, |begun| begun.message.len());
                rooms.push(line.sender.room(len));
            }
            ends.push(&mut line.receiver);
        }
        ends.extend(rooms.iter_mut().map(|room| room as &mut dyn Waits));
        crash_point!("queue.pusher.sleep");
        let slept = rest::sleep(&mut ends, deadline, &mut self.found);
        if let Door::Named(registration) = &self.door {
            registration.counters().add(Counter::Sleeps, 1);
        }
        slept
    }
}

impl fmt::Debug for Pusher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Pusher");
        shown.field("pullers", &self.outlet.lines.len()).field("unsettled", &self.outlet.books.unsettled());
        shown.finish_non_exhaustive()
    }
}

/// An item that was pushed. Dropping it changes nothing; it can be asked what becomes of the item.
pub struct Pushed<'a> {
    pusher: &'a mut Pusher,
    place: usize,
}

impl Pushed<'_> {
    /// Waits until the item is settled, for ever.
    ///
    /// # Errors
    /// [`SendError::System`], [`SendError::Forked`].
    pub fn acked(self) -> Result<Settled, SendError> {
        let id = PushId(self.pusher.outlet.books.watch(self.place));
        self.pusher.wait_within(id, Limit::Never)
    }

    /// Waits until the item is settled, at most `limit`; later [`Pusher::wait`] can still learn it by the id.
    ///
    /// # Errors
    /// [`SendError::Timeout`] when it is not settled by then: it stays in the queue. Otherwise as [`acked`](Self::acked).
    pub fn acked_timeout(self, limit: Duration) -> Result<Settled, SendError> {
        let id = PushId(self.pusher.outlet.books.watch(self.place));
        self.pusher.wait_within(id, Limit::After(limit))
    }

    /// By which to learn later what became of it. The outcomes of the latest 65,536 items of which an id was taken are kept.
    pub fn id(self) -> PushId {
        PushId(self.pusher.outlet.books.watch(self.place))
    }
}

impl fmt::Debug for Pushed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pushed").finish_non_exhaustive()
    }
}
