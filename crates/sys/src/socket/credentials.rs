//! Who is at the other end of a socket, and who we are.
#![allow(unsafe_code)]

use std::fs;
use std::io;
use std::mem;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::ptr;
use std::sync::OnceLock;

/// The identity of a peer when it connected (or listened), as the kernel noted it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Credentials {
    /// Its process id in our namespace; 0 when it lives in a namespace that we cannot see into.
    pub pid: i32,
    /// Its effective user id; the overflow uid when it is outside our user namespace.
    pub uid: u32,
    /// Its effective group id.
    pub gid: u32,
}

/// Asks the kernel who is connected at the other end.
pub fn peer_credentials(fd: impl AsFd) -> io::Result<Credentials> {
    let mut answer = libc::ucred { pid: 0, uid: u32::MAX, gid: u32::MAX };
    let mut len = mem::size_of::<libc::ucred>() as libc::socklen_t;
    // SAFETY: `answer` is valid for writes of `len` bytes, and any bytes are a valid `ucred`.
    let failed = unsafe {
        libc::getsockopt(
            fd.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            ptr::from_mut(&mut answer).cast(),
            &mut len,
        )
    };
    if failed != 0 {
        return Err(io::Error::last_os_error());
    }
    if answer.uid == u32::MAX {
        return Err(io::Error::new(
            io::ErrorKind::NotConnected,
            "expected a connected Unix socket, found one without a peer; connect or accept it first",
        ));
    }
    Ok(Credentials { pid: answer.pid, uid: answer.uid, gid: answer.gid })
}

/// Lets the kernel note from now on who sends to this socket, for [`sender_of_next`], or no more.
///
/// For a socket that another process was handed: [`peer_credentials`] tells who made it, and not who uses it.
pub fn note_senders(fd: impl AsFd, note: bool) -> io::Result<()> {
    Ok(rustix::net::sockopt::set_socket_passcred(fd, note)?)
}

/// Who sent the message that will be received next, as the kernel noted it; the message stays where it is. `None` when
/// nobody sent one: this is the end of the connection. [`io::ErrorKind::WouldBlock`] when none is there yet.
pub fn sender_of_next(fd: impl AsFd) -> io::Result<Option<Credentials>> {
    // What looks like the end may have come behind a record: see `past_the_end` in `message.rs`.
    match look_at_next(fd.as_fd())? {
        None => look_at_next(fd.as_fd()),
        found => Ok(found),
    }
}

fn look_at_next(fd: BorrowedFd<'_>) -> io::Result<Option<Credentials>> {
    let mut control = Control { bytes: [0; CONTROL] };
    // SAFETY: a message header is numbers and pointers, for which zero is a value.
    let mut message: libc::msghdr = unsafe { mem::zeroed() };
    message.msg_control = ptr::from_mut(&mut control).cast();
    message.msg_controllen = CONTROL as _;
    // Descriptors that come along find no room here: looking opens none.
    let flags = libc::MSG_PEEK | libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC;
    // Ends with the first return that is not an interruption by a signal.
    loop {
        // SAFETY: the header names no buffer for bytes, and one for control data that is valid for its length.
        let outcome = unsafe { libc::recvmsg(fd.as_raw_fd(), &mut message, flags) };
        match outcome {
            0.. => break,
            _ => match io::Error::last_os_error() {
                error if error.kind() == io::ErrorKind::Interrupted => {}
                error => return Err(error),
            },
        }
    }
    // SAFETY: the kernel has set the header's length of the control data to what it wrote there.
    let first = unsafe { libc::CMSG_FIRSTHDR(&message) };
    // SAFETY: null, or the first header, which the kernel wrote whole and aligned.
    let Some(header) = (unsafe { first.as_ref() }) else { return Ok(None) };
    let room = mem::size_of::<libc::ucred>();
    // SAFETY: computes a length from a number.
    let least = unsafe { libc::CMSG_LEN(room as u32) } as usize;
    if header.cmsg_level != libc::SOL_SOCKET || header.cmsg_type != libc::SCM_CREDENTIALS {
        return Ok(None);
    }
    if header.cmsg_len < least {
        return Ok(None);
    }
    // SAFETY: `first` is a header with data behind it, as its length says.
    let data = unsafe { libc::CMSG_DATA(first) };
    // SAFETY: the data is a `ucred`, as its type and its length say; any bytes are one, at any address.
    let by = unsafe { data.cast::<libc::ucred>().read_unaligned() };
    Ok(Some(Credentials { pid: by.pid, uid: by.uid, gid: by.gid }))
}

/// Room for the control data of one sender and nothing else.
const CONTROL: usize = 32;

/// Control data begins on the alignment of its headers.
#[repr(C, align(8))]
struct Control {
    bytes: [u8; CONTROL],
}

/// The uid that stands for every user outside our user namespace (usually 65534).
pub fn overflow_uid() -> u32 {
    static UID: OnceLock<u32> = OnceLock::new();
    *UID.get_or_init(|| {
        fs::read_to_string("/proc/sys/kernel/overflowuid")
            .ok()
            .and_then(|text| text.trim().parse().ok())
            .unwrap_or(65_534)
    })
}

/// The effective group of this process.
pub fn my_gid() -> u32 {
    // SAFETY: takes nothing and touches no memory.
    unsafe { libc::getegid() }
}

/// The effective user id of this process.
pub fn my_uid() -> u32 {
    // SAFETY: takes nothing and touches no memory.
    unsafe { libc::geteuid() }
}
