//! A descriptor that is written without waiting, whoever else holds it.
//!
//! Whether a write waits is a flag of the open file description, and that of a standard output belongs to everybody who has inherited
//! it: whoever clears it for himself clears it for them. So a pipe or a terminal is opened once more, which gives a description of
//! our own; where that is not allowed, the system is asked for room first, and no more is written at once than such room holds.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{FileType, OFlags};
use rustix::io::Errno;
use rustix::net::SendFlags;

use crate::clock::{Deadline, Instant};
use crate::memory::reopen_as;
use crate::pipe::ATOMIC;
use crate::poll::{self, Interest};

/// Flags for opening what is to be written without waiting: neither for room, nor, at a FIFO, for somebody who reads it.
pub const NO_WAITING: i32 = libc::O_NONBLOCK | libc::O_NOCTTY;

/// The error of opening a FIFO that way while nobody reads it.
pub const NOBODY_READS: i32 = libc::ENXIO;

/// Where bytes go.
#[derive(Debug)]
pub struct Outlet {
    fd: OwnedFd,
    manner: Manner,
}

/// How it is written without waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    /// A file takes everything at once.
    File,
    /// A description of our own, which says when it is full.
    Own,
    /// A socket is told for each call.
    Socket,
    /// Everybody's description: it is asked for room first.
    Shared,
}

impl Outlet {
    /// Takes a descriptor that is open for writing.
    pub fn new(fd: OwnedFd) -> Outlet {
        let kind = rustix::fs::fstat(&fd).map(|it| FileType::from_raw_mode(it.st_mode));
        match kind {
            Ok(FileType::Fifo | FileType::CharacterDevice) => {
                match reopen_as(fd.as_fd(), OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOCTTY) {
                    Ok(own) => Outlet { fd: own, manner: Manner::Own },
                    Err(_) => Outlet { fd, manner: Manner::Shared },
                }
            }
            Ok(FileType::Socket) => Outlet { fd, manner: Manner::Socket },
            Ok(_) => Outlet { fd, manner: Manner::File },
            Err(_) => Outlet { fd, manner: Manner::Shared },
        }
    }

    /// Writes as much as there is room for, `None` when there is none.
    pub fn write(&self, bytes: &[u8]) -> io::Result<Option<usize>> {
        // Ends with an answer: each round is one interruption by a signal.
        loop {
            let written = match self.manner {
                Manner::File | Manner::Own => rustix::io::write(&self.fd, bytes),
                Manner::Socket => rustix::net::send(&self.fd, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL),
                Manner::Shared => {
                    let now = Deadline::at(Instant::now());
                    if poll::wait(&[(self.fd.as_fd(), Interest::WRITE)], Some(now))?.is_empty() {
                        return Ok(None);
                    }
                    // A pipe that has room has it for so many.
                    rustix::io::write(&self.fd, bytes.get(..ATOMIC).unwrap_or(bytes))
                }
            };
            match written {
                Ok(len) => return Ok(Some(len)),
                Err(Errno::AGAIN) => return Ok(None),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// To be waited for until there is room.
impl AsFd for Outlet {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    use super::*;

    /// Writes until there is no room; how much that was.
    fn fill(outlet: &Outlet) -> usize {
        let piece = vec![b'x'; 10_000];
        let mut written = 0;
        while let Some(len) = outlet.write(&piece).expect("somebody can read") {
            written += len;
        }
        written
    }

    #[test]
    fn what_nobody_reads_is_full_and_does_not_wait() {
        let (reader, writer) = rustix::pipe::pipe().expect("a pipe");
        let shared = Outlet { fd: writer.try_clone().expect("a copy"), manner: Manner::Shared };
        let own = Outlet::new(writer.try_clone().expect("a copy"));
        assert_eq!(own.manner, Manner::Own);
        let (near, far) = UnixStream::pair().expect("two sockets");
        let socket = Outlet::new(near.into());
        assert_eq!(socket.manner, Manner::Socket);
        let (mut pipe, mut far) = (File::from(reader), far);
        for outlet in [&own, &shared, &socket] {
            let reader: &mut dyn Read = if outlet.manner == Manner::Socket { &mut far } else { &mut pipe };
            let written = fill(outlet);
            assert!(written >= ATOMIC, "{outlet:?}: {written}");
            let mut taken = vec![0; written];
            reader.read_exact(&mut taken).expect("what was written");
            assert!(taken.iter().all(|byte| *byte == b'x'));
            assert!(outlet.write(b"more").expect("room").is_some());
            reader.read_exact(&mut [0; 4]).expect("what was written");
        }
        // Everybody else's description is as it was.
        let flags = rustix::fs::fcntl_getfl(&writer).expect("flags");
        assert!(!flags.contains(OFlags::NONBLOCK));
        drop((pipe, far));
        let closed = own.write(b"x").expect_err("nobody reads");
        assert_eq!(closed.kind(), io::ErrorKind::BrokenPipe);
        assert_eq!(shared.write(b"x").expect_err("nobody reads").kind(), io::ErrorKind::BrokenPipe);
        assert_eq!(socket.write(b"x").expect_err("nobody reads").kind(), io::ErrorKind::BrokenPipe);
    }

    #[test]
    fn a_file_goes_on_where_its_description_is() {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(b"one ").expect("room");
        let outlet = Outlet::new(file.try_clone().expect("a copy").into());
        assert_eq!((outlet.manner, outlet.write(b"two").expect("room")), (Manner::File, Some(3)));
        std::io::Seek::rewind(&mut file).expect("a file");
        assert_eq!(std::io::read_to_string(file).expect("text"), "one two");
    }
}
