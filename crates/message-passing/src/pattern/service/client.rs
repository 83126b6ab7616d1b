//! The asking end of a service.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use wharf_sys::clock::{Deadline, Instant};
use wharf_sys::crash_point;
use wharf_sys::doorbell::{self, Bell};
use wharf_sys::fork;
use wharf_sys::poll::Found;

use super::Terms;
use super::calls::{Calls, GivenUp, Taken, Wish};
use super::choice::{self, Candidate};
use super::error::CallError;
use super::frame::{HEAD_BYTES, Head, Kind};
use super::guest::{Guest, News};
use super::host::Hub;
use super::rest::{self, Own};
use crate::address::Address;
use crate::error::{ConnectError, RecvError, SendError};
use crate::handshake::Payload;
use crate::link::Link;
use crate::meet;
use crate::node::{DEFAULT_PATIENCE, EndpointSpec, Filter, Node, NodeError, PairingId, Part, Pattern, Registration};
use crate::receiver::Receiver;
use crate::sender::Sender;
use crate::transport::Ask;
use crate::wait::{self, Act, Pace};
use crate::waits::Waits;

/// The most messages of one server that are taken in one turn.
const MOST_AT_ONCE: usize = 64;

/// The most cancellations that wait for room at one server; of more the oldest are not told.
const MOST_CANCELS: usize = 1024;

/// A call that was started: [`Client::wait`] waits for what comes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallId(u64);

/// The asking end of a service: sends requests to its servers, and receives what comes of them.
///
/// With several servers of one name, each call goes to one of them ([`Choice`](super::Choice), or the [key](Call::key)).
///
/// # When full
/// A request that finds no room at its server waits for it until the call's deadline; then it was never sent
/// ([`CallError::Full`]). Meanwhile answers are received.
///
/// # When the server dies
/// Calls that were not sent yet go to another server, and so do those that it has provably not taken when it left in good
/// order. Of a call that was sent nobody knows whether it was carried out ([`CallError::ServerGone`]), unless it is
/// [idempotent](Call::idempotent): then it is sent again, elsewhere, before its deadline. While no server is there, calls
/// wait for one until their deadline ([`CallError::NoServer`]).
///
/// Over an address there is one server, and a client whose server is gone stays without one.
pub struct Client {
    outlet: Outlet,
    pace: Pace,
}

/// Where servers come from.
enum Meeting {
    Named { hub: Arc<Hub<News>>, bell: Bell, _registration: Registration },
    Connected,
}

/// One server, as long as anything can come from it.
struct ServerLink {
    number: u64,
    identity: u64,
    pairing: Option<PairingId>,
    sender: Sender,
    receiver: Receiver,
    /// It takes no more requests.
    closing: bool,
    /// A request that is sent in part.
    begun: Option<Begun>,
    cancels: Vec<u64>,
}

/// A request that is sent in part: nothing else can be sent before.
struct Begun {
    id: u64,
    number: u64,
    message: Vec<u8>,
    progress: usize,
}

struct Outlet {
    epoch: u32,
    service: String,
    meeting: Meeting,
    links: Vec<ServerLink>,
    calls: Calls,
    terms: Terms,
    turn: usize,
    next_link: u64,
    frame: Vec<u8>,
    found: Vec<Found>,
    candidates: Vec<Candidate>,
    positions: Vec<usize>,
}

/// What became of one try to send.
enum Tried {
    Sent,
    /// No room, or nobody there.
    NotNow,
    Never(CallError),
}

impl Client {
    pub(super) fn open(node: &Node, name: &str, payload: Payload, terms: &Terms) -> Result<Client, NodeError> {
        let filter = Filter::exact(name)?;
        let (bell, ringer) = doorbell::crowd().map_err(NodeError::system("make the client's doorbell"))?;
        let hub = Arc::new(Hub::new(ringer));
        let guest = Guest::new(Arc::clone(&hub), terms.options.clone(), name.to_owned());
        let spec = EndpointSpec {
            pattern: Pattern::Service,
            part: Part::Guest,
            name: filter,
            payload: Some(payload),
            options: [terms.most_kept as u64, terms.options.max_message as u64, 0, 0],
            patience: DEFAULT_PATIENCE,
        };
        let registration = node.register(spec, Arc::new(guest))?;
        crash_point!("service.client.open");
        Ok(Client::new(name, Meeting::Named { hub, bell, _registration: registration }, terms))
    }

    pub(super) fn connect(
        address: &str,
        payload: Payload,
        terms: &Terms,
        limit: Option<Duration>,
    ) -> Result<Client, ConnectError> {
        let address = Address::parse(address)?;
        let options = &terms.options;
        let link =
            meet::connect(&address, options, payload, limit.unwrap_or(options.handshake_timeout), limit.is_some())?;
        let mut client = Client::new(address.as_str(), Meeting::Connected, terms);
        client.outlet.add(link, 0, None);
        Ok(client)
    }

    fn new(service: &str, meeting: Meeting, terms: &Terms) -> Client {
        let outlet = Outlet {
            epoch: fork::epoch(),
            service: service.to_owned(),
            meeting,
            links: Vec::new(),
            calls: Calls::new(terms.most_kept),
            terms: terms.clone(),
            turn: 0,
            next_link: 0,
            frame: Vec::new(),
            found: Vec::new(),
            candidates: Vec::new(),
            positions: Vec::new(),
        };
        Client { outlet, pace: Pace::new(terms.options.wait, true, None) }
    }

    /// Asks, and waits for the answer, at most `limit`.
    ///
    /// # Errors
    /// [`CallError`], which says whether the request was never sent, sent with an unknown outcome, or answered.
    pub fn call(&mut self, request: &[u8], limit: Duration) -> Result<Vec<u8>, CallError> {
        self.request(request).limit(limit).call()
    }

    /// Asks for several results, which the iterator waits for, all of them at most `limit`.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    pub fn call_stream(&mut self, request: &[u8], limit: Duration) -> Result<Results<'_>, CallError> {
        self.request(request).limit(limit).stream()
    }

    /// A call with more wishes than a deadline.
    pub fn request<'c, 'r>(&'c mut self, request: &'r [u8]) -> Call<'c, 'r> {
        let wish = Wish { limit: None, key: None, idempotent: false };
        Call { client: self, request, wish }
    }

    /// The answer of a call that was started; waits for it until the call's deadline. Of one with several results those that
    /// were not taken are dropped.
    ///
    /// # Errors
    /// As [`call`](Self::call); [`CallError::NoSuchCall`] when it was taken before.
    pub fn wait(&mut self, call: CallId) -> Result<Vec<u8>, CallError> {
        // Ends with the end of the call, which its server or its deadline brings; each item was sent by its server.
        loop {
            match self.settle(call.0)? {
                Taken::Last(end) => return end.map(Option::unwrap_or_default),
                Taken::Item(_) | Taken::Nothing => {}
            }
        }
    }

    /// The next result of a call that was started; `None`, once, when there are no more. The answer of a call with one result
    /// is its only result.
    ///
    /// # Errors
    /// As [`wait`](Self::wait).
    pub fn next(&mut self, call: CallId) -> Result<Option<Vec<u8>>, CallError> {
        match self.settle(call.0)? {
            Taken::Item(item) => Ok(Some(item)),
            Taken::Last(Ok(Some(answer))) => {
                self.outlet.calls.leave_end(call.0);
                Ok(Some(answer))
            }
            Taken::Last(Ok(None)) => Ok(None),
            Taken::Last(Err(error)) => Err(error),
            Taken::Nothing => Err(CallError::NoSuchCall),
        }
    }

    /// Some call that was started and has something to take now, within `limit`; `None` when none has. Calls whose deadline
    /// has passed have their error to take.
    ///
    /// # Errors
    /// [`CallError::Forked`], [`CallError::System`].
    pub fn any_ready(&mut self, limit: Duration) -> Result<Option<CallId>, CallError> {
        self.outlet.check_ours()?;
        let limit = Deadline::after(limit);
        let outlet = &mut self.outlet;
        // Each round ends with an answer, or after the earliest of the deadlines that are left.
        loop {
            outlet.advance();
            outlet.expire_all();
            if let Some(id) = outlet.calls.any_ready() {
                return Ok(Some(CallId(id)));
            }
            if limit.passed() {
                return Ok(None);
            }
            let first = outlet.calls.first_deadline().map(Deadline::at);
            let deadline = Deadline::earlier(Some(limit), first);
            wait::until(&mut self.pace, deadline, |act| outlet.act(act, deadline, |it| it.calls.any_ready().is_some()))
                .map_err(CallError::System)?;
        }
    }

    /// Gives a call up. Its server is told; what it has done by then is done. The call then has
    /// [`CallError::Cancelled`] to take, unless it was over before.
    pub fn cancel(&mut self, call: CallId) {
        if self.outlet.check_ours().is_ok() {
            let given_up = self.outlet.calls.cancel(call.0);
            self.outlet.give_up(call.0, given_up);
            self.outlet.send_due();
        }
    }

    /// How many servers it has now.
    pub fn servers(&mut self) -> usize {
        if self.outlet.check_ours().is_err() {
            return 0;
        }
        self.outlet.advance();
        self.outlet.links.iter().filter(|link| !link.closing).count()
    }

    /// Calls that are open: also those whose answer was not taken yet. At most 1,024.
    pub fn open_calls(&self) -> usize {
        self.outlet.calls.len()
    }

    /// Starts a call; waits until it is sent, at most until its deadline.
    fn start(&mut self, request: &[u8], wish: Wish) -> Result<u64, CallError> {
        let outlet = &mut self.outlet;
        outlet.check_ours()?;
        outlet.hear();
        let id = outlet.calls.begin(wish, Instant::now())?;
        if !outlet.calls.any_due() {
            match outlet.try_send(id, Some(request)) {
                Tried::Sent => return Ok(id),
                Tried::NotNow => {}
                Tried::Never(why) => {
                    outlet.calls.forget(id);
                    return Err(why);
                }
            }
        }
        outlet.calls.keep(id, request.to_vec());
        let deadline = outlet.calls.deadline(id).map(Deadline::at);
        wait::until(&mut self.pace, deadline, |act| outlet.act(act, deadline, |it| !it.calls.is_due(id)))
            .map_err(CallError::System)?;
        outlet.expire(id);
        Ok(id)
    }

    /// Waits until a call has something to take, and takes it.
    fn settle(&mut self, id: u64) -> Result<Taken, CallError> {
        let outlet = &mut self.outlet;
        outlet.check_ours()?;
        let mut taken = outlet.calls.take(id);
        if !matches!(taken, Taken::Nothing) {
            return Ok(taken);
        }
        let deadline = outlet.calls.deadline(id).map(Deadline::at);
        let pace = &mut self.pace;
        wait::until(pace, deadline, |act| {
            outlet.act(act, deadline, |it| {
                taken = it.calls.take(id);
                !matches!(taken, Taken::Nothing)
            })
        })
        .map_err(CallError::System)?;
        if matches!(taken, Taken::Nothing) {
            outlet.expire(id);
            taken = outlet.calls.take(id);
        }
        Ok(taken)
    }
}

impl Outlet {
    fn check_ours(&self) -> Result<(), CallError> {
        if self.epoch == fork::epoch() { Ok(()) } else { Err(CallError::Forked) }
    }

    /// One step of waiting for `ready`.
    fn act(
        &mut self,
        act: Act,
        deadline: Option<Deadline>,
        mut ready: impl FnMut(&mut Self) -> bool,
    ) -> std::io::Result<Option<()>> {
        match act {
            Act::Try => self.advance(),
            Act::Look => {
                self.links.iter_mut().for_each(|link| link.receiver.look_at_peer());
                self.advance();
            }
            Act::Sleep => {
                self.sleep(deadline)?;
                self.advance();
            }
        }
        Ok(ready(self).then_some(()))
    }

    fn add(&mut self, link: Link, identity: u64, pairing: Option<PairingId>) {
        let (sender, receiver) = link.split();
        self.next_link += 1;
        self.links.push(ServerLink {
            number: self.next_link,
            identity,
            pairing,
            sender,
            receiver,
            closing: false,
            begun: None,
            cancels: Vec::new(),
        });
    }

    /// Takes in who has come.
    fn hear(&mut self) {
        let Meeting::Named { hub, .. } = &self.meeting else { return };
        if !hub.has_news() {
            return;
        }
        for news in hub.take() {
            match news {
                News::Joined { pairing, identity, link } => self.add(*link, identity, Some(pairing)),
                News::Left(pairing) => {
                    if let Some(link) = self.links.iter_mut().find(|link| link.pairing == Some(pairing)) {
                        // Its link says what it has sent before, and how it ended.
                        link.closing = true;
                        link.receiver.look_at_peer();
                    }
                }
                News::CutOff(pairing, why) => {
                    if let Some(at) = self.links.iter().position(|link| link.pairing == Some(pairing)) {
                        self.lose(at, &format!("the server has cut this client off: {why}"));
                    }
                }
            }
        }
    }

    /// Everything that can be done without waiting.
    fn advance(&mut self) {
        self.hear();
        // Backwards: one that is lost is replaced by one that was looked at.
        for at in (0..self.links.len()).rev() {
            self.receive(at);
        }
        self.send_due();
    }

    fn receive(&mut self, at: usize) {
        for _ in 0..MOST_AT_ONCE {
            let Some(link) = self.links.get_mut(at) else { return };
            let frame = match link.receiver.poll_frame() {
                Ok(Some(frame)) => frame,
                Ok(None) => return,
                Err(RecvError::Closed) => return self.lose(at, "the server closed without an answer"),
                Err(RecvError::PeerDied) => return self.lose(at, "the server died"),
                Err(error) => return self.lose(at, &error.to_string()),
            };
            let message = link.receiver.view(frame);
            match Head::read(&message) {
                Ok((Head { kind: Kind::Bye, id, .. }, _)) => {
                    link.closing = true;
                    let number = link.number;
                    self.drop_begun(at);
                    self.calls.gone(number, "the server closed", Some(id), true);
                }
                Ok((head, payload)) => {
                    if let Some(given_up) = self.calls.arrived(link.number, head, payload, Instant::now) {
                        self.tell(given_up);
                    }
                }
                Err(why) => return self.lose(at, &format!("the server breaks the protocol: {why}")),
            }
        }
    }

    /// A server is gone.
    fn lose(&mut self, at: usize, why: &str) {
        if at < self.links.len() {
            let link = self.links.swap_remove(at);
            self.calls.gone(link.number, why, None, false);
        }
    }

    /// Forgets what was sent in part: its call is due still.
    fn drop_begun(&mut self, at: usize) {
        if let Some(link) = self.links.get_mut(at)
            && let Some(begun) = link.begun.take()
            && begun.progress > 0
        {
            link.sender.half.abort();
        }
    }

    /// Has a server told that a call was given up.
    fn tell(&mut self, given_up: GivenUp) {
        if let Some(link) = self.links.iter_mut().find(|link| link.number == given_up.server) {
            if link.cancels.len() == MOST_CANCELS {
                link.cancels.remove(0);
            }
            link.cancels.push(given_up.number);
        }
    }

    /// A call is over before its server said so.
    fn give_up(&mut self, id: u64, given_up: Option<GivenUp>) {
        if let Some(at) = self.links.iter().position(|link| link.begun.as_ref().is_some_and(|it| it.id == id)) {
            self.drop_begun(at);
        }
        if let Some(given_up) = given_up {
            self.tell(given_up);
        }
    }

    fn expire(&mut self, id: u64) {
        let any = self.any_server();
        let given_up = self.calls.expire(id, Instant::now(), any, &self.service);
        if !self.calls.is_due(id) {
            self.give_up(id, given_up);
        }
        self.send_due();
    }

    fn expire_all(&mut self) {
        let any = self.any_server();
        for given_up in self.calls.expire_all(Instant::now(), any, &self.service) {
            self.tell(given_up);
        }
        for at in 0..self.links.len() {
            let over =
                self.links.get(at).and_then(|link| link.begun.as_ref()).is_some_and(|it| !self.calls.is_due(it.id));
            if over {
                self.drop_begun(at);
            }
        }
    }

    fn any_server(&self) -> bool {
        self.links.iter().any(|link| !link.closing)
    }

    /// Sends what is due, as far as there is room.
    fn send_due(&mut self) {
        for link in &mut self.links {
            if link.sender.half.has_rest() {
                // What is left of it is sent by a later turn.
                let _ = link.sender.half.send_rest();
            }
            while link.begun.is_none()
                && let Some(number) = link.cancels.first()
            {
                let head = Head::new(Kind::Cancel, *number).write();
                if link.sender.half.push(&head, &mut 0, Ask::Nothing).is_err() {
                    break;
                }
                link.cancels.remove(0);
            }
        }
        if !self.calls.any_due() {
            return;
        }
        let due: Vec<u64> = self.calls.due().collect();
        for id in due {
            match self.try_send(id, None) {
                Tried::Sent => {}
                // Others wait behind it, so that none is overtaken for ever.
                Tried::NotNow => break,
                Tried::Never(why) => self.calls.refuse(id, why),
            }
        }
    }

    /// Tries to send a call; its request is given, or kept among the calls.
    fn try_send(&mut self, id: u64, request: Option<&[u8]>) -> Tried {
        // Each server that is found closed is one less to choose from.
        for _ in 0..=self.links.len() {
            let begun = self.links.iter().position(|link| link.begun.as_ref().is_some_and(|it| it.id == id));
            let Some((wish, deadline, kept)) = self.calls.request(id) else { return Tried::Sent };
            let Some(at) = begun.or_else(|| {
                choose(
                    &self.links,
                    &self.calls,
                    (wish.key, self.terms.choice, self.turn),
                    (&mut self.candidates, &mut self.positions),
                )
            }) else {
                if matches!(self.meeting, Meeting::Connected) && !self.links.iter().any(|link| !link.closing) {
                    return Tried::Never(CallError::NoServer { service: self.service.clone(), limit: Duration::ZERO });
                }
                return Tried::NotNow;
            };
            let Some(link) = self.links.get_mut(at) else { return Tried::NotNow };
            if begun.is_none() {
                if link.begun.is_some() || !link.cancels.is_empty() {
                    return Tried::NotNow;
                }
                let payload = request.unwrap_or(kept);
                if let Err(error) = link.sender.check(HEAD_BYTES + payload.len()) {
                    return Tried::Never(CallError::NotSent(error));
                }
                let left = deadline.map(|deadline| deadline.saturating_since(Instant::now()));
                self.frame.clear();
                let number = self.calls.next_number();
                let Some((_, _, kept)) = self.calls.request(id) else { return Tried::Sent };
                self.frame.extend_from_slice(&Head { kind: Kind::Request, id: number, left }.write());
                self.frame.extend_from_slice(request.unwrap_or(kept));
                let mut progress = 0;
                match link.sender.half.push(&self.frame, &mut progress, Ask::Nothing) {
                    Ok(()) => {
                        if wish.idempotent
                            && let Some(request) = request
                        {
                            self.calls.remember(id, request.to_vec());
                        }
                        let server = link.number;
                        return self.was_sent(id, server, number);
                    }
                    Err(SendError::Full) if progress > 0 => {
                        link.begun = Some(Begun { id, number, message: self.frame.clone(), progress });
                        return Tried::NotNow;
                    }
                    Err(SendError::Full) => return Tried::NotNow,
                    Err(SendError::Closed | SendError::PeerDied { .. }) => {
                        link.closing = true;
                        link.receiver.look_at_peer();
                        continue;
                    }
                    Err(error) => return Tried::Never(CallError::NotSent(error)),
                }
            }
            let Some(begun) = &mut link.begun else { return Tried::NotNow };
            match link.sender.half.push(&begun.message, &mut begun.progress, Ask::Nothing) {
                Ok(()) => {
                    let (server, number) = (link.number, begun.number);
                    link.begun = None;
                    return self.was_sent(id, server, number);
                }
                Err(SendError::Full) => return Tried::NotNow,
                Err(_) => {
                    // What came there is not whole, so that it was never sent.
                    link.begun = None;
                    link.closing = true;
                    link.receiver.look_at_peer();
                }
            }
        }
        Tried::NotNow
    }

    fn was_sent(&mut self, id: u64, server: u64, number: u64) -> Tried {
        self.calls.sent(id, server, number);
        self.turn = self.turn.wrapping_add(1);
        crash_point!("service.call.sent");
        Tried::Sent
    }

    fn sleep(&mut self, deadline: Option<Deadline>) -> std::io::Result<()> {
        let due = self.calls.any_due();
        let mut own = match &self.meeting {
            Meeting::Named { hub, bell, .. } => Some(Own { bell, rung: hub.has_news() }),
            Meeting::Connected => None,
        };
        let mut rooms = Vec::new();
        let mut ends: Vec<&mut dyn Waits> = Vec::with_capacity(2 * self.links.len() + 1);
        ends.extend(own.iter_mut().map(|own| own as &mut dyn Waits));
        for link in &mut self.links {
            // One that has closed has room for ever.
            if !link.closing && (due || !link.cancels.is_empty() || link.sender.half.has_rest()) {
                rooms.push(link.sender.room(HEAD_BYTES));
            }
            ends.push(&mut link.receiver);
        }
        ends.extend(rooms.iter_mut().map(|room| room as &mut dyn Waits));
        crash_point!("service.client.sleep");
        rest::sleep(&mut ends, deadline, &mut self.found)
    }
}

/// Which server is asked: one that takes requests.
fn choose(
    links: &[ServerLink],
    calls: &Calls,
    (key, how, turn): (Option<u64>, choice::Choice, usize),
    (candidates, positions): (&mut Vec<Candidate>, &mut Vec<usize>),
) -> Option<usize> {
    if let [link] = links {
        return (!link.closing).then_some(0);
    }
    candidates.clear();
    positions.clear();
    for (at, link) in links.iter().enumerate().filter(|(_, link)| !link.closing) {
        candidates.push(Candidate { identity: link.identity, busy: calls.busy(link.number) });
        positions.push(at);
    }
    positions.get(choice::choose(candidates, how, key, turn)?).copied()
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("service", &self.outlet.service).finish_non_exhaustive()
    }
}

/// A call before it is sent.
#[must_use = "nothing is sent before call, stream or start"]
pub struct Call<'c, 'r> {
    client: &'c mut Client,
    request: &'r [u8],
    wish: Wish,
}

impl<'c> Call<'c, '_> {
    /// The caller waits for so long, and no longer: until the request is sent, until it is answered. Its server learns how
    /// much of it is left. Without, it waits for ever. What this side takes in after that time is late, also where it was busy
    /// with something else when it came: the call is a [`CallError::Timeout`].
    pub fn limit(mut self, limit: Duration) -> Self {
        self.wish.limit = Some(limit);
        self
    }

    /// Calls with the same key go to the same server, from every client, as long as that server is there.
    pub fn key(mut self, key: u64) -> Self {
        self.wish.key = Some(key);
        self
    }

    /// Whether carrying it out twice does no harm: then it is sent to another server when the one that has it is gone, unless
    /// it has brought results already.
    pub fn idempotent(mut self, idempotent: bool) -> Self {
        self.wish.idempotent = idempotent;
        self
    }

    /// Asks, and waits for the answer.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub fn call(self) -> Result<Vec<u8>, CallError> {
        let id = self.client.start(self.request, self.wish)?;
        self.client.wait(CallId(id))
    }

    /// Asks for several results.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub fn stream(self) -> Result<Results<'c>, CallError> {
        let id = self.client.start(self.request, self.wish)?;
        Ok(Results { client: self.client, id, over: false })
    }

    /// Sends the request and does not wait for the answer: [`Client::wait`] does, in any order.
    ///
    /// # Errors
    /// As [`Client::call`]. What happens after it was sent is for [`Client::wait`].
    pub fn start(self) -> Result<CallId, CallError> {
        self.client.start(self.request, self.wish).map(CallId)
    }
}

impl fmt::Debug for Call<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call").field("len", &self.request.len()).field("wish", &self.wish).finish()
    }
}

/// The results of one call, as they come. An error is the last of them. Dropping it cancels the call.
pub struct Results<'a> {
    client: &'a mut Client,
    id: u64,
    over: bool,
}

impl Iterator for Results<'_> {
    type Item = Result<Vec<u8>, CallError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        match self.client.settle(self.id) {
            Ok(Taken::Item(item)) => Some(Ok(item)),
            Ok(Taken::Last(end)) => {
                self.over = true;
                end.transpose()
            }
            Ok(Taken::Nothing) => None,
            Err(error) => {
                self.over = true;
                Some(Err(error))
            }
        }
    }
}

impl Drop for Results<'_> {
    fn drop(&mut self) {
        let outlet = &mut self.client.outlet;
        if outlet.check_ours().is_ok() {
            let given_up = outlet.calls.forget(self.id);
            outlet.give_up(self.id, given_up);
            outlet.send_due();
        }
    }
}

impl fmt::Debug for Results<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Results").field("over", &self.over).finish_non_exhaustive()
    }
}
