//! What carries the bytes of a stream: a TCP connection, a TLS session, a WebSocket, a pair of pipes.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::BorrowedFd;
use std::sync::Arc;

use wharf_sys::clock::{Deadline, Instant};
use wharf_sys::poll::{self, Interest};

use super::FRAGMENT;

/// Whether a read waits for something to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Patience {
    /// It takes what is there.
    Now,
    /// It sleeps until something has come, in the one call that reads.
    UntilItComes,
}

/// An ordered stream of bytes in each direction.
///
/// One thread at a time writes and one at a time reads, at the same time as each other; whoever uses a wire sees to
/// that. Nothing here raises SIGPIPE, and nothing but a read with [`Patience::UntilItComes`] waits, whatever a peer does
/// with descriptors that it holds.
pub(crate) trait Wire: Send + Sync {
    /// Writes as much of the parts, one behind the other, as there is room for. [`io::ErrorKind::WouldBlock`]: for
    /// nothing. A wire that keeps bytes back in a buffer of its own takes all or nothing.
    fn write(&self, parts: &[IoSlice<'_>]) -> io::Result<usize>;

    /// The same of one part, no longer than a page and a header, for a wire that keeps nothing back; `None` where it may, and then
    /// nothing was tried.
    fn write_one(&self, _bytes: &[u8]) -> Option<io::Result<usize>> {
        None
    }

    /// The most payload that one frame should carry, at least 1: so much fits the room that [`widen`](Self::widen) opens.
    fn in_one(&self) -> usize;

    /// The most payload of a fragment. The last one of a message has at most [`in_one`](Self::in_one).
    fn fragment(&self) -> usize {
        FRAGMENT.min(self.in_one())
    }

    /// Lets `write` use a little room that it leaves free otherwise (`true`), or no more (`false`): for the rest of a
    /// frame, for acknowledgements and for the last words, which should not have to wait for the peer to read. Once it
    /// was used, frames wait until the outlet shows ordinary room. Where the system has no such room, this does nothing.
    fn widen(&self, wide: bool);

    /// Whether the rest of a frame that `write` cut may go into that room. Where it may not, its sender is told that there is
    /// none, and comes back; such a wire writes frames of up to [`in_one`](Self::in_one) whole or not at all.
    fn takes_rests(&self) -> bool {
        true
    }

    /// Whether there is ordinary room again.
    fn has_ordinary_room(&self) -> io::Result<bool> {
        let now = Deadline::at(Instant::from_nanos(0));
        Ok(poll::wait(&[(self.outlet()?, Interest::WRITE)], Some(now))?.any(0))
    }

    /// Whether the outlet shows when there is. Where it does not, whoever waits looks now and then.
    fn shows_ordinary_room(&self) -> bool {
        true
    }

    /// What carries the link once both sides have introduced themselves, where that is not this wire.
    fn met(&self) -> Option<Arc<dyn Wire>> {
        None
    }

    /// Whether the connecting side has shown already, before its introduction, that it knows the token.
    fn has_shown_token(&self) -> bool {
        false
    }

    /// Sends on what the wire itself has kept back; `false` when some of it is left.
    fn flush(&self) -> io::Result<bool> {
        Ok(true)
    }

    /// Whether the wire has kept back some of what `write` took last. What it says of its own behind that does not count: with that the
    /// peer has all of what was taken.
    fn keeps_back(&self) -> bool {
        false
    }

    /// Reads into the parts, which are not all empty, one behind the other. 0 is the end of the stream, in good order or
    /// not; [`io::ErrorKind::WouldBlock`]: nothing is there now.
    fn read(&self, parts: &mut [IoSliceMut<'_>], patience: Patience) -> io::Result<usize>;

    /// The same into one part, with [`Patience::UntilItComes`].
    fn read_one(&self, into: &mut [u8]) -> io::Result<usize> {
        self.read(&mut [IoSliceMut::new(into)], Patience::UntilItComes)
    }

    /// From messages of how many bytes on a receiver that sleeps for each should ask for one at a time, where that is better than
    /// to read ahead.
    fn one_by_one(&self) -> usize {
        usize::MAX
    }

    /// Whether a read would find something although its descriptor shows nothing.
    fn holds(&self) -> bool {
        false
    }

    /// What to wait at for something to read; an error in a forked child.
    fn inlet(&self) -> io::Result<BorrowedFd<'_>>;

    /// What to wait at for room to write; an error in a forked child.
    fn outlet(&self) -> io::Result<BorrowedFd<'_>>;

    /// Whether this is still the process that made the link.
    fn is_ours(&self) -> bool;

    /// Says that nothing more will be written, in whatever way the wire has for that. Called once, at the very end.
    fn end(&self);
}
