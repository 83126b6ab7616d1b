//! Channels: a private pair whose ends travel inside messages.

use std::fmt;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};

use ::serde::Serialize;
use ::serde::de::DeserializeOwned;
use wharf_shared_memory::Plain;
use wharf_sys::crash_point;

use crate::address::{Address, Transport};
use crate::attachment::TakeError;
use crate::error::ConnectError;
use crate::handshake::{Payload, Purpose};
use crate::link::{Facts, Link};
use crate::meet;
use crate::options::Options;
use crate::peer::Peer;
use crate::receiver::Receiver;
use crate::sender::Sender;
use crate::serde::{SerdeReceiver, SerdeSender};
use crate::transport::channel::{self, ChannelReceiver, ChannelSender, Mismatch, NoEnd, Note, Part, Unused};
use crate::transport::{RecvHalf, SendHalf};
use crate::typed::{TypedReceiver, TypedSender};

/// Bytes that wait in a channel over `shm:` unless [`Options::capacity`] says otherwise: a channel is often made for a few
/// messages, and its memory is made with its first.
const SMALL_CAPACITY_BYTES: usize = 32 << 10;

impl Options {
    /// Makes a channel of bytes over `shm:` or `unix:`: what its sender sends, its receiver receives, in whichever processes
    /// the two are. It has no name; whoever is to have an end is sent it in a message ([`Attachment::sender`],
    /// [`Message::take_sender`]), over any link that carries attachments, and may send it on.
    ///
    /// ```
    /// # use wharf_message_passing::{Attachment, Options, Transport};
    /// # let private = tempfile::tempdir()?;
    /// # let options = Options::new().domain(wharf_sys::directory::Domain::at(private.path())?);
    /// # let mut listener = options.listen("unix:desk")?;
    /// # let there = std::thread::spawn(move || -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    /// # let mut link = listener.accept()?;
    /// // The other side takes the end out of the message, and uses it like any sender:
    /// let mut message = link.recv()?;
    /// let mut tx = message.take_sender()?;
    /// tx.send(b"done")?;
    /// # Ok(())
    /// # });
    /// # let mut link = options.connect("unix:desk")?;
    /// let (tx, mut rx) = Options::new().channel(Transport::Shm)?;
    /// link.send_with(b"reply here", &[Attachment::sender(tx)?])?; // the end is there now, and here no more
    /// assert_eq!(*rx.recv()?, *b"done");
    /// # there.join().unwrap().unwrap();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// An end is what these options say, wherever it goes: capacity, largest message, alignment, policy, the way to wait, and
    /// whom to trust. Nothing is made before an end is used, and from its first use on it stays where it is. The sender need
    /// not wait for the receiver: what it sends waits in the channel, also after it has closed or died.
    ///
    /// # When full
    /// As [`Sender`] says. A channel over `shm:` holds 32 KiB unless [`capacity`](Self::capacity) says otherwise, and
    /// `unix:` at most half of the kernel's limit, usually 104 KiB; larger messages travel in pieces.
    ///
    /// # When the peer closes or dies
    /// As on a link. An end that was dropped without having been used was closed; one that was lost on its way (nobody took
    /// the message, or the end from it) died.
    ///
    /// # Trust
    /// Whoever has an end was admitted by whoever sent it, so [`allow_uid`](Self::allow_uid) means nothing here. Who uses the
    /// other end the kernel says when it is used first; whether he is trusted is for [`trust`](Self::trust) to say. A process
    /// does not take ends from a peer that it does not trust ([`TakeError::HostileEnd`]), but gives them to anybody.
    ///
    /// # Errors
    /// [`ConnectError::Options`] for another transport, or options that cannot be; [`ConnectError::System`] when the system has
    /// no descriptors left.
    ///
    /// [`Attachment::sender`]: crate::Attachment::sender
    /// [`Message::take_sender`]: crate::Message::take_sender
    pub fn channel(&self, transport: Transport) -> Result<(Sender, Receiver), ConnectError> {
        let (sender, receiver) = self.ends(transport, Payload::Bytes)?;
        Ok((sender_of(sender), receiver_of(receiver)))
    }

    /// Makes a channel of values of one type of fixed size; see [`channel`](Self::channel). Whoever takes an end of it must
    /// ask for the same layout.
    ///
    /// ```
    /// # use wharf_message_passing::{Options, Transport};
    /// let (mut points, mut seen) = Options::new().channel_typed::<[f32; 3]>(Transport::Shm)?;
    /// points.send(&[1.0, 2.0, 3.0])?;
    /// assert_eq!(seen.recv()?[1], 2.0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`channel`](Self::channel).
    pub fn channel_typed<T: Plain>(
        &self,
        transport: Transport,
    ) -> Result<(TypedSender<T>, TypedReceiver<T>), ConnectError> {
        let (sender, receiver) = self.aligned_for::<T>()?.ends(transport, Payload::of::<T>())?;
        Ok((TypedSender::new(sender_of(sender)), TypedReceiver::new(receiver_of(receiver))))
    }

    /// Makes a channel of values of any serde type; see [`channel`](Self::channel).
    ///
    /// # Errors
    /// As [`channel`](Self::channel).
    pub fn channel_serde<T: Serialize + DeserializeOwned>(
        &self,
        transport: Transport,
    ) -> Result<(SerdeSender<T>, SerdeReceiver<T>), ConnectError> {
        let (sender, receiver) = self.ends(transport, Payload::Serde)?;
        Ok((SerdeSender::new(sender_of(sender)), SerdeReceiver::new(receiver_of(receiver))))
    }

    /// Makes two channels, one in each direction: two links with each other, that is. Either can be [split](Link::split) to
    /// send its ends on.
    ///
    /// # Errors
    /// As [`channel`](Self::channel).
    pub fn channel_pair(&self, transport: Transport) -> Result<(Link, Link), ConnectError> {
        let ((there, here), (back, home)) = (self.channel(transport)?, self.channel(transport)?);
        Ok((Link::of(there, home), Link::of(back, here)))
    }

    fn ends(&self, transport: Transport, payload: Payload) -> Result<(Unused, Unused), ConnectError> {
        if !matches!(transport, Transport::Shm | Transport::Unix) {
            return Err(ConnectError::Options(format!(
                "{transport}: channels are not made over it, since their ends are descriptors that travel: use shm: or unix:"
            )));
        }
        let mut options = self.clone();
        if transport == Transport::Shm {
            options.capacity.get_or_insert(SMALL_CAPACITY_BYTES);
        }
        let mut terms = meet::terms(&Address::handed(transport, NAME), &options, Purpose::Messages, payload)?;
        // These are of whichever process uses an end.
        (terms.flags, terms.confined) = (0, None);
        let (trust, wait, policy) = (options.trust, options.wait, options.policy);
        let note = Note { part: Part::Sender, trust, wait, policy, terms };
        let ends =
            channel::pair(&note).map_err(|error| ConnectError::system("make the two ends of a channel", error))?;
        crash_point!("channel.made");
        Ok(ends)
    }
}

/// What stands for the name that a channel does not have.
const NAME: &str = "channel";

fn facts(note: &Note) -> Arc<Facts> {
    Arc::new(Facts {
        address: Address::handed(note.terms.transport, NAME),
        peer: Peer::unmet(),
        limit: usize::try_from(note.terms.max_message).unwrap_or(usize::MAX),
        wait: note.wait,
        policy: note.policy,
        trust: note.trust,
        their_cpu: None,
    })
}

fn sender_of(unused: Unused) -> Sender {
    let facts = facts(&unused.note);
    Sender::new(SendHalf::Channel(Box::new(ChannelSender::new(unused))), facts)
}

fn receiver_of(unused: Unused) -> Receiver {
    let facts = facts(&unused.note);
    Receiver::new(RecvHalf::Channel(Box::new(ChannelReceiver::new(unused))), facts)
}

/// Takes the end of a channel that came in a message.
pub(crate) fn take<E: ChannelEnd>(fd: OwnedFd) -> Result<E, TakeError> {
    let Kind(part, payload) = E::kind();
    let unused = Unused::adopt(fd).map_err(|why| match why {
        NoEnd::Other(found) => TakeError::NotAnEnd { expected: part.name(), found },
        NoEnd::System(error) => TakeError::System(error),
    })?;
    match unused.note.expect(part, &payload) {
        Ok(()) => Ok(E::tie(Untied(unused))),
        Err(mismatch) => {
            // It is closed as one that nobody took.
            unused.has_travelled();
            Err(match mismatch {
                Mismatch::Part { expected, found } => {
                    TakeError::OtherEnd { expected: expected.name(), found: found.name() }
                }
                Mismatch::Payload { ours, theirs } => TakeError::OtherType { ours, theirs },
            })
        }
    }
}

/// An end of a channel, of bytes or of values: what [`Attachment::end`](crate::Attachment::end) sends and
/// [`Message::take_end`](crate::Message::take_end) takes.
///
/// It cannot be implemented outside of this crate.
pub trait ChannelEnd: Sized {
    #[doc(hidden)]
    fn kind() -> Kind;
    #[doc(hidden)]
    fn untie(&mut self) -> Result<Untied, &'static str>;
    #[doc(hidden)]
    fn tie(end: Untied) -> Self;
}

/// Which end, and of what.
#[doc(hidden)]
#[derive(Debug)]
pub struct Kind(Part, Payload);

/// An end of a channel without what makes it a sender or a receiver.
#[doc(hidden)]
#[derive(Debug)]
pub struct Untied(pub(crate) Unused);

macro_rules! channel_end {
    (impl<$($parameter:ident: $bound:path),*> $end:ty, $part:ident, $payload:expr, $untyped:ident, $tie:expr) => {
        impl<$($parameter: $bound),*> ChannelEnd for $end {
            fn kind() -> Kind {
                Kind(Part::$part, $payload)
            }

            fn untie(&mut self) -> Result<Untied, &'static str> {
                self.$untyped().untie().map(Untied)
            }

            fn tie(end: Untied) -> Self {
                $tie(end.0)
            }
        }
    };
}

channel_end!(impl<> Sender, Sender, Payload::Bytes, untyped, sender_of);
channel_end!(impl<> Receiver, Receiver, Payload::Bytes, untyped, receiver_of);
channel_end!(impl<T: Plain> TypedSender<T>, Sender, Payload::of::<T>(), untyped, |end| TypedSender::new(sender_of(end)));
channel_end!(impl<T: Plain> TypedReceiver<T>, Receiver, Payload::of::<T>(), untyped, |end| {
    TypedReceiver::new(receiver_of(end))
});
channel_end!(impl<T: Serialize> SerdeSender<T>, Sender, Payload::Serde, untyped, |end| SerdeSender::new(sender_of(end)));
channel_end!(impl<T: DeserializeOwned> SerdeReceiver<T>, Receiver, Payload::Serde, untyped, |end| {
    SerdeReceiver::new(receiver_of(end))
});

impl Sender {
    fn untyped(&mut self) -> &mut Sender {
        self
    }
}

impl Receiver {
    fn untyped(&mut self) -> &mut Receiver {
        self
    }
}

/// An end that cannot travel, and why.
pub struct AttachError<E> {
    why: &'static str,
    /// So that the error of an end can cross threads as any error: nobody ever locks it.
    end: Box<Mutex<E>>,
}

impl<E> AttachError<E> {
    pub(crate) fn new(end: E, why: &'static str) -> Self {
        Self { why, end: Box::new(Mutex::new(end)) }
    }

    /// The end, which works as before.
    pub fn into_end(self) -> E {
        self.end.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<E> fmt::Display for AttachError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "this end cannot travel: {}", self.why)
    }
}

impl<E> fmt::Debug for AttachError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AttachError").field("why", &self.why).finish_non_exhaustive()
    }
}

impl<E> std::error::Error for AttachError<E> {}
