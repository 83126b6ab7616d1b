//! Servers and clients in tasks of a tokio runtime.

use std::future::poll_fn;
use std::time::Duration;

use super::pattern::{InTasks, poll_until};
use crate::error::RecvError;
use crate::pattern::{CallError, CallId, Client, Request, Server, Taken};

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
