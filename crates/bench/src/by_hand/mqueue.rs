//! Two POSIX message queues between two processes: one system call to send and one to receive each message.
//!
//! A queue tells nobody that the peer is gone. So there are two programs: one that waits in slices, after each of which it
//! could look (`mq_timedreceive`, `mq_timedsend`), and one that waits for ever (`mq_receive`, `mq_send`).
#![allow(unsafe_code)]

use crate::contender::{Contender, End, Home, failed};
use crate::leavings::{self, Left};
use crate::place::Place;
use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// What the system allows without asking.
const SLOTS: libc::c_long = 10;
const SLOT_BYTES: usize = 8192;

/// How long a slice is.
const SLICE_NANOS: libc::c_long = 20_000_000;

/// The queues by hand, both sides blocking in the kernel.
pub struct Queues {
    name: &'static str,
    in_slices: bool,
}

impl Queues {
    /// Waits in slices.
    pub fn in_slices(name: &'static str) -> Queues {
        Queues { name, in_slices: true }
    }

    /// Waits for ever.
    pub fn for_ever(name: &'static str) -> Queues {
        Queues { name, in_slices: false }
    }
}

/// Both queues, from the side that listens.
pub struct QueueDoor {
    names: [CString; 2],
    queues: [OwnedFd; 2],
}

/// One side.
pub struct QueueEnd {
    to: OwnedFd,
    from: OwnedFd,
    slot: Place,
    in_slices: bool,
}

/// The names of the two queues that belong to a directory: what the listening side sends into, and what it receives from.
fn names(at: &Path) -> io::Result<[CString; 2]> {
    let number = std::fs::metadata(at)?.ino();
    let name = |end: &str| CString::new(format!("/wharf-bench-{number}-{end}")).map_err(io::Error::other);
    Ok([name("down")?, name("up")?])
}

fn open(name: &CString, flags: libc::c_int) -> io::Result<OwnedFd> {
    // SAFETY: `mq_attr` is integers only, for which all bits zero is a valid value.
    let mut attributes: libc::mq_attr = unsafe { std::mem::zeroed() };
    attributes.mq_maxmsg = SLOTS;
    attributes.mq_msgsize = SLOT_BYTES as libc::c_long;
    let mode: libc::c_uint = 0o600;
    // SAFETY: the name is a live C string; a mode and live attributes follow, which are read only when a queue is made.
    let fd = unsafe { libc::mq_open(name.as_ptr(), flags | libc::O_CLOEXEC, mode, &raw const attributes) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor was just returned by the kernel, and nobody else holds it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Removes the name of a queue.
pub fn unlink(name: &CString) {
    // SAFETY: the name is a live C string. A name that is gone already is as good.
    unsafe { libc::mq_unlink(name.as_ptr()) };
}

impl Drop for QueueDoor {
    fn drop(&mut self) {
        self.names.iter().for_each(unlink);
    }
}

/// The end of a slice that begins now, as the calls take it.
fn slice() -> libc::timespec {
    let mut until = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the place is valid for writing.
    unsafe { libc::clock_gettime(libc::CLOCK_REALTIME_COARSE, &mut until) };
    until.tv_nsec += SLICE_NANOS;
    until.tv_sec += until.tv_nsec / 1_000_000_000;
    until.tv_nsec %= 1_000_000_000;
    until
}

/// Why a call did nothing; `None` when only its slice was over.
fn trouble() -> Option<io::Error> {
    let error = io::Error::last_os_error();
    (error.raw_os_error() != Some(libc::ETIMEDOUT)).then_some(error)
}

impl End for QueueEnd {
    fn send(&mut self, message: &[u8]) -> io::Result<()> {
        let (to, from, len) = (self.to.as_raw_fd(), message.as_ptr().cast(), message.len());
        // Each round is a slice in which there was no room.
        loop {
            let failed = match self.in_slices {
                // SAFETY: the message is live and of the stated length, and so is the time.
                true => unsafe { libc::mq_timedsend(to, from, len, 1, &slice()) },
                // SAFETY: the message is live and of the stated length.
                false => unsafe { libc::mq_send(to, from, len, 1) },
            };
            if failed == 0 {
                return Ok(());
            }
            if let Some(error) = trouble() {
                return Err(error);
            }
        }
    }

    fn recv(&mut self, into: &mut [u8]) -> io::Result<usize> {
        // The kernel wants room for a whole slot, so a shorter place is copied into afterwards.
        let (place, direct) = match into.len() >= SLOT_BYTES {
            true => (&mut *into, true),
            false => (&mut self.slot[..], false),
        };
        let (from, to, room, no_priority) =
            (self.from.as_raw_fd(), place.as_mut_ptr().cast(), place.len(), std::ptr::null_mut());
        // Each round is a slice in which nothing came.
        let len = loop {
            let len = match self.in_slices {
                // SAFETY: the place is valid for writing as many bytes as stated, the time for reading; the priority is
                // not wanted.
                true => unsafe { libc::mq_timedreceive(from, to, room, no_priority, &slice()) },
                // SAFETY: the place is valid for writing as many bytes as stated; the priority is not wanted.
                false => unsafe { libc::mq_receive(from, to, room, no_priority) },
            };
            match usize::try_from(len) {
                Ok(len) => break len,
                Err(_) => {
                    if let Some(error) = trouble() {
                        return Err(error);
                    }
                }
            }
        };
        if !direct {
            match (into.get_mut(..len), self.slot.get(..len)) {
                (Some(into), Some(from)) => into.copy_from_slice(from),
                _ => return Err(failed(format!("a message of {len} bytes is larger than expected"))),
            }
        }
        Ok(len)
    }
}

impl Contender for Queues {
    type Door = QueueDoor;
    type End = QueueEnd;

    fn name(&self) -> &'static str {
        self.name
    }

    fn home(&self) -> Home {
        Home::Processes
    }

    fn listen(&self, at: &Path) -> io::Result<QueueDoor> {
        let names = names(at)?;
        names.iter().for_each(unlink);
        names.iter().cloned().map(Left::Queue).for_each(leavings::remember);
        let make = |name| open(name, libc::O_CREAT | libc::O_EXCL | libc::O_RDWR);
        let queues = [make(&names[0])?, make(&names[1])?];
        Ok(QueueDoor { names, queues })
    }

    /// Takes one word, so that both sides know that they have met.
    fn accept(&self, door: &mut QueueDoor) -> io::Result<QueueEnd> {
        let [to, from] = [door.queues[0].try_clone()?, door.queues[1].try_clone()?];
        let mut end = QueueEnd { to, from, slot: Place::new(SLOT_BYTES), in_slices: self.in_slices };
        end.recv(&mut [0; 1])?;
        Ok(end)
    }

    fn connect(&self, at: &Path) -> io::Result<QueueEnd> {
        let names = names(at)?;
        let [from, to] = [open(&names[0], libc::O_RDONLY)?, open(&names[1], libc::O_WRONLY)?];
        names.iter().for_each(unlink);
        let mut end = QueueEnd { to, from, slot: Place::new(SLOT_BYTES), in_slices: self.in_slices };
        end.send(&[1])?;
        Ok(end)
    }
}
