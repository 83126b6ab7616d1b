//! Who is at the other end of a link.

use std::fmt;
use std::net::SocketAddr;

use wharf_sys::liveness;
use wharf_sys::socket::{self, Credentials};

/// Where a connection comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A process of this machine, for which the kernel vouches.
    Local(Credentials),
    /// A port of some machine; nobody vouches for anything.
    Remote(SocketAddr),
}

/// The process at the other end, as the kernel vouches for it at the moment of connecting.
///
/// Whoever uses the other end of a channel is met there, and until then nothing is known of it, and it is not trusted.
///
/// Of a peer over `tcp:`, `tls:` or `ws:` only its network address is known, even on this machine: it has no user, and it is not
/// trusted unless [`Trust`](crate::Trust) says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// None as long as it has not been met.
    origin: Option<Origin>,
    cooperating: bool,
}

impl Peer {
    pub(crate) fn new(origin: Origin, cooperating: bool) -> Self {
        Self { origin: Some(origin), cooperating }
    }

    /// Whoever will use the other end of a channel.
    pub(crate) const fn unmet() -> Self {
        Self { origin: None, cooperating: false }
    }

    /// Whether anything is known of it.
    pub(crate) fn is_met(&self) -> bool {
        self.origin.is_some()
    }

    /// This process itself, as the peer of a link between two of its threads.
    pub(crate) fn ourselves() -> Self {
        let pid = i32::try_from(std::process::id()).unwrap_or(0);
        let credentials = Credentials { pid, uid: socket::my_uid(), gid: socket::my_gid() };
        Self::new(Origin::Local(credentials), true)
    }

    fn credentials(&self) -> Option<&Credentials> {
        match &self.origin {
            Some(Origin::Local(credentials)) => Some(credentials),
            Some(Origin::Remote(_)) | None => None,
        }
    }

    /// Its process id; `None` when it lives in another pid namespace, or came over the network.
    ///
    /// After the peer's death the system may give the number to another process.
    pub fn pid(&self) -> Option<u32> {
        // A process outside this pid namespace appears as 0.
        self.credentials().and_then(|it| u32::try_from(it.pid).ok()).filter(|pid| *pid > 0)
    }

    /// Its user; `None` when it came over the network, or was not met yet.
    pub fn uid(&self) -> Option<u32> {
        self.credentials().map(|it| it.uid)
    }

    /// Its group; `None` as for its [user](Self::uid).
    pub fn gid(&self) -> Option<u32> {
        self.credentials().map(|it| it.gid)
    }

    /// Its network address; `None` when it did not come over the network.
    pub fn network_address(&self) -> Option<SocketAddr> {
        match self.origin {
            Some(Origin::Local(_)) | None => None,
            Some(Origin::Remote(address)) => Some(address),
        }
    }

    /// The name of its program, as long as it lives.
    pub fn program(&self) -> Option<String> {
        self.pid().and_then(liveness::program_name)
    }

    /// Whether it is trusted not to lie; otherwise messages from it are copied before they are seen.
    pub fn is_cooperating(&self) -> bool {
        self.cooperating
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.origin, self.pid()) {
            (Some(Origin::Local(it)), Some(pid)) => write!(f, "process {pid} of uid {}", it.uid),
            (Some(Origin::Local(it)), None) => write!(f, "a process of uid {}", it.uid),
            (Some(Origin::Remote(address)), _) => address.fmt(f),
            (None, _) => f.write_str("somebody who was not met yet"),
        }
    }
}
