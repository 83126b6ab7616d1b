//! Who takes part in a region: slots, their owners' liveness, what they wait for, and how a value finds its caller's slot.

mod attachments;
#[cfg(all(test, loom))]
mod attachments_models;
mod hit;
#[cfg(not(loom))]
mod membership;
#[cfg(not(loom))]
mod registry;
mod slot;
#[cfg(all(test, loom))]
mod slot_models;
mod waits;
#[cfg(not(loom))]
mod witness;

#[cfg(not(loom))]
pub(crate) use self::hit::Access;
#[cfg(not(loom))]
pub(crate) use self::membership::{JoinError, Membership};
#[cfg(not(loom))]
pub(crate) use self::registry::{Attachment, Registration, lookup};
#[cfg(not(loom))]
pub(crate) use self::slot::{Identity, Phase, SLOT_LEN, Slot};
#[cfg(not(loom))]
pub(crate) use self::waits::{COUNT_LEN, ENTRIES, ENTRY_LEN, Place, Wait, Waits};
#[cfg(not(loom))]
pub(crate) use self::witness::{FileId, Witness};
