//! Services: request and reply among any number of clients and servers, by name or over any address.
//!
//! What a call has come to is decided in `calls.rs`, which server is asked in `choice.rs`: logic without I/O. `client.rs` and
//! `server.rs` move the bytes, over the two halves of a link each, and do not know how that came about: `host.rs` and the guest of
//! [`private_link`](super::private_link) make links through a node, a listener and a connection make them over an address.

mod account;
mod call;
mod calls;
mod choice;
mod client;
mod error;
mod frame;
pub(super) mod host;
mod inflow;
mod inlet;
mod outbox;
mod outlet;
mod quick;
mod request;
mod server;
mod slices;
mod spare;
mod survey;
pub(crate) mod traits;
mod typed;
mod typed_survey;
mod waits;

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use ::serde::Serialize;
use ::serde::de::DeserializeOwned;
use wharf_shared_memory::Plain;

pub use self::account::{Account, Accounted, ServerId, ServerInfo};
pub use self::call::{Call, CallId, Results};
#[cfg(feature = "tokio")]
pub(crate) use self::calls::Taken;
pub use self::choice::Choice;
pub use self::client::Client;
pub use self::error::{CallError, Outcome};
pub use self::request::{ClientId, ReplyStream, Request};
pub use self::server::Server;
pub use self::survey::{Answer, Survey};
pub use self::traits::MethodResults;
pub use self::typed::{Carries, TypedClient, TypedReplyStream, TypedRequest, TypedResults, TypedServer};
pub use self::typed_survey::{TypedAnswer, TypedSurvey};

use super::place::{OpenError, Place};
use super::topic::{Bytes, Encoded, Typed};
use crate::handshake::Payload;
use crate::node::Node;
use crate::options::{Options, Trust, Wait};

/// Bytes of answers that are kept for a client that does not read them, unless [`Service::most_kept`] says otherwise.
pub const DEFAULT_MOST_KEPT: usize = 1 << 20;

/// How long a stream of results waits for a client that has no room, unless [`Service::patience`] says otherwise.
pub const DEFAULT_STREAM_PATIENCE: Duration = Duration::from_secs(1);

/// How both ends are opened.
#[derive(Clone, Debug)]
struct Terms {
    options: Options,
    choice: Choice,
    most_kept: usize,
    most_clients: Option<usize>,
    patience: Duration,
}

impl Terms {
    fn new(options: Options) -> Terms {
        Terms {
            options,
            choice: Choice::default(),
            most_kept: DEFAULT_MOST_KEPT,
            most_clients: None,
            patience: DEFAULT_STREAM_PATIENCE,
        }
    }
}

/// A service before an end of it is opened: its name or address, what it carries, and how.
///
/// `P` says what it carries: [`Bytes`], [`Typed`] or [`Encoded`] pairs of request and reply.
pub struct Service<P = Bytes> {
    place: Place,
    terms: Terms,
    payload: PhantomData<fn(P) -> P>,
}

impl Node {
    /// A service of this name that carries bytes.
    pub fn service(&self, name: impl Into<String>) -> Service {
        Service::new(Place::Named(self.clone(), name.into()), Options::new())
    }

    /// A service of this name whose requests are values of type `Q` and whose replies are values of type `R`, as they lie in
    /// memory.
    pub fn service_of<Q: Plain, R: Plain>(&self, name: impl Into<String>) -> Service<Typed<(Q, R)>> {
        Service::new(Place::Named(self.clone(), name.into()), Options::new())
    }

    /// The same for any serde types, encoded with postcard.
    pub fn service_of_serde<Q, R>(&self, name: impl Into<String>) -> Service<Encoded<(Q, R)>>
    where
        Q: Serialize + DeserializeOwned,
        R: Serialize + DeserializeOwned,
    {
        Service::new(Place::Named(self.clone(), name.into()), Options::new())
    }
}

impl Options {
    /// A service at this address that carries bytes.
    pub fn service(&self, address: impl Into<String>) -> Service {
        Service::new(Place::Address(address.into()), self.clone())
    }

    /// A service at this address whose requests are values of type `Q` and whose replies are values of type `R`.
    pub fn service_of<Q: Plain, R: Plain>(&self, address: impl Into<String>) -> Service<Typed<(Q, R)>> {
        Service::new(Place::Address(address.into()), self.clone())
    }

    /// The same for any serde types, encoded with postcard.
    pub fn service_of_serde<Q, R>(&self, address: impl Into<String>) -> Service<Encoded<(Q, R)>>
    where
        Q: Serialize + DeserializeOwned,
        R: Serialize + DeserializeOwned,
    {
        Service::new(Place::Address(address.into()), self.clone())
    }
}

impl<P> Service<P> {
    fn new(place: Place, options: Options) -> Service<P> {
        Service { place, terms: Terms::new(options), payload: PhantomData }
    }

    /// How a client chooses among several servers.
    #[must_use]
    pub fn choice(mut self, choice: Choice) -> Self {
        self.terms.choice = choice;
        self
    }

    /// How this end waits.
    #[must_use]
    pub fn wait(mut self, wait: Wait) -> Self {
        self.terms.options = self.terms.options.wait(wait);
        self
    }

    /// How far the other ends are trusted.
    #[must_use]
    pub fn trust(mut self, trust: Trust) -> Self {
        self.terms.options = self.terms.options.trust(trust);
        self
    }

    /// The largest message, with a header of 24 bytes (256 MiB unless said otherwise). Each link takes the smaller of what both
    /// sides say.
    #[must_use]
    pub fn max_message(mut self, bytes: usize) -> Self {
        self.terms.options = self.terms.options.max_message(bytes);
        self
    }

    /// Bytes of answers that a server keeps for each client that does not read them, before it cuts the client off, and that a
    /// client keeps of each call with several results, before it [lets the server wait](Client#when-full) or gives the call up
    /// (1 MiB unless said otherwise). Each answer and each result counts 64 bytes more. Results of streams take three quarters of
    /// what a server keeps at most; failures and ends of streams may take some 600 KiB beyond. One message is always kept, however
    /// large, and one may be kept beyond.
    #[must_use]
    pub fn most_kept(mut self, bytes: usize) -> Self {
        self.terms.most_kept = bytes;
        self
    }

    /// How many clients a server has at most at an address. Without, 1,024, or half as many as its process may open descriptors
    /// when it listens, where that is less. Whoever connects beyond that is refused, and told why.
    #[must_use]
    pub fn most_clients(mut self, clients: usize) -> Self {
        self.terms.most_clients = Some(clients);
        self
    }

    /// How long a server's [`ReplyStream::send`] waits for a client that has no room (1 s unless said otherwise). The whole
    /// server waits with it where it has one thread.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.terms.patience = patience;
        self
    }

    fn open_server(&self, payload: Payload) -> Result<Server, OpenError> {
        self.place.open(
            |node, name| Server::open(node, name, payload.clone(), &self.terms),
            |address| Server::listen(address, payload.clone(), &self.terms),
        )
    }

    fn open_client(&self, payload: Payload, limit: Option<Duration>) -> Result<Client, OpenError> {
        self.place.open(
            |node, name| Client::open(node, name, payload.clone(), &self.terms),
            |address| Client::connect(address, payload.clone(), &self.terms, limit),
        )
    }
}

impl Service<Bytes> {
    /// Opens a server: by name one of several, by address the one that listens there.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn server(&self) -> Result<Server, OpenError> {
        self.open_server(Payload::Bytes)
    }

    /// Opens a client. By name it needs no server yet; by address somebody must listen.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn client(&self) -> Result<Client, OpenError> {
        self.open_client(Payload::Bytes, None)
    }

    /// Opens a client; over an address waits for somebody to listen, at most `limit`.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn client_timeout(&self, limit: Duration) -> Result<Client, OpenError> {
        self.open_client(Payload::Bytes, Some(limit))
    }
}

impl<P: Carries> Service<P> {
    /// Opens a server of these types.
    ///
    /// # Errors
    /// [`OpenError`]; [`NodeError::OtherType`](crate::NodeError::OtherType) when somebody has opened the name for other types.
    pub fn typed_server(&self) -> Result<TypedServer<P>, OpenError> {
        self.open_server(P::payload().0).map(TypedServer::new)
    }

    /// Opens a client of these types.
    ///
    /// # Errors
    /// As [`typed_server`](Self::typed_server).
    pub fn typed_client(&self) -> Result<TypedClient<P>, OpenError> {
        self.open_client(P::payload().0, None).map(TypedClient::new)
    }
}

impl<P> Clone for Service<P> {
    fn clone(&self) -> Self {
        Service { place: self.place.clone(), terms: self.terms.clone(), payload: PhantomData }
    }
}

impl<P> fmt::Debug for Service<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").field("place", &self.place).field("terms", &self.terms).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod hostile_tests;
#[cfg(test)]
mod older_tests;
