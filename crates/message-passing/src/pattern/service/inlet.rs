//! What comes to a server: whom it hears, in which order, and where it sleeps meanwhile.

use std::sync::Arc;

use wharf_shared_memory::board::Counter;
use wharf_shared_memory::log::FIRST_SLEEP;
use wharf_sys::clock::{Deadline, Instant};
use wharf_sys::crash_point;
use wharf_sys::doorbell::Bell;
use wharf_sys::poll::Found;

use super::Terms;
use super::frame::{Head, Kind, NO_LIMIT, nanos_left};
use super::host::{Host, News};
use super::inflow::{Inflow, Said, Silent, read};
use super::outbox::{Begun, LentWay, MOST_OPEN, Outbox, Without};
use super::request::{Blank, Request};
use super::slices::Slices;
use super::spare::Spare;
use crate::error::RecvError;
use crate::link::Link;
use crate::node::{Pairing, Registration};
use crate::pattern::private_link::entrance::Entrance;
use crate::pattern::private_link::rest::{self, Own};
use crate::pattern::private_link::{Hub, Rota};
use crate::waits::{Announced, Glance, Waits};

/// A listener is asked after so many turns that found requests, and before every sleep.
const TURNS_PER_ACCEPT: u32 = 256;

/// The most messages of one client that are looked at in its turn: cancellations and the like, until a request comes.
const MOST_AT_ONCE: usize = 64;

/// Tries for a request of the client that asked last before the others have a turn: some hundred nanoseconds.
pub(super) const TRIES_BESIDE_OTHERS: u32 = 32;

/// Memory for so many requests of a client is made ready at once: each visit to its outbox takes some instructions, and what is ready
/// is in the caches of whoever receives.
const BLANKS_AT_ONCE: usize = 4;

/// A deadline that is so many nanoseconds off needs no exact clock.
const FAR_NANOS: u64 = 1_000_000_000;

/// Where clients come from.
#[allow(clippy::large_enum_variant, reason = "one per server")]
pub(super) enum Door {
    Named(Registration, Arc<Host>),
    Listening(Entrance),
}

/// A client, as long as anything can come from it.
pub(super) struct Caller {
    pub(super) inflow: Inflow,
    pub(super) outbox: Outbox,
    pairing: Option<Pairing>,
    /// The latest request that was taken.
    pub(super) last: u64,
    /// For its next requests, and how long they may be.
    blanks: Vec<Blank>,
    spare: Spare,
    /// It rings when it says something next.
    announced: bool,
}

/// See the top of the file.
pub(super) struct Inlet {
    pub(super) door: Door,
    pub(super) callers: Vec<Caller>,
    hub: Arc<Hub<News>>,
    pub(super) bell: Bell,
    rota: Rota,
    turn: Vec<usize>,
    found: Vec<Found>,
    turns: u32,
    /// Somebody was announced, and something of his was taken that was no whole request: nobody rings for the rest.
    unannounced: bool,
    /// Until then somebody who was announced last may not have seen it; see [`FIRST_SLEEP`].
    unsure_until: Option<Deadline>,
    /// The next call that receives says this.
    pub(super) owed: Option<Request>,
    next_number: u64,
    /// Some answers were kept when it looked last.
    pub(super) kept: bool,
    /// How soon to look for room for them.
    pub(super) slices: Slices,
    /// Clients that were cut off, and why: the latest.
    pub(super) cut_off: u64,
    pub(super) last_cut_off: Option<String>,
    terms: Terms,
}

impl Inlet {
    pub(super) fn new(door: Door, hub: Arc<Hub<News>>, bell: Bell, terms: &Terms) -> Inlet {
        Inlet {
            door,
            callers: Vec::new(),
            hub,
            bell,
            rota: Rota::default(),
            turn: Vec::new(),
            found: Vec::new(),
            turns: 0,
            unannounced: false,
            unsure_until: None,
            owed: None,
            next_number: 0,
            kept: false,
            slices: Slices::default(),
            cut_off: 0,
            last_cut_off: None,
            terms: terms.clone(),
        }
    }

    pub(super) fn check_ours(&self) -> Result<(), RecvError> {
        match self.bell.as_fd() {
            Ok(_) => Ok(()),
            Err(_) => Err(RecvError::Forked),
        }
    }

    /// Takes in who has come, and leaves who has gone.
    pub(super) fn hear(&mut self) {
        if !self.hub.has_news() {
            return;
        }
        let news = self.hub.take();
        self.take_in(news);
        self.flush();
        self.leave();
    }

    /// Takes in who has come although nobody looked for them; nobody comes any more.
    pub(super) fn hear_last(&mut self) {
        let news = self.hub.close();
        self.take_in(news);
    }

    fn take_in(&mut self, news: Vec<News>) {
        for news in news {
            match news {
                News::Joined(pairing, receiver, outbox) => self.add(Inflow::Own(*receiver), outbox, Some(pairing)),
                News::Left(pairing) => {
                    let left = |it: &Caller| it.pairing.as_ref().is_some_and(|its| its.id() == pairing);
                    if let Some(caller) = self.callers.iter().find(|it| left(it)) {
                        caller.outbox.cut_off("it is gone".to_owned());
                    }
                }
            }
        }
    }

    fn add(&mut self, inflow: Inflow, outbox: Outbox, pairing: Option<Pairing>) {
        let (spare, blanks) = (Spare::default(), Vec::new());
        self.callers.push(Caller { inflow, outbox, pairing, last: 0, spare, blanks, announced: false });
    }

    fn connected(&mut self, link: Link) {
        let (sender, receiver) = link.split();
        self.next_number += 1;
        let hub = Arc::clone(&self.hub);
        let outbox = Outbox::new(sender, self.next_number, hub, None, self.terms.most_kept, false);
        self.add(Inflow::shared(receiver, &outbox), outbox, None);
    }

    /// Sends on what was kept for clients.
    pub(super) fn flush(&mut self) {
        let mut moved = false;
        self.kept = false;
        for caller in &self.callers {
            let flushed = caller.outbox.flush();
            self.kept |= flushed.left;
            moved |= flushed.moved;
        }
        if moved {
            self.slices.moved();
        }
    }

    /// Forgets those to whom nothing can be said any more.
    fn leave(&mut self) {
        // Backwards, so that whoever takes the place of one that goes was looked at.
        for at in (0..self.callers.len()).rev() {
            if self.callers.get(at).is_some_and(|it| it.outbox.is_over()) {
                self.remove(at, None);
            }
        }
    }

    /// `why` it was cut off, if it was; one that does not read was cut off before.
    fn remove(&mut self, at: usize, why: Option<String>) {
        let caller = self.callers.swap_remove(at);
        if let Some(why) = caller.outbox.deaf().or(why) {
            self.cut_off += 1;
            self.last_cut_off = Some(why);
        }
        self.rota.removed(at, self.callers.len());
        if let (Door::Named(registration, host), Some(pairing)) = (&self.door, &caller.pairing) {
            host.forget(pairing.id());
            registration.cut_off(pairing.id());
        }
    }

    /// A client has broken the rules.
    fn cut(&mut self, at: usize, why: String) {
        if let Some(caller) = self.callers.get(at) {
            caller.outbox.cut_off(why.clone());
            self.remove(at, Some(why));
        }
    }

    /// Takes in everybody who has connected.
    pub(super) fn accept(&mut self) {
        // Bounded by those who wait at this moment, of whom a listener keeps so many.
        for _ in 0..1024 {
            let Door::Listening(entrance) = &mut self.door else { return };
            let Some(link) = entrance.take(self.callers.len()) else { return };
            self.connected(link);
        }
    }

    /// One turn: looks at some of the clients, the recent ones first.
    pub(super) fn look(&mut self) -> Option<Request> {
        if self.hub.has_news() {
            self.hear();
        } else if self.kept {
            self.flush();
        }
        if self.callers.len() == 1 {
            return self.look_at(0);
        }
        let mut turn = std::mem::take(&mut self.turn);
        self.rota.turn(self.callers.len(), &mut turn);
        let found = turn.iter().find_map(|at| self.look_at(*at));
        self.turn = turn;
        if found.is_some() {
            self.turns = self.turns.wrapping_add(1);
            if self.turns.is_multiple_of(TURNS_PER_ACCEPT) {
                self.accept();
            }
        }
        found
    }

    /// Looks at every client.
    pub(super) fn look_at_all(&mut self) -> Option<Request> {
        self.hear();
        if self.kept {
            self.flush();
        }
        let first = self.look();
        if first.is_some() {
            return first;
        }
        // Backwards: one that is cut off is replaced by one that was looked at.
        (0..self.callers.len()).rev().find_map(|at| self.look_at(at))
    }

    /// The next request of one client.
    #[inline]
    fn look_at(&mut self, at: usize) -> Option<Request> {
        let caller = self.callers.get_mut(at)?;
        let was_announced = caller.announced;
        if was_announced && let Some(receiver) = caller.inflow.at_our_bell() {
            if receiver.glance() != Glance::Ready {
                return None;
            }
            // It has rung, and rings no more for this announcement.
            receiver.awake();
            caller.announced = false;
        }
        for _ in 0..MOST_AT_ONCE {
            let caller = self.callers.get_mut(at)?;
            match caller.inflow.next() {
                Ok(None) => break,
                said => {
                    let clients = self.callers.len();
                    if let Some(request) = self.heard(at, said) {
                        self.rota.found(at);
                        return Some(request);
                    }
                    // Whoever has its place now may be announced still, and has a turn of its own.
                    if self.callers.len() < clients {
                        break;
                    }
                }
            }
        }
        self.unannounced |= was_announced;
        None
    }

    /// The next request of the client that asked last, where it takes nothing unusual; tries so many times.
    #[inline(always)]
    pub(super) fn look_quickly(&mut self, tries: u32) -> Option<Request> {
        let count = self.callers.len();
        let at = self.rota.latest(count)?;
        let tries = if count == 1 { tries } else { tries.min(TRIES_BESIDE_OTHERS) };
        let caller = self.callers.get_mut(at)?;
        if self.kept || caller.announced || self.hub.has_news() {
            return None;
        }
        // What a request takes is made ready while nobody waits for it.
        if caller.blanks.is_empty() {
            caller.outbox.take_blanks(BLANKS_AT_ONCE, self.terms.patience, &mut caller.blanks);
        }
        if let Some(blank) = caller.blanks.last_mut() {
            blank.prepare(&caller.spare);
        }
        let tick = Instant::last_tick();
        let message = caller.inflow.next_quickly(tries)?;
        self.rota.found_latest();
        if let Some((id, nanos, payload)) = Head::read_expected(&message, Kind::Request)
            && id > caller.last
            && let Some(blank) = caller.blanks.pop()
        {
            caller.last = id;
            crash_point!("service.request.taken");
            begin(&self.door, &caller.outbox, id, nanos, payload.len())?;
            return Some(blank.fill(payload, &mut caller.spare).start(id, deadline(nanos, tick)));
        }
        let said = read(&message);
        self.heard(at, said)
    }

    /// A client has said something, or has ended; the request, if it is one.
    fn heard(&mut self, at: usize, said: Result<Option<Said>, Silent>) -> Option<Request> {
        let caller = self.callers.get_mut(at)?;
        let Said { head: Head { kind, id, left }, bytes } = match said {
            Ok(said) => said?,
            Err(Silent::Gone) => {
                caller.outbox.cut_off("it is gone".to_owned());
                self.remove(at, None);
                return None;
            }
            Err(Silent::Broke(why)) => {
                self.cut(at, why);
                return None;
            }
        };
        if kind == Kind::Cancel {
            caller.outbox.cancel(id);
            return None;
        }
        if id <= caller.last {
            let why = format!("expected a request with a number above {}, found {id}", caller.last);
            self.cut(at, why);
            return None;
        }
        caller.last = id;
        crash_point!("service.request.taken");
        let nanos = nanos_left(left);
        if caller.blanks.is_empty() {
            caller.outbox.take_blanks(1, self.terms.patience, &mut caller.blanks);
        }
        let Some(blank) = caller.blanks.pop() else {
            self.cut(at, "the system refuses a barrier that it has promised".to_owned());
            return None;
        };
        begin(&self.door, &caller.outbox, id, nanos, bytes.len())?;
        Some(blank.begin(id, deadline(nanos, Instant::last_tick()), bytes))
    }

    /// Has the clients who ring at our bell ring when they say something next. Their links stay announced until they do, so
    /// that those who say nothing cost a glance for each sleep and no more.
    pub(super) fn announce(&mut self) -> Announced {
        let mut announced = Announced::default();
        for caller in self.callers.iter_mut().filter(|caller| !caller.announced) {
            if let Some(receiver) = caller.inflow.at_our_bell() {
                announced = announced.and(receiver.announce());
                caller.announced = true;
            }
        }
        if announced.is_fresh() {
            self.unsure_until = Some(Deadline::after(FIRST_SLEEP));
        }
        // The first sleep after an announcement may be cut short by somebody else.
        match self.unsure_until.and_then(Deadline::remaining) {
            Some(left) => announced.and(Announced::for_at_most(left)),
            None => announced,
        }
    }

    /// Whether the next call that receives has something to say; it is taken, and kept for that call.
    pub(super) fn owe(&mut self) -> bool {
        if self.owed.is_none() {
            self.accept();
            self.owed = self.look_at_all();
        }
        self.owed.is_some()
    }

    /// Takes back that a request was taken which no call has received: its client may ask another.
    pub(super) fn give_back_owed(&mut self) {
        let Some(owed) = self.owed.take() else { return };
        let (client, id) = (owed.client(), owed.ticket.id());
        owed.abandon();
        // It is the latest of its client: nothing else was received since.
        if let Some(caller) = self.callers.iter_mut().find(|it| it.outbox.number() == client.0) {
            caller.last = id.saturating_sub(1);
        }
    }

    /// The same for whoever sleeps next unless there is something: then he looks once more instead, where a look has taken what
    /// he was to be rung for.
    pub(super) fn owes_before_a_sleep(&mut self) -> bool {
        self.unannounced = false;
        let owes = self.owe();
        if !owes && self.unannounced {
            self.hub.wake();
        }
        owes
    }

    /// Whether everybody who is waited for rings there.
    pub(super) fn sleeps_at_its_bell(&mut self) -> bool {
        let is_named = matches!(self.door, Door::Named(..));
        is_named && !self.kept && self.callers.iter_mut().all(|caller| caller.inflow.at_our_bell().is_some())
    }

    /// Sleeps until somebody may have said something, or the deadline.
    pub(super) fn sleep(&mut self, deadline: Option<Deadline>) -> Result<(), RecvError> {
        let (mut announced, mut deadline) = (self.announce(), deadline);
        if let Door::Named(registration, _) = &self.door {
            registration.counters().add(Counter::Sleeps, 1);
        }
        // Those who do not ring at our bell are waited for where they are: none by name that is trusted.
        let mut intakes = Vec::new();
        let mut ways = Vec::new();
        let mut ends: Vec<&mut dyn Waits> = Vec::new();
        let mut quiet = Vec::new();
        let mut ahead = false;
        for caller in &mut self.callers {
            if self.kept
                && let Some(way) = caller.outbox.lend_way()
            {
                ways.push(way);
            }
            match &mut caller.inflow {
                Inflow::Own(receiver) => match receiver.rests_elsewhere() {
                    true => quiet.push(receiver),
                    false => ends.push(receiver),
                },
                Inflow::Shared(intake) => {
                    let inner = intake.lock();
                    ahead |= inner.has_something();
                    intakes.push(inner);
                }
            }
        }
        let mut own = Own { bell: &self.bell, rung: ahead || self.hub.has_news() };
        ends.push(&mut own);
        if let Door::Listening(entrance) = &mut self.door {
            match entrance.rest() {
                Ok(listener) => ends.push(listener),
                Err(until) => deadline = Deadline::earlier(deadline, Some(until)),
            }
        }
        ends.extend(intakes.iter_mut().map(|inner| &mut inner.receiver as &mut dyn Waits));
        let mut rooms: Vec<_> = ways.iter_mut().filter_map(LentWay::room).collect();
        ends.extend(rooms.iter_mut().map(|room| room as &mut dyn Waits));
        crash_point!("service.server.sleep");
        let mut glance = || quiet.iter_mut().any(|receiver| receiver.glance() == Glance::Ready);
        rest::sleep(&mut ends, &mut announced, &mut glance, deadline, &mut self.found).map_err(RecvError::System)
    }
}

/// Notes a request with this number as begun; `None` when it is not worked on.
#[inline(always)]
fn begin(door: &Door, outbox: &Outbox, id: u64, nanos: u64, len: usize) -> Option<()> {
    if let Door::Named(registration, _) = door {
        let counters = registration.counters();
        counters.add(Counter::ReceivedMessages, 1);
        counters.add(Counter::ReceivedBytes, len as u64);
    }
    if nanos == 0 {
        // Its caller has given it up by itself, and hears nothing of it.
        return None;
    }
    match outbox.begin(id) {
        Begun::Yes => Some(()),
        Begun::TooMany => {
            let why = format!("{MOST_OPEN} requests of this client are being worked on, which is the most");
            // One that cannot hear it is found out by the next look.
            let _ = outbox.say(Kind::Refused, id, why.as_bytes(), Without::CutOff);
            None
        }
        Begun::Over => None,
    }
}

/// When so many nanoseconds are over. From afar the clock's last tick does, which is known from before the request came; the server then
/// takes the caller's time to be over up to 10 ms early.
#[inline(always)]
fn deadline(nanos: u64, tick: Instant) -> Option<Instant> {
    if nanos == NO_LIMIT {
        return None;
    }
    let now = if nanos >= FAR_NANOS { tick } else { Instant::now() };
    Some(Instant::from_nanos(now.as_nanos().saturating_add(nanos)))
}
