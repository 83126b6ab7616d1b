//! Messages that bear attachments: what a link and a peer take, and how it is sent.

use std::os::fd::BorrowedFd;
use std::time::Duration;

use wharf_sys::clock::Deadline;

use super::Sender;
use crate::attachment::{Attachment, Lent, MAX_ATTACHMENTS};
use crate::error::SendError;
use crate::meet;
use crate::options::Policy;
use crate::peer::{Origin, Peer};
use crate::transport::Ask;
use crate::wait::Limit;

impl Sender {
    /// Sends a message with attachments, if there is room for it now. The peer takes them from the
    /// [`Message`](crate::Message), or they are closed there.
    ///
    /// Over `shm:` at most 64 descriptors are on their way, in messages that the peer has not received; more find no room, while
    /// messages without attachments still do.
    ///
    /// # Errors
    /// [`SendError::CannotCarry`] when the link carries bytes only (`unix:` and `shm:` links carry attachments), there are more than
    /// [`MAX_ATTACHMENTS`] or than the peer takes, or one is a region and the peer is not trusted to cooperate; otherwise as
    /// [`try_send`](Self::try_send). In every case nothing was sent.
    ///
    /// An end of a channel leaves this process with the call that sends it; as long as it was not sent the attachment keeps it.
    pub fn try_send_with(&mut self, message: &[u8], attachments: &[Attachment<'_>]) -> Result<(), SendError> {
        if attachments.is_empty() {
            return self.try_send(message);
        }
        self.settle()?;
        self.carry(attachments, |sender, fds| {
            sender.check(message.len())?;
            let limit = sender.half.max_in_one();
            if message.len() > limit {
                return Err(SendError::NeedsWait { len: message.len(), limit });
            }
            let mut progress = 0;
            let outcome = sender.half.push_with(message, fds, &mut progress, Ask::Nothing);
            if progress > 0 && matches!(outcome, Err(SendError::Full)) {
                sender.half.abort();
            }
            outcome
        })
    }

    /// Sends a message with attachments; waits for room (see *When full*).
    ///
    /// # Errors
    /// As [`try_send_with`](Self::try_send_with) and [`send`](Self::send).
    pub fn send_with(&mut self, message: &[u8], attachments: &[Attachment<'_>]) -> Result<(), SendError> {
        if self.policy == Policy::Reject {
            return self.try_send_with(message, attachments);
        }
        self.send_with_until(message, attachments, None)
    }

    /// Sends a message with attachments; waits for room, at most `limit`.
    ///
    /// # Errors
    /// As [`try_send_with`](Self::try_send_with) and [`send_timeout`](Self::send_timeout).
    pub fn send_with_timeout(
        &mut self,
        message: &[u8],
        attachments: &[Attachment<'_>],
        limit: Duration,
    ) -> Result<(), SendError> {
        self.send_with_until(message, attachments, Limit::After(limit).start())
    }

    fn send_with_until(
        &mut self,
        message: &[u8],
        attachments: &[Attachment<'_>],
        deadline: Option<Deadline>,
    ) -> Result<(), SendError> {
        self.settle()?;
        self.carry(attachments, |sender, fds| {
            sender.check(message.len())?;
            let mut progress = 0;
            match sender.half.push_with(message, fds, &mut progress, Ask::Nothing) {
                Err(SendError::Full) => sender.push_slowly(message, fds, progress, Ask::Nothing, deadline),
                outcome => outcome,
            }
        })
    }

    /// Sends attachments that this link and this peer take. Ends of channels among them are gone with it, or back where they
    /// were.
    fn carry(
        &mut self,
        attachments: &[Attachment<'_>],
        send: impl FnOnce(&mut Self, &[BorrowedFd<'_>]) -> Result<(), SendError>,
    ) -> Result<(), SendError> {
        self.may_carry(attachments)?;
        let lent = Lent::of(attachments).map_err(|why| SendError::CannotCarry(why.to_owned()))?;
        let fds = lent.fds().map_err(|_| SendError::Forked)?;
        let outcome = send(self, &fds);
        drop(fds);
        if outcome.is_ok() {
            lent.have_travelled();
        }
        outcome
    }

    /// Whether this link and this peer take these attachments.
    fn may_carry(&mut self, attachments: &[Attachment<'_>]) -> Result<(), SendError> {
        let count = attachments.len();
        let why = match self.half.max_attachments() {
            _ if count == 0 => return Ok(()),
            None => format!(
                "{}: links carry bytes only; unix: and shm: links carry descriptors, sealed buffers and regions",
                self.facts.address.transport()
            ),
            Some(0) => "the peer said that it takes none".to_owned(),
            Some(limit) if count > limit => format!(
                "a message carries at most {limit} of them here ({MAX_ATTACHMENTS} between two programs of this version), \
                 found {count}; send several messages"
            ),
            Some(_) if attachments.iter().any(Attachment::is_region) && !self.trusts_peer() => match self.peer().is_met() {
                true => "a region is for peers that are trusted to cooperate, and this one is not; send a sealed buffer, or \
                         trust the peer with Options::trust"
                    .to_owned(),
                false => "a region is for peers that are trusted to cooperate, and nobody has used the other end of this \
                          channel yet; wait for a sign of it, or send a sealed buffer"
                    .to_owned(),
            },
            Some(_) => return Ok(()),
        };
        Err(SendError::CannotCarry(why))
    }

    /// Whether whoever receives is trusted to cooperate, as far as is known now.
    fn trusts_peer(&mut self) -> bool {
        if !self.peer().is_met() {
            // What cannot be told now is not known, and that is enough to say no.
            self.half.look_at_peer();
            let _later = self.settle();
        }
        if !self.peer().is_met()
            && let Some(by) = self.half.who()
        {
            let origin = Origin::Local(by);
            self.met = Some(Peer::new(origin, meet::trusts(&origin, self.facts.trust)));
        }
        self.peer().is_cooperating()
    }
}
