//! Who takes part in a region: slots, their owners' liveness, and how a value finds its caller's slot.

mod membership;
mod registry;
mod slot;
mod witness;

pub(crate) use self::membership::{JoinError, Membership};
pub(crate) use self::registry::{Access, Attachment, Registration, lookup};
pub(crate) use self::slot::{Phase, Slot};
pub(crate) use self::witness::Witness;
