//! Watching a domain: endpoints that appear and vanish.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use wharf_shared_memory::board;
use wharf_sys::clock::{Deadline, Instant};
use wharf_sys::directory::FolderWatch;
use wharf_sys::poll::{Epoll, Interest, Timer};

use super::Node;
use super::error::NodeError;
use super::identity::NodeId;
use super::info::{EndpointInfo, endpoints_of, may_be_skipped};
use super::registry::NODES;
use crate::waits::{Endpoint, Glance, Places, Seam, Stir, Waits};

/// How long after a look the next one begins, however often somebody changes something.
const GAP: Duration = Duration::from_millis(5);

/// How often it looks where the system does not tell.
const POLL: Duration = Duration::from_millis(25);

/// When it looks again after it was told: the kernel tells that a process has closed its board a moment before it lets go of
/// the lock, and on a machine without a free processor that moment can be long.
const LOOK_AGAIN: [Duration; 5] = [
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(20),
    Duration::from_millis(200),
    Duration::from_secs(2),
];

const FOLDER: u64 = 0;
const TIMER: u64 = 1;

/// What happened to an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// It was opened; or it was there when the watch began.
    Appeared(EndpointInfo),
    /// It was closed, or its process ended. With what was known of it last.
    Vanished(EndpointInfo),
}

/// Tells which endpoints of a domain appear and vanish, within 50 ms.
///
/// It is told by the kernel (inotify), and looks every 25 ms where the kernel's limit of watchers is reached. An endpoint
/// that is closed before the next look is not seen at all. While nothing changes it costs nothing, or where it has to look
/// by itself, some system calls for each process of the domain.
pub struct NodeWatch {
    // Keeps the folder there.
    node: Node,
    set: Epoll,
    timer: Timer,
    folder: Option<FolderWatch>,
    seen: BTreeMap<NodeId, Seen>,
    ready: VecDeque<Change>,
    /// What went wrong while it was waited for together with others; the next call says it.
    failed: Option<NodeError>,
    pub(super) looked: Option<Instant>,
    /// Looks to come although nobody told.
    pub(super) again: usize,
}

struct Seen {
    changes: u64,
    endpoints: BTreeMap<(u32, u32), EndpointInfo>,
}

impl Node {
    /// Watches the domain. What is there now appears first.
    ///
    /// # Errors
    /// [`NodeError::Forked`], [`NodeError::System`].
    pub fn watch(&self) -> Result<NodeWatch, NodeError> {
        NodeWatch::new(self, true)
    }
}

impl NodeWatch {
    /// `told`: by the kernel, where it can.
    pub(super) fn new(node: &Node, told: bool) -> Result<NodeWatch, NodeError> {
        node.handle.core.expect_ours()?;
        let make = || -> io::Result<NodeWatch> {
            let (set, timer) = (Epoll::new()?, Timer::new()?);
            let nodes = node.handle.core.registry.domain().folder(&[NODES])?.ok_or(io::ErrorKind::NotFound)?;
            let folder = if told { FolderWatch::new(&nodes)? } else { None };
            set.add(&timer, TIMER, Interest::READ)?;
            if let Some(folder) = &folder {
                set.add(folder, FOLDER, Interest::READ)?;
            }
            Ok(NodeWatch {
                node: node.clone(),
                set,
                timer,
                folder,
                seen: BTreeMap::new(),
                ready: VecDeque::new(),
                failed: None,
                looked: None,
                again: 0,
            })
        };
        let mut watch = make().map_err(NodeError::system("watch the domain"))?;
        // The watch was there before the first look, so nothing falls between them.
        watch.look()?;
        Ok(watch)
    }

    /// The next change, if there is one now.
    ///
    /// # Errors
    /// [`NodeError::Forked`], [`NodeError::System`].
    pub fn try_next(&mut self) -> Result<Option<Change>, NodeError> {
        self.next_until(Some(Deadline::at(Instant::from_nanos(0))))
    }

    /// Waits for the next change.
    ///
    /// # Errors
    /// [`NodeError::Forked`], [`NodeError::System`].
    pub fn next_change(&mut self) -> Result<Change, NodeError> {
        // Without a deadline every round but the last waits for the kernel or the timer.
        loop {
            if let Some(change) = self.next_until(None)? {
                return Ok(change);
            }
        }
    }

    /// Waits for the next change, at most `limit`; `None` when there was none.
    ///
    /// # Errors
    /// [`NodeError::Forked`], [`NodeError::System`].
    pub fn next_timeout(&mut self, limit: Duration) -> Result<Option<Change>, NodeError> {
        self.next_until(Some(Deadline::after(limit)))
    }

    /// A descriptor that is readable when [`try_next`](Self::try_next) is worth a call, to wait for it beside others.
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.set.as_fd()
    }

    /// Whether the kernel tells it of changes; otherwise it looks for them every 25 ms.
    pub fn is_told(&self) -> bool {
        self.folder.is_some()
    }

    fn next_until(&mut self, deadline: Option<Deadline>) -> Result<Option<Change>, NodeError> {
        self.node.handle.core.expect_ours()?;
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        let mut events = Vec::new();
        // Ends at the deadline; each round waits until there is reason to look.
        loop {
            if let Some(change) = self.ready.pop_front() {
                return Ok(Some(change));
            }
            self.set.wait(&mut events, deadline).map_err(NodeError::system("wait for a change"))?;
            if events.is_empty() {
                return Ok(None);
            }
            if self.is_due().map_err(NodeError::system("hear of a change"))? {
                self.look()?;
            }
        }
    }

    /// Whether to look now. If not, the timer says when.
    fn is_due(&mut self) -> io::Result<bool> {
        if let Some(folder) = &self.folder
            && folder.has_changed()?
        {
            self.again = LOOK_AGAIN.len();
            // However many tell at once: the first waits for nothing, the others for the first.
            let next = self.looked.map(|looked| looked.saturating_add(GAP));
            return match next.filter(|next| *next > Instant::now()) {
                Some(next) => {
                    self.timer.set(Some(Deadline::at(next)))?;
                    Ok(false)
                }
                None => Ok(true),
            };
        }
        self.timer.has_rung()
    }

    /// Looks at every board that has changed.
    fn look(&mut self) -> Result<(), NodeError> {
        let failed = NodeError::system("look at the nodes of the domain");
        let looked = self.look_at_boards();
        self.looked = Some(Instant::now());
        let next = match self.folder {
            None => Some(POLL),
            Some(_) => {
                let next = LOOK_AGAIN.len().checked_sub(self.again).and_then(|at| LOOK_AGAIN.get(at)).copied();
                self.again = self.again.saturating_sub(1);
                next
            }
        };
        looked.and_then(|()| self.timer.set(next.map(Deadline::after))).map_err(failed)
    }

    fn look_at_boards(&mut self) -> io::Result<()> {
        let registry = &self.node.handle.core.registry;
        let there: BTreeSet<NodeId> = registry.nodes()?.into_iter().collect();
        let gone: Vec<NodeId> = self.seen.keys().filter(|id| !there.contains(id)).copied().collect();
        for id in gone {
            self.note(id, None);
        }
        for id in there {
            let registry = &self.node.handle.core.registry;
            let board = match registry.open_board(id) {
                Ok(board) => board,
                Err(error) if may_be_skipped(&error) => None,
                Err(error) => return Err(error),
            };
            let unchanged = match (&board, self.seen.get(&id)) {
                (Some(board), Some(seen)) => {
                    board::changes(board).is_ok_and(|changes| changes == seen.changes) && board::is_alive(board)?
                }
                _ => false,
            };
            if !unchanged {
                let now = endpoints_of(registry, id)?;
                self.note(id, now);
            }
        }
        Ok(())
    }

    /// Compares what a node shows with what it showed.
    fn note(&mut self, id: NodeId, now: Option<(u64, Vec<EndpointInfo>)>) {
        let before = self.seen.remove(&id).map(|seen| seen.endpoints).unwrap_or_default();
        let Some((changes, endpoints)) = now else {
            self.ready.extend(before.into_values().map(Change::Vanished));
            return;
        };
        let now: BTreeMap<_, _> = endpoints.into_iter().map(|it| (it.slot, it)).collect();
        let vanished = before.iter().filter(|(slot, _)| !now.contains_key(slot));
        self.ready.extend(vanished.map(|(_, it)| Change::Vanished(it.clone())));
        let appeared = now.iter().filter(|(slot, _)| !before.contains_key(slot));
        self.ready.extend(appeared.map(|(_, it)| Change::Appeared(it.clone())));
        self.seen.insert(id, Seen { changes, endpoints: now });
    }
}

impl Waits for NodeWatch {
    fn glance(&mut self) -> Glance {
        let ours = self.node.handle.core.expect_ours().is_ok();
        if ours && self.ready.is_empty() && self.failed.is_none() { Glance::Unknown } else { Glance::Ready }
    }

    fn descriptors(&self) -> io::Result<Places<'_>> {
        Ok([Some((self.as_fd(), Interest::READ)), None, None])
    }

    fn stirred(&mut self, found: &Stir) -> io::Result<bool> {
        if found[0].any() && self.glance() == Glance::Unknown {
            match self.next_until(Some(Deadline::at(Instant::from_nanos(0)))) {
                Ok(Some(change)) => self.ready.push_front(change),
                Ok(None) => {}
                Err(error) => self.failed = Some(error),
            }
        }
        Ok(self.glance() == Glance::Ready)
    }
}

/// Ready when there is a change, or an error.
impl Endpoint for NodeWatch {
    fn seam(&mut self) -> Seam<'_> {
        Seam(self)
    }
}

impl std::fmt::Debug for NodeWatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NodeWatch").field("is_told", &self.is_told()).finish_non_exhaustive()
    }
}
