//! Room for a message that is filled first and sent afterwards.

use std::ops::{Deref, DerefMut};

use crate::aligned::AlignedBytes;
use crate::error::SendError;
use crate::sender::Sender;
use crate::transport::Room;

/// Bytes to fill, lent by [`Sender::loan`]; [`send`](Self::send) makes them a message, dropping them does not.
#[must_use = "a loan that is dropped sends nothing"]
pub struct Loan<'a> {
    sender: &'a mut Sender,
    /// `None` once it is sent, or when the bytes lie in the sender's private buffer.
    room: Option<Room>,
    len: usize,
}

impl<'a> Loan<'a> {
    /// A loan of room in place; without one it is the sender's private buffer, which is large enough.
    #[inline(always)]
    pub(crate) fn new(sender: &'a mut Sender, room: Option<Room>, len: usize) -> Self {
        Self { sender, room, len }
    }

    /// Whether the bytes lie where the peer will read them.
    #[inline]
    pub fn in_place(&self) -> bool {
        self.room.is_some()
    }

    /// Sends the bytes as one message.
    ///
    /// Bytes in place are published at once, because their room was reserved. Bytes in a private buffer are sent
    /// like any other message, which may wait for room.
    ///
    /// # Errors
    /// As [`Sender::send`].
    #[inline(always)]
    pub fn send(mut self) -> Result<(), SendError> {
        match self.room.take() {
            Some(room) => self.sender.send_lent(room),
            None => self.with_private(Sender::send),
        }
    }

    /// Sends the bytes as one message if that is possible without waiting; gives the loan back if not.
    ///
    /// # Errors
    /// As [`Sender::try_send`], together with the loan. It has the bytes that were to be sent: in a private buffer where they lay in place
    /// and their receiver was gone, or could not be woken. (Without memory for that buffer it is empty.)
    pub fn try_send(mut self) -> Result<(), (SendError, Loan<'a>)> {
        let outcome = match self.room.take() {
            Some(room) => self.send_or_keep(room),
            None => self.with_private(Sender::try_send),
        };
        outcome.map_err(|error| (error, self))
    }

    fn send_or_keep(&mut self, room: Room) -> Result<(), SendError> {
        let Sender { half, spare, .. } = &mut *self.sender;
        half.commit_or_keep(room, spare).map_err(|(error, room)| {
            self.room = room;
            if self.room.is_none() {
                self.len = self.len.min(spare.len());
            }
            error
        })
    }

    fn with_private(
        &mut self,
        send: impl FnOnce(&mut Sender, &[u8]) -> Result<(), SendError>,
    ) -> Result<(), SendError> {
        // Taken out for the call, because the sender is borrowed as a whole; taking moves a pointer only.
        let spare = std::mem::replace(&mut self.sender.spare, AlignedBytes::empty(0));
        let outcome = send(self.sender, spare.get(..self.len));
        self.sender.spare = spare;
        outcome
    }
}

impl Deref for Loan<'_> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match &self.room {
            Some(room) => self.sender.half.loaned(room),
            None => self.sender.spare.get(..self.len),
        }
    }
}

impl DerefMut for Loan<'_> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        match &self.room {
            Some(room) => self.sender.half.loaned_mut(room),
            None => self.sender.spare.get_mut(..self.len),
        }
    }
}

impl Drop for Loan<'_> {
    #[inline]
    fn drop(&mut self) {
        if let Some(room) = self.room.take() {
            self.sender.half.give_back(room);
        }
    }
}

impl std::fmt::Debug for Loan<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Loan").field("len", &self.len).field("in_place", &self.in_place()).finish()
    }
}
