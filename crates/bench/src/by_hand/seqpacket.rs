//! A Unix SEQPACKET socket between two processes: one `sendmsg` and one `recvmsg` per message, with
//! an eight-byte header as the `unix:` link has one.
#![allow(unsafe_code)]

use crate::contender::{Contender, End, Home, failed};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::path::Path;

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 16;

/// The socket by hand, both sides blocking in the kernel.
pub struct SeqPacket;

/// One side.
pub struct SeqPacketEnd {
    socket: OwnedFd,
}

fn checked(result: isize) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}

fn new_socket() -> io::Result<OwnedFd> {
    // SAFETY: the call takes three integers.
    let fd = unsafe { libc::socket(libc::AF_UNIX, libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC, 0) };
    owned(fd)
}

fn owned(fd: RawFd) -> io::Result<OwnedFd> {
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor was just returned by the kernel, and nobody else holds it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn address(path: &Path) -> io::Result<libc::sockaddr_un> {
    use std::os::unix::ffi::OsStrExt;
    // SAFETY: `sockaddr_un` is integers only, for which all bits zero is a valid value.
    let mut address: libc::sockaddr_un = unsafe { std::mem::zeroed() };
    address.sun_family = libc::AF_UNIX as libc::sa_family_t;
    let bytes = path.as_os_str().as_bytes();
    if bytes.len() >= address.sun_path.len() {
        return Err(failed("the path does not fit into a socket address"));
    }
    for (to, from) in address.sun_path.iter_mut().zip(bytes) {
        *to = *from as libc::c_char;
    }
    Ok(address)
}

const ADDRESS_LEN: libc::socklen_t = size_of::<libc::sockaddr_un>() as libc::socklen_t;

/// The message of a `sendmsg` or `recvmsg` over the given parts.
fn message_over(parts: &mut [libc::iovec; 2]) -> libc::msghdr {
    // SAFETY: `msghdr` is integers and pointers, for which all bits zero is a valid value.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = parts.as_mut_ptr();
    message.msg_iovlen = parts.len();
    message
}

impl End for SeqPacketEnd {
    fn send(&mut self, payload: &[u8]) -> io::Result<()> {
        let mut header = (payload.len() as u64).to_le_bytes();
        let mut parts = [
            libc::iovec { iov_base: header.as_mut_ptr().cast(), iov_len: header.len() },
            // The kernel only reads through it, in spite of the pointer's type.
            libc::iovec { iov_base: payload.as_ptr().cast_mut().cast(), iov_len: payload.len() },
        ];
        let message = message_over(&mut parts);
        // SAFETY: the message refers to live buffers of the stated lengths, which are only read.
        let sent = checked(unsafe { libc::sendmsg(self.socket.as_raw_fd(), &message, libc::MSG_NOSIGNAL) })?;
        match sent == header.len() + payload.len() {
            true => Ok(()),
            false => Err(failed(format!("{sent} bytes were sent of {}", payload.len()))),
        }
    }

    fn recv(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let mut header = [0u8; 8];
        let mut parts = [
            libc::iovec { iov_base: header.as_mut_ptr().cast(), iov_len: header.len() },
            libc::iovec { iov_base: into.as_mut_ptr().cast(), iov_len: into.len() },
        ];
        let mut message = message_over(&mut parts);
        // SAFETY: the message refers to live buffers of the stated lengths, which nobody else uses.
        let received = checked(unsafe { libc::recvmsg(self.socket.as_raw_fd(), &mut message, 0) })?;
        let stated = u64::from_le_bytes(header) as usize;
        match received.checked_sub(header.len()) {
            Some(len) if len == stated => Ok(len),
            _ => Err(failed(format!("expected a header and {stated} bytes, found {received}"))),
        }
    }
}

impl Contender for SeqPacket {
    type Door = OwnedFd;
    type End = SeqPacketEnd;

    fn name(&self) -> &'static str {
        "seqpacket by hand"
    }

    fn home(&self) -> Home {
        Home::Processes
    }

    fn listen(&self, at: &Path) -> io::Result<OwnedFd> {
        let socket = new_socket()?;
        let path = at.join("socket");
        if path.exists() {
            std::fs::remove_file(&path)?;
        }
        let address = address(&path)?;
        // SAFETY: the address is live and of the stated length.
        let bound = unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), ADDRESS_LEN) };
        checked(bound as isize)?;
        // SAFETY: the call takes two integers.
        checked(unsafe { libc::listen(socket.as_raw_fd(), BACKLOG) } as isize)?;
        Ok(socket)
    }

    /// Accepts and says one byte, so that both sides know that they have met.
    fn accept(&self, door: &mut OwnedFd) -> io::Result<SeqPacketEnd> {
        let (no_address, no_length) = (std::ptr::null_mut(), std::ptr::null_mut());
        // SAFETY: null pointers say that the peer's address is not wanted.
        let fd = unsafe { libc::accept4(door.as_raw_fd(), no_address, no_length, libc::SOCK_CLOEXEC) };
        let mut end = SeqPacketEnd { socket: owned(fd)? };
        end.send(&[1])?;
        Ok(end)
    }

    fn connect(&self, at: &Path) -> io::Result<SeqPacketEnd> {
        let socket = new_socket()?;
        let address = address(&at.join("socket"))?;
        // SAFETY: the address is live and of the stated length.
        let met = unsafe { libc::connect(socket.as_raw_fd(), (&raw const address).cast(), ADDRESS_LEN) };
        checked(met as isize)?;
        let mut end = SeqPacketEnd { socket };
        let mut hello = [0u8; 1];
        end.recv(&mut hello)?;
        Ok(end)
    }
}
