//! The giving end of a queue.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use wharf_sys::crash_point;
use wharf_sys::doorbell::{self, Bell};

use super::Terms;
use super::books::{DeadLetter, Settled};
use super::host::{Host, News};
use super::mover::Mover;
use super::outlet::{Door, Outlet};
use crate::address::Address;
use crate::error::{ConnectError, SendError};
use crate::handshake::{Payload, Purpose};
use crate::listener::Listener;
use crate::node::{DEFAULT_PATIENCE, EndpointSpec, Filter, Node, NodeError, Part, Pattern};
use crate::pattern::private_link::Hub;
use crate::pattern::private_link::entrance::Entrance;
use crate::wait::{Limit, Pace};

/// An item whose outcome is to be learnt later: [`Pusher::outcome`], [`Pusher::wait`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PushId {
    pub(super) id: u64,
    /// Where it lies in the books.
    pub(super) place: usize,
}

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
/// to others. While the program calls nothing for longer than a millisecond, and something is not done, a thread of the pusher
/// does. So a program that has pushed can turn to other things; one that leaves calls [`flush`](Self::flush) before.
///
/// # When full
/// It keeps at most [`most_items`](super::Queue::most_items) items of at most [`most_bytes`](super::Queue::most_bytes)
/// together: those that wait, those that somebody works on, and dead letters. Then a push waits, at most for the queue's
/// [`patience`](super::Queue::patience), or says [`SendError::Full`], as the [`policy`](super::Queue::policy) says. The item
/// was only borrowed and is not pushed then. Where all that it keeps are dead letters nobody but the program makes room, by
/// [taking](Self::dead_letter) them: then no push waits.
///
/// # When a puller dies
/// What it had goes to others, ahead of everything that waits. Items that come back too often are
/// [dead letters](Self::dead_letter).
///
/// # When a puller fails
/// What it gives back, or drops, goes to others as well. Only where there is no other it has it again, after a rest: 1 ms, twice as
/// long after each further delivery, 1 s at most. What waits behind it goes out meanwhile.
///
/// # When the pusher dies
/// What waits dies with it. What pullers have received already they can finish; nobody asks for it again. One that leaves in
/// good order can [take back](Self::take_unsettled) what is not done.
pub struct Pusher {
    // Before the rest: it ends first.
    mover: Mover,
    pace: Pace,
    /// Why the last push failed, until it is told.
    failed: Option<SendError>,
    address: Option<Address>,
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
            apart: None,
            patience: DEFAULT_PATIENCE,
        };
        let registration = node.register(spec, Arc::new(host))?;
        crash_point!("queue.pusher.open");
        Pusher::new(Door::Named(registration), hub, bell, terms).map_err(NodeError::system("start the pusher's thread"))
    }

    pub(super) fn listen(address: &str, payload: Payload, terms: &Terms) -> Result<Pusher, ConnectError> {
        let listener = Listener::open(Address::parse(address)?, terms.options.clone(), Purpose::Pushing, payload)?;
        // A transport may carry less than was asked for, as message queues do. What no puller can take is no item.
        let mut terms = terms.clone();
        terms.options.max_message = listener.max_message();
        let (bell, ringer) =
            doorbell::crowd().map_err(|error| ConnectError::system("make the pusher's doorbell", error))?;
        let entrance = Entrance::new(listener, terms.most_pullers);
        Pusher::new(Door::Listening(entrance), Arc::new(Hub::new(ringer)), bell, &terms)
            .map_err(|error| ConnectError::system("start the pusher's thread", error))
    }

    fn new(door: Door, hub: Arc<Hub<News>>, bell: Bell, terms: &Terms) -> io::Result<Pusher> {
        let address = match &door {
            Door::Named(_) => None,
            Door::Listening(entrance) => Some(entrance.address().clone()),
        };
        let outlet = Outlet::new(door, Arc::clone(&hub), bell, terms);
        let mover = Mover::start(outlet, hub)?;
        Ok(Pusher { mover, pace: Pace::new(terms.options.wait, true, None), failed: None, address })
    }

    /// Pushes an item: gives it to a puller, or keeps it until one is free. Where there is no room it does what the queue's
    /// [policy](super::Queue::policy) says.
    ///
    /// # Errors
    /// [`SendError::Full`] (reject) or [`SendError::Timeout`] (block, after the queue's patience) when there was no room;
    /// [`SendError::Full`] also when there is none because of dead letters alone: take them.
    /// [`SendError::TooLarge`]; [`SendError::System`], [`SendError::Forked`].
    #[inline]
    pub fn push(&mut self, item: &[u8]) -> Result<Pushed<'_>, SendError> {
        self.push_within(item, None)
    }

    /// The same; waits for room at most `limit`, whatever the policy.
    ///
    /// # Errors
    /// [`SendError::Timeout`]; otherwise as [`push`](Self::push), where [`SendError::Full`] is because of dead letters alone.
    pub fn push_timeout(&mut self, item: &[u8], limit: Duration) -> Result<Pushed<'_>, SendError> {
        self.push_within(item, Some(Some(Limit::After(limit))))
    }

    /// The same; waits for nothing.
    ///
    /// # Errors
    /// [`SendError::Full`]; otherwise as [`push`](Self::push).
    pub fn try_push(&mut self, item: &[u8]) -> Result<Pushed<'_>, SendError> {
        self.push_within(item, Some(None))
    }

    /// `limit` says whether and how long to wait for room; without one the policy does.
    #[inline(always)]
    fn push_within(&mut self, item: &[u8], limit: Option<Option<Limit>>) -> Result<Pushed<'_>, SendError> {
        match self.pushed(item, limit) {
            Some(place) => Ok(Pushed { mover: &mut self.mover, pace: &mut self.pace, place }),
            None => Err(self.failed.take().unwrap_or(SendError::Closed)),
        }
    }

    /// The same; says where the item lies in the books, or leaves the error in this pusher: two words go in registers, where a result
    /// is put together in memory (docs/performance.md).
    #[inline(never)]
    fn pushed(&mut self, item: &[u8], limit: Option<Option<Limit>>) -> Option<usize> {
        let late = self.mover.is_late();
        let ready = match self.mover.enter() {
            Ok(mut outlet) => {
                let ready = match late || !outlet.is_ready(item.len()) {
                    true => outlet.get_ready(item.len(), limit, &mut self.pace, late),
                    false => Ok(()),
                };
                if ready.is_ok() {
                    return Some(outlet.push(item));
                }
                ready
            }
            Err(error) => Err(error),
        };
        self.failed = ready.err();
        None
    }

    /// Waits until every item is settled: acknowledged, or a dead letter; at most `limit`.
    ///
    /// # Errors
    /// [`SendError::NotSettled`] when some are not; [`SendError::System`], [`SendError::Forked`].
    pub fn flush(&mut self, limit: Duration) -> Result<(), SendError> {
        let mut outlet = self.mover.enter()?;
        outlet.wait_until(&mut self.pace, Limit::After(limit), Outlet::is_done)
    }

    /// What became of an item; waits for it, at most `limit`. It is told once.
    ///
    /// # Errors
    /// [`SendError::NotSettled`] when nothing has yet; [`SendError::Closed`] when it was told before, or taken back;
    /// [`SendError::System`], [`SendError::Forked`].
    pub fn wait(&mut self, item: PushId, limit: Duration) -> Result<Settled, SendError> {
        let mut outlet = self.mover.enter()?;
        outlet.wait_for(item, &mut self.pace, Limit::After(limit))
    }

    /// What has become of an item by now; `None` when it is not settled. It is told once.
    ///
    /// # Errors
    /// As [`wait`](Self::wait).
    pub fn outcome(&mut self, item: PushId) -> Result<Option<Settled>, SendError> {
        match self.wait(item, Duration::ZERO) {
            Ok(settled) => Ok(Some(settled)),
            Err(SendError::NotSettled) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The oldest item that was delivered as often as the queue allows and never acknowledged; `None` when there is none.
    ///
    /// # Errors
    /// [`SendError::Forked`], [`SendError::System`].
    pub fn dead_letter(&mut self) -> Result<Option<DeadLetter>, SendError> {
        let mut outlet = self.mover.enter()?;
        outlet.tend();
        Ok(outlet.books.take_dead())
    }

    /// Takes back every item that is neither acknowledged nor a dead letter, in the order in which they were pushed. Some of
    /// them may be worked on at this moment: what is said of these later is ignored.
    ///
    /// # Errors
    /// [`SendError::Forked`].
    pub fn take_unsettled(&mut self) -> Result<Vec<DeadLetter>, SendError> {
        let mut outlet = self.mover.enter()?;
        outlet.advance();
        Ok(outlet.books.take_unsettled())
    }

    /// Dead letters that were not taken.
    pub fn dead_letters(&self) -> usize {
        self.mover.look(|outlet| outlet.books.dead()).unwrap_or(0)
    }

    /// Items that wait for a puller.
    pub fn waiting(&self) -> usize {
        self.mover.look(|outlet| outlet.books.waiting()).unwrap_or(0)
    }

    /// Items that are neither acknowledged nor dead letters: those that wait, and those that pullers have.
    pub fn unsettled(&self) -> usize {
        self.mover.look(|outlet| outlet.books.unsettled()).unwrap_or(0)
    }

    /// How many pullers it has now.
    pub fn pullers(&mut self) -> usize {
        let Ok(mut outlet) = self.mover.enter() else { return 0 };
        outlet.tend();
        outlet.pullers()
    }

    /// How many pullers were cut off because they broke the rules, or because the system refused to wake them, and why the latest was.
    pub fn cut_off(&self) -> (u64, Option<String>) {
        self.mover.look(|outlet| (outlet.cut_off, outlet.last_cut_off.clone())).unwrap_or((0, None))
    }

    /// How many that connected to the address were refused or could not be taken in; and who they were and why, as far as that is
    /// remembered, which is at least of the latest 64, the last one last. They did not fit, more than
    /// [`most_pullers](super::Queue::most_pullers) would have been there, or the system had no descriptor or memory for one.
    /// Nobody who is there already notices; after what the system refuses nobody comes in for up to 100 ms. None where it is met by
    /// name.
    pub fn refused(&self) -> (u64, Vec<String>) {
        let refused = self.mover.look(|outlet| match &outlet.door {
            Door::Named(_) => (0, Vec::new()),
            Door::Listening(entrance) => entrance.refused(),
        });
        refused.unwrap_or_default()
    }

    /// As if it had delivered so many before.
    #[cfg(test)]
    pub(super) fn go_on_behind(&mut self, number: u64) {
        self.mover.enter().unwrap().books.go_on_behind(number);
    }

    /// The address at which it listens; `None` when it is met by name.
    pub fn address(&self) -> Option<&Address> {
        self.address.as_ref()
    }
}

impl fmt::Debug for Pusher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pusher").field("address", &self.address).finish_non_exhaustive()
    }
}

/// An item that was pushed. Dropping it changes nothing, and neither does keeping it: the queue moves. It can be asked what becomes
/// of the item, which is the one that was pushed last as long as this is there.
pub struct Pushed<'a> {
    mover: &'a mut Mover,
    pace: &'a mut Pace,
    /// Where it was put.
    place: usize,
}

impl Pushed<'_> {
    /// Waits until the item is settled, for ever.
    ///
    /// # Errors
    /// [`SendError::System`], [`SendError::Forked`].
    pub fn acked(self) -> Result<Settled, SendError> {
        self.wait(Limit::Never)
    }

    /// Waits until the item is settled, at most `limit`.
    ///
    /// # Errors
    /// [`SendError::NotSettled`] when it is not settled by then: it stays in the queue, and nobody learns what becomes of it; who
    /// wants to takes its [`id`](Self::id). Otherwise as [`acked`](Self::acked).
    pub fn acked_timeout(self, limit: Duration) -> Result<Settled, SendError> {
        self.wait(Limit::After(limit))
    }

    fn wait(self, limit: Limit) -> Result<Settled, SendError> {
        let mut outlet = self.mover.enter()?;
        let (id, place) = (outlet.books.watch_latest(self.place), self.place);
        outlet.wait_for(PushId { id, place }, self.pace, limit)
    }

    /// By which to learn later what became of it. The outcomes of the latest 65,536 items of which an id was taken are kept.
    pub fn id(self) -> PushId {
        let place = self.place;
        match self.mover.enter() {
            Ok(mut outlet) => PushId { id: outlet.books.watch_latest(place), place },
            // In a forked child nobody learns it, and no item has this number.
            Err(_) => PushId { id: 0, place },
        }
    }
}

impl fmt::Debug for Pushed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pushed").finish_non_exhaustive()
    }
}
