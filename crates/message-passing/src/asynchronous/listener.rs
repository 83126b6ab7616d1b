//! A listener in tasks of a tokio runtime.

use std::future::poll_fn;
use std::task::{Context, Poll, ready};

use super::AsyncLink;
use super::sleeper::{MOST_TRIES, Sleeper};
use crate::address::Address;
use crate::error::ConnectError;
use crate::link::Link;
use crate::listener::Listener;

/// A listener in tasks of a tokio runtime; see [`Listener`].
#[derive(Debug)]
pub struct AsyncListener {
    listener: Listener,
    sleeper: Sleeper,
}

impl Listener {
    /// The same listener for tasks of a tokio runtime.
    pub fn into_async(self) -> AsyncListener {
        AsyncListener { listener: self, sleeper: Sleeper::default() }
    }
}

impl AsyncListener {
    /// Waits for the next peer that fits and links with it.
    ///
    /// # When the future is dropped
    /// No peer is lost: whoever was heard in part is heard on by the next call.
    ///
    /// # Errors
    /// As [`Listener::accept`]; [`ConnectError::System`] outside of a runtime.
    pub async fn accept(&mut self) -> Result<AsyncLink, ConnectError> {
        poll_fn(|context| self.poll_accept(context)).await.map(Link::into_async)
    }

    /// The address at which others connect; with the real port, where the system chose it.
    pub fn address(&self) -> &Address {
        self.listener.address()
    }

    /// The same listener for calls that wait.
    pub fn into_blocking(mut self) -> Listener {
        self.sleeper.give_up(&mut self.listener);
        self.listener
    }

    fn poll_accept(&mut self, context: &mut Context<'_>) -> Poll<Result<Link, ConnectError>> {
        for _ in 0..MOST_TRIES {
            match self.listener.try_accept() {
                Err(ConnectError::NobodyWaiting) => {}
                outcome => return Poll::Ready(outcome),
            }
            ready!(self.sleeper.poll(&mut self.listener, context)).map_err(|error| {
                ConnectError::system(format!("wait for peers at {}", self.listener.address()), error)
            })?;
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }
}
