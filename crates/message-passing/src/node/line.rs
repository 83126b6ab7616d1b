//! A lifeline: the one connection between two nodes, which ends with either of them.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use wharf_sys::fork::ForkClosedFd;
use wharf_sys::poll::{Epoll, Interest};
use wharf_sys::socket::{self, Half};

use super::endpoint::MAX_PARCEL_FDS;
use super::record::{MAX_RECORD, Record};

/// The most records, and the most bytes of them, that wait for a peer that does not listen, beyond what the kernel keeps
/// (some 200 KB). A process that is stopped for so long is told no more, and cut off with the first word that it must hear.
const MOST_WAITING: usize = 4096;
const MOST_WAITING_BYTES: usize = 1 << 20;

/// The most descriptors among them: a quarter of what a process usually may have.
const MOST_WAITING_FDS: usize = 256;

/// Why something was not told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum TellError {
    /// The other process does not listen, and what is kept for it is full.
    #[error("the other process has not listened for long, and what waits for it is full")]
    Full,
    /// The connection has ended.
    #[error("the other process has gone")]
    Gone,
    /// More than a parcel holds.
    #[error("more bytes or descriptors than a parcel holds")]
    TooLarge,
}

/// See the top of the file. Sending never waits; what finds no room waits here until the node's thread can send it.
pub(super) struct Line {
    pub(super) number: u64,
    socket: ForkClosedFd,
    set: Arc<Epoll>,
    outbox: Mutex<Outbox>,
}

#[derive(Default)]
struct Outbox {
    waiting: VecDeque<(Vec<u8>, Vec<OwnedFd>)>,
    bytes: usize,
    fds: usize,
    /// Nothing more is sent.
    cut: bool,
    /// Nothing is read for now: the peer has said too much.
    deaf: bool,
}

impl Line {
    /// Takes over a connection and adds it to the set of the node's thread.
    pub(super) fn new(number: u64, socket: OwnedFd, set: &Arc<Epoll>) -> io::Result<Line> {
        let socket = ForkClosedFd::new(socket);
        set.add(socket.get()?, number, Interest::READ)?;
        Ok(Line { number, socket, set: Arc::clone(set), outbox: Mutex::default() })
    }

    /// The connection, or an error in a forked child.
    pub(super) fn socket(&self) -> io::Result<BorrowedFd<'_>> {
        self.socket.get()
    }

    /// Sends a record, or keeps it until there is room.
    pub(super) fn send(&self, record: &Record, fds: Vec<OwnedFd>) -> Result<(), TellError> {
        let bytes = record.write(fds.len());
        let mut outbox = self.outbox();
        if outbox.cut {
            return Err(TellError::Gone);
        }
        if outbox.waiting.is_empty() {
            match self.put(&bytes, &fds) {
                Ok(()) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => {
                    self.cut_now(&mut outbox);
                    return Err(TellError::Gone);
                }
            }
        }
        if outbox.waiting.len() >= MOST_WAITING
            || outbox.bytes + bytes.len() > MOST_WAITING_BYTES
            || outbox.fds + fds.len() > MOST_WAITING_FDS
        {
            return Err(TellError::Full);
        }
        outbox.bytes += bytes.len();
        outbox.fds += fds.len();
        outbox.waiting.push_back((bytes, fds));
        self.watch(&outbox);
        Ok(())
    }

    /// Sends a record without which the two sides would no longer agree: where there is no room for it the line is cut.
    pub(super) fn send_or_cut(&self, record: &Record) {
        if self.send(record, Vec::new()) == Err(TellError::Full) {
            self.cut();
        }
    }

    /// Whether there is room for whatever comes next.
    pub(super) fn has_room(&self) -> bool {
        let outbox = self.outbox();
        outbox.waiting.len() < MOST_WAITING
            && outbox.bytes + MAX_RECORD <= MOST_WAITING_BYTES
            && outbox.fds + MAX_PARCEL_FDS <= MOST_WAITING_FDS
    }

    /// Sends what waits, as far as there is room.
    pub(super) fn flush(&self) {
        let mut outbox = self.outbox();
        // Bounded by what waits.
        while let Some((bytes, fds)) = outbox.waiting.front() {
            match self.put(bytes, fds) {
                Ok(()) => {
                    let (bytes, fds) = (bytes.len(), fds.len());
                    outbox.bytes -= bytes;
                    outbox.fds -= fds;
                    outbox.waiting.pop_front();
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => {
                    self.cut_now(&mut outbox);
                    break;
                }
            }
        }
        self.watch(&outbox);
    }

    /// Ends the connection; the node's thread sees its end and does the rest.
    pub(super) fn cut(&self) {
        self.cut_now(&mut self.outbox());
    }

    /// Whether it was cut by this side.
    pub(super) fn is_cut(&self) -> bool {
        self.outbox().cut
    }

    /// Reads no more for now, or again.
    pub(super) fn turn_deaf(&self, deaf: bool) {
        let mut outbox = self.outbox();
        outbox.deaf = deaf;
        self.watch(&outbox);
    }

    fn cut_now(&self, outbox: &mut Outbox) {
        *outbox = Outbox { cut: true, ..Outbox::default() };
        if let Ok(socket) = self.socket.get() {
            // One that has ended already needs no end.
            let _ = socket::shutdown(socket, Half::Both);
        }
        self.watch(outbox);
    }

    fn put(&self, bytes: &[u8], fds: &[OwnedFd]) -> io::Result<()> {
        let socket = self.socket.get()?;
        let fds: Vec<BorrowedFd<'_>> = fds.iter().map(AsFd::as_fd).collect();
        // Records go whole or not at all.
        if fds.is_empty() { socket::send(socket, bytes) } else { socket::send_with_fds(socket, bytes, &fds) }.map(drop)
    }

    fn watch(&self, outbox: &Outbox) {
        let read = if outbox.deaf { Interest::NONE } else { Interest::READ };
        let interest = if outbox.waiting.is_empty() { read } else { read | Interest::WRITE };
        if let Ok(socket) = self.socket.get() {
            // Fails only for one that the node's thread has taken out already.
            let _ = self.set.modify(socket, self.number, interest);
        }
    }

    fn outbox(&self) -> MutexGuard<'_, Outbox> {
        // Nothing in here panics.
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if let Ok(socket) = self.socket.get() {
            // A copy held elsewhere would keep it in the set.
            let _ = self.set.remove(socket);
        }
    }
}
