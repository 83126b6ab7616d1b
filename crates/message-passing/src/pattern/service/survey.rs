//! A survey: one request to every server of a client, and what comes of it until a deadline.
//!
//! It is a call to each of them, kept among the client's other calls (`calls.rs`), and needs nothing of the servers. This file
//! keeps which of the calls are its own, and takes their results by turns.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use wharf_sys::clock::{Deadline, Instant};

use super::account::{Account, Accounted, ServerInfo};
use super::calls::{Awaited, Calls, Taken, Wish};
use super::client::Client;
use super::error::CallError;
use super::outlet::{Outlet, Tried};
use crate::wait;
use crate::waits::{Announced, Endpoint, Glance, Places, Seam, Stir, Waits};

/// One result of one server.
pub struct Answer {
    server: Arc<ServerInfo>,
    bytes: Vec<u8>,
}

impl Answer {
    /// Whose it is.
    pub fn server(&self) -> &ServerInfo {
        &self.server
    }

    /// What it says.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The same, to keep.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    pub(super) fn into_parts(self) -> (Arc<ServerInfo>, Vec<u8>) {
        (self.server, self.bytes)
    }
}

impl Deref for Answer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer").field("server", &self.server).field("len", &self.bytes.len()).finish()
    }
}

/// One server, and the call to it.
struct Asked {
    server: Arc<ServerInfo>,
    call: u64,
    results: u64,
    /// `None` while more may come.
    end: Option<Result<(), CallError>>,
}

/// The calls of one survey.
#[derive(Default)]
struct Gathering {
    asked: Vec<Asked>,
    /// Positions of those from whom more may come, in the order of the next look.
    open: VecDeque<usize>,
}

impl Gathering {
    /// Begins a call to everybody who takes requests; sends it, where there is room at once.
    fn begin(outlet: &mut Outlet, request: &[u8], limit: Duration, now: Instant) -> Gathering {
        // Whoever has left is not there.
        outlet.advance(Awaited::Any);
        let mut gathering = Gathering::default();
        let there = outlet.links.iter_mut().filter(|link| !link.closing);
        let there: Vec<_> = there.map(|link| (link.number, link.who())).collect();
        for (number, server) in there {
            let wish = Wish { limit: Some(limit), only: Some(number), ..Wish::default() };
            // Nothing that waits already is overtaken on its way to this server.
            let waits = outlet.calls.due_for(number, true).is_some();
            let (call, end) = match outlet.calls.begin(wish, now) {
                Err(why) => (0, Some(Err(why))),
                Ok(call) => match if waits { Tried::NotNow } else { outlet.try_send(call, Some(request)) } {
                    Tried::Sent => (call, None),
                    Tried::NotNow => {
                        outlet.calls.keep(call, request.to_vec());
                        (call, None)
                    }
                    Tried::Never(why) => {
                        outlet.calls.forget(call);
                        (call, Some(Err(why)))
                    }
                },
            };
            if end.is_none() {
                gathering.open.push_back(gathering.asked.len());
            }
            gathering.asked.push(Asked { server, call, results: 0, end });
        }
        gathering
    }

    /// The next result that is there, of each in turn.
    fn take(&mut self, calls: &mut Calls) -> Option<Answer> {
        for _ in 0..self.open.len() {
            let at = self.open.pop_front()?;
            let asked = self.asked.get_mut(at)?;
            let bytes = match calls.take(asked.call) {
                Taken::Nothing => {
                    self.open.push_back(at);
                    continue;
                }
                Taken::Item(bytes) => {
                    self.open.push_back(at);
                    Some(bytes)
                }
                Taken::Last(Ok(bytes)) => {
                    asked.end = Some(Ok(()));
                    bytes
                }
                Taken::Last(Err(error)) => {
                    asked.end = Some(Err(error));
                    None
                }
            };
            if let Some(bytes) = bytes {
                asked.results += 1;
                return Some(Answer { server: Arc::clone(&asked.server), bytes });
            }
        }
        None
    }

    fn is_over(&self) -> bool {
        self.open.is_empty()
    }

    /// Calls from which more may come.
    fn calls(&self) -> impl Iterator<Item = u64> + '_ {
        self.open.iter().filter_map(|at| self.asked.get(*at)).map(|asked| asked.call)
    }

    /// Gives up the calls that are not over; their servers are told.
    fn give_up(&mut self, outlet: &mut Outlet) {
        for call in self.calls() {
            let given_up = outlet.calls.cancel(call);
            outlet.give_up(call, given_up);
        }
        // What has come and was not taken is counted; each round takes something, or ends a call.
        while self.take(&mut outlet.calls).is_some() {}
        outlet.send_due();
    }

    fn account(self) -> Account {
        let unknown = || Err(CallError::Cancelled);
        let accounted =
            |it: Asked| Accounted { server: it.server, results: it.results, end: it.end.unwrap_or_else(unknown) };
        Account { servers: self.asked.into_iter().map(accounted).collect() }
    }
}

/// A request to every server that a client has, and the answers as they come, until a deadline.
///
/// An iterator over [`Answer`]s, each with the server whose it is. It ends when every server has come to its end, or with the
/// deadline: nobody waits past it. A server that answers with [several results](super::Request::stream) has each of them delivered.
/// Then [`account`](Self::account) says what became of every server that was there when the survey began, also of those that did not
/// answer.
///
/// ```
/// # let private = tempfile::tempdir()?;
/// # let domain = wharf_sys::directory::Domain::at(private.path())?;
/// use std::time::Duration;
/// use wharf_message_passing::NodeOptions;
///
/// let node = NodeOptions::new().domain(domain).open()?;
/// # let answering: Vec<_> = [40_u8, 42].into_iter().map(|load| {
/// #     let mut server = node.service("load").server().unwrap();
/// #     std::thread::spawn(move || server.recv_timeout(Duration::from_secs(5)).unwrap().reply(&[load]).unwrap())
/// # }).collect();
/// # let mut silent = node.service("load").server()?;
/// let mut client = node.service("load").client()?;
/// let mut survey = client.survey(b"how busy are you?", Duration::from_millis(500))?;
/// let mut loads = Vec::new();
/// for answer in &mut survey {
///     let answer = answer?;
///     println!("{}: {} %", answer.server(), answer[0]);
///     loads.push(answer[0]);
/// }
/// let account = survey.account();
/// println!("{account}");
/// # loads.sort();
/// # assert_eq!(loads, [40, 42]);
/// # assert_eq!((account.len(), account.answered().count(), account.late().count()), (3, 2, 1));
/// # for thread in answering { thread.join().unwrap(); }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Who is asked
/// Every server that the client has when it begins ([`Client::servers`]); over an address that is one. One that comes later is not
/// asked, and one that is there is asked once, whatever becomes of it. With no server it is over at once.
///
/// # When full
/// A server whose queue for this client is full is asked when it has room, until the deadline; then it was never asked. The others
/// need not wait for it. Until it is sent, a copy of the request is kept for each such server, two where it is sent in part.
///
/// Results that nobody takes wait, up to [`most_kept`](super::Service::most_kept) bytes of each server; one that sends more is given up
/// ([`CallError::Overrun`]). A survey counts as one open call for each server, of 1,024 together; servers for which there is none left
/// were never asked ([`CallError::TooMany`]).
///
/// # When a server dies
/// What it has sent before is delivered, and what became of the request is unknown. The others go on.
///
/// # When it is dropped
/// What is not over is given up, and its servers are told.
pub struct Survey<'c> {
    client: &'c mut Client,
    gathering: Gathering,
    deadline: Deadline,
    /// Waiting has failed, and this was said.
    broken: bool,
}

impl Client {
    /// Asks every server at once, and gathers what they answer until `limit` is over. Does not wait: the [`Survey`] does.
    ///
    /// Calls that were started go on meanwhile.
    ///
    /// # Errors
    /// [`CallError::Forked`]. Whatever becomes of a single server is in the survey's [account](Survey::account).
    pub fn survey(&mut self, request: &[u8], limit: Duration) -> Result<Survey<'_>, CallError> {
        self.outlet.check_ours()?;
        // One moment for all, so that all have one deadline.
        let now = Instant::now();
        let gathering = Gathering::begin(&mut self.outlet, request, limit, now);
        let deadline = Deadline::at(now.saturating_add(limit));
        Ok(Survey { client: self, gathering, deadline, broken: false })
    }
}

impl Survey<'_> {
    /// The next answer that is there now.
    ///
    /// # Errors
    /// [`CallError::Forked`].
    pub fn try_next(&mut self) -> Result<Option<Answer>, CallError> {
        let outlet = &mut self.client.outlet;
        outlet.check_ours()?;
        if let Some(answer) = self.gathering.take(&mut outlet.calls) {
            return Ok(Some(answer));
        }
        outlet.advance(Awaited::Bound);
        outlet.expire_all();
        Ok(self.gathering.take(&mut outlet.calls))
    }

    /// Waits for the next answer, at most `limit`, and not past the survey's own deadline; `None` when none came by then
    /// ([`is_over`](Self::is_over) tells whether more may come).
    ///
    /// # Errors
    /// [`CallError::Forked`], [`CallError::System`] when the system refuses to wait.
    pub fn next_timeout(&mut self, limit: Duration) -> Result<Option<Answer>, CallError> {
        self.next_until(Some(Deadline::after(limit)))
    }

    fn next_until(&mut self, limit: Option<Deadline>) -> Result<Option<Answer>, CallError> {
        let Survey { client, gathering, deadline, .. } = self;
        let outlet = &mut client.outlet;
        outlet.check_ours()?;
        let mut found = gathering.take(&mut outlet.calls);
        if found.is_some() || gathering.is_over() {
            return Ok(found);
        }
        let until = Deadline::earlier(limit, Some(*deadline));
        wait::until(&mut client.pace, until, |act| {
            outlet.act(act, until, Awaited::Bound, |it| {
                found = gathering.take(&mut it.calls);
                found.is_some() || gathering.is_over()
            })
        })
        .map_err(CallError::System)?;
        if found.is_none() && deadline.passed() {
            outlet.expire_all();
            outlet.send_due();
            found = gathering.take(&mut outlet.calls);
        }
        Ok(found)
    }

    /// Whether every server has come to its end, or the time is over, and all that came was taken.
    pub fn is_over(&self) -> bool {
        self.gathering.is_over()
    }

    /// How many servers it has asked, or meant to.
    pub fn asked(&self) -> usize {
        self.gathering.asked.len()
    }

    /// How many of them have not come to their end.
    pub fn outstanding(&self) -> usize {
        self.gathering.open.len()
    }

    /// What became of each server. Ends the survey: what is not over is given up, and its servers are told. Does not wait.
    pub fn account(mut self) -> Account {
        self.end();
        std::mem::take(&mut self.gathering).account()
    }

    /// Of this server's results nobody can make sense: it has answered, and more of it is not wanted.
    pub(super) fn misunderstood(&mut self, server: &Arc<ServerInfo>, why: String) {
        let Gathering { asked, open } = &mut self.gathering;
        let Some(at) = asked.iter().position(|it| Arc::ptr_eq(&it.server, server)) else { return };
        let Some(asked) = asked.get_mut(at) else { return };
        asked.results -= 1;
        asked.end = Some(Err(CallError::Misunderstood(why)));
        open.retain(|it| *it != at);
        let outlet = &mut self.client.outlet;
        let given_up = outlet.calls.forget(asked.call);
        outlet.give_up(asked.call, given_up);
        outlet.send_due();
    }

    fn end(&mut self) {
        if self.client.outlet.check_ours().is_ok() && !self.gathering.is_over() {
            self.gathering.give_up(&mut self.client.outlet);
        }
    }
}

/// Waits for the next answer. An error (of waiting; [`next_timeout`](Survey::next_timeout) tells which) is the last item.
impl Iterator for Survey<'_> {
    type Item = Result<Answer, CallError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.broken {
            return None;
        }
        let next = self.next_until(None);
        self.broken = next.is_err();
        next.transpose()
    }
}

impl Drop for Survey<'_> {
    fn drop(&mut self) {
        self.end();
    }
}

impl Waits for Survey<'_> {
    fn glance(&mut self) -> Glance {
        let outlet = &mut self.client.outlet;
        if self.gathering.is_over() || outlet.check_ours().is_err() {
            return Glance::Ready;
        }
        outlet.advance(Awaited::Bound);
        outlet.expire_all();
        match self.gathering.calls().any(|call| outlet.calls.is_ready(call)) {
            true => Glance::Ready,
            false if outlet.is_free() => Glance::Nothing,
            false => Glance::Unknown,
        }
    }

    fn may_spin(&self) -> bool {
        self.client.may_spin()
    }

    fn announce(&mut self) -> Announced {
        self.client.announce()
    }

    fn descriptors(&self) -> io::Result<Places<'_>> {
        self.client.descriptors()
    }

    fn stirred(&mut self, found: &Stir) -> io::Result<bool> {
        self.client.take_stirs(found)?;
        Ok(self.glance() == Glance::Ready)
    }

    fn awake(&mut self) {
        self.client.awake();
    }
}

/// Ready when there is an answer to take, or the survey is over.
impl Endpoint for Survey<'_> {
    fn seam(&mut self) -> Seam<'_> {
        Seam(self)
    }
}

impl fmt::Debug for Survey<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Survey")
            .field("asked", &self.asked())
            .field("outstanding", &self.outstanding())
            .finish_non_exhaustive()
    }
}
