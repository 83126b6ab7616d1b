//! Under which name the calling process uses an object in a region, and whether it may.

use super::lock_error::LockFailure;
use super::owner::Owner;
use crate::participant::{self, Access, Attachment};

/// The caller's name in lock words, and its attachment; an error where it has none that may write.
pub(crate) fn caller<T: ?Sized>(object: &T) -> Result<(Owner, Attachment<'_>), LockFailure> {
    let attachment = participant::lookup(object).ok_or(LockFailure::NotInRegion)?;
    match attachment.access() {
        Access::Member(me) => Ok((me, attachment)),
        Access::ReadOnly => Err(LockFailure::ReadOnly),
        Access::Forked => Err(LockFailure::Forked),
    }
}
