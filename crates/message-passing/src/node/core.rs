//! What a node knows: its endpoints, the lifelines to other nodes, and who is paired with whom.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use wharf_shared_memory::board::{Board, Counter, Counters};
use wharf_sys::barrier;
use wharf_sys::fork::{self, ForkClosedFd};
use wharf_sys::poll::{Epoll, Interest, most_descriptors};
use wharf_sys::socket::{self, Credentials};

use super::again::{Again, Agenda};
use super::endpoint::{Endpoint, EndpointSpec, Gone, Refusal};
use super::error::NodeError;
use super::identity::{EndpointId, NodeId, PairingId, Part, Pattern};
use super::line::Line;
use super::numbers::Numbers;
use super::pairing::{Pairing, PeerNode};
use super::record::{Record, VERSION};
use super::registry::{Entry, Registry};
use super::waiting::Outstanding;

/// Tokens of the set that are no lifelines.
pub(super) const DOOR: u64 = 0;
pub(super) const WAKE: u64 = 1;
const FIRST_LINE: u64 = 2;

/// The most pairings that one lifeline carries for a peer that is not trusted.
pub(super) const MOST_PAIRINGS_OF_STRANGERS: usize = 1024;

/// The part of this process's descriptors for whose number guests here pair with hosts of one user who is not trusted, a
/// sixteenth, within bounds; with all such users together it is twice that. Each pairing costs two descriptors, and a few
/// more while its host moves on.
const SHARE_OF_STRANGERS: usize = 16;
const MOST_HOSTS_OF_STRANGERS: std::ops::RangeInclusive<usize> = 16..=1024;

/// The most announcements of one user who is not trusted that wait for guests here to be answered.
pub(super) const MOST_OWED_TO_A_STRANGER: usize = 64;

/// The most refusals that an endpoint remembers.
const MOST_REFUSALS: usize = 64;

/// See the top of the file.
pub(super) struct Core {
    pub(super) id: NodeId,
    pub(super) registry: Registry,
    pub(super) admitted: Admitted,
    /// What the node's thread waits for.
    pub(super) set: Arc<Epoll>,
    pub(super) door: ForkClosedFd,
    /// Wakes the node's thread: what is written into the first comes out of the second.
    pub(super) wake: (ForkClosedFd, ForkClosedFd),
    pub(super) stop: AtomicBool,
    epoch: u32,
    pub(super) refused: AtomicU64,
    board: Mutex<Board>,
    state: Mutex<State>,
}

/// Whom a node admits beside its own user.
#[derive(Clone, Debug, Default)]
pub(super) struct Admitted {
    pub(super) users: Vec<u32>,
    pub(super) groups: Vec<u32>,
    /// Not even this process's own user is trusted.
    #[cfg(test)]
    pub(super) trusts_nobody: bool,
}

/// An endpoint of this node.
pub(super) struct Registered {
    pub(super) id: EndpointId,
    pub(super) spec: EndpointSpec,
    pub(super) entry: Entry,
    pub(super) endpoint: Arc<dyn Endpoint>,
    pub(super) counters: Counters,
    /// Who did not fit, the latest last.
    pub(super) refusals: Mutex<VecDeque<(String, Refusal)>>,
}

/// How far a pairing has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stage {
    /// Guest: the offer is being made.
    Preparing,
    /// Guest: the offer was sent.
    Offered,
    /// It stands.
    Live,
}

/// One pairing of one endpoint here.
pub(super) struct Paired {
    pub(super) endpoint: Arc<Registered>,
    pub(super) pairing: Pairing,
    pub(super) stage: Stage,
    /// Somebody waits for it to stand.
    pub(super) outstanding: Option<Outstanding>,
    pub(super) again: Again,
}

/// A host of ours that was announced, until that is acknowledged.
pub(super) struct Announced {
    /// The lifeline on which it was.
    pub(super) line: u64,
    pub(super) host: EndpointId,
    pub(super) guest: Entry,
    /// Somebody waits for it.
    pub(super) _outstanding: Option<Outstanding>,
    pub(super) again: Again,
}

/// A new host that was announced here, and is told when all guests that want it were answered.
pub(super) struct Owed {
    pub(super) line: Arc<Line>,
    pub(super) number: u64,
    pub(super) left: BTreeSet<PairingId>,
    /// Its user, if that is not trusted.
    pub(super) stranger: Option<u32>,
}

/// What changes while a node lives.
#[derive(Default)]
pub(super) struct State {
    pub(super) endpoints: BTreeMap<EndpointId, Arc<Registered>>,
    pub(super) lines: BTreeMap<u64, Arc<Line>>,
    /// Who is at the other end of those that have introduced themselves, or that we have called.
    pub(super) peers: BTreeMap<u64, Arc<PeerNode>>,
    /// The lifeline on which a node is spoken to.
    pub(super) known: BTreeMap<NodeId, u64>,
    /// Ordered by lifeline.
    pub(super) pairings: BTreeMap<PairingId, Paired>,
    /// The same, ordered by endpoint.
    of_endpoint: BTreeSet<(EndpointId, PairingId)>,
    /// Guests by the one name that they mean, and those that mean several.
    guests: BTreeMap<Pattern, BTreeMap<String, Vec<Arc<Registered>>>>,
    wild: Vec<Arc<Registered>>,
    /// Which host each guest has, or is about to have: one pairing for each two endpoints.
    pub(super) hosts: BTreeMap<(EndpointId, NodeId, EndpointId), PairingId>,
    /// Announcements that were not acknowledged yet.
    pub(super) announced: BTreeMap<u64, Announced>,
    pub(super) owed: Vec<Owed>,
    /// The numbers of offers that came on each lifeline.
    pub(super) numbers: BTreeMap<u64, Numbers>,
    /// Meetings that are tried again.
    pub(super) later: Agenda,
    /// Pairings of guests here with users who are not trusted, by user, and the most of them with one.
    with_strangers: BTreeMap<u32, usize>,
    pub(super) most_with_stranger: usize,
    next_line: u64,
    next_number: u64,
}

impl Core {
    pub(super) fn new(
        id: NodeId,
        registry: Registry,
        admitted: Admitted,
        board: Board,
        door: OwnedFd,
    ) -> io::Result<Core> {
        fork::watch();
        let set = Epoll::new()?;
        let (mouth, ear) = socket::pair(socket::Kind::SeqPacket)?;
        set.add(&door, DOOR, Interest::READ)?;
        set.add(&ear, WAKE, Interest::READ)?;
        let share = most_descriptors().unwrap_or(1024) / SHARE_OF_STRANGERS;
        let most_with_stranger = share.clamp(*MOST_HOSTS_OF_STRANGERS.start(), *MOST_HOSTS_OF_STRANGERS.end());
        Ok(Core {
            id,
            registry,
            admitted,
            set: Arc::new(set),
            door: ForkClosedFd::new(door),
            wake: (ForkClosedFd::new(mouth), ForkClosedFd::new(ear)),
            stop: AtomicBool::new(false),
            epoch: fork::epoch(),
            refused: AtomicU64::new(0),
            board: Mutex::new(board),
            state: Mutex::new(State { next_line: FIRST_LINE, next_number: 1, most_with_stranger, ..State::default() }),
        })
    }

    /// Whether this is still the process that opened the node. Asked before every lock: in a forked child one may be held
    /// for ever.
    pub(super) fn is_ours(&self) -> bool {
        self.epoch == fork::epoch()
    }

    pub(super) fn expect_ours(&self) -> Result<(), NodeError> {
        if self.is_ours() { Ok(()) } else { Err(NodeError::Forked) }
    }

    /// Handlers are never called, and nobody is waited for, while it is held.
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes the node's thread.
    pub(super) fn wake(&self) {
        if let Ok(mouth) = self.wake.0.get() {
            // A full queue has woken it long ago.
            let _ = socket::send(mouth, &[1]);
        }
    }

    /// What this node says of itself, on the lifeline to this peer.
    pub(super) fn hello(&self, peer: &PeerNode) -> Record {
        Record::Hello { version: VERSION, id: self.id, barriers: peer.ours }
    }

    /// Whether a process of this user may meet this node, and whether it is trusted.
    pub(super) fn admit(&self, peer: &Credentials) -> Result<bool, Refusal> {
        let ours = socket::my_uid();
        // A user outside our user namespace could be anybody, and so could we.
        let unknown = peer.uid == socket::overflow_uid();
        match peer.uid == ours {
            _ if unknown => Err(Refusal::User),
            #[cfg(test)]
            true if self.admitted.trusts_nobody => Ok(false),
            true => Ok(true),
            false if self.admitted.users.contains(&peer.uid) => Ok(false),
            false if self.admitted.groups.contains(&peer.gid) => Ok(false),
            false => Err(Refusal::User),
        }
    }

    pub(super) fn peer(&self, id: NodeId, by: &Credentials, cooperating: bool) -> Arc<PeerNode> {
        let pid = u32::try_from(by.pid).unwrap_or(0);
        // Opening the node has waited for it as long as anybody does.
        let ours = barrier::is_registered();
        Arc::new(PeerNode { id, uid: by.uid, pid, cooperating, ours, theirs: AtomicBool::new(false) })
    }

    /// The lifeline to a node: the one there is, or a new one. Never waits: [`io::ErrorKind::WouldBlock`] while the other
    /// node's queue is full, [`io::ErrorKind::ConnectionRefused`] or [`io::ErrorKind::NotFound`] when nobody is there.
    pub(super) fn call(&self, state: &mut State, id: NodeId) -> Result<(Arc<Line>, Arc<PeerNode>), CallError> {
        let known = state.known.get(&id).and_then(|number| {
            let line = state.lines.get(number).filter(|line| !line.is_cut())?;
            Some((Arc::clone(line), Arc::clone(state.peers.get(number)?)))
        });
        if let Some(known) = known {
            return Ok(known);
        }
        let socket = socket::connect_now(&self.registry.socket(id))?;
        let by = socket::peer_credentials(&socket)?;
        let cooperating = self.admit(&by).map_err(CallError::Refused)?;
        let peer = self.peer(id, &by, cooperating);
        let line = state.add_line(socket, &self.set)?;
        state.peers.insert(line.number, Arc::clone(&peer));
        state.known.insert(id, line.number);
        line.send_or_cut(&self.hello(&peer));
        Ok((line, peer))
    }
}

/// Why a node could not be called.
#[derive(Debug)]
pub(super) enum CallError {
    System(io::Error),
    Refused(Refusal),
}

impl From<io::Error> for CallError {
    fn from(error: io::Error) -> CallError {
        CallError::System(error)
    }
}

impl State {
    /// Adds an endpoint: from here on it is found by those who come, and by hosts that are announced.
    pub(super) fn add_endpoint(&mut self, endpoint: &Arc<Registered>) {
        self.endpoints.insert(endpoint.id, Arc::clone(endpoint));
        let EndpointSpec { pattern, part, name, .. } = &endpoint.spec;
        match part {
            Part::Host => {}
            Part::Guest if name.is_wild() => self.wild.push(Arc::clone(endpoint)),
            Part::Guest => {
                let names = self.guests.entry(*pattern).or_default();
                names.entry(name.to_string()).or_default().push(Arc::clone(endpoint));
            }
        }
    }

    /// Takes an endpoint out, with all its pairings, which are returned.
    pub(super) fn remove_endpoint(&mut self, endpoint: &Arc<Registered>) -> Vec<Paired> {
        self.endpoints.remove(&endpoint.id);
        self.later.forget(endpoint.id);
        self.announced.retain(|_, it| it.host != endpoint.id);
        self.wild.retain(|it| !Arc::ptr_eq(it, endpoint));
        if let Some(names) = self.guests.get_mut(&endpoint.spec.pattern)
            && let Some(there) = names.get_mut(endpoint.spec.name.as_str())
        {
            there.retain(|it| !Arc::ptr_eq(it, endpoint));
            if there.is_empty() {
                names.remove(endpoint.spec.name.as_str());
            }
        }
        let first = PairingId { line: 0, number: 0, part: Part::Host };
        let last = PairingId { line: u64::MAX, number: u64::MAX, part: Part::Guest };
        let pairings = self.of_endpoint.range((endpoint.id, first)..=(endpoint.id, last));
        let pairings: Vec<PairingId> = pairings.map(|(_, id)| *id).collect();
        pairings.into_iter().filter_map(|id| self.remove_pairing(id)).collect()
    }

    /// The guests that mean this name.
    pub(super) fn guests_of(&self, pattern: Pattern, name: &str) -> Vec<Arc<Registered>> {
        let exact = self.guests.get(&pattern).and_then(|names| names.get(name)).into_iter().flatten();
        let wild = self.wild.iter().filter(|it| it.spec.pattern == pattern && it.spec.name.matches(name));
        exact.chain(wild).cloned().collect()
    }

    /// The pairings on one lifeline.
    pub(super) fn on_line(&self, line: u64) -> impl Iterator<Item = (&PairingId, &Paired)> {
        let first = PairingId { line, number: 0, part: Part::Host };
        let last = PairingId { line, number: u64::MAX, part: Part::Guest };
        self.pairings.range(first..=last)
    }

    /// Whether a guest here may pair with one more host of this peer.
    pub(super) fn has_room_for(&self, peer: &PeerNode) -> bool {
        let with = self.with_strangers.get(&peer.uid).copied().unwrap_or(0);
        let with_all: usize = self.with_strangers.values().sum();
        peer.cooperating || (with < self.most_with_stranger && with_all < 2 * self.most_with_stranger)
    }

    /// Adds a pairing.
    pub(super) fn add_pairing(&mut self, id: PairingId, paired: Paired) {
        self.of_endpoint.insert((paired.endpoint.id, id));
        let peer = paired.pairing.peer();
        if id.part == Part::Guest && !peer.cooperating {
            *self.with_strangers.entry(peer.uid).or_default() += 1;
        }
        self.pairings.insert(id, paired);
    }

    pub(super) fn add_line(&mut self, socket: OwnedFd, set: &Arc<Epoll>) -> io::Result<Arc<Line>> {
        let number = self.next_line;
        let line = Arc::new(Line::new(number, socket, set)?);
        self.next_line += 1;
        self.lines.insert(number, Arc::clone(&line));
        Ok(line)
    }

    pub(super) fn new_number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number
    }

    /// Takes a pairing out, and acknowledges what was waiting for it.
    pub(super) fn remove_pairing(&mut self, id: PairingId) -> Option<Paired> {
        let paired = self.pairings.remove(&id)?;
        self.of_endpoint.remove(&(paired.endpoint.id, id));
        if id.part == Part::Guest {
            let pairing = &paired.pairing;
            self.hosts.remove(&(paired.endpoint.id, pairing.peer().id, pairing.their_endpoint()));
            let uid = pairing.peer().uid;
            if let Some(count) = self.with_strangers.get_mut(&uid).filter(|_| !pairing.peer().cooperating) {
                *count -= 1;
                if *count == 0 {
                    self.with_strangers.remove(&uid);
                }
            }
        }
        self.count_peers(&paired.endpoint, -1, paired.stage);
        self.settle(id);
        Some(paired)
    }

    /// A guest's pairing stands.
    pub(super) fn stand(&mut self, id: PairingId) {
        if let Some(paired) = self.pairings.get_mut(&id) {
            paired.stage = Stage::Live;
            paired.outstanding = None;
            let endpoint = Arc::clone(&paired.endpoint);
            self.count_peers(&endpoint, 1, Stage::Live);
        }
        self.settle(id);
    }

    /// One guest less to wait for, for those who have announced its host.
    fn settle(&mut self, id: PairingId) {
        self.owed.retain_mut(|owed| {
            owed.left.remove(&id);
            if owed.left.is_empty() {
                owed.line.send_or_cut(&Record::Announced { number: owed.number });
            }
            !owed.left.is_empty()
        });
    }

    fn count_peers(&self, endpoint: &Registered, more: i64, stage: Stage) {
        if stage == Stage::Live {
            // Only here, under the lock of the state.
            let now = endpoint.counters.get(Counter::Peers);
            endpoint.counters.set(Counter::Peers, now.saturating_add_signed(more));
        }
    }

    /// Adds a host's pairing, which stands from the start.
    pub(super) fn add_host_pairing(&mut self, endpoint: &Arc<Registered>, pairing: &Pairing) {
        let paired = Paired {
            endpoint: Arc::clone(endpoint),
            pairing: pairing.clone(),
            stage: Stage::Live,
            outstanding: None,
            again: Again::default(),
        };
        self.add_pairing(pairing.id(), paired);
        self.count_peers(endpoint, 1, Stage::Live);
    }

    /// Removes a lifeline with everything on it, which is returned. Offers that another thread is preparing are left to that
    /// thread.
    pub(super) fn remove_line(&mut self, number: u64) -> Ended {
        self.lines.remove(&number);
        self.numbers.remove(&number);
        if let Some(peer) = self.peers.remove(&number)
            && self.known.get(&peer.id) == Some(&number)
        {
            // There is another one where both called at once.
            match self.peers.iter().find(|(_, other)| other.id == peer.id) {
                Some((other, _)) => self.known.insert(peer.id, *other),
                None => self.known.remove(&peer.id),
            };
        }
        let (theirs, others): (BTreeMap<_, _>, BTreeMap<_, _>) =
            std::mem::take(&mut self.announced).into_iter().partition(|(_, it)| it.line == number);
        self.announced = others;
        let announced = theirs.into_values().collect();
        self.owed.retain(|owed| owed.line.number != number);
        Ended { pairings: self.end_pairings(number), announced }
    }

    /// Removes all pairings on a lifeline, but for offers that another thread is preparing.
    pub(super) fn end_pairings(&mut self, number: u64) -> Vec<Paired> {
        let ended: Vec<PairingId> =
            self.on_line(number).filter(|(_, paired)| paired.stage != Stage::Preparing).map(|(id, _)| *id).collect();
        ended.into_iter().filter_map(|id| self.remove_pairing(id)).collect()
    }
}

/// What ended with a lifeline.
pub(super) struct Ended {
    pub(super) pairings: Vec<Paired>,
    /// Hosts of ours that were announced there, and not acknowledged.
    pub(super) announced: Vec<Announced>,
}

impl Registered {
    /// Remembers who did not fit.
    pub(super) fn note_refusal(&self, who: String, why: Refusal) {
        let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        if refusals.len() == MOST_REFUSALS {
            refusals.pop_front();
        }
        refusals.push_back((who, why));
        drop(refusals);
        self.endpoint.refused();
    }

    /// Tells the endpoint that a pairing is over.
    pub(super) fn tell_gone(&self, id: PairingId, how: Gone) {
        self.endpoint.gone(id, how);
    }
}
