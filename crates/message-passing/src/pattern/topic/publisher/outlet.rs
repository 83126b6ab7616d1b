//! What a publisher has, but for how it waits: its desk, and whom it wakes.

use std::io;

use wharf_shared_memory::biased::Owner;
use wharf_shared_memory::board::{Counter, Counters};
use wharf_shared_memory::log::{Room, SeatId};
use wharf_sys::clock::{Deadline, Instant};
use wharf_sys::crash_point;
use wharf_sys::doorbell::{Bell, Wake};
use wharf_sys::fork;

use super::super::OnFull;
use super::super::desk::{Desk, Ringing, Stuck};
use crate::error::SendError;
use crate::node::Registration;
use crate::transport::log_link::Pushed;
use crate::waits::Rounds;

/// What a publisher has, but for how it waits.
pub(super) struct Outlet {
    pub(super) desk: Owner<Desk>,
    /// Forks before it was opened; a child has one more and may not touch it.
    pub(super) epoch: u32,
    pub(super) limit: usize,
    pub(super) on_full: OnFull,
    /// Nothing is filled in where others could watch.
    pub(super) private: bool,
    /// Where a loan in place lies.
    pub(super) lent: Room,
    /// Whom to wake; kept, so that nothing is allocated.
    pub(super) sleepers: Vec<(SeatId, Ringing)>,
    pub(super) bell: Bell,
    /// Until then at most whoever is in the way is waited for.
    pub(super) until: Option<Instant>,
    pub(super) registration: Registration,
}

impl Outlet {
    #[inline(always)]
    pub(super) fn check_ours(&self) -> Result<(), SendError> {
        if self.epoch == fork::epoch() { Ok(()) } else { Err(SendError::Forked) }
    }

    /// Sends a message if that takes nothing but stores. The answer is a bare word, see
    /// [`LogSender::push_quickly`](crate::transport::log_link::LogSender::push_quickly).
    #[inline(always)]
    pub(super) fn push_quickly(&mut self, message: &[u8]) -> Pushed {
        if self.epoch != fork::epoch() {
            return Pushed::No;
        }
        let counters = self.registration.counters();
        // Entered, not `with` a closure: that was a call for each message, and what it is given passed through memory.
        let mut desk = self.desk.enter();
        let pushed = desk.push_quickly(message);
        // Counted inside, so that the way out and the next message's way in, which are stores to one line, stand together.
        if pushed != Pushed::No {
            count(counters, message.len());
        }
        pushed
    }

    pub(super) fn check(&self, len: usize) -> Result<(), SendError> {
        self.check_ours()?;
        if len > self.limit {
            return Err(SendError::TooLarge { len, limit: self.limit });
        }
        Ok(())
    }

    /// Sends a message, making room as the policy says, without waiting.
    #[cold]
    #[inline(never)]
    pub(super) fn push(&mut self, message: &[u8]) -> Result<(), SendError> {
        self.check(message.len())?;
        self.forget_loan();
        let outcome = self.desk.with(|desk| desk.push(message));
        self.tell();
        self.look_around()?;
        match outcome {
            Ok(()) => {
                count(self.registration.counters(), message.len());
                Ok(())
            }
            Err(stuck) => Err(self.stuck(stuck)),
        }
    }

    /// Says on the board how much waits, and in how much memory.
    pub(super) fn tell(&mut self) {
        let (depth, memory) = self.desk.with(|desk| (desk.backlog(), desk.writer.geometry().total_bytes()));
        let counters = self.registration.counters();
        counters.set(Counter::Depth, depth);
        counters.raise(Counter::Deepest, depth);
        counters.set(Counter::Memory, memory);
    }

    /// Room in the log for a loan; `false` when it must be filled elsewhere.
    pub(super) fn lend(&mut self, len: usize) -> Result<bool, SendError> {
        self.check(len)?;
        if self.private {
            return Ok(false);
        }
        self.forget_loan();
        let room = &mut self.lent;
        let (outcome, memory) =
            self.desk.with(|desk| (desk.lend(room, len as u64), desk.writer.geometry().total_bytes()));
        match outcome {
            Ok(()) => {
                // It may have needed a larger log.
                self.registration.counters().set(Counter::Memory, memory);
                Ok(true)
            }
            Err(stuck) => {
                self.tell();
                self.look_around()?;
                Err(self.stuck(stuck))
            }
        }
    }

    /// Takes a loan back; one that was forgotten too, which would keep the log from writing.
    pub(super) fn forget_loan(&mut self) {
        let room = &mut self.lent;
        self.desk.with(|desk| desk.writer.take_room_back(room));
    }

    #[cold]
    fn stuck(&mut self, stuck: Stuck) -> SendError {
        let system = |what: String| SendError::System(io::Error::new(io::ErrorKind::OutOfMemory, what));
        match stuck {
            Stuck::Full(until) => {
                self.until = until;
                SendError::Full
            }
            Stuck::Closed => SendError::Closed,
            Stuck::Memory(error) => system(error.to_string()),
            Stuck::Nowhere => system("no room could be made for the message".to_owned()),
        }
    }

    /// Wakes whoever sleeps, and sees who has lost its seat.
    #[cold]
    #[inline(never)]
    pub(super) fn look_around(&mut self) -> Result<(), SendError> {
        let mut sleepers = std::mem::take(&mut self.sleepers);
        self.desk.with(|desk| desk.look_around(&mut sleepers));
        crash_point!("topic.ring.before");
        for (seat, ringing) in sleepers.drain(..) {
            if !ringing.ring() {
                // It still sleeps on this ticket: the next message rings for it again.
                self.desk.with(|desk| desk.writer.owe_ring(seat));
            }
        }
        self.sleepers = sleepers;
        Ok(())
    }

    /// Sleeps until there may be room, until whoever is in the way has been so for long enough, or the deadline.
    pub(super) fn sleep(&mut self, len: u64, deadline: Option<Deadline>) -> Result<(), SendError> {
        let until = Deadline::earlier(deadline, self.until.map(Deadline::at));
        let mut rounds = Rounds::new();
        let outcome = loop {
            let longest = self.desk.with(|desk| desk.writer.announce());
            let room = self.desk.with(|desk| desk.has_room(len));
            self.tell();
            // Looking may have written a pad, for which a sleeping subscriber must wake.
            let looked = self.look_around();
            if room || looked.is_err() {
                break looked;
            }
            crash_point!("topic.room.sleep");
            match self.bell.wait(Deadline::earlier(until, longest.map(Deadline::after))) {
                Ok(Wake::TimedOut) if rounds.go_on(until) => {}
                // The bell has an end that is ours: it never says that it is gone.
                Ok(Wake::Rung | Wake::TimedOut | Wake::PeerGone) => break Ok(()),
                Err(error) => break Err(SendError::System(error)),
            }
        };
        self.registration.counters().add(Counter::Sleeps, 1);
        self.desk.with(|desk| desk.writer.awake());
        outcome
    }
}

/// Counts a message that was sent.
#[inline(always)]
pub(super) fn count(counters: &Counters, len: usize) {
    counters.add(Counter::SentMessages, 1);
    counters.add(Counter::SentBytes, len as u64);
    counters.raise(Counter::Largest, len as u64);
}

impl Drop for Outlet {
    fn drop(&mut self) {
        if self.check_ours().is_err() {
            return;
        }
        self.forget_loan();
        self.desk.with(Desk::close);
        // Nobody is there to hear of an error.
        let _ = self.look_around();
        crash_point!("topic.publisher.closed");
    }
}
