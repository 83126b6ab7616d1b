//! A node: this process's presence in a domain, where endpoints of any number of processes meet by name.
//!
//! A [`Node`] has a board that everybody may read ([`wharf_shared_memory::board`]), one socket, one lifeline to each process
//! that it has business with, and one thread. Endpoints are entered in the directory under their names
//! (`registry.rs`); opening one lists whoever is there and meets him (`open.rs`), over records that are told in
//! docs/wire.md. What endpoints carry, and how, is the pattern's; the seam is in `endpoint.rs`.

mod again;
mod core;
mod depth;
mod endpoint;
mod error;
mod hear;
mod identity;
mod info;
mod line;
mod name;
mod numbers;
mod open;
mod pairing;
mod quota;
mod record;
mod registry;
#[cfg(test)]
mod tests;
mod thread;
mod waiting;
mod watch;

pub(crate) use self::endpoint::{
    DEFAULT_PATIENCE, Endpoint, EndpointSpec, Gone, HostInfo, MAX_PARCEL_BYTES, MAX_PARCEL_FDS, Parcel, Refusal,
};
pub use self::error::NodeError;
pub(crate) use self::identity::{EndpointId, PairingId};
pub use self::identity::{NodeId, Part, Pattern};
pub use self::info::{EndpointInfo, Statistics};
pub(crate) use self::line::TellError;
pub(crate) use self::name::Filter;
pub use self::name::TopicNameError;
pub(crate) use self::open::Registration;
pub(crate) use self::pairing::{Pairing, PeerNode};
pub use self::watch::{Change, NodeWatch};

use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use wharf_sys::directory::Domain;
use wharf_sys::{barrier, random};

use self::core::{Admitted, Core};
use self::registry::Registry;
use self::thread::Turn;

/// This process's presence in a domain: what its endpoints are opened on.
///
/// Clones are the same node; it closes with the last of them and the last endpoint. A process usually has one, and may have
/// several. It costs a thread, which sleeps unless somebody comes or goes, a socket, two pages, and for each endpoint 1 KiB and a
/// name in the directory. Opening an endpoint costs what there is under its own name, however many others there are.
/// The first node of a process that has other threads already takes up to 40 ms more, in which the kernel learns of the process.
///
/// # When a process dies
/// Whoever was paired with its endpoints is told by the kernel, at once. What it leaves in the directory is provably dead,
/// and the next process that opens a node, or an endpoint of the same name, removes it.
///
/// # After a fork
/// The child has no part in the node: whatever it does with it is [`NodeError::Forked`].
#[derive(Clone)]
pub struct Node {
    handle: Arc<Handle>,
}

/// What all clones share; dropped with the last of them.
struct Handle {
    core: Arc<Core>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// How a node is opened.
#[derive(Clone, Debug, Default)]
pub struct NodeOptions {
    domain: Option<Domain>,
    admitted: Admitted,
}

impl NodeOptions {
    /// The defaults: the user's own domain, and nobody else.
    pub fn new() -> NodeOptions {
        NodeOptions::default()
    }

    /// The directory in which nodes meet; the user's own unless said otherwise ([`Domain::open`]).
    pub fn domain(mut self, domain: Domain) -> NodeOptions {
        self.domain = Some(domain);
        self
    }

    /// Admits processes of another user, who must be able to use the directory. They are not trusted: what comes from them
    /// is copied and checked before it is used.
    pub fn allow_uid(mut self, uid: u32) -> NodeOptions {
        self.admitted.users.push(uid);
        self
    }

    /// Admits processes of other users whose effective group is this one, as [`allow_uid`](Self::allow_uid) does: for a
    /// directory that a group shares.
    pub fn allow_gid(mut self, gid: u32) -> NodeOptions {
        self.admitted.groups.push(gid);
        self
    }

    /// Treats everybody as another user, who was admitted.
    #[cfg(test)]
    pub(crate) fn trust_nobody(mut self) -> NodeOptions {
        self.admitted.trusts_nobody = true;
        self
    }

    /// Opens a node.
    ///
    /// # Errors
    /// [`NodeError::Directory`], [`NodeError::NoRoom`], [`NodeError::System`].
    pub fn open(self) -> Result<Node, NodeError> {
        let domain = match self.domain {
            Some(domain) => domain,
            None => Domain::open()?,
        };
        let registry = Registry::new(domain);
        // Endpoints use both, and in a process of several threads the kernel takes its time.
        barrier::begin();
        let id = NodeId(random::bits_128().map_err(NodeError::system("draw a number for this node"))?);
        registry.sweep(id);
        let board = registry.publish_board(id)?;
        // Here, so that nobody waits for them who opens an endpoint, or holds a lock.
        let _ = (barrier::register(), barrier::register_private());
        let opened = (|| {
            let door = registry.listen(id).map_err(NodeError::system("listen for other nodes"))?;
            let core = Core::new(id, registry.clone(), self.admitted, board, door);
            let core = Arc::new(core.map_err(NodeError::system("make what the node's thread waits for"))?);
            let turn = Turn::new(Arc::clone(&core));
            let thread = std::thread::Builder::new().name("wharf-node".to_owned()).spawn(|| turn.run());
            let thread = thread.map_err(NodeError::system("start the node's thread"))?;
            Ok(Node { handle: Arc::new(Handle { core, thread: Mutex::new(Some(thread)) }) })
        })();
        if opened.is_err() {
            registry.bury(id);
        }
        opened
    }
}

impl Node {
    /// Opens a node in the user's own domain: `$WHARF_DIR` when that is set, else `/dev/shm/wharf-UID`.
    ///
    /// # Errors
    /// As [`NodeOptions::open`].
    pub fn open() -> Result<Node, NodeError> {
        NodeOptions::new().open()
    }

    /// What tells it from all other nodes.
    pub fn id(&self) -> NodeId {
        self.handle.core.id
    }

    /// How many connections were refused: of users that are not admitted, and of those that spoke nonsense.
    pub fn refusals(&self) -> u64 {
        self.handle.core.refused.load(Ordering::Relaxed)
    }

    /// Whether this is still the process that opened it.
    pub(crate) fn is_ours(&self) -> bool {
        self.handle.core.is_ours()
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node").field("id", &self.id()).finish_non_exhaustive()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let core = &self.core;
        if !core.is_ours() {
            // A forked child has no such thread, and its locks may be held for ever.
            return;
        }
        core.stop.store(true, Ordering::Release);
        core.wake();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread
            // The last clone may have been an endpoint's, dropped by the thread itself, which then ends by itself.
            && thread.thread().id() != std::thread::current().id()
        {
            // A panic there has been told already.
            let _ = thread.join();
        }
        core.registry.bury(core.id);
    }
}
