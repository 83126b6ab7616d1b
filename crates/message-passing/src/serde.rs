//! Links of any serde type, encoded with postcard.

use std::marker::PhantomData;
use std::time::Duration;

use ::serde::Serialize;
use ::serde::de::DeserializeOwned;

use crate::address::Address;
use crate::error::{ConnectError, RecvError, SendError};
use crate::handshake::{Payload, Purpose};
use crate::link::Link;
use crate::listener::Listener;
use crate::meet;
use crate::options::Options;
use crate::peer::Peer;
use crate::receiver::Receiver;
use crate::sender::Sender;
use crate::waits::{Endpoint, Seam};

impl Options {
    /// Listens at an address for links of any serde type.
    ///
    /// # Errors
    /// As [`listen`](Self::listen).
    pub fn listen_serde<T: Serialize + DeserializeOwned>(
        &self,
        address: impl AsRef<str>,
    ) -> Result<SerdeListener<T>, ConnectError> {
        let listener =
            Listener::open(Address::parse(address.as_ref())?, self.clone(), Purpose::Messages, Payload::Serde)?;
        Ok(SerdeListener { listener, type_: PhantomData })
    }

    /// Connects to an address as a link of any serde type.
    ///
    /// # Errors
    /// [`ConnectError::OtherType`] when the other side does not carry serde values; otherwise as
    /// [`connect`](Self::connect).
    pub fn connect_serde<T: Serialize + DeserializeOwned>(
        &self,
        address: impl AsRef<str>,
    ) -> Result<SerdeLink<T>, ConnectError> {
        let address = Address::parse(address.as_ref())?;
        meet::connect(&address, self, Purpose::Messages, Payload::Serde, self.handshake_timeout, false)
            .map(SerdeLink::new)
    }

    /// Connects to an address as a link of any serde type; waits for a listener, at most `limit`.
    ///
    /// # Errors
    /// As [`connect_serde`](Self::connect_serde), and [`ConnectError::Timeout`].
    pub fn connect_serde_timeout<T: Serialize + DeserializeOwned>(
        &self,
        address: impl AsRef<str>,
        limit: Duration,
    ) -> Result<SerdeLink<T>, ConnectError> {
        let address = Address::parse(address.as_ref())?;
        meet::connect(&address, self, Purpose::Messages, Payload::Serde, limit, true).map(SerdeLink::new)
    }
}

/// A [`Listener`] for links of any serde type.
#[derive(Debug)]
pub struct SerdeListener<T> {
    listener: Listener,
    type_: PhantomData<fn(T) -> T>,
}

impl<T: Serialize + DeserializeOwned> SerdeListener<T> {
    /// See [`Listener::accept`].
    ///
    /// # Errors
    /// The same.
    pub fn accept(&mut self) -> Result<SerdeLink<T>, ConnectError> {
        self.listener.accept().map(SerdeLink::new)
    }

    /// See [`Listener::accept_timeout`].
    ///
    /// # Errors
    /// The same.
    pub fn accept_timeout(&mut self, limit: Duration) -> Result<SerdeLink<T>, ConnectError> {
        self.listener.accept_timeout(limit).map(SerdeLink::new)
    }

    /// See [`Listener::try_accept`].
    ///
    /// # Errors
    /// The same.
    pub fn try_accept(&mut self) -> Result<SerdeLink<T>, ConnectError> {
        self.listener.try_accept().map(SerdeLink::new)
    }

    /// The listener itself: its address and its refusals.
    pub fn listener(&self) -> &Listener {
        &self.listener
    }
}

/// A [`Link`] of any serde type. Both sides must mean the same type; postcard does not describe what it encodes.
///
/// # Peers that are not trusted
/// A message that is not a `T` is [`RecvError::Protocol`]. Do not receive two kinds of types from a peer that may be hostile: values that
/// contain themselves (a tree of boxes) are decoded by recursion, whose depth it chooses; and of collections of what takes no bytes (`Vec<()>`)
/// it chooses the length, up to 2⁶⁴ in a message of ten bytes. Any other message takes no longer than it has bytes.
///
/// ```
/// use wharf_message_passing::Options;
/// # let private = tempfile::tempdir()?;
/// # let options = Options::new().domain(wharf_sys::directory::Domain::at(private.path())?);
///
/// let mut listener = options.listen_serde::<(u32, String)>("unix:names")?;
/// let there = std::thread::spawn(move || listener.accept().unwrap().recv().unwrap());
/// let mut link = options.connect_serde::<(u32, String)>("unix:names")?;
/// link.send(&(7, "seven".to_owned()))?;
/// assert_eq!(there.join().unwrap(), (7, "seven".to_owned()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct SerdeLink<T> {
    sender: SerdeSender<T>,
    receiver: SerdeReceiver<T>,
}

impl<T: Serialize + DeserializeOwned> SerdeLink<T> {
    fn new(link: Link) -> Self {
        let (sender, receiver) = link.split();
        Self { sender: SerdeSender::new(sender), receiver: SerdeReceiver::new(receiver) }
    }

    /// Takes the link apart, so that two threads can send and receive at the same time.
    pub fn split(self) -> (SerdeSender<T>, SerdeReceiver<T>) {
        (self.sender, self.receiver)
    }

    /// Who is at the other end.
    pub fn peer(&self) -> &Peer {
        self.sender.sender.peer()
    }

    /// See [`Sender::try_send`].
    ///
    /// # Errors
    /// The same, and [`SendError::Encode`].
    pub fn try_send(&mut self, value: &T) -> Result<(), SendError> {
        self.sender.try_send(value)
    }

    /// See [`Sender::send`].
    ///
    /// # Errors
    /// The same, and [`SendError::Encode`].
    pub fn send(&mut self, value: &T) -> Result<(), SendError> {
        self.sender.send(value)
    }

    /// See [`Sender::send_timeout`].
    ///
    /// # Errors
    /// The same, and [`SendError::Encode`].
    pub fn send_timeout(&mut self, value: &T, limit: Duration) -> Result<(), SendError> {
        self.sender.send_timeout(value, limit)
    }

    /// See [`Sender::send_rendezvous`].
    ///
    /// # Errors
    /// The same, and [`SendError::Encode`].
    pub fn send_rendezvous(&mut self, value: &T, limit: Option<Duration>) -> Result<(), SendError> {
        self.sender.send_rendezvous(value, limit)
    }

    /// See [`Receiver::try_recv`].
    ///
    /// # Errors
    /// The same, and [`RecvError::Protocol`] when the peer sent something that is not a `T`.
    pub fn try_recv(&mut self) -> Result<T, RecvError> {
        self.receiver.try_recv()
    }

    /// See [`Receiver::recv`].
    ///
    /// # Errors
    /// The same, and [`RecvError::Protocol`] when the peer sent something that is not a `T`.
    pub fn recv(&mut self) -> Result<T, RecvError> {
        self.receiver.recv()
    }

    /// See [`Receiver::recv_timeout`].
    ///
    /// # Errors
    /// The same, and [`RecvError::Protocol`] when the peer sent something that is not a `T`.
    pub fn recv_timeout(&mut self, limit: Duration) -> Result<T, RecvError> {
        self.receiver.recv_timeout(limit)
    }
}

/// The sending end of a [`SerdeLink`].
#[derive(Debug)]
pub struct SerdeSender<T> {
    sender: Sender,
    /// Kept from message to message.
    encoded: Vec<u8>,
    type_: PhantomData<fn(T)>,
}

impl<T: Serialize> SerdeSender<T> {
    pub(crate) fn new(sender: Sender) -> Self {
        Self { sender, encoded: Vec::new(), type_: PhantomData }
    }

    pub(crate) fn untyped(&mut self) -> &mut Sender {
        &mut self.sender
    }

    /// See [`Sender::try_send`].
    ///
    /// # Errors
    /// The same, and [`SendError::Encode`].
    pub fn try_send(&mut self, value: &T) -> Result<(), SendError> {
        encode(value, self.sender.max_message(), &mut self.encoded)?;
        self.sender.try_send(&self.encoded)
    }

    /// See [`Sender::send`].
    ///
    /// # Errors
    /// The same, and [`SendError::Encode`].
    pub fn send(&mut self, value: &T) -> Result<(), SendError> {
        encode(value, self.sender.max_message(), &mut self.encoded)?;
        self.sender.send(&self.encoded)
    }

    /// See [`Sender::send_timeout`].
    ///
    /// # Errors
    /// The same, and [`SendError::Encode`].
    pub fn send_timeout(&mut self, value: &T, limit: Duration) -> Result<(), SendError> {
        encode(value, self.sender.max_message(), &mut self.encoded)?;
        self.sender.send_timeout(&self.encoded, limit)
    }

    /// See [`Sender::send_rendezvous`].
    ///
    /// # Errors
    /// The same, and [`SendError::Encode`].
    pub fn send_rendezvous(&mut self, value: &T, limit: Option<Duration>) -> Result<(), SendError> {
        encode(value, self.sender.max_message(), &mut self.encoded)?;
        self.sender.send_rendezvous(&self.encoded, limit)
    }

    /// The sender of bytes: counts, limits, the peer.
    pub fn sender(&self) -> &Sender {
        &self.sender
    }
}

/// Encodes a value into `buffer`, which is emptied first kept for the next one; at most `limit` bytes.
pub(crate) fn encode<T: Serialize>(value: &T, limit: usize, buffer: &mut Vec<u8>) -> Result<(), SendError> {
    let mut taken = std::mem::take(buffer);
    taken.clear();
    match postcard::serialize_with_flavor(value, Bounded { buffer: taken, limit, asked: 0 }) {
        Ok(Ok(encoded)) => {
            *buffer = encoded;
            Ok(())
        }
        Ok(Err(len)) => Err(SendError::TooLarge { len, limit }),
        Err(error) => Err(SendError::Encode(error.to_string())),
    }
}

/// Collects encoded bytes up to the link's limit, and beyond it only counts them, so that the error can say how many
/// there would have been.
struct Bounded {
    buffer: Vec<u8>,
    limit: usize,
    asked: usize,
}

impl postcard::ser_flavors::Flavor for Bounded {
    type Output = Result<Vec<u8>, usize>;

    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.try_extend(&[byte])
    }

    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        self.asked = self.asked.saturating_add(bytes.len());
        if self.asked <= self.limit {
            self.buffer.extend_from_slice(bytes);
        }
        Ok(())
    }

    fn finalize(self) -> postcard::Result<Self::Output> {
        Ok(if self.asked <= self.limit { Ok(self.buffer) } else { Err(self.asked) })
    }
}

/// The receiving end of a [`SerdeLink`].
#[derive(Debug)]
pub struct SerdeReceiver<T> {
    receiver: Receiver,
    type_: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> SerdeReceiver<T> {
    pub(crate) fn new(receiver: Receiver) -> Self {
        Self { receiver, type_: PhantomData }
    }

    pub(crate) fn untyped(&mut self) -> &mut Receiver {
        &mut self.receiver
    }

    /// See [`Receiver::try_recv`].
    ///
    /// # Errors
    /// The same, and [`RecvError::Protocol`] when the peer sent something that is not a `T`.
    pub fn try_recv(&mut self) -> Result<T, RecvError> {
        decode(&self.receiver.try_recv()?)
    }

    /// See [`Receiver::recv`].
    ///
    /// # Errors
    /// The same, and [`RecvError::Protocol`] when the peer sent something that is not a `T`.
    pub fn recv(&mut self) -> Result<T, RecvError> {
        decode(&self.receiver.recv()?)
    }

    /// See [`Receiver::recv_timeout`].
    ///
    /// # Errors
    /// The same, and [`RecvError::Protocol`] when the peer sent something that is not a `T`.
    pub fn recv_timeout(&mut self, limit: Duration) -> Result<T, RecvError> {
        decode(&self.receiver.recv_timeout(limit)?)
    }

    /// The receiver of bytes: counts, the peer.
    pub fn receiver(&self) -> &Receiver {
        &self.receiver
    }
}

/// Decodes a message that must be one value and nothing else.
pub(crate) fn decode<T: DeserializeOwned>(message: &[u8]) -> Result<T, RecvError> {
    value_in(message).map_err(RecvError::Protocol)
}

/// The same for whoever has another error to say why not.
pub(crate) fn value_in<T: DeserializeOwned>(message: &[u8]) -> Result<T, String> {
    let len = message.len();
    match postcard::take_from_bytes(message) {
        Ok((value, [])) => Ok(value),
        Ok((_, rest)) => Err(format!("a message of {len} bytes has {} more than the value in it", rest.len())),
        Err(error) => Err(format!("a message of {len} bytes is no such value: {error}")),
    }
}

/// Ready when what is below is: see [`Listener`].
impl<T> Endpoint for SerdeListener<T> {
    fn seam(&mut self) -> Seam<'_> {
        self.listener.seam()
    }
}

/// Ready when what is below is: see [`Link`].
impl<T> Endpoint for SerdeLink<T> {
    fn seam(&mut self) -> Seam<'_> {
        self.receiver.seam()
    }
}

/// Ready when what is below is: see [`Receiver`].
impl<T> Endpoint for SerdeReceiver<T> {
    fn seam(&mut self) -> Seam<'_> {
        self.receiver.seam()
    }
}
