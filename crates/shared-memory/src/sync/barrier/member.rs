//! One place in a barrier, taken.

use std::time::Duration;

use wharf_sys::clock::Deadline;
use wharf_sys::fork;

use super::cell::dead;
use super::error::BarrierError;
use super::rounds::{Ended, Rounds};
use crate::atomic::AtomicU32;
use crate::sync::caller::caller;
use crate::sync::owner::Owner;
use crate::sync::patience::{Patience, Wanted};
use crate::sync::sleepers::wake;
use crate::sync::{LockFailure, Mode, ObjectKind};

/// A member of a [`Barrier`](super::Barrier), until it is dropped.
///
/// # When it is dropped
///
/// Its place is free for another one. Those who wait go on waiting, for whoever takes it: to leave is not to die.
///
/// # When its process dies
///
/// The barrier breaks, see [`Barrier`](super::Barrier). Forgotten with [`std::mem::forget`], a member that never arrives holds
/// up the others until its process ends or detaches.
#[derive(Debug)]
pub struct Member<'a> {
    rounds: Rounds<'a>,
    at: usize,
    me: Owner,
    fork_epoch: u32,
}

impl<'a> Member<'a> {
    pub(super) fn new(rounds: Rounds<'a>, at: usize, me: Owner) -> Member<'a> {
        Member { rounds, at, me, fork_epoch: fork::epoch() }
    }

    /// Arrives, and waits until all members have: then all go on together, and see all that each did before. True for
    /// exactly one of them, the one that came last.
    pub fn wait(&mut self) -> Result<bool, BarrierError> {
        self.wait_until(None)
    }

    /// The same, at most for `patience`: then [`LockFailure::Timeout`], and this member counts as not arrived.
    pub fn wait_timeout(&mut self, patience: Duration) -> Result<bool, BarrierError> {
        self.wait_until(Some(Deadline::after(patience)))
    }

    /// Arrives if all others have, and goes on with them. Never waits: [`LockFailure::WouldBlock`] if somebody is missing,
    /// and this member counts as not arrived.
    pub fn try_wait(&mut self) -> Result<(), BarrierError> {
        caller(self.rounds.state)?;
        match self.rounds.try_complete(wake_all) {
            Some(ended) => self.result(ended).map(drop),
            None => Err(LockFailure::WouldBlock.into()),
        }
    }

    fn wait_until(&mut self, deadline: Option<Deadline>) -> Result<bool, BarrierError> {
        let (me, attachment) = caller(self.rounds.state)?;
        // The barrier starts with this word.
        let wanted = Wanted::new(ObjectKind::Barrier, Mode::Notice, self.rounds.state);
        let patience = Patience::new(attachment, me, deadline, wanted);
        let ended = self.rounds.wait(self.at, &patience, wake_all);
        self.result(ended)
    }

    fn result(&self, ended: Ended) -> Result<bool, BarrierError> {
        match ended {
            Ended::Complete(last) => Ok(last),
            Ended::Broken => Err(BarrierError::Broken { dead: dead(self.rounds) }),
            Ended::OutOfTime => Err(LockFailure::Timeout.into()),
        }
    }
}

impl Drop for Member<'_> {
    fn drop(&mut self) {
        // A forked child has a copy, but its parent is the member.
        if self.fork_epoch == fork::epoch() {
            self.rounds.leave(self.at, self.me);
        }
    }
}

pub(super) fn wake_all(word: &AtomicU32) {
    wake(word, u32::MAX);
}
