//! Addresses, links and transports: ship it as a message.
#![forbid(unsafe_code)]

mod address;
mod aligned;
#[cfg(feature = "tokio")]
mod asynchronous;
mod attachment;
#[cfg(test)]
mod chance;
mod channel;
mod error;
mod handshake;
mod link;
mod listener;
mod loan;
mod meet;
mod message;
#[allow(dead_code, unused_imports, reason = "the seam for patterns, which are built on it")]
mod node;
mod options;
mod pattern;
mod peer;
mod port;
mod receiver;
mod rhythm;
mod room;
mod selector;
mod sender;
mod serde;
mod spawn;
#[cfg(feature = "tls")]
mod tls;
mod transport;
mod typed;
mod voice;
mod wait;
mod waits;

pub use self::address::{Address, Transport};
#[cfg(feature = "tokio")]
pub use self::asynchronous::{AsyncLink, AsyncListener, AsyncReceiver, AsyncSender, AsyncSurvey, InTasks};
pub use self::attachment::{Attachment, MAX_ATTACHMENTS, TakeError};
pub use self::channel::{AttachError, ChannelEnd};
#[doc(hidden)]
pub use self::channel::{Kind, Untied};
pub use self::error::{AddressError, ConnectError, RecvError, SendError};
pub use self::link::Link;
pub use self::listener::{Listener, Refused};
pub use self::loan::Loan;
pub use self::message::Message;
pub use self::node::{
    Change, EndpointInfo, Node, NodeError, NodeId, NodeOptions, NodeWatch, Part, Pattern, Statistics, TopicNameError,
};
pub use self::options::{
    DEFAULT_CAPACITY_BYTES, DEFAULT_KEEP_ALIVE, DEFAULT_MAX_MESSAGE_BYTES, Options, Policy, Trust, Wait,
};
pub use self::pattern::{
    Account, Accounted, Answer, Bus, BusMember, Bytes, Call, CallError, CallId, Carries, Carry, Choice, Client,
    ClientId, DEFAULT_HOLD_BYTES, DEFAULT_MOST_BYTES, DEFAULT_MOST_DELIVERIES, DEFAULT_MOST_ITEMS, DEFAULT_MOST_KEPT,
    DEFAULT_PATIENCE, DEFAULT_PREFETCH, DEFAULT_STREAM_PATIENCE, DeadLetter, Encoded, EventListener, HeldSample,
    HeldTypedSample, Item, MethodResults, NodeEvent, Notifier, OnFull, OpenError, Outcome, Publisher, PublisherId,
    PublisherInfo, PublisherLoan, PublisherRoom, Puller, PushId, Pushed, Pusher, Queue, ReplyStream, Request, Results,
    Sample, SerdeBusMember, SerdePublisher, SerdeSubscriber, Server, ServerId, ServerInfo, Service, Settled, State,
    StateOwner, StateWatcher, Subscriber, SubscriberCompany, Survey, Topic, Typed, TypedAnswer, TypedBusMember,
    TypedClient, TypedItem, TypedPublisher, TypedPublisherLoan, TypedPuller, TypedPusher, TypedReplyStream,
    TypedRequest, TypedResults, TypedSample, TypedServer, TypedSubscriber, TypedSurvey,
};
pub use self::peer::Peer;
pub use self::receiver::Receiver;
pub use self::room::Room;
pub use self::selector::Selector;
pub use self::sender::Sender;
pub use self::serde::{SerdeLink, SerdeListener, SerdeReceiver, SerdeSender};
#[doc(hidden)]
pub use self::spawn::Offer;
#[cfg(feature = "tls")]
pub use self::tls::Tls;
#[doc(hidden)]
pub use self::transport::PeerMemory;
pub use self::typed::{TypedLink, TypedListener, TypedLoan, TypedReceiver, TypedSender, View};
#[doc(hidden)]
pub use self::waits::Seam;
pub use self::waits::{Endpoint, Readable, Writable};
/// Makes a service of a trait: a client with the same methods, and a server that answers with whatever implements it.
///
/// ```
/// # let private = tempfile::tempdir()?;
/// # let domain = wharf_sys::directory::Domain::at(private.path())?;
/// use std::time::Duration;
/// use wharf_message_passing::{NodeOptions, service};
///
/// #[service]
/// trait Calculator {
///     fn sum(&self, numbers: Vec<i64>) -> i64;
///     /// What goes wrong here is an answer too.
///     fn divide(&mut self, left: i64, right: i64) -> Result<i64, String>;
/// }
///
/// struct Abacus { divisions: u32 }
///
/// impl Calculator for Abacus {
///     fn sum(&self, numbers: Vec<i64>) -> i64 {
///         numbers.iter().sum()
///     }
///     fn divide(&mut self, left: i64, right: i64) -> Result<i64, String> {
///         self.divisions += 1;
///         left.checked_div(right).ok_or_else(|| format!("{left} / {right} is no number"))
///     }
/// }
///
/// const LIMIT: Duration = Duration::from_secs(5);
/// let node = NodeOptions::new().domain(domain).open()?;
/// let mut server = CalculatorServer::open(&node.service("calculator"), Abacus { divisions: 0 })?;
/// let answering = std::thread::spawn(move || while server.serve_one(Duration::from_secs(1)).is_ok() {});
/// let mut calculator = CalculatorClient::open(&node.service("calculator"), LIMIT)?;
/// assert_eq!(calculator.sum(vec![1, 2, 39])?, 42);
/// assert_eq!(calculator.divide(7, 2)?, Ok(3));
/// assert_eq!(calculator.divide(7, 0)?, Err("7 / 0 is no number".to_owned()));
/// # answering.join().unwrap();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Arguments and answers are any owned serde types. A request is the name of the method and its arguments in postcard over a
/// service of bytes, so whoever does not know a method says so in words ([`CallError::Failed`]), and so does a server whose
/// method has other arguments. Several requests are answered one after another; `CalculatorServer::answer` answers them in
/// threads of the program's own.
pub use wharf_derive::service;

/// What the code names that [`macro@service`] writes.
#[doc(hidden)]
pub mod __service {
    pub use crate::pattern::service::traits::*;
}

/// The macro that writes paths through the façade `wharf`.
#[doc(hidden)]
pub mod facade {
    pub use wharf_derive::service_through_wharf as service;
}

use std::process::{Child, Command};
use std::time::Duration;

/// Listens at an address with the default [`Options`].
///
/// # Errors
/// As [`Options::listen`].
pub fn listen(address: impl AsRef<str>) -> Result<Listener, ConnectError> {
    Options::new().listen(address)
}

/// Connects to an address with the default [`Options`].
///
/// # Errors
/// As [`Options::connect`].
pub fn connect(address: impl AsRef<str>) -> Result<Link, ConnectError> {
    Options::new().connect(address)
}

/// Connects to an address with the default [`Options`]; waits for a listener, at most `limit`.
///
/// # Errors
/// As [`Options::connect_timeout`].
pub fn connect_timeout(address: impl AsRef<str>, limit: Duration) -> Result<Link, ConnectError> {
    Options::new().connect_timeout(address, limit)
}

/// Starts a program and hands it a ready link, with the default [`Options`].
///
/// # Errors
/// As [`Options::spawn`].
pub fn spawn(transport: Transport, command: Command) -> Result<(Child, Link), ConnectError> {
    Options::new().spawn(transport, command)
}

/// Takes the link that was handed to this program when it was started, with the default [`Options`].
///
/// # Errors
/// As [`Options::inherited`].
pub fn inherited() -> Result<Link, ConnectError> {
    Options::new().inherited()
}
