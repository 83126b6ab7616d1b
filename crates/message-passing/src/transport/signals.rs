//! Rings over the lifeline: how a sleeping half of a log link is woken when it does not sleep at a pipe.
//!
//! A byte on the lifeline says which half of the peer is meant; the end of the lifeline means that the peer is gone.
//! Both halves of a side may sleep at once in two threads, and either may find the other's ring, so one of them
//! looks at the lifeline and tells the other. A half that is waited for together with other ends sleeps at the lifeline
//! as well, and at a [`Nudge`] of its own; it leaves the lifeline alone while the other half looks there in a call.
//!
//! Each side of a connection has its own file description and takes no lock that the peer could hold, so this is also the
//! way to be woken by a peer that is not trusted (a pipe has one lock for both ends). That holds as long as nobody else has this
//! side's end: whoever is passed an end by a peer that he does not trust hears at one of his own making, and only speaks there.
//!
//! Where messages carry descriptors, these travel here too, as parcels: see [`parcels`].

mod parcels;
#[cfg(test)]
mod parcels_tests;

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use wharf_sys::clock::{Deadline, Instant};
use wharf_sys::doorbell::Wake;
use wharf_sys::poll::{self, Interest};
use wharf_sys::socket::{self, Arrival};

use crate::transport::lifeline::Lifeline;
use crate::transport::nudge::Nudge;
use crate::transport::parcel::{Parked, RECORD_BYTES};
use crate::waits::{Places, Stir};

/// Rings that one look takes from the lifeline. A peer that sends more makes us look again, and only then.
const RINGS_PER_LOOK: usize = 64;

/// How long a half sleeps while the other looks at the lifeline, before it looks who looks. It is told when it is meant;
/// this bounds what a lost notification could cost.
const LONGEST_REST: Duration = Duration::from_millis(50);

/// Which half of a side is woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Half {
    /// The receiver: a frame was written.
    Receiver = b'd' as isize,
    /// The sender: room was made, or a message was taken.
    Sender = b'r' as isize,
}

/// What one side knows of the rings on its lifeline.
#[derive(Debug)]
pub(crate) struct Signals {
    lifeline: Arc<Lifeline>,
    /// Where this side speaks: the lifeline, or what the peer has passed for it.
    mouth: Arc<Lifeline>,
    /// Whether parcels come.
    carries: bool,
    /// Either half has found the peer gone; the other need not find out for itself.
    gone: AtomicBool,
    heard: Mutex<Heard>,
    changed: Condvar,
    receiver: Nudge,
    sender: Nudge,
}

#[derive(Debug, Default)]
struct Heard {
    receiver: bool,
    sender: bool,
    ended: bool,
    /// One half looks at the lifeline; the other waits to be told.
    looking: bool,
    /// Announcements since the lifeline was read last.
    unread: u32,
    parked: Parked,
}

impl Heard {
    fn take(&mut self, half: Half) -> bool {
        match half {
            Half::Receiver => std::mem::take(&mut self.receiver),
            Half::Sender => std::mem::take(&mut self.sender),
        }
    }
}

impl Signals {
    /// `carries`: what comes over the lifeline may bring descriptors.
    pub(crate) fn new(lifeline: Arc<Lifeline>, carries: bool) -> Self {
        let mouth = Arc::clone(&lifeline);
        Self::apart(lifeline, mouth, carries)
    }

    /// This side hears at one socket and speaks at another.
    pub(crate) fn apart(lifeline: Arc<Lifeline>, mouth: Arc<Lifeline>, carries: bool) -> Self {
        Self {
            lifeline,
            mouth,
            carries,
            gone: AtomicBool::new(false),
            heard: Mutex::default(),
            changed: Condvar::new(),
            receiver: Nudge::default(),
            sender: Nudge::default(),
        }
    }

    /// Whether either half has found the peer gone.
    #[inline(always)]
    pub(crate) fn known_gone(&self) -> bool {
        // Relaxed: a fact that only ever becomes true and orders nothing.
        self.gone.load(Ordering::Relaxed)
    }

    /// Notes that the peer is gone.
    pub(crate) fn note_gone(&self) {
        self.gone.store(true, Ordering::Relaxed);
    }

    /// Wakes the given half of the peer. Never waits; a lifeline that is full of rings is success.
    pub(crate) fn ring(&self, half: Half) -> Result<(), RingTrouble> {
        let fd = self.mouth.get().map_err(RingTrouble::System)?;
        match socket::send(fd, &[half as u8]) {
            Ok(_) => Ok(()),
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock => Ok(()),
                io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset | io::ErrorKind::NotConnected => {
                    Err(RingTrouble::PeerGone)
                }
                _ => Err(RingTrouble::System(error)),
            },
        }
    }

    /// Sleeps until this half is rung for, the peer is gone, or the deadline passes.
    pub(crate) fn wait(&self, half: Half, deadline: Option<Deadline>) -> io::Result<Wake> {
        let fd = self.lifeline.get()?;
        let mut heard = self.heard();
        // Ends by a ring, by the end of the lifeline or by the deadline. Rings for the other half bring us round again;
        // a peer that floods the lifeline costs itself as much as us, and only while we would sleep anyway.
        loop {
            if heard.take(half) {
                return Ok(Wake::Rung);
            }
            if heard.ended {
                return Ok(Wake::PeerGone);
            }
            if deadline.is_some_and(Deadline::passed) {
                return Ok(Wake::TimedOut);
            }
            if heard.looking {
                let left = deadline.and_then(Deadline::remaining).map_or(LONGEST_REST, |left| left.min(LONGEST_REST));
                heard = self.changed.wait_timeout(heard, left).unwrap_or_else(PoisonError::into_inner).0;
                continue;
            }
            heard.looking = true;
            drop(heard);
            let woken = poll::wait(&[(fd, Interest::READ)], deadline);
            heard = self.heard();
            heard.looking = false;
            let drained = woken.and_then(|ready| if ready.is_empty() { Ok(()) } else { self.drain(&mut heard) });
            // Told in every case: the other half must look itself when this one leaves. Whoever finds the lock taken waits
            // for as long as a byte takes to be sent.
            self.changed.notify_all();
            self.nudge(other(half)).give();
            drained?;
        }
    }

    fn nudge(&self, half: Half) -> &Nudge {
        match half {
            Half::Receiver => &self.receiver,
            Half::Sender => &self.sender,
        }
    }

    /// This half is going to sleep at [`places`](Self::places); what it waits for is looked at after this. Says whether
    /// the peer is gone.
    pub(crate) fn announce(&self, half: Half) -> io::Result<bool> {
        self.nudge(half).arm()?;
        let mut heard = self.heard();
        self.left_unread(&mut heard)?;
        heard.take(half);
        Ok(heard.ended)
    }

    /// Where this half sleeps together with others.
    pub(crate) fn places(&self, half: Half) -> io::Result<Places<'_>> {
        let lifeline = self.lifeline.get()?;
        // Whoever looks in a call must find what comes, or it would sleep on; it nudges this half when it has looked.
        let free = !self.heard().looking;
        Ok([free.then_some((lifeline, Interest::READ)), self.nudge(half).fd().map(|fd| (fd, Interest::READ)), None])
    }

    /// Where nothing but the end of the peer is noticed.
    pub(crate) fn end(&self) -> io::Result<Places<'_>> {
        Ok([Some((self.lifeline.get()?, Interest::NONE)), None, None])
    }

    /// Takes note of what was found at these places. Says whether the peer is gone.
    pub(crate) fn stirred(&self, half: Half, found: &Stir) -> io::Result<bool> {
        let [lifeline, nudge, _] = found;
        if nudge.any() {
            self.nudge(half).take();
        }
        let mut heard = self.heard();
        let drained = if lifeline.any() && !heard.looking { self.drain(&mut heard) } else { Ok(()) };
        heard.take(half);
        let (tell, ended) = (heard.sender || heard.receiver || heard.ended, heard.ended);
        drop(heard);
        if tell {
            self.changed.notify_all();
            self.nudge(other(half)).give();
        }
        drained?;
        Ok(ended)
    }

    /// This half sleeps no more.
    pub(crate) fn awake(&self, half: Half) {
        self.nudge(half).disarm();
    }

    /// Whether the peer is gone, as far as can be seen without waiting.
    pub(crate) fn peer_gone(&self) -> bool {
        let now = Some(Deadline::at(Instant::from_nanos(0)));
        let gone = self.known_gone()
            || self.heard().ended
            || self
                .lifeline
                .get()
                .and_then(|fd| poll::wait(&[(fd, Interest::NONE)], now))
                .is_ok_and(|ready| ready.hangup(0));
        if gone {
            self.note_gone();
        }
        gone
    }

    fn heard(&self) -> MutexGuard<'_, Heard> {
        // Nothing panics while it holds this, and any state of it is whole.
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn drain(&self, heard: &mut Heard) -> io::Result<()> {
        for _ in 0..RINGS_PER_LOOK {
            if !self.read_one(heard)? {
                return Ok(());
            }
        }
        // So many that the peer may have found the lifeline full and dropped one for either half: both look.
        heard.sender = true;
        heard.receiver = true;
        Ok(())
    }

    /// Takes one record from the lifeline; `false` when none is there.
    fn read_one(&self, heard: &mut Heard) -> io::Result<bool> {
        let fd = self.lifeline.get()?;
        heard.unread = 0;
        let mut record = [0; RECORD_BYTES];
        let outcome = if self.carries {
            socket::recv_everything(fd, &mut record)
        } else {
            // Descriptors find nobody who takes them: the kernel closes them.
            socket::recv(fd, &mut record).map(|received| Arrival { received, fds: Vec::new(), short: false })
        };
        let Arrival { received, fds, short } = match outcome {
            Ok(arrival) => arrival,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            // A peer that left with rings of ours unread: once, in front of everything that it had sent.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                heard.ended = true;
                return Ok(true);
            }
            Err(error) => return Err(error),
        };
        match record.get(..received.len) {
            // An empty record and the end look alike; no side sends an empty one.
            Some([]) => {
                heard.ended = true;
                socket::discard(fds);
                return Ok(false);
            }
            Some([ring]) if fds.is_empty() && *ring == Half::Sender as u8 => heard.sender = true,
            Some([_]) if fds.is_empty() => heard.receiver = true,
            bytes => {
                heard.parked.put(bytes.filter(|_| !received.truncated).unwrap_or_default(), fds, short);
                // A ring for either half may have found no room behind it.
                heard.sender = true;
                heard.receiver = true;
            }
        }
        Ok(true)
    }
}

fn other(half: Half) -> Half {
    match half {
        Half::Receiver => Half::Sender,
        Half::Sender => Half::Receiver,
    }
}

/// Why a ring did not reach the peer.
#[derive(Debug)]
pub(crate) enum RingTrouble {
    /// The peer is gone.
    PeerGone,
    /// The system refused.
    System(io::Error),
}

#[cfg(test)]
mod tests {
    use super::*;
    use wharf_sys::socket::Kind;

    fn pair() -> (Signals, Signals) {
        let (here, there) = socket::pair(Kind::SeqPacket).unwrap();
        let signals = |socket| Signals::new(Arc::new(Lifeline::new(socket)), false);
        (signals(here), signals(there))
    }

    #[test]
    fn a_ring_wakes_the_half_that_is_meant() {
        let (here, there) = pair();
        here.ring(Half::Sender).unwrap();
        let soon = || Some(Deadline::after(Duration::from_millis(20)));
        assert_eq!(there.wait(Half::Receiver, soon()).unwrap(), Wake::TimedOut);
        assert_eq!(there.wait(Half::Sender, soon()).unwrap(), Wake::Rung);
        assert_eq!(there.wait(Half::Sender, soon()).unwrap(), Wake::TimedOut);
    }

    #[test]
    fn apart_it_hears_at_one_socket_and_speaks_at_the_other() {
        let end = |socket| Arc::new(Lifeline::new(socket));
        let (ear, theirs) = socket::pair(Kind::SeqPacket).unwrap();
        let (passed, mouth) = socket::pair(Kind::SeqPacket).unwrap();
        let here = Signals::apart(end(ear), end(mouth), false);
        let there = Signals::apart(end(passed), end(theirs), false);
        let soon = || Some(Deadline::after(Duration::from_millis(20)));
        for (from, to) in [(&here, &there), (&there, &here)] {
            from.ring(Half::Receiver).unwrap();
            assert_eq!(to.wait(Half::Receiver, soon()).unwrap(), Wake::Rung);
            assert_eq!(from.wait(Half::Receiver, soon()).unwrap(), Wake::TimedOut);
        }
        drop(there);
        assert_eq!(here.wait(Half::Receiver, None).unwrap(), Wake::PeerGone);
        assert!(matches!(here.ring(Half::Sender), Err(RingTrouble::PeerGone)));
    }

    #[test]
    fn two_sleeping_halves_each_get_their_ring() {
        for _ in 0..50 {
            let (here, there) = pair();
            let there = &there;
            std::thread::scope(|scope| {
                for half in [Half::Receiver, Half::Sender] {
                    scope.spawn(move || {
                        let late = Some(Deadline::after(Duration::from_secs(10)));
                        assert_eq!(there.wait(half, late).unwrap(), Wake::Rung);
                    });
                }
                std::thread::sleep(Duration::from_millis(2));
                here.ring(Half::Sender).unwrap();
                std::thread::sleep(Duration::from_millis(1));
                here.ring(Half::Receiver).unwrap();
            });
        }
    }

    #[test]
    fn the_end_wakes_both_halves() {
        let (here, there) = pair();
        let there = &there;
        std::thread::scope(|scope| {
            for half in [Half::Receiver, Half::Sender] {
                scope.spawn(move || assert_eq!(there.wait(half, None).unwrap(), Wake::PeerGone));
            }
            std::thread::sleep(Duration::from_millis(5));
            assert!(!there.peer_gone());
            drop(here);
        });
        assert!(there.peer_gone());
        assert!(matches!(there.ring(Half::Sender), Err(RingTrouble::PeerGone)));
    }

    #[test]
    fn a_full_lifeline_is_a_ring() {
        let (here, there) = pair();
        for _ in 0..5_000 {
            here.ring(Half::Receiver).unwrap();
        }
        assert_eq!(there.wait(Half::Receiver, None).unwrap(), Wake::Rung);
        // A ring for the other half may have been among those that found no room.
        assert_eq!(there.wait(Half::Sender, Some(Deadline::after(Duration::from_secs(5)))).unwrap(), Wake::Rung);
    }
}
