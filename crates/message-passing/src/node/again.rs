//! Meetings that are tried again: with a node whose queue was full, or after something that may pass.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use wharf_sys::clock::Instant;

use super::core::{Core, Paired, Registered};
use super::endpoint::Refusal;
use super::identity::{EndpointId, Part};
use super::registry::Entry;
use crate::handshake::Payload;

/// The most meetings that wait to be tried again, and how many of them may be with users who are not trusted.
const MOST_LATER: usize = 1024;
const MOST_LATER_WITH_STRANGERS: usize = 128;

/// How long until the first try, and until one with a node whose queue was full.
const AGAIN: Duration = Duration::from_millis(50);

/// Each pause is twice the one before, up to 200 ms: a shortage that has passed keeps nobody apart for longer. The tries go on
/// for three quarters of a minute.
const MOST_DOUBLINGS: u32 = 2;
const MOST_TRIES: u32 = 240;

/// What is known of a meeting that may have to be tried again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Again {
    /// How often it has failed.
    pub(super) tries: u32,
    /// The host was announced, and carries this: it owes the guest, which was there before it, all that it sends.
    pub(super) announced: Option<Payload>,
    /// The two had met before.
    pub(super) met: bool,
}

/// One meeting that is tried again.
#[derive(Debug)]
pub(super) struct Later {
    pub(super) endpoint: EndpointId,
    pub(super) entry: Entry,
    pub(super) again: Again,
    /// With a user who is not trusted.
    stranger: bool,
}

/// All of them, in the order in which they are due.
#[derive(Debug, Default)]
pub(super) struct Agenda {
    due: BTreeMap<(Instant, u64), Later>,
    strangers: usize,
    next: u64,
}

impl Agenda {
    /// Adds one; `false` when there are too many.
    fn add(&mut self, due: Instant, later: Later) -> bool {
        if self.due.len() >= MOST_LATER || (later.stranger && self.strangers >= MOST_LATER_WITH_STRANGERS) {
            return false;
        }
        self.strangers += usize::from(later.stranger);
        self.due.insert((due, self.next), later);
        self.next += 1;
        true
    }

    /// When the first of them is due.
    pub(super) fn first(&self) -> Option<Instant> {
        self.due.first_key_value().map(|((due, _), _)| *due)
    }

    /// Takes those that are due.
    pub(super) fn take_due(&mut self, now: Instant) -> Vec<Later> {
        let mut taken = Vec::new();
        // Bounded by how many there are: each round takes one out.
        while let Some(entry) = self.due.first_entry().filter(|entry| entry.key().0 <= now) {
            let later = entry.remove();
            self.strangers -= usize::from(later.stranger);
            taken.push(later);
        }
        taken
    }

    /// This endpoint is closed.
    pub(super) fn forget(&mut self, endpoint: EndpointId) {
        self.due.retain(|_, later| later.endpoint != endpoint);
        self.strangers = self.due.values().filter(|later| later.stranger).count();
    }
}

impl Core {
    /// Leaves it to the thread to meet a node whose queue was full, or that is about to end. That is no failure, and goes
    /// on as long as it is so.
    pub(super) fn meet_later(&self, registered: &Arc<Registered>, entry: &Entry, again: Again) {
        if !self.plan(registered, entry, again, false, AGAIN) {
            let why = Refusal::words("too many wait to be called again");
            registered.note_refusal(format!("node {}", entry.node), why);
        }
    }

    /// Leaves it to the thread to try again, after a pause that grows. The first failure is told, and the last.
    pub(super) fn try_again(
        &self,
        registered: &Arc<Registered>,
        entry: &Entry,
        mut again: Again,
        stranger: bool,
        who: &str,
        why: Refusal,
    ) {
        let tries = again.tries;
        again.tries += 1;
        let pause = AGAIN.saturating_mul(1 << tries.min(MOST_DOUBLINGS));
        if tries == 0 {
            registered.note_refusal(who.to_owned(), why.clone());
        }
        if tries >= MOST_TRIES || !self.plan(registered, entry, again, stranger, pause) {
            let why = Refusal::words(format!("{why}; given up after {} tries", tries + 1));
            registered.note_refusal(who.to_owned(), why);
        }
    }

    /// Asks again what was asked on a lifeline that ended before it was answered: the other process may live. If it does not
    /// that ends it, and nobody needs to be told.
    pub(super) fn ask_again(
        &self,
        registered: &Arc<Registered>,
        entry: &Entry,
        mut again: Again,
        stranger: bool,
        who: &str,
    ) {
        again.tries = again.tries.max(1);
        self.try_again(
            registered,
            entry,
            again,
            stranger,
            who,
            Refusal::not_now("the connection ended before it answered"),
        );
    }

    /// [`try_again`](Self::try_again) for a guest that could not stay with a host.
    pub(super) fn come_again(&self, paired: &Paired, again: Again, why: Refusal) {
        let peer = paired.pairing.peer();
        self.try_again(&paired.endpoint, &paired.host(), again, !peer.cooperating, &peer.to_string(), why);
    }

    fn plan(&self, registered: &Registered, entry: &Entry, again: Again, stranger: bool, pause: Duration) -> bool {
        let mut state = self.state();
        if !state.endpoints.contains_key(&registered.id) {
            // It was closed meanwhile: nobody wants to know.
            return true;
        }
        let later = Later { endpoint: registered.id, entry: entry.clone(), again, stranger };
        let planned = state.later.add(Instant::now().saturating_add(pause), later);
        drop(state);
        self.wake();
        planned
    }

    /// Tries again what is due. Called by the node's thread.
    pub(super) fn try_what_is_due(&self, now: Instant) {
        let due = self.state().later.take_due(now);
        for Later { endpoint, entry, again, .. } in due {
            let registered = self.state().endpoints.get(&endpoint).cloned();
            if let Some(registered) = registered {
                // What fails once more is put back.
                self.meet(&registered, &entry, None, again);
            }
        }
    }
}

impl Paired {
    /// The entry of the host that this guest came to, as far as it is needed to come again.
    pub(super) fn host(&self) -> Entry {
        Entry {
            node: self.pairing.peer().id,
            part: Part::Host,
            // Nothing is looked up by it; the entries of a node that is dead are found on its board.
            key: 0,
            endpoint: self.pairing.their_endpoint(),
            folder: self.endpoint.spec.name.folder(),
        }
    }
}
