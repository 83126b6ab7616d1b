//! iceoryx2 publish-subscribe with a payload of fixed size: two services, one for each direction.

use crate::iceoryx::{SMALL, Side, delivered};
use iceoryx2::port::publisher::Publisher;
use iceoryx2::port::subscriber::Subscriber;
use iceoryx2::prelude::{Node, ServiceName, ipc};
use std::io;
use std::path::Path;
use wharf_bench::contender::{Contender, End, Home, failed, foreign};

type Bytes = [u8; SMALL];

/// A pair of services with one publisher and one subscriber each, whose sides look for messages without a pause, as the
/// library's benchmark does.
pub struct Topic {
    name: &'static str,
    buffer: usize,
}

impl Topic {
    /// Services whose subscribers have room for `buffer` messages; the publisher waits when they are full.
    pub fn new(name: &'static str, buffer: usize) -> Topic {
        Topic { name, buffer }
    }
}

/// One side.
pub struct TopicEnd {
    node: Node<ipc::Service>,
    publisher: Publisher<ipc::Service, Bytes, ()>,
    subscriber: Subscriber<ipc::Service, Bytes, ()>,
}

impl TopicEnd {
    /// Opens both services, of which the first side makes them, with room for `buffer` messages.
    pub fn open(side: Side, at: &Path, buffer: usize) -> io::Result<TopicEnd> {
        let node = side.node(at)?;
        let service = |name: &ServiceName| {
            let builder = node.service_builder(name).publish_subscribe::<Bytes>();
            let builder = builder.max_publishers(1).max_subscribers(1).history_size(0);
            builder.subscriber_max_buffer_size(buffer).enable_safe_overflow(false).open_or_create().map_err(foreign)
        };
        let (to, from) = side.services()?;
        let publisher = service(&to)?.publisher_builder().create().map_err(foreign)?;
        let subscriber = service(&from)?.subscriber_builder().create().map_err(foreign)?;
        Ok(TopicEnd { node, publisher, subscriber })
    }

    /// Its node, for further services of the match.
    pub fn node(&self) -> &Node<ipc::Service> {
        &self.node
    }

    /// Looks for one message.
    #[inline]
    pub fn try_recv(&mut self, into: &mut [u8]) -> io::Result<bool> {
        let into = into.first_chunk_mut::<SMALL>().ok_or_else(|| failed("64 bytes, not less"))?;
        let Some(sample) = self.subscriber.receive().map_err(foreign)? else { return Ok(false) };
        *into = *sample.payload();
        Ok(true)
    }
}

impl End for TopicEnd {
    #[inline]
    fn send(&mut self, message: &[u8]) -> io::Result<()> {
        let bytes = message.first_chunk::<SMALL>().ok_or_else(|| failed("64 bytes, not less"))?;
        let sample = self.publisher.loan_uninit().map_err(foreign)?;
        delivered(sample.write_payload(*bytes).send().map_err(foreign)?)
    }

    #[inline]
    fn recv(&mut self, into: &mut [u8]) -> io::Result<usize> {
        // The other side sends until the workload ends.
        while !self.try_recv(into)? {}
        Ok(SMALL)
    }
}

impl Contender for Topic {
    type Door = Option<TopicEnd>;
    type End = TopicEnd;

    fn name(&self) -> &'static str {
        self.name
    }

    fn home(&self) -> Home {
        Home::Processes
    }

    fn only_len(&self) -> Option<usize> {
        Some(SMALL)
    }

    fn listen(&self, at: &Path) -> io::Result<Option<TopicEnd>> {
        TopicEnd::open(Side::Measuring, at, self.buffer).map(Some)
    }

    fn accept(&self, door: &mut Option<TopicEnd>) -> io::Result<TopicEnd> {
        door.take().ok_or_else(|| failed("a pair of services has room for one peer"))
    }

    fn connect(&self, at: &Path) -> io::Result<TopicEnd> {
        TopicEnd::open(Side::Peer, at, self.buffer)
    }
}
