//! Wharf's topics and events as contenders: by name, through nodes, with one subscriber on each side or with several.

use crate::contender::{Contender, End, Home, copy_out, failed, foreign};
use crate::handover::{Handover, Signal};
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};
use wharf::{EventListener, Node, NodeOptions, Notifier, Publisher, Subscriber, Wait};
use wharf_sys::directory::Domain;

/// What the side that listens publishes under, and what the side that connects does.
const THERE: &str = "bench/there";
const BACK: &str = "bench/back";

/// How long the two sides look for each other.
const PATIENCE: Duration = Duration::from_secs(10);

/// A nap between two looks for the other side; nothing is timed meanwhile.
const NAP: Duration = Duration::from_millis(1);

pub(crate) fn node(at: &Path) -> io::Result<Node> {
    NodeOptions::new().domain(Domain::at(at).map_err(foreign)?).open().map_err(foreign)
}

/// Waits until `count` says that so many have come.
pub(crate) fn meet(wanted: usize, mut count: impl FnMut() -> usize) -> io::Result<()> {
    let start = Instant::now();
    // The clock ends the loop.
    while count() < wanted {
        if start.elapsed() > PATIENCE {
            return Err(failed(format!("the other side has not come within {PATIENCE:?}")));
        }
        std::thread::sleep(NAP);
    }
    Ok(())
}

/// A topic in each direction, copied in and out, each with `SUBSCRIBERS` that all receive every message.
pub struct Topics<const SUBSCRIBERS: usize> {
    name: &'static str,
    wait: Wait,
    capacity: Option<usize>,
}

impl<const SUBSCRIBERS: usize> Topics<SUBSCRIBERS> {
    /// Topics between two processes whose ends wait in the given way.
    pub fn new(name: &'static str, wait: Wait) -> Self {
        Topics { name, wait, capacity: None }
    }

    /// The same with room for so many bytes in each direction.
    pub fn with_capacity(mut self, bytes: usize) -> Self {
        self.capacity = Some(bytes);
        self
    }

    fn publisher(&self, node: &Node, name: &str) -> io::Result<Publisher> {
        let topic = node.topic(name).wait(self.wait);
        match self.capacity {
            Some(bytes) => topic.capacity(bytes),
            None => topic,
        }
        .publisher()
        .map_err(foreign)
    }

    fn subscribers(&self, node: &Node, name: &str) -> io::Result<[Subscriber; SUBSCRIBERS]> {
        let topic = node.topic(name).wait(self.wait);
        let opened = (0..SUBSCRIBERS).map(|_| topic.subscriber()).collect::<Result<Vec<_>, _>>().map_err(foreign)?;
        opened.try_into().map_err(|_| failed("as many were opened as were asked for"))
    }
}

/// One side of a pair of topics.
pub struct TopicsEnd<const SUBSCRIBERS: usize> {
    to: Publisher,
    from: [Subscriber; SUBSCRIBERS],
    _node: Node,
}

impl<const SUBSCRIBERS: usize> TopicsEnd<SUBSCRIBERS> {
    /// Both directions are whole when every subscriber of both sides has its publisher.
    fn meet(mut self) -> io::Result<Self> {
        meet(SUBSCRIBERS, || self.to.subscribers())?;
        for subscriber in &mut self.from {
            meet(1, || subscriber.publishers().count())?;
        }
        Ok(self)
    }
}

impl<const SUBSCRIBERS: usize> End for TopicsEnd<SUBSCRIBERS> {
    #[inline(always)]
    fn send(&mut self, message: &[u8]) -> io::Result<()> {
        self.to.send(message).map_err(foreign)
    }

    /// One message of each subscriber, which are all the same.
    #[inline(always)]
    fn recv(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let mut len = 0;
        for subscriber in &mut self.from {
            len = copy_out(&subscriber.recv().map_err(foreign)?, into)?;
        }
        Ok(len)
    }
}

impl<const SUBSCRIBERS: usize> Contender for Topics<SUBSCRIBERS> {
    type Door = Option<TopicsEnd<SUBSCRIBERS>>;
    type End = TopicsEnd<SUBSCRIBERS>;

    fn name(&self) -> &'static str {
        self.name
    }

    fn home(&self) -> Home {
        Home::Processes
    }

    fn listen(&self, at: &Path) -> io::Result<Self::Door> {
        let node = node(at)?;
        let from = self.subscribers(&node, BACK)?;
        Ok(Some(TopicsEnd { to: self.publisher(&node, THERE)?, from, _node: node }))
    }

    fn accept(&self, door: &mut Self::Door) -> io::Result<Self::End> {
        door.take().ok_or_else(|| failed("a pair of topics has room for one peer"))?.meet()
    }

    fn connect(&self, at: &Path) -> io::Result<Self::End> {
        let node = node(at)?;
        let to = self.publisher(&node, BACK)?;
        TopicsEnd { to, from: self.subscribers(&node, THERE)?, _node: node }.meet()
    }
}

/// An event of a node in each direction.
pub struct NodeEvents;

/// One side of such a pair.
pub struct NodeEventsSide {
    to: Notifier,
    from: EventListener,
    /// The other side is known to listen.
    met: bool,
    _node: Node,
}

impl NodeEventsSide {
    fn open(at: &Path, to: &str, from: &str) -> io::Result<Self> {
        let node = node(at)?;
        let from = node.event(from).wait(Wait::Sleep).listener().map_err(foreign)?;
        let to = node.event(to).notifier().map_err(foreign)?;
        Ok(NodeEventsSide { to, from, met: false, _node: node })
    }
}

impl Signal for NodeEventsSide {
    fn tell(&mut self) -> io::Result<()> {
        if !self.met {
            meet(1, || self.to.listeners())?;
            self.met = true;
        }
        self.to.notify().map_err(foreign)
    }

    fn hear(&mut self) -> io::Result<()> {
        match self.from.wait().map_err(foreign)? {
            1 => Ok(()),
            more => Err(failed(format!("heard {more} notices where one was given"))),
        }
    }
}

impl Handover for NodeEvents {
    type Side = NodeEventsSide;

    fn name(&self) -> &'static str {
        "event by name"
    }

    fn open(&self, at: &Path) -> io::Result<Self::Side> {
        NodeEventsSide::open(at, THERE, BACK)
    }

    fn join(&self, at: &Path) -> io::Result<Self::Side> {
        NodeEventsSide::open(at, BACK, THERE)
    }
}
