//! Links, and ends of topics, events, states and services, in tasks of a tokio runtime (feature `tokio`).
//!
//! Each end is an ordinary one together with what lets it sleep in the runtime; it sleeps by the same steps as a
//! [`Selector`](crate::Selector) does.

mod listener;
mod pattern;
mod receiver;
mod sender;
mod service;
mod sleeper;

use std::io;
use std::time::Duration;

use wharf_sys::reactor;

pub use self::listener::AsyncListener;
pub use self::pattern::InTasks;
pub use self::receiver::AsyncReceiver;
pub use self::sender::AsyncSender;
pub use self::service::AsyncSurvey;
use crate::error::{ConnectError, RecvError, SendError};
use crate::link::Link;
use crate::message::Message;
use crate::options::Options;
use crate::peer::Peer;

/// A link in tasks of a tokio runtime; see [`Link`].
///
/// ```
/// use wharf_message_passing::Options;
///
/// # let private = tempfile::tempdir()?;
/// # let options = Options::new().domain(wharf_sys::directory::Domain::at(private.path())?);
/// # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
/// # runtime.block_on(async {
/// let mut listener = options.listen("shm:echo")?.into_async();
/// let echo = tokio::spawn(async move {
///     let mut link = listener.accept().await?;
///     let message = link.recv().await?.to_vec();
///     link.send(&message).await?;
///     Ok::<(), Box<dyn std::error::Error + Send + Sync>>(())
/// });
/// let mut link = options.connect_async("shm:echo").await?;
/// link.send(b"hi").await?;
/// assert_eq!(link.recv().await?, *b"hi");
/// # echo.await.unwrap().unwrap();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # The runtime
/// The waiting forms need a runtime whose drivers for descriptors and for time are enabled (`enable_all`), of either
/// flavour; an end belongs to the runtime in which it first slept, and outside of one a wait is an error.
///
/// # When a future is dropped
/// Nothing is lost, neither by `recv` nor by `send` nor by `accept`: see each. So all of them may stand in a `select!`.
#[derive(Debug)]
pub struct AsyncLink {
    sender: AsyncSender,
    receiver: AsyncReceiver,
}

impl AsyncLink {
    /// Takes the link apart, so that two tasks can send and receive at the same time.
    pub fn split(self) -> (AsyncSender, AsyncReceiver) {
        (self.sender, self.receiver)
    }

    /// The sending end.
    pub fn sender(&mut self) -> &mut AsyncSender {
        &mut self.sender
    }

    /// The receiving end.
    pub fn receiver(&mut self) -> &mut AsyncReceiver {
        &mut self.receiver
    }

    /// Who is at the other end.
    pub fn peer(&self) -> &Peer {
        self.receiver.peer()
    }

    /// See [`AsyncSender::send`].
    ///
    /// # Errors
    /// The same.
    pub async fn send(&mut self, message: &[u8]) -> Result<(), SendError> {
        self.sender.send(message).await
    }

    /// See [`AsyncReceiver::recv`].
    ///
    /// # Errors
    /// The same.
    pub async fn recv(&mut self) -> Result<Message<'_>, RecvError> {
        self.receiver.recv().await
    }
}

impl Link {
    /// The same link for tasks of a tokio runtime.
    pub fn into_async(self) -> AsyncLink {
        let (sender, receiver) = self.split();
        AsyncLink { sender: sender.into_async(), receiver: receiver.into_async() }
    }
}

impl Options {
    /// [`connect`](Self::connect) in a task of a tokio runtime.
    ///
    /// Looking a name up, and much of meeting besides, are calls that wait; they run on a thread that the runtime keeps for
    /// such calls.
    ///
    /// # When the future is dropped
    /// That thread goes on, at most for the [handshake time](Self::handshake_timeout). A link that still comes about is
    /// closed at once, which its other side sees.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub async fn connect_async(&self, address: impl AsRef<str>) -> Result<AsyncLink, ConnectError> {
        let address = address.as_ref().to_owned();
        self.connect_on_a_thread(move |options| options.connect(address)).await
    }

    /// [`connect_timeout`](Self::connect_timeout) in a task of a tokio runtime; as
    /// [`connect_async`](Self::connect_async) otherwise.
    ///
    /// # Errors
    /// As [`connect_timeout`](Self::connect_timeout).
    pub async fn connect_timeout_async(
        &self,
        address: impl AsRef<str>,
        limit: Duration,
    ) -> Result<AsyncLink, ConnectError> {
        let address = address.as_ref().to_owned();
        self.connect_on_a_thread(move |options| options.connect_timeout(address, limit)).await
    }

    async fn connect_on_a_thread(
        &self,
        connect: impl FnOnce(Options) -> Result<Link, ConnectError> + Send + 'static,
    ) -> Result<AsyncLink, ConnectError> {
        let failed = |error: io::Error| ConnectError::system("connect on a thread of the runtime", error);
        let runtime = reactor::runtime().map_err(failed)?;
        let options = self.clone();
        let connected = runtime.spawn_blocking(move || connect(options)).await;
        connected.map_err(|gone| failed(io::Error::other(gone)))?.map(Link::into_async)
    }
}
