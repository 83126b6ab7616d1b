//! Who is at the other end of a socket, and who we are.
#![allow(unsafe_code)]

use std::fs;
use std::io;
use std::mem;
use std::os::fd::{AsFd, AsRawFd};
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

/// Lets the kernel note on each message, from now on, who sent it ([`Arrival::sender`](super::Arrival)), or no more.
///
/// For a socket that another process was given: who made it, which [`peer_credentials`] tells, is not who uses it.
pub fn ask_for_sender(fd: impl AsFd, ask: bool) -> io::Result<()> {
    Ok(rustix::net::sockopt::set_socket_passcred(fd, ask)?)
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
