//! The sending end of a link in tasks of a tokio runtime.

use std::future::poll_fn;
use std::task::{Context, Poll, ready};

use tokio::task::coop;

use super::sleeper::{MOST_TRIES, Sleeper};
use crate::error::SendError;
use crate::options::Policy;
use crate::peer::Peer;
use crate::sender::Sender;
use crate::transport::{Ask, SendHalf};

/// The sending end of an [`AsyncLink`](super::AsyncLink); see [`Sender`].
#[derive(Debug)]
pub struct AsyncSender {
    sender: Sender,
    sleeper: Sleeper,
}

impl Sender {
    /// The same sender for tasks of a tokio runtime.
    pub fn into_async(self) -> AsyncSender {
        AsyncSender { sender: self, sleeper: Sleeper::default() }
    }
}

impl AsyncSender {
    /// Sends a message; waits for room, or with [`Policy::Reject`] says [`SendError::Full`].
    ///
    /// # When the future is dropped
    /// The message is sent whole or not at all; the peer never sees a part. It is sent if the future was done.
    ///
    /// # Errors
    /// As [`Sender::send`]; [`SendError::System`] outside of a runtime.
    pub async fn send(&mut self, message: &[u8]) -> Result<(), SendError> {
        if self.sender.policy() == Policy::Reject {
            return self.sender.try_send(message);
        }
        self.sender.check(message.len())?;
        self.sender.half.want_room(message.len());
        let mut begun = Begun { end: self, progress: 0 };
        poll_fn(|context| begun.poll_push(message, context)).await?;
        // It is sent. What the transport has kept of it goes now, or with the next call of either end of this side.
        poll_fn(|context| begun.end.poll_rest(context)).await
    }

    /// Sends a message if there is room for it now.
    ///
    /// # Errors
    /// As [`Sender::try_send`].
    pub fn try_send(&mut self, message: &[u8]) -> Result<(), SendError> {
        self.sender.try_send(message)
    }

    /// Messages sent so far.
    pub fn sent(&self) -> u64 {
        self.sender.sent()
    }

    /// Who receives.
    pub fn peer(&self) -> &Peer {
        self.sender.peer()
    }

    /// The same sender for calls that wait.
    pub fn into_blocking(mut self) -> Sender {
        self.sleeper.give_up(&mut self.sender.half);
        self.sender
    }

    fn poll_rest(&mut self, context: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        if !self.sender.half.has_rest() {
            return Poll::Ready(Ok(()));
        }
        self.poll_until(context, SendHalf::send_rest)
    }

    /// Tries until there is room.
    fn poll_until(
        &mut self,
        context: &mut Context<'_>,
        mut attempt: impl FnMut(&mut SendHalf) -> Result<(), SendError>,
    ) -> Poll<Result<(), SendError>> {
        // A peer that keeps taking leaves the other tasks their turn.
        let turn = ready!(coop::poll_proceed(context));
        for _ in 0..MOST_TRIES {
            match attempt(&mut self.sender.half) {
                Err(SendError::Full) => {}
                outcome => {
                    turn.made_progress();
                    return Poll::Ready(outcome);
                }
            }
            ready!(self.sleeper.poll(&mut self.sender.half, context)).map_err(SendError::System)?;
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

/// A message that may be sent in part: giving it up tells the peer so.
struct Begun<'a> {
    end: &'a mut AsyncSender,
    progress: usize,
}

impl Begun<'_> {
    fn poll_push(&mut self, message: &[u8], context: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        let Self { end, progress } = self;
        let sent = ready!(end.poll_until(context, |half| half.push(message, progress, Ask::Nothing)));
        if sent.is_ok() {
            self.progress = 0;
        }
        Poll::Ready(sent)
    }
}

impl Drop for Begun<'_> {
    fn drop(&mut self) {
        if self.progress > 0 {
            self.end.sender.half.abort();
        }
    }
}
