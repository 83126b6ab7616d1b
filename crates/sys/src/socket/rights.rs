//! Descriptors that came over a socket and that nobody wants: a sender must not choose how long it takes to close them.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::net::sockopt;

/// `SO_PASSRIGHTS`, since Linux 6.16. Its number is the same on all architectures but these.
#[cfg(not(any(target_arch = "sparc", target_arch = "sparc64")))]
const PASS_RIGHTS: libc::c_int = 83;
#[cfg(any(target_arch = "sparc", target_arch = "sparc64"))]
const PASS_RIGHTS: libc::c_int = 0x5c;

/// From now on, sending descriptors to this Unix socket is an error for whoever tries, and none has to be closed here.
/// `false` where the kernel does not know how (before 6.16).
pub fn refuse_descriptors(socket: impl AsFd) -> io::Result<bool> {
    let off: libc::c_int = 0;
    let len = libc::socklen_t::try_from(size_of_val(&off)).unwrap_or(0);
    let fd = socket.as_fd().as_raw_fd();
    // SAFETY: the kernel reads an integer of this length, which lives until the call is over.
    let done = unsafe { libc::setsockopt(fd, libc::SOL_SOCKET, PASS_RIGHTS, (&raw const off).cast(), len) };
    if done == 0 {
        return Ok(true);
    }
    match io::Error::last_os_error() {
        error if error.raw_os_error() == Some(libc::ENOPROTOOPT) => Ok(false),
        error => Err(error),
    }
}

/// Closing a socket that somebody else sent does not wait for what it has not sent yet. What is no socket stays as it is,
/// and nothing behind it is asked.
pub fn forget_linger(fd: impl AsFd) {
    // What is no socket does not linger.
    let _ = sockopt::set_socket_linger(fd, None);
}

/// Closes descriptors that somebody else sent, without lingering.
pub fn discard(fds: impl IntoIterator<Item = OwnedFd>) {
    for fd in fds {
        forget_linger(&fd);
        drop(fd);
    }
}
