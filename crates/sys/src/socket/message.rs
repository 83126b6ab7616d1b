//! Sending and receiving bytes and descriptors.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::cmsg_space;
use rustix::io::{Errno, retry_on_intr};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags,
};

/// The most descriptors that one message carries.
pub const MAX_DESCRIPTORS: usize = 16;

/// The most descriptors that any process can send with one record (`SCM_MAX_FD`, since 2.6.38).
const KERNEL_MAX_DESCRIPTORS: usize = 253;

/// What a receive call brought.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Received {
    /// Bytes now in the buffer. Zero means the end of the connection, or an empty record.
    pub len: usize,
    /// The record was longer than the buffer; its rest is lost.
    pub truncated: bool,
}

impl Received {
    fn is_like_the_end(self) -> bool {
        self.len == 0 && !self.truncated
    }
}

/// Sends `bytes` without waiting; [`io::ErrorKind::WouldBlock`] when the peer's queue is full.
///
/// A peer that is gone is [`io::ErrorKind::BrokenPipe`], or [`io::ErrorKind::ConnectionReset`] at
/// first when it left bytes of ours unread.
pub fn send(fd: impl AsFd, bytes: &[u8]) -> io::Result<usize> {
    let fd = fd.as_fd();
    Ok(retry_on_intr(|| rustix::net::send(fd, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL))?)
}

/// Sends the concatenation of `parts` without waiting, as one record on a record socket.
pub fn send_parts(fd: impl AsFd, parts: &[IoSlice<'_>]) -> io::Result<usize> {
    let fd = fd.as_fd();
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    Ok(retry_on_intr(|| rustix::net::sendmsg(fd, parts, &mut SendAncillaryBuffer::default(), flags))?)
}

/// Sends `bytes` in one call that waits while the peer's queue is full.
pub fn send_blocking(fd: impl AsFd, bytes: &[u8]) -> io::Result<usize> {
    let fd = fd.as_fd();
    Ok(retry_on_intr(|| rustix::net::send(fd, bytes, SendFlags::NOSIGNAL))?)
}

/// Sends `bytes` and copies of `fds` without waiting. At least one byte must go with descriptors on a
/// stream socket, and at most [`MAX_DESCRIPTORS`] go at once.
///
/// Too many descriptors of one user on their way at once are [`io::ErrorKind::Other`], in words; so are sockets that carry
/// sockets that carry sockets, several times over.
pub fn send_with_fds(fd: impl AsFd, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<usize> {
    send_parts_with_fds(fd, &[IoSlice::new(bytes)], fds)
}

/// Sends the concatenation of `parts` and copies of `fds` without waiting, as [`send_with_fds`] does.
pub fn send_parts_with_fds(fd: impl AsFd, parts: &[IoSlice<'_>], fds: &[BorrowedFd<'_>]) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && (fds.len() > MAX_DESCRIPTORS || !control.push(SendAncillaryMessage::ScmRights(fds))) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!(
                "expected at most {MAX_DESCRIPTORS} descriptors in a message, found {}; send several messages",
                fds.len()
            ),
        ));
    }
    let fd = fd.as_fd();
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    match retry_on_intr(|| rustix::net::sendmsg(fd, parts, &mut control, flags)) {
        Err(Errno::TOOMANYREFS) => Err(io::Error::other(format!(
            "the {} descriptors of this message are more than this user may have on the way at once (as many as it may \
             open, `ulimit -n`), or sockets nested too deep; let the receivers take what was sent, or raise the limit",
            fds.len()
        ))),
        outcome => Ok(outcome?),
    }
}

/// Receives without waiting; [`io::ErrorKind::WouldBlock`] when nothing is there.
///
/// On a record socket the reported `truncated` tells a record longer than `buffer`. Descriptors that the
/// peer attached are closed by the kernel.
pub fn recv(fd: impl AsFd, buffer: &mut [u8]) -> io::Result<Received> {
    receive(fd.as_fd(), buffer, RecvFlags::DONTWAIT | RecvFlags::TRUNC)
}

/// Receives in one call that waits until something is there.
pub fn recv_blocking(fd: impl AsFd, buffer: &mut [u8]) -> io::Result<Received> {
    receive(fd.as_fd(), buffer, RecvFlags::TRUNC)
}

/// Looks at what [`recv`] would bring, and leaves it there, its descriptors too.
pub fn peek(fd: impl AsFd, buffer: &mut [u8]) -> io::Result<Received> {
    receive(fd.as_fd(), buffer, RecvFlags::DONTWAIT | RecvFlags::TRUNC | RecvFlags::PEEK)
}

fn receive(fd: BorrowedFd<'_>, buffer: &mut [u8], flags: RecvFlags) -> io::Result<Received> {
    let mut once = |flags| {
        let (len, whole) = retry_on_intr(|| rustix::net::recv(fd, &mut *buffer, flags))?;
        Ok::<_, io::Error>(Received { len, truncated: whole > len })
    };
    let received = once(flags)?;
    match received.is_like_the_end() {
        true => past_the_end(received, || once(flags | RecvFlags::DONTWAIT)),
        false => Ok(received),
    }
}

/// Looks once more, without waiting, behind what looks like the end of the connection.
///
/// A record socket is not locked while the kernel looks: it finds the queue empty, the peer sends a record and closes, and it finds the
/// connection closed (`unix_dgram_recvmsg`). Whoever took that for the end would lose the record, and all that came with it. Once the
/// end was seen nothing more comes, so what this finds is final.
fn past_the_end<T>(end: T, once_more: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    match once_more() {
        // It was no end, but an empty record.
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(end),
        outcome => outcome,
    }
}

/// What a call that takes descriptors brought.
#[derive(Debug)]
pub struct Arrival {
    /// The bytes.
    pub received: Received,
    /// The descriptors, close-on-exec from the start.
    pub fds: Vec<OwnedFd>,
    /// Not all descriptors of the message are here; the others are closed. When fewer than [`MAX_DESCRIPTORS`] came, this
    /// process may not open more; otherwise the peer sent too many.
    pub short: bool,
}

/// Receives bytes and descriptors without waiting.
pub fn recv_arrival(fd: impl AsFd, buffer: &mut [u8]) -> io::Result<Arrival> {
    receive_arrival(fd.as_fd(), buffer, RecvFlags::DONTWAIT)
}

/// Receives a record without waiting, with every descriptor that came, however many: a surplus is for the caller to close,
/// and not for the kernel on this process's time. [`short`](Arrival::short) says that this process may not open more.
pub fn recv_everything(fd: impl AsFd, buffer: &mut [u8]) -> io::Result<Arrival> {
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(KERNEL_MAX_DESCRIPTORS))];
    receive_into(fd.as_fd(), buffer, &mut space, RecvFlags::DONTWAIT)
}

/// Receives bytes and descriptors in one call that waits until something is there.
pub fn recv_arrival_blocking(fd: impl AsFd, buffer: &mut [u8]) -> io::Result<Arrival> {
    receive_arrival(fd.as_fd(), buffer, RecvFlags::empty())
}

fn receive_arrival(fd: BorrowedFd<'_>, buffer: &mut [u8], flags: RecvFlags) -> io::Result<Arrival> {
    // Room for all that a peer of ours may send, so that a surplus is seen here and told with its number.
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    receive_into(fd, buffer, &mut space, flags)
}

fn receive_into(
    fd: BorrowedFd<'_>,
    buffer: &mut [u8],
    space: &mut [MaybeUninit<u8>],
    flags: RecvFlags,
) -> io::Result<Arrival> {
    let arrival = arrive(fd, buffer, space, flags)?;
    match arrival.received.is_like_the_end() && arrival.fds.is_empty() && !arrival.short {
        true => past_the_end(arrival, || arrive(fd, buffer, space, flags | RecvFlags::DONTWAIT)),
        false => Ok(arrival),
    }
}

fn arrive(
    fd: BorrowedFd<'_>,
    buffer: &mut [u8],
    space: &mut [MaybeUninit<u8>],
    flags: RecvFlags,
) -> io::Result<Arrival> {
    let mut control = RecvAncillaryBuffer::new(space);
    let room = buffer.len();
    let flags = flags | RecvFlags::TRUNC | RecvFlags::CMSG_CLOEXEC;
    let message =
        retry_on_intr(|| rustix::net::recvmsg(fd, &mut [IoSliceMut::new(&mut *buffer)], &mut control, flags))?;
    let mut fds = Vec::new();
    for item in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = item {
            fds.extend(rights);
        }
    }
    let received = Received { len: message.bytes.min(room), truncated: message.bytes > room };
    Ok(Arrival { received, fds, short: message.flags.contains(ReturnFlags::CTRUNC) })
}

/// Receives bytes and at most `max_fds` descriptors without waiting.
///
/// The descriptors are close-on-exec from the start, and no socket among them lingers when it is closed. A peer that sends more than `max_fds` (or more than
/// this process may open) gets an error, and all that came is closed.
pub fn recv_with_fds(fd: impl AsFd, buffer: &mut [u8], max_fds: usize) -> io::Result<(Received, Vec<OwnedFd>)> {
    let arrival = recv_arrival(fd, buffer)?;
    // Whatever the caller makes of them: most are closed where they turn out to be wrong.
    arrival.fds.iter().for_each(super::forget_linger);
    arrival.check(max_fds)?;
    Ok((arrival.received, arrival.fds))
}

impl Arrival {
    /// An error when not all descriptors came, or more than `max_fds`.
    pub fn check(&self, max_fds: usize) -> io::Result<()> {
        if self.short {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "the peer's descriptors did not all arrive: it sent too many, or this process may not open more; \
                 raise the limit (`ulimit -n`) or distrust the peer",
            ));
        }
        if self.fds.len() > max_fds {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!(
                    "expected at most {max_fds} descriptors in a message, found {}; the peer breaks the protocol",
                    self.fds.len()
                ),
            ));
        }
        Ok(())
    }
}
