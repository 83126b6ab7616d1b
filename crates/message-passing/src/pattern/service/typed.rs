//! Services typed by a request and a reply.

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use ::serde::Serialize;
use ::serde::de::DeserializeOwned;
use wharf_shared_memory::{Plain, plain};

use super::call::{CallId, Results};
use super::client::Client;
use super::error::CallError;
use super::request::{ReplyStream, Request};
use super::server::Server;
use crate::error::{RecvError, SendError};
use crate::handshake::Payload;
use crate::pattern::topic::{Encoded, Typed};
use crate::serde::value_in;

/// What a typed service carries, for whoever may not know more of it.
#[doc(hidden)]
pub struct Carried(pub(crate) Payload);

/// A pair of request and reply, and how each is put into bytes. It cannot be implemented outside of this crate.
pub trait Carries {
    /// The request.
    type Request;
    /// The reply, and each of several results.
    type Reply;

    #[doc(hidden)]
    fn payload() -> Carried;
    #[doc(hidden)]
    fn put_request(request: &Self::Request) -> Result<Vec<u8>, String>;
    #[doc(hidden)]
    fn put_reply(reply: &Self::Reply) -> Result<Vec<u8>, String>;
    #[doc(hidden)]
    fn take_request(bytes: &[u8]) -> Result<Self::Request, String>;
    #[doc(hidden)]
    fn take_reply(bytes: &[u8]) -> Result<Self::Reply, String>;
}

impl<Q: Plain, R: Plain> Carries for Typed<(Q, R)> {
    type Request = Q;
    type Reply = R;

    fn payload() -> Carried {
        // Not symmetric: a request is no reply.
        let hash = Q::LAYOUT.hash.rotate_left(23) ^ R::LAYOUT.hash.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let size = size_of::<Q>() as u64;
        Carried(Payload::Typed { hash, size, name: format!("{} -> {}", Q::LAYOUT.name, R::LAYOUT.name) })
    }

    fn put_request(request: &Q) -> Result<Vec<u8>, String> {
        Ok(plain::bytes_of(request).to_vec())
    }

    fn put_reply(reply: &R) -> Result<Vec<u8>, String> {
        Ok(plain::bytes_of(reply).to_vec())
    }

    fn take_request(bytes: &[u8]) -> Result<Q, String> {
        read(bytes)
    }

    fn take_reply(bytes: &[u8]) -> Result<R, String> {
        read(bytes)
    }
}

fn read<T: Plain>(bytes: &[u8]) -> Result<T, String> {
    plain::read(bytes)
        .ok_or_else(|| format!("expected {} bytes of {}, found {}", size_of::<T>(), T::LAYOUT.name, bytes.len()))
}

impl<Q, R> Carries for Encoded<(Q, R)>
where
    Q: Serialize + DeserializeOwned,
    R: Serialize + DeserializeOwned,
{
    type Request = Q;
    type Reply = R;

    fn payload() -> Carried {
        Carried(Payload::Serde)
    }

    fn put_request(request: &Q) -> Result<Vec<u8>, String> {
        postcard::to_stdvec(request).map_err(|error| error.to_string())
    }

    fn put_reply(reply: &R) -> Result<Vec<u8>, String> {
        postcard::to_stdvec(reply).map_err(|error| error.to_string())
    }

    fn take_request(bytes: &[u8]) -> Result<Q, String> {
        value_in(bytes)
    }

    fn take_reply(bytes: &[u8]) -> Result<R, String> {
        value_in(bytes)
    }
}

/// The asking end of a typed service; see [`Client`].
pub struct TypedClient<P> {
    pub(super) client: Client,
    carries: PhantomData<fn(P) -> P>,
}

impl<P: Carries> TypedClient<P> {
    pub(super) fn new(client: Client) -> Self {
        Self { client, carries: PhantomData }
    }

    /// See [`Client::call`].
    ///
    /// # Errors
    /// The same, and [`CallError::Misunderstood`] when the answer is not of this type.
    pub fn call(&mut self, request: &P::Request, limit: Duration) -> Result<P::Reply, CallError> {
        let answer = self.client.call(&encoded::<P>(request)?, limit)?;
        P::take_reply(&answer).map_err(CallError::Misunderstood)
    }

    /// See [`Client::call_stream`].
    ///
    /// # Errors
    /// The same.
    pub fn call_stream(&mut self, request: &P::Request, limit: Duration) -> Result<TypedResults<'_, P>, CallError> {
        let request = encoded::<P>(request)?;
        Ok(TypedResults { results: self.client.request(&request).limit(limit).stream()?, carries: PhantomData })
    }

    /// See [`Call::start`](super::Call::start).
    ///
    /// # Errors
    /// The same.
    pub fn start(&mut self, request: &P::Request, limit: Duration) -> Result<CallId, CallError> {
        self.client.request(&encoded::<P>(request)?).limit(limit).start()
    }

    /// See [`Client::wait`].
    ///
    /// # Errors
    /// The same, and [`CallError::Misunderstood`] when the answer is not of this type.
    pub fn wait(&mut self, call: CallId) -> Result<P::Reply, CallError> {
        P::take_reply(&self.client.wait(call)?).map_err(CallError::Misunderstood)
    }

    /// The client below: cancelling, several calls at once.
    pub fn client(&mut self) -> &mut Client {
        &mut self.client
    }
}

pub(super) fn encoded<P: Carries>(request: &P::Request) -> Result<Vec<u8>, CallError> {
    P::put_request(request).map_err(|why| CallError::NotSent(SendError::Encode(why)))
}

impl<P> fmt::Debug for TypedClient<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TypedClient").field(&self.client).finish()
    }
}

/// See [`Results`].
pub struct TypedResults<'a, P> {
    results: Results<'a>,
    carries: PhantomData<fn(P) -> P>,
}

impl<P: Carries> Iterator for TypedResults<'_, P> {
    type Item = Result<P::Reply, CallError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.results.next_read(P::take_reply)
    }
}

impl<P> fmt::Debug for TypedResults<'_, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TypedResults").field(&self.results).finish()
    }
}

/// The answering end of a typed service; see [`Server`].
pub struct TypedServer<P> {
    pub(super) server: Server,
    carries: PhantomData<fn(P) -> P>,
}

impl<P: Carries> TypedServer<P> {
    pub(super) fn new(server: Server) -> Self {
        Self { server, carries: PhantomData }
    }

    /// See [`Server::recv`]. A request that is not of this type has failed, and its client is told why.
    ///
    /// # Errors
    /// The same.
    pub fn recv(&mut self) -> Result<TypedRequest<P>, RecvError> {
        // Every round answers a request.
        loop {
            if let Some(request) = TypedRequest::of(self.server.recv()?) {
                return Ok(request);
            }
        }
    }

    /// See [`Server::recv_timeout`]. A request that is not of this type has failed, and the time begins anew.
    ///
    /// # Errors
    /// The same.
    pub fn recv_timeout(&mut self, limit: Duration) -> Result<TypedRequest<P>, RecvError> {
        // Every round answers a request, or ends it.
        loop {
            if let Some(request) = TypedRequest::of(self.server.recv_timeout(limit)?) {
                return Ok(request);
            }
        }
    }

    /// See [`Server::try_recv`]. A request that is not of this type has failed, and the next is looked for.
    ///
    /// # Errors
    /// The same.
    pub fn try_recv(&mut self) -> Result<TypedRequest<P>, RecvError> {
        // Every round answers a request, or ends it.
        loop {
            if let Some(request) = TypedRequest::of(self.server.try_recv()?) {
                return Ok(request);
            }
        }
    }

    /// The server below.
    pub fn server(&mut self) -> &mut Server {
        &mut self.server
    }
}

impl<P> fmt::Debug for TypedServer<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TypedServer").field(&self.server).finish()
    }
}

/// See [`Request`].
pub struct TypedRequest<P: Carries> {
    value: P::Request,
    request: Request,
}

impl<P: Carries> TypedRequest<P> {
    fn of(request: Request) -> Option<Self> {
        match P::take_request(&request) {
            Ok(value) => Some(Self { value, request }),
            Err(why) => {
                // A client that is gone needs no answer.
                let _ = request.fail(&why);
                None
            }
        }
    }

    /// What is asked.
    pub fn value(&self) -> &P::Request {
        &self.value
    }

    /// See [`Request::reply`].
    ///
    /// # Errors
    /// The same, and [`SendError::Encode`], which its caller is told.
    pub fn reply(self, reply: &P::Reply) -> Result<(), SendError> {
        match P::put_reply(reply) {
            Ok(bytes) => self.request.reply(&bytes),
            Err(why) => {
                self.request.fail(&why)?;
                Err(SendError::Encode(why))
            }
        }
    }

    /// See [`Request::fail`].
    ///
    /// # Errors
    /// The same.
    pub fn fail(self, why: &str) -> Result<(), SendError> {
        self.request.fail(why)
    }

    /// See [`Request::abandon`].
    pub fn abandon(self) {
        self.request.abandon();
    }

    /// See [`Request::stream`].
    pub fn stream(self) -> TypedReplyStream<P> {
        TypedReplyStream { stream: self.request.stream(), carries: PhantomData }
    }

    /// The request below: whose it is, how long its caller waits.
    pub fn request(&self) -> &Request {
        &self.request
    }
}

impl<P: Carries> fmt::Debug for TypedRequest<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TypedRequest").field(&self.request).finish()
    }
}

/// See [`ReplyStream`].
pub struct TypedReplyStream<P> {
    stream: ReplyStream,
    carries: PhantomData<fn(P) -> P>,
}

impl<P: Carries> TypedReplyStream<P> {
    /// See [`ReplyStream::send`].
    ///
    /// # Errors
    /// The same, and [`SendError::Encode`].
    pub fn send(&mut self, item: &P::Reply) -> Result<(), SendError> {
        self.stream.send(&P::put_reply(item).map_err(SendError::Encode)?)
    }

    /// See [`ReplyStream::end`].
    ///
    /// # Errors
    /// The same.
    pub fn end(self) -> Result<(), SendError> {
        self.stream.end()
    }

    /// See [`ReplyStream::fail`].
    ///
    /// # Errors
    /// The same.
    pub fn fail(self, why: &str) -> Result<(), SendError> {
        self.stream.fail(why)
    }

    /// See [`ReplyStream::is_cancelled`].
    pub fn is_cancelled(&self) -> bool {
        self.stream.is_cancelled()
    }
}

impl<P> fmt::Debug for TypedReplyStream<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TypedReplyStream").field(&self.stream).finish()
    }
}
