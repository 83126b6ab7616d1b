//! A socket handed to a program that is about to start, by number and not by name, and taken there once.
//!
//! The number alone proves nothing in a process that was started by somebody in between: it may be closed there, or be
//! another file. So the socket's *cookie* travels with the number, which the kernel gives to one socket and never again.
#![allow(unsafe_code)]

use std::env;
use std::fs;
use std::io;
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::Mutex;

use rustix::io::{Errno, FdFlags};
use rustix::net::sockopt;

/// The standard streams of a program have the numbers below this.
const STREAMS: RawFd = 3;

/// Cookies of the sockets that this process has taken. One for each link that it was handed, and few programs are
/// handed more than one.
static TAKEN: Mutex<Vec<u64>> = Mutex::new(Vec::new());

/// How a handed socket is found in the program that is started.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Handed {
    /// Its number there.
    pub number: RawFd,
    /// What the kernel calls it.
    pub cookie: u64,
}

/// Hands `socket` to the program that `command` will start, and to no other program that this process starts meanwhile.
///
/// The command holds the socket until it is dropped, and hands it to every program that it starts.
pub fn hand(command: &mut Command, socket: OwnedFd) -> io::Result<Handed> {
    let cookie = sockopt::socket_cookie(&socket)?;
    // Not the number of a standard stream, which the new program gets otherwise.
    let own = rustix::io::fcntl_dupfd_cloexec(&socket, STREAMS)?;
    let number = std::os::fd::AsRawFd::as_raw_fd(&own);
    let keep_open = move || Ok(rustix::io::fcntl_setfd(&own, FdFlags::empty())?);
    // SAFETY: in the forked child the closure makes one system call and touches no memory but the number that it owns.
    unsafe { command.pre_exec(keep_open) };
    Ok(Handed { number, cookie })
}

/// Takes over a socket that was handed to this program; from here on no program that it starts gets it.
///
/// [`io::ErrorKind::NotFound`]: it is not there; [`io::ErrorKind::AlreadyExists`]: it was taken before.
pub fn take(handed: Handed) -> io::Result<OwnedFd> {
    let absent = || {
        let why = "the descriptor that was handed over is not there: it was closed on the way, or handed to another \
                   program than this one";
        io::Error::new(io::ErrorKind::NotFound, why)
    };
    if handed.number < STREAMS {
        return Err(absent());
    }
    // A panic while it is held is impossible: pushing a number can only abort.
    let mut taken = TAKEN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if taken.contains(&handed.cookie) {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, "it was taken before by this very process"));
    }
    // SAFETY: used for two questions that the kernel answers about any number, and not kept.
    let there = unsafe { BorrowedFd::borrow_raw(handed.number) };
    match sockopt::socket_cookie(there) {
        Ok(cookie) if cookie == handed.cookie => {}
        Ok(_) | Err(Errno::BADF | Errno::NOTSOCK) => return Err(absent()),
        Err(error) => return Err(error.into()),
    }
    rustix::io::fcntl_setfd(there, FdFlags::CLOEXEC)?;
    taken.push(handed.cookie);
    // SAFETY: the number is open and leads to the very socket that was handed to this program for whoever takes it, and
    // nobody takes it twice: the table above saw to that.
    Ok(unsafe { OwnedFd::from_raw_fd(handed.number) })
}

/// Removes a variable from this process's environment, so that programs that it starts do not see it, if that is safe:
/// the environment is memory that the C library hands out to all threads, so nothing is removed, and `false` is the
/// answer, once there is a second thread.
pub fn forget_variable(name: &str) -> bool {
    // A directory has a name for itself and one for each directory in it: there is one for each thread.
    let alone = fs::metadata("/proc/self/task").is_ok_and(|task| task.nlink() == 3);
    if alone {
        // SAFETY: this is the only thread, so nobody else can be reading the environment.
        unsafe { env::remove_var(name) };
    }
    alone
}
