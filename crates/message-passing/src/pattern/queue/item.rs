//! An item as a worker has it: done when it is acknowledged, and given back otherwise.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use wharf_sys::crash_point;

use super::desk::Desk;
use super::frame::{Head, Kind};
use crate::error::SendError;
use crate::peer::Peer;

/// One item of a queue, which this worker alone has now.
///
/// [`ack`](Self::ack) says that it is done. One that is dropped otherwise, in a panic too, is given back, and goes to another
/// worker. It can be carried to another thread, and several can be held at once ([prefetch](super::Queue::prefetch)).
///
/// # At least once
/// A worker that dies after it has done the work and before it has acknowledged leaves an item that another one does again.
/// What is acknowledged after the queue's [acknowledge deadline](super::Queue::acknowledge_within) was given to another in the
/// meantime: then the late acknowledgement is ignored, and both have done it.
#[must_use = "an item that is dropped is given back"]
pub struct Item {
    bytes: Vec<u8>,
    number: u64,
    deliveries: u32,
    desk: Arc<Desk>,
    settled: bool,
}

impl Item {
    pub(super) fn new(bytes: Vec<u8>, number: u64, deliveries: u32, desk: Arc<Desk>) -> Item {
        Item { bytes, number, deliveries, desk, settled: false }
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// How often it was delivered, this time included: 1 for an item that nobody had before. Where workers have died it may
    /// count one more than they looked at it.
    pub fn deliveries(&self) -> u32 {
        self.deliveries
    }

    /// Whose item it is.
    pub fn pusher(&self) -> &Peer {
        self.desk.peer()
    }

    /// It is done.
    ///
    /// # Errors
    /// [`SendError::Closed`], [`SendError::PeerDied`] when its pusher is known to be gone: nobody will ask for it again.
    /// [`SendError::Forked`].
    pub fn ack(mut self) -> Result<(), SendError> {
        crash_point!("queue.acknowledge.before");
        self.say(Kind::Acknowledge)
    }

    /// Another worker is to do it; this one, after a rest, where there is no other.
    ///
    /// # Errors
    /// As [`ack`](Self::ack).
    pub fn give_back(mut self) -> Result<(), SendError> {
        self.say(Kind::GiveBack)
    }

    fn say(&mut self, kind: Kind) -> Result<(), SendError> {
        self.settled = true;
        self.desk.say(Head::new(kind, self.number), std::mem::take(&mut self.bytes))
    }
}

impl Deref for Item {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Item {
    fn drop(&mut self) {
        // In a forked child it is the parent's.
        if !self.settled && self.desk.is_ours() {
            // A pusher that is gone needs nothing back.
            let _ = self.say(Kind::GiveBack);
        }
    }
}

impl fmt::Debug for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Item").field("len", &self.bytes.len()).field("deliveries", &self.deliveries).finish()
    }
}
