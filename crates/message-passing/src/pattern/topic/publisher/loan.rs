//! Room in a publisher's log, or beside it, to be filled.

use std::fmt;
use std::io;
use std::ops::{Deref, DerefMut};

use super::Publisher;
use super::outlet::count;
use crate::aligned::AlignedBytes;
use crate::error::SendError;

/// Bytes to fill, lent by [`Publisher::loan`]; [`send`](Self::send) makes them a message, dropping them does not.
#[must_use = "a loan that is dropped sends nothing"]
pub struct PublisherLoan<'a> {
    publisher: &'a mut Publisher,
    in_place: bool,
    len: usize,
}

impl<'a> PublisherLoan<'a> {
    pub(super) fn new(publisher: &'a mut Publisher, in_place: bool, len: usize) -> Result<Self, SendError> {
        if !in_place {
            // Bounded by the message limit, which was checked; kept for the next loan.
            publisher
                .spare
                .grow(len, 0)
                .map_err(|why| SendError::System(io::Error::new(io::ErrorKind::OutOfMemory, why.to_string())))?;
        }
        Ok(Self { publisher, in_place, len })
    }

    /// Whether the bytes lie where the subscribers will read them.
    #[inline]
    pub fn in_place(&self) -> bool {
        self.in_place
    }

    /// Sends the bytes as one message. Bytes in place are published at once, because their room was reserved; others are
    /// sent like any message.
    ///
    /// # Errors
    /// As [`Publisher::send`].
    #[inline]
    pub fn send(mut self) -> Result<(), SendError> {
        if !self.in_place {
            return self.send_private();
        }
        // Not taken back any more when this is dropped.
        self.in_place = false;
        let outlet = &mut self.publisher.outlet;
        outlet.check_ours()?;
        let room = &mut outlet.lent;
        let (sent, sleepers) = outlet.desk.with(|desk| (desk.writer.commit_room(room), desk.writer.must_ring()));
        if !sent {
            // Nothing else takes a loan back while it is there.
            return Err(SendError::System(io::Error::other("the room for this message is not lent any more")));
        }
        count(outlet.registration.counters(), self.len);
        if sleepers { outlet.look_around() } else { Ok(()) }
    }

    fn send_private(&mut self) -> Result<(), SendError> {
        // Taken out for the call, because the publisher is borrowed as a whole; taking moves a pointer only.
        let spare = std::mem::replace(&mut self.publisher.spare, AlignedBytes::empty(0));
        let outcome = self.publisher.send(spare.get(..self.len));
        self.publisher.spare = spare;
        outcome
    }
}

impl Deref for PublisherLoan<'_> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        if self.in_place { &self.publisher.outlet.lent } else { self.publisher.spare.get(..self.len) }
    }
}

impl DerefMut for PublisherLoan<'_> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        if self.in_place { &mut self.publisher.outlet.lent } else { self.publisher.spare.get_mut(..self.len) }
    }
}

impl Drop for PublisherLoan<'_> {
    #[inline]
    fn drop(&mut self) {
        if self.in_place && self.publisher.outlet.check_ours().is_ok() {
            self.publisher.outlet.forget_loan();
        }
    }
}

impl fmt::Debug for PublisherLoan<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PublisherLoan").field("len", &self.len).field("in_place", &self.in_place).finish()
    }
}
