//! A doorbell: one side sleeps until the other rings, and wakes as well when the other is gone.
//!
//! It is a pipe, as fast as a futex. The ringer keeps the only write end, so the end of the pipe means that
//! the ringer is gone, however it went. A full pipe means that the bell has long been rung. The sleeper
//! opens the pipe anew, so no flag that a peer sets on the description it passed can make a call of ours
//! wait, or not wait. It never raises SIGPIPE.
//!
//! A bell for many ringers ([`crowd`](self::crowd())) is the same pipe, of which the sleeper keeps both ends. Each
//! ringer opens the write end that it was passed anew ([`Ringer::adopt`]), for a flag that one sets must not make
//! another wait. Such a bell never reports that a ringer is gone; it still tells its ringers when the sleeper is.
//!
//! It is for peers that cooperate, and for no others. A pipe has one lock for both ends, held while bytes
//! are copied; a peer whose buffer faults into a handler of its own (userfaultfd, a file system in user
//! space) holds it as long as it likes, and our call then hangs, unkillable. The ends of a Unix socket have
//! no lock in common, so a peer that is not trusted is woken over the connection itself: see
//! `message-passing/src/transport/signals.rs`.

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::OnceLock;

use rustix::fs::{FileType, OFlags};
use rustix::io::Errno;
use rustix::pipe::PipeFlags;

use crate::clock::Deadline;
use crate::fork::ForkClosedFd;
use crate::memory::reopen_as;
use crate::pipe;
use crate::poll::{self, Interest};

/// Bytes taken at a time. More rings than this may be waiting; the sleeper then wakes once more, which a
/// reader that looks again after each wake does not mind.
const DRAIN: usize = 64;

/// The side that rings.
#[derive(Debug)]
pub struct Ringer {
    end: ForkClosedFd,
}

/// The side that sleeps.
#[derive(Debug)]
pub struct Bell {
    end: ForkClosedFd,
    /// From the first wait with a deadline: a second description of our own, set not to wait.
    /// What poll saw may be gone at the read, taken by whoever else holds the pipe.
    without_waiting: OnceLock<ForkClosedFd>,
}

/// Why a bell could not be rung.
#[derive(Debug)]
#[non_exhaustive]
pub enum RingError {
    /// Nobody holds the sleeping side any more.
    PeerGone,
    /// The system refused.
    System(io::Error),
}

impl fmt::Display for RingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RingError::PeerGone => f.write_str("the peer has closed its doorbell: it has left or died"),
            RingError::System(error) => write!(f, "cannot ring the peer's doorbell: {error}"),
        }
    }
}

impl std::error::Error for RingError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            RingError::PeerGone => None,
            RingError::System(error) => Some(error),
        }
    }
}

/// Why a sleeper woke.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wake {
    /// It was rung.
    Rung,
    /// The ringer is gone and will not ring again.
    PeerGone,
    /// The deadline passed.
    TimedOut,
}

/// Makes a doorbell. Pass the second value to the peer (see [`Bell::adopt`]) and drop it here.
pub fn pair() -> io::Result<(Ringer, OwnedFd)> {
    let (read_end, write_end) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
    // One page is the least that there is. A refusal leaves a larger pipe, which rings as well.
    let _ = rustix::pipe::fcntl_setpipe_size(&write_end, 4096);
    Ok((Ringer { end: ForkClosedFd::new(write_end) }, read_end))
}

/// Makes a doorbell for any number of ringers: the sleeper, and a ringing side that it keeps, from which others
/// are made ([`for_another`](Ringer::for_another)).
pub fn crowd() -> io::Result<(Bell, Ringer)> {
    let (ringer, read_end) = pair()?;
    Ok((Bell::adopt(read_end)?, ringer))
}

impl Ringer {
    /// Takes a ringing side that came from the sleeper, and opens it anew as a description of our own: others
    /// hold the one that came, and could set it to wait. Refuses what is not a pipe. When the sleeper is gone, the
    /// first ring says so.
    pub fn adopt(fd: OwnedFd) -> Result<Ringer, RingError> {
        expect_pipe(&fd).map_err(RingError::System)?;
        match reopen_as(&fd, OFlags::WRONLY | OFlags::NONBLOCK) {
            Ok(own) => Ok(Ringer { end: ForkClosedFd::new(own) }),
            // A pipe with a name, which is not what a bell is made of, and nobody reads it.
            Err(error) if error.raw_os_error() == Some(Errno::NXIO.raw_os_error()) => Err(RingError::PeerGone),
            Err(error) => Err(RingError::System(error)),
        }
    }

    /// Another ringing side of the same bell, to be passed to a peer: a description of its own, so that nothing it
    /// sets changes ours. The peer takes it with [`adopt`](Ringer::adopt).
    pub fn for_another(&self) -> io::Result<OwnedFd> {
        reopen_as(self.end.get()?, OFlags::WRONLY | OFlags::NONBLOCK)
    }

    /// Rings. Never waits, never raises a signal; a bell that is already ringing is success.
    pub fn ring(&self) -> Result<(), RingError> {
        let fd = self.end.get().map_err(RingError::System)?;
        match pipe::write(fd, &[IoSlice::new(&[1])]) {
            // No room: as many rings are waiting as fit.
            Ok(_) | Err(Errno::AGAIN) => Ok(()),
            Err(Errno::PIPE) => Err(RingError::PeerGone),
            Err(error) => Err(RingError::System(error.into())),
        }
    }

    /// Our end, to learn by poll when the sleeper is gone (it then reports a hang-up).
    pub fn as_fd(&self) -> io::Result<BorrowedFd<'_>> {
        self.end.get()
    }
}

impl Bell {
    /// Takes the sleeping side that came from the peer (or from [`pair`]), and opens it anew as a
    /// description of our own. Refuses what is not a pipe.
    pub fn adopt(fd: OwnedFd) -> io::Result<Bell> {
        expect_pipe(&fd)?;
        // Opened without waiting (a named pipe without a writer would wait), then set to wait.
        let own = reopen_as(&fd, OFlags::RDONLY | OFlags::NONBLOCK)?;
        rustix::fs::fcntl_setfl(&own, OFlags::empty())?;
        Ok(Bell { end: ForkClosedFd::new(own), without_waiting: OnceLock::new() })
    }

    /// Sleeps until rung, until the ringer is gone, or until the deadline.
    ///
    /// Without a deadline this is one blocking `read`. With one it is `ppoll` and a `read`; a deadline
    /// that has passed makes it one `read` that does not wait. The first wait with a deadline
    /// also opens a second descriptor; where none is left, a wait without a deadline is a `read` more and a `ppoll` after that.
    pub fn wait(&self, deadline: Option<Deadline>) -> io::Result<Wake> {
        let fd = self.end.get()?;
        let Some(deadline) = deadline else {
            return self.wait_forever(fd);
        };
        // Each round that finds nothing to read is a ring that somebody else took; the deadline bounds it.
        while !deadline.passed() {
            if poll::wait(&[(fd, Interest::READ)], Some(deadline))?.is_empty() {
                return Ok(Wake::TimedOut);
            }
            match self.take()? {
                Wake::TimedOut => {}
                wake => return Ok(wake),
            }
        }
        self.take()
    }

    /// Our end, to wait for it together with others. Readable means: call [`Bell::wait`].
    pub fn as_fd(&self) -> io::Result<BorrowedFd<'_>> {
        self.end.get()
    }

    fn wait_forever(&self, fd: BorrowedFd<'_>) -> io::Result<Wake> {
        let mut bytes = [0; DRAIN];
        // Ends with the first ring or with the end of the ringer.
        loop {
            match wake(pipe::read(fd, &mut [IoSliceMut::new(&mut bytes)]))? {
                // Only when our description was set not to wait, by us where no descriptor was left.
                Wake::TimedOut => {
                    poll::wait(&[(fd, Interest::READ)], None)?;
                }
                wake => return Ok(wake),
            }
        }
    }

    /// Takes waiting rings without waiting: [`Wake::TimedOut`] when there are none.
    fn take(&self) -> io::Result<Wake> {
        let mut bytes = [0; DRAIN];
        wake(pipe::read(self.without_waiting()?, &mut [IoSliceMut::new(&mut bytes)]))
    }

    fn without_waiting(&self) -> io::Result<BorrowedFd<'_>> {
        if let Some(own) = self.without_waiting.get() {
            return own.get();
        }
        let end = self.end.get()?;
        match reopen_as(end, OFlags::RDONLY | OFlags::NONBLOCK) {
            Ok(own) => self.without_waiting.get_or_init(|| ForkClosedFd::new(own)).get(),
            Err(_) => {
                // No descriptor is left: then our end does not wait from now on, and who waits for ever does so in a poll.
                rustix::fs::fcntl_setfl(end, OFlags::NONBLOCK)?;
                Ok(end)
            }
        }
    }
}

fn expect_pipe(fd: &OwnedFd) -> io::Result<()> {
    match FileType::from_raw_mode(rustix::fs::fstat(fd)?.st_mode) {
        FileType::Fifo => Ok(()),
        kind => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("expected a pipe as doorbell, found {kind:?}; the peer breaks the protocol"),
        )),
    }
}

fn wake(read: Result<usize, Errno>) -> io::Result<Wake> {
    match read {
        Ok(0) => Ok(Wake::PeerGone),
        Ok(_) => Ok(Wake::Rung),
        Err(Errno::AGAIN) => Ok(Wake::TimedOut),
        Err(error) => Err(error.into()),
    }
}
