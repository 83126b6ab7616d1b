//! The answering end of a service.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use wharf_sys::barrier;
use wharf_sys::crash_point;
use wharf_sys::doorbell::{self, Bell};

use super::Terms;
use super::frame::Kind;
use super::host::{Host, News};
use super::inlet::{Door, Inlet, TRIES_BESIDE_OTHERS};
use super::outbox::Without;
use super::request::Request;
use crate::address::Address;
use crate::error::{ConnectError, RecvError};
use crate::handshake::{Payload, Purpose};
use crate::listener::Listener;
use crate::node::{DEFAULT_PATIENCE, EndpointSpec, Filter, Node, NodeError, Part, Pattern};
use crate::pattern::private_link::Hub;
use crate::pattern::private_link::entrance::Entrance;
use crate::wait::{self, Act, Limit, Pace};

/// The answering end of a service: receives the requests of any number of clients.
///
/// ```
/// # let private = tempfile::tempdir()?;
/// # let domain = wharf_sys::directory::Domain::at(private.path())?;
/// use std::time::Duration;
/// use wharf_message_passing::NodeOptions;
///
/// let node = NodeOptions::new().domain(domain).open()?;
/// let mut server = node.service("length").server()?;
/// let answering = std::thread::spawn(move || {
///     while let Ok(request) = server.recv_timeout(Duration::from_secs(1)) {
///         let answer = request.len().to_string();
///         request.reply(answer.as_bytes()).ok();
///     }
/// });
/// let mut client = node.service("length").client()?;
/// assert_eq!(client.call(b"four", Duration::from_secs(5))?, b"4");
/// # drop(client);
/// # answering.join().unwrap();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # When full
/// Requests wait in the link of each client, 16 KiB by name or the [capacity](crate::Options::capacity) by address; what does
/// not fit there waits at the client, until its deadline. A client that does not read its answers has some of them kept
/// ([`Service::most_kept`](super::Service::most_kept)), and is cut off when there are more: nobody else waits for it. At an
/// address at most [`Service::most_clients`](super::Service::most_clients) are there at once; others are [refused](Self::refused).
///
/// # When a client dies
/// Its requests are [cancelled](Request::is_cancelled), and those that were not received yet are dropped. Nobody else notices.
///
/// # When the server dies
/// Each caller learns what is known of its call: [`Outcome`](super::Outcome). A server that is dropped says which requests it
/// has taken; the others are sent to another server.
pub struct Server {
    pub(super) inlet: Inlet,
    pub(super) pace: Pace,
}

impl Server {
    pub(super) fn open(node: &Node, name: &str, payload: Payload, terms: &Terms) -> Result<Server, NodeError> {
        let filter = Filter::exact(name)?;
        let (bell, ringer) = doorbell::crowd().map_err(NodeError::system("make the server's doorbell"))?;
        let hub = Arc::new(Hub::new(ringer));
        let host = Host::new(Arc::clone(&hub), terms.options.clone(), name.to_owned(), terms.most_kept);
        let spec = EndpointSpec {
            pattern: Pattern::Service,
            part: Part::Host,
            name: filter,
            payload: Some(payload),
            options: [terms.most_kept as u64, terms.options.max_message as u64, 0, 0],
            apart: None,
            patience: DEFAULT_PATIENCE,
        };
        let host = Arc::new(host);
        let registration = node.register(spec, host.clone())?;
        crash_point!("service.server.open");
        Ok(Server::new(Door::Named(registration, host), hub, bell, terms))
    }

    pub(super) fn listen(address: &str, payload: Payload, terms: &Terms) -> Result<Server, ConnectError> {
        // A node begins it when it is opened; here the first client would wait for it.
        barrier::begin();
        let listener = Listener::open(Address::parse(address)?, terms.options.clone(), Purpose::Serving, payload)?;
        let (bell, ringer) =
            doorbell::crowd().map_err(|error| ConnectError::system("make the server's doorbell", error))?;
        let entrance = Entrance::new(listener, terms.most_clients);
        Ok(Server::new(Door::Listening(entrance), Arc::new(Hub::new(ringer)), bell, terms))
    }

    fn new(door: Door, hub: Arc<Hub<News>>, bell: Bell, terms: &Terms) -> Server {
        let inlet = Inlet::new(door, hub, bell, terms);
        Server { inlet, pace: Pace::new(terms.options.wait, true, None) }
    }

    /// Receives the next request; waits for it.
    ///
    /// # Errors
    /// [`RecvError::System`] when the system refuses something, [`RecvError::Forked`].
    #[inline]
    pub fn recv(&mut self) -> Result<Request, RecvError> {
        match self.recv_quickly() {
            Some(request) => Ok(request),
            None => self.recv_within(Limit::Never),
        }
    }

    /// Receives the next request; waits for it, at most `limit`.
    ///
    /// # Errors
    /// [`RecvError::Timeout`] when none came in time; otherwise as [`recv`](Self::recv).
    #[inline]
    pub fn recv_timeout(&mut self, limit: Duration) -> Result<Request, RecvError> {
        match self.recv_quickly() {
            Some(request) => Ok(request),
            None => self.recv_within(Limit::After(limit)),
        }
    }

    /// Receives the next request if there is one now.
    ///
    /// # Errors
    /// [`RecvError::Empty`] when there is none; otherwise as [`recv`](Self::recv).
    pub fn try_recv(&mut self) -> Result<Request, RecvError> {
        self.inlet.check_ours()?;
        self.inlet.owe();
        self.inlet.owed.take().ok_or(RecvError::Empty)
    }

    /// The common case, in a function of its own: what a caller keeps in registers is not in its way, and what it returns comes in
    /// registers, too.
    #[inline(never)]
    fn recv_quickly(&mut self) -> Option<Request> {
        if self.inlet.owed.is_some() || self.inlet.check_ours().is_err() {
            return None;
        }
        self.inlet.look_quickly(self.pace.quick_tries())
    }

    #[inline(never)]
    fn recv_within(&mut self, limit: Limit) -> Result<Request, RecvError> {
        let inlet = &mut self.inlet;
        inlet.check_ours()?;
        if let Some(owed) = inlet.owed.take() {
            return Ok(owed);
        }
        if let Some(request) = inlet.look() {
            return Ok(request);
        }
        let deadline = limit.start();
        let found = wait::until(&mut self.pace, deadline, |act| match act {
            Act::Try => match inlet.look_quickly(TRIES_BESIDE_OTHERS) {
                Some(request) => Ok(Some(request)),
                None => Ok(inlet.look()),
            },
            Act::Look => {
                inlet.accept();
                inlet.callers.iter_mut().for_each(|caller| caller.inflow.look_at_peer());
                Ok(inlet.look_at_all())
            }
            Act::Sleep => {
                inlet.sleep(deadline)?;
                inlet.accept();
                Ok(inlet.look_at_all())
            }
        });
        found?.ok_or(RecvError::Timeout)
    }

    /// How many clients it has now.
    pub fn clients(&mut self) -> usize {
        self.inlet.accept();
        self.inlet.hear();
        self.inlet.callers.len()
    }

    /// How many clients were cut off because they broke the rules or did not read their answers, and why the latest was.
    pub fn cut_off(&self) -> (u64, Option<&str>) {
        (self.inlet.cut_off, self.inlet.last_cut_off.as_deref())
    }

    /// How many that connected to the address were refused or could not be taken in; and who they were and why, as far as that is
    /// remembered, which is at least of the latest 64, the last one last. They did not fit, more than
    /// [`most_clients](super::Service::most_clients) would have been there, or the system had no descriptor or memory for one.
    /// Nobody who is there already notices; after what the system refuses nobody comes in for up to 100 ms. None where it is met by
    /// name.
    pub fn refused(&self) -> (u64, Vec<String>) {
        match &self.inlet.door {
            Door::Named(..) => (0, Vec::new()),
            Door::Listening(entrance) => entrance.refused(),
        }
    }

    /// Whether answers are kept for clients that have no room for them. What has room by now is sent on.
    pub fn has_kept(&mut self) -> bool {
        if self.inlet.check_ours().is_err() {
            return false;
        }
        self.inlet.flush();
        self.inlet.kept
    }

    /// The address at which it listens; `None` when it is met by name.
    pub fn address(&self) -> Option<&Address> {
        match &self.inlet.door {
            Door::Named(..) => None,
            Door::Listening(entrance) => Some(entrance.address()),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.inlet.check_ours().is_err() {
            return;
        }
        self.inlet.hear_last();
        self.inlet.give_back_owed();
        for caller in &self.inlet.callers {
            // What is kept goes first, as far as there is room; a client that hears nothing sees the end of the link.
            caller.outbox.flush();
            let _ = caller.outbox.say(Kind::Bye, caller.last, &[], Without::Keep);
        }
        crash_point!("service.server.closed");
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("clients", &self.inlet.callers.len()).finish_non_exhaustive()
    }
}
