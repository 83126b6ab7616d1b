//! iceoryx2 publish-subscribe for a receiver that sleeps: an event service beside the topic of each direction.

use crate::iceoryx::topic::TopicEnd;
use crate::iceoryx::{SMALL, Side};
use iceoryx2::port::listener::Listener;
use iceoryx2::port::notifier::Notifier;
use iceoryx2::prelude::{ServiceName, ipc};
use std::io;
use std::path::Path;
use wharf_bench::contender::{Contender, End, Home, failed, foreign};

/// Messages that a subscriber has room for: those of a ping-pong.
const BUFFER: usize = 2;

/// Topics whose publisher notifies after every message and whose subscriber sleeps until it is notified.
pub struct Notified {
    name: &'static str,
}

impl Notified {
    /// Topics and events under this name.
    pub fn new(name: &'static str) -> Notified {
        Notified { name }
    }
}

/// One side.
pub struct NotifiedEnd {
    topic: TopicEnd,
    notifier: Notifier<ipc::Service>,
    listener: Listener<ipc::Service>,
}

impl NotifiedEnd {
    fn open(side: Side, at: &Path) -> io::Result<NotifiedEnd> {
        let topic = TopicEnd::open(side, at, BUFFER)?;
        let event = |name: &ServiceName| {
            let builder = topic.node().service_builder(name).event().max_notifiers(1).max_listeners(1);
            builder.event_id_max_value(1).open_or_create().map_err(foreign)
        };
        let (to, from) = side.services()?;
        let notifier = event(&to)?.notifier_builder().create().map_err(foreign)?;
        let listener = event(&from)?.listener_builder().create().map_err(foreign)?;
        Ok(NotifiedEnd { topic, notifier, listener })
    }
}

impl End for NotifiedEnd {
    fn send(&mut self, message: &[u8]) -> io::Result<()> {
        self.topic.send(message)?;
        self.notifier.notify().map(drop).map_err(foreign)
    }

    fn recv(&mut self, into: &mut [u8]) -> io::Result<usize> {
        // An event may be left over from a message that was there before anybody slept: one more look, one more sleep.
        while !self.topic.try_recv(into)? {
            self.listener.blocking_wait(|_| {}).map_err(foreign)?;
        }
        Ok(SMALL)
    }
}

impl Contender for Notified {
    type Door = Option<NotifiedEnd>;
    type End = NotifiedEnd;

    fn name(&self) -> &'static str {
        self.name
    }

    fn home(&self) -> Home {
        Home::Processes
    }

    fn only_len(&self) -> Option<usize> {
        Some(SMALL)
    }

    fn listen(&self, at: &Path) -> io::Result<Option<NotifiedEnd>> {
        NotifiedEnd::open(Side::Measuring, at).map(Some)
    }

    fn accept(&self, door: &mut Option<NotifiedEnd>) -> io::Result<NotifiedEnd> {
        door.take().ok_or_else(|| failed("a pair of services has room for one peer"))
    }

    fn connect(&self, at: &Path) -> io::Result<NotifiedEnd> {
        NotifiedEnd::open(Side::Peer, at)
    }
}
