//! What a puller has to say to one pusher: sent at once if there is room, and otherwise kept for the puller's next call.
//!
//! Items hold it, in whatever thread they are worked on: nearly always that of their puller, towards which its lock leans
//! ([`Counted`]). It never waits; what is kept is bounded by the items that a puller has,
//! which say at most twice something each, and towards a pusher that gives ever more and takes nothing, by a number.

use std::collections::VecDeque;
use std::sync::Arc;

use wharf_shared_memory::biased::{Counted, Inside};
use wharf_sys::crash_point;

use super::frame::{HEAD_BYTES, Head, Kind};
use super::item::{Blank, Parcel};
use super::order::Order;
use crate::error::SendError;
use crate::pattern::private_link::{Hub, News};
use crate::peer::Peer;
use crate::sender::Sender;
use crate::transport::Ask;
use crate::transport::log_link::Pushed;

/// Memory of so many items is kept for the next ones, if none of them is larger than this.
const MOST_SPARE: usize = 64;
const SPARE_BYTES: usize = 4096;

/// The most that is kept for one pusher: 1 MiB. One that keeps the rules gives a puller 1,024 items until it hears of the first,
/// so only a program that holds many times as many after its acknowledge deadlines, and settles all of them at once, comes near.
pub(super) const MOST_UNSENT: usize = 65_536;

/// The way to the pusher.
struct Way {
    sender: Sender,
    /// Where its puller is woken.
    hub: Arc<Hub<News>>,
    unsent: VecDeque<[u8; HEAD_BYTES]>,
    #[allow(clippy::vec_box, reason = "they are carried on in their boxes")]
    spare: Vec<Box<Parcel>>,
    order: Order,
    over: bool,
    /// It is over because the pusher takes nothing.
    deaf: bool,
}

/// See the top of the file. Its holders are its puller's end of the link and every item that came by it.
pub(super) struct Desk {
    way: Counted<Peer, Way>,
}

impl Desk {
    pub(super) fn new(sender: Sender, hub: Arc<Hub<News>>) -> Desk {
        let peer = sender.peer().clone();
        let (unsent, spare, order) = (VecDeque::new(), Vec::new(), Order::default());
        let way = Way { sender, hub, unsent, spare, order, over: false, deaf: false };
        Desk { way: Counted::new(peer, way) }
    }

    /// `None` when it was left with the item that was settled.
    pub(super) fn peer(&self) -> Option<&Peer> {
        self.way.shared()
    }

    #[inline(always)]
    pub(super) fn is_ours(&self) -> bool {
        self.way.is_ours()
    }

    #[inline(always)]
    fn way(&self) -> Result<Inside<'_, Way>, SendError> {
        // Nothing in here sleeps or panics while it is held.
        self.way.enter().map_err(SendError::System)
    }

    /// Says that an item is done, without waiting, and takes its memory back.
    ///
    /// It is told as a number beside the messages where everything before it is settled: "all of those up to here of
    /// which no message says anything else". It stands where the pusher finds it also when this process is killed. Messages that were
    /// sent before are found before it, and where some wait for room it waits behind them, as a message.
    #[inline(always)]
    pub(super) fn acknowledge(&mut self, parcel: Box<Parcel>) -> Result<(), SendError> {
        // Left here, and not returned through two results of several words each (docs/performance.md).
        let mut failed = None;
        let mut parcel = Some(parcel);
        // Nothing in here sleeps or panics.
        let told = self.is_ours() && self.way.leave_quickly(|way| way.tell(&mut parcel, &mut failed));
        match parcel {
            Some(parcel) if !told => self.settle(Kind::Acknowledge, parcel),
            _ => failed.map_or(Ok(()), Err),
        }
    }

    /// Says what became of an item, in any order and from any thread; otherwise as [`acknowledge`](Self::acknowledge).
    #[inline(never)]
    pub(super) fn settle(&mut self, kind: Kind, parcel: Box<Parcel>) -> Result<(), SendError> {
        if !self.is_ours() {
            return Err(SendError::Forked);
        }
        let mut said = Ok(());
        // Nothing in here sleeps or panics.
        self.way.leave(|way| said = way.settle(kind, parcel)).map_err(SendError::System)?;
        said
    }

    /// Says something, without waiting.
    pub(super) fn say(&self, head: Head) -> Result<(), SendError> {
        if !self.is_ours() {
            return Err(SendError::Forked);
        }
        self.way()?.say(head)
    }

    /// Sends on what was kept, as far as there is room; whether some is left.
    pub(super) fn flush(&self) -> bool {
        if !self.is_ours() {
            return false;
        }
        // What cannot be looked at may hold something: it is tried again.
        let Ok(mut way) = self.way() else { return true };
        let Way { sender, unsent, over, .. } = &mut *way;
        // Each round sends one, or ends.
        while let Some(message) = unsent.front() {
            match sender.half.push(message, &mut 0, Ask::Nothing) {
                Ok(()) => drop(unsent.pop_front()),
                Err(SendError::Full) => return true,
                Err(_) => {
                    *over = true;
                    unsent.clear();
                }
            }
        }
        sender.half.has_rest() && matches!(sender.half.send_rest(), Err(SendError::Full))
    }

    /// Whether the pusher was given up because it takes nothing of what is said to it.
    pub(super) fn is_deaf(&self) -> bool {
        self.way().is_ok_and(|way| way.deaf)
    }

    /// The pusher is gone.
    pub(super) fn end(&self) {
        if let Ok(mut way) = self.way() {
            way.over = true;
            way.unsent.clear();
        }
    }

    /// Memory for so many of the next items, with a hold on this desk for each: few visits bring many.
    #[cold]
    #[inline(never)]
    pub(super) fn take_blanks(&self, count: usize, into: &mut Vec<Blank>) {
        into.reserve(count);
        // Where nobody may go in any more there are none.
        let _ = self.way.more(count, |way, holder| {
            into.push(Blank { parcel: way.spare.pop().unwrap_or_default(), desk: Desk { way: holder } });
        });
    }
}

impl Way {
    /// Tells that an item is done where nothing else has to be looked at: everything before it is settled, and nothing waits to be
    /// said. Otherwise it does nothing. `failed`: why whoever sleeps was not woken.
    #[inline(always)]
    fn tell(&mut self, parcel: &mut Option<Box<Parcel>>, failed: &mut Option<SendError>) -> bool {
        let Some(it) = parcel.as_ref() else { return false };
        if !it.by_tally || !self.order.is_next(it.taken) || self.over || !self.unsent.is_empty() {
            return false;
        }
        crash_point!("queue.say.before");
        let told = self.sender.tell(it.number);
        if told == Pushed::No {
            return false;
        }
        crash_point!("queue.acknowledge.told");
        self.order.settle_next();
        if let Some(parcel) = parcel.take() {
            self.keep_spare(parcel);
        }
        if told == Pushed::ToASleeper {
            *failed = self.wake_for_what_was_told().err();
        }
        true
    }

    /// Memory for a later item.
    #[inline(always)]
    fn keep_spare(&mut self, parcel: Box<Parcel>) {
        if parcel.bytes.capacity() <= SPARE_BYTES && self.spare.len() < MOST_SPARE {
            self.spare.push(parcel);
        }
    }

    fn settle(&mut self, kind: Kind, parcel: Box<Parcel>) -> Result<(), SendError> {
        let (head, by_tally) = (Head::new(kind, parcel.number), parcel.by_tally);
        let first = self.order.settle(parcel.taken);
        self.keep_spare(parcel);
        if !by_tally || !first || kind != Kind::Acknowledge || self.over || !self.unsent.is_empty() {
            return self.say(head);
        }
        crash_point!("queue.say.before");
        let told = self.sender.tell(head.number);
        if told != Pushed::No {
            crash_point!("queue.acknowledge.told");
        }
        match told {
            Pushed::Yes => Ok(()),
            Pushed::No => self.say(head),
            Pushed::ToASleeper => self.wake_for_what_was_told(),
        }
    }

    fn say(&mut self, head: Head) -> Result<(), SendError> {
        crash_point!("queue.say.before");
        if self.over || !self.unsent.is_empty() {
            return self.keep(head);
        }
        match self.sender.send_quickly(&head.words(), &[]) {
            Pushed::Yes => {}
            otherwise => self.say_slowly(head, otherwise)?,
        }
        match head.kind {
            Kind::Acknowledge => {
                crash_point!("queue.acknowledge.sent");
            }
            Kind::GiveBack => {
                crash_point!("queue.give_back.sent");
            }
            Kind::Begun => {
                crash_point!("queue.begun.sent");
            }
            _ => {}
        }
        Ok(())
    }

    /// A pusher that is gone may not have read it: that is an error, other than with a message that it has had.
    #[cold]
    #[inline(never)]
    fn wake_for_what_was_told(&mut self) -> Result<(), SendError> {
        self.sender.ring().inspect_err(|_| self.over = true)
    }

    /// What takes more than some stores.
    #[cold]
    #[inline(never)]
    fn say_slowly(&mut self, head: Head, so_far: Pushed) -> Result<(), SendError> {
        let said = match so_far {
            Pushed::ToASleeper => self.sender.wake(),
            Pushed::Yes | Pushed::No => self.sender.half.push(&head.write(), &mut 0, Ask::Nothing),
        };
        match said {
            Ok(()) => {
                if self.sender.half.has_rest() {
                    self.hub.wake();
                }
                Ok(())
            }
            Err(SendError::Full) => {
                self.unsent.push_back(head.write());
                self.hub.wake();
                Ok(())
            }
            Err(error) => {
                self.over = true;
                Err(error)
            }
        }
    }

    /// Keeps it, as other words are that come first.
    #[cold]
    fn keep(&mut self, head: Head) -> Result<(), SendError> {
        if self.over {
            return Err(SendError::Closed);
        }
        if self.unsent.len() >= MOST_UNSENT {
            (self.over, self.deaf) = (true, true);
            self.unsent = VecDeque::new();
            // The puller leaves it.
            self.hub.wake();
            return Err(SendError::Closed);
        }
        self.unsent.push_back(head.write());
        Ok(())
    }
}
