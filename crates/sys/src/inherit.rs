//! A socket, or an end of a pipe, handed to a program that is about to start, by number and not by name, and taken there
//! once.
//!
//! The number alone proves nothing in a process that was started by somebody in between: it may be closed there, or be
//! another file. So a [`Mark`] travels with the number, by which the kernel tells this socket or this pipe from others.
#![allow(unsafe_code)]

use std::env;
use std::fmt;
use std::io;
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::str::FromStr;
use std::sync::Mutex;

use rustix::fs::FileType;
use rustix::io::{Errno, FdFlags};
use rustix::net::sockopt;

/// The standard streams of a program have the numbers below this.
const STREAMS: RawFd = 3;

/// Marks of what this process has taken. One or two for each link that it was handed, and few programs are handed more
/// than one.
static TAKEN: Mutex<Vec<Mark>> = Mutex::new(Vec::new());

/// What the kernel calls a file that was handed over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mark {
    /// A socket's cookie, which the kernel gives to one socket and never again.
    Socket(u64),
    /// A pipe, the same for both its ends. No other pipe has this mark as long as an end of it is open anywhere; which of
    /// the two an end is shows by its direction.
    Pipe {
        /// The device on which pipes without names lie.
        device: u64,
        /// Its number there.
        inode: u64,
    },
}

impl Mark {
    /// The mark of what is open there; [`io::ErrorKind::InvalidInput`] for what has none.
    fn of(fd: BorrowedFd<'_>) -> io::Result<Mark> {
        let stat = rustix::fs::fstat(fd)?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Socket => Ok(Mark::Socket(sockopt::socket_cookie(fd)?)),
            FileType::Fifo => Ok(Mark::Pipe { device: stat.st_dev, inode: stat.st_ino }),
            other => Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("expected a socket or an end of a pipe to hand over, found {other:?}"),
            )),
        }
    }
}

/// `COOKIE` of a socket, `DEVICE.INODE` of a pipe, in decimal.
impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Mark::Socket(cookie) => write!(f, "{cookie}"),
            Mark::Pipe { device, inode } => write!(f, "{device}.{inode}"),
        }
    }
}

impl FromStr for Mark {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Mark, Self::Err> {
        Ok(match text.split_once('.') {
            Some((device, inode)) => Mark::Pipe { device: device.parse()?, inode: inode.parse()? },
            None => Mark::Socket(text.parse()?),
        })
    }
}

/// How a descriptor that was handed over is found in the program that is started.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Handed {
    /// Its number there.
    pub number: RawFd,
    /// What the kernel calls it.
    pub mark: Mark,
}

/// Hands a socket, or an end of a pipe, to the program that `command` will start, and to no other program that this
/// process starts meanwhile.
///
/// The command holds it until it is dropped, and hands it to every program that it starts.
pub fn hand(command: &mut Command, fd: OwnedFd) -> io::Result<Handed> {
    let mark = Mark::of(std::os::fd::AsFd::as_fd(&fd))?;
    // Not the number of a standard stream, which the new program gets otherwise.
    let own = rustix::io::fcntl_dupfd_cloexec(&fd, STREAMS)?;
    let number = std::os::fd::AsRawFd::as_raw_fd(&own);
    let keep_open = move || Ok(rustix::io::fcntl_setfd(&own, FdFlags::empty())?);
    // SAFETY: in the forked child the closure makes one system call and touches no memory but the number that it owns.
    unsafe { command.pre_exec(keep_open) };
    Ok(Handed { number, mark })
}

/// Takes over what was handed to this program, all of it or nothing; from here on no program that it starts gets it.
///
/// [`io::ErrorKind::NotFound`]: it is not there; [`io::ErrorKind::AlreadyExists`]: it was taken before.
pub fn take<const N: usize>(handed: [Handed; N]) -> io::Result<[OwnedFd; N]> {
    // A panic while it is held is impossible: pushing a number can only abort.
    let mut taken = TAKEN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let before = taken.len();
    let found = handed.into_iter().try_for_each(|it| {
        if taken.contains(&it.mark) {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "it was taken before by this very process"));
        }
        is_there(it)?;
        // Noted at once, so that one that is named twice is found out.
        taken.push(it.mark);
        Ok(())
    });
    if let Err(error) = found.and_then(|()| handed.into_iter().try_for_each(keep)) {
        taken.truncate(before);
        return Err(error);
    }
    Ok(handed.map(|it| {
        // SAFETY: the number is open and leads to the very file that was handed to this program for whoever takes it. No
        // two of them are the same because no two marks are, and nobody takes one twice: the table above saw to that.
        unsafe { OwnedFd::from_raw_fd(it.number) }
    }))
}

/// Whether the number leads to what was handed over.
fn is_there(handed: Handed) -> io::Result<()> {
    let absent = || {
        let why = "the descriptor that was handed over is not there: it was closed on the way, or handed to another \
                   program than this one";
        io::Error::new(io::ErrorKind::NotFound, why)
    };
    if handed.number < STREAMS {
        return Err(absent());
    }
    // SAFETY: used for questions that the kernel answers about any number, and not kept.
    let there = unsafe { BorrowedFd::borrow_raw(handed.number) };
    match Mark::of(there) {
        Ok(mark) if mark == handed.mark => Ok(()),
        Ok(_) => Err(absent()),
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => Err(absent()),
        Err(error) if error.raw_os_error() == Some(Errno::BADF.raw_os_error()) => Err(absent()),
        Err(error) => Err(error),
    }
}

/// Keeps what was handed over from programs that this one starts.
fn keep(handed: Handed) -> io::Result<()> {
    // SAFETY: the number is open, and nobody owns it yet; used for one call and not kept.
    let there = unsafe { BorrowedFd::borrow_raw(handed.number) };
    Ok(rustix::io::fcntl_setfd(there, FdFlags::CLOEXEC)?)
}

/// Another descriptor of what this process has open under a number, a standard stream for example, for somebody who was given the
/// number by a user. It shares the place in a file with that one.
pub fn duplicate(number: RawFd) -> io::Result<OwnedFd> {
    if number < 0 {
        return Err(Errno::BADF.into());
    }
    // SAFETY: used for one call, which makes another descriptor of whatever is open there or refuses, and not kept.
    let there = unsafe { BorrowedFd::borrow_raw(number) };
    Ok(rustix::io::fcntl_dupfd_cloexec(there, STREAMS)?)
}

/// Removes a variable from this process's environment, so that programs that it starts do not see it, if that is safe:
/// the environment is memory that the C library hands out to all threads, so nothing is removed, and `false` is the
/// answer, once there is a second thread.
pub fn forget_variable(name: &str) -> bool {
    let alone = crate::barrier::is_alone();
    if alone {
        // SAFETY: this is the only thread, so nobody else can be reading the environment.
        unsafe { env::remove_var(name) };
    }
    alone
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_leads_to_what_is_open_there() {
        let file = tempfile::tempfile().expect("a file");
        let same = duplicate(std::os::fd::AsRawFd::as_raw_fd(&file)).expect("it is open");
        let inode = |fd: BorrowedFd<'_>| rustix::fs::fstat(fd).expect("its status").st_ino;
        use std::os::fd::AsFd;
        assert_eq!(inode(file.as_fd()), inode(same.as_fd()));
        for number in [-1, RawFd::MAX] {
            assert_eq!(duplicate(number).expect_err("nothing").raw_os_error(), Some(Errno::BADF.raw_os_error()));
        }
    }

    #[test]
    fn a_mark_is_read_as_it_is_written() {
        for mark in [Mark::Socket(0), Mark::Socket(u64::MAX), Mark::Pipe { device: 14, inode: u64::MAX }] {
            assert_eq!(mark.to_string().parse(), Ok(mark));
        }
        for text in ["", ".", "1.", ".1", "1.2.3", "-1", "x", "1.x"] {
            assert!(text.parse::<Mark>().is_err(), "{text}");
        }
    }
}
