//! Patterns: what any number of processes do with one name.
//!
//! A *topic* carries messages from its publishers to its subscribers; *events* and *states* are made of the same parts.
//! Whoever opens an end meets the others through its [`Node`](crate::Node); what is sent goes through memory that only its
//! publisher writes, and neither the node's thread nor the system has a part in it while nobody sleeps.

mod desk;
mod event;
mod guest;
mod host;
mod patience;
mod publisher;
mod queue;
mod sample;
mod serde;
mod service;
mod source;
mod state;
mod subscriber;
mod terms;
#[cfg(test)]
mod tests;
mod topic;
mod turns;
mod typed;

pub use self::event::{EventListener, NodeEvent, Notifier};
pub use self::publisher::{Publisher, PublisherLoan, PublisherRoom};
pub use self::queue::{
    DEFAULT_MOST_BYTES, DEFAULT_MOST_DELIVERIES, DEFAULT_MOST_ITEMS, DEFAULT_PREFETCH, DeadLetter, Item, Puller,
    PushId, Pushed, Pusher, Queue, QueueError, Settled, TypedItem, TypedPuller, TypedPusher,
};
pub use self::sample::{HeldSample, PublisherId, PublisherInfo, Sample};
pub use self::serde::{SerdePublisher, SerdeSubscriber};
pub use self::service::{
    Call, CallError, CallId, Carries, Choice, Client, ClientId, DEFAULT_MOST_KEPT, DEFAULT_STREAM_PATIENCE, Outcome,
    ReplyStream, Request, Results, Server, Service, ServiceError, TypedClient, TypedReplyStream, TypedRequest,
    TypedResults, TypedServer,
};
pub use self::state::{Carry, State, StateOwner, StateWatcher};
pub use self::subscriber::{Subscriber, SubscriberCompany};
pub use self::topic::{Bytes, DEFAULT_HOLD_BYTES, DEFAULT_PATIENCE, Encoded, OnFull, Topic, Typed};
pub use self::typed::{HeldTypedSample, TypedPublisher, TypedPublisherLoan, TypedSample, TypedSubscriber};

use self::topic::Terms;
