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

/// One side of a pair of queues. Workers have no order among them, and the workload wants one: its messages' stamps tell.
pub struct QueuesEnd<const WORKERS: usize> {
    to: Pusher,
    from: [Puller; WORKERS],
    /// What each worker has next.
    next: [Option<Item>; WORKERS],
    /// The stamp behind the last one.
    expected: u64,
    _node: Node,
}

impl<const WORKERS: usize> QueuesEnd<WORKERS> {
    fn meet(to: Pusher, from: [Puller; WORKERS], node: Node) -> io::Result<Self> {
        let next = std::array::from_fn(|_| None);
        let mut end = QueuesEnd { to, from, next, expected: 0, _node: node };
        meet(WORKERS, || end.to.pullers())?;
        for puller in &mut end.from {
            meet(1, || puller.pushers())?;
        }
        Ok(end)
    }

    /// The item whose turn it is, of whichever worker has it.
    #[inline(always)]
    fn next(&mut self) -> io::Result<Item> {
        let expected = self.expected.to_le_bytes();
        let mut looks = 0_u32;
        // The other side sends, or its end ends this.
        loop {
            for (puller, next) in self.from.iter_mut().zip(&mut self.next) {
                look(puller, next)?;
                if let Some(item) = next.take_if(|item| item.starts_with(&expected)) {
                    self.expected = self.expected.wrapping_add(1);
                    return Ok(item);
                }
            }
            if self.next.iter().any(Option::is_some) {
                return self.first();
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

    /// Of those that are there, and have another stamp than is expected, the one with the lowest; the workload says whether that is
    /// right. What was pushed before any of them is there by now: items that fit one frame are sent in the order in which they are pushed.
    #[cold]
    #[inline(never)]
    fn first(&mut self) -> io::Result<Item> {
        let mut first: Option<(u64, usize)> = None;
        for (at, (puller, next)) in self.from.iter_mut().zip(&mut self.next).enumerate() {
            look(puller, next)?;
            if let Some(item) = next {
                let this = (stamp_of(item)?, at);
                first = Some(first.map_or(this, |first| first.min(this)));
            }
        }
        let item = first.and_then(|(stamp, at)| {
            self.expected = stamp.wrapping_add(1);
            self.next.get_mut(at)?.take()
        });
        item.ok_or_else(|| failed("expected an item, found none where one was"))
    }
}

/// Looks for a worker's next item if it has none.
#[inline(always)]
fn look(puller: &mut Puller, next: &mut Option<Item>) -> io::Result<()> {
    if next.is_none() {
        match puller.try_recv() {
            Ok(item) => *next = Some(item),
            Err(RecvError::Empty) => {}
            Err(error) => return Err(foreign(error)),
        }
    }
    Ok(())
}

impl<const WORKERS: usize> End for QueuesEnd<WORKERS> {
    #[inline(always)]
    fn send(&mut self, message: &[u8]) -> io::Result<()> {
        self.to.push(message).map(drop).map_err(foreign)
    }

    /// One item of one worker, which acknowledges it.
    #[inline(always)]
    fn recv(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let item = self.next()?;
        let len = item.len();
        match into.get_mut(..len) {
            Some(into) => into.copy_from_slice(&item),
            None => return Err(failed(format!("an item of {len} bytes is larger than expected"))),
        }
        item.ack().map_err(foreign)?;
        Ok(len)
    }

    /// An item is its worker's own copy, who looks at it there.
    #[inline(always)]
    fn see(&mut self, _into: &mut [u8]) -> io::Result<(usize, u64)> {
        let item = self.next()?;
        let seen = (item.len(), stamp_of(&item)?);
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
