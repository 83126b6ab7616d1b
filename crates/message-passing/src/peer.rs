//! Who is at the other end of a link.

use wharf_sys::liveness;
use wharf_sys::socket::{self, Credentials};

/// The process at the other end, as the kernel vouches for it at the moment of connecting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    pid: Option<u32>,
    uid: u32,
    gid: u32,
    cooperating: bool,
}

impl Peer {
    pub(crate) fn new(credentials: &Credentials, cooperating: bool) -> Self {
        // A process outside this pid namespace appears as 0.
        let pid = u32::try_from(credentials.pid).ok().filter(|pid| *pid > 0);
        Self { pid, uid: credentials.uid, gid: credentials.gid, cooperating }
    }

    /// This process itself, as the peer of a link between two of its threads.
    pub(crate) fn ourselves() -> Self {
        let (uid, gid) = (socket::my_uid(), socket::my_gid());
        Self { pid: Some(std::process::id()), uid, gid, cooperating: true }
    }

    /// Its process id; `None` when it lives in another pid namespace.
    ///
    /// After the peer's death the system may give the number to another process.
    pub fn pid(&self) -> Option<u32> {
        self.pid
    }

    /// Its user.
    pub fn uid(&self) -> u32 {
        self.uid
    }

    /// Its group.
    pub fn gid(&self) -> u32 {
        self.gid
    }

    /// The name of its program, as long as it lives.
    pub fn program(&self) -> Option<String> {
        self.pid.and_then(liveness::program_name)
    }

    /// Whether it is trusted not to lie; otherwise messages from it are copied before they are seen.
    pub fn is_cooperating(&self) -> bool {
        self.cooperating
    }
}
