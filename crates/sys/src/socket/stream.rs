//! Receiving from sockets without boundaries.

use std::io::{self, IoSliceMut};
use std::os::fd::AsFd;

use rustix::io::retry_on_intr;
use rustix::net::{RecvAncillaryBuffer, RecvFlags};

/// Receives from a stream into the parts, one behind the other: without waiting ([`io::ErrorKind::WouldBlock`] when
/// nothing is there), or in one call that waits. 0 is the end.
pub fn recv_stream(fd: impl AsFd, parts: &mut [IoSliceMut<'_>], wait: bool) -> io::Result<usize> {
    let fd = fd.as_fd();
    let flags = if wait { RecvFlags::empty() } else { RecvFlags::DONTWAIT };
    match parts {
        // Costs the kernel a little less.
        [part] => Ok(retry_on_intr(|| rustix::net::recv(fd, &mut **part, flags))?.0),
        parts => {
            let mut nothing = RecvAncillaryBuffer::default();
            Ok(retry_on_intr(|| rustix::net::recvmsg(fd, parts, &mut nothing, flags))?.bytes)
        }
    }
}
