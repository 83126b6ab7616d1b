//! An item as a worker has it: done when it is acknowledged, and given back otherwise.

use std::fmt;
use std::ops::Deref;

use wharf_shared_memory::log::keep;
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
    /// `None` when it is settled.
    parcel: Option<Box<Parcel>>,
    desk: Desk,
}

/// Memory for an item, and a hold on the desk of its pusher.
pub(super) struct Blank {
    pub(super) parcel: Box<Parcel>,
    pub(super) desk: Desk,
}

/// What an item brings, in one piece of memory: an item is carried from call to call, and two words go in registers.
#[derive(Default)]
pub(super) struct Parcel {
    pub(super) bytes: Vec<u8>,
    pub(super) number: u64,
    /// The how many of its pusher's it is that this puller took.
    pub(super) taken: u64,
    pub(super) deliveries: u32,
    /// Its pusher reads the puller's tally.
    pub(super) by_tally: bool,
}

impl Parcel {
    /// The how many it is of those that were taken, and what came.
    #[inline(always)]
    pub(super) fn fill(&mut self, head: Head, taken: u64, payload: &[u8]) {
        keep(payload, &mut self.bytes);
        (self.number, self.taken) = (head.number, taken);
        (self.deliveries, self.by_tally) = (head.deliveries, head.reads_tally);
    }
}

impl Item {
    #[inline]
    pub(super) fn new(filled: Blank) -> Item {
        Item { parcel: Some(filled.parcel), desk: filled.desk }
    }

    /// Its bytes.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        self.parcel.as_ref().map_or(&[], |parcel| &parcel.bytes)
    }

    /// How often it was delivered, this time included: 1 for an item that nobody had before. Where workers have died it may
    /// count one more than they looked at it.
    pub fn deliveries(&self) -> u32 {
        self.parcel.as_ref().map_or(0, |parcel| parcel.deliveries)
    }

    /// Whose item it is.
    pub fn pusher(&self) -> &Peer {
        // Only an item that is settled, which nobody has any more, is nobody's.
        static NOBODY: Peer = Peer::unmet();
        self.desk.peer().unwrap_or(&NOBODY)
    }

    /// It is done.
    ///
    /// # Errors
    /// [`SendError::Closed`], [`SendError::PeerDied`] when its pusher is known to be gone: nobody will ask for it again.
    /// [`SendError::Forked`].
    #[inline]
    pub fn ack(mut self) -> Result<(), SendError> {
        crash_point!("queue.acknowledge.before");
        match self.parcel.take() {
            Some(parcel) => self.desk.acknowledge(parcel),
            None => Ok(()),
        }
    }

    /// Another worker is to do it; this one, after a rest, where there is no other.
    ///
    /// # Errors
    /// As [`ack`](Self::ack).
    pub fn give_back(mut self) -> Result<(), SendError> {
        self.go_back()
    }

    #[inline(never)]
    fn go_back(&mut self) -> Result<(), SendError> {
        match self.parcel.take() {
            Some(parcel) => self.desk.settle(Kind::GiveBack, parcel),
            None => Ok(()),
        }
    }
}

impl Deref for Item {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        self.bytes()
    }
}

impl Drop for Item {
    fn drop(&mut self) {
        // In a forked child it is the parent's.
        if self.parcel.is_some() && self.desk.is_ours() {
            // A pusher that is gone needs nothing back.
            let _ = self.go_back();
        }
    }
}

impl fmt::Debug for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Item").field("len", &self.len()).field("deliveries", &self.deliveries()).finish()
    }
}
