//! Two endpoints that have met, as one of them sees it.

use std::fmt;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use wharf_sys::liveness;

use super::endpoint::{MAX_PARCEL_BYTES, MAX_PARCEL_FDS, Parcel};
pub(crate) use super::identity::PairingId;
use super::identity::{EndpointId, NodeId, Part};
use super::line::{Line, TellError};
use super::record::Record;

/// How much may be told before the answer has gone out: one word of each kind, and some room.
const MOST_EARLY: usize = 16;

/// Another process, or this one, as the kernel vouches for it.
pub(crate) struct PeerNode {
    pub(super) id: NodeId,
    pub(super) uid: u32,
    /// 0 for a process in another pid namespace.
    pub(super) pid: u32,
    pub(super) cooperating: bool,
    /// Whether this process is registered for membarrier(2), as it was told to this peer: it may be later, and is not for it.
    pub(super) ours: bool,
    /// Whether the peer is, as it says; known once it has introduced itself.
    pub(super) theirs: AtomicBool,
}

impl PeerNode {
    /// What tells it from all other nodes.
    pub(crate) fn id(&self) -> NodeId {
        self.id
    }

    /// Its user.
    pub(crate) fn uid(&self) -> u32 {
        self.uid
    }

    /// Its process id; `None` in another pid namespace.
    pub(crate) fn pid(&self) -> Option<u32> {
        (self.pid > 0).then_some(self.pid)
    }

    /// The name of its program, as long as it lives.
    pub(crate) fn program(&self) -> Option<String> {
        self.pid().and_then(liveness::program_name)
    }

    /// Whether it is trusted not to lie: it runs as this process's user.
    pub(crate) fn is_cooperating(&self) -> bool {
        self.cooperating
    }

    /// Whether this process and that one are registered for membarrier(2), each as it has told the other, so that both know
    /// the same. Known in `offered` and from `answered` on.
    pub(crate) fn barriers(&self) -> (bool, bool) {
        (self.ours, self.theirs.load(Ordering::Relaxed))
    }
}

impl fmt::Display for PeerNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.program() {
            Some(program) => write!(f, "process {} ({program}) of uid {}", self.pid, self.uid),
            None if self.pid > 0 => write!(f, "process {} of uid {}", self.pid, self.uid),
            None => write!(f, "a process of uid {}", self.uid),
        }
    }
}

/// What one endpoint holds of a pairing: whom it met, and the way to tell it something. Clones are the same pairing.
#[derive(Clone)]
pub(crate) struct Pairing {
    shared: Arc<Shared>,
}

struct Shared {
    id: PairingId,
    peer: Arc<PeerNode>,
    theirs: EndpointId,
    line: Arc<Line>,
    /// What was told before the answer went out; none once it has.
    early: Mutex<Option<Vec<(u16, Parcel)>>>,
}

impl Pairing {
    pub(super) fn new(id: PairingId, peer: Arc<PeerNode>, theirs: EndpointId, line: Arc<Line>) -> Pairing {
        // A guest tells nothing before it is answered, and then the way is free.
        let early = (id.part == Part::Host).then(Vec::new);
        Pairing { shared: Arc::new(Shared { id, peer, theirs, line, early: Mutex::new(early) }) }
    }

    /// What tells it from all other pairings of this node.
    pub(crate) fn id(&self) -> PairingId {
        self.shared.id
    }

    /// The node of the other endpoint.
    pub(crate) fn peer(&self) -> &PeerNode {
        &self.shared.peer
    }

    /// The other endpoint, among those of its node.
    pub(crate) fn their_endpoint(&self) -> EndpointId {
        self.shared.theirs
    }

    /// The way to its node.
    pub(super) fn way(&self) -> (&Arc<Line>, &Arc<PeerNode>) {
        (&self.shared.line, &self.shared.peer)
    }

    /// Tells the other endpoint something: it arrives there as [`told`](super::Endpoint::told), in order, with copies of the
    /// descriptors. Never waits; from any thread.
    ///
    /// # Errors
    /// [`TellError::Full`] when the other process has not listened for so long that no more is kept for it.
    pub(crate) fn tell(&self, kind: u16, bytes: &[u8], fds: Vec<OwnedFd>) -> Result<(), TellError> {
        if bytes.len() > MAX_PARCEL_BYTES || fds.len() > MAX_PARCEL_FDS {
            return Err(TellError::TooLarge);
        }
        let parcel = Parcel { bytes: bytes.to_vec(), fds };
        let mut early = self.early();
        match &mut *early {
            Some(early) if early.len() < MOST_EARLY => {
                early.push((kind, parcel));
                Ok(())
            }
            Some(_) => Err(TellError::Full),
            // The lock is held, so that nothing told later overtakes.
            None => self.say(kind, parcel),
        }
    }

    /// Sends the answer, and behind it what was told before.
    pub(super) fn answer(&self, answer: Parcel) -> Result<(), TellError> {
        let mut early = self.early();
        let Shared { id, line, .. } = &*self.shared;
        line.send(&Record::Answer { number: id.number, bytes: answer.bytes }, answer.fds)?;
        // Bounded by MOST_EARLY.
        for (kind, parcel) in early.take().unwrap_or_default() {
            self.say(kind, parcel)?;
        }
        Ok(())
    }

    /// Tells the other side that this one has left.
    pub(super) fn leave(&self) {
        let PairingId { number, part, .. } = self.shared.id;
        self.shared.line.send_or_cut(&Record::Leave { number, to: part.other() });
    }

    fn say(&self, kind: u16, parcel: Parcel) -> Result<(), TellError> {
        let PairingId { number, part, .. } = self.shared.id;
        self.shared.line.send(&Record::Told { number, to: part.other(), kind, bytes: parcel.bytes }, parcel.fds)
    }

    fn early(&self) -> MutexGuard<'_, Option<Vec<(u16, Parcel)>>> {
        // Nothing in here panics.
        self.shared.early.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Pairing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pairing").field(&self.shared.id).finish()
    }
}
