//! A lasting set of descriptors to wait for (epoll).

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::io::Errno;

use super::Interest;
use crate::clock::Deadline;

/// How many events one wait fetches at most; the others come with the next.
const BATCH: usize = 64;

/// One descriptor that is ready.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Event {
    /// The number given when the descriptor was added.
    pub token: u64,
    /// There is something to read.
    pub readable: bool,
    /// There is room to write.
    pub writable: bool,
    /// The peer has hung up, or the descriptor is broken. Bytes sent before may still be there to read.
    pub hangup: bool,
}

/// A set of descriptors, each with a token. Level-triggered: what is still ready is reported again.
#[derive(Debug)]
pub struct Epoll {
    fd: OwnedFd,
}

impl Epoll {
    /// An empty set.
    pub fn new() -> io::Result<Epoll> {
        Ok(Epoll { fd: epoll::create(CreateFlags::CLOEXEC)? })
    }

    /// Adds a descriptor. It must be removed before it is closed: a copy held elsewhere (by a forked
    /// child, by a peer) would keep it in the set.
    pub fn add(&self, fd: impl AsFd, token: u64, interest: Interest) -> io::Result<()> {
        Ok(epoll::add(&self.fd, fd, EventData::new_u64(token), flags(interest))?)
    }

    /// Changes the token and interest of a descriptor in the set.
    pub fn modify(&self, fd: impl AsFd, token: u64, interest: Interest) -> io::Result<()> {
        Ok(epoll::modify(&self.fd, fd, EventData::new_u64(token), flags(interest))?)
    }

    /// Takes a descriptor out of the set.
    pub fn remove(&self, fd: impl AsFd) -> io::Result<()> {
        Ok(epoll::delete(&self.fd, fd)?)
    }

    /// Waits until something is ready or the deadline passes, and replaces the contents of `events` by
    /// what is ready (nothing after the deadline).
    pub fn wait(&self, events: &mut Vec<Event>, deadline: Option<Deadline>) -> io::Result<()> {
        events.clear();
        let mut space = [MaybeUninit::uninit(); BATCH];
        // Ends at the deadline: each round is one interruption by a signal and waits for the time left.
        loop {
            let timeout = deadline.and_then(Deadline::remaining_timespec);
            match epoll::wait(&self.fd, &mut space, timeout.as_ref()) {
                Ok((found, _)) => {
                    events.extend(found.iter().map(|event| Event {
                        token: event.data.u64(),
                        readable: { event.flags }.contains(EventFlags::IN),
                        writable: { event.flags }.contains(EventFlags::OUT),
                        hangup: { event.flags }.intersects(EventFlags::HUP | EventFlags::RDHUP | EventFlags::ERR),
                    }));
                    return Ok(());
                }
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl AsFd for Epoll {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

fn flags(interest: Interest) -> EventFlags {
    let mut flags = EventFlags::empty();
    if interest.contains(Interest::READ) {
        flags |= EventFlags::IN | EventFlags::RDHUP;
    }
    if interest.contains(Interest::WRITE) {
        flags |= EventFlags::OUT;
    }
    flags
}
