//! What a puller has to say to one pusher: sent at once if there is room, and otherwise kept for the puller's next call.
//!
//! Items hold it, in whatever thread they are worked on: nearly always that of their puller, towards which its lock leans
//! ([`Leaning`]). It never waits; what is kept is bounded by the items that a puller has,
//! which say at most twice something each, and towards a pusher that gives ever more and takes nothing, by a number.

use std::collections::VecDeque;
use std::sync::Arc;

use wharf_shared_memory::biased::{Inside, Leaning};
use wharf_sys::crash_point;
use wharf_sys::fork;

use super::frame::{HEAD_BYTES, Head, Kind};
use super::item::Parcel;
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
    unsent: VecDeque<[u8; HEAD_BYTES]>,
    #[allow(clippy::vec_box, reason = "they are carried on in their boxes")]
    spare: Vec<Box<Parcel>>,
    over: bool,
    /// It is over because the pusher takes nothing.
    deaf: bool,
}

/// See the top of the file.
pub(super) struct Desk {
    way: Leaning<Way>,
    hub: Arc<Hub<News>>,
    peer: Peer,
    epoch: u32,
}

impl Desk {
    pub(super) fn new(sender: Sender, hub: Arc<Hub<News>>) -> Desk {
        let peer = sender.peer().clone();
        let way = Way { sender, unsent: VecDeque::new(), spare: Vec::new(), over: false, deaf: false };
        Desk { way: Leaning::new(way), hub, peer, epoch: fork::epoch() }
    }

    pub(super) fn peer(&self) -> &Peer {
        &self.peer
    }

    pub(super) fn is_ours(&self) -> bool {
        self.epoch == fork::epoch()
    }

    #[inline(always)]
    fn way(&self) -> Result<Inside<'_, Way>, SendError> {
        // Nothing in here sleeps or panics while it is held.
        self.way.enter().map_err(SendError::System)
    }

    /// Says something, without waiting. With it comes the memory of the item that it is about.
    #[inline]
    pub(super) fn say(&self, head: Head, spare: Option<Box<Parcel>>) -> Result<(), SendError> {
        if !self.is_ours() {
            return Err(SendError::Forked);
        }
        let mut way = self.way()?;
        if let Some(spare) = spare
            && spare.bytes.capacity() <= SPARE_BYTES
            && way.spare.len() < MOST_SPARE
        {
            way.spare.push(spare);
        }
        crash_point!("queue.say.before");
        if way.over || !way.unsent.is_empty() {
            return self.keep(&mut way, head);
        }
        match way.sender.send_quickly(&head.words(), &[]) {
            Pushed::Yes => {}
            otherwise => self.say_slowly(&mut way, head, otherwise)?,
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

    /// What takes more than some stores.
    #[cold]
    #[inline(never)]
    fn say_slowly(&self, way: &mut Way, head: Head, so_far: Pushed) -> Result<(), SendError> {
        let said = match so_far {
            Pushed::ToASleeper => way.sender.wake(),
            Pushed::Yes | Pushed::No => way.sender.half.push(&head.write(), &mut 0, Ask::Nothing),
        };
        match said {
            Ok(()) => {
                if way.sender.half.has_rest() {
                    self.hub.wake();
                }
                Ok(())
            }
            Err(SendError::Full) => {
                way.unsent.push_back(head.write());
                self.hub.wake();
                Ok(())
            }
            Err(error) => {
                way.over = true;
                Err(error)
            }
        }
    }

    /// Keeps it, as other words are that come first.
    #[cold]
    fn keep(&self, way: &mut Way, head: Head) -> Result<(), SendError> {
        if way.over {
            return Err(SendError::Closed);
        }
        if way.unsent.len() >= MOST_UNSENT {
            (way.over, way.deaf) = (true, true);
            way.unsent = VecDeque::new();
            // The puller leaves it.
            self.hub.wake();
            return Err(SendError::Closed);
        }
        way.unsent.push_back(head.write());
        Ok(())
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

    /// Memory for the next items.
    #[allow(clippy::vec_box, reason = "they are carried on in their boxes")]
    pub(super) fn take_spare(&self, into: &mut Vec<Box<Parcel>>) {
        if let Ok(mut way) = self.way() {
            into.append(&mut way.spare);
        }
    }
}
