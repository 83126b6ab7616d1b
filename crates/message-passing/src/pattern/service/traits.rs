//! What the code names that `#[service]` writes: how the method and its arguments travel, and how it is answered.
//!
//! A request is the method's name, with its length in front, and behind it the arguments as a tuple, all of it in postcard. The
//! reply is the answer. A method that nobody knows, and arguments of other types, are failures in words.

use std::time::Duration;

use ::serde::Serialize;
use ::serde::de::DeserializeOwned;

pub use super::{CallError, Client, Request, Server, Service};
pub use crate::error::RecvError;
use crate::error::SendError;
pub use crate::pattern::OpenError;

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
        let request = postcard::to_stdvec(&(method, arguments));
        let request = request.map_err(|error| CallError::NotSent(SendError::Encode(error.to_string())))?;
        let answer = self.client.call(&request, self.limit)?;
        decode(&answer).map_err(|why| CallError::Misunderstood(format!("{method}: {why}")))
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
    decode(arguments).map_err(|why| format!("the arguments of {method} are of other types: {why}"))
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
    let _ = match outcome {
        Ok(bytes) => request.reply(&bytes),
        Err(why) => request.fail(&why),
    };
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    match postcard::take_from_bytes(bytes) {
        Ok((value, [])) => Ok(value),
        Ok((_, rest)) => Err(format!("{} bytes are left over", rest.len())),
        Err(error) => Err(error.to_string()),
    }
}
