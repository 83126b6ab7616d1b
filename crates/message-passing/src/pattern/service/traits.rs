//! What the code names that `#[service]` writes: how the method and its arguments travel, and how it is answered.
//!
//! A request is the method's name, with its length in front, and behind it the arguments as a tuple, all of it in postcard. The
//! reply is the answer; a method that gives an iterator is answered by a stream of its items. A method that nobody knows, and
//! arguments of other types, are failures in words.

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use ::serde::Serialize;
use ::serde::de::DeserializeOwned;

use super::Results;
pub use super::{CallError, Client, Request, Server, Service};
pub use crate::error::RecvError;
use crate::error::SendError;
pub use crate::pattern::OpenError;
use crate::serde::value_in;

/// A client with the limit of its calls.
#[derive(Debug)]
pub struct Caller {
    client: Client,
    limit: Duration,
}

impl Caller {
    /// Calls through this client wait at most so long.
    pub fn new(client: Client, limit: Duration) -> Caller {
        Caller { client, limit }
    }

    /// Calls from now on wait at most so long.
    pub fn set_limit(&mut self, limit: Duration) {
        self.limit = limit;
    }

    /// The client below.
    pub fn client(&mut self) -> &mut Client {
        &mut self.client
    }

    /// Asks for one method.
    ///
    /// # Errors
    /// As [`Client::call`]; [`CallError::Misunderstood`] when the answer is not of this type.
    pub fn call<A: Serialize, R: DeserializeOwned>(&mut self, method: &str, arguments: &A) -> Result<R, CallError> {
        let answer = self.client.call(&request(method, arguments)?, self.limit)?;
        value_in(&answer).map_err(|why| CallError::Misunderstood(format!("{method}: {why}")))
    }

    /// Asks for one method that is answered by several results.
    ///
    /// # Errors
    /// As [`Client::call_stream`].
    pub fn stream<A: Serialize, R: DeserializeOwned>(
        &mut self,
        method: &'static str,
        arguments: &A,
    ) -> Result<MethodResults<'_, R>, CallError> {
        let results = self.client.call_stream(&request(method, arguments)?, self.limit)?;
        Ok(MethodResults { results, method, of: PhantomData })
    }
}

fn request<A: Serialize>(method: &str, arguments: &A) -> Result<Vec<u8>, CallError> {
    let request = postcard::to_stdvec(&(method, arguments));
    request.map_err(|error| CallError::NotSent(SendError::Encode(error.to_string())))
}

/// The results of a method that gives an iterator, as they come. An error is the last of them. Dropping it cancels the call.
pub struct MethodResults<'c, R> {
    results: Results<'c>,
    method: &'static str,
    of: PhantomData<fn() -> R>,
}

impl<R: DeserializeOwned> Iterator for MethodResults<'_, R> {
    type Item = Result<R, CallError>;

    fn next(&mut self) -> Option<Self::Item> {
        let method = self.method;
        self.results.next_read(|bytes| value_in(bytes).map_err(|why| format!("{method}: {why}")))
    }
}

impl<R> fmt::Debug for MethodResults<'_, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MethodResults").field("method", &self.method).field("results", &self.results).finish()
    }
}

/// The method that is asked for, and its arguments.
///
/// # Errors
/// That the request names none.
pub fn method(request: &[u8]) -> Result<(&str, &[u8]), String> {
    postcard::take_from_bytes(request).map_err(|error| format!("the request names no method: {error}"))
}

/// The arguments of a method.
///
/// # Errors
/// That they are not of these types.
pub fn take<A: DeserializeOwned>(method: &str, arguments: &[u8]) -> Result<A, String> {
    value_in(arguments).map_err(|why| format!("the arguments of {method} are of other types: {why}"))
}

/// An answer as it travels.
///
/// # Errors
/// That it cannot be encoded.
pub fn put<R: Serialize>(answer: &R) -> Result<Vec<u8>, String> {
    postcard::to_stdvec(answer).map_err(|error| format!("the answer cannot be encoded: {error}"))
}

/// That there is no such method.
pub fn unknown(service: &str, method: &str) -> String {
    let method: String = method.chars().filter(|it| !it.is_control()).take(64).collect();
    format!("{service} has no method '{method}'; do both sides have the same version of it?")
}

/// Answers. A client that is gone by then needs no answer.
pub fn answer(request: Request, outcome: Result<Vec<u8>, String>) {
    match outcome {
        Ok(bytes) => drop(request.reply(&bytes)),
        Err(why) => fail(request, &why),
    }
}

/// Answers by results one after another, until there are no more of them or nobody wants more. The next one is asked for when the
/// client has room for it. All of them together wait for room for the service's patience at most; then the client is told that its
/// call has failed.
pub fn stream<R: Serialize>(request: Request, results: impl Iterator<Item = R>) {
    let mut stream = request.stream();
    let mut patience = stream.patience();
    // Ends with the results, or with the client.
    for result in results {
        let failed = match put(&result).map(|bytes| stream.send_within(&bytes, &mut patience)) {
            Ok(Ok(())) => continue,
            // Nobody is there to be told.
            Ok(Err(SendError::Closed | SendError::PeerDied { .. })) => return,
            Ok(Err(error)) => error.to_string(),
            Err(why) => why,
        };
        // A client that is gone needs no words.
        let _ = stream.fail(&failed);
        return;
    }
    let _ = stream.end();
}

/// Says why there is no answer. A client that is gone by then needs none.
pub fn fail(request: Request, why: &str) {
    let _ = request.fail(why);
}
