//! A TCP connection as a wire: every call is one system call.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::Duration;

use wharf_sys::socket;

use crate::transport::lifeline::Lifeline;
use crate::transport::stream::{Patience, Wire};

/// What the kernel may keep of what was sent until it is acknowledged, at least: enough that the rest of a frame and the
/// last words fit beside what may wait unsent.
const SEND_BUFFER: usize = 512 << 10;

/// The least that waits unsent.
const LEAST_UNSENT: usize = 4 << 10;

/// The most payload of a frame: the rest of one should fit the extra room many times over.
const MOST_IN_ONE: usize = 128 << 10;

/// See [`Wire`].
pub(crate) struct TcpWire {
    lifeline: Arc<Lifeline>,
    /// Bytes that may wait unsent.
    unsent: usize,
}

impl TcpWire {
    /// Takes a connection, on which `capacity` bytes may wait in this side's kernel before they are on their way, and
    /// which breaks when the other machine has not answered for `keep_alive`.
    pub(crate) fn new(lifeline: Arc<Lifeline>, capacity: usize, keep_alive: Duration) -> io::Result<Self> {
        let socket = lifeline.get()?;
        socket::set_no_delay(socket)?;
        socket::set_keep_alive(socket, keep_alive)?;
        socket::raise_send_buffer(socket, SEND_BUFFER)?;
        // The other half is for what is on its way, and for the extra room.
        let most = (socket::send_buffer(socket)? / 2).max(LEAST_UNSENT);
        let unsent = capacity.clamp(LEAST_UNSENT, most);
        socket::set_unsent_limit(socket, unsent)?;
        Ok(Self { lifeline, unsent })
    }
}

impl Wire for TcpWire {
    #[inline]
    fn write(&self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        let socket = self.lifeline.get()?;
        match parts {
            [part] => socket::send(socket, part),
            parts => socket::send_parts(socket, parts),
        }
    }

    #[inline]
    fn write_one(&self, bytes: &[u8]) -> Option<io::Result<usize>> {
        Some(self.lifeline.get().and_then(|socket| socket::send(socket, bytes)))
    }

    fn in_one(&self) -> usize {
        // Two fit what may wait, so that both sides work at the same time.
        (self.unsent / 2).min(MOST_IN_ONE)
    }

    fn widen(&self, wide: bool) {
        if let Ok(socket) = self.lifeline.get() {
            // Without it the last words wait, or are not said: see the trait.
            let _same = socket::set_unsent_limit(socket, if wide { usize::MAX } else { self.unsent });
        }
    }

    #[inline]
    fn read(&self, parts: &mut [IoSliceMut<'_>], patience: Patience) -> io::Result<usize> {
        socket::recv_stream(self.lifeline.get()?, parts, patience == Patience::UntilItComes)
    }

    fn inlet(&self) -> io::Result<BorrowedFd<'_>> {
        self.lifeline.get()
    }

    fn outlet(&self) -> io::Result<BorrowedFd<'_>> {
        self.lifeline.get()
    }

    fn is_ours(&self) -> bool {
        self.lifeline.is_ours()
    }

    fn end(&self) {
        if let Ok(socket) = self.lifeline.get() {
            // Fails only when the peer is gone, and then there is nobody to tell.
            let _told = socket::shutdown(socket, socket::Half::Write);
        }
    }
}
