//! Waiting for any of several descriptors: `poll` for a few at once, epoll for a lasting set.

mod epoll;
mod limit;
mod timer;

use std::io;
use std::ops::BitOr;
use std::os::fd::BorrowedFd;

use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;

use crate::clock::Deadline;

pub use epoll::{Epoll, Event};
pub use limit::most_descriptors;
pub use timer::Timer;

/// The most descriptors of one [`wait`]; an [`Epoll`] takes any number.
pub const MAX_DESCRIPTORS: usize = 64;

/// Up to this many descriptors are waited for without an allocation.
const ON_STACK: usize = 8;

/// What to wait for. The end of a connection and errors are always reported.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Interest(u8);

impl Interest {
    /// Only the end and errors.
    pub const NONE: Interest = Interest(0);
    /// Something to read, or to accept.
    pub const READ: Interest = Interest(1);
    /// Room to write.
    pub const WRITE: Interest = Interest(2);

    /// Whether all of `other` is in this set.
    pub const fn contains(self, other: Interest) -> bool {
        self.0 & other.0 == other.0
    }

    fn flags(self) -> PollFlags {
        let mut flags = PollFlags::empty();
        if self.contains(Interest::READ) {
            flags |= PollFlags::IN | PollFlags::RDHUP;
        }
        if self.contains(Interest::WRITE) {
            flags |= PollFlags::OUT;
        }
        flags
    }
}

impl BitOr for Interest {
    type Output = Interest;
    fn bitor(self, other: Interest) -> Interest {
        Interest(self.0 | other.0)
    }
}

/// Which descriptors of a [`wait`] are ready, by their position.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Ready {
    readable: u64,
    writable: u64,
    ended: u64,
}

impl Ready {
    /// Nothing is ready: the deadline has passed.
    pub const fn is_empty(self) -> bool {
        self.readable | self.writable | self.ended == 0
    }

    /// Whether anything can be said about the descriptor at `index`.
    pub const fn any(self, index: usize) -> bool {
        (self.readable | self.writable | self.ended) & bit(index) != 0
    }

    /// Whether the descriptor at `index` has something to read.
    pub const fn readable(self, index: usize) -> bool {
        self.readable & bit(index) != 0
    }

    /// Whether the descriptor at `index` has room.
    pub const fn writable(self, index: usize) -> bool {
        self.writable & bit(index) != 0
    }

    /// Whether the peer of the descriptor at `index` has hung up, or it is broken. Bytes sent before may
    /// still be there to read.
    pub const fn hangup(self, index: usize) -> bool {
        self.ended & bit(index) != 0
    }
}

/// What [`wait_each`] found at one descriptor.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Found {
    /// There is something to read, or to accept.
    pub readable: bool,
    /// There is room to write.
    pub writable: bool,
    /// The peer has hung up, or the descriptor is broken. Bytes sent before may still be there to read.
    pub hangup: bool,
}

impl Found {
    /// Whether anything can be said.
    pub const fn any(self) -> bool {
        self.readable | self.writable | self.hangup
    }
}

const fn bit(index: usize) -> u64 {
    if index < 64 { 1 << index } else { 0 }
}

/// Waits until one of the descriptors is ready or the deadline passes (then the answer is empty).
pub fn wait(descriptors: &[(BorrowedFd<'_>, Interest)], deadline: Option<Deadline>) -> io::Result<Ready> {
    let Some(&(first, _)) = descriptors.first() else {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "expected at least 1 descriptor to wait for, found none",
        ));
    };
    if descriptors.len() > MAX_DESCRIPTORS {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("expected at most {MAX_DESCRIPTORS} descriptors, found {}; use an Epoll", descriptors.len()),
        ));
    }
    let entry = |&(fd, interest): &(_, Interest)| PollFd::from_borrowed_fd(fd, interest.flags());
    if descriptors.len() <= ON_STACK {
        let mut entries: [PollFd<'_>; ON_STACK] = std::array::from_fn(|i| {
            descriptors.get(i).map_or(PollFd::from_borrowed_fd(first, PollFlags::empty()), entry)
        });
        wait_entries(entries.get_mut(..descriptors.len()).unwrap_or_default(), deadline)
    } else {
        wait_entries(&mut descriptors.iter().map(entry).collect::<Vec<_>>(), deadline)
    }
}

/// Waits until one of any number of descriptors is ready or the deadline passes, and replaces the contents of `found` by
/// what is there at each of them, in their order. Without descriptors it waits for the deadline.
///
/// One system call, whose cost grows with their number, and one allocation; an [`Epoll`] is for a set that lasts.
pub fn wait_each(
    descriptors: &[(BorrowedFd<'_>, Interest)],
    deadline: Option<Deadline>,
    found: &mut Vec<Found>,
) -> io::Result<()> {
    found.clear();
    let mut entries: Vec<PollFd<'_>> =
        descriptors.iter().map(|&(fd, interest)| PollFd::from_borrowed_fd(fd, interest.flags())).collect();
    sleep(&mut entries, deadline)?;
    found.extend(entries.iter().map(|entry| {
        let found = entry.revents();
        Found {
            readable: found.contains(PollFlags::IN),
            writable: found.contains(PollFlags::OUT),
            hangup: found.intersects(ENDED),
        }
    }));
    Ok(())
}

/// The flags that say that a descriptor has ended.
const ENDED: PollFlags = PollFlags::HUP.union(PollFlags::RDHUP).union(PollFlags::ERR).union(PollFlags::NVAL);

fn sleep(entries: &mut [PollFd<'_>], deadline: Option<Deadline>) -> io::Result<()> {
    // Ends at the deadline: each round is one interruption by a signal and waits for the time left.
    loop {
        let timeout = deadline.and_then(Deadline::remaining_timespec);
        match rustix::event::poll(entries, timeout.as_ref()) {
            Ok(_) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn wait_entries(entries: &mut [PollFd<'_>], deadline: Option<Deadline>) -> io::Result<Ready> {
    sleep(entries, deadline)?;
    let mut ready = Ready::default();
    for (index, entry) in entries.iter().enumerate() {
        let found = entry.revents();
        if found.contains(PollFlags::IN) {
            ready.readable |= bit(index);
        }
        if found.contains(PollFlags::OUT) {
            ready.writable |= bit(index);
        }
        if found.intersects(ENDED) {
            ready.ended |= bit(index);
        }
    }
    Ok(ready)
}
