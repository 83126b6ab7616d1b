//! Who is in a domain: every endpoint with what its process shows of it.

use std::io;
use std::time::Duration;

use wharf_shared_memory::board::{BoardFacts, Counter, LookError, SlotFacts};
use wharf_sys::clock::Instant;
use wharf_sys::directory::Domain;

use super::depth;
use super::endpoint::apart_of;
use super::error::NodeError;
use super::identity::{NodeId, Part, Pattern};
use super::registry::{Registry, snapshot};
use super::{Node, NodeOptions};

/// An endpoint, as its process shows it. Looking costs that process nothing.
///
/// Whoever runs as another user may show what it likes; only [`uid`](Self::uid) is what the kernel says.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EndpointInfo {
    /// The node that it belongs to.
    pub node: NodeId,
    /// The owner of that node's board.
    pub uid: u32,
    /// Its process, in its own pid namespace.
    pub pid: u32,
    /// The name of its program.
    pub program: String,
    /// What it is.
    pub pattern: Pattern,
    /// Which part it plays.
    pub part: Part,
    /// Its name; with stars for a subscription to several.
    pub name: String,
    /// The name of the type that it carries; empty for plain bytes, and for values of any serde type.
    pub type_name: String,
    /// The layout hash of that type, or 0.
    pub type_hash: u64,
    /// The size of that type in bytes, or 0.
    pub type_size: u64,
    /// Four numbers whose meaning belongs to the pattern.
    pub options: [u64; 4],
    /// How long it has been open.
    pub age: Duration,
    /// What it has done so far.
    pub statistics: Statistics,
    /// Tells the uses of one slot apart.
    pub(super) slot: (u32, u32),
    /// A guest of the same node that does not hear this host.
    pub(super) apart: Option<(u32, u32)>,
    /// See [`Counter::Joined`] and [`Counter::Sources`].
    pub(super) joined: u64,
    pub(super) sources: u64,
}

/// What an endpoint has done since it was opened, counted by itself.
///
/// The numbers are read one by one while the endpoint goes on, so those of one reading may be a message apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Statistics {
    /// Messages sent.
    pub sent_messages: u64,
    /// Bytes of them.
    pub sent_bytes: u64,
    /// Messages received.
    pub received_messages: u64,
    /// Bytes of them.
    pub received_bytes: u64,
    /// Messages overwritten before this side had read them.
    pub lost_lagged: u64,
    /// Messages handed back because there was no room.
    pub lost_rejected: u64,
    /// Messages lost because a side died or was cut off. A publisher counts what a subscriber that died, or that it cut off,
    /// had not taken, as far as that had said; a subscriber counts what it had not taken when it was cut off. What a dead
    /// publisher had sent is not lost: it is received.
    pub lost_died: u64,
    /// Time spent waiting for room.
    pub blocked: Duration,
    /// Messages that wait now: for a subscriber those that it has neither received nor lost, for a publisher those of the
    /// slowest subscriber. It is worked out by whoever looks, from what both sides count; where that cannot be (a publisher
    /// that is gone has left something to be received, one is not shown here, or there are thousands of each), it is what the
    /// end noted last.
    pub depth: u64,
    /// The most that ever waited, as far as the end has noted it: a publisher when it found its log full.
    pub deepest: u64,
    /// The largest message in bytes.
    pub largest_bytes: u64,
    /// Endpoints that it is paired with now.
    pub peers: u64,
    /// Times that it went to sleep.
    pub sleeps: u64,
    /// Bytes of memory that it holds for its messages.
    pub memory_bytes: u64,
}

impl Statistics {
    fn of(counters: &[u64]) -> Statistics {
        let count = |counter: Counter| counters.get(counter as usize).copied().unwrap_or(0);
        Statistics {
            sent_messages: count(Counter::SentMessages),
            sent_bytes: count(Counter::SentBytes),
            received_messages: count(Counter::ReceivedMessages),
            received_bytes: count(Counter::ReceivedBytes),
            lost_lagged: count(Counter::LostLagged),
            lost_rejected: count(Counter::LostRejected),
            lost_died: count(Counter::LostDied),
            blocked: Duration::from_nanos(count(Counter::BlockedNanos)),
            depth: count(Counter::Depth),
            deepest: count(Counter::Deepest),
            largest_bytes: count(Counter::Largest),
            peers: count(Counter::Peers),
            sleeps: count(Counter::Sleeps),
            memory_bytes: count(Counter::Memory),
        }
    }
}

impl EndpointInfo {
    /// `None` for a slot that shows nothing that makes sense.
    pub(super) fn of(board: &BoardFacts, slot: &SlotFacts) -> Option<EndpointInfo> {
        let [pattern, part, ..] = slot.kind;
        let (pattern, part) = (Pattern::from_code(pattern)?, Part::from_code(part)?);
        let is_of_a_member = (pattern, part) == (Pattern::Bus, Part::Host);
        let age = Instant::now().saturating_since(Instant::from_nanos(slot.since_nanos));
        Some(EndpointInfo {
            node: NodeId(board.id),
            uid: board.owner,
            pid: board.pid,
            program: board.program.clone(),
            pattern,
            part,
            name: slot.name.clone(),
            type_name: slot.type_name.clone(),
            type_hash: slot.type_hash,
            type_size: slot.type_size,
            options: slot.options,
            age,
            statistics: Statistics::of(&slot.counters),
            slot: (slot.slot.index, slot.slot.stamp),
            apart: if is_of_a_member { apart_of(slot.options[3]) } else { None },
            joined: slot.counters.get(Counter::Joined as usize).copied().unwrap_or(0),
            sources: slot.counters.get(Counter::Sources as usize).copied().unwrap_or(0),
        })
    }
}

/// One node's endpoints; `None` when it is dead, which is also when what it left is removed.
pub(super) fn endpoints_of(registry: &Registry, id: NodeId) -> io::Result<Option<(u64, Vec<EndpointInfo>)>> {
    match snapshot(registry, id) {
        Ok(Some((board, true))) => {
            let endpoints = board.slots.iter().filter_map(|slot| EndpointInfo::of(&board.facts, slot)).collect();
            Ok(Some((board.facts.changes, endpoints)))
        }
        Ok(Some((_, false))) => {
            registry.bury(id);
            Ok(None)
        }
        // Somebody's file that is no board, or one of another version, hides nobody else.
        Ok(None) | Err(LookError::NoBoard(_) | LookError::OtherVersion { .. }) => Ok(None),
        Err(LookError::System(error)) if may_be_skipped(&error) => Ok(None),
        Err(error) => Err(io::Error::other(error)),
    }
}

/// A board that this user may not read, or that is something else than a file, is nobody's that he could meet.
pub(super) fn may_be_skipped(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::InvalidData | io::ErrorKind::NotFound)
}

fn endpoints(registry: &Registry) -> Result<Vec<EndpointInfo>, NodeError> {
    let mut found = Vec::new();
    registry.sweep_locks();
    let nodes = registry.nodes().map_err(NodeError::system("list the nodes of the domain"))?;
    for id in nodes {
        let there = endpoints_of(registry, id).map_err(NodeError::system(format!("read the board of node {id}")))?;
        found.extend(there.into_iter().flat_map(|(_, endpoints)| endpoints));
    }
    depth::work_out(&mut found);
    found.sort_by(|a, b| {
        (a.pattern, &a.name, a.part, a.node, a.slot).cmp(&(b.pattern, &b.name, b.part, b.node, b.slot))
    });
    Ok(found)
}

impl Node {
    /// All endpoints in the domain, this process's own included, by pattern and name.
    ///
    /// # Errors
    /// [`NodeError::System`].
    pub fn endpoints(&self) -> Result<Vec<EndpointInfo>, NodeError> {
        endpoints(&self.handle.core.registry)
    }
}

impl NodeOptions {
    /// All endpoints in the domain, without opening a node: for whoever only looks.
    ///
    /// # Errors
    /// [`NodeError::Directory`], [`NodeError::System`].
    pub fn endpoints(&self) -> Result<Vec<EndpointInfo>, NodeError> {
        let domain = match &self.domain {
            Some(domain) => domain.clone(),
            None => Domain::open()?,
        };
        endpoints(&Registry::new(domain))
    }
}
