//! The connection over which two processes met: the kernel closes it when one of them dies.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use wharf_sys::fork::ForkClosedFd;
use wharf_sys::socket;

/// The idle (for `unix:` not so idle) connection of a link.
///
/// A forked child closes its copy, so that it does not keep a dead parent alive.
#[derive(Debug)]
pub(crate) struct Lifeline {
    socket: ForkClosedFd,
}

impl Lifeline {
    pub(crate) fn new(socket: OwnedFd) -> Self {
        Self { socket: ForkClosedFd::new(socket) }
    }

    /// The socket; an error in a forked child.
    #[inline]
    pub(crate) fn get(&self) -> io::Result<BorrowedFd<'_>> {
        self.socket.get()
    }

    /// Nothing that follows on it brings descriptors: where the kernel can refuse them (since 6.16), none has to be closed by
    /// this side.
    pub(crate) fn refuse_descriptors(&self) {
        if let Ok(socket) = self.socket.get() {
            // Without it the link works all the same.
            let _known = socket::refuse_descriptors(socket);
        }
    }

    /// Whether this is still the process that made the link.
    #[inline]
    pub(crate) fn is_ours(&self) -> bool {
        self.socket.is_ours()
    }
}
