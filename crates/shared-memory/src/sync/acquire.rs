//! Taking a lock word in a region on behalf of the calling process: the short way inline, the long way out of line.

use wharf_sys::clock::Deadline;

use super::caller::caller;
use super::lock_error::LockFailure;
use super::owner::Owner;
use super::patience::{Patience, Wanted};
use super::raw::{Condition, RawLock};
use crate::participant::{self, Access};

/// The usual case: we may write here, and the lock is free and consistent.
#[inline(always)]
pub(crate) fn take_free(raw: &RawLock) -> Option<Owner> {
    let Access::Member(me) = participant::lookup(raw)?.access() else { return None };
    wharf_sys::crash_point!("mutex.lock.before");
    if !raw.take_free(me) {
        return None;
    }
    wharf_sys::crash_point!("mutex.lock.after");
    Some(me)
}

/// Waits for the lock until `deadline`, or for as long as a live process holds it.
#[cold]
#[inline(never)]
pub(crate) fn take(raw: &RawLock, wanted: Wanted, deadline: Option<Deadline>) -> Result<Condition, LockFailure> {
    let (me, attachment) = caller(raw)?;
    let patience = Patience::new(attachment, me, deadline, wanted);
    let condition = raw.take(me, &patience).map_err(|_out_of_time| LockFailure::Timeout)?;
    wharf_sys::crash_point!("mutex.lock.after");
    Ok(condition)
}

/// Takes the lock if it is free or its owner is proved dead.
#[cold]
#[inline(never)]
pub(crate) fn try_take(raw: &RawLock, wanted: Wanted) -> Result<Condition, LockFailure> {
    let (me, attachment) = caller(raw)?;
    if let Some(condition) = raw.try_take(me) {
        wharf_sys::crash_point!("mutex.lock.after");
        return Ok(condition);
    }
    let patience = Patience::new(attachment, me, None, wanted);
    if raw.take_from_dead(me, |owner| patience.is_dead_at_a_glance(owner)) {
        return Ok(Condition::Inconsistent);
    }
    Err(LockFailure::WouldBlock)
}
