//! iceoryx2 publish-subscribe with slices of bytes: two services, one for each direction.

use crate::iceoryx::{Side, delivered};
use iceoryx2::port::publisher::Publisher;
use iceoryx2::port::subscriber::Subscriber;
use iceoryx2::prelude::{ServiceName, ipc};
use std::io;
use std::path::Path;
use wharf_bench::contender::{Contender, End, Home, failed, foreign};

/// As [`Topic`](crate::iceoryx::topic::Topic), for messages that are too large to be passed by value.
pub struct Slices {
    name: &'static str,
    len: usize,
    buffer: usize,
}

impl Slices {
    /// Services for messages of `len` bytes whose subscribers have room for `buffer` of them.
    pub fn new(name: &'static str, len: usize, buffer: usize) -> Slices {
        Slices { name, len, buffer }
    }

    fn open(&self, side: Side, at: &Path) -> io::Result<SlicesEnd> {
        let node = side.node(at)?;
        let service = |name: &ServiceName| {
            let builder = node.service_builder(name).publish_subscribe::<[u8]>();
            let builder = builder.max_publishers(1).max_subscribers(1).history_size(0);
            builder
                .subscriber_max_buffer_size(self.buffer)
                .enable_safe_overflow(false)
                .open_or_create()
                .map_err(foreign)
        };
        let (to, from) = side.services()?;
        let publisher = service(&to)?.publisher_builder().initial_max_slice_len(self.len).create().map_err(foreign)?;
        let subscriber = service(&from)?.subscriber_builder().create().map_err(foreign)?;
        Ok(SlicesEnd { publisher, subscriber })
    }
}

/// One side.
pub struct SlicesEnd {
    publisher: Publisher<ipc::Service, [u8], ()>,
    subscriber: Subscriber<ipc::Service, [u8], ()>,
}

impl End for SlicesEnd {
    #[inline]
    fn send(&mut self, message: &[u8]) -> io::Result<()> {
        let sample = self.publisher.loan_slice_uninit(message.len()).map_err(foreign)?;
        delivered(sample.write_from_slice(message).send().map_err(foreign)?)
    }

    #[inline]
    fn recv(&mut self, into: &mut [u8]) -> io::Result<usize> {
        // The other side sends until the workload ends.
        loop {
            let Some(sample) = self.subscriber.receive().map_err(foreign)? else { continue };
            let message = sample.payload();
            let into = into.get_mut(..message.len()).ok_or_else(|| failed("a message is larger than expected"))?;
            into.copy_from_slice(message);
            return Ok(message.len());
        }
    }
}

impl Contender for Slices {
    type Door = Option<SlicesEnd>;
    type End = SlicesEnd;

    fn name(&self) -> &'static str {
        self.name
    }

    fn home(&self) -> Home {
        Home::Processes
    }

    fn only_len(&self) -> Option<usize> {
        Some(self.len)
    }

    fn listen(&self, at: &Path) -> io::Result<Option<SlicesEnd>> {
        self.open(Side::Measuring, at).map(Some)
    }

    fn accept(&self, door: &mut Option<SlicesEnd>) -> io::Result<SlicesEnd> {
        door.take().ok_or_else(|| failed("a pair of services has room for one peer"))
    }

    fn connect(&self, at: &Path) -> io::Result<SlicesEnd> {
        self.open(Side::Peer, at)
    }
}
