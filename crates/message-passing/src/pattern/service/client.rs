//! The asking end of a service.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use wharf_sys::clock::{Deadline, Instant};
use wharf_sys::crash_point;
use wharf_sys::doorbell;

use super::Terms;
use super::call::{Call, CallId, Results};
use super::calls::{Awaited, Taken, Wish};
use super::error::CallError;
use super::outlet::{Asked, Meeting, Outlet, Tried};
use crate::address::Address;
use crate::error::ConnectError;
use crate::handshake::{Payload, Purpose};
use crate::meet;
use crate::node::{DEFAULT_PATIENCE, EndpointSpec, Filter, Node, NodeError, Part, Pattern};
use crate::pattern::private_link::{Guest, Hub};
use crate::wait::{self, Pace};

/// The asking end of a service: sends requests to its servers, and receives what comes of them.
///
/// With several servers of one name, each call goes to one of them ([`Choice`](super::Choice), or the [key](Call::key)).
///
/// # When full
/// A request that finds no room at its server waits for it until the call's deadline; then it was never sent
/// ([`CallError::Full`]). Meanwhile answers are received.
///
/// Of a call with several results up to [`most_kept`](super::Service::most_kept) wait for the program. With so many nothing more is
/// received from its server while the program waits for this call or [for any](Self::any_ready): then the server waits, and with it
/// what it has to say to other calls. A program that waits for one other call hears the server out, and a call that brings more
/// meanwhile is over ([`CallError::Overrun`]).
///
/// # When the server dies
/// Calls that were not sent yet go to another server, and so do those that it has provably not taken when it left in good
/// order. Of a call that was sent nobody knows whether it was carried out ([`CallError::ServerGone`]), unless it is
/// [idempotent](Call::idempotent): then it is sent again, elsewhere, before its deadline. While no server is there, calls
/// wait for one until their deadline ([`CallError::NoServer`]).
///
/// Over an address there is one server, and a client whose server is gone stays without one.
pub struct Client {
    pub(super) outlet: Outlet,
    pub(super) pace: Pace,
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
            apart: None,
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
        let link = meet::connect(
            &address,
            options,
            Purpose::Calling,
            payload,
            limit.unwrap_or(options.handshake_timeout),
            limit.is_some(),
        )?;
        let mut client = Client::new(address.as_str(), Meeting::Connected, terms);
        client.outlet.add(link, 0, None, false);
        Ok(client)
    }

    fn new(service: &str, meeting: Meeting, terms: &Terms) -> Client {
        let outlet = Outlet::new(service, meeting, terms);
        Client { outlet, pace: Pace::new(terms.options.wait, true, None) }
    }

    /// Asks, and waits for the answer, at most `limit`.
    ///
    /// # Errors
    /// [`CallError`], which says whether the request was never sent, sent with an unknown outcome, or answered.
    #[inline]
    pub fn call(&mut self, request: &[u8], limit: Duration) -> Result<Vec<u8>, CallError> {
        self.request(request).limit(limit).call()
    }

    /// [`call`](Self::call) that puts the answer into memory of the caller's, in place of what is there: with enough of it, a small
    /// answer that comes soon takes no other.
    ///
    /// # Errors
    /// As [`call`](Self::call); the memory is then empty.
    #[inline]
    pub fn call_into(&mut self, request: &[u8], limit: Duration, answer: &mut Vec<u8>) -> Result<(), CallError> {
        self.ask(request, Wish { limit: Some(limit), ..Wish::default() }, answer)
    }

    /// Asks for several results, which the iterator waits for, all of them at most `limit`.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    pub fn call_stream(&mut self, request: &[u8], limit: Duration) -> Result<Results<'_>, CallError> {
        self.request(request).limit(limit).stream()
    }

    /// A call with more wishes than a deadline.
    #[inline]
    pub fn request<'c, 'r>(&'c mut self, request: &'r [u8]) -> Call<'c, 'r> {
        Call { client: self, request, wish: Wish::default() }
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
    /// has passed have their error to take. While one has something to take, nothing more is received, so a server that is
    /// faster than the program waits for it.
    ///
    /// # Errors
    /// [`CallError::Forked`], [`CallError::System`].
    pub fn any_ready(&mut self, limit: Duration) -> Result<Option<CallId>, CallError> {
        self.outlet.check_ours()?;
        let limit = Deadline::after(limit);
        let outlet = &mut self.outlet;
        // Each round ends with an answer, or after the earliest of the deadlines that are left.
        loop {
            if let Some(id) = outlet.any_ready() {
                return Ok(Some(CallId(id)));
            }
            if limit.passed() {
                return Ok(None);
            }
            let first = outlet.calls.first_deadline().map(Deadline::at);
            let deadline = Deadline::earlier(Some(limit), first);
            let ready = |it: &mut Outlet| it.calls.any_ready().is_some();
            wait::until(&mut self.pace, deadline, |act| outlet.act(act, deadline, Awaited::Any, ready))
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
        self.outlet.advance(Awaited::Any);
        self.outlet.links.iter().filter(|link| !link.closing).count()
    }

    /// Calls that are open: also those whose answer was not taken yet. At most 1,024.
    pub fn open_calls(&self) -> usize {
        self.outlet.calls.len()
    }

    /// Asks, waits for the answer and puts it into this memory.
    #[inline(always)]
    pub(super) fn ask(&mut self, request: &[u8], wish: Wish, into: &mut Vec<u8>) -> Result<(), CallError> {
        match self.outlet.ask_quickly(request, wish.limit, &self.pace, into) {
            Asked::Answered => Ok(()),
            // A wish of its own: what a call is passed in memory is put there beforehand, and this one only where it is needed.
            asked => {
                let Wish { limit, key, idempotent, only } = wish;
                self.ask_slowly(request, Wish { limit, key, idempotent, only }, asked, into)
            }
        }
    }

    #[cold]
    #[inline(never)]
    fn ask_slowly(&mut self, request: &[u8], wish: Wish, asked: Asked, into: &mut Vec<u8>) -> Result<(), CallError> {
        into.clear();
        let id = match asked {
            Asked::Answered => return Ok(()),
            Asked::Sent(number) => self.outlet.open(request, wish, number)?,
            Asked::Word(number) => self.outlet.open_with_word(request, wish, number)?,
            Asked::NotYet => self.start(request, wish)?,
        };
        let answer = self.wait(CallId(id))?;
        match into.capacity() < answer.len() {
            true => *into = answer,
            false => into.extend_from_slice(&answer),
        }
        Ok(())
    }

    /// Starts a call, without waiting: one that finds no room is sent when there is some.
    #[cfg(feature = "tokio")]
    pub(crate) fn begin(&mut self, request: &[u8], limit: Duration) -> Result<CallId, CallError> {
        let wish = Wish { limit: Some(limit), ..Wish::default() };
        let outlet = &mut self.outlet;
        outlet.check_ours()?;
        outlet.hear();
        let id = outlet.calls.begin(wish, Instant::now())?;
        outlet.calls.keep(id, request.to_vec());
        outlet.send_due();
        Ok(CallId(id))
    }

    /// What has come of a call by now.
    #[cfg(feature = "tokio")]
    pub(crate) fn try_take(&mut self, call: CallId) -> Result<Option<Taken>, CallError> {
        self.outlet.check_ours()?;
        let mut taken = self.outlet.calls.take(call.0);
        if matches!(taken, Taken::Nothing) {
            self.outlet.advance(Awaited::One(call.0));
            self.outlet.expire_all();
            taken = self.outlet.calls.take(call.0);
        }
        match taken {
            Taken::Nothing => Ok(None),
            taken => Ok(Some(taken)),
        }
    }

    /// Gives a call up, and forgets it.
    #[cfg(feature = "tokio")]
    pub(crate) fn forget(&mut self, call: CallId) {
        if self.outlet.check_ours().is_ok() {
            let given_up = self.outlet.calls.forget(call.0);
            self.outlet.give_up(call.0, given_up);
            self.outlet.send_due();
        }
    }

    /// Starts a call; waits until it is sent, at most until its deadline.
    pub(super) fn start(&mut self, request: &[u8], wish: Wish) -> Result<u64, CallError> {
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
        wait::until(&mut self.pace, deadline, |act| {
            outlet.act(act, deadline, Awaited::One(id), |it| !it.calls.is_due(id))
        })
        .map_err(CallError::System)?;
        outlet.expire(id);
        Ok(id)
    }

    /// Waits until a call has something to take, and takes it.
    pub(super) fn settle(&mut self, id: u64) -> Result<Taken, CallError> {
        let outlet = &mut self.outlet;
        outlet.check_ours()?;
        let mut taken = outlet.calls.take(id);
        if !matches!(taken, Taken::Nothing) {
            return Ok(taken);
        }
        let deadline = outlet.calls.deadline(id).map(Deadline::at);
        let pace = &mut self.pace;
        wait::until(pace, deadline, |act| {
            outlet.act(act, deadline, Awaited::One(id), |it| {
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

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("service", &self.outlet.service).finish_non_exhaustive()
    }
}
