//! A TCP connection as a wire: every call is one system call.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use wharf_sys::socket;

use super::is_loopback;
use crate::transport::lifeline::Lifeline;
use crate::transport::stream::{Patience, Wire};

/// What the kernel may keep of what was sent until it is acknowledged, at least: enough that the rest of a frame and the
/// last words fit beside what may wait unsent.
const SEND_BUFFER: usize = 512 << 10;

/// The least that waits unsent.
const LEAST_UNSENT: usize = 4 << 10;

/// The most payload of a frame: the rest of one should fit the extra room many times over.
const MOST_IN_ONE: usize = 128 << 10;

/// What may wait unsent where nobody asked for another capacity. A side that shares its processor finds no room, sleeps, and gets its
/// processor back some milliseconds later: until then its peer should have something to read.
pub(crate) const USUAL_UNSENT: usize = 4 << 20;

/// The most that the kernel is told to keep between two sides on one machine.
const MOST_BUFFER: usize = 2 * USUAL_UNSENT;

/// See [`Wire`].
pub(crate) struct TcpWire {
    lifeline: Arc<Lifeline>,
    /// Bytes that may wait unsent: half of the kernel's buffer, which may grow, as far as `capacity` goes. Whoever writes changes it,
    /// one at a time.
    unsent: AtomicUsize,
    /// Bytes that may wait unsent at most.
    capacity: usize,
    /// The extra room is open.
    wide: AtomicBool,
    /// The most payload of a frame.
    in_one: usize,
}

impl TcpWire {
    /// Takes a connection, on which `capacity` bytes may wait in this side's kernel before they are on their way, and
    /// which breaks when the other machine has not answered for `keep_alive`.
    pub(crate) fn new(lifeline: Arc<Lifeline>, capacity: usize, keep_alive: Duration) -> io::Result<Self> {
        let socket = lifeline.get()?;
        socket::set_no_delay(socket)?;
        socket::set_keep_alive(socket, keep_alive)?;
        socket::raise_send_buffer(socket, SEND_BUFFER)?;
        if is_within_machine(socket) {
            // What is on its way there is not far, so the buffer need not grow with the distance.
            let _as_it_is = socket::fix_send_buffer(socket, capacity.saturating_mul(2).min(MOST_BUFFER));
        }
        let unsent = share_of(socket::send_buffer(socket)?, capacity);
        socket::set_unsent_limit(socket, unsent)?;
        // Two fit what may wait, so that both sides work at the same time.
        let in_one = (unsent / 2).min(MOST_IN_ONE);
        Ok(Self { lifeline, unsent: AtomicUsize::new(unsent), capacity, wide: AtomicBool::new(false), in_one })
    }

    /// Sends, and once more where there was no room and the kernel's buffer has grown.
    #[inline]
    fn send(&self, send: impl Fn(BorrowedFd<'_>) -> io::Result<usize>) -> io::Result<usize> {
        let socket = self.lifeline.get()?;
        match send(socket) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && self.has_grown(socket) => send(socket),
            sent => sent,
        }
    }

    /// Whether more may wait than before, because the kernel's buffer has grown meanwhile.
    #[cold]
    fn has_grown(&self, socket: BorrowedFd<'_>) -> bool {
        // Relaxed, both: one thread at a time writes.
        let unsent = self.unsent.load(Ordering::Relaxed);
        if unsent >= self.capacity || self.wide.load(Ordering::Relaxed) {
            return false;
        }
        let now = socket::send_buffer(socket).map_or(0, |buffer| share_of(buffer, self.capacity));
        let grown = now > unsent && socket::set_unsent_limit(socket, now).is_ok();
        if grown {
            self.unsent.store(now, Ordering::Relaxed);
        }
        grown
    }
}

/// What may wait unsent in a buffer of so many bytes. The other half is for what is on its way, and for the extra room.
fn share_of(buffer: usize, capacity: usize) -> usize {
    capacity.clamp(LEAST_UNSENT, (buffer / 2).max(LEAST_UNSENT))
}

/// Whether both sides are on one machine, as far as their addresses say. A peer that is gone has none.
fn is_within_machine(socket: BorrowedFd<'_>) -> bool {
    let addresses = socket::tcp_address(socket).and_then(|ours| Ok((ours.ip(), socket::tcp_peer(socket)?.ip())));
    addresses.is_ok_and(|(ours, theirs)| is_loopback(theirs) || ours == theirs)
}

impl Wire for TcpWire {
    #[inline]
    fn write(&self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        self.send(|socket| match parts {
            [part] => socket::send(socket, part),
            parts => socket::send_parts(socket, parts),
        })
    }

    #[inline]
    fn write_one(&self, bytes: &[u8]) -> Option<io::Result<usize>> {
        Some(self.send(|socket| socket::send(socket, bytes)))
    }

    fn in_one(&self) -> usize {
        self.in_one
    }

    fn widen(&self, wide: bool) {
        if let Ok(socket) = self.lifeline.get() {
            // Relaxed, both: see `has_grown`.
            self.wide.store(wide, Ordering::Relaxed);
            let unsent = if wide { usize::MAX } else { self.unsent.load(Ordering::Relaxed) };
            // Without it the last words wait, or are not said: see the trait.
            let _same = socket::set_unsent_limit(socket, unsent);
        }
    }

    #[inline]
    fn read(&self, parts: &mut [IoSliceMut<'_>], patience: Patience) -> io::Result<usize> {
        socket::recv_stream(self.lifeline.get()?, parts, patience == Patience::UntilItComes)
    }

    fn inlet(&self) -> io::Result<BorrowedFd<'_>> {
        self.lifeline.get()
    }

    fn outlet(&self) -> io::Result<BorrowedFd<'_>> {
        self.lifeline.get()
    }

    fn is_ours(&self) -> bool {
        self.lifeline.is_ours()
    }

    fn end(&self) {
        if let Ok(socket) = self.lifeline.get() {
            // Fails only when the peer is gone, and then there is nobody to tell.
            let _told = socket::shutdown(socket, socket::Half::Write);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::OwnedFd;

    use super::*;

    const KEEP_ALIVE: Duration = Duration::from_secs(30);

    /// One end, and the other, which does not read.
    fn ends() -> (Arc<Lifeline>, TcpStream) {
        let door = TcpListener::bind("127.0.0.1:0").unwrap();
        let one = TcpStream::connect(door.local_addr().unwrap()).unwrap();
        (Arc::new(Lifeline::new(OwnedFd::from(one))), door.accept().unwrap().0)
    }

    /// Writes until there is no room, and none comes while the system still moves what it has; how many bytes it was.
    fn fill(wire: &TcpWire) -> usize {
        let (mut taken, mut idle) = (0, 0);
        while idle < 10 {
            match wire.write(&[IoSlice::new(&[7; 3000])]) {
                Ok(written) => (taken, idle) = (taken + written, 0),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    idle += 1;
                    std::thread::sleep(Duration::from_millis(10));
                }
                Err(error) => panic!("{error}"),
            }
            assert!(taken < 256 << 20);
        }
        taken
    }

    #[test]
    fn what_may_wait_grows_with_the_systems_buffer() {
        let (lifeline, _other) = ends();
        let socket = lifeline.get().unwrap();
        let wire = TcpWire::new(lifeline.clone(), USUAL_UNSENT, KEEP_ALIVE).unwrap();
        // As if the system had begun with less.
        wire.unsent.store(64 << 10, Ordering::Relaxed);
        wire.widen(false);
        let buffer = socket::send_buffer(socket).unwrap();
        let taken = fill(&wire);
        let grown = wire.unsent.load(Ordering::Relaxed);
        assert_eq!(grown, share_of(socket::send_buffer(socket).unwrap(), USUAL_UNSENT));
        assert!(grown >= buffer / 4 && taken >= grown, "{grown} of {buffer}, {taken} taken");
        // More than the rest of a frame.
        wire.widen(true);
        assert_eq!(wire.write(&[IoSlice::new(&[8; 2 * MOST_IN_ONE])]).unwrap(), 2 * MOST_IN_ONE);
    }

    #[test]
    fn what_was_asked_for_does_not_grow() {
        let (lifeline, _other) = ends();
        let wire = TcpWire::new(lifeline, 64 << 10, KEEP_ALIVE).unwrap();
        fill(&wire);
        assert_eq!(wire.unsent.load(Ordering::Relaxed), 64 << 10);
    }

    #[test]
    fn the_room_for_last_words_is_left_alone_while_it_is_open() {
        let (lifeline, _other) = ends();
        let wire = TcpWire::new(lifeline, USUAL_UNSENT, KEEP_ALIVE).unwrap();
        wire.unsent.store(64 << 10, Ordering::Relaxed);
        wire.widen(true);
        fill(&wire);
        assert_eq!(wire.unsent.load(Ordering::Relaxed), 64 << 10);
    }

    #[test]
    fn two_sides_on_one_machine_have_the_usual_room_where_the_system_allows_it() {
        let (lifeline, _other) = ends();
        let socket = lifeline.get().unwrap();
        assert!(is_within_machine(socket));
        let wire = TcpWire::new(lifeline.clone(), USUAL_UNSENT, KEEP_ALIVE).unwrap();
        let buffer = socket::send_buffer(socket).unwrap();
        assert_eq!(wire.unsent.load(Ordering::Relaxed), share_of(buffer, USUAL_UNSENT));
        assert_eq!(wire.in_one(), MOST_IN_ONE);
        // It was asked for, and the system gives it or all that it has.
        assert!(buffer >= MOST_BUFFER || !socket::fix_send_buffer(socket, MOST_BUFFER).unwrap());
    }
}
