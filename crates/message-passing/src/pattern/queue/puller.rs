//! The working end of a queue.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use wharf_shared_memory::board::Counter;
use wharf_shared_memory::log::Quick;
use wharf_sys::clock::Deadline;
use wharf_sys::crash_point;
use wharf_sys::doorbell::{self, Bell};
use wharf_sys::poll::Found;

use super::Terms;
use super::desk::{Desk, MOST_UNSENT};
use super::frame::{Head, Kind};
use super::item::{Blank, Item};
use super::waits::Set;
use crate::address::Address;
use crate::error::{ConnectError, RecvError};
use crate::handshake::{Payload, Purpose};
use crate::link::Link;
use crate::meet;
use crate::node::{DEFAULT_PATIENCE, EndpointSpec, Filter, Node, NodeError, PairingId, Part, Pattern, Registration};
use crate::pattern::private_link::rest::{self, Own};
use crate::pattern::private_link::{Guest, News};
use crate::pattern::private_link::{Hub, Rota};
use crate::receiver::Receiver;
use crate::transport::Frame;
use crate::wait::{self, Act, Limit, Pace};
use crate::waits::{Announced, Glance, Waits};

/// Whoever has something to say to a pusher that has no room for it looks again after this long.
pub(super) const LOOK: Duration = Duration::from_millis(2);

/// So many looks in vain in a row are quick ones until the next sees everything.
const MOST_DRY: u32 = 64;

/// Memory for so many items of one pusher is made ready at a time.
const BLANKS_AT_ONCE: usize = 16;

/// The working end of a queue: takes items of any number of pushers, by turns.
///
/// # When full
/// It is given no more than its [prefetch](super::Queue::prefetch) before it settles the first of them.
///
/// # When a pusher dies
/// What it had sent is received still; acknowledging it says that the pusher is gone. By name the others go on, and over an
/// address the next call says [`RecvError::PeerDied`], or [`RecvError::Closed`] when it has left in good order.
///
/// # When the puller dies
/// Everything that it had goes to other pullers. One that is dropped gives back what it has not received; what was received
/// stays with whoever holds the [`Item`].
pub struct Puller {
    pub(super) inlet: Inlet,
    pub(super) pace: Pace,
}

/// Where pushers come from.
enum Meeting {
    Named(Registration),
    Connected,
}

/// One pusher, as long as anything can come from it.
pub(super) struct Source {
    /// Never used twice.
    pub(super) key: u64,
    pub(super) receiver: Receiver,
    desk: Desk,
    /// Memory for the next items.
    blanks: Vec<Blank>,
    pairing: Option<PairingId>,
    /// The latest delivery that was taken, and the how many it was.
    last: u64,
    taken: u64,
    /// It is gone, and what it has sent can still be received.
    pub(super) left: bool,
}

pub(super) struct Inlet {
    meeting: Meeting,
    pub(super) sources: Vec<Source>,
    pub(super) hub: Arc<Hub<News>>,
    pub(super) bell: Bell,
    /// An item that was found when nobody had asked for it yet.
    pub(super) owed: Option<Item>,
    /// For whoever waits for this puller beside other things.
    pub(super) set: Option<Set>,
    next_key: u64,
    rota: Rota,
    turn: Vec<usize>,
    pub(super) found: Vec<Found>,
    /// Something is kept for some pusher.
    pub(super) unsent: bool,
    /// Quick looks in vain since the last other one; 0 when something was there.
    dry: u32,
    /// How the one pusher of an address ended, until it is told.
    ended: Option<RecvError>,
    /// Pushers that were left because they broke the rules, or that have cut this puller off, and why: the latest.
    lost: u64,
    last_lost: Option<String>,
    terms: Terms,
}

impl Puller {
    pub(super) fn open(node: &Node, name: &str, payload: Payload, terms: &Terms) -> Result<Puller, NodeError> {
        let filter = Filter::exact(name)?;
        let (bell, ringer) = doorbell::crowd().map_err(NodeError::system("make the puller's doorbell"))?;
        let hub = Arc::new(Hub::new(ringer));
        let guest = Guest::new(Arc::clone(&hub), terms.options.clone(), name.to_owned());
        let spec = EndpointSpec {
            pattern: Pattern::Queue,
            part: Part::Guest,
            name: filter,
            payload: Some(payload),
            options: [u64::from(terms.prefetch), terms.options.max_message as u64, 0, 0],
            apart: None,
            patience: DEFAULT_PATIENCE,
        };
        let registration = node.register(spec, Arc::new(guest))?;
        crash_point!("queue.puller.open");
        Ok(Puller::new(Meeting::Named(registration), hub, bell, terms))
    }

    pub(super) fn connect(
        address: &str,
        payload: Payload,
        terms: &Terms,
        limit: Option<Duration>,
    ) -> Result<Puller, ConnectError> {
        let address = Address::parse(address)?;
        let options = &terms.options;
        let link = meet::connect(
            &address,
            options,
            Purpose::Pulling,
            payload,
            limit.unwrap_or(options.handshake_timeout),
            limit.is_some(),
        )?;
        let (bell, ringer) =
            doorbell::crowd().map_err(|error| ConnectError::system("make the puller's doorbell", error))?;
        let mut puller = Puller::new(Meeting::Connected, Arc::new(Hub::new(ringer)), bell, terms);
        puller.inlet.add(link, None);
        Ok(puller)
    }

    fn new(meeting: Meeting, hub: Arc<Hub<News>>, bell: Bell, terms: &Terms) -> Puller {
        let inlet = Inlet {
            meeting,
            sources: Vec::new(),
            hub,
            bell,
            owed: None,
            set: None,
            next_key: 0,
            rota: Rota::default(),
            turn: Vec::new(),
            found: Vec::new(),
            unsent: false,
            dry: 0,
            ended: None,
            lost: 0,
            last_lost: None,
            terms: terms.clone(),
        };
        Puller { inlet, pace: Pace::new(terms.options.wait, true, None) }
    }

    /// Receives the next item; waits for it.
    ///
    /// # Errors
    /// Over an address: [`RecvError::Closed`] or [`RecvError::PeerDied`] when its pusher is gone and everything was received.
    /// [`RecvError::System`] when the system refuses something, [`RecvError::Forked`].
    pub fn recv(&mut self) -> Result<Item, RecvError> {
        self.recv_within(Limit::Never)
    }

    /// Receives the next item; waits for it, at most `limit`.
    ///
    /// # Errors
    /// [`RecvError::Timeout`] when none came in time; otherwise as [`recv`](Self::recv).
    pub fn recv_timeout(&mut self, limit: Duration) -> Result<Item, RecvError> {
        self.recv_within(Limit::After(limit))
    }

    /// Receives the next item if there is one now.
    ///
    /// # Errors
    /// [`RecvError::Empty`] when there is none; otherwise as [`recv`](Self::recv).
    #[inline]
    pub fn try_recv(&mut self) -> Result<Item, RecvError> {
        match self.inlet.glimpse() {
            Some(item) => Ok(item),
            None => self.inlet.try_slowly(),
        }
    }

    fn recv_within(&mut self, limit: Limit) -> Result<Item, RecvError> {
        let inlet = &mut self.inlet;
        inlet.check_ours()?;
        if let Some(item) = inlet.look_quickly(self.pace.quick_tries()) {
            return Ok(item);
        }
        if let Some(item) = inlet.look()? {
            return Ok(item);
        }
        let deadline = limit.start();
        let found = wait::until(&mut self.pace, deadline, |act| match act {
            Act::Try => inlet.look(),
            Act::Look => {
                inlet.sources.iter_mut().for_each(|source| source.receiver.look_at_peer());
                inlet.look_at_all()
            }
            Act::Sleep => {
                inlet.sleep(deadline)?;
                inlet.look_at_all()
            }
        });
        found?.ok_or(RecvError::Timeout)
    }

    /// How many pushers it has now.
    pub fn pushers(&mut self) -> usize {
        if self.inlet.check_ours().is_ok() {
            self.inlet.hear();
        }
        self.inlet.sources.iter().filter(|source| !source.left).count()
    }

    /// How many pushers it has lost because they broke the rules or have cut it off, and why the latest was.
    pub fn lost(&self) -> (u64, Option<&str>) {
        (self.inlet.lost, self.inlet.last_lost.as_deref())
    }
}

impl Inlet {
    pub(super) fn check_ours(&self) -> Result<(), RecvError> {
        match self.bell.as_fd() {
            Ok(_) => Ok(()),
            Err(_) => Err(RecvError::Forked),
        }
    }

    fn add(&mut self, link: Link, pairing: Option<PairingId>) {
        let (sender, receiver) = link.split();
        let desk = Desk::new(sender, Arc::clone(&self.hub));
        // One that is gone already is found out by the next look.
        let _ = desk.say(Head::new(Kind::Credit, u64::from(self.terms.prefetch)));
        self.next_key += 1;
        let (key, blanks) = (self.next_key, Vec::new());
        self.sources.push(Source { key, receiver, desk, blanks, pairing, last: 0, taken: 0, left: false });
    }

    /// Takes in who has come.
    pub(super) fn hear(&mut self) {
        if !self.hub.has_news() {
            return;
        }
        for news in self.hub.take() {
            match news {
                News::Joined { pairing, link, .. } => self.add(*link, Some(pairing.id())),
                News::Left(pairing) => {
                    if let Some(source) = self.sources.iter_mut().find(|it| it.pairing == Some(pairing)) {
                        // Its link says what it has sent before, and how it ended.
                        source.left = true;
                        source.receiver.look_at_peer();
                    }
                }
                News::CutOff(pairing, why) => {
                    if let Some(at) = self.sources.iter().position(|it| it.pairing == Some(pairing)) {
                        self.lose(at, Some(format!("a pusher has cut this puller off: {why}")), RecvError::Closed);
                    }
                }
            }
        }
        self.flush();
    }

    pub(super) fn flush(&mut self) {
        self.unsent = false;
        // Backwards: one that is lost is replaced by one that was looked at.
        for at in (0..self.sources.len()).rev() {
            let Some(source) = self.sources.get(at) else { continue };
            self.unsent |= source.desk.flush();
            if source.desk.is_deaf() {
                let why = format!("a pusher takes nothing of what is said to it, and {MOST_UNSENT} words waited");
                self.lose(at, Some(why), RecvError::Closed);
            }
        }
    }

    /// A pusher is gone.
    fn lose(&mut self, at: usize, why: Option<String>, how: RecvError) {
        self.set = None;
        if at < self.sources.len() {
            let source = self.sources.swap_remove(at);
            source.desk.end();
            self.rota.removed(at, self.sources.len());
            if let (Meeting::Named(registration), Some(pairing)) = (&self.meeting, source.pairing) {
                registration.cut_off(pairing);
            }
        }
        if why.is_some() {
            self.lost += 1;
            self.last_lost = why;
        }
        if matches!(self.meeting, Meeting::Connected) {
            self.ended = Some(how);
        }
    }

    /// One turn: looks at some of the pushers.
    fn look(&mut self) -> Result<Option<Item>, RecvError> {
        if self.owed.is_some() {
            return Ok(self.owed.take());
        }
        if self.hub.has_news() {
            self.hear();
        } else if self.unsent {
            self.flush();
        }
        let mut turn = std::mem::take(&mut self.turn);
        self.rota.turn(self.sources.len(), &mut turn);
        let found = turn.iter().find_map(|at| self.look_at(*at));
        self.turn = turn;
        self.or_end(found)
    }

    /// Looks at every pusher.
    pub(super) fn look_at_all(&mut self) -> Result<Option<Item>, RecvError> {
        let first = self.look()?;
        if first.is_some() {
            return Ok(first);
        }
        // Backwards: one that is lost is replaced by one that was looked at.
        let found = (0..self.sources.len()).rev().find_map(|at| self.look_at(at));
        self.or_end(found)
    }

    fn or_end(&mut self, found: Option<Item>) -> Result<Option<Item>, RecvError> {
        match (&found, &self.ended) {
            (None, Some(RecvError::PeerDied)) => Err(RecvError::PeerDied),
            (None, Some(_)) => Err(RecvError::Closed),
            _ => Ok(found),
        }
    }

    /// The one pusher, where there is one and nothing else has to be looked at before it.
    #[inline(always)]
    fn only_source(&mut self) -> Option<&mut Source> {
        if self.owed.is_some() || self.unsent || self.hub.has_news() {
            return None;
        }
        match &mut self.sources[..] {
            [source] => Some(source),
            _ => None,
        }
    }

    /// Looks for an item in a few instructions, `again` times once more.
    #[inline]
    fn look_quickly(&mut self, again: u32) -> Option<Item> {
        match self.only_source()?.receiver.found_quickly(again) {
            true => self.open_found(),
            false => None,
        }
    }

    /// The same for those who come by often. It is one call, which answers in registers. `None`:
    /// [`try_slowly`](Self::try_slowly) says why.
    #[inline(never)]
    fn glimpse(&mut self) -> Option<Item> {
        let looked = self.only_source().map_or(Quick::Unusual, |source| source.receiver.glimpse());
        if looked == Quick::Message {
            if self.dry != 0 {
                self.dry = 0;
            }
            return self.open_found();
        }
        // By name the node says that a pusher is gone. The first look in vain tells the pusher what was taken.
        let quick = looked == Quick::Nothing && (1..MOST_DRY).contains(&self.dry);
        self.dry = if quick && matches!(self.meeting, Meeting::Named(_)) { self.dry + 1 } else { 0 };
        None
    }

    /// Behind a glimpse that brought nothing: looks in earnest, unless that was one of those that do.
    #[inline(never)]
    fn try_slowly(&mut self) -> Result<Item, RecvError> {
        if self.dry > 0 {
            return Err(RecvError::Empty);
        }
        self.dry = 1;
        self.check_ours()?;
        self.look_at_all()?.ok_or(RecvError::Empty)
    }

    /// The item in what a quick look at the one pusher has found.
    #[inline(always)]
    fn open_found(&mut self) -> Option<Item> {
        let source = self.sources.first_mut()?;
        let message = source.receiver.found_in_place();
        if let Some((head, payload)) = Head::read_short_item(&message)
            && head.number > source.last
            && let Some(mut blank) = source.blanks.pop()
        {
            (source.last, source.taken) = (head.number, source.taken + 1);
            blank.parcel.fill(head, source.taken, payload);
            return Some(self.take(blank));
        }
        self.open(0, None)
    }

    /// The next item of one pusher.
    fn look_at(&mut self, at: usize) -> Option<Item> {
        match self.sources.get_mut(at)?.receiver.poll_frame() {
            Ok(Some(frame)) => return self.open(at, Some(frame)),
            Ok(None) => {}
            Err(error @ (RecvError::Closed | RecvError::PeerDied)) => self.lose(at, None, error),
            Err(error) => self.lose(at, Some(error.to_string()), RecvError::Closed),
        }
        None
    }

    /// The item in what was found, in this frame or by a quick look.
    #[inline(never)]
    fn open(&mut self, at: usize, frame: Option<Frame>) -> Option<Item> {
        let source = self.sources.get_mut(at)?;
        let message = match frame {
            Some(frame) => source.receiver.view(frame),
            None => source.receiver.found_in_place(),
        };
        match Head::read(&message) {
            Ok((head @ Head { kind: Kind::Item, .. }, payload)) if head.number > source.last => {
                if source.blanks.is_empty() {
                    source.desk.take_blanks(BLANKS_AT_ONCE, &mut source.blanks);
                }
                let Some(mut blank) = source.blanks.pop() else {
                    let why = "the system has taken back the barrier that it had promised".to_owned();
                    self.lose(at, Some(why), RecvError::Closed);
                    return None;
                };
                (source.last, source.taken) = (head.number, source.taken + 1);
                blank.parcel.fill(head, source.taken, payload);
                self.rota.found(at);
                Some(self.take(blank))
            }
            head => {
                let why = match head {
                    Ok((Head { kind: Kind::Item, number, .. }, _)) => {
                        format!("expected an item with a number above {}, found {number}", source.last)
                    }
                    Ok((Head { kind, .. }, _)) => format!("expected an item, found {kind:?}"),
                    Err(why) => why,
                };
                self.lose(at, Some(format!("a pusher breaks the protocol: {why}")), RecvError::Closed);
                None
            }
        }
    }

    #[inline(always)]
    fn take(&mut self, blank: Blank) -> Item {
        crash_point!("queue.item.taken");
        if let Meeting::Named(registration) = &self.meeting {
            let (counters, len) = (registration.counters(), blank.parcel.bytes.len() as u64);
            counters.add(Counter::ReceivedMessages, 1);
            counters.add(Counter::ReceivedBytes, len);
            counters.raise(Counter::Largest, len);
        }
        if blank.parcel.deliveries > 1 {
            // Of an item that may have been somebody's death it is to be known that it is worked on.
            let _ = blank.desk.say(Head::new(Kind::Begun, blank.parcel.number));
        }
        Item::new(blank)
    }

    fn sleep(&mut self, deadline: Option<Deadline>) -> Result<(), RecvError> {
        let mut own = Own { bell: &self.bell, rung: self.hub.has_news() };
        // Items are settled in other threads meanwhile, so the ways back are not held while it sleeps.
        let look = self.unsent.then(|| Deadline::after(LOOK));
        let mut announced = Announced::default();
        let mut quiet = Vec::new();
        let mut ends: Vec<&mut dyn Waits> = Vec::with_capacity(2);
        ends.push(&mut own);
        for source in &mut self.sources {
            // A pusher that is trusted rings at our bell, and that it is gone is told by the node; of one that leaves the end of
            // the link is still to come.
            if source.receiver.rests_elsewhere() && !source.left {
                announced = announced.and(source.receiver.announce());
                quiet.push(&mut source.receiver);
            } else {
                ends.push(&mut source.receiver);
            }
        }
        crash_point!("queue.puller.sleep");
        let mut glance = || quiet.iter_mut().any(|receiver| receiver.glance() == Glance::Ready);
        let deadline = Deadline::earlier(deadline, look);
        let slept = rest::sleep(&mut ends, &mut announced, &mut glance, deadline, &mut self.found);
        quiet.iter_mut().for_each(|receiver| receiver.awake());
        if let Meeting::Named(registration) = &self.meeting {
            registration.counters().add(Counter::Sleeps, 1);
        }
        slept.map_err(RecvError::System)
    }
}

impl Drop for Puller {
    fn drop(&mut self) {
        if self.inlet.check_ours().is_err() {
            return;
        }
        for source in &self.inlet.sources {
            source.desk.flush();
            // One that hears nothing sees the end of the link when the last of its items is settled.
            let _ = source.desk.say(Head::new(Kind::Bye, source.last));
        }
        crash_point!("queue.puller.closed");
    }
}

impl fmt::Debug for Puller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Puller").field("pushers", &self.inlet.sources.len()).finish_non_exhaustive()
    }
}
