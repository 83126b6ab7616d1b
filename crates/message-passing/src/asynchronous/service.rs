//! Servers, clients and surveys in tasks of a tokio runtime.

use std::future::poll_fn;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::task::coop;

use super::pattern::{InTasks, poll_until};
use super::sleeper::{MOST_TRIES, Sleeper};
use crate::error::RecvError;
use crate::pattern::{Account, Answer, CallError, CallId, Client, Request, Server, Survey, Taken};

impl InTasks<Server> {
    /// Receives the next request; waits for it. Answering never waits, and can be done in any task or thread.
    ///
    /// When the future is dropped, no request is lost.
    ///
    /// # Errors
    /// As [`Server::recv`]; [`RecvError::System`] outside of a runtime.
    pub async fn recv(&mut self) -> Result<Request, RecvError> {
        let attempt = |server: &mut Server| match server.try_recv() {
            Ok(request) => Ok(Some(request)),
            Err(RecvError::Empty) => Ok(None),
            Err(error) => Err(error),
        };
        poll_fn(|context| poll_until(self, context, RecvError::System, attempt)).await
    }
}

impl InTasks<Client> {
    /// Asks, and waits for the answer, at most `limit`.
    ///
    /// When the future is dropped, the call is given up, and its server is told.
    ///
    /// # Errors
    /// As [`Client::call`]; [`CallError::System`] outside of a runtime.
    pub async fn call(&mut self, request: &[u8], limit: Duration) -> Result<Vec<u8>, CallError> {
        let call = self.end.begin(request, limit)?;
        let mut asking = Asking { client: self, call };
        asking.wait().await
    }

    /// The answer of a call that was started; waits for it until the call's deadline.
    ///
    /// When the future is dropped, the call goes on.
    ///
    /// # Errors
    /// As [`Client::wait`].
    pub async fn wait(&mut self, call: CallId) -> Result<Vec<u8>, CallError> {
        // Ends with the end of the call; each item was sent by its server.
        loop {
            if let Taken::Last(end) = self.take(call).await? {
                return end.map(Option::unwrap_or_default);
            }
        }
    }

    /// Asks every server at once, and gathers what they answer until `limit` is over.
    ///
    /// # Errors
    /// As [`Client::survey`].
    pub fn survey(&mut self, request: &[u8], limit: Duration) -> Result<AsyncSurvey<'_>, CallError> {
        Ok(AsyncSurvey { survey: self.end.survey(request, limit)?, sleeper: &mut self.sleeper })
    }

    async fn take(&mut self, call: CallId) -> Result<Taken, CallError> {
        let attempt = |client: &mut Client| client.try_take(call);
        poll_fn(|context| poll_until(self, context, CallError::System, attempt)).await
    }
}

/// A call that is given up with its future.
struct Asking<'a> {
    client: &'a mut InTasks<Client>,
    call: CallId,
}

impl Asking<'_> {
    async fn wait(&mut self) -> Result<Vec<u8>, CallError> {
        self.client.wait(self.call).await
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        // One that is over is not known any more.
        self.client.end.forget(self.call);
    }
}

/// A [`Survey`] in a task, made by [`InTasks::<Client>::survey`].
///
/// Dropping it gives up what is not over, as that of a survey does.
#[derive(Debug)]
pub struct AsyncSurvey<'c> {
    survey: Survey<'c>,
    sleeper: &'c mut Sleeper,
}

impl AsyncSurvey<'_> {
    /// Waits for the next answer; `None` when every server has come to its end, or the time is over.
    ///
    /// When the future is dropped, no answer is lost.
    ///
    /// # Errors
    /// As [`Survey::next_timeout`]; [`CallError::System`] outside of a runtime.
    pub async fn next(&mut self) -> Result<Option<Answer>, CallError> {
        poll_fn(|context| self.poll_next(context)).await
    }

    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Answer>, CallError>> {
        // Servers that keep answering leave the other tasks their turn.
        let turn = ready!(coop::poll_proceed(context));
        for _ in 0..MOST_TRIES {
            let found = self.survey.try_next()?;
            if found.is_some() || self.survey.is_over() {
                turn.made_progress();
                self.sleeper.give_up(&mut self.survey);
                return Poll::Ready(Ok(found));
            }
            ready!(self.sleeper.poll(&mut self.survey, context)).map_err(CallError::System)?;
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }

    /// The survey itself, for the calls that do not wait.
    pub fn survey(&self) -> &Survey<'_> {
        &self.survey
    }

    /// As [`Survey::account`].
    pub fn account(self) -> Account {
        self.survey.account()
    }
}
