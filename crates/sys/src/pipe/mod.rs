//! Two pipes, one for each direction, as a stream between two processes that cooperate.
//!
//! A pipe has one lock for both ends, held while bytes are copied: a peer whose buffer faults into a handler of its own
//! holds it as long as it likes, and our call then hangs, unkillable. So this is for peers that are trusted to cooperate,
//! and for no others.
//!
//! The ends are used through descriptions of our own, so that no flag that anybody else sets makes a call wait. Where
//! there is no `/proc` to open them through, the descriptions are taken as they came.

mod end;
mod sigpipe;

use std::fs;
use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{FileType, OFlags};
use rustix::io::Errno;

use crate::clock::{Deadline, Instant};
use crate::fork::ForkClosedFd;
use crate::memory::reopen_as;
use crate::poll::{self, Interest};

pub(crate) use end::{read, write};

/// Up to so many bytes are written whole or not at all.
pub const ATOMIC: usize = 4_096;

/// The most that a pipe holds unless somebody asks for more. Asking for twice as much needs no privilege.
pub const USUAL_ROOM: usize = 64 << 10;

/// Our ends of two pipes: one to read, one to write.
#[derive(Debug)]
pub struct PipeEnds {
    /// Set to wait.
    inlet: ForkClosedFd,
    /// The same pipe, set not to wait.
    inlet_now: Option<ForkClosedFd>,
    outlet: ForkClosedFd,
    /// The outlet is open for reading, too: a pipe that somebody reads raises no signal, and so a plain write serves, which costs
    /// a quarter less than one that is told to raise none. That the peer reads no more then shows at the inlet alone.
    held_open: bool,
}

impl PipeEnds {
    /// Takes the reading end of one pipe and the writing end of another. Refuses what is no such end
    /// ([`io::ErrorKind::InvalidData`]).
    pub fn adopt(inlet: OwnedFd, outlet: OwnedFd) -> io::Result<PipeEnds> {
        check(&inlet, OFlags::RDONLY)?;
        check(&outlet, OFlags::WRONLY)?;
        let inlet_now = own(&inlet, OFlags::RDONLY)?;
        // Refused where this user may not read what it may write.
        let held = own(&outlet, OFlags::RDWR)?;
        let held_open = held.is_some();
        let own_outlet = match held {
            Some(held) => Some(held),
            None => match own(&outlet, OFlags::WRONLY) {
                // A pipe that nobody reads any more cannot be opened again to be written: the first write will say so.
                Err(error) if error.raw_os_error() == Some(Errno::NXIO.raw_os_error()) => None,
                other => other?,
            },
        };
        let outlet = own_outlet.unwrap_or(outlet);
        let inlet = own(&inlet, OFlags::RDONLY)?.unwrap_or(inlet);
        rustix::fs::fcntl_setfl(&inlet, OFlags::empty())?;
        rustix::fs::fcntl_setfl(&outlet, OFlags::NONBLOCK)?;
        Ok(PipeEnds {
            inlet: ForkClosedFd::new(inlet),
            inlet_now: inlet_now.map(ForkClosedFd::new),
            outlet: ForkClosedFd::new(outlet),
            held_open,
        })
    }

    /// Writes as much of the parts, one behind the other, as there is room for, and raises no signal. Up to [`ATOMIC`]
    /// bytes go whole or not at all. [`io::ErrorKind::WouldBlock`]: for nothing; [`io::ErrorKind::BrokenPipe`]: nobody
    /// reads any more, which may also show by the end of what comes in alone.
    #[inline]
    pub fn write(&self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        let outlet = self.outlet.get()?;
        Ok(if self.held_open { end::write_held_open(outlet, parts)? } else { write(outlet, parts)? })
    }

    /// [`write`](Self::write) of one part.
    #[inline(always)]
    pub fn write_one(&self, bytes: &[u8]) -> io::Result<usize> {
        if !self.held_open {
            return self.write(&[IoSlice::new(bytes)]);
        }
        Ok(end::write_one_held_open(self.outlet.get()?, bytes)?)
    }

    /// [`read`](Self::read) into one part, which sleeps until something has come.
    #[inline(always)]
    pub fn read_one(&self, into: &mut [u8]) -> io::Result<usize> {
        Ok(end::read_one(self.inlet.get()?, into)?)
    }

    /// Reads what is there into the parts, one behind the other; 0 is the end. With `wait` it sleeps until something has
    /// come; otherwise [`io::ErrorKind::WouldBlock`] says that nothing has.
    #[inline]
    pub fn read(&self, parts: &mut [IoSliceMut<'_>], wait: bool) -> io::Result<usize> {
        let fd = match &self.inlet_now {
            Some(now) if !wait => now.get()?,
            _ => self.inlet.get()?,
        };
        if !wait && self.inlet_now.is_none() {
            // What poll sees is still there at the read: this process alone reads, one thread at a time.
            let now = Some(Deadline::at(Instant::from_nanos(0)));
            if poll::wait(&[(fd, Interest::READ)], now)?.is_empty() {
                return Err(io::ErrorKind::WouldBlock.into());
            }
        }
        Ok(read(fd, parts)?)
    }

    /// Sets how much the pipe holds that this side writes into, rounded up to a power of two of pages; `false` when more
    /// than that is in it.
    pub fn set_room(&self, bytes: usize) -> io::Result<bool> {
        match rustix::pipe::fcntl_setpipe_size(self.outlet.get()?, bytes) {
            Ok(_) => Ok(true),
            Err(Errno::BUSY) => Ok(false),
            Err(Errno::PERM) => Err(no_more_room()),
            Err(error) => Err(error.into()),
        }
    }

    /// Where something comes in, to wait at.
    pub fn inlet(&self) -> io::Result<BorrowedFd<'_>> {
        self.inlet.get()
    }

    /// Where there is room, to wait at.
    pub fn outlet(&self) -> io::Result<BorrowedFd<'_>> {
        self.outlet.get()
    }

    /// Whether this is still the process that took the ends.
    pub fn is_ours(&self) -> bool {
        self.outlet.is_ours()
    }
}

/// The error for a pipe that may not hold what others hold by default: this user has too many of them.
#[cold]
fn no_more_room() -> io::Error {
    let limit = |name: &str| {
        let text = fs::read_to_string(format!("/proc/sys/fs/{name}")).ok();
        text.map_or_else(|| "unknown".to_owned(), |text| text.trim().to_owned())
    };
    io::Error::new(
        io::ErrorKind::QuotaExceeded,
        format!(
            "the pipes of this user hold as much as the system lets them (fs.pipe-user-pages-soft is {} pages, \
             fs.pipe-max-size {} bytes): close some, or have the first raised with sysctl",
            limit("pipe-user-pages-soft"),
            limit("pipe-max-size")
        ),
    )
}

/// Makes a pipe: the end to read, the end to write.
pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?)
}

/// The user and the group of whoever made a pipe.
pub fn maker(end: &OwnedFd) -> io::Result<(u32, u32)> {
    let stat = rustix::fs::fstat(end)?;
    Ok((stat.st_uid, stat.st_gid))
}

fn check(end: &OwnedFd, mode: OFlags) -> io::Result<()> {
    let kind = FileType::from_raw_mode(rustix::fs::fstat(end)?.st_mode);
    let direction = rustix::fs::fcntl_getfl(end)? & OFlags::RWMODE;
    if kind == FileType::Fifo && direction == mode {
        return Ok(());
    }
    let expected = if mode == OFlags::RDONLY { "reading" } else { "writing" };
    Err(io::Error::new(
        io::ErrorKind::InvalidData,
        format!("expected the {expected} end of a pipe, found {kind:?} opened with {direction:?}; pass such an end"),
    ))
}

/// The same end as a description of our own, set not to wait; `None` where there is no `/proc` to open it through.
fn own(end: &impl AsFd, mode: OFlags) -> io::Result<Option<OwnedFd>> {
    match reopen_as(end, mode | OFlags::NONBLOCK) {
        Ok(own) => Ok(Some(own)),
        Err(error) if matches!(error.kind(), io::ErrorKind::Unsupported | io::ErrorKind::PermissionDenied) => Ok(None),
        Err(error) => Err(error),
    }
}
