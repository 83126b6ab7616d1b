//! Parcels on the lifeline: sent before the header of their message, fetched when that header is read.
//!
//! Whoever fetches reads what stands in front of the parcel as well: rings, for either half. It must not take anything away
//! from a half that sleeps at the lifeline in a call of its own, which would sleep on. While one does, what lies there wakes
//! it, and it reads and tells: this thread waits for another one of its own process, and for nobody else.

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::{MutexGuard, PoisonError};

use wharf_sys::clock::Deadline;
use wharf_sys::crash_point;
use wharf_sys::doorbell::Wake;
use wharf_sys::poll::{self, Interest};
use wharf_sys::socket;

use super::{Half, Heard, LONGEST_REST, RingTrouble, Signals, other};
use crate::transport::parcel::{self, Parcel};

/// Records that may stand in front of a parcel. The queue of a socket has room for a few hundred, so one that brings this
/// many is filled while it is read.
const RECORDS_PER_FETCH: u32 = 1024;

/// Announcements of both halves after which the lifeline is read although nobody slept there. Each may have left a ring, and
/// rings that nobody reads would keep parcels out.
pub(super) const MOST_UNREAD: u32 = 32;

impl Signals {
    /// Sends descriptors for a message. `false` when the lifeline is full.
    pub(crate) fn send_parcel(&self, number: u64, fds: &[BorrowedFd<'_>]) -> Result<bool, RingTrouble> {
        let mouth = self.mouth.get().map_err(RingTrouble::System)?;
        match socket::send_with_fds(mouth, &parcel::record(number, fds.len()), fds) {
            // A record is sent whole or not at all.
            Ok(_) => Ok(true),
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock => Ok(false),
                io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset | io::ErrorKind::NotConnected => {
                    Err(RingTrouble::PeerGone)
                }
                _ => Err(RingTrouble::System(error)),
            },
        }
    }

    /// Sleeps until the lifeline may have room for a parcel, this half is rung for, the peer is gone, or the deadline passes.
    pub(crate) fn wait_for_room(&self, half: Half, deadline: Option<Deadline>) -> io::Result<Wake> {
        let (lifeline, mouth) = (self.lifeline.get()?, self.mouth.get()?);
        let mut heard = self.heard();
        if heard.take(half) {
            return Ok(Wake::Rung);
        }
        if heard.ended {
            return Ok(Wake::PeerGone);
        }
        let looks = !heard.looking;
        heard.looking = true;
        drop(heard);
        // While the other half looks, what it finds for this one is told within a rest.
        let (interest, until) = if looks {
            (Interest::READ, deadline)
        } else {
            (Interest::NONE, Deadline::earlier(deadline, Some(Deadline::after(LONGEST_REST))))
        };
        let woken = poll::wait(&[(mouth, Interest::WRITE), (lifeline, interest)], until);
        let mut heard = self.heard();
        let drained = if looks {
            heard.looking = false;
            self.drain(&mut heard)
        } else {
            Ok(())
        };
        let ended = heard.ended;
        self.tell(heard, half);
        drained?;
        match woken? {
            _ if ended => Ok(Wake::PeerGone),
            ready if ready.is_empty() => Ok(Wake::TimedOut),
            _ => Ok(Wake::Rung),
        }
    }

    /// The parcel of this message, whose header has been read: it is here, or its sender has broken the rules.
    pub(crate) fn fetch_parcel(&self, number: u64) -> io::Result<Option<Parcel>> {
        let lifeline = self.lifeline.get()?;
        let mut heard = self.heard();
        let mut outcome = Ok(None);
        // Ends with the parcel, with an empty lifeline, or at the bound.
        for _ in 0..RECORDS_PER_FETCH {
            if let Some(parcel) = heard.parked.take(number) {
                outcome = Ok(Some(parcel));
                break;
            }
            if heard.looking {
                // The end, and errors, are for `read_one`, which finds nothing more then.
                if socket::peek(lifeline, &mut [0; 1]).is_ok_and(|received| received.len > 0) {
                    heard = self.changed.wait_timeout(heard, LONGEST_REST).unwrap_or_else(PoisonError::into_inner).0;
                    continue;
                }
            }
            match self.read_one(&mut heard) {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => {
                    outcome = Err(error);
                    break;
                }
            }
        }
        crash_point!("shm.recv.fetched");
        self.tell(heard, Half::Receiver);
        outcome
    }

    /// An announcement was made and taken back without a sleep: what it may have caused is not to pile up.
    pub(crate) fn did_not_sleep(&self, half: Half) {
        if !self.carries {
            return;
        }
        let mut heard = self.heard();
        // An error shows at the next sleep.
        let _late = self.left_unread(&mut heard);
        self.tell(heard, half);
    }

    pub(super) fn left_unread(&self, heard: &mut Heard) -> io::Result<()> {
        heard.unread = heard.unread.saturating_add(1);
        if !self.carries || heard.unread < MOST_UNREAD || heard.looking { Ok(()) } else { self.drain(heard) }
    }

    /// Nobody receives any more: parcels that are here are closed, and those that come.
    pub(crate) fn close_parcels(&self) {
        if !self.carries {
            return;
        }
        let mut heard = self.heard();
        heard.parked.close();
        if !heard.looking {
            // What cannot be read now is closed by whoever reads next, or by `drop`.
            let _later = self.drain(&mut heard);
        }
        self.tell(heard, Half::Receiver);
    }

    /// Wakes the other half if something was found for it.
    fn tell(&self, heard: MutexGuard<'_, Heard>, half: Half) {
        let found = heard.ended
            || match half {
                Half::Receiver => heard.sender,
                Half::Sender => heard.receiver,
            };
        drop(heard);
        // Whoever waits for this half to read the lifeline goes on in any case.
        self.changed.notify_all();
        if found {
            self.nudge(other(half)).give();
        }
    }
}

/// Parcels that nobody has read are closed here and not by the kernel: sockets among them must not linger.
impl Drop for Signals {
    fn drop(&mut self) {
        let Ok(lifeline) = self.lifeline.get() else { return };
        if !self.carries {
            return;
        }
        // Nothing more comes in, so that reading ends. It fails only when the peer is gone, and then nothing comes either.
        let _gone = socket::shutdown(lifeline, socket::Half::Read);
        let mut heard = Heard::default();
        heard.parked.close();
        for _ in 0..RECORDS_PER_FETCH {
            if !matches!(self.read_one(&mut heard), Ok(true)) {
                break;
            }
        }
    }
}
