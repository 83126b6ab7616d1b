//! The answering end of a service.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use wharf_shared_memory::board::Counter;
use wharf_sys::clock::{Deadline, Instant};
use wharf_sys::crash_point;
use wharf_sys::doorbell::{self, Bell};
use wharf_sys::poll::Found;

use super::Terms;
use super::frame::{Head, Kind};
use super::host::{Host, Hub, News};
use super::outbox::{Outbox, Without};
use super::request::{Request, Ticket};
use super::rest::{self, Own};
use super::rota::Rota;
use crate::address::Address;
use crate::error::{ConnectError, RecvError};
use crate::handshake::Payload;
use crate::link::Link;
use crate::listener::Listener;
use crate::node::{DEFAULT_PATIENCE, EndpointSpec, Filter, Node, NodeError, Pairing, Part, Pattern, Registration};
use crate::receiver::Receiver;
use crate::wait::{self, Act, Limit, Pace};
use crate::waits::Waits;

/// The most requests of one client that are worked on at once; more are refused.
pub(super) const MOST_OPEN: usize = super::calls::MOST_CALLS;

/// A listener is asked after so many turns that found requests, and before every sleep.
const TURNS_PER_ACCEPT: u32 = 256;

/// The most messages of one client that are looked at in its turn: cancellations and the like, until a request comes.
const MOST_AT_ONCE: usize = 64;

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
/// ([`Service::most_kept`](super::Service::most_kept)), and is cut off when there are more: nobody else waits for it.
///
/// # When a client dies
/// Its requests are [cancelled](Request::is_cancelled), and those that were not received yet are dropped. Nobody else notices.
///
/// # When the server dies
/// Each caller learns what is known of its call: [`Outcome`](super::Outcome). A server that is dropped says which requests it
/// has taken; the others are sent to another server.
pub struct Server {
    inlet: Inlet,
    pace: Pace,
}

/// Where clients come from.
#[allow(clippy::large_enum_variant, reason = "one per server")]
enum Door {
    Named(Registration),
    Listening(Listener),
}

struct Caller {
    receiver: Receiver,
    outbox: Arc<Outbox>,
    pairing: Option<Pairing>,
    /// The latest request that was taken.
    last: u64,
}

struct Inlet {
    door: Door,
    callers: Vec<Caller>,
    hub: Arc<Hub<News>>,
    bell: Bell,
    rota: Rota,
    turn: Vec<usize>,
    found: Vec<Found>,
    turns: u32,
    next_number: u64,
    /// Some answers were kept when it looked last.
    kept: bool,
    /// Clients that were cut off, and why: the latest.
    cut_off: u64,
    last_cut_off: Option<String>,
    terms: Terms,
}

impl Server {
    pub(super) fn open(node: &Node, name: &str, payload: Payload, terms: &Terms) -> Result<Server, NodeError> {
        let filter = Filter::exact(name)?;
        let (bell, ringer) = doorbell::crowd().map_err(NodeError::system("make the server's doorbell"))?;
        let hub = Arc::new(Hub::new(ringer));
        let host = Host { hub: Arc::clone(&hub), options: terms.options.clone(), name: name.to_owned() };
        let spec = EndpointSpec {
            pattern: Pattern::Service,
            part: Part::Host,
            name: filter,
            payload: Some(payload),
            options: [terms.most_kept as u64, terms.options.max_message as u64, 0, 0],
            patience: DEFAULT_PATIENCE,
        };
        let registration = node.register(spec, Arc::new(host))?;
        crash_point!("service.server.open");
        Ok(Server::new(Door::Named(registration), hub, bell, terms))
    }

    pub(super) fn listen(address: &str, payload: Payload, terms: &Terms) -> Result<Server, ConnectError> {
        let listener = Listener::open(Address::parse(address)?, terms.options.clone(), payload)?;
        let (bell, ringer) =
            doorbell::crowd().map_err(|error| ConnectError::system("make the server's doorbell", error))?;
        Ok(Server::new(Door::Listening(listener), Arc::new(Hub::new(ringer)), bell, terms))
    }

    fn new(door: Door, hub: Arc<Hub<News>>, bell: Bell, terms: &Terms) -> Server {
        let inlet = Inlet {
            door,
            callers: Vec::new(),
            hub,
            bell,
            rota: Rota::default(),
            turn: Vec::new(),
            found: Vec::new(),
            turns: 0,
            next_number: 0,
            kept: false,
            cut_off: 0,
            last_cut_off: None,
            terms: terms.clone(),
        };
        Server { inlet, pace: Pace::new(terms.options.wait, true, None) }
    }

    /// Receives the next request; waits for it.
    ///
    /// # Errors
    /// [`RecvError::System`] when the system refuses something, [`RecvError::Forked`].
    pub fn recv(&mut self) -> Result<Request, RecvError> {
        self.recv_within(Limit::Never)
    }

    /// Receives the next request; waits for it, at most `limit`.
    ///
    /// # Errors
    /// [`RecvError::Timeout`] when none came in time; otherwise as [`recv`](Self::recv).
    pub fn recv_timeout(&mut self, limit: Duration) -> Result<Request, RecvError> {
        self.recv_within(Limit::After(limit))
    }

    /// Receives the next request if there is one now.
    ///
    /// # Errors
    /// [`RecvError::Empty`] when there is none; otherwise as [`recv`](Self::recv).
    pub fn try_recv(&mut self) -> Result<Request, RecvError> {
        self.inlet.check_ours()?;
        self.inlet.accept()?;
        self.inlet.look_at_all()?.ok_or(RecvError::Empty)
    }

    fn recv_within(&mut self, limit: Limit) -> Result<Request, RecvError> {
        let inlet = &mut self.inlet;
        inlet.check_ours()?;
        if let Some(request) = inlet.look()? {
            return Ok(request);
        }
        let deadline = limit.start();
        let found = wait::until(&mut self.pace, deadline, |act| match act {
            Act::Try => inlet.look(),
            Act::Look => {
                inlet.accept()?;
                inlet.callers.iter_mut().for_each(|caller| caller.receiver.look_at_peer());
                inlet.look_at_all()
            }
            Act::Sleep => {
                inlet.sleep(deadline)?;
                inlet.accept()?;
                inlet.look_at_all()
            }
        });
        found?.ok_or(RecvError::Timeout)
    }

    /// How many clients it has now.
    pub fn clients(&mut self) -> usize {
        // What comes to light here is told by the next call that receives.
        let _ = self.inlet.accept();
        self.inlet.hear();
        self.inlet.callers.len()
    }

    /// How many clients were cut off because they broke the rules or did not read their answers, and why the latest was.
    pub fn cut_off(&self) -> (u64, Option<&str>) {
        (self.inlet.cut_off, self.inlet.last_cut_off.as_deref())
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
            Door::Named(_) => None,
            Door::Listening(listener) => Some(listener.address()),
        }
    }
}

impl Inlet {
    fn check_ours(&self) -> Result<(), RecvError> {
        match self.bell.as_fd() {
            Ok(_) => Ok(()),
            Err(_) => Err(RecvError::Forked),
        }
    }

    /// Takes in who has come, and leaves who has gone.
    fn hear(&mut self) {
        if !self.hub.has_news() {
            return;
        }
        for news in self.hub.take() {
            match news {
                News::Joined(pairing, link) => self.add(*link, Some(pairing)),
                News::Left(pairing) => {
                    let left = |it: &Caller| it.pairing.as_ref().is_some_and(|its| its.id() == pairing);
                    if let Some(caller) = self.callers.iter().find(|it| left(it)) {
                        caller.outbox.cut_off("it is gone".to_owned());
                    }
                }
            }
        }
        self.flush();
        self.leave();
    }

    fn add(&mut self, link: Link, pairing: Option<Pairing>) {
        let (sender, receiver) = link.split();
        self.next_number += 1;
        let outbox =
            Outbox::new(sender, self.next_number, Arc::clone(&self.hub), pairing.clone(), self.terms.most_kept);
        self.callers.push(Caller { receiver, outbox: Arc::new(outbox), pairing, last: 0 });
    }

    /// Sends on what was kept for clients.
    fn flush(&mut self) {
        self.kept = false;
        for caller in &self.callers {
            self.kept |= caller.outbox.flush();
        }
    }

    /// Forgets those to whom nothing can be said any more.
    fn leave(&mut self) {
        // Backwards, so that whoever takes the place of one that goes was looked at.
        for at in (0..self.callers.len()).rev() {
            if self.callers.get(at).is_some_and(|it| it.outbox.is_over()) {
                self.remove(at);
            }
        }
    }

    fn remove(&mut self, at: usize) {
        let caller = self.callers.swap_remove(at);
        self.rota.removed(at, self.callers.len());
        if let (Door::Named(registration), Some(pairing)) = (&self.door, &caller.pairing) {
            registration.cut_off(pairing.id());
        }
    }

    /// A client has broken the rules.
    fn cut(&mut self, at: usize, why: String) {
        if let Some(caller) = self.callers.get(at) {
            self.cut_off += 1;
            caller.outbox.cut_off(why.clone());
            self.last_cut_off = Some(why);
            self.remove(at);
        }
    }

    /// Takes in everybody who has connected.
    fn accept(&mut self) -> Result<(), RecvError> {
        // Bounded by those who wait at this moment, of whom a listener keeps so many.
        for _ in 0..1024 {
            let Door::Listening(listener) = &mut self.door else { return Ok(()) };
            match listener.try_accept() {
                Ok(link) => self.add(link, None),
                Err(ConnectError::NobodyWaiting) => break,
                Err(error) => return Err(RecvError::System(io::Error::other(error.to_string()))),
            }
        }
        Ok(())
    }

    /// One turn: looks at some of the clients, the recent ones first.
    fn look(&mut self) -> Result<Option<Request>, RecvError> {
        if self.hub.has_news() {
            self.hear();
        } else if self.kept {
            self.flush();
        }
        let mut turn = std::mem::take(&mut self.turn);
        self.rota.turn(self.callers.len(), &mut turn);
        let found = turn.iter().find_map(|at| self.look_at(*at));
        self.turn = turn;
        if found.is_some() {
            self.turns = self.turns.wrapping_add(1);
            if self.turns.is_multiple_of(TURNS_PER_ACCEPT) {
                self.accept()?;
            }
        }
        Ok(found)
    }

    /// Looks at every client.
    fn look_at_all(&mut self) -> Result<Option<Request>, RecvError> {
        self.hear();
        if self.kept {
            self.flush();
        }
        let first = self.look()?;
        if first.is_some() {
            return Ok(first);
        }
        // Backwards: one that is cut off is replaced by one that was looked at.
        Ok((0..self.callers.len()).rev().find_map(|at| self.look_at(at)))
    }

    /// The next request of one client.
    fn look_at(&mut self, at: usize) -> Option<Request> {
        for _ in 0..MOST_AT_ONCE {
            let caller = self.callers.get_mut(at)?;
            let frame = match caller.receiver.poll_frame() {
                Ok(Some(frame)) => frame,
                Ok(None) => return None,
                Err(RecvError::Closed | RecvError::PeerDied) => {
                    caller.outbox.cut_off("it is gone".to_owned());
                    self.remove(at);
                    return None;
                }
                Err(error) => {
                    self.cut(at, error.to_string());
                    return None;
                }
            };
            let message = caller.receiver.view(frame);
            match Head::read(&message) {
                Ok((Head { kind: Kind::Request, id, left }, bytes)) => {
                    if id <= caller.last {
                        let why = format!("expected a request with a number above {}, found {id}", caller.last);
                        self.cut(at, why);
                        return None;
                    }
                    let bytes = bytes.to_vec();
                    caller.last = id;
                    crash_point!("service.request.taken");
                    if let Some(request) = self.take(at, id, left, bytes) {
                        self.rota.found(at);
                        return Some(request);
                    }
                }
                Ok((Head { kind: Kind::Cancel, id, .. }, _)) => caller.outbox.cancel(id),
                Ok((Head { kind, .. }, _)) => {
                    self.cut(at, format!("expected a request or a cancellation, found {kind:?}"));
                    return None;
                }
                Err(why) => {
                    self.cut(at, why);
                    return None;
                }
            }
        }
        None
    }

    fn take(&mut self, at: usize, id: u64, left: Option<Duration>, bytes: Vec<u8>) -> Option<Request> {
        if let Door::Named(registration) = &self.door {
            let counters = registration.counters();
            counters.add(Counter::ReceivedMessages, 1);
            counters.add(Counter::ReceivedBytes, bytes.len() as u64);
        }
        if left.is_some_and(|left| left.is_zero()) {
            // Its caller has given it up by itself, and hears nothing of it.
            return None;
        }
        let caller = self.callers.get(at)?;
        match caller.outbox.begin(id, MOST_OPEN) {
            Ok(true) => {}
            Ok(false) => {
                let why = format!("{MOST_OPEN} requests of this client are being worked on, which is the most");
                // One that cannot hear it is found out by the next look.
                let _ = caller.outbox.say(Kind::Refused, id, why.as_bytes(), Without::CutOff);
                return None;
            }
            Err(()) => return None,
        }
        let deadline = left.map(|left| Instant::now().saturating_add(left));
        let outbox = Arc::clone(&caller.outbox);
        let ticket = Ticket { outbox, id, deadline, patience: self.terms.patience, answered: false };
        Some(Request { bytes, ticket })
    }

    fn sleep(&mut self, deadline: Option<Deadline>) -> Result<(), RecvError> {
        let mut own = Own { bell: &self.bell, rung: self.hub.has_news() };
        let mut ways = Vec::new();
        let mut ends: Vec<&mut dyn Waits> = Vec::with_capacity(self.callers.len() + 2);
        ends.push(&mut own);
        if let Door::Listening(listener) = &mut self.door {
            ends.push(listener);
        }
        for caller in &mut self.callers {
            if self.kept
                && let Some(way) = caller.outbox.lock_way()
            {
                ways.push(way);
            }
            ends.push(&mut caller.receiver);
        }
        let mut rooms: Vec<_> = ways.iter_mut().map(|way| way.room(1)).collect();
        ends.extend(rooms.iter_mut().map(|room| room as &mut dyn Waits));
        crash_point!("service.server.sleep");
        let slept = rest::sleep(&mut ends, deadline, &mut self.found);
        if let Door::Named(registration) = &self.door {
            registration.counters().add(Counter::Sleeps, 1);
        }
        slept.map_err(RecvError::System)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.inlet.check_ours().is_err() {
            return;
        }
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
