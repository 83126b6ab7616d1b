//! The receiving end of a link in tasks of a tokio runtime.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use tokio::task::coop;

use super::sleeper::{MOST_TRIES, Sleeper};
use crate::error::RecvError;
use crate::message::Message;
use crate::peer::Peer;
use crate::receiver::Receiver;
use crate::transport::Frame;

/// The receiving end of an [`AsyncLink`](super::AsyncLink); see [`Receiver`].
///
/// As a [`Stream`] it gives each message as bytes of their own, and ends where the peer closes; a death is its last item.
#[derive(Debug)]
pub struct AsyncReceiver {
    receiver: Receiver,
    sleeper: Sleeper,
    /// The stream has ended.
    ended: bool,
}

impl Receiver {
    /// The same receiver for tasks of a tokio runtime.
    pub fn into_async(self) -> AsyncReceiver {
        AsyncReceiver { receiver: self, sleeper: Sleeper::default(), ended: false }
    }
}

impl AsyncReceiver {
    /// Receives the next message; waits for it.
    ///
    /// # When the future is dropped
    /// No message is lost: one is taken only when the future is done, and of a message that has come in part the rest is
    /// received by the next call.
    ///
    /// # Errors
    /// As [`Receiver::recv`]; [`RecvError::System`] outside of a runtime.
    pub async fn recv(&mut self) -> Result<Message<'_>, RecvError> {
        let frame = poll_fn(|context| self.poll_frame(context)).await?;
        Ok(self.receiver.view(frame))
    }

    /// Receives the next message if there is one now.
    ///
    /// # Errors
    /// As [`Receiver::try_recv`].
    pub fn try_recv(&mut self) -> Result<Message<'_>, RecvError> {
        // As below.
        self.sleeper.give_up(&mut self.receiver);
        self.receiver.try_recv()
    }

    /// Receives several messages: waits for the first and takes those behind it that are there; as
    /// [`Receiver::recv_many`].
    ///
    /// # When the future is dropped
    /// `each` has seen nothing then, and no message is lost.
    ///
    /// # Errors
    /// As [`recv`](Self::recv), when there is no first message.
    pub async fn recv_many(&mut self, max: usize, mut each: impl FnMut(Message<'_>)) -> Result<usize, RecvError> {
        let Some(more) = max.checked_sub(1) else { return Ok(0) };
        each(self.recv().await?);
        Ok(1 + self.receiver.take_more(more, each))
    }

    /// Messages received so far.
    pub fn received(&self) -> u64 {
        self.receiver.received()
    }

    /// Who sends.
    pub fn peer(&self) -> &Peer {
        self.receiver.peer()
    }

    /// The same receiver for calls that wait.
    pub fn into_blocking(mut self) -> Receiver {
        self.sleeper.give_up(&mut self.receiver);
        self.receiver
    }

    /// The next message, where it was found; whoever gets it looks at it at once.
    fn poll_frame(&mut self, context: &mut Context<'_>) -> Poll<Result<Frame, RecvError>> {
        // A peer that keeps sending leaves the other tasks their turn.
        let turn = ready!(coop::poll_proceed(context));
        for _ in 0..MOST_TRIES {
            if let Some(frame) = self.receiver.poll_frame()? {
                turn.made_progress();
                // Whoever has a message is not asleep: the sender judges by that what he has had (`LogWriter::last_was_missed`).
                self.sleeper.give_up(&mut self.receiver);
                return Poll::Ready(Ok(frame));
            }
            ready!(self.sleeper.poll(&mut self.receiver, context)).map_err(RecvError::System)?;
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Stream for AsyncReceiver {
    type Item = Result<Vec<u8>, RecvError>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if this.ended {
            return Poll::Ready(None);
        }
        match ready!(this.poll_frame(context)) {
            Ok(frame) => Poll::Ready(Some(Ok(this.receiver.view(frame).to_vec()))),
            Err(error) => {
                this.ended = true;
                Poll::Ready(if matches!(error, RecvError::Closed) { None } else { Some(Err(error)) })
            }
        }
    }
}
