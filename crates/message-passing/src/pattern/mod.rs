//! Patterns: what any number of processes do with one name.
//!
//! A *topic* carries messages from its publishers to its subscribers; *events*, *states* and *buses* are made of the same parts.
//! Whoever opens an end meets the others through its [`Node`](crate::Node); what is sent goes through memory that only its
//! publisher writes, and neither the node's thread nor the system has a part in it while nobody sleeps.

mod bus;
mod event;
mod meeting;
mod place;
mod private_link;
mod queue;
pub(crate) mod service;
mod state;
mod topic;

pub use self::bus::{Bus, BusMember, SerdeBusMember, TypedBusMember};
pub use self::event::{EventListener, NodeEvent, Notifier};
pub use self::place::OpenError;
pub use self::queue::{
    DEFAULT_MOST_BYTES, DEFAULT_MOST_DELIVERIES, DEFAULT_MOST_ITEMS, DEFAULT_PREFETCH, DeadLetter, Item, Puller,
    PushId, Pushed, Pusher, Queue, Settled, TypedItem, TypedPuller, TypedPusher,
};
#[cfg(feature = "tokio")]
pub(crate) use self::service::Taken;
pub use self::service::{
    Account, Accounted, Answer, Call, CallError, CallId, Carries, Choice, Client, ClientId, DEFAULT_MOST_KEPT,
    DEFAULT_STREAM_PATIENCE, MethodResults, Outcome, ReplyStream, Request, Results, Server, ServerId, ServerInfo,
    Service, Survey, TypedAnswer, TypedClient, TypedReplyStream, TypedRequest, TypedResults, TypedServer, TypedSurvey,
};
pub use self::state::{Carry, State, StateOwner, StateWatcher};
pub use self::topic::{
    Bytes, DEFAULT_HOLD_BYTES, DEFAULT_PATIENCE, Encoded, HeldSample, HeldTypedSample, OnFull, Publisher, PublisherId,
    PublisherInfo, PublisherLoan, PublisherRoom, Sample, SerdePublisher, SerdeSubscriber, Subscriber,
    SubscriberCompany, Topic, Typed, TypedPublisher, TypedPublisherLoan, TypedSample, TypedSubscriber,
};
