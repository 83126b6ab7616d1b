//! Messages that carry descriptors: the log has the bytes, the lifeline a parcel (docs/wire.md).
//!
//! The order is what everything rests on: room for the frame, then the parcel, then the header. A parcel without its frame
//! is left by a death only, and a frame without its parcel by a peer that breaks the rules.

use std::os::fd::BorrowedFd;

use wharf_shared_memory::log::WriteError;
use wharf_sys::clock::Deadline;
use wharf_sys::crash_point;
use wharf_sys::doorbell::Wake;
use wharf_sys::fork;

use super::{LogReceiver, LogSender};
use crate::attachment::Cargo;
use crate::error::{RecvError, SendError};
use crate::transport::parcel::OnTheirWay;
use crate::transport::signals::{Half, RingTrouble};
use crate::transport::{Ask, Frame, SendTransport};
use crate::waits::SLICE;

/// What keeps a message from being sent for which the log has room.
#[derive(Debug, Clone, Copy)]
pub(super) enum Blocked {
    /// Too many descriptors are on their way for so many more.
    Window(usize),
    /// The lifeline is full.
    Lifeline,
}

/// What a sender of descriptors keeps.
#[derive(Debug)]
pub(super) struct Shipping {
    /// The most descriptors that the peer takes with a message.
    pub(super) most: usize,
    away: OnTheirWay,
    /// Why the last try said that it is full, if that was not the log.
    pub(super) blocked: Option<Blocked>,
}

impl Shipping {
    pub(super) fn new(most: usize) -> Self {
        Self { most, away: OnTheirWay::default(), blocked: None }
    }
}

impl LogSender {
    /// See [`SendTransport::push_with`]. Progress is that of a message in parts; the last part brings the descriptors.
    pub(super) fn push_carrying(
        &mut self,
        payload: &[u8],
        fds: &[BorrowedFd<'_>],
        progress: &mut usize,
        ask: Ask,
    ) -> Result<(), SendError> {
        self.check_ours()?;
        self.keep_watch();
        let outcome = match self.ended() {
            Some(error) => Err(error),
            None => self.ship(payload, fds, progress, ask),
        };
        match outcome {
            Ok(()) => self.wake_if_asleep(),
            Err(SendError::Full) => Err(SendError::Full),
            Err(error) => {
                self.log.take_back();
                if std::mem::take(progress) > 0 {
                    // The caller does not come back with the rest.
                    self.abort();
                }
                Err(error)
            }
        }
    }

    fn ship(
        &mut self,
        payload: &[u8],
        fds: &[BorrowedFd<'_>],
        progress: &mut usize,
        ask: Ask,
    ) -> Result<(), SendError> {
        if self.log.reader_closed() {
            return Err(self.refused(WriteError::ReaderClosed));
        }
        let in_parts = payload.len() as u64 > self.log.largest_frame();
        if in_parts && let Err(why) = self.log.try_write_parts_before_last(payload, progress) {
            return Err(self.refused(why));
        }
        let last = payload.get(*progress..).unwrap_or_default();
        if let Err(why) = self.log.try_lend(last.len() as u64) {
            return Err(self.refused(why));
        }
        self.log.lent_mut().copy_from_slice(last);
        let (number, taken) = (self.log.sent(), self.log.taken());
        let Some(shipping) = &mut self.shipping else {
            return Err(SendError::CannotCarry("this link carries bytes only".to_owned()));
        };
        if !shipping.away.has_room(taken, fds.len()) {
            return Err(self.blocked(Blocked::Window(fds.len())));
        }
        crash_point!("shm.carry.before");
        match self.signals.send_parcel(number, fds) {
            Ok(true) => shipping.away.note(number, fds.len()),
            Ok(false) => return Err(self.blocked(Blocked::Lifeline)),
            Err(RingTrouble::PeerGone) => {
                self.note_end();
                return Err(self.ended().unwrap_or(SendError::Closed));
            }
            Err(RingTrouble::System(error)) => return Err(SendError::System(error)),
        }
        crash_point!("shm.carry.sent");
        self.log.commit_lent_carrying(in_parts, ask == Ask::WhenTaken);
        Ok(())
    }

    /// Full, though not for want of room in the log.
    fn blocked(&mut self, why: Blocked) -> SendError {
        self.log.take_back();
        // It looks at the peer now and then.
        let error = self.refused(WriteError::Full);
        if let Some(shipping) = &mut self.shipping {
            shipping.blocked = Some(why);
        }
        error
    }

    /// Sleeps until what blocked the last message may have gone, the peer rings or ends, or the deadline passes.
    pub(super) fn wait_to_ship(&mut self, blocked: Blocked, deadline: Option<Deadline>) -> Result<(), SendError> {
        match blocked {
            Blocked::Window(count) => self.sleep_unless(deadline, |it| {
                let taken = it.log.taken();
                let room = it.shipping.as_mut().is_none_or(|shipping| shipping.away.has_room(taken, count));
                Ok(room || it.log.reader_closed() || it.end.is_some())
            }),
            Blocked::Lifeline => {
                // Nobody waits here for long, so how soon to look again need not be asked.
                let _soon = self.log.announce();
                // A receiver that closes rings, and may find no room for that; it takes parcels out first or last.
                let until = Deadline::earlier(deadline, Some(Deadline::after(SLICE)));
                let woken = self.signals.wait_for_room(Half::Sender, until);
                self.log.awake();
                match woken {
                    Ok(Wake::PeerGone) => {
                        self.note_end();
                        Ok(())
                    }
                    Ok(Wake::TimedOut) if deadline.is_some_and(Deadline::passed) => Err(SendError::Timeout),
                    Ok(Wake::Rung | Wake::TimedOut) => Ok(()),
                    Err(error) => Err(SendError::System(error)),
                }
            }
        }
    }
}

/// Marks a frame whose message carries.
const CARRYING: usize = 1;

pub(super) fn is_carrying(frame: &Frame) -> bool {
    frame.at == CARRYING
}

/// What a receiver of descriptors keeps.
#[derive(Debug)]
pub(super) struct Unloading {
    /// Whether any may come.
    carries: bool,
    /// What came with the message that is seen.
    cargo: Cargo,
    /// The message that is in the log and whose parcel could not be fetched yet, because the system refused.
    due: Option<u64>,
}

impl Unloading {
    pub(super) fn new(carries: bool, cooperating: bool) -> Self {
        Self { carries, cargo: Cargo::new(cooperating), due: None }
    }

    pub(super) fn cargo(&mut self) -> &mut Cargo {
        &mut self.cargo
    }

    /// Whether the next call has a parcel to fetch first.
    pub(super) fn is_due(&self) -> bool {
        self.due.is_some()
    }
}

impl LogReceiver {
    /// What comes before the next look after something out of the ordinary: what nobody took is closed, a parcel that is due
    /// is fetched. A fork and nonsense end everything.
    #[cold]
    #[inline(never)]
    pub(super) fn settle(&mut self) -> Result<Option<Frame>, RecvError> {
        if self.epoch != fork::epoch() {
            return Err(RecvError::Forked);
        }
        if let Some(nonsense) = &self.nonsense {
            return Err(RecvError::Protocol(nonsense.clone()));
        }
        if let Some(number) = self.unloading.due {
            return self.unload(number).map(Some);
        }
        self.unloading.cargo.clear();
        self.ready_in = self.epoch;
        Ok(None)
    }

    /// The peer broke the rules: nothing is believed from here on.
    #[cold]
    pub(super) fn found_nonsense(&mut self, what: String) -> RecvError {
        self.unsettle();
        self.nonsense = Some(what.clone());
        RecvError::Protocol(what)
    }

    /// The log has shown a message for which descriptors came.
    #[cold]
    #[inline(never)]
    pub(super) fn found_carrying(&mut self) -> Result<Frame, RecvError> {
        self.unsettle();
        // It has counted this one already.
        self.unload(self.log.taken().saturating_sub(1))
    }

    fn unload(&mut self, number: u64) -> Result<Frame, RecvError> {
        self.unloading.due = None;
        if !self.unloading.carries {
            return Err(
                self.found_nonsense(format!("message {number} carries descriptors, and this link carries none"))
            );
        }
        match self.signals.fetch_parcel(number) {
            Ok(Some(parcel)) if parcel.is_lost() => self.unloading.cargo.lose(parcel.count),
            Ok(Some(parcel)) => self.unloading.cargo.load(parcel.fds),
            Ok(None) => {
                return Err(self.found_nonsense(format!("message {number} carries descriptors, and none came for it")));
            }
            Err(error) => {
                // The message stays where it is, and its parcel too.
                self.unloading.due = Some(number);
                return Err(RecvError::System(error));
            }
        }
        Ok(Frame { at: CARRYING, len: 0 })
    }

    /// From here on [`settle`](Self::settle) comes before the next look. No process forks so often that the number is its own.
    fn unsettle(&mut self) {
        self.ready_in = !self.epoch;
    }
}
