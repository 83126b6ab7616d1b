//! The wire of a side that has knocked and waits for its answer.
//!
//! Until the other side has opened the pair, nothing in the pair tells whether it ever will; the FIFO where it listens does.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use wharf_sys::clock::{Deadline, Instant};
use wharf_sys::directory::{FifoMouth, PrivateFifos};
use wharf_sys::poll::{self, Epoll, Interest};

use super::wire::PipeWire;
use crate::transport::stream::{Patience, Wire};

/// See the top of the file.
pub(super) struct KnockingWire {
    wire: Arc<PipeWire>,
    /// The pipe that is read from, and the FIFO where the other side listens.
    both: Epoll,
    /// Its end says that nobody listens there any more.
    mouth: FifoMouth,
    /// Removes the names when it is dropped, should they still be there.
    _fifos: PrivateFifos,
}

impl KnockingWire {
    pub(super) fn new(fifos: PrivateFifos, mouth: FifoMouth, capacity: usize) -> io::Result<Self> {
        let wire = PipeWire::new(fifos.ends()?, capacity)?;
        let both = Epoll::new()?;
        both.add(wire.inlet()?, 0, Interest::READ)?;
        both.add(&mouth, 1, Interest::NONE)?;
        Ok(Self { wire: Arc::new(wire), both, mouth, _fifos: fifos })
    }

    /// Whether the other side is seen to be gone, at one of two descriptors.
    fn is_gone(&self, fd: BorrowedFd<'_>, interest: Interest) -> io::Result<bool> {
        let now = Some(Deadline::at(Instant::from_nanos(0)));
        Ok(poll::wait(&[(fd, interest)], now)?.hangup(0))
    }
}

impl Wire for KnockingWire {
    fn write(&self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        self.wire.write(parts)
    }

    fn in_one(&self) -> usize {
        self.wire.in_one()
    }

    fn widen(&self, wide: bool) {
        self.wire.widen(wide);
    }

    fn read(&self, parts: &mut [IoSliceMut<'_>], _patience: Patience) -> io::Result<usize> {
        match self.wire.read(parts, Patience::Now) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            // A pipe that nobody has opened for writing yet reads as if it had ended.
            Ok(0) if !self.is_gone(self.wire.inlet()?, Interest::READ)? => {}
            read => return read,
        }
        if !self.is_gone(self.mouth.as_fd(), Interest::NONE)? {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        // It may have answered just before it went.
        match self.wire.read(parts, Patience::Now) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            read => read,
        }
    }

    fn inlet(&self) -> io::Result<BorrowedFd<'_>> {
        if self.is_ours() { Ok(self.both.as_fd()) } else { self.wire.inlet() }
    }

    fn outlet(&self) -> io::Result<BorrowedFd<'_>> {
        self.wire.outlet()
    }

    fn is_ours(&self) -> bool {
        self.wire.is_ours()
    }

    fn met(&self) -> Option<Arc<dyn Wire>> {
        Some(self.wire.clone())
    }

    fn end(&self) {
        self.wire.end();
    }
}
