//! Inter-process communication for Linux: share it in place, or ship it as a message.
//!
//! # Share it
//! A [`Region`] is memory that any number of processes map. Its root is a type made of locks and cells
//! ([`Mutex`], [`Latest`]) that survive the death of whoever holds them:
//!
//! ```
//! use wharf::{LockError, Mutex, Region};
//!
//! fn count_a_hit() -> wharf::Result<u64> {
//!     let hits = Region::<Mutex<u64>>::open_or_create("hits")?;
//!     // A number is whole whoever was killed while he held it.
//!     let mut count = hits.lock().or_else(LockError::repaired)?;
//!     *count += 1;
//!     Ok(*count)
//! }
//! # let private = tempfile::tempdir()?;
//! # let options = wharf::RegionOptions::new().domain(wharf::Domain::at(private.path())?);
//! # let hits = options.open_or_create::<Mutex<u64>>("hits")?;
//! # *hits.lock()? += 1;
//! # assert_eq!(*hits.lock()?, 1);
//! # Ok::<(), wharf::Error>(())
//! ```
//!
//! What is there to choose from: [`Mutex`], [`ReentrantMutex`], [`RwLock`], [`Latest`], [`Journaled`], [`Condvar`], [`Event`], [`Semaphore`],
//! [`Barrier`], [`Once`], and a [`BytesRegion`] for bytes without a type. Each says under *When the holder dies* what a death leaves behind;
//! `docs/crash-safe.md` in the repository is about the code that is yours.
//!
//! # Ship it
//! A [`Link`] carries messages; the [`Address`] decides how the bytes move. One process listens, another connects:
//!
//! ```
//! # fn main() -> wharf::Result<()> {
//! # let private = tempfile::tempdir()?;
//! # let options = wharf::Options::new().domain(wharf::Domain::at(private.path())?);
//! # let mut listener = options.listen("unix:echo")?;
//! # let echo = std::thread::spawn(move || -> wharf::Result<()> {
//! let (mut tx, mut rx) = /* wharf::listen("unix:echo")? */ listener.accept()?.split();
//! tx.send(&rx.recv()?)?;
//! # Ok(())
//! # });
//!
//! let mut link = /* wharf::connect("unix:echo")? */ options.connect("unix:echo")?;
//! link.send(b"hi")?;
//! assert_eq!(link.recv()?, *b"hi");
//! # echo.join().unwrap()
//! # }
//! ```
//!
//! # Meet by name
//! Any number of processes meet in a *topic*, an *event*, a *state* or a *bus* of their [`Node`]s, with no daemon in between. What a
//! [`Publisher`] sends lies in memory once, and every [`Subscriber`] reads it there:
//!
//! ```
//! # fn main() -> wharf::Result<()> {
//! # let private = tempfile::tempdir()?;
//! let node = /* wharf::Node::open()? */
//! # wharf::NodeOptions::new().domain(wharf::Domain::at(private.path())?).open()?;
//! let mut frames = node.topic("camera/*").subscriber()?; // in one process
//! let mut camera = node.topic("camera/front").publisher()?; // in another
//! camera.send(b"frame")?;
//! assert_eq!(*frames.recv()?, *b"frame");
//!
//! let mut speed = node.state_of::<f64>("robot/speed").owner(&0.5)?; // the latest value, for whoever looks
//! let mut cancel = node.event("job/cancel").listener()?; // wake-ups that are counted
//! let mut member = node.bus("robots").join()?; // hears all other members, and is heard by them
//! # member.send(b"here")?;
//! # speed.set(&0.7)?;
//! # assert_eq!(cancel.take()?, 0);
//! # Ok(())
//! # }
//! ```
//!
//! # Ask by name
//! A [`Client`] asks one of the servers of a name, or all of them at once: a [`Survey`] gathers until a deadline, and says of
//! everybody what became of him.
//!
//! ```
//! # fn main() -> wharf::Result<()> {
//! # let private = tempfile::tempdir()?;
//! # let node = wharf::NodeOptions::new().domain(wharf::Domain::at(private.path())?).open()?;
//! # use std::time::Duration;
//! # let mut server = node.service("length").server()?;
//! # let answering = std::thread::spawn(move || -> wharf::Result<()> {
//! #     for _ in 0..2 {
//! let request = server.recv()?; // in one process
//! let length = request.len() as u8;
//! request.reply(&[length])?;
//! #     }
//! #     Ok(())
//! # });
//! let mut client = node.service("length").client()?; // in another
//! assert_eq!(client.call(b"four", Duration::from_secs(5))?, [4]);
//! for answer in client.survey(b"everybody", Duration::from_secs(5))? {
//!     assert_eq!(answer?.bytes(), [9]);
//! }
//! # answering.join().unwrap()
//! # }
//! ```
//!
//! # Which one
//! `wharf compare` measures both on your machine.
//!
//! # What is absent
//! Nothing here knows how memory is mapped or how a socket is opened (that is `wharf-sys`), and nothing of it is
//! needed to use this crate.
#![forbid(unsafe_code)]

mod error;

#[doc(hidden)]
pub use wharf_message_passing::__service;
#[doc(hidden)]
pub use wharf_message_passing::PeerMemory;
#[cfg(feature = "tls")]
pub use wharf_message_passing::Tls;
pub use wharf_message_passing::facade::service;
pub use wharf_message_passing::{
    Account, Accounted, Answer, Call, CallError, CallId, Carries, Choice, Client, ClientId, DEFAULT_MOST_KEPT,
    DEFAULT_STREAM_PATIENCE, MethodResults, OpenError, Outcome, ReplyStream, Request, Results, Server, ServerId,
    ServerInfo, Service, Survey, TypedAnswer, TypedClient, TypedReplyStream, TypedRequest, TypedResults, TypedServer,
    TypedSurvey,
};
pub use wharf_message_passing::{
    Address, AddressError, AttachError, Attachment, Change, ChannelEnd, ConnectError, DEFAULT_CAPACITY_BYTES,
    DEFAULT_KEEP_ALIVE, DEFAULT_MAX_MESSAGE_BYTES, Endpoint, EndpointInfo, Link, Listener, Loan, MAX_ATTACHMENTS,
    Message, Node, NodeError, NodeId, NodeOptions, NodeWatch, Options, Part, Pattern, Peer, Policy, Readable, Receiver,
    RecvError, Refused, Room, Selector, SendError, Sender, SerdeLink, SerdeListener, SerdeReceiver, SerdeSender,
    Statistics, TakeError, TopicNameError, Transport, Trust, TypedLink, TypedListener, TypedLoan, TypedReceiver,
    TypedSender, View, Wait, Writable, connect, connect_timeout, inherited, listen, spawn,
};
#[cfg(feature = "tokio")]
pub use wharf_message_passing::{AsyncLink, AsyncListener, AsyncReceiver, AsyncSender, AsyncSurvey, InTasks};
pub use wharf_message_passing::{
    Bus, BusMember, Bytes, Carry, DEFAULT_HOLD_BYTES, DEFAULT_PATIENCE, Encoded, EventListener, HeldSample,
    HeldTypedSample, NodeEvent, Notifier, OnFull, Publisher, PublisherId, PublisherInfo, PublisherLoan, PublisherRoom,
    Sample, SerdeBusMember, SerdePublisher, SerdeSubscriber, State, StateOwner, StateWatcher, Subscriber,
    SubscriberCompany, Topic, Typed, TypedBusMember, TypedPublisher, TypedPublisherLoan, TypedSample, TypedSubscriber,
};
pub use wharf_message_passing::{
    DEFAULT_MOST_BYTES, DEFAULT_MOST_DELIVERIES, DEFAULT_MOST_ITEMS, DEFAULT_PREFETCH, DeadLetter, Item, Puller,
    PushId, Pushed, Pusher, Queue, Settled, TypedItem, TypedPuller, TypedPusher,
};
#[doc(hidden)]
pub use wharf_shared_memory::__derive;
pub use wharf_shared_memory::facade::{Plain, Shared};
pub use wharf_shared_memory::{
    AcquireError, AfterRepair, Attempt, Auto, Barrier, BarrierError, BytesRegion, Condvar, Counted, Dead, Event, Flag,
    Holder, Journaled, Latest, Layout, LockError, LockFailure, Look, Manual, Member, Mode, Mutex, MutexGuard,
    ObjectKind, Once, OwnerDiedGuard, Permit, ReadOnlyRegion, ReentrantError, ReentrantGuard, ReentrantMutex,
    ReentrantOwnerDied, Region, RegionError, RegionInfo, RegionOptions, RwLock, RwLockError, RwLockOwnerDied,
    RwLockReadGuard, RwLockUpgradableGuard, RwLockWriteGuard, SealedBuffer, SealedBufferBuilder, SealedError, Seen,
    Semaphore, Text, UpgradeError, Waiter, Watch, journaled, plain, region,
};
pub use wharf_sys::directory::{DirectoryError, Domain, Name, NameError};

pub use self::error::{Error, Result};

/// The examples on the front page must compile.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct FrontPage;

/// And so must those about crashes.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/crash-safe.md")]
struct CrashSafe;

/// And those about topics.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/topics.md")]
struct Topics;

/// And those about channels.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/channels.md")]
struct Channels;

/// And those about queues.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/queues.md")]
struct Queues;

/// And those about services.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/services.md")]
struct Services;

/// And those about waiting.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/waiting.md")]
struct Waiting;

/// And those of the guide, chapter by chapter.
#[cfg(doctest)]
mod guide {
    #[doc = include_str!("../../../docs/guide/1-two-models.md")]
    struct TwoModels;

    #[doc = include_str!("../../../docs/guide/2-sharing-data.md")]
    struct SharingData;

    #[doc = include_str!("../../../docs/guide/3-locks-and-crashes.md")]
    struct LocksAndCrashes;

    #[doc = include_str!("../../../docs/guide/4-links.md")]
    struct Links;

    #[doc = include_str!("../../../docs/guide/5-topics.md")]
    struct TopicsEventsStates;

    #[doc = include_str!("../../../docs/guide/6-services-and-queues.md")]
    struct ServicesAndQueues;

    #[doc = include_str!("../../../docs/guide/7-limits-and-policies.md")]
    struct LimitsAndPolicies;

    #[doc = include_str!("../../../docs/guide/8-observing.md")]
    struct Observing;

    #[doc = include_str!("../../../docs/guide/9-recipes.md")]
    struct Recipes;

    #[doc = include_str!("../../../docs/guide/10-coming-from.md")]
    struct ComingFrom;
}
