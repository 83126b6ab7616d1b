//! Events: wake-ups that are counted, and carry nothing.

use std::time::Duration;

use super::topic::{OnFull, Publisher, Subscriber, Terms};
use crate::error::{RecvError, SendError};
use crate::handshake::Payload;
use crate::node::{Node, NodeError, Pattern};
use crate::options::{Trust, Wait};
use crate::waits::{Glance, waits_as_its};

/// Bytes of a notifier's log: the least that there is. Notices that do not fit are dropped, and counted all the same.
const CAPACITY: usize = 4096;

/// The most notices that one wait takes together, so that it ends although notifiers never rest.
const MOST_AT_ONCE: u64 = 1 << 16;

/// An event of a [`Node`], about to be opened: ask for a notifier or a listener.
///
/// Every notice of every notifier reaches every listener, as a count: of those that come while nobody listens closely none
/// is lost, and none delays whoever gave it.
///
/// ```
/// # let private = tempfile::tempdir()?;
/// # let domain = wharf_sys::directory::Domain::at(private.path())?;
/// use wharf_message_passing::NodeOptions;
///
/// let node = NodeOptions::new().domain(domain).open()?;
/// let mut listener = node.event("job/7/cancel").listener()?;
/// let mut notifier = node.event("job/7/cancel").notifier()?;
/// notifier.notify()?;
/// notifier.notify()?;
/// assert_eq!(listener.wait()?, 2);
/// assert_eq!(listener.take()?, 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct NodeEvent {
    node: Node,
    name: String,
    terms: Terms,
}

impl Node {
    /// An event. A listener's name may have stars, as a [topic](Node::topic)'s.
    pub fn event(&self, name: impl Into<String>) -> NodeEvent {
        let terms = Terms {
            capacity: CAPACITY,
            max_message: 0,
            on_full: OnFull::DropOldest,
            hold_bytes: 0,
            ..Terms::default()
        };
        NodeEvent { node: self.clone(), name: name.into(), terms }
    }
}

impl NodeEvent {
    /// How this end waits.
    #[must_use]
    pub fn wait(mut self, wait: Wait) -> Self {
        self.terms.wait = wait;
        self
    }

    /// How far the other ends are trusted: those of this user, unless said otherwise.
    #[must_use]
    pub fn trust(mut self, trust: Trust) -> Self {
        self.terms.trust = trust;
        self
    }

    /// Opens a notifier. When it returns, every listener that was there before hears what it gives notice of.
    ///
    /// # Errors
    /// As [`Topic::publisher`](super::Topic::<super::Bytes>::publisher).
    pub fn notifier(&self) -> Result<Notifier, NodeError> {
        let publisher = Publisher::open(&self.node, Pattern::Event, &self.name, Payload::Bytes, &self.terms)?;
        Ok(Notifier { publisher })
    }

    /// Opens a listener. When it returns, it hears every notice that is given from now on.
    ///
    /// # Errors
    /// As [`Topic::subscriber`](super::Topic::<super::Bytes>::subscriber).
    pub fn listener(&self) -> Result<EventListener, NodeError> {
        let subscriber = Subscriber::open(&self.node, Pattern::Event, &self.name, Payload::Bytes, &self.terms)?;
        Ok(EventListener { subscriber, before: 0 })
    }
}

/// The end of an event that gives notice.
///
/// Nobody has to listen, and nobody who is slow delays it: a listener learns how often it was called, whenever it looks.
/// Giving notice makes no system call unless a listener sleeps.
///
/// # When the peer dies
/// A notifier does not notice. What it gave notice of before it died itself is heard.
#[derive(Debug)]
pub struct Notifier {
    publisher: Publisher,
}

impl Notifier {
    /// Adds one to what each listener counts, and wakes those that sleep. Never waits.
    ///
    /// # Errors
    /// [`SendError::Forked`] in a forked child; [`SendError::System`].
    #[inline]
    pub fn notify(&mut self) -> Result<(), SendError> {
        self.publisher.send(&[])
    }

    /// How many listen now.
    pub fn listeners(&mut self) -> usize {
        self.publisher.subscribers()
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.publisher.name()
    }
}

/// The end of an event that listens.
///
/// # When a notifier dies
/// What it gave notice of before is counted; a listener waits for others.
#[derive(Debug)]
pub struct EventListener {
    subscriber: Subscriber,
    /// Counted before an error interrupted the counting.
    before: u64,
}

impl EventListener {
    /// Waits for a notice; how many were given since the last time.
    ///
    /// # Errors
    /// [`RecvError::Protocol`] and [`RecvError::CutOff`] when a notifier broke the rules or gave this listener up: what was
    /// counted before is in the next answer. [`RecvError::Forked`], [`RecvError::System`].
    pub fn wait(&mut self) -> Result<u64, RecvError> {
        self.count(|subscriber| subscriber.recv().map(|_| ()))
    }

    /// Waits for a notice, at most `limit`; how many were given since the last time, perhaps none.
    ///
    /// # Errors
    /// As [`wait`](Self::wait).
    pub fn wait_timeout(&mut self, limit: Duration) -> Result<u64, RecvError> {
        self.count(|subscriber| subscriber.recv_timeout(limit).map(|_| ()))
    }

    /// How many notices were given since the last time, perhaps none. Does not wait.
    ///
    /// # Errors
    /// As [`wait`](Self::wait).
    pub fn take(&mut self) -> Result<u64, RecvError> {
        self.count(|subscriber| subscriber.try_recv().map(|_| ()))
    }

    /// Its name, or names.
    pub fn name(&self) -> &str {
        self.subscriber.name()
    }

    fn count(&mut self, first: impl FnOnce(&mut Subscriber) -> Result<(), RecvError>) -> Result<u64, RecvError> {
        let mut heard = if self.before == 0 { first(&mut self.subscriber) } else { Err(RecvError::Empty) };
        loop {
            match heard {
                Ok(()) => self.before += 1,
                Err(RecvError::Lagged { missed, .. }) => self.before += missed,
                Err(RecvError::Empty | RecvError::Timeout) if self.before == 0 => return Ok(0),
                Err(RecvError::Empty | RecvError::Timeout) => break,
                Err(error) => return Err(error),
            }
            if self.before >= MOST_AT_ONCE {
                break;
            }
            heard = self.subscriber.try_recv().map(|_| ());
        }
        Ok(std::mem::take(&mut self.before))
    }
}

// Ready when there is a notice, or an error.
waits_as_its!(subscriber, impl<> EventListener, |it| if it.before > 0 { Glance::Ready } else { it.subscriber.glance() });
