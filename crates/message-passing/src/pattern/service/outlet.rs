//! What goes out to the servers of one client, and what comes back.

mod sending;

use std::sync::Arc;

use wharf_sys::clock::{Deadline, Instant};
use wharf_sys::crash_point;
use wharf_sys::doorbell::Bell;
use wharf_sys::fork;
use wharf_sys::poll::Found;

pub(super) use self::sending::Tried;
use self::sending::{Begun, choose};
use super::Terms;
use super::account::ServerInfo;
use super::calls::{Awaited, Calls, GivenUp};
use super::choice::Candidate;
use super::error::CallError;
use super::frame::{HEAD_BYTES, Head, Kind};
use super::host::CANCEL;
use super::slices::Slices;
use super::spare::Spare;
use crate::error::RecvError;
use crate::link::Link;
use crate::node::{Pairing, PairingId, Registration};
use crate::pattern::private_link::rest::{self, Own};
use crate::pattern::private_link::{Hub, News};
use crate::receiver::Receiver;
use crate::sender::Sender;
use crate::wait::Act;
use crate::waits::{Announced, Glance, Waits};

/// The most messages of one server that are taken in one turn.
const MOST_AT_ONCE: usize = 64;

/// The most cancellations that wait for room at one server; of more the oldest are not told.
const MOST_CANCELS: usize = 1024;

/// Where servers come from.
pub(super) enum Meeting {
    Named { hub: Arc<Hub<News>>, bell: Bell, _registration: Registration },
    Connected,
}

/// One server, as long as anything can come from it.
pub(super) struct ServerLink {
    pub(super) number: u64,
    identity: u64,
    pairing: Option<Pairing>,
    pub(super) sender: Sender,
    pub(super) receiver: Receiver,
    /// It reads short headers.
    pub(super) short: bool,
    /// It takes no more requests.
    pub(super) closing: bool,
    /// A request that is sent in part.
    pub(super) begun: Option<Begun>,
    pub(super) cancels: Vec<u64>,
    /// Who it is, once somebody has asked.
    who: Option<Arc<ServerInfo>>,
}

/// See the top of the file.
pub(super) struct Outlet {
    epoch: u32,
    pub(super) service: String,
    pub(super) meeting: Meeting,
    pub(super) links: Vec<ServerLink>,
    pub(super) calls: Calls,
    terms: Terms,
    turn: usize,
    next_link: u64,
    frame: Vec<u8>,
    /// How long the answer of a quick call may be.
    pub(super) spare: Spare,
    found: Vec<Found>,
    candidates: Vec<Candidate>,
    positions: Vec<usize>,
    /// How soon to look for room for what is due.
    pub(super) slices: Slices,
}

/// What became of a call that was asked in the quick way.
pub(super) enum Asked {
    /// It is over, and the answer is where it was wanted.
    Answered,
    /// It was sent with this number, and nothing came yet.
    Sent(u64),
    /// The same, and something else than its answer came, which nobody has looked at yet.
    Word(u64),
    /// Nothing was done: it is a call like all others.
    NotYet,
}

impl Outlet {
    pub(super) fn new(service: &str, meeting: Meeting, terms: &Terms) -> Outlet {
        Outlet {
            epoch: fork::epoch(),
            service: service.to_owned(),
            meeting,
            links: Vec::new(),
            calls: Calls::new(terms.most_kept),
            terms: terms.clone(),
            turn: 0,
            next_link: 0,
            frame: Vec::new(),
            spare: Spare::default(),
            found: Vec::new(),
            candidates: Vec::new(),
            positions: Vec::new(),
            slices: Slices::default(),
        }
    }

    pub(super) fn check_ours(&self) -> Result<(), CallError> {
        if self.epoch == fork::epoch() { Ok(()) } else { Err(CallError::Forked) }
    }

    /// One step of waiting for `ready`.
    pub(super) fn act(
        &mut self,
        act: Act,
        deadline: Option<Deadline>,
        awaited: Awaited,
        mut ready: impl FnMut(&mut Self) -> bool,
    ) -> std::io::Result<Option<()>> {
        match act {
            Act::Try => self.advance(awaited),
            Act::Look => {
                self.links.iter_mut().for_each(|link| link.receiver.look_at_peer());
                self.advance(awaited);
            }
            Act::Sleep => {
                self.sleep(deadline)?;
                self.advance(awaited);
            }
        }
        Ok(ready(self).then_some(()))
    }

    pub(super) fn add(&mut self, link: Link, identity: u64, pairing: Option<Pairing>, short: bool) {
        let (sender, receiver) = link.split();
        self.next_link += 1;
        self.links.push(ServerLink {
            number: self.next_link,
            identity,
            pairing,
            sender,
            receiver,
            short,
            closing: false,
            begun: None,
            cancels: Vec::new(),
            who: None,
        });
    }

    /// Whether somebody has come or gone.
    #[inline(always)]
    pub(super) fn has_news(&self) -> bool {
        matches!(&self.meeting, Meeting::Named { hub, .. } if hub.has_news())
    }

    /// Takes in who has come.
    #[inline(always)]
    pub(super) fn hear(&mut self) {
        if self.has_news() {
            self.take_news();
        }
    }

    #[cold]
    #[inline(never)]
    fn take_news(&mut self) {
        let Meeting::Named { hub, .. } = &self.meeting else { return };
        for news in hub.take() {
            match news {
                News::Joined { pairing, identity, link, short_headers } => {
                    self.add(*link, identity, Some(pairing), short_headers);
                }
                News::Left(pairing) => {
                    if let Some(link) = self.links.iter_mut().find(|link| link.is_of(pairing)) {
                        // Its link says what it has sent before, and how it ended.
                        link.closing = true;
                        link.receiver.look_at_peer();
                    }
                }
                News::CutOff(pairing, why) => {
                    if let Some(at) = self.links.iter().position(|link| link.is_of(pairing)) {
                        self.lose(at, &format!("the server has cut this client off: {why}"));
                    }
                }
            }
        }
    }

    /// Everything that can be done without waiting. Of a server that has brought enough of what is waited for nothing more is
    /// received: so it waits, too.
    pub(super) fn advance(&mut self, awaited: Awaited) {
        self.hear();
        // Backwards: one that is lost is replaced by one that was looked at.
        for at in (0..self.links.len()).rev() {
            self.receive(at, awaited);
        }
        self.send_due();
    }

    fn receive(&mut self, at: usize, awaited: Awaited) {
        for _ in 0..MOST_AT_ONCE {
            let Some(link) = self.links.get_mut(at) else { return };
            if self.calls.has_enough(link.number, awaited) {
                return;
            }
            let frame = match link.receiver.poll_frame() {
                Ok(Some(frame)) => frame,
                Ok(None) => return,
                Err(RecvError::Closed) => return self.lose(at, "the server closed without an answer"),
                Err(RecvError::PeerDied) => return self.lose(at, "the server died"),
                Err(error) => return self.lose(at, &error.to_string()),
            };
            let message = link.receiver.view(frame);
            let number = link.number;
            match Head::read(&message) {
                // In the common case nothing is copied twice.
                Ok((head, payload)) if head.kind != Kind::Bye => {
                    if let Some(given_up) = self.calls.arrived(number, head, payload, Instant::now) {
                        self.tell(given_up);
                    }
                }
                Ok((head, _)) => self.take_in(number, Ok((head, &[]))),
                Err(why) => self.take_in(number, Err(why)),
            }
        }
    }

    /// What a server has said.
    pub(super) fn take_in(&mut self, server: u64, said: Result<(Head, &[u8]), String>) {
        let Some(at) = self.links.iter().position(|link| link.number == server) else { return };
        match said {
            Ok((Head { kind: Kind::Bye, id, .. }, _)) => {
                if let Some(link) = self.links.get_mut(at) {
                    link.closing = true;
                }
                self.drop_begun(at);
                self.calls.gone(server, "the server closed", Some(id), true);
            }
            Ok((head, payload)) => {
                if let Some(given_up) = self.calls.arrived(server, head, payload, Instant::now) {
                    self.tell(given_up);
                }
            }
            Err(why) => self.lose(at, &format!("the server breaks the protocol: {why}")),
        }
    }

    /// A server is gone.
    fn lose(&mut self, at: usize, why: &str) {
        if at < self.links.len() {
            let link = self.links.swap_remove(at);
            self.calls.gone(link.number, why, None, false);
        }
    }

    /// Has a server told that a call was given up.
    fn tell(&mut self, given_up: GivenUp) {
        if let Some(link) = self.links.iter_mut().find(|link| link.number == given_up.server) {
            // Over the node, the server hears it at once, whatever it does. Where that is full, and over an address, the word
            // travels behind the request.
            if let Some(pairing) = &link.pairing
                && pairing.tell(CANCEL, &given_up.number.to_le_bytes(), Vec::new()).is_ok()
            {
                return;
            }
            if link.cancels.len() == MOST_CANCELS {
                link.cancels.remove(0);
            }
            link.cancels.push(given_up.number);
        }
    }

    /// A call is over before its server said so.
    pub(super) fn give_up(&mut self, id: u64, given_up: Option<GivenUp>) {
        if let Some(at) = self.links.iter().position(|link| link.begun.as_ref().is_some_and(|it| it.id == id)) {
            self.drop_begun(at);
        }
        if let Some(given_up) = given_up {
            self.tell(given_up);
        }
    }

    pub(super) fn expire(&mut self, id: u64) {
        let any = self.any_server();
        self.calls.expire(id, Instant::now(), any, &self.service);
        if !self.calls.is_due(id) {
            // Its server knows by itself that the time is over.
            self.give_up(id, None);
        }
        self.send_due();
    }

    pub(super) fn expire_all(&mut self) {
        let any = self.any_server();
        self.calls.expire_all(Instant::now(), any, &self.service);
        for at in 0..self.links.len() {
            let over =
                self.links.get(at).and_then(|link| link.begun.as_ref()).is_some_and(|it| !self.calls.is_due(it.id));
            if over {
                self.drop_begun(at);
            }
        }
    }

    /// Some call that has something to take; looks for more only where none has.
    pub(super) fn any_ready(&mut self) -> Option<u64> {
        self.expire_all();
        if self.calls.any_ready().is_none() {
            self.advance(Awaited::Any);
            self.expire_all();
        } else {
            self.hear();
            self.send_due();
        }
        self.calls.any_ready()
    }

    /// Whether a look takes no system call.
    pub(super) fn is_free(&self) -> bool {
        matches!(self.meeting, Meeting::Named { .. })
    }

    fn any_server(&self) -> bool {
        self.links.iter().any(|link| !link.closing)
    }

    pub(super) fn sleep(&mut self, deadline: Option<Deadline>) -> std::io::Result<()> {
        // Room counts wherever the first call that is bound to no server may go: anywhere, or, with a key, where that says. And
        // where one is that may go nowhere else. Room elsewhere would wake for nothing, again and again.
        let unbound = self.calls.due().find(|id| self.calls.only(*id).is_none());
        let key = unbound.and_then(|id| self.calls.request(id)).and_then(|(wish, ..)| wish.key);
        let chosen = key.and_then(|key| {
            choose(
                &self.links,
                &self.calls,
                (Some(key), self.terms.choice, self.turn),
                &[],
                (&mut self.candidates, &mut self.positions),
            )
        });
        let mut own = match &self.meeting {
            Meeting::Named { hub, bell, .. } => Some(Own { bell, rung: hub.has_news() }),
            Meeting::Connected => None,
        };
        let mut announced = Announced::default();
        let mut rooms = Vec::new();
        let mut quiet = Vec::new();
        let mut ends: Vec<&mut dyn Waits> = Vec::with_capacity(2);
        ends.extend(own.iter_mut().map(|own| own as &mut dyn Waits));
        for (at, link) in self.links.iter_mut().enumerate() {
            // One that has closed has room for ever.
            let few = !link.cancels.is_empty() || link.sender.half.has_rest();
            let begun = link.begun.as_ref().map(|begun| begun.len());
            let due = self
                .calls
                .due_for(link.number, key.is_none() || chosen == Some(at))
                .and_then(|id| self.calls.request(id));
            let wanted = begun.or(few.then_some(HEAD_BYTES));
            let wanted = wanted.or_else(|| due.map(|(_, _, request)| HEAD_BYTES + request.len()));
            if let Some(wanted) = wanted.filter(|_| !link.closing) {
                rooms.push(link.sender.room(wanted));
            }
            // A server that is trusted rings at our bell, and that it is gone is told by the node; of one that leaves the end of
            // the link is still to come.
            if link.receiver.rests_elsewhere() && !link.closing {
                announced = announced.and(link.receiver.announce());
                quiet.push(&mut link.receiver);
            } else {
                ends.push(&mut link.receiver);
            }
        }
        ends.extend(rooms.iter_mut().map(|room| room as &mut dyn Waits));
        crash_point!("service.client.sleep");
        let mut glance = || quiet.iter_mut().any(|receiver| receiver.glance() == Glance::Ready);
        let slept = rest::sleep(&mut ends, &mut announced, &mut glance, deadline, &mut self.found);
        quiet.iter_mut().for_each(|receiver| receiver.awake());
        slept
    }
}

impl ServerLink {
    /// Who it is, as it was when this was asked first: the name of a program that has died cannot be found out.
    pub(super) fn who(&mut self) -> Arc<ServerInfo> {
        let (number, receiver) = (self.number, &self.receiver);
        Arc::clone(self.who.get_or_insert_with(|| Arc::new(ServerInfo::new(number, receiver.peer()))))
    }

    fn is_of(&self, pairing: PairingId) -> bool {
        self.pairing.as_ref().is_some_and(|it| it.id() == pairing)
    }
}
