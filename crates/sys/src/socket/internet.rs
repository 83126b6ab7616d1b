//! TCP: listening, connecting, and what a connection is set to.
#![allow(unsafe_code)]

use std::io;
use std::mem;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};

use crate::clock::Deadline;
use crate::poll::{self, Interest};

/// From Linux's `asm-generic/socket.h`; the libc crate lacks it.
const SO_BUF_LOCK: libc::c_int = 72;

/// Keep-alive probes before a silent connection is broken.
const PROBES: u32 = 4;

/// Binds to an address and listens; port 0 lets the system choose. An address in use is
/// [`io::ErrorKind::AddrInUse`].
///
/// The socket is non-blocking, because what a listener is told by poll may be gone by the time it accepts. An address
/// whose last listener has just gone can be bound again at once.
pub fn listen_tcp(address: SocketAddr, backlog: u32) -> io::Result<OwnedFd> {
    let socket = new_socket(address)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    if address.is_ipv6() {
        // What is said to listen at an IPv6 address does not also listen at an IPv4 one.
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    rustix::net::bind(&socket, &address)?;
    super::listen(&socket, backlog)?;
    Ok(socket)
}

/// Connects, at most until the deadline (then [`io::ErrorKind::TimedOut`]). Nobody listening is
/// [`io::ErrorKind::ConnectionRefused`].
pub fn connect_tcp(address: SocketAddr, deadline: Option<Deadline>) -> io::Result<OwnedFd> {
    let socket = new_socket(address)?;
    match rustix::net::connect(&socket, &address) {
        Ok(()) => {}
        // Interrupted, a connect goes on by itself all the same.
        Err(Errno::INPROGRESS | Errno::INTR) => {
            if poll::wait(&[(socket.as_fd(), Interest::WRITE)], deadline)?.is_empty() {
                return Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    format!("{address} did not answer in time; try again or wait longer"),
                ));
            }
            sockopt::socket_error(&socket)??;
        }
        Err(error) => return Err(error.into()),
    }
    if tcp_address(&socket)? == address {
        // The system chose, of all ports, the one that we connect to, where nobody listens: we have met ourselves.
        return Err(Errno::CONNREFUSED.into());
    }
    // Every call says itself whether it waits.
    rustix::io::ioctl_fionbio(&socket, false)?;
    Ok(socket)
}

/// The address of this end of a TCP socket.
pub fn tcp_address(fd: impl AsFd) -> io::Result<SocketAddr> {
    Ok(rustix::net::getsockname(fd)?.try_into()?)
}

/// The address of the other end of a TCP socket.
pub fn tcp_peer(fd: impl AsFd) -> io::Result<SocketAddr> {
    let peer = rustix::net::getpeername(fd)?.ok_or(Errno::NOTCONN)?;
    Ok(peer.try_into()?)
}

/// Sends what is written at once, instead of waiting for more (`TCP_NODELAY`).
pub fn set_no_delay(fd: impl AsFd) -> io::Result<()> {
    Ok(sockopt::set_tcp_nodelay(fd, true)?)
}

/// Breaks the connection when the other machine has not answered for `limit`: after half of it without a sign, 4 probes
/// follow in its other half. In whole seconds, at least 5; a process that is stopped or slow is answered for by its
/// system.
pub fn set_keep_alive(fd: impl AsFd, limit: Duration) -> io::Result<()> {
    let fd = fd.as_fd();
    // What the kernel takes: 15 bits.
    let seconds = |time: Duration| Duration::from_secs(time.as_secs().clamp(1, 32_767));
    sockopt::set_tcp_keepidle(fd, seconds(limit / 2))?;
    sockopt::set_tcp_keepintvl(fd, seconds(limit / (2 * PROBES)))?;
    sockopt::set_tcp_keepcnt(fd, PROBES)?;
    Ok(sockopt::set_socket_keepalive(fd, true)?)
}

/// How many bytes may wait that are not on their way yet (`TCP_NOTSENT_LOWAT`): sending takes no more beyond that. What
/// is on its way, or in the peer's queue, does not count.
pub fn set_unsent_limit(fd: impl AsFd, bytes: usize) -> io::Result<()> {
    let bytes = libc::c_int::try_from(bytes).unwrap_or(libc::c_int::MAX);
    set_int(fd, libc::IPPROTO_TCP, libc::TCP_NOTSENT_LOWAT, bytes)
}

/// Lets at least `bytes` be kept until they are acknowledged, as far as the system's limit goes, and goes on letting the
/// system raise that by itself.
pub fn raise_send_buffer(fd: impl AsFd, bytes: usize) -> io::Result<()> {
    let fd = fd.as_fd();
    if sockopt::socket_send_buffer_size(fd)? >= bytes {
        return Ok(());
    }
    // The kernel doubles what it is given, and reports the double.
    sockopt::set_socket_send_buffer_size(fd, bytes / 2)?;
    set_int(fd, libc::SOL_SOCKET, SO_BUF_LOCK, 0)
}

/// Lets `bytes` be kept until they are acknowledged, and no other number from now on: the system neither raises nor lowers that any
/// more. `false`: nothing was changed, because it lets as many already, or allows fewer (`net.core.wmem_max`).
pub fn fix_send_buffer(fd: impl AsFd, bytes: usize) -> io::Result<bool> {
    let fd = fd.as_fd();
    if sockopt::socket_send_buffer_size(fd)? >= bytes {
        return Ok(false);
    }
    // What a connection is given is the end of what the system does by itself, less than that though it may be: so another
    // socket is asked first.
    let trial = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    sockopt::set_socket_send_buffer_size(&trial, bytes / 2)?;
    if sockopt::socket_send_buffer_size(&trial)? < bytes {
        return Ok(false);
    }
    sockopt::set_socket_send_buffer_size(fd, bytes / 2)?;
    Ok(true)
}

fn new_socket(address: SocketAddr) -> io::Result<OwnedFd> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    Ok(rustix::net::socket_with(family, SocketType::STREAM, flags, None)?)
}

fn set_int(fd: impl AsFd, level: libc::c_int, name: libc::c_int, value: libc::c_int) -> io::Result<()> {
    let len = mem::size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: `value` is a live integer of the stated length, which the kernel only reads.
    let failed = unsafe { libc::setsockopt(fd.as_fd().as_raw_fd(), level, name, (&raw const value).cast(), len) };
    if failed == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
