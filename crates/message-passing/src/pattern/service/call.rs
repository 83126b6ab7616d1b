//! One call: what it is asked for with, and its results.

use std::fmt;
use std::time::Duration;

use super::calls::{Taken, Wish};
use super::client::Client;
use super::error::CallError;
use super::spare::trim;

/// A call that was started: [`Client::wait`] waits for what comes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallId(pub(super) u64);

/// A call before it is sent.
#[must_use = "nothing is sent before call, stream or start"]
pub struct Call<'c, 'r> {
    pub(super) client: &'c mut Client,
    pub(super) request: &'r [u8],
    pub(super) wish: Wish,
}

impl<'c> Call<'c, '_> {
    /// The caller waits for so long, and no longer: until the request is sent, until it is answered. Its server learns how
    /// much of it is left. Without, it waits for ever. What this side takes in after that time is late, also where it was busy
    /// with something else when it came: the call is a [`CallError::Timeout`].
    #[inline]
    pub fn limit(mut self, limit: Duration) -> Self {
        self.wish.limit = Some(limit);
        self
    }

    /// Calls with the same key go to the same server, from every client, as long as that server is there.
    pub fn key(mut self, key: u64) -> Self {
        self.wish.key = Some(key);
        self
    }

    /// Whether carrying it out twice does no harm: then it is sent to another server when the one that has it is gone, unless
    /// it has brought results already.
    pub fn idempotent(mut self, idempotent: bool) -> Self {
        self.wish.idempotent = idempotent;
        self
    }

    /// Asks, and waits for the answer.
    ///
    /// # Errors
    /// As [`Client::call`].
    #[inline]
    pub fn call(self) -> Result<Vec<u8>, CallError> {
        let mut answer = Vec::new();
        self.client.ask(self.request, self.wish, &mut answer)?;
        trim(&mut answer);
        Ok(answer)
    }

    /// Asks, waits for the answer, and puts it into memory of the caller's.
    ///
    /// # Errors
    /// As [`Client::call_into`].
    #[inline]
    pub fn call_into(self, answer: &mut Vec<u8>) -> Result<(), CallError> {
        self.client.ask(self.request, self.wish, answer)
    }

    /// Asks for several results.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub fn stream(self) -> Result<Results<'c>, CallError> {
        let id = self.client.start(self.request, self.wish)?;
        Ok(Results { client: self.client, id, over: false })
    }

    /// Sends the request and does not wait for the answer: [`Client::wait`] does, in any order.
    ///
    /// # Errors
    /// As [`Client::call`]. What happens after it was sent is for [`Client::wait`].
    pub fn start(self) -> Result<CallId, CallError> {
        self.client.start(self.request, self.wish).map(CallId)
    }
}

impl fmt::Debug for Call<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call").field("len", &self.request.len()).field("wish", &self.wish).finish()
    }
}

/// The results of one call, as they come. An error is the last of them. Dropping it cancels the call.
pub struct Results<'a> {
    client: &'a mut Client,
    id: u64,
    over: bool,
}

impl Results<'_> {
    /// The next result, as `read` makes it of the bytes. One that it cannot read is the last: what one does not hold, the others do
    /// not either.
    pub(super) fn next_read<R>(
        &mut self,
        read: impl FnOnce(&[u8]) -> Result<R, String>,
    ) -> Option<Result<R, CallError>> {
        let item = self.next()?;
        Some(item.and_then(|bytes| {
            read(&bytes).map_err(|why| {
                self.over = true;
                CallError::Misunderstood(why)
            })
        }))
    }
}

impl Iterator for Results<'_> {
    type Item = Result<Vec<u8>, CallError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        match self.client.settle(self.id) {
            Ok(Taken::Item(item)) => Some(Ok(item)),
            Ok(Taken::Last(end)) => {
                self.over = true;
                end.transpose()
            }
            Ok(Taken::Nothing) => None,
            Err(error) => {
                self.over = true;
                Some(Err(error))
            }
        }
    }
}

impl Drop for Results<'_> {
    fn drop(&mut self) {
        let outlet = &mut self.client.outlet;
        if outlet.check_ours().is_ok() {
            let given_up = outlet.calls.forget(self.id);
            outlet.give_up(self.id, given_up);
            outlet.send_due();
        }
    }
}

impl fmt::Debug for Results<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Results").field("over", &self.over).finish_non_exhaustive()
    }
}
