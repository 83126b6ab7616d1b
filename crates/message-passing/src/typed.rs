//! Links of one type of fixed size: values in place, their layout agreed when the two sides meet.

use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use wharf_shared_memory::{Plain, plain};

use crate::address::Address;
use crate::aligned::{ALIGN_BYTES, AlignedBytes};
use crate::error::{ConnectError, RecvError, SendError};
use crate::handshake::{Payload, Purpose};
use crate::link::Link;
use crate::listener::Listener;
use crate::loan::Loan;
use crate::meet;
use crate::message::Message;
use crate::options::Options;
use crate::peer::Peer;
use crate::receiver::Receiver;
use crate::sender::Sender;
use crate::waits::{Endpoint, Seam};

impl Options {
    /// Listens at an address for links of one type.
    ///
    /// # Errors
    /// As [`listen`](Self::listen).
    pub fn listen_typed<T: Plain>(&self, address: impl AsRef<str>) -> Result<TypedListener<T>, ConnectError> {
        let address = Address::parse(address.as_ref())?;
        let listener = Listener::open(address, self.aligned_for::<T>()?, Purpose::Messages, Payload::of::<T>())?;
        Ok(TypedListener { listener, type_: PhantomData })
    }

    /// Connects to an address as a link of one type.
    ///
    /// # Errors
    /// [`ConnectError::OtherType`] when the other side carries another type: it names both and their layouts.
    /// Otherwise as [`connect`](Self::connect).
    pub fn connect_typed<T: Plain>(&self, address: impl AsRef<str>) -> Result<TypedLink<T>, ConnectError> {
        let address = Address::parse(address.as_ref())?;
        let options = self.aligned_for::<T>()?;
        meet::connect(&address, &options, Purpose::Messages, Payload::of::<T>(), self.handshake_timeout, false)
            .map(TypedLink::new)
    }

    /// Connects to an address as a link of one type; waits for a listener, at most `limit`.
    ///
    /// # Errors
    /// As [`connect_typed`](Self::connect_typed), and [`ConnectError::Timeout`].
    pub fn connect_typed_timeout<T: Plain>(
        &self,
        address: impl AsRef<str>,
        limit: Duration,
    ) -> Result<TypedLink<T>, ConnectError> {
        let address = Address::parse(address.as_ref())?;
        meet::connect(&address, &self.aligned_for::<T>()?, Purpose::Messages, Payload::of::<T>(), limit, true)
            .map(TypedLink::new)
    }

    /// The same options with payloads aligned as `T` needs it.
    pub(crate) fn aligned_for<T: Plain>(&self) -> Result<Options, ConnectError> {
        match align_of::<T>() {
            0..=8 => Ok(self.clone()),
            9..=ALIGN_BYTES => Ok(self.clone().align(ALIGN_BYTES)),
            align => Err(ConnectError::Options(format!(
                "{} is aligned to {align} bytes, links carry at most {ALIGN_BYTES}",
                T::LAYOUT.name
            ))),
        }
    }
}

impl Payload {
    /// Values of this type.
    pub(crate) fn of<T: Plain>() -> Payload {
        Payload::Typed { hash: T::LAYOUT.hash, size: size_of::<T>() as u64, name: T::LAYOUT.name.to_owned() }
    }
}

/// A [`Listener`] for links of one type.
#[derive(Debug)]
pub struct TypedListener<T> {
    listener: Listener,
    type_: PhantomData<fn(T) -> T>,
}

impl<T: Plain> TypedListener<T> {
    /// See [`Listener::accept`].
    ///
    /// # Errors
    /// The same.
    pub fn accept(&mut self) -> Result<TypedLink<T>, ConnectError> {
        self.listener.accept().map(TypedLink::new)
    }

    /// See [`Listener::accept_timeout`].
    ///
    /// # Errors
    /// The same.
    pub fn accept_timeout(&mut self, limit: Duration) -> Result<TypedLink<T>, ConnectError> {
        self.listener.accept_timeout(limit).map(TypedLink::new)
    }

    /// See [`Listener::try_accept`].
    ///
    /// # Errors
    /// The same.
    pub fn try_accept(&mut self) -> Result<TypedLink<T>, ConnectError> {
        self.listener.try_accept().map(TypedLink::new)
    }

    /// The listener itself: its address and its refusals.
    pub fn listener(&self) -> &Listener {
        &self.listener
    }
}

/// A [`Link`] of one type.
///
/// ```
/// use wharf_message_passing::Options;
/// # let private = tempfile::tempdir()?;
/// # let options = Options::new().domain(wharf_sys::directory::Domain::at(private.path())?);
///
/// let mut listener = options.listen_typed::<[f32; 3]>("unix:points")?;
/// let there = std::thread::spawn(move || -> Result<f32, Box<dyn std::error::Error + Send + Sync>> {
///     let mut link = listener.accept()?;
///     let point = link.recv()?; // seen in place where the transport allows it
///     Ok(point.iter().sum())
/// });
/// let mut link = options.connect_typed::<[f32; 3]>("unix:points")?;
/// let mut point = link.loan()?;
/// point[1] = 2.0;
/// point[2] = 3.0;
/// point[0] = 1.0;
/// point.send()?;
/// assert_eq!(there.join().unwrap().unwrap(), 6.0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct TypedLink<T> {
    sender: TypedSender<T>,
    receiver: TypedReceiver<T>,
}

impl<T: Plain> TypedLink<T> {
    fn new(link: Link) -> Self {
        let (sender, receiver) = link.split();
        Self { sender: TypedSender::new(sender), receiver: TypedReceiver::new(receiver) }
    }

    /// Takes the link apart, so that two threads can send and receive at the same time.
    pub fn split(self) -> (TypedSender<T>, TypedReceiver<T>) {
        (self.sender, self.receiver)
    }

    /// Who is at the other end.
    pub fn peer(&self) -> &Peer {
        self.sender.sender.peer()
    }

    /// See [`Sender::try_send`].
    ///
    /// # Errors
    /// The same.
    #[inline]
    pub fn try_send(&mut self, value: &T) -> Result<(), SendError> {
        self.sender.try_send(value)
    }

    /// See [`Sender::send`].
    ///
    /// # Errors
    /// The same.
    #[inline]
    pub fn send(&mut self, value: &T) -> Result<(), SendError> {
        self.sender.send(value)
    }

    /// See [`Sender::send_timeout`].
    ///
    /// # Errors
    /// The same.
    #[inline]
    pub fn send_timeout(&mut self, value: &T, limit: Duration) -> Result<(), SendError> {
        self.sender.send_timeout(value, limit)
    }

    /// See [`Sender::send_rendezvous`].
    ///
    /// # Errors
    /// The same.
    pub fn send_rendezvous(&mut self, value: &T, limit: Option<Duration>) -> Result<(), SendError> {
        self.sender.send_rendezvous(value, limit)
    }

    /// See [`TypedSender::try_loan`].
    ///
    /// # Errors
    /// The same.
    #[inline]
    pub fn try_loan(&mut self) -> Result<TypedLoan<'_, T>, SendError> {
        self.sender.try_loan()
    }

    /// See [`TypedSender::loan`].
    ///
    /// # Errors
    /// The same.
    #[inline]
    pub fn loan(&mut self) -> Result<TypedLoan<'_, T>, SendError> {
        self.sender.loan()
    }

    /// See [`Receiver::try_recv`].
    ///
    /// # Errors
    /// The same.
    #[inline]
    pub fn try_recv(&mut self) -> Result<View<'_, T>, RecvError> {
        self.receiver.try_recv()
    }

    /// See [`Receiver::recv`].
    ///
    /// # Errors
    /// The same.
    #[inline]
    pub fn recv(&mut self) -> Result<View<'_, T>, RecvError> {
        self.receiver.recv()
    }

    /// See [`Receiver::recv_timeout`].
    ///
    /// # Errors
    /// The same.
    #[inline]
    pub fn recv_timeout(&mut self, limit: Duration) -> Result<View<'_, T>, RecvError> {
        self.receiver.recv_timeout(limit)
    }
}

/// The sending end of a [`TypedLink`].
#[derive(Debug)]
pub struct TypedSender<T> {
    sender: Sender,
    type_: PhantomData<fn(T)>,
}

impl<T: Plain> TypedSender<T> {
    pub(crate) fn new(sender: Sender) -> Self {
        Self { sender, type_: PhantomData }
    }

    pub(crate) fn untyped(&mut self) -> &mut Sender {
        &mut self.sender
    }

    /// See [`Sender::try_send`].
    ///
    /// # Errors
    /// The same.
    #[inline]
    pub fn try_send(&mut self, value: &T) -> Result<(), SendError> {
        self.sender.try_send(plain::bytes_of(value))
    }

    /// See [`Sender::send`].
    ///
    /// # Errors
    /// The same.
    #[inline]
    pub fn send(&mut self, value: &T) -> Result<(), SendError> {
        self.sender.send(plain::bytes_of(value))
    }

    /// See [`Sender::send_timeout`].
    ///
    /// # Errors
    /// The same.
    #[inline]
    pub fn send_timeout(&mut self, value: &T, limit: Duration) -> Result<(), SendError> {
        self.sender.send_timeout(plain::bytes_of(value), limit)
    }

    /// See [`Sender::send_rendezvous`].
    ///
    /// # Errors
    /// The same.
    pub fn send_rendezvous(&mut self, value: &T, limit: Option<Duration>) -> Result<(), SendError> {
        self.sender.send_rendezvous(plain::bytes_of(value), limit)
    }

    /// Gives a value to fill and send, if there is room for it now. Its first content is unspecified.
    ///
    /// # Errors
    /// As [`Sender::try_loan`].
    #[inline]
    pub fn try_loan(&mut self) -> Result<TypedLoan<'_, T>, SendError> {
        self.sender.try_loan(size_of::<T>()).and_then(TypedLoan::new)
    }

    /// Gives a value to fill and send; waits for room. Its first content is unspecified.
    ///
    /// # Errors
    /// As [`Sender::loan`].
    #[inline]
    pub fn loan(&mut self) -> Result<TypedLoan<'_, T>, SendError> {
        self.sender.loan(size_of::<T>()).and_then(TypedLoan::new)
    }

    /// The untyped sender: counts, limits, the peer.
    pub fn sender(&self) -> &Sender {
        &self.sender
    }
}

/// The receiving end of a [`TypedLink`].
#[derive(Debug)]
pub struct TypedReceiver<T> {
    receiver: Receiver,
    /// Where a value is put that does not lie on its alignment.
    spare: AlignedBytes,
    type_: PhantomData<fn() -> T>,
}

impl<T: Plain> TypedReceiver<T> {
    pub(crate) fn new(receiver: Receiver) -> Self {
        Self { receiver, spare: AlignedBytes::empty(0), type_: PhantomData }
    }

    pub(crate) fn untyped(&mut self) -> &mut Receiver {
        &mut self.receiver
    }

    /// See [`Receiver::try_recv`].
    ///
    /// # Errors
    /// The same, and [`RecvError::Protocol`] when the peer sent something that is not a `T`.
    #[inline]
    pub fn try_recv(&mut self) -> Result<View<'_, T>, RecvError> {
        View::of(self.receiver.try_recv()?, &mut self.spare)
    }

    /// See [`Receiver::recv`].
    ///
    /// # Errors
    /// The same, and [`RecvError::Protocol`] when the peer sent something that is not a `T`.
    #[inline]
    pub fn recv(&mut self) -> Result<View<'_, T>, RecvError> {
        View::of(self.receiver.recv()?, &mut self.spare)
    }

    /// See [`Receiver::recv_timeout`].
    ///
    /// # Errors
    /// The same, and [`RecvError::Protocol`] when the peer sent something that is not a `T`.
    #[inline]
    pub fn recv_timeout(&mut self, limit: Duration) -> Result<View<'_, T>, RecvError> {
        View::of(self.receiver.recv_timeout(limit)?, &mut self.spare)
    }

    /// The untyped receiver: counts, the peer.
    pub fn receiver(&self) -> &Receiver {
        &self.receiver
    }
}

/// The value that these bytes are, and whether it lies among them: one that is not aligned is put into `spare`.
#[inline]
pub(crate) fn value_in<'a, T: Plain>(bytes: &'a [u8], spare: &'a mut AlignedBytes) -> Result<(&'a T, bool), RecvError> {
    match plain::view::<T>(bytes) {
        Some(value) => Ok((value, true)),
        None => copied_value(bytes, spare).map(|value| (value, false)),
    }
}

#[cold]
fn copied_value<'a, T: Plain>(bytes: &[u8], spare: &'a mut AlignedBytes) -> Result<&'a T, RecvError> {
    let len = size_of::<T>();
    if bytes.len() != len {
        return Err(RecvError::Protocol(format!(
            "a message of {} bytes came where {} has {len}",
            bytes.len(),
            T::LAYOUT.name
        )));
    }
    let full = |what: String| RecvError::System(io::Error::new(io::ErrorKind::OutOfMemory, what));
    spare.grow(len, 0).map_err(|why| full(why.to_string()))?;
    spare.get_mut(..len).copy_from_slice(bytes);
    plain::view::<T>(spare.get(..len)).ok_or_else(|| {
        // Whoever made the buffer made it for this type.
        full(format!("the buffer of a copy lies on a wrong alignment for {}", T::LAYOUT.name))
    })
}

/// A received value, borrowed from the receiver until the next call to it; copy it (`*view`) to keep it.
pub struct View<'a, T> {
    value: &'a T,
    in_place: bool,
}

impl<'a, T: Plain> View<'a, T> {
    #[inline]
    fn of(message: Message<'a>, spare: &'a mut AlignedBytes) -> Result<Self, RecvError> {
        let in_place = message.in_place();
        let (value, aligned) = value_in(message.bytes(), spare)?;
        Ok(Self { value, in_place: in_place && aligned })
    }

    /// Whether the value lies where the sender wrote it (`true`), or in a copy that is private to this process.
    #[inline]
    pub fn in_place(&self) -> bool {
        self.in_place
    }
}

impl<T> Deref for View<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        self.value
    }
}

impl<T: fmt::Debug> fmt::Debug for View<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}

/// A value to fill; [`send`](Self::send) makes it a message, dropping it does not.
#[must_use = "a loan that is dropped sends nothing"]
#[derive(Debug)]
pub struct TypedLoan<'a, T> {
    loan: Loan<'a>,
    type_: PhantomData<T>,
}

impl<'a, T: Plain> TypedLoan<'a, T> {
    #[inline]
    fn new(loan: Loan<'a>) -> Result<Self, SendError> {
        if plain::view::<T>(&loan).is_none() {
            let what = format!("room for {} was lent on a wrong alignment", T::LAYOUT.name);
            return Err(SendError::System(io::Error::other(what)));
        }
        Ok(Self { loan, type_: PhantomData })
    }

    /// Whether the value lies where the peer will read it.
    pub fn in_place(&self) -> bool {
        self.loan.in_place()
    }

    /// See [`Loan::send`].
    ///
    /// # Errors
    /// The same.
    #[inline]
    pub fn send(self) -> Result<(), SendError> {
        self.loan.send()
    }
}

impl<T: Plain> Deref for TypedLoan<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        plain::view(&self.loan).expect("length and alignment were checked when the loan was made and do not change")
    }
}

impl<T: Plain> DerefMut for TypedLoan<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        plain::view_mut(&mut self.loan)
            .expect("length and alignment were checked when the loan was made and do not change")
    }
}

/// Ready when what is below is: see [`Listener`].
impl<T> Endpoint for TypedListener<T> {
    fn seam(&mut self) -> Seam<'_> {
        self.listener.seam()
    }
}

/// Ready when what is below is: see [`Link`].
impl<T> Endpoint for TypedLink<T> {
    fn seam(&mut self) -> Seam<'_> {
        self.receiver.seam()
    }
}

/// Ready when what is below is: see [`Receiver`].
impl<T> Endpoint for TypedReceiver<T> {
    fn seam(&mut self) -> Seam<'_> {
        self.receiver.seam()
    }
}
