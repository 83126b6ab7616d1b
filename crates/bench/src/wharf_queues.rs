//! Wharf's queues as a contender: by name, through nodes, with several workers on each side.

use crate::contender::{Contender, End, Home, failed, foreign, stamp_of};
use crate::wharf_topics::{meet, node};
use std::io;
use std::path::Path;
use wharf::{Item, Node, Puller, Pusher, RecvError, Wait};

/// What the side that listens pushes under, and what the side that connects does.
const THERE: &str = "bench/there";
const BACK: &str = "bench/back";

/// Items that a worker has before it settles the first.
const PREFETCH: u32 = 256;

/// Pauses after a look at all workers in vain.
const GAP: u32 = 40;

/// A queue in each direction, each with `WORKERS` that take turns; every item is acknowledged.
pub struct Queues<const WORKERS: usize> {
    name: &'static str,
    wait: Wait,
}

impl<const WORKERS: usize> Queues<WORKERS> {
    /// Queues between two processes whose ends wait in the given way.
    pub fn new(name: &'static str, wait: Wait) -> Self {
        Queues { name, wait }
    }

    fn pusher(&self, node: &Node, name: &str) -> io::Result<Pusher> {
        node.queue(name).wait(self.wait).pusher().map_err(foreign)
    }

    fn pullers(&self, node: &Node, name: &str) -> io::Result<[Puller; WORKERS]> {
        let queue = node.queue(name).prefetch(PREFETCH).wait(self.wait);
        let opened = (0..WORKERS).map(|_| queue.puller()).collect::<Result<Vec<_>, _>>().map_err(foreign)?;
        opened.try_into().map_err(|_| failed("as many were opened as were asked for"))
    }
}

/// One side of a pair of queues. Each item begins with its number: workers have no order among them, and the workload wants one.
pub struct QueuesEnd<const WORKERS: usize> {
    to: Pusher,
    sent: u64,
    item: Vec<u8>,
    from: [Puller; WORKERS],
    /// What each worker has next.
    next: [Option<Item>; WORKERS],
    received: u64,
    _node: Node,
}

impl<const WORKERS: usize> QueuesEnd<WORKERS> {
    fn meet(to: Pusher, from: [Puller; WORKERS], node: Node) -> io::Result<Self> {
        let next = std::array::from_fn(|_| None);
        let mut end = QueuesEnd { to, sent: 0, item: Vec::new(), from, next, received: 0, _node: node };
        meet(WORKERS, || end.to.pullers())?;
        for puller in &mut end.from {
            meet(1, || puller.pushers())?;
        }
        Ok(end)
    }

    /// The item whose turn it is, of whichever worker has it.
    #[inline(always)]
    fn next(&mut self) -> io::Result<Item> {
        let expected = self.received.to_le_bytes();
        let mut looks = 0_u32;
        // The other side sends, or its end ends this.
        loop {
            for (puller, next) in self.from.iter_mut().zip(&mut self.next) {
                if next.is_none() {
                    match puller.try_recv() {
                        Ok(item) => *next = Some(item),
                        Err(RecvError::Empty) => {}
                        Err(error) => return Err(foreign(error)),
                    }
                }
                if let Some(item) = next.take_if(|item| item.starts_with(&expected)) {
                    self.received += 1;
                    return Ok(item);
                }
            }
            // As a receiver does in a stream: whoever follows closely takes away the lines that are still written.
            for _ in 0..GAP {
                std::hint::spin_loop();
            }
            looks = looks.wrapping_add(1);
            if looks.is_multiple_of(1 << 16) && self.from.iter_mut().any(|it| it.pushers() == 0) {
                return Err(failed("the other side is gone"));
            }
        }
    }
}

impl<const WORKERS: usize> End for QueuesEnd<WORKERS> {
    #[inline(always)]
    fn send(&mut self, message: &[u8]) -> io::Result<()> {
        self.item.resize(8 + message.len(), 0);
        if let (Some((number, copy)), Some((stamp, rest))) =
            (self.item.split_first_chunk_mut::<8>(), message.split_first_chunk::<8>())
        {
            *number = self.sent.to_le_bytes();
            // By itself: the workload has just written it, and a read of more than that would wait for it to reach the cache.
            if let Some((to, behind)) = copy.split_first_chunk_mut::<8>() {
                *to = *stamp;
                behind.copy_from_slice(rest);
            }
        }
        self.sent += 1;
        self.to.push(&self.item).map(drop).map_err(foreign)
    }

    /// One item of one worker, which acknowledges it.
    #[inline(always)]
    fn recv(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let item = self.next()?;
        let message = item.get(8..).unwrap_or_default();
        let len = message.len();
        match into.get_mut(..len) {
            Some(into) => into.copy_from_slice(message),
            None => return Err(failed(format!("an item of {len} bytes is larger than expected"))),
        }
        item.ack().map_err(foreign)?;
        Ok(len)
    }

    /// An item is its worker's own copy, who looks at it there.
    #[inline(always)]
    fn see(&mut self, _into: &mut [u8]) -> io::Result<(usize, u64)> {
        let item = self.next()?;
        let message = item.get(8..).unwrap_or_default();
        let seen = (message.len(), stamp_of(message)?);
        item.ack().map_err(foreign)?;
        Ok(seen)
    }
}

impl<const WORKERS: usize> Contender for Queues<WORKERS> {
    type Door = Option<(Pusher, [Puller; WORKERS], Node)>;
    type End = QueuesEnd<WORKERS>;

    fn name(&self) -> &'static str {
        self.name
    }

    fn home(&self) -> Home {
        Home::Processes
    }

    fn listen(&self, at: &Path) -> io::Result<Self::Door> {
        let node = node(at)?;
        let from = self.pullers(&node, BACK)?;
        Ok(Some((self.pusher(&node, THERE)?, from, node)))
    }

    fn accept(&self, door: &mut Self::Door) -> io::Result<Self::End> {
        let (to, from, node) = door.take().ok_or_else(|| failed("a pair of queues has room for one peer"))?;
        QueuesEnd::meet(to, from, node)
    }

    fn connect(&self, at: &Path) -> io::Result<Self::End> {
        let node = node(at)?;
        let to = self.pusher(&node, BACK)?;
        let from = self.pullers(&node, THERE)?;
        QueuesEnd::meet(to, from, node)
    }
}
