//! Opening an endpoint and closing it: its slot, its entry, and meeting those who are there.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use wharf_shared_memory::board::{Counters, SlotText};
use wharf_sys::clock::Deadline;
use wharf_sys::crash_point;
use wharf_sys::directory::{Name, NameLock, name_hash};

use super::again::Again;
use super::core::{Announced, CallError, Core, Paired, Registered, Stage};
use super::endpoint::{Endpoint, EndpointSpec, Gone, HostInfo, Refusal};
use super::error::NodeError;
use super::identity::{EndpointId, PairingId, Part, Pattern};
use super::line::Line;
use super::name::Filter;
use super::pairing::{Pairing, PeerNode};
use super::record::{Meeting, Record};
use super::registry::{Entry, key_of, keys_fit, payload_code, payload_of};
use super::waiting::Waiting;
use super::{Handle, Node};
use crate::handshake::Payload;

/// An endpoint that is open. Dropping it closes it: its entry and its slot are free, and everybody that it was paired with
/// is told. In a forked child dropping it does nothing.
pub(crate) struct Registration {
    // Keeps the node open, and its thread running.
    handle: Arc<Handle>,
    registered: Arc<Registered>,
}

impl Node {
    /// Opens an endpoint: it is entered in the directory, and meets everybody who is there and fits. Returns when all of
    /// them have answered, or the patience is over; who answers later pairs later.
    ///
    /// # Errors
    /// [`NodeError::OtherType`] when somebody of this user has opened the name for another type;
    /// [`NodeError::Full`], [`NodeError::NoRoom`], [`NodeError::Forked`], [`NodeError::System`].
    pub(crate) fn register(&self, spec: EndpointSpec, endpoint: Arc<dyn Endpoint>) -> Result<Registration, NodeError> {
        let core = &self.handle.core;
        core.expect_ours()?;
        if spec.part == Part::Host && (spec.name.is_wild() || spec.payload.is_none()) {
            return Err(NodeError::Options(format!("{} cannot be the name of a host, which has no stars", spec.name)));
        }
        let deadline = Deadline::after(spec.patience);
        let registered = core.enter(spec, endpoint)?;
        // From here on, whatever fails closes it again.
        let registration = Registration { handle: Arc::clone(&self.handle), registered };
        let registered = &registration.registered;
        let EndpointSpec { pattern, part, name, payload, .. } = &registered.spec;
        let found = core.registry.candidates(*pattern, *part, name);
        let found = found.map_err(NodeError::system(format!("look who is at {name}")))?;
        let key = key_of(payload.as_ref());
        if let Some(error) = found.iter().filter(|it| !keys_fit(it.key, key)).find_map(|it| core.misfit(registered, it))
        {
            return Err(error);
        }
        let waiting = Arc::new(Waiting::default());
        for entry in found.iter().filter(|it| keys_fit(it.key, key)) {
            core.meet(registered, entry, Some(&waiting), Again::default());
        }
        waiting.wait(deadline);
        crash_point!("endpoint.open");
        Ok(registration)
    }
}

impl Node {
    /// Whether processes of other users are admitted.
    pub(crate) fn admits_others(&self) -> bool {
        let admitted = &self.handle.core.admitted;
        !admitted.users.is_empty() || !admitted.groups.is_empty()
    }

    /// The right to be the one host of a name, as long as it is held.
    ///
    /// # Errors
    /// [`NodeError::Owned`] when somebody has it; [`NodeError::Name`], [`NodeError::Forked`], [`NodeError::System`].
    pub(crate) fn own(&self, pattern: Pattern, name: &Filter) -> Result<NameLock, NodeError> {
        let core = &self.handle.core;
        core.expect_ours()?;
        let doing = || NodeError::system(format!("take the lock of {name}"));
        // Hashed: a name may be longer than a file's, and has slashes.
        let hidden = format!("{pattern}-{:032x}", name_hash(name.as_str().as_bytes()));
        let hidden = Name::new(&hidden).map_err(|error| doing()(io::Error::other(error.to_string())))?;
        let lock = core.registry.domain().lock(&hidden, "owner").map_err(doing())?;
        lock.ok_or_else(|| NodeError::Owned { name: name.to_string() })
    }
}

impl Registration {
    /// Its counters on the board.
    pub(crate) fn counters(&self) -> &Counters {
        &self.registered.counters
    }

    /// Its number among those of its node.
    pub(crate) fn id(&self) -> EndpointId {
        self.registered.id
    }

    /// The node that it belongs to.
    pub(crate) fn node(&self) -> Node {
        Node { handle: Arc::clone(&self.handle) }
    }

    /// Whether this is still the process that opened it.
    pub(crate) fn is_ours(&self) -> bool {
        self.handle.core.is_ours()
    }

    /// Ends one pairing: the other side is told that this one has left. Not called back.
    pub(crate) fn cut_off(&self, id: PairingId) {
        let core = &self.handle.core;
        if !core.is_ours() {
            return;
        }
        let mut state = core.state();
        if state.pairings.get(&id).is_some_and(|it| Arc::ptr_eq(&it.endpoint, &self.registered))
            && let Some(paired) = state.remove_pairing(id)
        {
            paired.pairing.leave();
        }
    }

    /// Guest: ends this pairing, and offers itself to the same host once more, unless the two have met again already. Returns
    /// when that has answered, or the patience is over; whatever it answers comes as it does when the endpoint opens.
    pub(crate) fn meet_again(&self, pairing: &Pairing, name: &str, patience: Duration) {
        self.cut_off(pairing.id());
        let core = &self.handle.core;
        if !core.is_ours() {
            return;
        }
        let (line, peer) = pairing.way();
        let waiting = Arc::new(Waiting::default());
        let again = Again { met: true, ..Again::default() };
        core.offer(&self.registered, line, peer, (pairing.their_endpoint(), name), Some(&waiting), again);
        waiting.wait(Deadline::after(patience));
    }

    /// Who did not fit, and why, the latest last. At most 64 are remembered.
    pub(crate) fn refusals(&self) -> Vec<(String, Refusal)> {
        if !self.is_ours() {
            return Vec::new();
        }
        self.registered.refusals.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}

impl fmt::Debug for Registration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registration").field("id", &self.registered.id).finish_non_exhaustive()
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let core = &self.handle.core;
        if core.is_ours() {
            core.close(&self.registered);
        }
    }
}

impl Core {
    /// Takes a slot for an endpoint and enters it in the directory. In this order: whoever finds an entry finds the slot,
    /// and whoever comes to the slot finds the endpoint.
    fn enter(&self, spec: EndpointSpec, endpoint: Arc<dyn Endpoint>) -> Result<Arc<Registered>, NodeError> {
        let (type_name, type_hash, type_size) = match &spec.payload {
            Some(Payload::Typed { hash, size, name }) => (name.as_str(), *hash, *size),
            _ => ("", 0, 0),
        };
        let text = SlotText {
            kind: [spec.pattern.code(), spec.part.code(), payload_code(spec.payload.as_ref()), 0],
            name: spec.name.as_str(),
            type_name,
            type_hash,
            type_size,
            options: spec.numbers(),
        };
        let (id, counters) = self.board().take(&text)?;
        let key = key_of(spec.payload.as_ref());
        let entry = Entry { node: self.id, part: spec.part, key, endpoint: id, folder: spec.name.folder() };
        let refusals = Mutex::new(VecDeque::new());
        let registered = Arc::new(Registered { id, spec, entry, endpoint, counters, refusals });
        self.state().add_endpoint(&registered);
        match self.registry.enter(registered.spec.pattern, &registered.entry) {
            Ok(()) => {
                self.board().poke();
                Ok(registered)
            }
            Err(error) => {
                self.close(&registered);
                Err(NodeError::system(format!("enter {} in the directory", registered.spec.name))(error))
            }
        }
    }

    /// Closes an endpoint: first nobody finds it any more, then those who have are told, then its slot is free.
    fn close(&self, registered: &Arc<Registered>) {
        self.registry.remove(registered.spec.pattern, &registered.entry);
        let mut state = self.state();
        for paired in state.remove_endpoint(registered) {
            if paired.stage != Stage::Preparing {
                paired.pairing.leave();
            }
        }
        drop(state);
        crash_point!("endpoint.left");
        let mut board = self.board();
        board.give_up(registered.id);
        board.poke();
    }

    /// Why an endpoint of another type keeps this one from opening. It does not where one of them has stars, which may mean
    /// names that are none of its business; nor can a user that is not trusted, or a dead process, keep anybody from it.
    fn misfit(&self, registered: &Arc<Registered>, entry: &Entry) -> Option<NodeError> {
        let EndpointSpec { pattern, name, payload, .. } = &registered.spec;
        if self.registry.is_dead(entry.node) {
            self.registry.bury_entry(*pattern, entry);
            return None;
        }
        // What cannot be read now is found out when the two meet.
        let slot = self.registry.slot(entry).ok()??;
        let theirs = payload_of(slot.kind[2], &slot)??;
        let ours = payload.as_ref()?;
        let who = {
            let mut state = self.state();
            let (_, peer) = self.call(&mut state, entry.node).ok()?;
            peer
        };
        registered.note_refusal(who.to_string(), Refusal::Type(theirs.clone()));
        let matters = !name.is_wild() && slot.name == name.as_str() && who.is_cooperating();
        matters.then(|| NodeError::OtherType {
            name: name.to_string(),
            ours: ours.to_string(),
            theirs: theirs.to_string(),
            who: who.to_string(),
        })
    }

    /// Meets one endpoint of another node (or of this one): an offer, or an announcement.
    pub(super) fn meet(
        &self,
        registered: &Arc<Registered>,
        entry: &Entry,
        waiting: Option<&Arc<Waiting>>,
        again: Again,
    ) {
        let mut state = self.state();
        let (line, peer) = match self.call(&mut state, entry.node) {
            Ok((line, peer)) if line.has_room() => (line, peer),
            // It has not listened for long: it is told when it does.
            Ok(_) => {
                drop(state);
                return self.meet_later(registered, entry, again);
            }
            Err(CallError::Refused(why)) => {
                registered.note_refusal(format!("node {}", entry.node), why);
                return;
            }
            Err(CallError::System(error)) => {
                drop(state);
                // One that is dead may have had something put in its socket's place.
                let nobody = matches!(
                    error.kind(),
                    io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound | io::ErrorKind::InvalidData
                );
                if error.kind() == io::ErrorKind::WouldBlock {
                    self.meet_later(registered, entry, again);
                } else if !(nobody && self.registry.bury_entry(registered.spec.pattern, entry)) {
                    // It lives: this process lacks something, or it is about to go.
                    let why = Refusal::not_now(format!("cannot call it: {error}"));
                    self.try_again(registered, entry, again, false, &format!("node {}", entry.node), why);
                }
                return;
            }
        };
        match registered.spec.part {
            Part::Host => {
                let number = state.new_number();
                let meeting = registered.meeting(registered.id, registered.spec.name.as_str());
                let announced = Announced {
                    line: line.number,
                    host: registered.id,
                    guest: entry.clone(),
                    _outstanding: waiting.map(Waiting::expect),
                    again,
                };
                state.announced.insert(number, announced);
                if line.send(&Record::Announce { number, meeting }, Vec::new()).is_err() {
                    // The line has ended, and its end may have asked again for what was announced there before this was.
                    let announced = state.announced.remove(&number);
                    drop(state);
                    if let Some(Announced { guest, again, .. }) = announced {
                        self.ask_again(registered, &guest, again, !peer.cooperating, &peer.to_string());
                    }
                }
            }
            Part::Guest => {
                drop(state);
                let name = match registered.spec.name.is_wild() {
                    false => registered.spec.name.to_string(),
                    // Which of the names it is stands on the board.
                    true => match self.registry.slot(entry) {
                        Ok(Some(slot)) => slot.name,
                        Ok(None) => return,
                        Err(error) => {
                            let why = Refusal::not_now(format!("cannot look at its board: {error}"));
                            let stranger = !peer.cooperating;
                            return self.try_again(registered, entry, again, stranger, &peer.to_string(), why);
                        }
                    },
                };
                self.offer(registered, &line, &peer, (entry.endpoint, &name), waiting, again);
            }
        }
    }

    /// Sends a guest's offer to a host of this name, unless there is one already.
    pub(super) fn offer(
        &self,
        registered: &Arc<Registered>,
        line: &Arc<Line>,
        peer: &Arc<PeerNode>,
        (host, name): (EndpointId, &str),
        waiting: Option<&Arc<Waiting>>,
        again: Again,
    ) {
        let key = (registered.id, peer.id, host);
        let mut state = self.state();
        if state.hosts.contains_key(&key) || !state.endpoints.contains_key(&registered.id) {
            return;
        }
        if peer.id == self.id && state.endpoints.get(&host).is_some_and(|it| it.spec.apart == Some(registered.id)) {
            return;
        }
        if !state.has_room_for(peer) {
            drop(state);
            let why = "this process has as many pairings with that user as its descriptors allow (`ulimit -n`)";
            registered.note_refusal(peer.to_string(), Refusal::words(why));
            return;
        }
        let id = PairingId { line: line.number, number: state.new_number(), part: Part::Guest };
        let pairing = Pairing::new(id, Arc::clone(peer), host, Arc::clone(line));
        state.hosts.insert(key, id);
        let paired = Paired {
            endpoint: Arc::clone(registered),
            pairing: pairing.clone(),
            stage: Stage::Preparing,
            outstanding: waiting.map(Waiting::expect),
            again: again.clone(),
        };
        state.add_pairing(id, paired);
        drop(state);
        let info = HostInfo { name: name.to_owned(), payload: again.announced, again: again.met };
        let offer = registered.endpoint.offer_for(&pairing, &info);
        let mut state = self.state();
        // Whoever has closed the endpoint meanwhile has taken the pairing out.
        let Some(paired) = state.pairings.get_mut(&id) else { return };
        match offer {
            Ok(Some(parcel)) => {
                paired.stage = Stage::Offered;
                let meeting = registered.meeting(host, &info.name);
                let record = Record::Offer { number: id.number, guest: registered.id, meeting, bytes: parcel.bytes };
                // The line may have ended while the offer was made, and then its end left this pairing to us.
                if state.lines.contains_key(&line.number) && line.send(&record, parcel.fds).is_ok() {
                    crash_point!("endpoint.offered");
                    return;
                }
                let paired = state.remove_pairing(id);
                drop(state);
                registered.tell_gone(id, Gone::Died);
                if let Some(paired) = paired {
                    let (again, stranger) = (paired.again.clone(), !peer.cooperating);
                    self.ask_again(registered, &paired.host(), again, stranger, &peer.to_string());
                }
            }
            Ok(None) => drop(state.remove_pairing(id)),
            Err(why) => {
                let paired = state.remove_pairing(id);
                drop(state);
                match paired.filter(|_| matches!(why, Refusal::NotNow(_))) {
                    Some(paired) => self.come_again(&paired, paired.again.clone(), why),
                    None => registered.note_refusal(peer.to_string(), why),
                }
            }
        }
    }
}

impl Registered {
    fn meeting(&self, host: EndpointId, name: &str) -> Meeting {
        Meeting { pattern: self.spec.pattern, host, name: name.to_owned(), payload: self.spec.payload.clone() }
    }
}
