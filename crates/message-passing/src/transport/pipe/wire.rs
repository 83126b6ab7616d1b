//! Two pipes as a wire: every call is one system call.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicUsize, Ordering};

use wharf_sys::pipe::{ATOMIC, PipeEnds, USUAL_ROOM};

use crate::transport::stream::{HEADER, Patience, Wire};

/// The least that waits in a pipe: a page, the least that there is.
const LEAST_ROOM: usize = 4 << 10;

/// The most that waits in a pipe: twice as much as it holds unless somebody asks, so that a message of 64 KiB and its header
/// are written, and read, at once.
const MOST_ROOM: usize = 2 * USUAL_ROOM;

/// A pipe has one lock for both ends, which a reader holds for as long as it copies what it asked for. From half a page on that is so
/// long, where the pages come from a core far away, that its sender stands before the lock: more at once takes longer than one by one.
const ONE_BY_ONE: usize = 2 << 10;

/// See [`Wire`].
pub(crate) struct PipeWire {
    ends: PipeEnds,
    /// Bytes that wait in the pipe that this side writes into. Whoever writes changes it, one thread at a time.
    room: AtomicUsize,
    /// The most of them, once a frame did not fit.
    most: AtomicUsize,
}

impl PipeWire {
    /// Takes the ends of two pipes, of which the one that is written into holds about `capacity` bytes, but no more than
    /// the system's usual 64 KiB; and than 128 KiB from the first frame on that does not fit those, since what the pipes of a
    /// user may hold in all is limited.
    pub(crate) fn new(ends: PipeEnds, capacity: usize) -> io::Result<Self> {
        let most = capacity.clamp(LEAST_ROOM, MOST_ROOM).next_power_of_two();
        let room = most.min(USUAL_ROOM);
        ends.set_room(room)?;
        Ok(Self { ends, room: AtomicUsize::new(room), most: AtomicUsize::new(most) })
    }

    /// The same of two descriptors: the reading end of one pipe, the writing end of another. For pipes without names, of
    /// which a process that was started has inherited its ends.
    pub(crate) fn adopt(inlet: OwnedFd, outlet: OwnedFd, capacity: usize) -> io::Result<Self> {
        Self::new(PipeEnds::adopt(inlet, outlet)?, capacity)
    }

    fn room(&self) -> usize {
        // Relaxed, here and below: read and written by whoever writes into the pipe, and the outgoing lock orders them.
        self.room.load(Ordering::Relaxed)
    }

    /// Asks for as much room as there may be. Where the system refuses it (a user may have too many large pipes), frames
    /// that do not fit are written in parts, and it is not asked again.
    #[cold]
    fn grow(&self) {
        let most = self.most.load(Ordering::Relaxed);
        match self.ends.set_room(most) {
            Ok(_) => self.room.store(most, Ordering::Relaxed),
            Err(_) => self.most.store(self.room(), Ordering::Relaxed),
        }
    }
}

impl Wire for PipeWire {
    #[inline]
    fn write(&self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        let len: usize = parts.iter().map(|part| part.len()).sum();
        if len > self.room() && self.room() < self.most.load(Ordering::Relaxed) {
            self.grow();
        }
        self.ends.write(parts)
    }

    #[inline]
    fn write_one(&self, bytes: &[u8]) -> Option<io::Result<usize>> {
        // Nothing to grow for: a pipe that may grow holds more than this.
        Some(self.ends.write_one(bytes))
    }

    fn in_one(&self) -> usize {
        // Written whole or not at all.
        ATOMIC - HEADER
    }

    fn fragment(&self) -> usize {
        USUAL_ROOM
    }

    /// A pipe that is twice as large, which it stays until it is empty enough. What cannot be had (a user may have too many
    /// large pipes) is missing: see the trait.
    fn widen(&self, wide: bool) {
        let _same = self.ends.set_room(if wide { self.room() * 2 } else { self.room() });
    }

    fn takes_rests(&self) -> bool {
        false
    }

    /// A pipe cannot be made smaller as long as it holds more than it then could.
    fn has_ordinary_room(&self) -> io::Result<bool> {
        self.ends.set_room(self.room())
    }

    fn shows_ordinary_room(&self) -> bool {
        false
    }

    #[inline]
    fn read(&self, parts: &mut [IoSliceMut<'_>], patience: Patience) -> io::Result<usize> {
        self.ends.read(parts, patience == Patience::UntilItComes)
    }

    #[inline]
    fn read_one(&self, into: &mut [u8]) -> io::Result<usize> {
        self.ends.read_one(into)
    }

    fn one_by_one(&self) -> usize {
        ONE_BY_ONE
    }

    fn inlet(&self) -> io::Result<BorrowedFd<'_>> {
        self.ends.inlet()
    }

    fn outlet(&self) -> io::Result<BorrowedFd<'_>> {
        self.ends.outlet()
    }

    fn is_ours(&self) -> bool {
        self.ends.is_ours()
    }

    fn end(&self) {
        // The ends are closed with the wire, which is dropped together with the halves.
    }
}

#[cfg(test)]
mod tests {
    use wharf_sys::pipe;

    use super::*;

    /// A wire, the reading end of the pipe that it writes into, and the writing end of the one that it reads from.
    fn wire(capacity: usize) -> (PipeWire, OwnedFd, OwnedFd) {
        let ((inlet, far_mouth), (far_ear, outlet)) = (pipe::pair().unwrap(), pipe::pair().unwrap());
        (PipeWire::adopt(inlet, outlet, capacity).unwrap(), far_ear, far_mouth)
    }

    #[test]
    fn a_pipe_grows_for_the_first_frame_that_does_not_fit_and_no_further_than_its_capacity() {
        let payload = vec![1; USUAL_ROOM];
        let frame = [IoSlice::new(&[0; HEADER]), IoSlice::new(&payload)];
        let whole = HEADER + USUAL_ROOM;
        for (capacity, before, after, written) in [
            (1 << 20, USUAL_ROOM, MOST_ROOM, whole),
            (MOST_ROOM, USUAL_ROOM, MOST_ROOM, whole),
            (USUAL_ROOM, USUAL_ROOM, USUAL_ROOM, USUAL_ROOM),
            (5_000, 8_192, 8_192, 8_192),
        ] {
            let (wire, far_ear, _far_mouth) = wire(capacity);
            assert_eq!(wire.one_by_one(), ONE_BY_ONE, "whatever it holds");
            let room = || rustix::pipe::fcntl_getpipe_size(&far_ear).unwrap();
            assert_eq!(room(), before, "{capacity}");
            assert_eq!(wire.write(&frame).unwrap(), written, "{capacity}");
            assert_eq!(room(), after, "{capacity}");
        }
    }
}
